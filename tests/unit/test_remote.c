// unit: kernel/roce/remote.c kernel/roce/replicate.c
/*
 * Far memory on several memory nodes (kernel/roce/remote.c, replicate.c) with nodes that are played
 * here: requests of a connection are carried out in their order, those of different ones in any, a
 * node is lost with some of them done and others not, and comes back with its memory or without. As
 * long as one node has everything, what is read is what was written last.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/power.h"
#include "mm/far/far.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "roce/remote.h"
#include "sched/clock.h"
#include "sched/thread.h"
#include "sched/timer.h"

#define NODES 3u
#define SLOTS 70u
#define DEPTH 32u

struct request {
    void *cookie;
    uint64_t *buf;
    uint32_t slot;
    bool write, done;
};

static struct {
    struct request queue[SESSION_QPS][DEPTH];
    unsigned nr[SESSION_QPS];
    uint64_t memory[SLOTS + 1]; /* of each page the first word */
    bool empty;                 /* since it was lost: it does not know yet */
    bool wanting;               /* it came back so, and has not everything yet */
} nodes[NODES];

static struct {
    struct far_io io;
    bool busy;
    uint64_t wanted; /* a READ's */
} ios[SLOTS + 1];

static uint64_t stored[SLOTS + 1]; /* what the backend has acknowledged */
static uint64_t version, seed, reads, writes;
static const struct far_backend *backend;

static uint32_t below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 32) * n >> 32);
}

/* ---- What remote.c calls ---- */

int far_use(const struct far_backend *b)
{
    backend = b;
    return 0;
}

void *vmalloc(size_t n)
{
    return malloc(n);
}

phys_t frame_alloc(unsigned order)
{
    return (phys_t)(uintptr_t)aligned_alloc(PAGE_SIZE, PAGE_SIZE) - host_direct_base;
}

void frame_put(phys_t p)
{
    free(phys_to_virt(p));
}

uint64_t clock_mono_ns(void)
{
    return 1;
}

int timer_set(struct timer *t, uint64_t deadline)
{
    return 0;
}

bool pollers_run(void)
{
    return false;
}

void power_register_farewell(void (*fn)(void))
{
}

void node_close(struct node *n, uint64_t now)
{
}

uint64_t node_poll(struct node *n, uint64_t now)
{
    return UINT64_MAX;
}

void node_kick(struct node *n, uint64_t now)
{
}

void kprintf(const char *fmt, ...)
{
}

static unsigned number_of(const struct node *n)
{
    unsigned i = 0;

    while (&remote_mirrors[i]->node != n)
        i++;
    return i;
}

bool node_post(struct node *n, unsigned link, bool write, uint64_t offset, void *buf, uint32_t len,
               void *cookie)
{
    unsigned i = number_of(n);

    assert_int_equal(len, PAGE_SIZE);
    assert_int_equal(offset % PAGE_SIZE, 0);
    if (n->state != NODE_IS_UP || nodes[i].nr[link] == DEPTH)
        return false;
    nodes[i].queue[link][nodes[i].nr[link]++] = (struct request){
        .cookie = cookie, .buf = buf, .slot = (uint32_t)(offset / PAGE_SIZE) + 1, .write = write};
    return true;
}

void far_io_done(struct far_io *io, int err)
{
    uint32_t slot = io->slot;
    uint64_t word = *(uint64_t *)phys_to_virt(io->page);

    assert_int_equal(err, 0);
    assert_true(ios[slot].busy);
    if (io->class == FAR_EVICT) {
        stored[slot] = word;
        writes++;
    } else {
        if (word != stored[slot])
            fail_msg("slot %u has %lu, not %lu", slot, word, stored[slot]);
        reads++;
    }
    ios[slot].busy = false;
    frame_put(io->page);
}

/* ---- The nodes ---- */

static void carry_out(unsigned i, struct request *r)
{
    if (r->write)
        nodes[i].memory[r->slot] = *r->buf;
    else
        *r->buf = nodes[i].memory[r->slot];
    r->done = true;
}

/* The next request of a connection goes on: it is carried out, or, later, its end is heard of. */
static void advance(unsigned i, unsigned link)
{
    struct request *q = nodes[i].queue[link];
    unsigned at = 0;

    while (at < nodes[i].nr[link] && q[at].done)
        at++;
    if (at < nodes[i].nr[link] && (at == 0 || below(2))) {
        carry_out(i, &q[at]);
    } else if (at > 0) {
        struct request r = q[0];

        memmove(q, q + 1, --nodes[i].nr[link] * sizeof(*q));
        node_done(&remote_mirrors[i]->node, r.cookie, 0);
    }
}

