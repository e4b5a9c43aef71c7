/*
 * Reports of the application's death. Any context, never sleep.
 */
#pragma once

#include "arch/x86_64/trap.h"

/*
 * Reports an application that dies of a signal with the registers it had; fault_addr as in siginfo
 * for SIGSEGV and SIGBUS. Returns; the caller ends the machine.
 */
void crash_report(const struct trap_frame *f, int sig, virt_t fault_addr);
/* Memory is out, and the application dies of it: who held it. Returns. */
void crash_report_memory(void);
