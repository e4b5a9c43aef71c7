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

#define WHERRY_RX_CSUM_OK 1u /* received: the device vouches for the TCP or UDP checksum */
#define WHERRY_RX_PARTIAL 4u /* received: it comes from this host, and its checksum is not made yet */
#define WHERRY_TX_CSUM    2u /* to send: the device makes it; csum_start and csum_off say where */

struct wherry_packet {
    uint8_t *data; /* the frame, from its Ethernet header on, without FCS */
    uint16_t len;
    uint8_t flags;      /* WHERRY_* */
    uint8_t csum_start; /* where the checksummed part (the UDP header) begins in the frame */
    uint8_t csum_off;   /* where in that the checksum is; it holds the sum of the pseudo header */
};

struct wherry_netdev_info {
    char name[16];
    uint8_t mac[6];
    uint16_t mtu;
    uint32_t ip, mask, gateway; /* as ip= gave them, network order; 0: none */
    bool tx_csum, rx_csum;      /* WHERRY_TX_CSUM may be used; received checksums are verified */
};

struct wherry_netq_stats {
    uint64_t rx_packets, tx_packets;
    uint64_t rx_other;   /* not steered here: the stack's, or answered by the kernel (ARP, ping), or
                            dropped */
    uint64_t rx_bad;     /* lengths that make no sense, or more than one block */
    uint64_t tx_refused; /* the ring was full */
    uint64_t sleeps;
};

struct netdev;
struct wherry_netq {
    struct netdev *dev;
    uint32_t ip;   /* of the interface, network order */
    uint16_t port; /* steered: a UDP port, network order; 0: every frame */
    struct wherry_netq_stats stats;
};

#define WHERRY_FOREVER UINT64_MAX

/* The device'th network device (0: the first), for one raw user. 0, -ENODEV, -EBUSY, -ENOMEM. */
int wherry_netq_open(struct wherry_netq *q, unsigned device);
void wherry_netq_info(const struct wherry_netq *q, struct wherry_netdev_info *info);
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
/* Sleeps until something may have come in, or the deadline (wherry_now()). Frames that are not ours
 * are taken care of meanwhile. */
void wherry_netq_wait(struct wherry_netq *q, uint64_t deadline);
