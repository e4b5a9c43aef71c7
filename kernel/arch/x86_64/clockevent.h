/*
 * The one-shot interrupt that ends sleeps and slices: the local APIC's timer, in TSC-deadline
 * mode where there is one.
 */
#pragma once

#include "lib/base.h"

/* Makes sure that an interrupt comes at deadline (clock_mono_ns()) or earlier. Cheap when one is
 * already on its way. */
void clockevent_request(uint64_t deadline);
/* The interrupt came: nothing is on its way now. */
void clockevent_fired(void);

void lapic_init(void);
void lapic_eoi(void);
/* The timer as a yardstick for the TSC: started, read in nanoseconds since, given back. Between the
 * first and the last no interrupt can be requested. */
void lapic_calibrate_start(void);
uint64_t lapic_calibrate_elapsed_ns(void);
void lapic_calibrate_end(void);
