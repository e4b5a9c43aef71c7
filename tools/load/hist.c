/* See hist.h. */
#define _GNU_SOURCE
#include "hist.h"

#include "../util.h"

#include <math.h>
#include <stdlib.h>

void hist_init(struct hist *h)
{
    *h = (struct hist){.min = UINT64_MAX, .count = xcalloc(HIST_LEN, sizeof(h->count[0]))};
}

void hist_free(struct hist *h)
{
    free(h->count);
    h->count = NULL;
}

unsigned hist_index(uint64_t v)
{
    unsigned e;

    if (v < 2 * HIST_SUB)
        return v;
    e = 64 - __builtin_clzll(v) - 11;
    return HIST_SUB * (e + 1) + ((v >> e) - HIST_SUB);
}

uint64_t hist_value(unsigned i)
{
    unsigned e;

    if (i < 2 * HIST_SUB)
        return i;
    e = i / HIST_SUB - 1;
    return ((uint64_t)(HIST_SUB + i % HIST_SUB) << e) + (UINT64_C(1) << e) / 2;
}

void hist_add(struct hist *h, uint64_t v)
{
    h->count[hist_index(v)]++;
    h->n++;
    h->sum += v;
    if (v < h->min)
        h->min = v;
    if (v > h->max)
        h->max = v;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    if (from->n == 0)
        return;
    for (unsigned i = hist_index(from->min), end = hist_index(from->max); i <= end; i++)
        into->count[i] += from->count[i];
    into->n += from->n;
    into->sum += from->sum;
    if (from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t hist_quantile(const struct hist *h, double q)
{
    uint64_t rank = ceil(q * h->n), seen = 0, v;

    if (h->n == 0)
        return 0;
    if (rank < 1)
        rank = 1;
    for (unsigned i = hist_index(h->min);; i++) {
        seen += h->count[i];
        if (seen < rank && i < HIST_LEN - 1)
            continue;
        v = hist_value(i);
        return v < h->min ? h->min : v > h->max ? h->max : v;
    }
}
