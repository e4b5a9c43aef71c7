/*
 * Far memory on memory nodes: a backend of mm/far (backend.h) whose pages lie on one node, or on
 * some of several (node.h, places.c). A page is written when every node that it lies on and that is
 * there has it, and read from any of them that is known to have it. Transfers wait in a queue while
 * a node has no room or none is there.
 */
#include "roce/remote.h"

#include "drivers/power.h"
#include "mm/far/far.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "sched/clock.h"
#include "sched/thread.h"
#include "sched/timer.h"

#include <asm/errno.h>

#define LEAVE_LIMIT_NS (200 * NSEC_PER_MSEC)

struct remote_stats remote_stats;

static struct list waiting = LIST_INIT(waiting);
static uint64_t due;
static bool busy; /* with copies, in the background */
static struct timer wake;

/* ---- Requests ---- */

static void *place_of(const struct far_io *io)
{
    return phys_to_virt(io->page);
}

/* A part of a page is not hedged: nobody waits for it. */
static bool post_part(struct far_io *io)
{
    struct mirror *m = remote_source(io->slot, 0);

    return m != NULL && node_post(&m->node, io->class, false, remote_offset(m, io->slot) + io->at,
                                  place_of(io), io->len, io);
}

/* To all of its nodes at once; those that are not there lack it from now on. */
static bool post_write(struct far_io *io)
{
    unsigned up = 0;

    remote_place(io->slot);
    for (unsigned i = 0; i < remote_nr; i++) {
        const struct mirror *m = remote_mirrors[i];

        if (m->node.state != NODE_IS_UP || !remote_lies_on(m, io->slot))
            continue;
        if (roce_room(&m->node.link[io->class].qp) == 0)
            return false;
        up++;
    }
    if (up == 0)
        return false;
    io->left = io->good = 0;
    remote_writing[io->slot / 64] |= 1ull << io->slot % 64;
    replicate_overtaken(io->slot);
    for (unsigned i = 0; i < remote_nr; i++) {
        struct mirror *m = remote_mirrors[i];

        if (!remote_lies_on(m, io->slot))
            continue;
        if (node_post(&m->node, io->class, true, remote_offset(m, io->slot), place_of(io),
                      PAGE_SIZE, io))
            io->left++;
        else
            remote_mark_stale(m, io->slot);
    }
    return io->left > 0;
}

static bool post(struct far_io *io)
{
    if (io->class == FAR_EVICT)
        return post_write(io);
    return io->len == PAGE_SIZE ? reads_post(io, clock_mono_ns()) : post_part(io);
}

/* A page whose node is away does not hold up those of other nodes. */
static void pump(void)
{
    static struct list hopeless = LIST_INIT(hopeless);
    struct far_io *io;

    list_for_each_safe (next, &waiting, struct far_io, link) {
        bool hope = remote_hope(next->slot, next->class == FAR_EVICT);

        if (hope && !post(next))
            continue;
        list_remove(&next->link);
        if (unlikely(!hope))
            list_push_back(&hopeless, &next->link);
    }
    /* Whoever hears of it may ask for another page at once. */
    while (unlikely((io = list_first(&hopeless, struct far_io, link)) != NULL)) {
        list_remove(&io->link);
        far_io_done(io, -EIO);
    }
}

void remote_again(struct far_io *io)
{
    remote_stats.failovers++;
    list_push_front(&waiting, &io->link);
}

void node_landed(void *cookie, phys_t page)
{
    struct far_io *io = cookie;

    if (reads_landed(cookie, page) || replicate_landed(cookie, page))
        return;
    frame_put(io->page);
    io->page = page;
}

static struct mirror *mirror_of(struct node *n)
{
    return container_of(n, struct mirror, node);
}

void node_done(struct node *n, void *cookie, int status)
{
    struct far_io *io = cookie;

    if (reads_done(cookie, status) || replicate_done(cookie, status))
        return;
    if (io->class != FAR_EVICT) {
        if (status == 0)
            far_io_done(io, 0);
        else /* the connection has failed: from another one, or again */
            remote_again(io);
        return;
    }
    if (status == 0) {
        io->good++;
        remote_mark_fresh(mirror_of(n), io->slot);
    } else {
        remote_mark_stale(mirror_of(n), io->slot);
    }
    if (--io->left > 0)
        return;
    remote_writing[io->slot / 64] &= ~(1ull << io->slot % 64);
    if (io->good > 0)
        far_io_done(io, 0);
    else
        list_push_front(&waiting, &io->link);
}

void remote_wake(void)
{
    due = 0;
}

