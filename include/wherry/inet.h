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

/* Sends a packet that was steered to q back where it came from: addresses and ports change sides,
 * checksums still hold. */
static inline void wherry_udp_turn(const struct wherry_netq *q, struct wherry_packet *p)
{
    uint8_t *f = p->data, *ends = f + WHERRY_ETH_HLEN + 12;
    uint64_t mac, ips;
    uint32_t ports;

    __builtin_memcpy(&mac, f + 6, 8);
    __builtin_memcpy(&ips, ends, 8);
    __builtin_memcpy(&ports, ends + 8, 4);
    ips = ips << 32 | ips >> 32;
    ports = ports << 16 | ports >> 16;
    __builtin_memcpy(f, &mac, 8); /* the last two are written over */
    __builtin_memcpy(f + 6, &q->from, 8);
    __builtin_memcpy(ends, &ips, 8);
    __builtin_memcpy(ends + 8, &ports, 4);
    p->csum_start = WHERRY_ETH_HLEN + WHERRY_IP_HLEN;
    p->csum_off = WHERRY_UDP_CSUM;
}

/*
 * The same, for an answer with other content: len bytes of it lie at wherry_udp_data() already. The
 * IP header is made anew. The device makes the UDP checksum if it can, else there is none, as RFC
 * 768 allows.
 */
static inline void wherry_udp_answer(const struct wherry_netq *q, struct wherry_packet *p,
                                     unsigned len)
{
    /* The IP header's first word with TOS 0, an atomic datagram (RFC 6864 §4), TTL and protocol. */
    const uint32_t id_frag = 0x40u << 16, ttl_proto = WHERRY_TTL | 17u << 8;
    uint8_t *ip = p->data + WHERRY_ETH_HLEN, *udp = ip + WHERRY_IP_HLEN;
    uint16_t udp_len = __builtin_bswap16((uint16_t)(len + WHERRY_UDP_HLEN));
    uint16_t ip_len = __builtin_bswap16((uint16_t)(len + WHERRY_UDP_HLEN + WHERRY_IP_HLEN));
    uint64_t ips, sum, first = 0x45 | (uint64_t)ip_len << 16 | (uint64_t)id_frag << 32;
    uint32_t s, second = udp_len;

    __builtin_memcpy(&ips, ip + 12, 8);
    wherry_udp_turn(q, p);
    /* The pseudo header's sum in the upper half of s. Octets swapped, 20 stays 20 (mod 65535):
     * what the IP length has more than the UDP length needs no swap of its own. */
    if (__builtin_add_overflow(ips, (uint64_t)udp_len + (17u << 8), &sum))
        sum++;
    sum += sum << 32 | sum >> 32;
    s = (uint32_t)(sum >> 32);
    s += s << 16 | s >> 16;
    second |= s & q->csum_mask;
    s >>= 16;
    s += (WHERRY_IP_HLEN << 8) + 0x45 + 0x40 + WHERRY_TTL;
    s = (s & 0xffff) + (s >> 16);
    s = (~s & 0xffff) << 16 | ttl_proto;
    __builtin_memcpy(ip, &first, 8);
    __builtin_memcpy(ip + 8, &s, 4);
    __builtin_memcpy(udp + 4, &second, 4);
    p->len = (uint16_t)(len + WHERRY_UDP_DATA);
    p->flags = (uint8_t)q->tx_csum;
}
