/*
 * RoCEv2 on the wire: the formats of a reliable connection's packets, for both sides of it. The
 * requester (kernel/roce), the memory node (tools/memnode) and the tests include this; it includes
 * nothing of ours. Pure inline functions on byte arrays of any alignment: no memory, no I/O, no
 * floating point, nothing kept.
 *
 *     Ethernet 14 | IPv4 20 | UDP 8 | BTH 12 | RETH 16 or AETH 4 or nothing | payload | pad 0-3 |
 *     ICRC 4
 *
 * InfiniBand Architecture Specification vol. 1 (IBTA): §9.2 BTH, §9.3 extended headers, §9.7
 * reliable service; its annex A17: RoCEv2. Numbers are big-endian, but for the ICRC (icrc.h).
 *
 * What holds:
 *  - "Transport" below is what UDP carries, from the BTH to the ICRC. roce_parse() takes that
 * alone, for those who have a UDP socket; roce_frame_parse() finds it in an Ethernet frame.
 *  - A packet may lie in pieces (headers in one, the payload in a page of its own): the parsers
 * take how many bytes can be read and how long the whole is, and look at headers only.
 *    ROCE_HEAD_BYTES to be read are enough for any packet.
 *  - What a parser accepts has lengths that add up: headers, payload_len, pad and ICRC are exactly
 *    the transport's length. Payload lengths against the MTU, the opcode's place in a message, the
 *    ICRC and whose QP it is are the caller's to check.
 *  - Opcodes that are not RC's or that we do not speak (SEND, atomics, other services) are accepted
 *    with nothing but the BTH looked at and extension ROCE_EXT_UNKNOWN, so that a responder can
 *    answer them by ROCE_NAK_INVALID.
 *  - Builders write every byte of their header. IPv4 goes out with DF, identification 0 and no
 *    options: the receiver of a datagram from a socket, who does not see the IP header, can so make
 *    it up again for the ICRC (which covers the identification). Others, rdma_rxe among them, set
 *    an identification: whoever talks to those needs the frame.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "numbers are swapped to the wire's order");

enum {
    ROCE_UDP_PORT = 4791,
    ROCE_ETH = 14,
    ROCE_IP4 = 20,
    ROCE_UDP = 8,
    ROCE_FRONT = ROCE_ETH + ROCE_IP4 + ROCE_UDP, /* before the transport */
    ROCE_BTH = 12,
    ROCE_RETH = 16,
    ROCE_AETH = 4,
    ROCE_ICRC = 4,
    ROCE_TRANSPORT_MIN = ROCE_BTH + ROCE_ICRC,
    ROCE_TRANSPORT_HEAD = ROCE_BTH + ROCE_RETH, /* the longest we speak */
    ROCE_HEAD_BYTES = ROCE_FRONT + ROCE_TRANSPORT_HEAD,
    ROCE_PKEY = 0xffff, /* the default partition, the only one */
    ROCE_ETHERTYPE_IP4 = 0x0800,
    ROCE_IP_UDP = 17,
};

/* BTH opcodes of the reliable connection (IBTA §9.2). */
enum roce_opcode {
    ROCE_SEND_FIRST = 0x00, /* to 0x05: SEND, which we do not speak */
    ROCE_WRITE_FIRST = 0x06,
    ROCE_WRITE_MIDDLE = 0x07,
    ROCE_WRITE_LAST = 0x08,
    ROCE_WRITE_LAST_IMM = 0x09,
    ROCE_WRITE_ONLY = 0x0a,
    ROCE_WRITE_ONLY_IMM = 0x0b,
    ROCE_READ_REQUEST = 0x0c,
    ROCE_READ_FIRST = 0x0d, /* responses, from here on */
    ROCE_READ_MIDDLE = 0x0e,
    ROCE_READ_LAST = 0x0f,
    ROCE_READ_ONLY = 0x10,
    ROCE_ACKNOWLEDGE = 0x11,
    ROCE_CNP = 0x81, /* congestion notification: BTH, 16 reserved bytes (annex A17.9) */
};

/* What follows the BTH. */
enum roce_ext { ROCE_EXT_NONE, ROCE_EXT_RETH, ROCE_EXT_AETH, ROCE_EXT_UNKNOWN };

