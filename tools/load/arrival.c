/* See arrival.h. */
#include "arrival.h"

/* Keeps the numbers drawn for arrivals apart from those drawn for keys with the same seed. */
#define ARRIVAL_STREAM 0x41525249564c0000

void arrival_init(struct arrival *a, bool poisson, double rate, unsigned stream, unsigned streams,
                  uint64_t seed)
{
    *a = (struct arrival){.poisson = poisson, .gap = 1e9 * streams / rate};
    a->offset = 1e9 * stream / rate;
    rng_seed(&a->rng, seed, ARRIVAL_STREAM + stream);
}

uint64_t arrival_next(struct arrival *a)
{
    if (!a->poisson) /* a product, not a sum: no error builds up */
        return a->offset + a->gap * (double)a->n++;
    a->at += a->gap * rng_exponential(&a->rng);
    return a->at;
}
