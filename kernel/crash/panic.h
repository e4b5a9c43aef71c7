/*
 * What a report of the kernel's or the application's end consists of: panic() (lib/base.h) and
 * kernel_fault() (arch/x86_64/hooks.h) print one and end the machine; linux/crash.c makes another
 * of the same parts. Any context, never sleep.
 */
#pragma once

#include "arch/x86_64/trap.h"
#include "lib/unwind.h"

/* The exit status of a machine whose kernel panicked, as the host sees it; an application that
 * wants the same one is told apart by the report. */
#define STATUS_PANIC 125

/* Every report begins and ends with these. A fault in a report: what is said, and the machine
 * ends. */
void panic_enter_report(const char *what);
void panic_leave_report(void);
void panic_print_registers(const struct unwind_cursor *c);
void panic_print_code(virt_t rip);
void panic_print_thread(void);
void panic_print_memory(void);
/* "reading", "writing", "executing": what a page fault was about. */
const char *panic_access_text(const struct trap_frame *f);
