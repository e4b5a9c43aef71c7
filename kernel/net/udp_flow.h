/*
 * The short way out for a UDP socket that answers the one it answered last (net/udp_flow.c).
 */
#pragma once

#include "lib/base.h"

#include <linux/if_ether.h>

#include "lwip/ip_addr.h"

struct dgram_dest;
struct dgram_sock;
struct netif;
struct sock_msg;

#define UDP_FLOW_HEADERS (ETH_HLEN + 20u + 8u)

/* What all packets to one destination have in common. */
struct udp_flow {
    uint64_t key;        /* the destination: a sockaddr_in's first 8 bytes; 0: nothing remembered */
    struct netif *netif;
    u32_t src;           /* the interface's address then */
    u32_t generation;    /* of the ARP table: ethif_next_hop() */
    u32_t uses;          /* changes whenever the template does */
    u32_t ip_sum;        /* of the IP header without length, id and checksum */
    u32_t pseudo_sum;    /* of the pseudo header without the length */
    u8_t headers[UDP_FLOW_HEADERS];
};

/* Remembers where a message just went. */
void udp_flow_learn(struct dgram_sock *d, const struct sock_msg *m, const struct dgram_dest *to);
/*
 * Sends a message to the remembered destination: its length, or a negative errno (-EFAULT).
 * UDP_FLOW_MISS: not possible this way, nothing was done. May sleep (copies from the application).
 */
#define UDP_FLOW_MISS (-4096)
ssize_t udp_flow_send(struct dgram_sock *d, struct sock_msg *m);
/* The socket's address or options changed. */
static inline void udp_flow_forget(struct udp_flow *f)
{
    f->key = 0;
    f->uses++;
}
