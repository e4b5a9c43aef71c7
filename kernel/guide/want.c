/*
 * What guides have asked for: ranges that wait for room, pages under way that an upcall or a
 * waiting thread depends on, and parts of pages. Called by api.c for the guide that runs, and by
 * mm/far, as its prefetcher, when pages come. Upcalls are made from want_poll() only, where nothing
 * is half done.
 *
 * A job is what a thread waits for after a call with GUIDE_WAIT: it counts everything that was
 * asked for on its behalf, directly or by upcalls that followed. Every count goes down: a page
 * comes, fails, or, if nothing is under way any more, is given up; and a job may ask for so much
 * only.
 */
#include "guide/internal.h"
#include "mm/far/far.h"
#include "mm/far/prefetch.h"
#include "mm/frame.h"
#include "mm/mmu.h"
#include "sched/clock.h"
#include "sched/timer.h"
#include "sched/wait.h"

#include <asm/errno.h>

#define PENDING    256u
#define RANGES     64u
#define PARTS      (PAGE_SIZE / GUIDE_PART_MAX)
#define JOBS       16u
#define JOB_BUDGET 4096u /* pages and upcalls of one job */
#define NONE       0xffffu
/* While an upcall is due to follow an arrival the devices are looked at so often, even if the
 * application computes: what comes is otherwise noticed at its next entry into the kernel, and a
 * way of several links would go on by one at a time. About a round trip. */
#define LOOK_NS 50000u

enum kind { KIND_PAGE, KIND_TELL, KIND_FETCH, KIND_PART };

struct pending {
    virt_t address;
    uint64_t cookie;
    struct guest_guide *guide;
    uint16_t next; /* in its list */
    uint16_t n;    /* KIND_FETCH, KIND_PART: bytes */
    uint8_t kind, job, part;
    bool good;
};

struct range {
    virt_t at, end;
    struct guest_guide *guide;
    uint8_t job;
};

struct job {
    bool used;
    unsigned pending, budget;
    struct waitq done;
};

static struct pending pendings[PENDING];
static uint16_t free_list, waiting = NONE, due = NONE, due_last;
static struct range ranges[RANGES]; /* a ring */
static unsigned range_first, range_count;
static struct job jobs[JOBS];
static uint8_t *parts; /* a frame: PARTS buffers */
static uint16_t parts_used;
static unsigned telling; /* upcalls that are to follow */
static struct timer look;

/* ---- Jobs ---- */

uint8_t job_new(void)
{
    for (unsigned i = 0; i < JOBS; i++)
        if (!jobs[i].used && jobs[i].pending == 0) {
            jobs[i].used = true;
            jobs[i].budget = JOB_BUDGET;
            return (uint8_t)i;
        }
    return NO_JOB;
}

static void job_more(uint8_t job)
{
    if (job != NO_JOB)
        jobs[job].pending++;
}

static void job_less(uint8_t job)
{
    if (job != NO_JOB && --jobs[job].pending == 0)
        waitq_wake_all(&jobs[job].done, 1);
}

bool job_wait(uint8_t job)
{
    bool slept = false;

    for (; job != NO_JOB && jobs[job].pending > 0; slept = true)
        waitq_sleep_uninterruptible(&jobs[job].done, 1, WAIT_FOREVER);
    return slept;
}

void job_end(uint8_t job)
{
    if (job != NO_JOB)
        jobs[job].used = false; /* it is free when what is under way for it has come */
}

static bool job_affords(uint8_t job, uint64_t pages)
{
    if (job == NO_JOB)
        return pages <= JOB_BUDGET;
    if (pages > jobs[job].budget)
        return false;
    jobs[job].budget -= (unsigned)pages;
    return true;
}

/* ---- Under way ---- */

static struct pending *pending_new(enum kind kind, virt_t address, struct guest_guide *g,
                                   uint8_t job)
{
    struct pending *p;

    if (free_list == NONE)
        return NULL;
    p = &pendings[free_list];
    free_list = p->next;
    *p = (struct pending){.address = address, .guide = g, .kind = kind, .job = job, .next = NONE};
    job_more(job);
    if (kind != KIND_PAGE && telling++ == 0)
        (void)timer_set(&look, clock_mono_ns() + LOOK_NS);
    return p;
}

