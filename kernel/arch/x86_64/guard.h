/*
 * Calls into code that is not the kernel's own but runs with its rights: a guide (kernel/guide).
 * Interrupts are on meanwhile. An exception in that code, or a time limit, ends the call; an
 * exception in the kernel's functions that it calls is the kernel's, and fatal as ever. One call at
 * a time, from a thread; it does not sleep.
 */
#pragma once

#include "arch/x86_64/trap.h"

struct guard_result {
    uint64_t value;
    uint64_t failed; /* 0: it has returned value */
};

/* How the last failed call ended. */
struct guard_failure {
    uint64_t vector;    /* GUARD_EXPIRED: the time was over */
    virt_t at, address; /* of the instruction; that it accessed, of a page fault */
};
#define GUARD_EXPIRED 0x200u
extern struct guard_failure guard_failure;

struct guard {
    virt_t start, end; /* of the code */
    uint64_t limit;    /* ns for a call; it may last some milliseconds longer */
};

/* Calls fn(a, b, c, d). */
struct guard_result guard_call(const struct guard *g, const void *fn, uint64_t a, uint64_t b,
                               uint64_t c, uint64_t d);
/* For functions that such code calls: the kernel runs with interrupts off. */
static inline void guard_enter_kernel(void)
{
    __asm__ volatile("cli" ::: "memory");
}
static inline void guard_leave_kernel(void)
{
    __asm__ volatile("sti" ::: "memory");
}

/* For traps.c: was that an exception of such code? Then the frame now leads out of the call. */
bool guard_caught(struct trap_frame *f);
/* For traps.c: the timer's interrupt has come while kernel code ran; is it time to end a call? */
void guard_tick(struct trap_frame *f);
