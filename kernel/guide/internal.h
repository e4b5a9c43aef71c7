/*
 * What the files of kernel/guide share: guide.c (loading, calls into guides, the prefetcher),
 * want.c (what they asked for, and who waits for it), api.c (the functions they call), hook.c
 * (breakpoints), proc.c (/proc/wherry/guides).
 */
#pragma once

#include "guide/guide.h"

#include <wherry/guide.h>

#define GUIDES_MAX 4u
#define NO_JOB     0xffu

struct guest_guide {
    const struct guide *g; /* in the image */
    char name[32];         /* of the file */
    virt_t start, end;     /* of the image */
    bool off;              /* it has failed */
    bool known;            /* the program, or a library, is one that it knows */
    uint64_t calls, faults, asked, waits, wait_ns;
    uint64_t counter[GUIDE_COUNTERS];
    const char *counter_name[GUIDE_COUNTERS]; /* checked */
};
extern struct guest_guide guides[GUIDES_MAX];
extern unsigned nr_guides;
/* Hooks of objects whose build-id the guide does not know: wherry.far.guide.force */
extern bool guide_force;

/* Who runs, and on whose behalf what it asks for is waited for. */
struct guide_context {
    struct guest_guide *guide;
    uint8_t job; /* NO_JOB: nobody waits */
};
extern struct guide_context guide_now;

/* guide.c: calls a function of the guide, for a job. False: it failed, and the guide is off. */
bool guide_run(struct guest_guide *g, uint8_t job, const void *fn, uint64_t a, uint64_t b,
               uint64_t c, uint64_t d, uint64_t *value);
/* Does n bytes at p lie in the guide's image? */
bool guide_owns(const struct guest_guide *g, const void *p, size_t n);
/* A string of the guide's: at most size - 1 bytes of it; false: it is none. */
bool guide_string(const struct guest_guide *g, const char *s, char *to, size_t size);

/* want.c */
uint8_t job_new(void); /* NO_JOB: there is none free */
/* Sleeps until everything that was asked for on the job's behalf is here or given up. True: it had
 * to. */
bool job_wait(uint8_t job);
void job_end(uint8_t job);
/* On behalf of guide_now. As the functions of the same name in include/wherry/guide.h. */
int want_range(virt_t from, uint64_t n);
int want_tell(virt_t address, uint64_t cookie);
int want_fetch(virt_t address, size_t n, uint64_t cookie);
int want_read(void *to, virt_t from, size_t n);
void want_came(virt_t va, bool good);
void want_came_part(unsigned tag, bool good);
void want_poll(void);
int want_init(void);

/* api.c */
uint64_t guide_resolve(const char *name);
