/*
 * What the parts of net/ that know lwIP share: the stack's heartbeat, its interfaces and counters.
 * The stack runs wherever kernel code runs: in a socket call, in a NIC's poller, in a timer. None
 * of its functions sleeps; none may be called while a copy to or from the application is under way
 * in the middle of changing its state (such a copy may sleep, and others then run the stack).
 */
#pragma once

#include "lib/base.h"

#include "lwip/netif.h"

/* Reasons why packets were dropped before or beside lwIP's own counters (lwip/stats.h). */
struct net_stats {
    uint64_t rx_short;      /* less than an Ethernet header, or a first buffer without it */
    uint64_t rx_other_host; /* not our address */
    uint64_t rx_martian;    /* from the wire, but with an address of ours as the sender's */
    uint64_t rx_unknown;    /* an Ethernet type we do not speak */
    uint64_t rx_bad_csum;   /* only those checked here */
    uint64_t local_dropped; /* queues of packets to ourselves that did not become empty */
    uint64_t tx_refused;    /* the device took no more */
    uint64_t sock_full;     /* UDP and raw: the receive buffer was full */
    uint64_t sock_no_memory;
    uint64_t accept_overflow; /* connections complete, but nobody accepts */
};
extern struct net_stats net_stats;

/* Hands to the devices what was queued and delivers what was sent to ourselves: at the end of
 * whatever ran the stack. */
void net_deliver_local(void);
struct netdev;
extern struct netdev *net_tx_pending; /* has packets that it was not told of; at most one has */
extern struct netif *net_lo;
void net_tx_kick(struct netdev *d);
static inline void net_flush(void)
{
    struct netdev *d = net_tx_pending;

    if (unlikely(netif_loop_waiting)) {
        net_deliver_local();
        d = net_tx_pending;
    }
    if (d != NULL) {
        net_tx_pending = NULL;
        net_tx_kick(d);
    }
}

/* Brings tcp_ticks up to date; wherever the stack is entered with a packet. */
void tcp_sync_ticks(void);
/* Some protocol timer (ARP, ND, IGMP, MLD, DHCP, reassembly) may have something to do. */
void net_timers_start(void);
/* Milliseconds, wrapping. */
u32_t sys_now(void);
void net_timers_init(void); /* once, before lwip_init() */

/* The Ethernet interfaces are netif_list without lo. */
struct netdev;
struct netdev *net_netdev(struct netif *netif); /* NULL for lo */
static inline bool net_is_lo(const struct netif *netif)
{
    return netif == net_lo;
}
/* Are there sockets in this image (net/inet_udp.c), or only a native program's connections
 * (native/stack.c)? The compiler knows at link time, and leaves out what nobody can reach. */
extern const bool net_sockets;
/* Is it an address of this machine? */
bool inet_is_local(const ip_addr_t *ip);
/* "eth0", "lo". */
void net_ifname(const struct netif *netif, char name[16]);
struct netif *net_by_ifname(const char *name);
/* Interface indices: 1 is lo, as in Linux. */
struct netif *net_by_index(unsigned index);
static inline unsigned net_index(const struct netif *netif)
{
    return netif_get_index(netif);
}
