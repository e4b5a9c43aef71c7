/* See keys.h. */
#include "keys.h"

#include <math.h>

/* The integral of x^-theta, and its inverse. */
static double h_integral(double x)
{
    return (pow(x, 1 - ZIPF_THETA) - 1) / (1 - ZIPF_THETA);
}

static double h_inverse(double y)
{
    return pow(1 + y * (1 - ZIPF_THETA), 1 / (1 - ZIPF_THETA));
}

void zipf_init(struct zipf *z, uint64_t n)
{
    z->n = n;
    z->h_x1 = h_integral(1.5) - 1;
    z->h_n = h_integral((double)n + 0.5);
    z->s = 2 - h_inverse(h_integral(2.5) - pow(2, -ZIPF_THETA));
}

uint64_t zipf_next(const struct zipf *z, struct rng *r)
{
    for (;;) {
        double u = z->h_n + rng_unit(r) * (z->h_x1 - z->h_n), x = h_inverse(u), k = floor(x + 0.5);

        if (k < 1)
            k = 1;
        else if (k > (double)z->n)
            k = z->n;
        if (k - x <= z->s || u >= h_integral(k + 0.5) - pow(k, -ZIPF_THETA))
            return k;
    }
}

uint64_t keys_hash(uint64_t v)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (int i = 0; i < 8; i++, v >>= 8) {
        hash ^= v & 0xff;
        hash *= 1099511628211;
    }
    return hash;
}

void keys_init(struct keys *k, enum key_dist dist, uint64_t n)
{
    k->dist = dist;
    zipf_init(&k->zipf, dist == KEYS_ZIPFIAN ? ZIPF_YCSB_ITEMS : n);
}

uint64_t keys_next(struct keys *k, struct rng *r, uint64_t n)
{
    switch (k->dist) {
    case KEYS_ZIPFIAN:
        return keys_hash(zipf_next(&k->zipf, r)) % n;
    case KEYS_LATEST:
        if (k->zipf.n != n)
            zipf_init(&k->zipf, n);
        return n - zipf_next(&k->zipf, r);
    case KEYS_UNIFORM:
        break;
    }
    return rng_below(r, n);
}
