/*
 * The clocks, in nanoseconds. Any context.
 */
#pragma once

#include "lib/base.h"

uint64_t clock_mono_ns(void);          /* CLOCK_MONOTONIC: since boot, never steps */
uint64_t clock_real_ns(void);          /* CLOCK_REALTIME: since the epoch */
int clock_set_real(uint64_t epoch_ns); /* clock_settime, settimeofday */
