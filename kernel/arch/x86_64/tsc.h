/*
 * The time stamp counter as a clock. tsc_params is what the vDSO's page copies.
 */
#pragma once

#include "lib/base.h"

struct tsc_params {
    uint32_t seq;     /* odd while being changed */
    uint32_t shift;   /* ns = base_ns + ((tsc - base_tsc) * mult >> shift), 128-bit product */
    uint64_t mult;
    uint64_t base_tsc;
    uint64_t base_ns; /* monotonic */
    uint64_t real_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC */
};
extern struct tsc_params *tsc_params;

/* Starts measuring the frequency; the boot goes on meanwhile. */
void tsc_init(void);
/* Settles the frequency, if it is still being measured: as late in the boot as possible, but before
 * the first sleep, which needs the timer. */
void tsc_calibrate_slow(void);
extern bool tsc_calibrating;
static inline void tsc_calibrate(void)
{
    if (unlikely(tsc_calibrating))
        tsc_calibrate_slow();
}
uint64_t tsc_from_ns(uint64_t ns);
uint64_t tsc_hz(void);
/* The wall clock at boot as the hypervisor knows it; 0 if it does not. */
uint64_t kvm_wall_clock_ns(void);
/* Sets the wall clock from the epoch in nanoseconds. */
void tsc_set_real(uint64_t epoch_ns);