static void pending_free(struct pending *p)
{
    job_less(p->job);
    telling -= p->kind != KIND_PAGE;
    p->next = free_list;
    free_list = (uint16_t)(p - pendings);
}

static void wait_for_page(struct pending *p)
{
    p->next = waiting;
    waiting = (uint16_t)(p - pendings);
}

/* Its upcall is to be made. */
static void now_due(struct pending *p)
{
    uint16_t i = (uint16_t)(p - pendings);

    p->next = NONE;
    if (due == NONE)
        due = i;
    else
        pendings[due_last].next = i;
    due_last = i;
}

void want_came(virt_t va, bool good)
{
    for (uint16_t *link = &waiting; *link != NONE;) {
        struct pending *p = &pendings[*link];

        if (ALIGN_DOWN(p->address, PAGE_SIZE) != va) {
            link = &p->next;
            continue;
        }
        *link = p->next;
        p->good = good;
        if (p->kind == KIND_PAGE)
            pending_free(p);
        else
            now_due(p);
    }
}

void want_came_part(unsigned tag, bool good)
{
    pendings[tag].good = good;
    now_due(&pendings[tag]);
}

/* The tick that comes with it polls. */
static void on_look(struct timer *t)
{
    if (telling > 0)
        (void)timer_set(t, clock_mono_ns() + LOOK_NS);
}

/* ---- Asking ---- */

/* Goes on with the oldest ranges while there is room. */
static void pump(void)
{
    while (range_count > 0) {
        struct range *r = &ranges[range_first];

        while (r->at < r->end) {
            int state = far_ask(r->at);
            struct pending *p;

            if (state < 0 && far_is_reading())
                return; /* there will be room when something has come */
            if (state < 0)
                break; /* local memory is full of pages in use: not now, not soon */
            r->guide->asked += state;
            if (state > 0 && r->job != NO_JOB &&
                (p = pending_new(KIND_PAGE, r->at, r->guide, r->job)) != NULL)
                wait_for_page(p);
            r->at += PAGE_SIZE;
        }
        job_less(r->job);
        range_first = (range_first + 1) % RANGES;
        range_count--;
    }
}

int want_range(virt_t from, uint64_t n)
{
    virt_t end;
    uint64_t pages;

    if (n == 0)
        return 0;
    if (from >= USER_MAX || n > USER_MAX - from)
        return -EINVAL;
    end = ALIGN_UP(from + n, PAGE_SIZE);
    from = ALIGN_DOWN(from, PAGE_SIZE);
    pages = (end - from) / PAGE_SIZE;
    if (range_count == RANGES || !job_affords(guide_now.job, pages))
        return -ENOSPC;
    ranges[(range_first + range_count++) % RANGES] =
        (struct range){from, end, guide_now.guide, guide_now.job};
    job_more(guide_now.job);
    pump();
    return 0;
}

static bool is_away(virt_t va)
{
    const uint64_t *pte = pte_lookup(va, false, NULL);

    return pte && pte_is_far(*pte);
}

int want_tell(virt_t address, uint64_t cookie)
{
    struct pending *p;
    int state;

    if (address >= USER_MAX)
        return -EINVAL;
    if (!is_away(address))
        return 1;
    if (!job_affords(guide_now.job, 1))
        return -ENOSPC;
    state = far_ask(address);
    p = state < 0 ? NULL : pending_new(KIND_TELL, address, guide_now.guide, guide_now.job);
    if (p == NULL)
        return -ENOSPC;
    guide_now.guide->asked++;
    p->cookie = cookie;
    wait_for_page(p);
    return 0;
}

