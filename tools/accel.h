/*
 * Is KVM here, and is it real? Some hosts (nested, paravirtual) have a /dev/kvm that emulates
 * guest ring-0 code instruction by instruction, hundreds of times slower than QEMU's own
 * translator. A kernel that runs its application in ring 0 cannot use that, so it is timed.
 * Host code; blocks for at most KVM_TEST_LIMIT_MS.
 */
#pragma once

#include "util.h"

#define KVM_TEST_LOOPS    10000
#define KVM_TEST_LIMIT_MS 500

struct kvm_state {
    bool exists;        /* /dev/kvm is there */
    bool usable;        /* ... and runs ring-0 code at a processor's speed */
    double ns_per_loop; /* of a two-instruction loop; 0 if it could not be timed */
    char problem[160];  /* why not usable */
};

/* Measured once, then remembered. */
const struct kvm_state *kvm_measure(void);

/* The host's time stamp counter in kHz: with TCG the guest sees the same one. */
unsigned tsc_khz(void);
