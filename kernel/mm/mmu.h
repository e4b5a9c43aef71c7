/*
 * Operations on the present pages of a range of the application's address space: what
 * mm/vma.c and mm/fault.c do to page tables. Addresses are page aligned. Never blocks.
 *
 * An entry is 0 (nothing), present, or PTE_NONE: a page that keeps its frame while its
 * mapping is PROT_NONE.
 */
#pragma once

#include "arch/x86_64/paging.h"
#include "mm/vma.h"

#define PTE_NONE 0x400ull /* with P clear */
#define PTE_ANON 0x800ull /* the frame is the application's own, not a file's */

/* Page rights for a mapping's protection, without the address. */
static inline uint64_t mmu_rights(unsigned prot)
{
    return (prot & (PROT_READ | PROT_WRITE | PROT_EXEC) ? PTE_P : PTE_NONE) | PTE_A | PTE_D |
           (prot & PROT_WRITE ? PTE_W : 0) | (prot & PROT_EXEC ? 0 : PTE_NX);
}

extern phys_t mmu_zero; /* the shared frame of zeroes */

void mmu_zap(virt_t start, virt_t end);
/* Makes va a border of pages: a 2 MiB page across it is split. 0 or -ENOMEM. */
int mmu_split(virt_t va);
/* The 2 MiB page at va, whose entry is pde, becomes 512 small ones. 0 or -ENOMEM. */
int mmu_split_huge(uint64_t *pde, virt_t va);
/* The other way, with a copy: all 512 are present, anonymous, nobody else's, and have the same
 * rights. 0 or -ENOMEM. */
int mmu_join_huge(uint64_t *pde, virt_t va);
/* Both ends are borders of pages (mmu_split). */
void mmu_protect(virt_t start, virt_t end, unsigned prot);
/* Moves entries from one range to another of the same length; -ENOMEM for tables. */
int mmu_move(virt_t from, virt_t to, size_t len);
/* Pages that are here; away: NULL, or those that are not (mm/far). */
uint64_t mmu_resident(virt_t start, virt_t end, uint64_t *away);
/* Counts an entry that was made or removed. */
void mmu_account(uint64_t pte, int64_t pages);
void mmu_init(void);
