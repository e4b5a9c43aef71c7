/*
 * Parsing the boot protocol's data; called once by kernel_main().
 */
#pragma once

#include "arch/x86_64/boot.h"

#define BOOT_PROTOCOL_PVH   0
#define BOOT_PROTOCOL_LINUX 1

/* Fills boot_info; nonzero when the data makes no sense. info is a physical address. */
int boot_parse(unsigned protocol, uint64_t info);
/* Adds a region, cutting away what overlaps regions that are already there. */
void boot_add_region(struct boot_info *b, uint64_t start, uint64_t size, bool ram);
