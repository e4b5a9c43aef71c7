/*
 * When requests are due in an open loop, whatever answers do. One stream a thread; together the
 * streams have the asked rate: constant ones are shifted so that their union is evenly spaced,
 * Poisson ones are independent, and independent Poisson processes add up to one. Pure.
 */
#pragma once

#include "rng.h"

#include <stdbool.h>
#include <stdint.h>

struct arrival {
    bool poisson;
    struct rng rng;
    double gap;    /* mean distance in ns within this stream */
    double offset; /* of the first, in ns */
    double at;     /* Poisson: the last one's time */
    uint64_t n;
};

/* Stream number of streams that offer rate requests a second together. */
void arrival_init(struct arrival *a, bool poisson, double rate, unsigned stream, unsigned streams,
                  uint64_t seed);
/* The next request's time in ns since the start. */
uint64_t arrival_next(struct arrival *a);
