/*
 * What net.c, virtio-net's driver for one pair of queues, and net_multi.c, which has it serve
 * several, share. Nothing here sleeps.
 */
#pragma once

#include "drivers/virtio/virtio.h"

#include "net/netdev.h"

#define NET_RING 256u
/* Pairs that are set up at most: one CPU serves them all, and more would be memory for nothing. */
#define NET_PAIRS 4u

struct net_pair {
    struct virtq *rx, *tx;
    unsigned posted, target;         /* receive buffers in the ring; how many there are to be */
    struct virtio_net_hdr_v1 *spare; /* headers for packets without headroom, one a descriptor */
    uint32_t users; /* tx->avail_idx behind the newest packet of its user: the stack, not raw */
};

struct virtio_net {
    struct netdev dev;
    struct virtio_device *vdev;
    struct net_pair now; /* the pair that net_ops work on; the only one that net.c knows */
    bool link;
    bool merged; /* VIRTIO_NET_F_MRG_RXBUF; without it QEMU before 10 leaves num_buffers 0 */
    struct net_multi *multi; /* net_multi.c's; NULL: there is one pair */
};

extern const struct netdev_ops net_ops;
/* Posts receive buffers. */
void net_refill(struct virtio_net *n);
/* A transmit queue's chains, which are TCP's, go by tables. They cost the sender as much as a place
 * in the ring for each segment does, and the ring holds 256 of them, not the 20 or so that fill it
 * otherwise, and stays in order, without which there is no run (virtq.h). False: no memory. */
bool net_tx_tables(struct virtq *tx);
/* Is a ring laid out as <wherry/burst.h> thinks? */
bool net_ring_known(const struct virtq *q);

/* The feature bits for more than one pair, if the device has it and the command line allows it;
 * before virtio_negotiate(). */
uint64_t net_multi_features(struct virtio_device *vdev);
/* Sets up the other pairs' queues, after the first's. callback: of the receive queues. */
void net_multi_setup(struct virtio_net *n, void (*callback)(struct virtq *vq));
/* The device is registered: takes as many into use as the command line says. */
void net_multi_start(struct virtio_net *n);
/* netdev_ops.use_queues and .queue_stats */
void net_use_queues(struct netdev *d, unsigned pairs);
bool net_queue_stats(struct netdev *d, unsigned pair, struct wherry_pair_stats *stats);
