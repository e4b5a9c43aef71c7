/*
 * HTTP over <wherry/tcp.h>, with answers from memory: the connections of httpmem, and of the
 * control port of udpkv.
 */
#pragma once

#include "object.h"

/* The object of a path, escapes undone, behind which HTTP_PATH_SLACK bytes may be read; NULL: there
 * is none. What changes is brought up to date. */
typedef struct http_object *http_find(const char *path, size_t len);

struct http_stats {
    uint64_t requests;
    uint64_t errors; /* answers of 400 and more */
};
extern struct http_stats http_stats;

/* Listens; connections at once at most max. 0, or as wherry_tcp_listen(). */
int http_serve(uint16_t port, unsigned max, http_find *find);
