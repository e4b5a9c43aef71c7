/*
 * The virtual address space, one for everything (4-level paging, SDM vol. 3 §4.5).
 *
 *   0000'0000'0001'0000  application: ELF images, heap, mappings, stacks, vDSO
 *   0000'7fff'ffff'f000  end of the application's half
 *   ffff'8000'0000'0000  direct map of all physical memory, NX
 *   ffff'c000'0000'0000  kernel mappings made at run time: vmalloc, device registers
 *   ffff'ffff'8000'0000  physical 0..1 GiB once more, where the kernel image is linked
 */
#pragma once

#include "lib/base.h"

#define USER_MIN       0x0000000000010000ul
#define USER_MAX       0x00007ffffffff000ul
#ifdef WHERRY_HOST_TEST
extern uintptr_t host_direct_base; /* unit tests: where "physical" memory is */
#define DIRECT_BASE    host_direct_base
#else
#define DIRECT_BASE    0xffff800000000000ul
#endif
#define KVMAP_BASE     0xffffc00000000000ul
#define KVMAP_END      0xffffc10000000000ul
#define KERNEL_BASE    0xffffffff80000000ul
#define KERNEL_PHYS    0x100000ul

static inline void *phys_to_virt(phys_t p)
{
    return (void *)(p + DIRECT_BASE);
}

/* For direct-map and kernel-image addresses only. */
static inline phys_t virt_to_phys(const void *v)
{
    virt_t a = (virt_t)v;
    return a >= KERNEL_BASE ? a - KERNEL_BASE : a - DIRECT_BASE;
}
