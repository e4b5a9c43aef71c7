/*
 * Answers to UDP over IPv4 made in the frame that asked, for users of <wherry/netdev.h>. Pure.
 * Formats: IEEE 802.3, RFC 791, RFC 768.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <wherry/netdev.h>

#define WHERRY_ETH_HLEN 14u
#define WHERRY_IP_HLEN  20u
#define WHERRY_UDP_HLEN 8u
#define WHERRY_UDP_CSUM 6u /* of the checksum in the UDP header */
#define WHERRY_UDP_DATA (WHERRY_ETH_HLEN + WHERRY_IP_HLEN + WHERRY_UDP_HLEN)
#define WHERRY_TTL      64u

/* What a steered queue's packet carries. */
static inline uint8_t *wherry_udp_data(const struct wherry_packet *p)
{
    return p->data + WHERRY_UDP_DATA;
}

static inline unsigned wherry_udp_len(const struct wherry_packet *p)
{
    return p->len - WHERRY_UDP_DATA;
}

/* A sum of 32-bit words folded to 16 bits with its carries (RFC 1071 §2). */
static inline uint16_t wherry_csum_fold(uint64_t s)
{
    uint32_t t;

    s += s << 32 | s >> 32;
    t = (uint32_t)(s >> 32);
    t += t << 16 | t >> 16;
    return (uint16_t)(t >> 16);
}

/* Ethernet addresses, IP addresses and ports of a steered packet change sides; checksums still
 * hold. */
static inline void wherry_udp_turn(struct wherry_packet *p)
{
    uint8_t *f = p->data;
    uint64_t a, ips, mac = 0xffffffffffffull;
    uint32_t b, ports;

    __builtin_memcpy(&a, f, 8); /* destination, two bytes of the source */
    __builtin_memcpy(&b, f + 8, 4);
    __builtin_memcpy(&ips, f + WHERRY_ETH_HLEN + 12, 8);
    __builtin_memcpy(&ports, f + WHERRY_ETH_HLEN + WHERRY_IP_HLEN, 4);
    ips = ips << 32 | ips >> 32;
    ports = ports << 16 | ports >> 16;
    __builtin_memcpy(f + WHERRY_ETH_HLEN + 12, &ips, 8);
    __builtin_memcpy(f + WHERRY_ETH_HLEN + WHERRY_IP_HLEN, &ports, 4);
    ips = a >> 48 | (uint64_t)b << 16 | a << 48;
    b = (uint32_t)((a & mac) >> 16);
    __builtin_memcpy(f, &ips, 8);
    __builtin_memcpy(f + 8, &b, 4);
    p->flags = p->flags & WHERRY_RX_PARTIAL ? WHERRY_TX_CSUM : 0;
    p->csum_start = WHERRY_ETH_HLEN + WHERRY_IP_HLEN;
    p->csum_off = WHERRY_UDP_CSUM;
}

/*
 * The same, for an answer with other content: len bytes of it lie at wherry_udp_data() already. The
 * headers are made anew; offload: the device makes the UDP checksum (wherry_netdev_info.tx_csum),
 * else there is none, as RFC 768 allows.
 */
static inline void wherry_udp_answer(struct wherry_packet *p, unsigned len, bool offload)
{
    uint8_t *ip = p->data + WHERRY_ETH_HLEN, *udp = ip + WHERRY_IP_HLEN;
    unsigned udp_len = len + WHERRY_UDP_HLEN, ip_len = udp_len + WHERRY_IP_HLEN;
    uint32_t w0 = 0x45u | (uint32_t)__builtin_bswap16((uint16_t)ip_len) << 16, w1;
    uint32_t w2 = WHERRY_TTL | 17u << 8;
    uint16_t be_len = __builtin_bswap16((uint16_t)udp_len);
    uint32_t second;
    uint64_t ips;

    wherry_udp_turn(p);
    __builtin_memcpy(&w1, ip + 4, 4); /* identification and flags: the asker's will do */
    __builtin_memcpy(&ips, ip + 12, 8);
    ips = (ips & 0xffffffff) + (ips >> 32);
    w2 |= (uint32_t)(uint16_t)~wherry_csum_fold(ips + w0 + w1 + w2) << 16;
    __builtin_memcpy(ip, &w0, 4);
    __builtin_memcpy(ip + 8, &w2, 4);
    second = be_len;
    if (offload)
        second |= (uint32_t)wherry_csum_fold(ips + (17u << 8) + be_len) << 16;
    __builtin_memcpy(udp + 4, &second, 4);
    p->len = (uint16_t)(ip_len + WHERRY_ETH_HLEN);
    p->flags = offload ? WHERRY_TX_CSUM : 0;
}
