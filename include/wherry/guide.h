/*
 * Guides: prefetchers of far memory that know one application (docs/far-memory.md, "Guides"). A
 * guide is a shared object, loaded into the kernel at boot (`wherry run --far
 * ...,prefetch=guide:NAME`), that sees the application's function calls and page faults, reads what
 * of its memory is here, and asks for what will be needed. It cannot change anything.
 *
 * It is compiled without SSE and red zone, as it runs inside the kernel, and linked against
 * nothing:
 *
 *     gcc -O2 -shared -fPIC -ffreestanding -nostdlib -mgeneral-regs-only -mno-red-zone
 *         -I include -o mine.so mine.c
 *
 * It defines `wherry_guide`, and calls the functions below; memcpy, memset, memmove and memcmp are
 * there too. All its functions run to their end, one at a time, on a kernel stack of a few KiB, and
 * must not last: one that takes longer than GUIDE_LIMIT_MS, or raises an exception, ends the guide,
 * and the application goes on without it. Memory of the application is only read by guide_read():
 * an access of the guide's own would be such an exception where the page is away.
 *
 * Addresses of the application are numbers here. What they lead to may be anything: a guide that
 * follows a wrong pointer reads nonsense or gets an error, and asks for too much, but breaks
 * nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHERRY_GUIDE_API 1
#define GUIDE_COUNTERS   8
#define GUIDE_PART_MAX   256
#define GUIDE_LIMIT_MS   20

#ifndef EFAULT
#define EFAULT 14
#endif
#ifndef EAGAIN
#define EAGAIN 11
#endif
#ifndef EINVAL
#define EINVAL 22
#endif
#ifndef ENOSPC
#define ENOSPC 28
#endif

/* What the function that was called is to do: go on, or first wait until everything is here that
 * the guide asked for during the call, and during the upcalls that followed from it. */
enum guide_verdict { GUIDE_GO, GUIDE_WAIT };

/* Calls of a function that an object exports (a symbol of .dynsym). */
struct guide_hook {
    const char *function; /* NULL: the end */
    /* Before its first instruction; the integer arguments in order (System V psABI §3.2.3). */
    enum guide_verdict (*called)(const uint64_t arg[6]);
};

/* A program or library whose build-id is one of these: what the guide says of its structures holds.
 */
struct guide_object {
    const char *const
        *build_ids; /* in hexadecimal; NULL at the end. NULL instead of a list: no more objects */
    const struct guide_hook *hooks;
};

struct guide {
    unsigned api; /* WHERRY_GUIDE_API */
    const char *name;
    /* NULL: any program will do. Else no upcall is made for programs that have none of these. */
    const struct guide_object *objects;
    /* Upcalls; each may be NULL. */
    /* An access to a page that is away, or (coming) on its way. True: this guide sees to what
     * else is wanted; else the ordinary prefetcher does. */
    bool (*fault)(uint64_t address, bool coming);
    /* A page that guide_tell() was about is here. */
    void (*arrived)(uint64_t address, uint64_t cookie);
    /* What guide_fetch() was about; data NULL: it could not be had. */
    void (*fetched)(uint64_t address, const void *data, size_t n, uint64_t cookie);
    const char *counters[GUIDE_COUNTERS]; /* names for guide_count(); NULL at the end */
};
extern const struct guide wherry_guide;

/* Copies n bytes of the application's memory. 0; -EAGAIN: some of it is away; -EFAULT: it is not to
 * be had otherwise. */
int guide_read(void *to, uint64_t from, size_t n);
/* Asks for the pages of [from, from + n), in order, as soon as there is room. 0; -ENOSPC: too much
 * is being asked for already. */
int guide_want(uint64_t from, uint64_t n);
/* The same for the page that holds address, and arrived(address, cookie) is to be called when it is
 * here. 1: it is here already, and there will be no upcall. 0, -ENOSPC. */
int guide_tell(uint64_t address, uint64_t cookie);
/* Reads n bytes, at most GUIDE_PART_MAX and within one page, without bringing the page: fetched()
 * is called. Not verified: hints only. 1: it is here already, use guide_read(). 0, -EINVAL,
 * -ENOSPC. */
int guide_fetch(uint64_t address, size_t n, uint64_t cookie);
/* Adds n to counter i, of those named above: /proc/wherry/guides. */
void guide_count(unsigned i, uint64_t n);
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
/* A line on the console. Once: not for every request. */
void guide_log(const char *text);
