/*
 * Far memory of a guest, `wherry run --far NODE[,WORDS]`: where the memory node is, and how much of
 * what is kept here. Gives the kernel's words and, for a node behind a socket on this host, a
 * network card to reach it by. Host code; does not block.
 */
#pragma once

#include "netspec.h"

#define FARS_MAX 8 /* kernel/roce/remote.h */

struct farspec {
    char node[16]; /* address */
    unsigned port; /* 0: the usual one */
    struct netspec net;
    bool has_net;
    /* Of all nodes: given with any of them. Empty: not given. */
    char size[24], local[24], prefetch[32], verify[12], copies[4];
    char *key_file;
    char *guide; /* prefetch=guide:NAME or guide:FILE: what stands behind the colon; NULL: none */
};

/* NODE: ADDRESS[:PORT], or unix:SOCKET or vhost-user:SOCKET with ip=ADDRESS for a `wherry memnode
 * --netdev` there. */
bool farspec_parse(const char *text, struct farspec *f, struct why *w);
/* The name by which the guest has the guide: NAME, or FILE's without folder and ".so". Allocated;
 * NULL, with why: it cannot be one. */
char *farspec_guide_name(const char *guide, struct why *w);
/* Adds the words for the kernel. */
bool farspec_words(const struct farspec *f, size_t count, struct words *out, struct why *w);
