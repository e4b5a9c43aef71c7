/*
 * Random numbers of the load generator: xoshiro256** (Blackman and Vigna), seeded by splitmix64, so
 * that a run with the same seed offers the same requests at the same times on every machine.
 * Pure; used by arrivals, keys, workloads and the null server's delays.
 */
#pragma once

#include <math.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

/* Also a good mixing function of one number. */
static inline uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Streams of one seed are independent of each other. */
static inline void rng_seed(struct rng *r, uint64_t seed, uint64_t stream)
{
    uint64_t state = seed;

    state = splitmix64(&state) ^ stream * 0xd1342543de82ef95;
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix64(&state);
}

static inline uint64_t rng_next(struct rng *r)
{
    uint64_t *s = r->s, x = s[1] * 5, result = (x << 7 | x >> 57) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return result;
}

/* 0 <= result < n; the bias is below n / 2^64. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
    return (unsigned __int128)rng_next(r) * n >> 64;
}

/* 0 <= result < 1 */
static inline double rng_unit(struct rng *r)
{
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}

/* Exponential with mean 1. */
static inline double rng_exponential(struct rng *r)
{
    return -log1p(-rng_unit(r));
}
