/*
 * The raw network interface, for programs linked into a Wherry image: frames in bursts, straight
 * from and to the rings of the NIC, without a copy and without a network stack.
 *
 *     struct wherry_netq q;
 *     struct wherry_packet p[32];
 *
 *     wherry_netq_open(&q, 0);
 *     wherry_netq_steer(&q, 7777);
 *     for (;;) {
 *         unsigned n = wherry_netq_rx(&q, p, 32);
 *         for (unsigned i = 0; i < n; i++)
 *             ... read p[i].data, turn it into the answer where it lies ...
 *         wherry_netq_tx(&q, p, n);
 *         if (n == 0)
 *             wherry_netq_wait(&q, WHERRY_FOREVER);
 *     }
 *
 * A packet is a stretch of a buffer: a block of WHERRY_BUF_SIZE bytes, aligned to that, in memory
 * that the kernel maps by pages of 2 MiB. What is known of a packet stands in struct wherry_packet
 * alone, in the caller's array; nobody looks into the block for more, so that a packet costs the
 * cache lines of its frame and no others. Whoever has the struct owns the block: received ones are
 * the caller's until they are sent or freed; sent ones are the device's, which gives them back to
 * the pool when they have gone out.
 *
 * Everything runs in the program's one thread (the kernel never preempts it). Only
 * wherry_netq_wait() sleeps. All of it is for the calling image's own devices; there is no
 * protection to check, and pointers are believed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHERRY_BUF_SIZE 2048u
/* Bytes of a block that a frame may occupy, and where a new one begins. Before data there must be
 * 12 bytes of the block that the driver may write. */
#define WHERRY_BUF_ROOM  (WHERRY_BUF_SIZE - WHERRY_BUF_START)
#define WHERRY_BUF_START 76u

/*
 * WHERRY_CSUM_TODO: the TCP or UDP checksum is not made yet; csum_start and csum_off say where it
 * is, and it holds the sum of the pseudo header. To send: the device makes it. Received: the packet
 * comes from this host. WHERRY_CSUM_OK: received, and the device vouches for it.
 */
#define WHERRY_CSUM_TODO 1u
#define WHERRY_CSUM_OK   2u

struct wherry_packet {
    uint8_t *data; /* the frame, from its Ethernet header on, without FCS */
    uint16_t len;
    uint8_t flags;       /* WHERRY_CSUM_* */
    uint16_t csum_start; /* where the checksummed part (the UDP header) begins in the frame */
    uint16_t csum_off;   /* where in that the checksum is */
};

struct wherry_netdev_info {
    char name[16];
    uint8_t mac[6];
    uint16_t mtu;
    uint32_t ip, mask, gateway; /* as ip= gave them, network order; 0: none */
    bool tx_csum, rx_csum;      /* the device makes checksums; it verifies those of what comes */
    unsigned pairs; /* of queues, receive and transmit, in use: rx takes them in turn, and what is
                       sent leaves by the one that was received from last */
};

struct wherry_netq_stats {
    uint64_t rx_packets, tx_packets;
    uint64_t rx_other;   /* not steered here: the stack's, or answered by the kernel (ARP, ping), or
                            dropped */
    uint64_t rx_bad;     /* lengths that make no sense, or more than one block */
    uint64_t tx_refused; /* the ring was full */
    uint64_t sleeps;
};

/* Of one pair of the device's queues. */
struct wherry_pair_stats {
    uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
    uint64_t notifications; /* of the device by us */
    uint64_t interrupts;    /* by it */
};

struct netdev;
struct wherry_netq {
    struct netdev *dev;
    uint32_t ip;          /* of the interface, network order */
    uint16_t port;        /* steered: a UDP port, network order; 0: every frame */
    bool tx_csum;         /* as in the info */
    uint32_t csum_mask;   /* of an answer's UDP checksum, in the upper half: 0 if there is none */
    uint64_t from;        /* octets 6 to 13 of an IPv4 frame from here: address and type */
    uint64_t to, to_mask; /* octets 30 to 37 of a frame that is steered here: address and ports */
    struct wherry_netq_stats stats;
};

#define WHERRY_FOREVER UINT64_MAX

/*
 * The device'th network device (0: the first), for one raw user. All pairs of queues that it has
 * are used from then on (at most 4; wherry.net.queues= on the command line: so many). 0, -ENODEV,
 * -EBUSY, -ENOMEM.
 */
int wherry_netq_open(struct wherry_netq *q, unsigned device);
void wherry_netq_info(const struct wherry_netq *q, struct wherry_netdev_info *info);
/* -EINVAL: there is no such pair, or it is not in use. */
int wherry_netq_pair(const struct wherry_netq *q, unsigned pair, struct wherry_pair_stats *stats);
/*
 * Gives the device an address (network order; gateway 0: none), also in the place of that which it
 * has. ARP and pings are answered for it; a queue that is steered remains so. -EINVAL: no unicast
 * address, or no mask.
 */
int wherry_netq_address(struct wherry_netq *q, uint32_t ip, uint32_t mask, uint32_t gateway);
/*
 * From now on rx gives only IPv4 UDP datagrams to the interface's address and this port: whole, not
 * fragmented, headers checked (lengths, IP checksum; the UDP checksum if the device vouches for it
 * or there is none: others are verified). Everything else goes where it would go without us: to the
 * TCP/IP stack if the image has one, else ARP requests and pings are answered and the rest is
 * dropped. -EINVAL: port 0, or no address (the command line has no ip=).
 */
int wherry_netq_steer(struct wherry_netq *q, uint16_t port);

/* Up to max packets. */
unsigned wherry_netq_rx(struct wherry_netq *q, struct wherry_packet *p, unsigned max);
/* Queues the packets and notifies the device once. Fewer than n: the ring is full; the rest remain
 * the caller's, who sends them later or frees them. */
unsigned wherry_netq_tx(struct wherry_netq *q, const struct wherry_packet *p, unsigned n);
/* Up to n packets with an empty frame at WHERRY_BUF_START. Fewer: the pool is empty. */
unsigned wherry_netq_alloc(struct wherry_netq *q, struct wherry_packet *p, unsigned n);
void wherry_netq_free(struct wherry_netq *q, const struct wherry_packet *p, unsigned n);
/* Waits until something may have come in, to this queue or another of the program's, or the
 * deadline (wherry_now()). Polls before it sleeps, for longer if that was worth it the last times
 * (kernel/sched/haltpoll.h). Frames that are not ours are taken care of meanwhile. */
void wherry_netq_wait(struct wherry_netq *q, uint64_t deadline);
