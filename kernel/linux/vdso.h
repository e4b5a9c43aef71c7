/*
 * The vDSO: a small ELF object in the application's address space through which the C
 * library reads clocks without a system call.
 */
#pragma once

#include "mm/layout.h"

/* Maps it for a new program; 0 or -errno. */
int vdso_map(void);
/* AT_SYSINFO_EHDR; 0 before vdso_map(). */
virt_t vdso_base(void);