static inline enum roce_ext roce_extension(uint8_t opcode)
{
    switch (opcode) {
    case ROCE_WRITE_FIRST:
    case ROCE_WRITE_ONLY:
    case ROCE_READ_REQUEST:
        return ROCE_EXT_RETH;
    case ROCE_READ_FIRST:
    case ROCE_READ_LAST:
    case ROCE_READ_ONLY:
    case ROCE_ACKNOWLEDGE:
        return ROCE_EXT_AETH;
    case ROCE_WRITE_MIDDLE:
    case ROCE_WRITE_LAST:
    case ROCE_READ_MIDDLE:
        return ROCE_EXT_NONE;
    default:
        return ROCE_EXT_UNKNOWN;
    }
}

static inline unsigned roce_extension_bytes(enum roce_ext e)
{
    return e == ROCE_EXT_RETH ? ROCE_RETH : e == ROCE_EXT_AETH ? ROCE_AETH : 0;
}

/* ---- packet sequence numbers: 24 bits that wrap (IBTA §9.7.2) ---- */

#define ROCE_PSN_MASK 0xffffffu

static inline uint32_t roce_psn_add(uint32_t psn, uint32_t n)
{
    return (psn + n) & ROCE_PSN_MASK;
}

/* a - b, -2^23 to 2^23 - 1: right as long as they are nearer to each other than half of all. */
static inline int32_t roce_psn_diff(uint32_t a, uint32_t b)
{
    return (int32_t)((a - b) << 8) >> 8;
}

/* PSNs that a message of len bytes takes: as many as packets, and one if it is empty. */
static inline uint32_t roce_packets(uint32_t len, uint32_t mtu)
{
    return len == 0 ? 1 : (uint32_t)(((uint64_t)len + mtu - 1) / mtu);
}

static inline unsigned roce_pad(uint32_t payload_len)
{
    return -payload_len & 3;
}

/* ---- path MTU (as verbs number it): payload bytes of a full packet ---- */

#define ROCE_MTU_MIN 256u
#define ROCE_MTU_MAX 4096u

enum roce_mtu { ROCE_MTU_256 = 1, ROCE_MTU_512, ROCE_MTU_1024, ROCE_MTU_2048, ROCE_MTU_4096 };

/* 0: no such code. */
static inline uint32_t roce_mtu_bytes(unsigned code)
{
    return code >= ROCE_MTU_256 && code <= ROCE_MTU_4096 ? 128u << code : 0;
}

/* 0: not one of the five. */
static inline unsigned roce_mtu_code(uint32_t bytes)
{
    for (unsigned c = ROCE_MTU_256; c <= ROCE_MTU_4096; c++)
        if (128u << c == bytes)
            return c;
    return 0;
}

/* ---- syndromes of the AETH (IBTA §9.3.5, §9.7.5.2) ---- */

enum roce_syndrome {
    ROCE_ACK = 0x1f,           /* acknowledged; no credits are counted */
    ROCE_NAK_SEQUENCE = 0x60,  /* a PSN is missing: the packet's own is expected */
    ROCE_NAK_INVALID = 0x61,   /* the request makes no sense, or is not supported */
    ROCE_NAK_ACCESS = 0x62,    /* no such key, or not that range */
    ROCE_NAK_OPERATION = 0x63, /* the responder has failed */
};

enum roce_ack_kind { ROCE_KIND_ACK, ROCE_KIND_RNR, ROCE_KIND_NAK, ROCE_KIND_RESERVED };

static inline enum roce_ack_kind roce_ack_kind(uint8_t syndrome)
{
    switch (syndrome >> 5) {
    case 0:
        return ROCE_KIND_ACK; /* any number of credits */
    case 1:
        return ROCE_KIND_RNR;
    case 3:
        return syndrome <= ROCE_NAK_OPERATION ? ROCE_KIND_NAK : ROCE_KIND_RESERVED;
    default:
        return ROCE_KIND_RESERVED;
    }
}

/* "Receiver not ready", to be tried again after roce_rnr_ns(timer). */
static inline uint8_t roce_rnr(unsigned timer)
{
    return (uint8_t)(0x20 | (timer & 0x1f));
}

/* IBTA §9.7.5.2.8: 655.36 ms for 0, else .01 ms times 1, 2, 3, 4, 6, 8, 12, 16...: from 2
 * on alternately a power of two and one and a half times that. */
static inline uint64_t roce_rnr_ns(uint8_t syndrome)
{
    unsigned t = syndrome & 0x1f;
    uint64_t unit = 10000;

    if (t == 0)
        return 65536 * unit;
    if (t == 1)
        return unit;
    return (t & 1 ? 3ull << (t / 2 - 1) : 1ull << t / 2) * unit;
}

/* ---- bytes ---- */

