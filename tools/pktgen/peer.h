/*
 * The far end of a guest's network device: DPDK's net_vhost driver as the vhost-user back end of
 * one socket. Frames are DPDK's buffers (struct rte_mbuf). Polls; nothing here sleeps but
 * peer_open(). Called by pktgen's generator and by the memory node (tools/memnode/vhost.c).
 */
#pragma once

#include <rte_mbuf.h>

#include <stdbool.h>

struct peer_config {
    const char *program; /* for DPDK's messages */
    const char *option;  /* and ours: the word that gave the socket */
    const char *socket;
    unsigned queues;
    int cpu; /* -1: any */
    bool huge_pages;
    unsigned frames;     /* buffers that may wait at once, beside those in the device */
    unsigned frame_max;  /* bytes of the longest frame */
    unsigned memory_mib; /* of all */
};

struct peer {
    uint16_t port;
    unsigned queues, next_queue;
    struct rte_mempool *pool;
    const char *socket;
};

/* Starts DPDK and listens on the socket. Dies where that cannot be. */
void peer_open(struct peer *p, const struct peer_config *c);
void peer_close(struct peer *p);
/* Has the guest's driver started its device? */
bool peer_connected(const struct peer *p);
/* Frames from the guest, of all queues in turn. */
unsigned peer_receive(struct peer *p, struct rte_mbuf **frames, unsigned max);
/* Hands frames to the guest: returns how many it had room for; the others stay the caller's. */
unsigned peer_send(struct peer *p, struct rte_mbuf **frames, unsigned n);
/* An empty buffer in one piece, NULL if there is none. */
struct rte_mbuf *peer_frame(struct peer *p);

/* A frame's UDP checksum, of which it has the part, is left to the guest's device. */
void peer_offload(struct rte_mbuf *m);
