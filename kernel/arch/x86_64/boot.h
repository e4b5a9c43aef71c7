/*
 * What the boot protocol (PVH or Linux 64-bit) told us, in one form. Filled by
 * arch/x86_64/bootinfo.c before memory is set up; read by anyone after.
 */
#pragma once

#include "lib/base.h"

#define BOOT_MAX_REGIONS 64
#define BOOT_CMDLINE_MAX 4096

struct boot_region {
    phys_t start, end;
    bool ram; /* usable memory; else reserved or ACPI */
};

struct boot_info {
    const char *protocol;       /* "pvh" or "linux64" */
    struct boot_region regions[BOOT_MAX_REGIONS];
    unsigned nr_regions;        /* sorted, no overlap, RAM rounded inwards to pages */
    phys_t initrd_start, initrd_end; /* 0 if there is none */
    phys_t rsdp;                /* 0 if not given */
    char cmdline[BOOT_CMDLINE_MAX];
};

extern struct boot_info boot_info;
