/*
 * Printing where every thread is: for whoever wonders why nothing goes on. Called by
 * linux/sysrq.c.
 */
#pragma once

/* One report a thread, its name and backtrace, to the console. Never sleeps. */
void threads_print(void);