static inline uint16_t roce_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t roce_get24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint32_t roce_get32(const uint8_t *p)
{
    uint32_t v;

    __builtin_memcpy(&v, p, sizeof(v));
    return __builtin_bswap32(v);
}

static inline uint64_t roce_get64(const uint8_t *p)
{
    uint64_t v;

    __builtin_memcpy(&v, p, sizeof(v));
    return __builtin_bswap64(v);
}

static inline void roce_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void roce_put32(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    __builtin_memcpy(p, &v, sizeof(v));
}

static inline void roce_put64(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    __builtin_memcpy(p, &v, sizeof(v));
}

/* ---- the transport's headers ---- */

struct roce_packet {
    uint8_t opcode;
    uint8_t pad;     /* bytes after the payload */
    uint8_t version; /* of the transport: 0 in all that is accepted */
    bool ack_req, solicited, fecn, becn;
    uint16_t pkey;
    uint32_t qpn; /* of the destination */
    uint32_t psn;
    enum roce_ext ext;
    struct { /* with ROCE_EXT_RETH */
        uint64_t va;
        uint32_t rkey, len;
    } reth;
    struct { /* with ROCE_EXT_AETH */
        uint8_t syndrome;
        uint32_t msn;
    } aeth;
    uint32_t head_len;    /* from the BTH to the payload */
    uint32_t payload_len; /* without the pad; ROCE_EXT_UNKNOWN: other headers are in it */
};

/* Reads the headers at bth, of which `have` bytes can be read, of a transport of `len` bytes,
 * ICRC and all. False: too short, or of another version. */
static inline bool roce_parse(struct roce_packet *p, const uint8_t *bth, size_t have, size_t len)
{
    size_t rest;

    if (have > len)
        have = len;
    if (len < ROCE_TRANSPORT_MIN || have < ROCE_BTH)
        return false;
    p->opcode = bth[0];
    p->solicited = bth[1] >> 7;
    p->pad = bth[1] >> 4 & 3;
    p->version = bth[1] & 15;
    p->pkey = roce_get16(bth + 2);
    p->fecn = bth[4] >> 7;
    p->becn = bth[4] >> 6 & 1;
    p->qpn = roce_get24(bth + 5);
    p->ack_req = bth[8] >> 7;
    p->psn = roce_get24(bth + 9);
    p->ext = roce_extension(p->opcode);
    p->head_len = ROCE_BTH + roce_extension_bytes(p->ext);
    rest = p->head_len + ROCE_ICRC + p->pad;
    if (p->version != 0 || have < p->head_len || len < rest || len - rest > UINT16_MAX)
        return false;
    p->payload_len = (uint32_t)(len - rest);
    p->reth.va = 0;
    p->reth.rkey = p->reth.len = p->aeth.msn = 0;
    p->aeth.syndrome = 0;
    if (p->ext == ROCE_EXT_RETH) {
        p->reth.va = roce_get64(bth + ROCE_BTH);
        p->reth.rkey = roce_get32(bth + ROCE_BTH + 8);
        p->reth.len = roce_get32(bth + ROCE_BTH + 12);
    } else if (p->ext == ROCE_EXT_AETH) {
        p->aeth.syndrome = bth[ROCE_BTH];
        p->aeth.msn = roce_get24(bth + ROCE_BTH + 1);
    }
    return true;
}

/* Each builder returns the length of the header it wrote. The solicited bit is 0, the migration bit
 * 1 (migrated, what all without path migration send), the partition the default one. */
static inline unsigned roce_build_bth(uint8_t *p, uint8_t opcode, unsigned pad, uint32_t qpn,
                                      bool ack_req, uint32_t psn)
{
    p[0] = opcode;
    p[1] = (uint8_t)(0x40 | (pad & 3) << 4);
    roce_put16(p + 2, ROCE_PKEY);
    roce_put32(p + 4, qpn & 0xffffff);
    roce_put32(p + 8, (uint32_t)ack_req << 31 | (psn & ROCE_PSN_MASK));
    return ROCE_BTH;
}

static inline unsigned roce_build_reth(uint8_t *p, uint64_t va, uint32_t rkey, uint32_t len)
{
    roce_put64(p, va);
    roce_put32(p + 8, rkey);
    roce_put32(p + 12, len);
    return ROCE_RETH;
}

static inline unsigned roce_build_aeth(uint8_t *p, uint8_t syndrome, uint32_t msn)
{
    roce_put32(p, (uint32_t)syndrome << 24 | (msn & 0xffffff));
    return ROCE_AETH;
}

