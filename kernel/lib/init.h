/*
 * Start-up order without a central list: a module registers a function for a level with
 * INIT(level, fn); kernel_main() runs the levels in order, functions of one level in no
 * particular order. An init function prints its own error and returns a negative errno only
 * if the system cannot go on without it.
 */
#pragma once

#include "lib/base.h"

enum init_level {
    INIT_CORE,   /* memory, traps and time are up; no threads */
    INIT_BUS,    /* the scheduler is up: ACPI tables, PCI, interrupt routing */
    INIT_DRIVER, /* devices are found and bound */
    INIT_NET,    /* the network stack and interfaces */
    INIT_FS,     /* file systems, address families, the root file system */
    INIT_LATE,   /* what needs the root file system; interfaces get their addresses */
    INIT_REMOTE, /* what needs other machines */
    INIT_LEVELS,
};

struct init_entry {
    int (*fn)(void);
    const char *name;
    uint32_t level;
};

/* For kernel_main(): runs one level; the first error. */
int init_run(enum init_level level);

#define INIT(level_, fn_)                                                                          \
    static const struct init_entry init_entry_##fn_                                                \
        __attribute__((section(".init_entries"), used, aligned(8))) = {fn_, #fn_, level_}
