/*
 * Which key a request is for.
 *   uniform   every key alike
 *   zipfian   as YCSB's ScrambledZipfianGenerator: rank k of 10^10 has probability ~ k^-0.99, the
 *             rank is hashed, so that popular keys lie anywhere
 *   latest    as YCSB's SkewedLatestGenerator: the k-th newest key has probability ~ k^-0.99
 * Ranks are drawn by rejection-inversion (Hörmann and Derflinger, 1996): exact for any number of
 * keys, with nothing to compute anew when it grows. Pure.
 */
#pragma once

#include "rng.h"

#include <stdint.h>

#define ZIPF_THETA      0.99
#define ZIPF_YCSB_ITEMS UINT64_C(10000000000)

enum key_dist { KEYS_UNIFORM, KEYS_ZIPFIAN, KEYS_LATEST };

struct zipf {
    uint64_t n;
    double h_x1, h_n, s;
};

void zipf_init(struct zipf *z, uint64_t n);
/* A rank from 1 (the most frequent) to n. */
uint64_t zipf_next(const struct zipf *z, struct rng *r);

struct keys {
    enum key_dist dist;
    struct zipf zipf;
};

void keys_init(struct keys *k, enum key_dist dist, uint64_t n);
/* A key in 0..n-1; n may grow between calls, but is never 0. */
uint64_t keys_next(struct keys *k, struct rng *r, uint64_t n);
/* YCSB's FNV-1 hash of a 64-bit number. */
uint64_t keys_hash(uint64_t v);
