/*
 * READs of whole pages. One that somebody waits for, and that is not answered in a time in which
 * most are, is asked of a second node as well ("hedged": Dean and Barroso, The Tail at Scale,
 * CACM 2013); the first answer counts. Each READ fills a page of its own, so the one that comes too
 * late does no harm; it is known by its record here, which stays until its connection is done with
 * it. A node that owes such an answer is asked last, until it gives it. See remote.h.
 */
#include "mm/far/far.h"
#include "mm/frame.h"
#include "roce/remote.h"
#include "sched/clock.h"

/* More than mm/far has transfers: those that came too late are in addition. */
#define READS 256u
/* A node is not slow before this, however fast it mostly is: its process waits for its CPU, too. */
#define SLOW_MIN_NS NSEC_PER_MSEC

struct read {
    struct list link;    /* of those that are posted, the oldest first */
    struct far_io *io;   /* NULL: free, or the other one was faster */
    struct mirror *from; /* NULL: free */
    struct read *other;  /* of the same page, of another node */
    phys_t page;         /* what it fills */
    uint64_t slow_at;
    bool second, overdue; /* it is the hedge; there is one for it */
};

static struct read reads[READS];
static unsigned nr_reads, newest;
static struct list posted = LIST_INIT(posted);
static uint64_t due = UINT64_MAX;

static struct read *read_of(void *cookie)
{
    struct read *r = cookie;

    return r >= reads && r < reads + READS ? r : NULL;
}

static struct read *new_read(void)
{
    if (nr_reads == READS)
        return NULL;
    while (reads[newest].from != NULL)
        newest = (newest + 1) % READS;
    return &reads[newest];
}

static bool post(struct far_io *io, struct mirror *m, phys_t page, uint64_t now, struct read **made)
{
    struct read *r = new_read();

    if (r == NULL || !node_post(&m->node, io->class, false, remote_offset(m, io->slot),
                                phys_to_virt(page), PAGE_SIZE, r))
        return false;
    *r = (struct read){.io = io,
                       .from = m,
                       .page = page,
                       .slow_at =
                           now + MAX(roce_rtt_most(&m->node.link[io->class].qp.rtt), SLOW_MIN_NS)};
    list_push_back(&posted, &r->link);
    nr_reads++;
    *made = r;
    return true;
}

bool reads_post(struct far_io *io, uint64_t now)
{
    struct mirror *m;
    struct read *r;

    if (io->tries == 0)
        io->left = 0; /* nodes that have given a wrong page */
    m = remote_source(io->slot, io->left);
    if (m == NULL || !post(io, m, io->page, now, &r))
        return false;
    if (remote_nr > 1)
        due = MIN(due, r->slow_at);
    return true;
}

static bool is_waited_for(const struct far_io *io)
{
    return io->class == FAR_DEMAND || !list_empty(&io->waiters.waiters);
}

/* Asks another node for the same page. */
static void hedge(struct read *r, uint64_t now)
{
    struct mirror *m = remote_source(r->io->slot, r->io->left | 1u << remote_number(r->from));
    struct read *other;
    phys_t page;

    if (m == NULL || m == r->from || m->overdue > 0)
        return;
    page = frame_alloc(0);
    if (page == 0)
        return;
    if (!post(r->io, m, page, now, &other)) {
        frame_put(page);
        return;
    }
    other->second = true;
    other->other = r;
    r->other = other;
    r->from->overdue += !r->overdue; /* not so if the other node was lost, and this is a third */
    r->overdue = true;
    r->from->hedged++;
    remote_stats.hedged++;
}

uint64_t reads_hedge(uint64_t now)
{
    if (likely(now < due))
        return due;
    due = UINT64_MAX;
    list_for_each (r, &posted, struct read, link) {
        if (r->io == NULL || r->other != NULL || r->second)
            continue;
        if (now >= r->slow_at && is_waited_for(r->io))
            hedge(r, now);
        if (r->other == NULL) /* somebody may begin to wait for it, or another node be there */
            due = MIN(due, MAX(r->slow_at, now + SLOW_MIN_NS));
    }
    return due;
}

bool reads_busy(uint32_t slot)
{
    list_for_each (r, &posted, struct read, link)
        if (r->io != NULL && r->io->slot == slot)
            return true;
    return false;
}

bool reads_landed(void *cookie, phys_t page)
{
    struct read *r = read_of(cookie);

    if (r == NULL)
        return false;
    frame_put(r->page);
    r->page = page;
    return true;
}

bool reads_done(void *cookie, int status)
{
    struct read *r = read_of(cookie), done;

    if (r == NULL)
        return false;
    done = *r;
    list_remove(&r->link);
    *r = (struct read){0};
    nr_reads--;
    if (done.overdue)
        done.from->overdue--;
    if (done.other != NULL)
        done.other->other = NULL;
    if (done.io == NULL || (status < 0 && done.other != NULL)) {
        frame_put(done.page); /* the other one was faster, or may still come */
        return true;
    }
    done.io->page = done.page;
    if (status < 0) {
        remote_again(done.io);
        return true;
    }
    if (done.other != NULL) {
        done.other->io = NULL;
        remote_stats.hedges_won += done.second;
    }
    done.io->left |= 1u << remote_number(done.from);
    far_io_done(done.io, 0);
    return true;
}
