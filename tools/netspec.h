/*
 * How the guest is connected: --net user | dhcp | none | tap:IF,WORDS | vhost-user:PATH,WORDS |
 * unix:PATH,WORDS,
 * where WORDS are ip=CIDR|dhcp[,gw=IP][,dns=IP] and what the device offers: mrg_rxbuf=on|off and
 * the like; given again, another card. Gives the kernel's ip= words and the addresses that go into
 * /etc. Host code; does not block.
 */
#pragma once

#include "util.h"

/* NET_UNIX: frames over a stream socket, QEMU's -netdev stream. */
enum net_kind { NET_USER, NET_TAP, NET_VHOST_USER, NET_UNIX, NET_NONE };

/* Is the other end somebody who listens at a socket? */
static inline bool net_kind_is_socket(enum net_kind k)
{
    return k == NET_VHOST_USER || k == NET_UNIX;
}

/* As many as sockaddr_un holds, with the final zero. */
#define NET_SOCKET_MAX 108

struct netspec {
    enum net_kind kind;
    bool dhcp;
    char ifname[16];
    /* Static configuration, dotted; empty: none. */
    char ip[16], mask[16], gw[16], dns[16];
    char socket[NET_SOCKET_MAX]; /* vhost-user, unix: the peer's */
    unsigned queues;             /* pairs of them; more than one with tap and vhost-user only */
    char device[200];            /* words for the device, each behind a comma */
};

/* Cards that a guest has at most. */
#define NETS_MAX 4

bool netspec_parse(const char *text, struct netspec *n, struct why *w);
/* Can a guest have all of these at once? */
bool netspec_together(const struct netspec *n, size_t count, struct why *w);
/* The kernel's word for its card number i, or NULL without a network. To be freed. */
char *netspec_ip_word(const struct netspec *n, unsigned i);
/* A MAC address that differs between guests with different addresses on one bridge. */
void netspec_mac(const struct netspec *n, unsigned i, char mac[18]);
/* For tap: does the interface exist, and may we use it? For those with a socket: is it there? */
bool netspec_check(const struct netspec *n, struct why *w);
