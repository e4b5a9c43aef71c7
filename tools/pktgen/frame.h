/*
 * Frames as pktgen writes and reads them: Ethernet II, ARP (RFC 826), IPv4 (RFC 791), UDP (RFC
 * 768). Addresses are in host byte order. Checksums are always whole. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MAC_LEN = 6,
    ETH_LEN = 14,
    ARP_LEN = 28,
    IP_LEN = 20, /* without options */
    UDP_LEN = 8,
    FRAME_HEAD = ETH_LEN + IP_LEN + UDP_LEN,
    FRAME_MTU = 1500,
    FRAME_MAX = ETH_LEN + FRAME_MTU,

    /* Where fields lie in a frame without options. */
    AT_TYPE = 12,
    AT_IP = ETH_LEN,
    AT_IP_LEN = AT_IP + 2,
    AT_IP_ID = AT_IP + 4,
    AT_IP_FRAG = AT_IP + 6,
    AT_IP_PROTO = AT_IP + 9,
    AT_IP_SUM = AT_IP + 10,
    AT_IP_SRC = AT_IP + 12,
    AT_IP_DST = AT_IP + 16,
    AT_UDP = AT_IP + IP_LEN,
    AT_UDP_LEN = AT_UDP + 4,
    AT_UDP_SUM = AT_UDP + 6,

    TYPE_IP = 0x0800,
    TYPE_ARP = 0x0806,
    TYPE_VLAN = 0x8100,
    PROTO_UDP = 17,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
    IP_MORE_FRAGMENTS = 0x2000,
    IP_DONT_FRAGMENT = 0x4000,
};

static inline void put16(uint8_t *p, uint16_t v)
{
    p[0] = v >> 8;
    p[1] = v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

static inline uint16_t get16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static inline uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* Who sends to whom. */
struct ends {
    uint8_t from_mac[MAC_LEN], to_mac[MAC_LEN];
    uint32_t from, to;
    uint16_t from_port, to_port;
};

/* Ones' complement sum of n bytes, as they lie in memory (RFC 1071 §2(B)): order does not matter as
 * long as all of it is summed so. */
uint64_t sum_bytes(uint64_t sum, const void *data, size_t n);
/* The checksum field, in memory order. */
uint16_t sum_finish(uint64_t sum);

/* Writes the headers before the payload of n bytes that stands at f + FRAME_HEAD already. Returns
 * the frame's length. */
size_t frame_udp(uint8_t *f, const struct ends *e, uint16_t ip_id, size_t n);
/* Sums anew what someone has changed: the IP header of header bytes; UDP, by the length that its
 * own field tells, if the frame of n bytes holds as much. */
void frame_sum_ip(uint8_t *f, size_t header);
void frame_sum_udp(uint8_t *f, size_t n);
/* The part of it that is left to a device: the pseudo header's sum. */
void frame_part_sum_udp(uint8_t *f);
/* to_mac NULL: to all. */
size_t frame_arp(uint8_t *f, unsigned op, const uint8_t *from_mac, uint32_t from,
                 const uint8_t *to_mac, uint32_t to);

enum frame_kind {
    FRAME_UDP,      /* whole, and its checksums are right */
    FRAME_ARP,      /* a well-formed request or reply for IPv4 over Ethernet */
    FRAME_OTHER,    /* of another protocol */
    FRAME_FRAGMENT, /* a part of an IP packet */
    FRAME_SHORT,    /* its lengths contradict each other, or it ends early */
    FRAME_IP_SUM,   /* wrong checksum */
    FRAME_UDP_SUM,  /* the same */
    NR_FRAME_KINDS,
};
extern const char *const frame_kind_names[NR_FRAME_KINDS];

struct frame {
    const uint8_t *from_mac, *to_mac;
    uint32_t from, to; /* of ARP: the sender's and the target's protocol addresses */
    uint16_t from_port, to_port;
    uint16_t op;            /* ARP */
    const uint8_t *payload; /* UDP */
    size_t len;
};

enum frame_kind frame_parse(const uint8_t *f, size_t n, struct frame *out);
