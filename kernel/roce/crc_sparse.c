/*
 * CRC-32 without tables and without instructions of its own, for CPUs that multiply without carries
 * slowly or not at all, such as emulated ones: after S. Russell, "Chorba: A novel CRC32
 * implementation", 2024 (arXiv:2412.16398).
 *
 * To a message any multiple of the CRC's polynomial may be added. One with few terms,
 *
 *     x^(8*274) + x^(8*93) + x^(8*75) + x^(8*19) + x^(8*11) + 1,
 *
 * cancels a word in front by adding it at five places further on, whole bytes away: 181, 199, 255,
 * 263 and 274. What is left in the end, some 274 bytes, goes through the tables. It was found by
 * comparing sums of pairs and triples of x^(8*i); the nearest place is far enough for its word to
 * have been stored long before it is wanted.
 */
#include "roce/crc_impl.h"

#include "lib/base.h"

#define DEGREE  274u
#define BACK    ((DEGREE + 7) / 8 * 8)
#define PIECE   1024u
#define MIN_LEN 1024u

static inline uint64_t word(const uint8_t *p)
{
    uint64_t v;

    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

/* What earlier words add to the one at p. */
static inline uint64_t added(const uint8_t *p)
{
    return word(p - 181) ^ word(p - 199) ^ word(p - 255) ^ word(p - 263) ^ word(p - 274);
}

static __always_inline uint32_t sum(uint32_t crc, uint8_t *restrict dst,
                                    const uint8_t *restrict src, size_t n)
{
    size_t left = ALIGN_DOWN(n - DEGREE, 8); /* to be cancelled */
    uint64_t gone[(BACK + PIECE) / 8], first = crc;
    uint8_t *const w = (uint8_t *)gone, *const at = w + BACK, rest[BACK + 8];

    __builtin_memset(w, 0, BACK);
    n -= left;
    while (left > 0) {
        size_t m = MIN(left, PIECE);

#pragma GCC unroll 4
        for (size_t i = 0; i < m; i += 8) {
            uint64_t v = word(src + i);

            __asm__("" : "+r"(v)); /* not to be loaded again: the source may be changing */
            if (dst != NULL)
                __builtin_memcpy(dst + i, &v, 8);
            v ^= added(at + i) ^ first;
            first = 0;
            __builtin_memcpy(at + i, &v, 8);
        }
        __builtin_memmove(w, w + m, BACK);
        src += m;
        dst += dst != NULL ? m : 0;
        left -= m;
    }
    __builtin_memset(at, 0, BACK);
    if (dst != NULL)
        __builtin_memcpy(dst, src, n);
    src = dst != NULL ? dst : src;
    for (size_t i = 0; i + 8 <= n; i += 8) {
        uint64_t v = word(src + i) ^ added(at + i);

        __builtin_memcpy(rest + i, &v, 8);
    }
    for (size_t i = ALIGN_DOWN(n, 8); i < n; i++)
        rest[i] = src[i] ^ at[i - 181] ^ at[i - 199] ^ at[i - 255] ^ at[i - 263] ^ at[i - 274];
    return roce_crc_slice16.update(0, rest, n);
}

static uint32_t sparse_update(uint32_t crc, const void *p, size_t n)
{
    return n < MIN_LEN ? roce_crc_slice16.update(crc, p, n) : sum(crc, NULL, p, n);
}

static uint32_t sparse_copy(uint32_t crc, void *restrict dst, const void *restrict src, size_t n)
{
    return n < MIN_LEN ? roce_crc_slice16.copy(crc, dst, src, n) : sum(crc, dst, src, n);
}

const struct roce_crc_impl roce_crc_sparse = {"sparse", sparse_update, sparse_copy, NULL};
