/* See workload.h. */
#include "workload.h"

#include <stdlib.h>

#define KEY_STREAM 0x4b45595300000000 /* apart from arrivals */

enum { SCAN_MAX = 100 };

struct workload_shared *workload_new(const struct load_options *o, enum workload_phase phase)
{
    struct workload_shared *w = xcalloc(1, sizeof(*w));

    w->o = o;
    w->phase = phase;
    atomic_init(&w->next, 0);
    atomic_init(&w->known, o->keys);
    w->inserted = o->keys;
    pthread_mutex_init(&w->lock, NULL);
    return w;
}

void workload_free(struct workload_shared *w)
{
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void workload_stream_init(struct workload_stream *s, struct workload_shared *w, unsigned stream)
{
    s->shared = w;
    rng_seed(&s->rng, w->o->seed, KEY_STREAM + stream);
    keys_init(&s->keys, w->o->key_dist, w->o->keys);
    s->version = (uint64_t)(stream + 1) << 48;
}

/* A key nobody has; false if too many inserts are under way. */
static bool new_key(struct workload_shared *w, uint64_t *key)
{
    bool ok = true;

    pthread_mutex_lock(&w->lock);
    if (w->nr_failed)
        *key = w->failed[--w->nr_failed];
    else if (w->inserted - atomic_load(&w->known) < INSERTS_OPEN)
        *key = w->inserted++;
    else
        ok = false;
    pthread_mutex_unlock(&w->lock);
    return ok;
}

static void insert_done(struct workload_shared *w, uint64_t key, bool good)
{
    uint64_t known;

    pthread_mutex_lock(&w->lock);
    known = atomic_load(&w->known);
    if (!good) {
        w->failed[w->nr_failed++] = key;
    } else {
        w->done[key % INSERTS_OPEN] = true;
        while (w->done[known % INSERTS_OPEN])
            w->done[known++ % INSERTS_OPEN] = false;
        atomic_store(&w->known, known);
    }
    pthread_mutex_unlock(&w->lock);
}

static uint64_t some_key(struct workload_stream *s)
{
    const struct load_options *o = s->shared->o;
    /* Zipfian popularity would move to other keys with every insert: it stays with the first. */
    uint64_t n = o->key_dist == KEYS_LATEST ? atomic_load(&s->shared->known) : o->keys;

    return keys_next(&s->keys, &s->rng, n);
}

static void choose(struct workload_stream *s, struct request *r, double first, enum op op,
                   enum op other)
{
    r->op = first == 1 || rng_unit(&s->rng) < first ? op : other;
    if (r->op != OP_INSERT || !new_key(s->shared, &r->key)) {
        if (r->op == OP_INSERT)
            r->op = OP_UPDATE;
        r->key = some_key(s);
    }
}

bool workload_next(struct workload_stream *s, struct request *r)
{
    struct workload_shared *w = s->shared;
    const struct load_options *o = w->o;
    bool lists = o->workload == WORKLOAD_LRANGE;

    r->step = 0;
    r->version = ++s->version;
    if (w->phase != PHASE_RUN) {
        r->key = atomic_fetch_add(&w->next, 1);
        r->op = w->phase == PHASE_FILL ? OP_FILL : lists ? OP_LRANGE : OP_READ;
        return r->key < o->keys;
    }
    switch (o->workload) {
    case WORKLOAD_REQUESTS:
        r->op = OP_REQUEST;
        r->key = o->queries.n ? rng_below(&s->rng, o->queries.n) : rng_below(&s->rng, o->keys);
        break;
    case WORKLOAD_GET:
    case WORKLOAD_YCSB_C:
        choose(s, r, 1, OP_READ, OP_READ);
        break;
    case WORKLOAD_SET:
        choose(s, r, 1, OP_UPDATE, OP_UPDATE);
        break;
    case WORKLOAD_LRANGE:
        choose(s, r, 1, OP_LRANGE, OP_LRANGE);
        break;
    case WORKLOAD_YCSB_A:
        choose(s, r, 0.5, OP_READ, OP_UPDATE);
        break;
    case WORKLOAD_YCSB_B:
        choose(s, r, 0.95, OP_READ, OP_UPDATE);
        break;
    case WORKLOAD_YCSB_D:
        choose(s, r, 0.95, OP_READ, OP_INSERT);
        break;
    case WORKLOAD_YCSB_E:
        choose(s, r, 0.95, OP_SCAN, OP_INSERT);
        if (r->op == OP_SCAN) {
            r->count = 1 + rng_below(&s->rng, SCAN_MAX);
            r->version = atomic_load(&w->known);
        }
        break;
    case WORKLOAD_YCSB_F:
        choose(s, r, 0.5, OP_READ, OP_RMW);
        break;
    }
    return true;
}

void workload_done(struct workload_stream *s, const struct request *r, bool good)
{
    if (r->op == OP_INSERT)
        insert_done(s->shared, r->key, good);
}
