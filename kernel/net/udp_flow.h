/*
 * The short way out for a UDP socket whose messages all leave by one interface (net/udp_flow.c).
 */
#pragma once

#include "lib/base.h"

#include "lwip/ip_addr.h"

struct dgram_dest;
struct dgram_sock;
struct mmsghdr;
struct netif;
struct sock_msg;

/* How the socket's last message went that took the long way. */
struct udp_flow {
    struct netif *netif; /* NULL: nothing remembered */
    u32_t dst, src;      /* network order */
    u32_t uses;          /* changes whenever the rest does */
    u8_t tos, ttl;
    bool any_dst; /* no other interface leads anywhere */
};

/* Remembers how a message just went. */
void udp_flow_learn(struct dgram_sock *d, const struct sock_msg *m, const struct dgram_dest *to);
/*
 * Sends a message that goes the remembered way: its length, or a negative errno (-EFAULT).
 * UDP_FLOW_MISS: not possible this way, nothing was done. May sleep (copies from the application).
 */
#define UDP_FLOW_MISS (-4096)
ssize_t udp_flow_send(struct dgram_sock *d, struct sock_msg *m);
/* As struct socket_ops' send_many: how many of the n messages went the remembered way. */
unsigned udp_flow_send_many(struct dgram_sock *d, struct mmsghdr *u, unsigned n);
/* The socket's address or options changed. */
static inline void udp_flow_forget(struct udp_flow *f)
{
    f->netif = NULL;
    f->uses++;
}
