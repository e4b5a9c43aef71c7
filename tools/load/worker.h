/*
 * One thread of the generator: it offers requests, as scheduled (open loop) or as answers come
 * (closed loop), judges the answers and counts. Started by run.c.
 *
 * Open loop: a request is due at its intended time whatever the answers do, and its latency counts
 * from then. It goes to an idle connection; if there is none it waits in a queue while more are
 * opened, up to the limit. Time in that queue is the server's doing, and part of the latency; how
 * late the generator itself was (the send lag) ends when it put the request on a connection or into
 * the queue.
 */
#pragma once

#include "arrival.h"
#include "options.h"
#include "tally.h"
#include "workload.h"

#include <pthread.h>
#include <stdatomic.h>

/* What a run is, the same for all of its threads. */
struct run {
    const struct load_options *o;
    struct workload_shared *workload;
    bool open;
    unsigned connections, pipeline; /* of all threads; of each connection */
    double seconds, warmup;         /* seconds 0: no end but the workload's */
    bool stop_at_error;
    bool repeat;                 /* datagrams that are not answered, a number of times */
    atomic_uint_fast64_t budget; /* requests still to be sent */
    atomic_bool stop;
    pthread_barrier_t barrier;
    uint64_t start; /* ns, set between two barriers */
};

struct worker {
    struct run *run;
    unsigned nr;
    int cpu; /* -1: any */
    struct tally tally;
    uint64_t ended; /* ns: the last answer */
    pthread_t thread;
};

void *worker_main(void *worker);
uint64_t clock_ns(void);
