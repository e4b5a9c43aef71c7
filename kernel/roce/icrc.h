/*
 * The invariant CRC at the end of a RoCEv2 packet (IBTA vol. 1 §7.8.1, annex A17.3.3): CRC-32 as
 * Ethernet's, over eight bytes of ones in the place of a local route header, the IP header, UDP,
 * the transport's headers, payload and pad. What routers may change counts as ones: TOS, TTL, the
 * checksums of IP and UDP, and the BTH's fifth byte. It is little-endian on the wire.
 *
 * Called by the requester's driver, the memory node and the tests; calls nothing, keeps nothing but
 * the choice of the implementation. roce_crc_init() comes first, once.
 *
 *     crc = roce_icrc_head(ip, bytes from the IP header to the payload);
 *     crc = roce_crc(crc, payload, len);        or   roce_crc_copy(crc, dst, payload, len)
 *     crc = roce_crc(crc, zeros, pad);
 *     roce_icrc_put(end, crc);                  or   if (roce_icrc_get(end) == roce_icrc(crc)) ...
 *
 * What holds:
 *  - A crc in between is the bare remainder (not inverted), so that pieces of any length follow
 * each other: roce_crc(roce_crc(s, a, n), a + n, m) == roce_crc(s, a, n + m). That also makes it
 * the general CRC-32: zlib's crc32(0, p, n) is ~roce_crc(~0u, p, n).
 *  - Any alignment, any length, 0 too. The copying variant's areas do not overlap. It reads each
 *    byte of the source once: what it copied is what it summed, even while somebody writes to it.
 *  - The result is the same by all implementations.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct roce_crc_impl {
    const char *name;
    uint32_t (*update)(uint32_t crc, const void *p, size_t n);
    uint32_t (*copy)(uint32_t crc, void *restrict dst, const void *restrict src, size_t n);
    bool (*usable)(void); /* on this CPU; NULL: on any */
};

/* "slice16", "sparse", "pclmul". */
extern const struct roce_crc_impl *const roce_crc_impls[];
extern const unsigned roce_crc_nimpls;
/* The one in use. */
extern const struct roce_crc_impl *roce_crc_used;

/* Makes the tables; slice16 is in use then. */
void roce_crc_init(void);
/* Times each usable implementation on 4 KiB by the clock (any unit; a higher reading is later) and
 * uses the fastest. About a hundred passes over 4 KiB each. */
void roce_crc_choose(uint64_t (*clock)(void));

static inline uint32_t roce_crc(uint32_t crc, const void *p, size_t n)
{
    return roce_crc_used->update(crc, p, n);
}

static inline uint32_t roce_crc_copy(uint32_t crc, void *restrict dst, const void *restrict src,
                                     size_t n)
{
    return roce_crc_used->copy(crc, dst, src, n);
}

/* The remainder after the eight bytes of ones, IPv4 (without options), UDP, and the n - 28 bytes of
 * the transport's headers that follow at ip: at least the BTH's 12. */
uint32_t roce_icrc_head(const uint8_t *ip, size_t n);

/* The value of the field. */
static inline uint32_t roce_icrc(uint32_t crc)
{
    return ~crc;
}

static inline void roce_icrc_put(uint8_t *p, uint32_t crc)
{
    uint32_t v = roce_icrc(crc);

    __builtin_memcpy(p, &v, sizeof(v));
}

static inline uint32_t roce_icrc_get(const uint8_t *p)
{
    uint32_t v;

    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

/* Of a transport that lies in one piece, from bth on, behind its IP and UDP headers: is the ICRC
 * right? len as in struct roce_frame, ROCE_TRANSPORT_MIN at least. */
bool roce_icrc_good(const uint8_t *ip, size_t transport_len);
/* Writes it: the last four bytes of the transport. */
void roce_icrc_set(uint8_t *ip, size_t transport_len);
