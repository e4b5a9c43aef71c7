/*
 * What the clock tells POSIX timers (linux/sys_timer.c). Any context.
 */
#pragma once

/* CLOCK_REALTIME was set: timers with an absolute time on it move. After every clock_set_real(). */
void posix_timers_clock_was_set(void);