/* ---- what is in front of it ---- */

/* From one end to the other; addresses in host order. */
struct roce_path {
    uint8_t src_mac[6], dst_mac[6];
    uint32_t src_ip, dst_ip;
    uint16_t src_port; /* any, the same for a QP: what a switch spreads flows by */
    uint8_t tos, ttl;
};

static inline uint16_t roce_ip_checksum(const uint8_t *ip)
{
    uint32_t s = 0;

    for (unsigned i = 0; i < ROCE_IP4; i += 2)
        s += roce_get16(ip + i);
    s = (s & 0xffff) + (s >> 16);
    s = (s & 0xffff) + (s >> 16);
    return (uint16_t)~s;
}

/* IPv4 and UDP before a transport of len bytes. The UDP checksum is 0, as annex A17 allows. */
static inline unsigned roce_build_ip_udp(uint8_t *ip, const struct roce_path *path, size_t len)
{
    uint8_t *udp = ip + ROCE_IP4;

    ip[0] = 0x45;
    ip[1] = path->tos;
    roce_put16(ip + 2, (uint16_t)(ROCE_IP4 + ROCE_UDP + len));
    roce_put16(ip + 4, 0);      /* identification: RFC 6864 §4.1 leaves it free with DF */
    roce_put16(ip + 6, 0x4000); /* DF */
    ip[8] = path->ttl;
    ip[9] = ROCE_IP_UDP;
    roce_put16(ip + 10, 0);
    roce_put32(ip + 12, path->src_ip);
    roce_put32(ip + 16, path->dst_ip);
    roce_put16(ip + 10, roce_ip_checksum(ip));
    roce_put16(udp, path->src_port);
    roce_put16(udp + 2, ROCE_UDP_PORT);
    roce_put16(udp + 4, (uint16_t)(ROCE_UDP + len));
    roce_put16(udp + 6, 0);
    return ROCE_IP4 + ROCE_UDP;
}

/* Everything before a transport of len bytes: ROCE_FRONT bytes. */
static inline unsigned roce_build_front(uint8_t *frame, const struct roce_path *path, size_t len)
{
    __builtin_memcpy(frame, path->dst_mac, 6);
    __builtin_memcpy(frame + 6, path->src_mac, 6);
    roce_put16(frame + 12, ROCE_ETHERTYPE_IP4);
    return ROCE_ETH + roce_build_ip_udp(frame + ROCE_ETH, path, len);
}

struct roce_frame {
    struct roce_path path; /* as the sender sees it */
    const uint8_t *ip, *bth;
    size_t len;  /* of the transport */
    size_t have; /* of that, bytes to be read at bth */
};

/* Finds the transport in an Ethernet frame of len bytes, the first `have` of which can be read.
 * False: not RoCEv2 over IPv4, a fragment, IP options, a wrong IP checksum, or too short. The frame
 * may be longer than the packet (Ethernet's padding). */
static inline bool roce_frame_parse(struct roce_frame *f, const uint8_t *frame, size_t have,
                                    size_t len)
{
    const uint8_t *ip = frame + ROCE_ETH, *udp = ip + ROCE_IP4;
    size_t total;

    if (have > len)
        have = len;
    if (have < ROCE_FRONT + ROCE_BTH || roce_get16(frame + 12) != ROCE_ETHERTYPE_IP4)
        return false;
    total = roce_get16(ip + 2);
    if (ip[0] != 0x45 || ip[9] != ROCE_IP_UDP || (roce_get16(ip + 6) & 0x3fff) != 0 ||
        total > len - ROCE_ETH || total < ROCE_IP4 + ROCE_UDP + ROCE_TRANSPORT_MIN)
        return false;
    if (roce_get16(udp + 2) != ROCE_UDP_PORT || roce_get16(udp + 4) != total - ROCE_IP4 ||
        roce_ip_checksum(ip) != 0)
        return false;
    __builtin_memcpy(f->path.dst_mac, frame, 6);
    __builtin_memcpy(f->path.src_mac, frame + 6, 6);
    f->path.src_ip = roce_get32(ip + 12);
    f->path.dst_ip = roce_get32(ip + 16);
    f->path.src_port = roce_get16(udp);
    f->path.tos = ip[1];
    f->path.ttl = ip[8];
    f->ip = ip;
    f->bth = udp + ROCE_UDP;
    f->len = total - ROCE_IP4 - ROCE_UDP;
    f->have = have - ROCE_FRONT < f->len ? have - ROCE_FRONT : f->len;
    return true;
}
