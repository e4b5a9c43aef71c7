/*
 * Page tables (4-level, SDM vol. 3 §4.5). One address space for all; the kernel's half
 * and the application's differ only by address. Pages are mapped with supervisor rights:
 * the application runs in ring 0. CR0.WP makes read-only mean read-only there too.
 */
#pragma once

#include "mm/layout.h"

#define PTE_P     0x001ull
#define PTE_W     0x002ull
#define PTE_PWT   0x008ull
#define PTE_PCD   0x010ull
#define PTE_A     0x020ull
#define PTE_D     0x040ull
#define PTE_HUGE  0x080ull
#define PTE_G     0x100ull
#define PTE_COW   0x200ull /* ours: a write gives the application its own copy */
#define PTE_NX    (1ull << 63)
#define PTE_ADDR  0x000ffffffffff000ull

/* The entry of a 4 KiB page, NULL if its table is missing (create: and could not be made) or a
 * 2 MiB page is in the way (then *huge points to that entry, if huge is given). */
uint64_t *pte_lookup(virt_t va, bool create, uint64_t **huge);
/* The entry at the 2 MiB level; NULL if missing. */
uint64_t *pde_lookup(virt_t va, bool create);
/* Replaces a 2 MiB mapping by 512 small ones with the same rights; 0 or -ENOMEM. */
int pde_split(uint64_t *pde, virt_t va);
/* The same with a frame of the caller's for the table. */
void pde_split_into(uint64_t *pde, virt_t va, phys_t table);
/* Frees the page table below pde (all its entries must be clear). */
void pde_free_table(uint64_t *pde);

/* Maps pages in the kernel's half; panics if there is no memory for tables. */
void kernel_map(virt_t va, phys_t pa, size_t size, uint64_t flags);
void kernel_unmap(virt_t va, size_t size);

static inline void tlb_flush_page(virt_t va)
{
    __asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}
void tlb_flush_all(void);

/* The final kernel mappings: direct map of all RAM, image with W^X, no identity map. */
void paging_init(void);
extern uint64_t paging_table_frames; /* page tables allocated */
