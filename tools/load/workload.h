/*
 * What is asked for next. A workload is shared by all threads: it knows which keys exist; each
 * thread draws from a stream of its own. YCSB's core workloads (Cooper et al., SoCC 2010):
 *     A 50 % read, 50 % update    zipfian       D 95 % read, 5 % insert   latest
 *     B 95 % read,  5 % update    zipfian       E 95 % scan, 5 % insert   zipfian, 1-100 records
 *     C read                      zipfian       F 50 % read, 50 % read-modify-write
 */
#pragma once

#include "keys.h"
#include "options.h"
#include "proto.h"

#include <pthread.h>
#include <stdatomic.h>

enum workload_phase {
    PHASE_RUN,
    PHASE_FILL,  /* every key once */
    PHASE_CHECK, /* every key read back */
};

enum { INSERTS_OPEN = 1 << 16 };

struct workload_shared {
    const struct load_options *o;
    enum workload_phase phase;
    atomic_uint_fast64_t next; /* fill and check: the next key */

    /* Keys 0..known-1 exist: inserts end in any order, but known grows without gaps. */
    atomic_uint_fast64_t known;
    pthread_mutex_t lock;
    uint64_t inserted;                        /* the next key to insert */
    uint64_t failed[INSERTS_OPEN], nr_failed; /* keys to try again first */
    bool done[INSERTS_OPEN];                  /* by key modulo INSERTS_OPEN, from known on */
};

struct workload_stream {
    struct workload_shared *shared;
    struct rng rng;
    struct keys keys;
    uint64_t version;
};

struct workload_shared *workload_new(const struct load_options *o, enum workload_phase phase);
void workload_free(struct workload_shared *w);
void workload_stream_init(struct workload_stream *s, struct workload_shared *w, unsigned stream);
/* Fills in op, key, version and count. False if the phase has no more. */
bool workload_next(struct workload_stream *s, struct request *r);
/* The request has ended. */
void workload_done(struct workload_stream *s, const struct request *r, bool good);
