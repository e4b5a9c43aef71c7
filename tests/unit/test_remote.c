// unit: kernel/roce/remote.c kernel/roce/places.c kernel/roce/placement.c kernel/roce/reads.c kernel/roce/replicate.c kernel/roce/balance.c kernel/roce/members.c kernel/mm/far/slots.c
/*
 * Far memory on several memory nodes (the files behind kernel/roce/remote.h) with nodes that are
 * played here: requests of a connection are carried out in their order, those of different ones in
 * any, a node is slow, is lost with some of them done and others not, comes back with its memory or
 * without, is added or removed. As long as one node has a page, what is read is what was written
 * last; every transfer is over once.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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

#define NODES  5u /* that there may be; node i has address 1 + i */
#define PLACES 150u
#define SLOTS  (NODES * PLACES)
#define DEPTH  64u
#define TICK   (20 * NSEC_PER_USEC)

struct request {
    void *cookie;
    uint64_t *buf;
    uint32_t place;
    bool write, done;
};

static struct {
    struct request queue[SESSION_QPS][DEPTH];
    unsigned nr[SESSION_QPS];
    uint64_t memory[PLACES + 1]; /* of each page the first word */
    bool empty;                  /* since it was lost: it does not know yet */
    bool wanting;                /* it came back so, and has not everything yet */
    unsigned slow;               /* steps that it does nothing in */
} nodes[NODES];

static struct {
    struct far_io io;
    bool busy, taken;
} ios[SLOTS + 1];

static uint64_t stored[SLOTS + 1]; /* what the backend has acknowledged */
static uint64_t version, seed, reads, writes, failed, now_ns, refused;
static uint32_t capacity, in_use;
static bool may_fail; /* pages may be lost */
static bool bad_node; /* node 0 gives wrong pages */
static uint64_t wrong;
static const struct far_backend *backend;

static uint32_t below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 32) * n >> 32);
}

/* ---- What remote.c and the others call ---- */

int far_use(const struct far_backend *b)
{
    backend = b;
    capacity = b->slots;
    return 0;
}

int far_resize(uint32_t slots)
{
    capacity = slots;
    return 0;
}

struct far_space far_space(void)
{
    return (struct far_space){.slots = capacity, .used = in_use};
}

void *vmalloc(size_t n)
{
    return malloc(n);
}

