/*
 * A histogram with a high dynamic range: every value of 64 bits falls into a bucket narrower than a
 * thousandth of it (three significant digits), and two histograms merge by adding counts. Values
 * below 2048 have a bucket each; each octave above has 1024.
 *     index(v) = v                                           v < 2048
 *              = 1024 * (e + 1) + ((v >> e) - 1024)          e = bit_length(v) - 11
 * The format in results is this index with its count; see docs/load.md. Pure.
 */
#pragma once

#include <stdint.h>

enum {
    HIST_SUB = 1024, /* buckets an octave */
    HIST_LEN = HIST_SUB * (64 - 11 + 2),
};

struct hist {
    uint64_t n, min, max, sum;
    uint64_t *count; /* HIST_LEN of them; untouched pages cost nothing */
};

void hist_init(struct hist *h);
void hist_free(struct hist *h);
unsigned hist_index(uint64_t value);
/* The middle of the bucket. */
uint64_t hist_value(unsigned index);
void hist_add(struct hist *h, uint64_t value);
void hist_merge(struct hist *into, const struct hist *from);
/* The value that at least q (0..1) of all values do not exceed, to three digits; 0 if there are
 * none. Never outside of what was recorded. */
uint64_t hist_quantile(const struct hist *h, double q);
