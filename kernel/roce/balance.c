/*
 * Pages change nodes when nodes come and go: all slots are looked at in the background, and what
 * placement.h says is done about them. A slot that is to lie on another node gets a place there
 * that is marked as stale; replicate.c fills it, and then the place that is too many is given up. A
 * few slots at a time, so that the nodes' numbers of pages are never far from what they will be.
 * See remote.h.
 */
#include "roce/remote.h"
#include "sched/clock.h"

#define MOVES 8u
/* Slots that one call looks at, at most. */
#define LOOK 512u
/* What cannot be done now is tried again after this. */
#define AGAIN_NS (100 * NSEC_PER_MSEC)

_Static_assert(PLACEMENT_SLACK >= 2 * MOVES, "moves under way do not turn the balance");

static struct move {   /* a node that is being filled with a slot */
    struct mirror *to; /* NULL: free */
    uint32_t slot;
} moves[MOVES];
static unsigned nr_moves;

static bool wanted;
static uint32_t cursor;       /* 0: nothing is being looked at */
static bool changed, waiting; /* in this round: something is another; something has to wait */
static uint64_t again = UINT64_MAX;

void balance_wake(void)
{
    wanted = true;
}

void balance_later(void)
{
    again = MIN(again, clock_mono_ns() + AGAIN_NS);
}

uint64_t balance_deadline(void)
{
    return again;
}

static struct placement_step next_step(uint32_t slot)
{
    struct placement_node table[MIRRORS_MAX];

    remote_table(table);
    return placement_step(table, remote_nr, slot, remote_set_on(slot), remote_set_fresh(slot),
                          remote_copies);
}

static void drop(struct mirror *m, uint32_t slot)
{
    bool moved = remote_is_fresh(m, slot);

    /* What is being read there must stay what it is. */
    if (reads_busy(slot) || replicate_busy(slot)) {
        waiting = true;
        return;
    }
    remote_give_place(m, slot);
    remote_stats.moved += moved;
    changed = true;
}

static void add(struct mirror *m, uint32_t slot)
{
    struct move *v = moves;

    while (v->to != NULL)
        v++;
    if (!remote_take_place(m, slot))
        return;
    remote_mark_stale(m, slot);
    *v = (struct move){.to = m, .slot = slot};
    nr_moves++;
    changed = true;
}

static void look(uint32_t slot)
{
    struct placement_step s;

    if (remote_set_on(slot) == 0) /* it is nobody's */
        return;
    if (slot_is_set(remote_writing, slot)) {
        waiting = true;
        return;
    }
    s = next_step(slot);
    waiting |= s.wanting;
    if (s.drop != PLACEMENT_NONE)
        drop(remote_mirrors[s.drop], slot);
    else if (s.add != PLACEMENT_NONE)
        add(remote_mirrors[s.add], slot);
}

/* Nodes that have been filled, or will not be; then what is too many goes. */
static void finish_moves(void)
{
    for (struct move *v = moves; v < moves + MOVES && nr_moves > 0; v++) {
        if (v->to == NULL)
            continue;
        if (remote_lies_on(v->to, v->slot) && !remote_is_fresh(v->to, v->slot)) {
            if (v->to->node.state == NODE_IS_UP && !v->to->leaving &&
                remote_source(v->slot, 0) != NULL)
                continue;
            if (slot_is_set(remote_writing, v->slot) || replicate_busy(v->slot))
                continue;
            remote_give_place(v->to, v->slot);
            waiting = true;
        }
        v->to = NULL;
        nr_moves--;
        look(v->slot);
    }
}

void balance_without(const struct mirror *m)
{
    for (struct move *v = moves; v < moves + MOVES; v++)
        if (v->to == m) {
            v->to = NULL;
            nr_moves--;
        }
}

static bool some_leave(void)
{
    for (unsigned i = 0; i < remote_nr; i++)
        if (remote_mirrors[i]->leaving && remote_mirrors[i]->places.used > 0)
            return true;
    return false;
}

bool balance_run(uint64_t now)
{
    if (cursor == 0) {
        if (!wanted && now < again)
            return false;
        wanted = changed = waiting = false;
        again = UINT64_MAX;
        cursor = 1;
    }
    finish_moves();
    for (unsigned n = 0; n < LOOK && cursor <= remote_slots; n++, cursor++) {
        if (nr_moves == MOVES)
            return true;
        look(cursor);
    }
    if (cursor <= remote_slots || nr_moves > 0)
        return true;
    cursor = 0;
    if (changed)
        wanted = true;
    else if (waiting || some_leave())
        balance_later();
    return wanted;
}