void vfree(void *p)
{
    free(p);
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
    return now_ns;
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

static unsigned number_of(const struct node *n)
{
    return n->ip - 1;
}

/* The node with this number; NULL: it is none of ours now. */
static struct mirror *mirror(unsigned i)
{
    for (unsigned k = 0; k < remote_nr; k++)
        if (number_of(&remote_mirrors[k]->node) == i)
            return remote_mirrors[k];
    return NULL;
}

static void cancel(struct node *n)
{
    unsigned i = number_of(n);

    for (unsigned link = 0; link < SESSION_QPS; link++) {
        unsigned nr = nodes[i].nr[link];
        struct request q[DEPTH];

        memcpy(q, nodes[i].queue[link], sizeof(q));
        nodes[i].nr[link] = 0;
        for (unsigned k = 0; k < nr; k++)
            node_done(n, q[k].cookie, -ECANCELED);
    }
}

void node_close(struct node *n, uint64_t now)
{
    n->state = NODE_IS_LEAVING;
    cancel(n);
    n->session.state = SESSION_IDLE;
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

const char *remote_why(int error)
{
    return "";
}

/* "NUMBER" */
int remote_parse(const char *text, uint32_t *ip, uint16_t *port)
{
    *ip = (uint32_t)atoi(text) + 1;
    return *ip > 0 && *ip <= NODES ? 0 : -EINVAL;
}

struct mirror *remote_open(uint32_t ip, uint16_t port)
{
    struct mirror *m = calloc(1, sizeof(*m));

    m->node.ip = ip;
    m->node.state = NODE_IS_OPENING;
    for (unsigned link = 0; link < SESSION_QPS; link++)
        m->node.link[link].qp.ring_mask = NODE_RING - 1;
    assert_int_equal(remote_map(m), 0);
    memset(&nodes[ip - 1], 0, sizeof(nodes[0]));
    return m;
}

void remote_close(struct mirror *m)
{
    for (unsigned link = 0; link < SESSION_QPS; link++)
        assert_int_equal(nodes[number_of(&m->node)].nr[link], 0);
    remote_unmap(m);
    free(m);
}

bool node_post(struct node *n, unsigned link, bool write, uint64_t offset, void *buf, uint32_t len,
               void *cookie)
{
    unsigned i = number_of(n);
    uint32_t place = (uint32_t)(offset / PAGE_SIZE) + 1;

    assert_int_equal(len, PAGE_SIZE);
    assert_int_equal(offset % PAGE_SIZE, 0);
    assert_in_range(place, 1, PLACES);
    if (n->state != NODE_IS_UP || nodes[i].nr[link] == DEPTH)
        return false;
    nodes[i].queue[link][nodes[i].nr[link]++] =
        (struct request){.cookie = cookie, .buf = buf, .place = place, .write = write};
    return true;
}

void far_io_done(struct far_io *io, int err)
{
    uint32_t slot = io->slot;
    uint64_t word = *(uint64_t *)phys_to_virt(io->page);

    assert_true(ios[slot].busy);
    if (err < 0) {
        assert_true(may_fail);
        failed++;
    } else if (io->class == FAR_EVICT) {
        stored[slot] = word;
        writes++;
    } else {
        if (word != stored[slot] && bad_node && io->tries++ < 3) { /* as mm/far does */
            wrong++;
            assert_true(backend->submit(io));
            return;
        }
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
    bool landed = !r->write && below(2) > 0;
    uint64_t word = nodes[i].memory[r->place] ^ (bad_node && i == 0);
    phys_t page;

    if (r->write) {
        nodes[i].memory[r->place] = *r->buf;
    } else if (landed) {
        page = frame_alloc(0);
        *(uint64_t *)phys_to_virt(page) = word;
        node_landed(r->cookie, page);
    } else {
        *r->buf = word;
    }
    r->done = true;
}

/* The next request of a connection goes on: it is carried out, or, later, its end is heard of. */
static void advance(unsigned i, unsigned link)
{
    struct request *q = nodes[i].queue[link];
    unsigned at = 0;

    if (nodes[i].slow > 0) {
        nodes[i].slow--;
        return;
    }
    while (at < nodes[i].nr[link] && q[at].done)
        at++;
    if (at < nodes[i].nr[link] && (at == 0 || below(2))) {
        carry_out(i, &q[at]);
    } else if (at > 0) {
        struct request r = q[0];

        memmove(q, q + 1, --nodes[i].nr[link] * sizeof(*q));
        node_done(&mirror(i)->node, r.cookie, 0);
    }
}

/* Every page that this one has, another has, too, and it will not forget it. */
static bool can_do_without(unsigned i)
{
    for (uint32_t slot = 1; slot <= remote_slots; slot++) {
        bool other = false;

        for (unsigned k = 0; k < remote_nr; k++) {
            const struct mirror *m = remote_mirrors[k];
            unsigned n = number_of(&m->node);

            other |= n != i && remote_is_fresh(m, slot) && !nodes[n].empty &&
                     !slot_is_set(remote_writing, slot);
        }
        if (remote_lies_on(mirror(i), slot) && !other)
            return false;
    }
    return true;
}

static void lose(unsigned i, bool emptied)
{
    struct node *n = &mirror(i)->node;

    if (emptied && can_do_without(i)) {
        memset(nodes[i].memory, 0, sizeof(nodes[i].memory));
        nodes[i].empty = true;
    }
    n->state = NODE_IS_OPENING;
    for (unsigned link = 0; link < SESSION_QPS && !nodes[i].empty; link++)
        for (unsigned k = 0; k < nodes[i].nr[link] && below(4); k++)
            if (!nodes[i].queue[link][k].done)
                carry_out(i, &nodes[i].queue[link][k]);
    cancel(n);
    node_lost(n);
}

static void come_back(unsigned i)
{
    struct mirror *m = mirror(i);

    m->node.state = NODE_IS_UP;
    if (m->joined)
        node_back(&m->node, nodes[i].empty);
    nodes[i].empty = false;
    nodes[i].slow = 0;
}

/* ---- Its user ---- */

static void give(uint32_t slot)
{
    if (ios[slot].busy || !ios[slot].taken)
        return;
    ios[slot].taken = false;
    stored[slot] = 0;
    in_use--;
    backend->forget(slot);
}

static void submit(uint32_t slot)
{
    struct far_io *io = &ios[slot].io;
    bool write = stored[slot] == 0 || below(2);

    if (ios[slot].busy || (!ios[slot].taken && in_use >= capacity))
        return;
    in_use += !ios[slot].taken;
    ios[slot].busy = ios[slot].taken = true;
    *io = (struct far_io){.slot = slot,
                          .len = PAGE_SIZE,
                          .class = write      ? FAR_EVICT
                                   : below(2) ? FAR_DEMAND
                                              : FAR_PREFETCH,
                          .page = frame_alloc(0)};
    waitq_init(&io->waiters);
    *(uint64_t *)phys_to_virt(io->page) = write ? ++version : 0;
    assert_true(backend->submit(io));
}

static void set_up(uint64_t with_seed, unsigned nr, unsigned copies)
{
    seed = with_seed * 0x9e3779b97f4a7c15ull + 1;
    memset(nodes, 0, sizeof(nodes));
    memset(ios, 0, sizeof(ios));
    memset(stored, 0, sizeof(stored));
    in_use = 0;
    may_fail = bad_node = false;
    now_ns += NSEC_PER_SEC;
    remote_copies = copies;
    remote_room = PLACES;
    remote_slots = 0;
    remote_writing = NULL;
    for (remote_nr = 0; remote_nr < nr; remote_nr++) {
        remote_mirrors[remote_nr] = remote_open(remote_nr + 1, 0);
        remote_mirrors[remote_nr]->node.state = NODE_IS_UP;
    }
    assert_int_equal(remote_start(), 0);
}

static void tear_down(void)
{
    while (remote_nr > 0)
        remote_close(remote_mirrors[--remote_nr]);
    free(remote_writing);
}

static void carry_on(unsigned i)
{
    if (mirror(i) != NULL)
        advance(i, below(SESSION_QPS));
}

/* A node comes or goes. */
static void command(void)
{
    char text[16];
    bool add = below(2) > 0;

    snprintf(text, sizeof(text), "%s %u", add ? "add" : "remove", below(NODES));
    refused += members_command(text) < 0;
}

static void step(bool faults, bool changes)
{
    unsigned i = below(NODES), what = below(1000);
    const struct mirror *m = mirror(i);

    now_ns += TICK;
    if (what < 250)
        submit(1 + below(MIN(remote_slots, SLOTS)));
    else if (what < 890)
        carry_on(i);
    else if (what < 900)
        give(1 + below(MIN(remote_slots, SLOTS)));
    else if (what < 985)
        backend->poll();
    else if (what < 986 && changes)
        command();
    else if (what < 988)
        nodes[i].slow = faults ? 300 : 0;
    else if (m != NULL && m->node.state == NODE_IS_OPENING)
        come_back(i);
    else if (what < 991 && faults && m != NULL && m->node.state == NODE_IS_UP)
        lose(i, below(2));
}

/* All nodes are there, and nothing is lost for a while. */
static void calm_down(void)
{
    for (unsigned n = 0; n < 15000; n++) {
        now_ns += TICK;
        backend->poll();
        for (unsigned i = 0; i < NODES; i++) {
            if (mirror(i) != NULL && mirror(i)->node.state == NODE_IS_OPENING)
                come_back(i);
            for (unsigned link = 0; link < SESSION_QPS && mirror(i) != NULL; link++)
                advance(i, link);
        }
    }
}

/* Every page lies where it should, and is there what was written last. */
static void check_places(void)
{
    unsigned copies = remote_copies == PLACEMENT_ALL ? remote_nr : MIN(remote_copies, remote_nr);
    uint32_t least = UINT32_MAX, most = 0;

    for (uint32_t slot = 1; slot <= MIN(remote_slots, SLOTS); slot++) {
        unsigned on = 0;

        assert_false(ios[slot].busy);
        for (unsigned k = 0; k < remote_nr; k++) {
            const struct mirror *m = remote_mirrors[k];

            if (!remote_lies_on(m, slot))
                continue;
            on++;
            assert_true(remote_is_fresh(m, slot));
            assert_int_equal(nodes[number_of(&m->node)].memory[m->place[slot]], stored[slot]);
        }
        assert_int_equal(on, stored[slot] != 0 ? copies : 0);
    }
    for (unsigned k = 0; k < remote_nr; k++) {
        const struct mirror *m = remote_mirrors[k];

        assert_false(m->leaving);
        assert_int_equal(m->nr_stale, 0);
        assert_int_equal(m->overdue, 0);
        least = MIN(least, m->places.used);
        most = MAX(most, m->places.used);
    }
    assert_in_range(most - least, 0, PLACEMENT_SLACK);
}

static void run(unsigned seeds, unsigned nr, unsigned copies, bool faults, bool changes)
{
    for (uint64_t n = 1; n <= seeds; n++) {
        set_up(n, nr, copies);
        for (unsigned k = 0; k < 60000; k++)
            step(faults, changes);
        calm_down();
        check_places();
        tear_down();
    }
}

static void what_is_read_is_what_was_written(void **state)
{
    reads = writes = 0;
    run(15, 3, PLACEMENT_ALL, true, false);
    assert_true(reads > 15000 && writes > 15000);
    assert_true(remote_stats.lost > 300 && remote_stats.replicated > 3000);
    assert_true(remote_stats.hedged > 100 && remote_stats.hedges_won > 50);
}

static void the_same_with_fewer_copies_than_nodes(void **state)
{
    for (unsigned copies = 1; copies <= 3; copies++)
        run(3, 4, copies, true, false);
}

static void nodes_come_and_go(void **state)
{
    uint64_t moved = remote_stats.moved;

    refused = 0;
    for (unsigned copies = 0; copies <= 3; copies++)
        run(4, 3, copies, true, true);
    run(4, 1, 1, false, true);
    assert_true(remote_stats.moved - moved > 500);
    assert_true(refused > 50);
}

/* ---- One thing at a time ---- */

static void write_all(uint32_t slots)
{
    for (uint32_t slot = 1; slot <= slots; slot++) {
        submit(slot);
        for (unsigned k = 0; k < 4; k++)
            for (unsigned i = 0; i < NODES; i++)
                if (mirror(i) != NULL)
                    advance(i, FAR_EVICT);
    }
    calm_down();
    assert_int_equal(in_use, slots);
}

static void stripes_have_room_for_more(void **state)
{
    set_up(1, 2, 1);
    assert_int_equal(capacity, 2 * PLACES);
    write_all(2 * PLACES);
    check_places();
    assert_int_equal(members_command("remove 1"), -ENOSPC);
    assert_int_equal(members_command("add 1"), -EEXIST);
    assert_int_equal(members_command("remove 2"), -ENOENT);
    assert_int_equal(members_command("add 7"), -EINVAL);
    assert_int_equal(members_command("eat 2"), -EINVAL);
    assert_int_equal(members_command("add 2"), 0);
    calm_down();
    assert_int_equal(capacity, 3 * PLACES);
    check_places();
    assert_in_range(mirror(2)->places.used, 2 * PLACES / 3 - PLACEMENT_SLACK, 2 * PLACES / 3);
    assert_int_equal(members_command("remove 0"), 0);
    assert_int_equal(members_command("remove 0"), -EBUSY);
    calm_down();
    assert_null(mirror(0));
    assert_int_equal(capacity, 2 * PLACES);
    check_places();
    tear_down();
}

static void the_last_one_stays(void **state)
{
    set_up(1, 2, PLACEMENT_ALL);
    write_all(20);
    lose(0, false);
    assert_int_equal(members_command("remove 0"), 0); /* the other one has everything */
    assert_int_equal(members_command("remove 1"), -EBUSY);
    calm_down();
    assert_int_equal(remote_nr, 1);
    check_places();
    tear_down();
    set_up(1, 2, 1);
    write_all(20);
    lose(0, false);
    assert_int_equal(members_command("remove 0"), -EBUSY); /* nobody else has its half */
    tear_down();
}

static void a_dead_stripe_loses_its_pages_only(void **state)
{
    unsigned lost = 0;

    set_up(1, 2, 1);
    write_all(40);
    lose(0, false);
    mirror(0)->node.state = NODE_IS_DEAD;
    node_dead(&mirror(0)->node);
    assert_int_equal(capacity, PLACES);
    may_fail = true;
    failed = 0;
    for (uint32_t slot = 1; slot <= 40; slot++) {
        lost += remote_set_on(slot) == 0;
        ios[slot].io = (struct far_io){.slot = slot, .len = PAGE_SIZE, .page = frame_alloc(0)};
        waitq_init(&ios[slot].io.waiters);
        ios[slot].busy = true;
        assert_true(backend->submit(&ios[slot].io));
    }
    calm_down();
    assert_int_equal(failed, lost);
    assert_in_range(lost, 12, 28);
    assert_int_equal(members_command("remove 0"), 0);
    calm_down();
    assert_int_equal(remote_nr, 1);
    tear_down();
}

/* One read: how many requests each of two nodes has for it. */
static void read_one(uint32_t slot)
{
    while (stored[slot] != 0 && !ios[slot].busy) {
        submit(slot);
        if (ios[slot].io.class != FAR_DEMAND)
            calm_down();
    }
}

static unsigned at_work(unsigned i)
{
    return nodes[i].nr[FAR_DEMAND];
}

static void a_slow_node_is_not_waited_for(void **state)
{
    unsigned slow, fast;
    uint64_t won = remote_stats.hedges_won;

    set_up(1, 2, PLACEMENT_ALL);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned link = 0; link < SESSION_QPS; link++) {
            roce_rtt_init(&mirror(i)->node.link[link].qp.rtt, 1, NSEC_PER_SEC, NSEC_PER_SEC);
            roce_rtt_sample(&mirror(i)->node.link[link].qp.rtt, 100 * NSEC_PER_USEC);
        }
    write_all(10);
    read_one(1);
    slow = at_work(0) ? 0 : 1;
    fast = 1 - slow;
    assert_int_equal(at_work(slow), 1);
    assert_int_equal(at_work(fast), 0);
    now_ns += 900 * NSEC_PER_USEC;
    backend->poll();
    assert_int_equal(at_work(fast), 0); /* it is too early */
    now_ns += 101 * NSEC_PER_USEC;
    backend->poll();
    assert_int_equal(at_work(fast), 1);
    assert_int_equal(mirror(slow)->overdue, 1);
    /* Others are not asked of it at all. */
    for (uint32_t slot = 2; slot <= 5; slot++) {
        submit(slot);
        assert_int_equal(nodes[slow].nr[FAR_DEMAND] + nodes[slow].nr[FAR_PREFETCH], 1);
    }
    for (unsigned k = 0; k < 40; k++)
        for (unsigned link = 0; link < SESSION_QPS; link++)
            advance(fast, link);
    assert_false(ios[1].busy);
    assert_int_equal(remote_stats.hedges_won, won + 1);
    /* The late answer goes nowhere, even if the page has been written since. */
    calm_down();
    assert_int_equal(mirror(slow)->overdue, 0);
    check_places();
    tear_down();
}

/* Two nodes, one gives wrong pages: the other is asked, whoever's turn it is. */
static void a_wrong_page_is_asked_of_another_node(void **state)
{
    set_up(1, 2, PLACEMENT_ALL);
    write_all(100);
    wrong = 0;
    bad_node = true;
    for (unsigned n = 0; n < 2000; n++) {
        uint32_t slot = 1 + below(100);

        submit(slot);
        while (ios[slot].busy)
            for (unsigned i = 0; i < 2; i++)
                for (unsigned link = 0; link < SESSION_QPS; link++)
                    advance(i, link);
    }
    assert_in_range(wrong, 200, 1100);
    bad_node = false;
    calm_down();
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_is_what_was_written),
        cmocka_unit_test(the_same_with_fewer_copies_than_nodes),
        cmocka_unit_test(nodes_come_and_go),
        cmocka_unit_test(stripes_have_room_for_more),
        cmocka_unit_test(the_last_one_stays),
        cmocka_unit_test(a_dead_stripe_loses_its_pages_only),
        cmocka_unit_test(a_slow_node_is_not_waited_for),
        cmocka_unit_test(a_wrong_page_is_asked_of_another_node),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
