/*
 * Restartable sequences (rseq(2)): with one CPU the ids never change; what remains is to
 * send a thread that was interrupted inside a critical section to its abort handler.
 */
#pragma once

#include "arch/x86_64/trap.h"

/* After a preemption or before a signal handler; may sleep (reads application memory). */
void rseq_fix_up(struct trap_frame *f);