int want_fetch(virt_t address, size_t n, uint64_t cookie)
{
    unsigned part = 0;
    struct pending *p;
    int r;

    if (address >= USER_MAX || n == 0 || n > GUIDE_PART_MAX ||
        (address & ~PAGE_MASK) + n > PAGE_SIZE)
        return -EINVAL;
    if (!is_away(address))
        return 1;
    while (part < PARTS && parts_used >> part & 1)
        part++;
    if (part == PARTS || !job_affords(guide_now.job, 1))
        return -ENOSPC;
    p = pending_new(KIND_PART, address, guide_now.guide, guide_now.job);
    if (p == NULL)
        return -ENOSPC;
    p->cookie = cookie;
    p->n = (uint16_t)n;
    p->part = (uint8_t)part;
    r = far_ask_part(address, n, parts + part * GUIDE_PART_MAX, (unsigned)(p - pendings));
    if (r == 0) {
        parts_used |= (uint16_t)(1u << part);
    } else if (r == -EBUSY) { /* the whole page is coming anyway */
        p->kind = KIND_FETCH;
        wait_for_page(p);
    } else {
        pending_free(p);
        return -ENOSPC;
    }
    guide_now.guide->asked++;
    return 0;
}

/* What the pages hold is copied by the kernel's own addresses: neither does it fault nor count as
 * use. */
int want_read(void *to, virt_t from, size_t n)
{
    if (from >= USER_MAX || n > USER_MAX - from)
        return -EFAULT;
    while (n > 0) {
        size_t off = from & ~PAGE_MASK, len = MIN(n, PAGE_SIZE - off);
        uint64_t *huge, *pte = pte_lookup(from, false, &huge);
        phys_t page;

        if (huge && *huge & PTE_P)
            page = (*huge & PTE_ADDR & ~(HUGE_SIZE - 1)) + (from & (HUGE_SIZE - 1) & PAGE_MASK);
        else if (pte && *pte & PTE_P)
            page = *pte & PTE_ADDR;
        else
            return pte && pte_is_far(*pte) ? -EAGAIN : -EFAULT;
        memcpy(to, (uint8_t *)phys_to_virt(page) + off, len);
        to = (uint8_t *)to + len;
        from += len;
        n -= len;
    }
    return 0;
}

/* ---- Upcalls ---- */

static void upcall(struct pending *p)
{
    const struct guide *g = p->guide->g;
    uint8_t copy[GUIDE_PART_MAX];
    const uint8_t *data = NULL;

    if (p->kind == KIND_TELL) {
        if (p->good && g->arrived)
            guide_run(p->guide, p->job, g->arrived, p->address, p->cookie, 0, 0, NULL);
        return;
    }
    if (p->kind == KIND_PART && p->good) {
        data = parts + p->part * GUIDE_PART_MAX;
    } else if (p->kind == KIND_FETCH && p->good && want_read(copy, p->address, p->n) == 0) {
        data = copy;
    }
    if (g->fetched)
        guide_run(p->guide, p->job, g->fetched, p->address, (uint64_t)data, p->n, p->cookie, NULL);
    if (p->kind == KIND_PART)
        parts_used &= (uint16_t) ~(1u << p->part);
}

void want_poll(void)
{
    if (due == NONE && range_count == 0 && waiting == NONE)
        return;
    while (due != NONE) {
        struct pending *p = &pendings[due];

        due = p->next;
        upcall(p);
        pending_free(p);
    }
    pump();
    /* A page may have been unmapped or moved while it was under way: nobody will say that it came.
     */
    while (waiting != NONE && !far_is_reading()) {
        struct pending *p = &pendings[waiting];

        waiting = p->next;
        pending_free(p);
    }
    far_kick();
}

int want_init(void)
{
    phys_t page = frame_alloc(0);

    if (page == 0)
        return -ENOMEM;
    parts = phys_to_virt(page);
    for (unsigned i = 0; i < PENDING; i++)
        pendings[i].next = i + 1 < PENDING ? (uint16_t)(i + 1) : NONE;
    timer_init(&look, on_look);
    for (unsigned i = 0; i < JOBS; i++)
        waitq_init(&jobs[i].done);
    return 0;
}
