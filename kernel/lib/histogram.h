/*
 * Counts of durations by powers of two: one "count leading zeroes" and an increment each. Pure,
 * inline; shown by fs/metrics.h.
 */
#pragma once

#include "lib/base.h"

#define HISTOGRAM_BUCKETS                                                                          \
    40u /* in nanoseconds: up to nine minutes; what is longer is in the last */

struct histogram {
    uint64_t bucket[HISTOGRAM_BUCKETS]; /* [i]: values of 2^i to 2^(i+1) - 1; [0]: 0, too */
    uint64_t sum;
};

static inline void histogram_add(struct histogram *h, uint64_t value)
{
    unsigned b = 63 - (unsigned)__builtin_clzll(value | 1);

    h->bucket[MIN(b, HISTOGRAM_BUCKETS - 1)]++;
    h->sum += value;
}
