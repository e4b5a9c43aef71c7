/*
 * One run of the generator: its threads, started together, and what they counted as one. Called by
 * load.c for the measurement and, before it, for filling the store.
 */
#pragma once

#include "worker.h"

/* Everything but the workload is taken from the options. */
void run_init(struct run *r, const struct load_options *o, struct workload_shared *w);
/* Blocks until the run is over; into is initialised by it. Returns its recorded seconds. */
double run_all(struct run *r, struct tally *into);
/* Fills the store, and reads all of it back; dies if an answer is not good. */
void run_fill(const struct load_options *o);
