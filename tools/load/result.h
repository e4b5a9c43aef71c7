/*
 * What a run came to: the JSON object whose format docs/load.md describes, or a few lines to read.
 */
#pragma once

#include "options.h"
#include "tally.h"

struct result {
    const struct load_options *o;
    const struct tally *t;
    double seconds;
    uint64_t started; /* clock_ns() when recording began */

    /* What another generator than `wherry load` adds; NULL: nothing. */
    const struct words *why; /* reasons why it is not valid */
    const char *members;     /* of the object: ,"name":value... */
    const char *lines;       /* to read */
    /* It polls: in an open loop one request that is due makes a poll a busy one, as fifty would, so
     * that only being late tells of too much load. */
    bool polls;
};

/* To --out (whole or not at all) or stdout; dies if it cannot be written. */
void result_write(const struct result *r);
