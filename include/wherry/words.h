/*
 * Words in packets: little-endian loads and stores at any address, each one instruction. For
 * <wherry/inet.h>, <wherry/burst.h>, and programs that look at packets. Pure.
 */
#pragma once

#include <stdint.h>

/* What is built into a loop: it is known what it does, and the loop keeps its state in registers,
 * only if all of it is one function. */
#define WHERRY_INLINE    static inline __attribute__((always_inline))
#define wherry_likely(x) __builtin_expect(!!(x), 1)

/* What such a loop calls seldom: it leaves the caller's registers alone, so that those need no
 * other place. Returns nothing. */
#ifdef __clang__
#define WHERRY_SELDOM __attribute__((noinline, preserve_most))
#else
#define WHERRY_SELDOM __attribute__((noinline))
#endif

WHERRY_INLINE uint16_t wherry_get16(const uint8_t *p)
{
    uint16_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

WHERRY_INLINE uint32_t wherry_get32(const uint8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

WHERRY_INLINE uint64_t wherry_get64(const uint8_t *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

WHERRY_INLINE void wherry_put16(uint8_t *p, uint16_t v)
{
    __builtin_memcpy(p, &v, sizeof(v));
}

WHERRY_INLINE void wherry_put32(uint8_t *p, uint32_t v)
{
    __builtin_memcpy(p, &v, sizeof(v));
}

WHERRY_INLINE void wherry_put64(uint8_t *p, uint64_t v)
{
    __builtin_memcpy(p, &v, sizeof(v));
}

/* Several sums of n and something, with big-endian fields between them: n * how[0] + how[1],
 * backwards. In assembly to have the constants where they need no registers. */
WHERRY_INLINE uint64_t wherry_lengths(uint64_t n, const uint64_t how[2])
{
    uint64_t v;

    __asm__("movq %[times], %[v]\n\t"
            "imulq %[n], %[v]\n\t"
            "addq %[plus], %[v]\n\t"
            "bswapq %[v]"
            : [v] "=&r"(v)
            : [n] "r"(n), [times] "m"(how[0]), [plus] "m"(how[1])
            : "cc");
    return v;
}
