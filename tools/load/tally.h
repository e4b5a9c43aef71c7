/*
 * What one thread counts during a run, merged into one at its end. A request belongs to the
 * recorded time if it was intended in it, so that sent = good + all errors; only throughput counts
 * answers by when they came.
 */
#pragma once

#include "hist.h"
#include "proto.h"

#include <stdbool.h>
#include <stdint.h>

enum error {
    ERROR_WRONG,
    ERROR_TIMEOUT,
    ERROR_REFUSED,
    ERROR_RESET,
    ERROR_CLOSED,
    ERROR_PORTS,
    ERROR_PROTOCOL,
    NR_ERRORS,
};
extern const char *const error_names[NR_ERRORS];

struct tally {
    uint64_t sent, answered, good, errors[NR_ERRORS];
    uint64_t unsent; /* of the errors: requests that never got a connection */
    uint64_t queued; /* requests that waited for a connection */
    uint64_t stray;  /* answers nobody waited for, such as late datagrams */
    uint64_t bytes_out, bytes_in;
    uint64_t in_time; /* good answers that came in the recorded time, whenever asked for */
    double user, system;
    uint64_t *per_second;
    unsigned seconds; /* length of per_second */
    struct hist latency, service, lag, wait;
    struct {
        uint64_t good;
        struct hist latency;
    } op[NR_OPS];
};

void tally_init(struct tally *t, unsigned seconds);
void tally_free(struct tally *t);
void tally_merge(struct tally *into, const struct tally *from);
/* A good answer, ns since the recorded time began; before it is negative. */
void tally_in_time(struct tally *t, int64_t at, int64_t length);
uint64_t tally_errors(const struct tally *t);