/* Another node has all that this one has. */
static bool can_do_without(unsigned i)
{
    for (unsigned k = 0; k < NODES; k++)
        if (k != i && remote_mirrors[k]->nr_stale == 0 && !nodes[k].empty && !nodes[k].wanting)
            return true;
    return false;
}

static void lose(unsigned i, bool emptied)
{
    struct node *n = &remote_mirrors[i]->node;

    n->state = NODE_IS_OPENING;
    for (unsigned link = 0; link < SESSION_QPS; link++) {
        unsigned nr = nodes[i].nr[link];
        struct request q[DEPTH];

        for (unsigned k = 0; k < nr && below(4); k++)
            if (!nodes[i].queue[link][k].done)
                carry_out(i, &nodes[i].queue[link][k]);
        memcpy(q, nodes[i].queue[link], sizeof(q));
        nodes[i].nr[link] = 0;
        for (unsigned k = 0; k < nr; k++)
            node_done(n, q[k].cookie, -ECANCELED);
    }
    if (emptied && can_do_without(i)) {
        memset(nodes[i].memory, 0, sizeof(nodes[i].memory));
        nodes[i].empty = true;
    }
    node_lost(n);
}

static void come_back(unsigned i)
{
    struct mirror *m = remote_mirrors[i];

    m->node.state = NODE_IS_UP;
    node_back(&m->node, nodes[i].empty);
    nodes[i].wanting |= nodes[i].empty;
    nodes[i].empty = false;
}

static void submit(uint32_t slot)
{
    struct far_io *io = &ios[slot].io;
    bool write = stored[slot] == 0 || below(2);

    if (ios[slot].busy)
        return;
    ios[slot].busy = true;
    *io = (struct far_io){.slot = slot,
                          .len = PAGE_SIZE,
                          .class = write      ? FAR_EVICT
                                   : below(2) ? FAR_DEMAND
                                              : FAR_PREFETCH,
                          .page = frame_alloc(0)};
    *(uint64_t *)phys_to_virt(io->page) = write ? ++version : 0;
    assert_true(backend->submit(io));
}

static void set_up(uint64_t with_seed)
{
    seed = with_seed * 0x9e3779b97f4a7c15ull + 1;
    memset(nodes, 0, sizeof(nodes));
    memset(ios, 0, sizeof(ios));
    memset(stored, 0, sizeof(stored));
    remote_nr = NODES;
    remote_slots = SLOTS;
    for (unsigned i = 0; i < NODES; i++) {
        remote_mirrors[i] = calloc(1, sizeof(struct mirror));
        remote_mirrors[i]->node.state = NODE_IS_UP;
        for (unsigned link = 0; link < SESSION_QPS; link++)
            remote_mirrors[i]->node.link[link].qp.ring_mask = NODE_RING - 1;
    }
    assert_int_equal(remote_start(), 0);
}

static void tear_down(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        free(remote_mirrors[i]->stale);
        free(remote_mirrors[i]);
    }
    free(remote_written);
    free(remote_writing);
}

static void step(void)
{
    unsigned i = below(NODES), what = below(1000);
    struct mirror *m = remote_mirrors[i];

    if (m->node.state == NODE_IS_UP && m->nr_stale == 0)
        nodes[i].wanting = false;
    if (what < 250)
        submit(1 + below(SLOTS));
    else if (what < 900)
        advance(i, below(SESSION_QPS));
    else if (what < 990)
        backend->poll();
    else if (m->node.state != NODE_IS_UP)
        come_back(i);
    else if (what < 993)
        lose(i, below(2));
}

/* All nodes are there, and nothing is lost for a while. */
static void calm_down(void)
{
    for (unsigned i = 0; i < NODES; i++)
        if (remote_mirrors[i]->node.state != NODE_IS_UP)
            come_back(i);
    for (unsigned n = 0; n < 20000; n++) {
        backend->poll();
        for (unsigned i = 0; i < NODES; i++)
            for (unsigned link = 0; link < SESSION_QPS; link++)
                advance(i, link);
    }
}

static void what_is_read_is_what_was_written(void **state)
{
    for (uint64_t n = 1; n <= 40; n++) {
        set_up(n);
        for (unsigned k = 0; k < 60000; k++)
            step();
        calm_down();
        for (unsigned slot = 1; slot <= SLOTS; slot++)
            assert_false(ios[slot].busy);
        for (unsigned i = 0; i < NODES; i++) {
            assert_int_equal(remote_mirrors[i]->nr_stale, 0);
            assert_memory_equal(nodes[i].memory, stored, sizeof(stored));
        }
        tear_down();
    }
    assert_true(reads > 100000 && writes > 100000);
    assert_true(remote_stats.lost > 1000 && remote_stats.replicated > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_read_is_what_was_written)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
