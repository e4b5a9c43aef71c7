/* See run.h. */
#define _GNU_SOURCE
#include "run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FILL_CONNS = 8, FILL_PIPELINE = 8 };

#define START_DELAY_NS UINT64_C(5000000) /* between the last thread's being ready and the start */

void run_init(struct run *r, const struct load_options *o, struct workload_shared *w)
{
    *r = (struct run){
        .o = o,
        .workload = w,
        .open = o->rate > 0,
        .connections = o->connections,
        .pipeline = o->pipeline,
        .seconds = o->seconds,
        .warmup = o->requests ? 0 : o->warmup,
    };
    atomic_init(&r->budget, o->requests ? o->requests : UINT64_MAX);
    atomic_init(&r->stop, false);
}

double run_all(struct run *r, struct tally *into)
{
    unsigned n = r->o->threads, seconds = ceil(r->seconds);
    struct worker *w = xcalloc(n, sizeof(*w));
    uint64_t ended = 0;
    int err;

    pthread_barrier_init(&r->barrier, NULL, n + 1);
    for (unsigned i = 0; i < n; i++) {
        w[i] = (struct worker){.run = r, .nr = i, .cpu = -1};
        if (r->o->nr_cpus)
            w[i].cpu = r->o->cpus[i % r->o->nr_cpus];
        tally_init(&w[i].tally, seconds);
        err = pthread_create(&w[i].thread, NULL, worker_main, &w[i]);
        if (err)
            die("thread %u of %u: %s", i + 1, n, strerror(err));
    }
    pthread_barrier_wait(&r->barrier);
    r->start = clock_ns() + START_DELAY_NS;
    pthread_barrier_wait(&r->barrier);

    tally_init(into, seconds);
    for (unsigned i = 0; i < n; i++) {
        pthread_join(w[i].thread, NULL);
        tally_merge(into, &w[i].tally);
        tally_free(&w[i].tally);
        if (w[i].ended > ended)
            ended = w[i].ended;
    }
    pthread_barrier_destroy(&r->barrier);
    free(w);
    if (r->o->requests || r->seconds == 0)
        return ended > r->start ? (double)(ended - r->start) / 1e9 : 0;
    return r->seconds;
}

static void fill_phase(const struct load_options *o, enum workload_phase phase, const char *what)
{
    struct workload_shared *w = workload_new(o, phase);
    struct tally t;
    struct run r;

    run_init(&r, o, w);
    r.open = false;
    r.connections = FILL_CONNS > o->threads ? FILL_CONNS : o->threads;
    r.pipeline = FILL_PIPELINE;
    r.seconds = r.warmup = 0;
    atomic_store(&r.budget, UINT64_MAX);
    r.stop_at_error = true;
    r.repeat = o->proto->datagram;
    run_all(&r, &t);
    for (int e = 0; e < NR_ERRORS; e++)
        if (t.errors[e])
            die("--load: %s the store failed after %llu of %llu keys: %s answer%s", what,
                (unsigned long long)t.good, (unsigned long long)o->keys,
                e == ERROR_WRONG ? "a wrong" : error_names[e],
                e == ERROR_WRONG ? " (too little memory for all values?)" : "");
    if (t.good != o->keys)
        die("--load: %s the store ended after %llu of %llu keys", what, (unsigned long long)t.good,
            (unsigned long long)o->keys);
    tally_free(&t);
    workload_free(w);
}

void run_fill(const struct load_options *o)
{
    fill_phase(o, PHASE_FILL, "filling");
    fill_phase(o, PHASE_CHECK, "reading back");
}
