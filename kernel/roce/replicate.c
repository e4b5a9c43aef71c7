/*
 * A node that was lost lacks what was written meanwhile, and one that was started anew everything:
 * such slots are marked, and copied from another node in the background, a few at a time. What the
 * backend writes meanwhile is newer. Requests of a connection are carried out in their order, and
 * copies are written by the same one: so it is enough that a copy is not read while its slot is
 * being written, and not written when that has begun since it was read. A slot's place on a node
 * goes when the slot is nobody's any more, or lies elsewhere: a copy of it is then out of date,
 * too. See remote.h.
 */
#include "mm/frame.h"
#include "roce/remote.h"

#define COPIES 8u
/* Bits of the map that one call looks at, at most. */
#define SCAN_WORDS 64u

/* The connections of a node (enum far_class): copies do not stand in the way of those who wait. */
#define LINK_READ  FAR_PREFETCH
#define LINK_WRITE FAR_EVICT

struct copy {
    struct mirror *to; /* NULL: free */
    uint32_t slot;
    bool writing, overtaken;
    phys_t page;
};

static struct copy copies[COPIES];
static unsigned nr_copies;

static struct copy *copy_of(void *cookie)
{
    struct copy *c = cookie;

    return c >= copies && c < copies + COPIES ? c : NULL;
}

static void end(struct copy *c)
{
    c->to = NULL;
    nr_copies--;
}

void replicate_overtaken(uint32_t slot)
{
    for (struct copy *c = copies; nr_copies > 0 && c < copies + COPIES; c++)
        if (c->to != NULL && c->slot == slot)
            c->overtaken = true;
}

bool replicate_busy(uint32_t slot)
{
    for (const struct copy *c = copies; nr_copies > 0 && c < copies + COPIES; c++)
        if (c->to != NULL && c->slot == slot)
            return true;
    return false;
}

static bool copying(const struct mirror *m, uint32_t slot)
{
    for (const struct copy *c = copies; nr_copies > 0 && c < copies + COPIES; c++)
        if (c->to == m && c->slot == slot)
            return true;
    return false;
}

/* False: no other can be begun now either. */
static bool begin(struct mirror *m, uint32_t slot)
{
    struct mirror *from = remote_source(slot, 0);
    struct copy *c = copies;

    if (from == NULL)
        return true; /* until a node is back */
    while (c->to != NULL)
        c++;
    if (c->page == 0 && !(c->page = frame_alloc(0)))
        return false;
    *c = (struct copy){.to = m, .slot = slot, .page = c->page};
    if (!node_post(&from->node, LINK_READ, false, remote_offset(from, slot), phys_to_virt(c->page),
                   PAGE_SIZE, c)) {
        c->to = NULL;
        return false;
    }
    nr_copies++;
    return true;
}

/* The next marked slots of one node. */
static void run(struct mirror *m)
{
    uint32_t words = remote_slots / 64 + 1;

    for (unsigned n = 0; n < MIN(SCAN_WORDS, words) && nr_copies < COPIES; n++) {
        uint64_t bits = m->stale[m->scan];

        for (; bits != 0 && nr_copies < COPIES; bits &= bits - 1) {
            uint32_t slot = m->scan * 64 + (uint32_t)__builtin_ctzll(bits);

            if (!copying(m, slot) && !slot_is_set(remote_writing, slot) && !begin(m, slot))
                return;
        }
        if (bits == 0)
            m->scan = m->scan + 1 < words ? m->scan + 1 : 0;
    }
}

bool replicate_run(void)
{
    bool wanted = nr_copies > 0;

    for (unsigned i = 0; i < remote_nr; i++) {
        struct mirror *m = remote_mirrors[i];

        if (m->nr_stale == 0 || m->leaving || m->node.state != NODE_IS_UP)
            continue;
        run(m);
        wanted = true;
    }
    return wanted;
}

bool replicate_landed(void *cookie, phys_t page)
{
    struct copy *c = copy_of(cookie);

    if (c == NULL)
        return false;
    frame_put(c->page);
    c->page = page;
    return true;
}

bool replicate_done(void *cookie, int status)
{
    struct copy *c = copy_of(cookie);

    if (c == NULL)
        return false;
    if (status < 0 || (!c->writing && c->overtaken)) {
        end(c); /* it is still marked, or what the backend wrote is there */
    } else if (!c->writing) {
        c->writing = true;
        if (!node_post(&c->to->node, LINK_WRITE, true, remote_offset(c->to, c->slot),
                       phys_to_virt(c->page), PAGE_SIZE, c))
            end(c);
    } else {
        if (!c->overtaken) {
            remote_mark_fresh(c->to, c->slot);
            remote_stats.replicated++;
        }
        end(c);
    }
    return true;
}
