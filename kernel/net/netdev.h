/*
 * Network devices: a raw interface in bursts of buffers. A driver registers a struct netdev; one
 * user takes it (lwIP's Ethernet interface does so by default, net/ethif.c; a raw application may
 * instead). Nothing here sleeps. Functions may be called from any context in which kernel code
 * runs; one at a time, as all kernel code.
 *
 * Receive: rx_burst() hands over packets that have arrived, each a chain of netbufs from the
 * Ethernet header on (no FCS); the caller owns them. The driver keeps its ring filled by itself.
 *
 * Transmit: tx() queues one packet given in pieces, by reference. The pieces stay the device's
 * until the driver calls the user's tx_done() with the packet's cookie, which happens within a
 * later tx(), tx_reclaim() or, for those without room, not before some packet has gone out.
 * kick() makes the device look: once a batch.
 */
#pragma once

#include "lib/list.h"
#include "net/netbuf.h"
#include "sched/thread.h"

#include <wherry/netdev.h>

/* features: what the device does for us, both ways */
#define NETDEV_TX_CSUM 1u /* completes a TCP or UDP checksum */
#define NETDEV_TX_TSO4 2u /* cuts TCP packets of up to 64 KiB into segments */
#define NETDEV_TX_TSO6 4u
#define NETDEV_RX_CSUM 8u  /* tells of packets with a verified checksum */
#define NETDEV_RX_LRO  16u /* hands over TCP packets merged up to 64 KiB */

/* Bytes before the first piece of a packet that must be the driver's to write. */
#define NETDEV_HEADROOM  12u
#define NETDEV_MAX_FRAGS 24u

struct netdev_frag {
    const void *data; /* direct-map memory */
    uint32_t len;
};

struct netdev_tx {
    const struct netdev_frag *frags; /* the first begins with the whole of the headers */
    unsigned nfrags;
    bool headroom;       /* NETDEV_HEADROOM bytes before the first piece may be used */
    bool ipv6;           /* for gso_size */
    uint16_t csum_start; /* where the checksummed part begins; 0: no checksum is wanted */
    uint16_t csum_off;   /* of the checksum field from there */
    uint16_t gso_size;   /* payload bytes of a segment; 0: the packet is one */
    uint16_t hdr_len;    /* with gso_size: length of all headers */
    void *cookie;
};

struct netdev_stats {
    uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
    uint64_t rx_no_buffer; /* ring could not be refilled in full */
    uint64_t rx_bad;       /* lengths or buffer counts that make no sense */
    uint64_t tx_full;      /* packets refused: no room in the ring */
};

struct netdev;
struct wherry_run;

struct netdev_ops {
    /* Up to max packets; *more: there may be others already. */
    unsigned (*rx_burst)(struct netdev *d, unsigned queue, struct netbuf **packets, unsigned max);
    /* 0, -ENOSPC (kick and reclaim, then try again), -EINVAL (too many pieces). */
    int (*tx)(struct netdev *d, unsigned queue, const struct netdev_tx *t);
    void (*kick)(struct netdev *d, unsigned queue);
    void (*tx_reclaim)(struct netdev *d, unsigned queue);
    /* An interrupt for the next packet; false if there is one already. The interrupt calls
     * d->interrupt and is off then. */
    bool (*arm)(struct netdev *d, unsigned queue);
    bool (*link_up)(struct netdev *d);
    /* For raw users (net/raw.c): frames of one block each, which come and go as netbufs but without
     * a look into them. NULL: the driver cannot. rx_raw: up to max; a frame in several blocks goes
     * to input(), or is dropped. tx_raw: how many were queued; their blocks are freed when they
     * have gone out. */
    unsigned (*rx_raw)(struct netdev *d, struct wherry_packet *p, unsigned max);
    unsigned (*tx_raw)(struct netdev *d, const struct wherry_packet *p, unsigned n);
    /* The same for loops over the ring itself, <wherry/burst.h>: a run of places of up to max
     * packets, and what became of it. No places: rx_raw and tx_raw know how it goes on. Only if
     * netdev.runs. */
    void (*rx_run)(struct netdev *d, struct wherry_run *r, unsigned max);
    void (*rx_ran)(struct netdev *d, const struct wherry_run *r);
    void (*tx_run)(struct netdev *d, struct wherry_run *r, unsigned max);
    void (*tx_ran)(struct netdev *d, const struct wherry_run *r);
    /* Has nothing come in? */
    bool (*rx_idle)(const struct netdev *d);
    /* Uses so many pairs of queues if it can, of those that are set up (netdev.queues_max). There
     * is no way back; ops may be others afterwards. All functions above are for all pairs in use:
     * the driver takes them in turn. NULL: there is one. */
    void (*use_queues)(struct netdev *d, unsigned pairs);
    /* False: it is not in use. */
    bool (*queue_stats)(struct netdev *d, unsigned pair, struct wherry_pair_stats *stats);
};

struct netdev {
    struct list link;
    char name[16]; /* "eth0" */
    uint8_t mac[6];
    uint16_t mtu;
    uint32_t ip4, mask4, gateway4; /* network order; set by who configures addresses; 0: none */
    uint32_t features;
    unsigned queues, queues_max; /* pairs of receive and transmit queue: in use, set up */
    bool runs;                   /* ops->rx_run and the others may be called */
    const struct netdev_ops *ops;
    /* Has something come in? A test without a call: the device's counter against what the driver
     * has taken. NULL: ops->rx_idle() knows. */
    const volatile uint16_t *rx_produced;
    const uint32_t *rx_consumed; /* its low 16 bits */
    struct netdev_stats stats;
    void *priv; /* the driver's */

    /* The user's. */
    void *user;
    void (*tx_done)(struct netdev *d, void *cookie);
    void (*interrupt)(struct netdev *d); /* packets came in while armed */
    void (*link_changed)(struct netdev *d);
    /* A raw user shares the device (net/raw.c): the user looks for packets by steered(), which
     * hands back by input() what is not the raw user's. NULL: nobody does; nobody wants the rest.
     */
    bool (*steered)(struct netdev *d);
    void *raw;
    void (*input)(struct netdev *d, struct netbuf *b);
    /* ip4 and the others have been set by a raw user. NULL: nobody else wants to know. */
    void (*addressed)(struct netdev *d);
};

/* Does anybody in the image want packets larger than a frame? True where the TCP/IP stack is. */
extern const bool netdev_stream;

static __always_inline bool netdev_rx_idle(const struct netdev *d)
{
    return d->rx_produced != NULL && *d->rx_produced == (uint16_t)*d->rx_consumed;
}

/* The same of any device: by a call where there are no counters to look at. */
static inline bool netdev_quiet(const struct netdev *d)
{
    return d->rx_produced != NULL ? netdev_rx_idle(d) : d->ops->rx_idle(d);
}

/* Gives d the next free name and makes it known. During INIT_DRIVER. */
void netdev_register(struct netdev *d);
/* All devices, in order of registration; NULL name: the first. NULL if there is none such. */
struct netdev *netdev_find(const char *name);
extern struct list netdev_list;
