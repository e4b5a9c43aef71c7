/*
 * Where pages go: the border between far memory (mm/far) and what holds the pages that are away.
 * A backend has `slots` places of a page each, 1..slots, and moves pages without blocking. It
 * belongs to its own file, is chosen once at boot, and is called by mm/far/io.c alone.
 *
 * All functions run in the kernel as everything does: interrupts off, never preempted, no sleeping.
 */
#pragma once

#include "lib/list.h"
#include "mm/layout.h"
#include "sched/wait.h"

#define FAR_SLOTS_MAX 0x3fffffffu

/* Why a page moves: a thread waits for it, one may want it, it makes room. */
enum far_class { FAR_DEMAND, FAR_PREFETCH, FAR_EVICT, FAR_CLASSES };

/* One page on its way. */
struct far_io {
    struct list link; /* the backend's while it has it */
    phys_t page;      /* what is filled or sent; stays as it is until far_io_done(). The backend may
                         fill another frame instead, put it here and free this one */
    uint32_t slot;
    uint16_t at, len; /* which bytes: from `at` on; to page, where it begins */
    uint8_t class;    /* enum far_class; FAR_EVICT is a write, others are reads */
    uint8_t used;     /* mm/far/io.c's from here on */
    uint8_t orphan;   /* nobody wants the page any more */
    uint8_t part;     /* a prefetcher's far_ask_part(), by `tag` */
    uint16_t tag;
    virt_t va;        /* of the application's page */
    phys_t frame;     /* FAR_EVICT: of which page is a copy */
    uint64_t started; /* clock_mono_ns() */
    struct waitq waiters;
    uint8_t tries;
    /* The backend's. */
    uint64_t ready;
    uint16_t left, good;
};

struct far_backend {
    const char *name;
    uint32_t slots;
    /* Takes an io, to be followed by far_io_done(io, err), never from within. false: its queue is
     * full, and there will be room when something is done. */
    bool (*submit)(struct far_io *io);
    /* What the slot holds is not wanted any more, and nothing of it is under way but parts. NULL:
     * of no interest. */
    void (*forget)(uint32_t slot);
    /* What was submitted is to leave now. */
    void (*kick)(void);
    /* Looks for what has been done; true if there was anything. */
    bool (*poll)(void);
    /* Asks for an interrupt when something is done. false: it is, or there is no such interrupt and
     * something is under way: poll again, do not halt. */
    bool (*arm)(void);
    /* Is there nothing for poll()? */
    bool (*idle)(void);
};

/* err: 0 or a negative errno. For backends. */
void far_io_done(struct far_io *io, int err);
/* Takes b into use, at boot. 0, -EBUSY: there is one; -ENOMEM, -ENXIO: not as the command line
 * wants it, and the console says why. */
int far_use(const struct far_backend *b);
/* The backend has another number of slots from now on. Fewer: those that are taken stay taken,
 * whatever their numbers, and no more than so many are. -ENOMEM: the number is as it was. */
int far_resize(uint32_t slots);
