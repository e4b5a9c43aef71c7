/*
 * Reports of what went wrong for good: the kernel's panic (lib/base.h), a fault in the kernel
 * (arch/x86_64/hooks.h) and the death of the application by a signal. Any context, never sleep.
 */
#pragma once

#include "arch/x86_64/trap.h"

/* The exit status of a machine whose kernel panicked, as the host sees it; an application that
 * wants the same one is told apart by the report. */
#define STATUS_PANIC 125

/*
 * Reports an application that dies of a signal with the registers it had; fault_addr as in siginfo
 * for SIGSEGV and SIGBUS. Returns; the caller ends the machine.
 */
void crash_report(const struct trap_frame *f, int sig, virt_t fault_addr);
/* Memory is out, and the application dies of it: who held it. Returns. */
void crash_report_memory(void);
