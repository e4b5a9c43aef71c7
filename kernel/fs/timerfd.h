/*
 * What the clock tells the timer descriptors (fs/timerfd.c). Any context.
 */
#pragma once

/* CLOCK_REALTIME was set: absolute timers on it move, and those with TFD_TIMER_CANCEL_ON_SET are
 * cancelled. Call after every clock_set_real(). */
void timerfd_clock_was_set(void);