void node_heard(struct node *n)
{
    remote_wake();
}

void node_lost(struct node *n)
{
    remote_stats.lost++;
    kprintf("wherry: memory node %u.%u.%u.%u is lost: it %s\n", n->ip >> 24, n->ip >> 16 & 255,
            n->ip >> 8 & 255, n->ip & 255, n->why);
}

static void tell_given_up(void)
{
    uint32_t n = remote_give_up();

    if (n > 0)
        kprintf("wherry: no memory node has %u pages any more: they are lost\n", n);
}

void node_back(struct node *n, bool empty)
{
    struct mirror *m = mirror_of(n);

    if (!m->joined)
        return; /* members.c takes it in */
    for (uint32_t slot = 1; empty && slot <= remote_slots; slot++)
        if (remote_lies_on(m, slot))
            remote_mark_stale(m, slot);
    kprintf("wherry: memory node %u.%u.%u.%u is back%s, and lacks %lu pages\n", n->ip >> 24,
            n->ip >> 16 & 255, n->ip >> 8 & 255, n->ip & 255, empty ? ", empty" : "", m->nr_stale);
    if (empty)
        tell_given_up();
    balance_wake();
}

/* Before it ever was there remote_config.c or members.c say so. */
void node_dead(struct node *n)
{
    if (!mirror_of(n)->joined)
        return;
    kprintf("wherry: memory node %u.%u.%u.%u %s: what it held is lost\n", n->ip >> 24,
            n->ip >> 16 & 255, n->ip >> 8 & 255, n->ip & 255,
            n->session.error == -ESTALE ? "has forgotten us" : "refuses to go on");
    tell_given_up();
    members_changed();
}

/* ---- The backend ---- */

static void step(uint64_t now)
{
    bool moving;

    due = UINT64_MAX;
    for (unsigned i = 0; i < remote_nr; i++)
        due = MIN(due, node_poll(&remote_mirrors[i]->node, now));
    members_run(now);
    pump();
    due = MIN(due, reads_hedge(now));
    moving = balance_run(now);
    busy = replicate_run() || moving;
    due = MIN(due, balance_deadline());
    for (unsigned i = 0; i < remote_nr; i++)
        node_kick(&remote_mirrors[i]->node, now);
}

static bool remote_submit(struct far_io *io)
{
    list_push_back(&waiting, &io->link);
    pump();
    return true;
}

static void remote_kick(void)
{
    for (unsigned i = 0; i < remote_nr; i++)
        node_kick(&remote_mirrors[i]->node, clock_mono_ns());
}

static bool remote_poll(void)
{
    step(clock_mono_ns());
    return false;
}

static bool remote_arm(void)
{
    uint64_t now = clock_mono_ns();

    step(now);
    if (due <= now)
        return false;
    if (due != UINT64_MAX)
        (void)timer_set(&wake, due);
    return true;
}

static bool remote_idle(void)
{
    return clock_mono_ns() < due && !busy;
}

/* The page is nobody's any more. */
static void remote_forget(uint32_t slot)
{
    for (unsigned i = 0; i < remote_nr; i++)
        if (remote_lies_on(remote_mirrors[i], slot))
            remote_give_place(remote_mirrors[i], slot);
}

static struct far_backend remote = {.name = "memory node",
                                    .submit = remote_submit,
                                    .forget = remote_forget,
                                    .kick = remote_kick,
                                    .poll = remote_poll,
                                    .arm = remote_arm,
                                    .idle = remote_idle};

/* The timer's interrupt is all that is wanted: whoever idles polls then. */
static void nothing(struct timer *t)
{
}

/* The end: nodes that hear of it have their memory back at once, and not after lease and grace. */
static void farewell(void)
{
    uint64_t end = clock_mono_ns() + LEAVE_LIMIT_NS;
    bool left = true;

    for (unsigned i = 0; i < remote_nr; i++)
        node_close(&remote_mirrors[i]->node, clock_mono_ns());
    remote_wake();
    while (left && clock_mono_ns() < end) {
        pollers_run();
        left = false;
        for (unsigned i = 0; i < remote_nr; i++)
            left |= !node_is_closed(&remote_mirrors[i]->node);
    }
}

int remote_start(void)
{
    timer_init(&wake, nothing);
    for (unsigned i = 0; i < remote_nr; i++)
        remote_mirrors[i]->joined = true;
    if (remote_grow(members_capacity()) < 0)
        return -ENOMEM;
    remote.slots = remote_slots;
    power_register_farewell(farewell);
    return far_use(&remote);
}
