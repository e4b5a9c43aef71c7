/* Chance for unit tests, the same in every run: xorshift64 (G. Marsaglia, JSS 8(14), 2003). */
#pragma once

#include <stddef.h>
#include <stdint.h>

static uint64_t seed = 88172645463325252ull;

/* 0 to n - 1. */
static inline uint32_t below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 32) * n >> 32);
}

static inline void fill(void *to, size_t n)
{
    uint8_t *p = to;

    while (n-- > 0)
        *p++ = (uint8_t)below(256);
}
