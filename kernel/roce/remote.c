/*
 * Far memory on memory nodes: a backend of mm/far (backend.h) whose pages lie on one node, or on
 * each of several (node.h). A page is written when every node that is there has it, and read from
 * any of them that is known to have it. Transfers wait in a queue, in order, while a node has no
 * room or none is there.
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

struct mirror *remote_mirrors[MIRRORS_MAX];
unsigned remote_nr;
uint64_t *remote_written, *remote_writing;
uint32_t remote_slots;
struct remote_stats remote_stats;

static struct list waiting = LIST_INIT(waiting);
static uint64_t due;
static bool replicating;
static unsigned turn; /* whose turn it is to be read from */
static struct timer wake;

void remote_mark_stale(struct mirror *m, uint32_t slot)
{
    if (!slot_is_set(m->stale, slot)) {
        m->stale[slot / 64] |= 1ull << slot % 64;
        m->nr_stale++;
    }
}

void remote_mark_fresh(struct mirror *m, uint32_t slot)
{
    if (slot_is_set(m->stale, slot)) {
        m->stale[slot / 64] &= ~(1ull << slot % 64);
        m->nr_stale--;
    }
}

struct mirror *remote_source(uint32_t slot, unsigned try)
{
    for (unsigned i = 0; i < remote_nr; i++) {
        struct mirror *m = remote_mirrors[(turn + try + i) % remote_nr];

        if (m->node.state == NODE_IS_UP && !slot_is_set(m->stale, slot))
            return m;
    }
    return NULL;
}

/* May a node that has the slot come back? */
static bool hope(uint32_t slot, bool write)
{
    for (unsigned i = 0; i < remote_nr; i++) {
        const struct mirror *m = remote_mirrors[i];

        if (m->node.state != NODE_IS_DEAD && (write || !slot_is_set(m->stale, slot)))
            return true;
    }
    return false;
}

/* ---- Requests ---- */

static void *place_of(const struct far_io *io)
{
    return phys_to_virt(io->page);
}

static uint64_t offset_of(const struct far_io *io)
{
    return (io->slot - 1ull) * PAGE_SIZE + io->at;
}

static bool post_read(struct far_io *io)
{
    struct mirror *m = remote_source(io->slot, io->tries);

    if (m == NULL ||
        !node_post(&m->node, io->class, false, offset_of(io), place_of(io), io->len, io))
        return false;
    turn++;
    return true;
}

/* To all nodes at once; the others lack it from now on. */
static bool post_write(struct far_io *io)
{
    unsigned up = 0;

    for (unsigned i = 0; i < remote_nr; i++) {
        const struct node *n = &remote_mirrors[i]->node;

        if (n->state != NODE_IS_UP)
            continue;
        if (roce_room(&n->link[io->class].qp) == 0)
            return false;
        up++;
    }
    if (up == 0)
        return false;
    io->left = io->good = 0;
    remote_written[io->slot / 64] |= 1ull << io->slot % 64;
    remote_writing[io->slot / 64] |= 1ull << io->slot % 64;
    for (unsigned i = 0; i < remote_nr; i++) {
        struct mirror *m = remote_mirrors[i];

        replicate_overtaken(m, io->slot);
        if (node_post(&m->node, io->class, true, offset_of(io), place_of(io), PAGE_SIZE, io))
            io->left++;
        else
            remote_mark_stale(m, io->slot);
    }
    return io->left > 0;
}

static void pump(void)
{
    while (!list_empty(&waiting)) {
        struct far_io *io = list_first(&waiting, struct far_io, link);
        bool write = io->class == FAR_EVICT;

        if (unlikely(!hope(io->slot, write))) {
            list_remove(&io->link);
            far_io_done(io, -EIO);
            continue;
        }
        if (!(write ? post_write(io) : post_read(io)))
            break;
        list_remove(&io->link);
    }
}

void node_landed(void *cookie, phys_t page)
{
    struct far_io *io = cookie;

    if (replicate_landed(cookie, page))
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

    if (replicate_done(cookie, status))
        return;
    if (io->class != FAR_EVICT) {
        if (status == 0) {
            far_io_done(io, 0);
        } else { /* the connection has failed: from another one, or again */
            remote_stats.failovers++;
            list_push_front(&waiting, &io->link);
        }
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

void node_lost(struct node *n)
{
    remote_stats.lost++;
    kprintf("wherry: memory node %u.%u.%u.%u is lost: it %s\n", n->ip >> 24, n->ip >> 16 & 255,
            n->ip >> 8 & 255, n->ip & 255, n->why);
}

void node_back(struct node *n, bool empty)
{
    struct mirror *m = mirror_of(n);

    for (uint32_t slot = 1; empty && slot <= remote_slots; slot++)
        if (slot_is_set(remote_written, slot))
            remote_mark_stale(m, slot);
    kprintf("wherry: memory node %u.%u.%u.%u is back%s, and lacks %lu pages\n", n->ip >> 24,
            n->ip >> 16 & 255, n->ip >> 8 & 255, n->ip & 255, empty ? ", empty" : "", m->nr_stale);
}

/* Before it ever was there remote_config.c says so. */
void node_dead(struct node *n)
{
    if (n->losses > 0)
        kprintf("wherry: memory node %u.%u.%u.%u %s: what it held is lost\n", n->ip >> 24,
                n->ip >> 16 & 255, n->ip >> 8 & 255, n->ip & 255,
                n->session.error == -ESTALE ? "has forgotten us" : "refuses to go on");
}

/* ---- The backend ---- */

static void step(uint64_t now)
{
    due = UINT64_MAX;
    for (unsigned i = 0; i < remote_nr; i++)
        due = MIN(due, node_poll(&remote_mirrors[i]->node, now));
    pump();
    replicating = replicate_run();
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
    return clock_mono_ns() < due && !replicating;
}

static struct far_backend remote = {.name = "memory node",
                                    .submit = remote_submit,
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
    while (left && clock_mono_ns() < end) {
        pollers_run();
        left = false;
        for (unsigned i = 0; i < remote_nr; i++)
            left |= !node_is_closed(&remote_mirrors[i]->node);
    }
}

static uint64_t *map_of_slots(void)
{
    size_t bytes = (remote_slots / 64 + 1) * sizeof(uint64_t);
    uint64_t *map = vmalloc(bytes);

    if (map != NULL)
        memset(map, 0, bytes);
    return map;
}

int remote_start(void)
{
    timer_init(&wake, nothing);
    remote_written = map_of_slots();
    remote_writing = map_of_slots();
    if (remote_written == NULL || remote_writing == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < remote_nr; i++) {
        remote_mirrors[i]->stale = map_of_slots();
        if (remote_mirrors[i]->stale == NULL)
            return -ENOMEM;
    }
    remote.slots = remote_slots;
    power_register_farewell(farewell);
    return far_use(&remote);
}
