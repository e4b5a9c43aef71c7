/*
 * How long the null server waits before an answer, and when it does nothing at all: known truths
 * that the generator's figures are checked against. Pure.
 */
#pragma once

#include "../util.h"
#include "rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum delay_kind { DELAY_NONE, DELAY_FIXED, DELAY_UNIFORM, DELAY_EXPONENTIAL, DELAY_TWO };

struct delay {
    enum delay_kind kind;
    double a, b, p; /* us; p: the share of b */
};

/* "fixed:US", "uniform:FROM-TO", "exp:MEAN", "two:A,B,SHARE-OF-B" */
bool delay_parse(struct delay *d, const char *s, struct why *w);
uint64_t delay_next(const struct delay *d, struct rng *r); /* ns */

struct stall {
    uint64_t at, end; /* ns */
};

struct stalls {
    struct stall *v;
    size_t n;
};

/* "AT:LEN,..." in ms. */
bool stalls_parse(struct stalls *s, const char *text, struct why *w);
/* The end of the stall at this time, or 0. */
uint64_t stalls_end(const struct stalls *s, uint64_t now);
