/*
 * What the trap code calls upwards: implemented by linux/. Everything runs on the
 * thread's kernel stack with interrupts off.
 */
#pragma once

#include "arch/x86_64/trap.h"

/* The application did something that cannot be resolved: code and addr as in siginfo_t. */
void user_fault(struct trap_frame *f, int sig, int code, uint64_t addr, unsigned trap);
/* Before the application goes on with frame f: signals, rescheduling. */
void user_return_work(struct trap_frame *f);
/* Another thread ran while the application waited for a page. */
void user_was_preempted(struct trap_frame *f);
/* A page fault at an address of the application's half, from it or from a uaccess: as vma_fault(). */
int user_page_fault(uint64_t addr, bool write, bool exec);
/* The application met a breakpoint. True: it was the kernel's own, and the frame leads on. */
bool user_breakpoint(struct trap_frame *f);
/* Interrupts of devices: drivers' handlers by vector (arch/x86_64/irq_alloc.c). */
void irq_dispatch(unsigned vector);
/* An exception in the kernel itself: reports and powers off (linux/crash.c). */
__noreturn void kernel_fault(struct trap_frame *f, const char *what, uint64_t addr);
