/*
 * Answers to UDP over IPv4 made in the frame that asked, for users of <wherry/netdev.h>. Pure.
 * Formats: IEEE 802.3, RFC 791, RFC 768.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <wherry/netdev.h>
#include <wherry/words.h>

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

/* Octets 0 to 5 of an IP header, TOS 0 and id 0, and the UDP length. */
static const uint64_t wherry_reply[2] = {
    (1ull << 32) + 1,
    (0x45ull << 56) + ((WHERRY_IP_HLEN + WHERRY_UDP_HLEN + 0ull) << 32) + WHERRY_UDP_HLEN};

/*
 * The same, for an answer with other content: len bytes of it lie at wherry_udp_data() already, not
 * more than the block has room for. The IP header is made anew. The device makes the UDP checksum
 * if it can, else there is none, as RFC 768 allows.
 */
static inline void wherry_udp_answer(const struct wherry_netq *q, struct wherry_packet *p,
                                     size_t len)
{
    uint8_t *ip = p->data + WHERRY_ETH_HLEN, *udp = ip + WHERRY_IP_HLEN;
    uint64_t first;
    uint32_t sum, ip_sum, udp_len;

    if (len > WHERRY_BUF_ROOM - WHERRY_UDP_DATA)
        __builtin_unreachable();
    first = wherry_lengths(len, wherry_reply);
    udp_len = (uint32_t)(first >> 48);
    wherry_put64(ip, first);
    /* DF, since it is an atomic datagram (RFC 6864 §4), TTL and protocol. */
    wherry_put32(ip + 6, 0x40u | WHERRY_TTL << 16 | 17u << 24);
    /* The pseudo header's sum (RFC 768), in the upper half in the end. */
    __builtin_memcpy(&sum, ip + 12, 4);
    __asm__("addl %[to], %[sum]\n\t"
            "adcl %[len], %[sum]\n\t"
            "adcl $17 << 8, %[sum]\n\t"
            "adcl $0, %[sum]"
            : [sum] "+r"(sum)
            : [to] "m"(*(const uint32_t *)(ip + 16)), [len] "r"(udp_len)
            : "cc");
    sum += sum << 16 | sum >> 16;
    wherry_put32(udp + 4, udp_len | (sum & q->csum_mask));
    /* The IP header's is that and its other words. Octets swapped, 20 stays 20 (mod 65535): what
     * the IP length has more than the UDP length needs no swap of its own. */
    sum >>= 16;
    ip_sum = 0xffff - ((WHERRY_IP_HLEN << 8) + 0x45 + 0x40 + WHERRY_TTL);
    __asm__("subl %[sum], %[ip_sum]\n\t"
            "sbbl $0, %[ip_sum]"
            : [ip_sum] "+r"(ip_sum)
            : [sum] "r"(sum)
            : "cc");
    wherry_put16(ip + 10, (uint16_t)ip_sum);
    wherry_udp_turn(q, p);
    p->len = (uint16_t)(len + WHERRY_UDP_DATA);
    p->flags = q->tx_csum;
}
