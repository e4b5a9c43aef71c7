/*
 * Page table walks and the kernel's own mappings. Called by mm/ and, for devices, by
 * mmio_map(). Never blocks.
 */
#include "arch/x86_64/paging.h"

#include "arch/x86_64/boot.h"
#include "arch/x86_64/cpu.h"
#include "mm/frame.h"

#include <asm/errno.h>

#define ENTRIES 512

extern uint64_t boot_pml4[ENTRIES];
extern char __image_start[], __text_end[], __rodata_end[], __image_end[];

uint64_t paging_table_frames;

static unsigned index_at(virt_t va, unsigned shift)
{
    return va >> shift & (ENTRIES - 1);
}

static uint64_t *table_of(uint64_t entry)
{
    return phys_to_virt(entry & PTE_ADDR);
}

/* The table that entry points to; made if missing and create. */
static uint64_t *descend(uint64_t *entry, bool create)
{
    phys_t p;

    if (likely(*entry & PTE_P))
        return *entry & PTE_HUGE ? NULL : table_of(*entry);
    if (!create)
        return NULL;
    p = frame_alloc_zero();
    if (!p)
        return NULL;
    paging_table_frames++;
    *entry = p | PTE_P | PTE_W | PTE_A;
    return phys_to_virt(p);
}

uint64_t *pde_lookup(virt_t va, bool create)
{
    uint64_t *t = descend(&boot_pml4[index_at(va, 39)], create);

    if (t)
        t = descend(&t[index_at(va, 30)], create);
    return t ? &t[index_at(va, HUGE_SHIFT)] : NULL;
}

uint64_t *pte_lookup(virt_t va, bool create, uint64_t **huge)
{
    uint64_t *pde = pde_lookup(va, create), *t;

    if (huge)
        *huge = NULL;
    if (!pde)
        return NULL;
    if (*pde & PTE_HUGE) { /* present or not: a PROT_NONE page keeps its frame */
        if (huge)
            *huge = pde;
        return NULL;
    }
    t = descend(pde, create);
    return t ? &t[index_at(va, PAGE_SHIFT)] : NULL;
}

void pde_split_into(uint64_t *pde, virt_t va, phys_t table)
{
    phys_t pa = *pde & PTE_ADDR & HUGE_MASK;
    uint64_t flags = *pde & ~PTE_ADDR & ~PTE_HUGE;
    uint64_t *t = phys_to_virt(table);

    paging_table_frames++;
    for (unsigned i = 0; i < ENTRIES; i++)
        t[i] = (pa + i * PAGE_SIZE) | flags;
    *pde = table | PTE_P | PTE_W | PTE_A;
    /* The same translations in other entries: one INVLPG drops the large one (SDM vol. 3 §4.10.4.1). */
    tlb_flush_page(va);
}

int pde_split(uint64_t *pde, virt_t va)
{
    phys_t table = frame_alloc(0);

    if (!table)
        return -ENOMEM;
    pde_split_into(pde, va, table);
    return 0;
}

void pde_free_table(uint64_t *pde)
{
    frame_put(*pde & PTE_ADDR);
    paging_table_frames--;
    *pde = 0;
}

void kernel_map(virt_t va, phys_t pa, size_t size, uint64_t flags)
{
    while (size) {
        if (!((va | pa) & ~HUGE_MASK) && size >= HUGE_SIZE) {
            uint64_t *pde = pde_lookup(va, true);
            if (!pde)
                panic("out of memory for kernel page tables");
            if (!(*pde & PTE_P)) {
                *pde = pa | flags | PTE_HUGE;
                va += HUGE_SIZE, pa += HUGE_SIZE, size -= HUGE_SIZE;
                continue;
            }
        }
        uint64_t *pte = pte_lookup(va, true, NULL);
        if (!pte)
            panic("out of memory for kernel page tables");
        *pte = pa | flags;
        va += PAGE_SIZE, pa += PAGE_SIZE, size -= MIN(size, PAGE_SIZE);
    }
}

void kernel_unmap(virt_t va, size_t size)
{
    for (virt_t end = va + size; va < end; va += PAGE_SIZE) {
        uint64_t *pte = pte_lookup(va, false, NULL);
        if (pte && *pte) {
            *pte = 0;
            tlb_flush_page(va);
        }
    }
}

void tlb_flush_all(void)
{
    WRITE_CR(3, READ_CR(3));
}

/*
 * The boot tables map the first GiB read-write-execute three times. RAM beyond that is added to the
 * direct map; then the 2 MiB pages that hold the image are split so that its sections get their
 * rights, in both places where they appear, and everything else becomes NX.
 */
static void protect_image(virt_t base, bool exec)
{
    phys_t start = virt_to_phys(__image_start), end = virt_to_phys(__image_end);

    for (phys_t p = ALIGN_DOWN(start, HUGE_SIZE); p < ALIGN_UP(end, HUGE_SIZE); p += HUGE_SIZE) {
        uint64_t *pde = pde_lookup(base + p, false);
        if (!pde || pde_split(pde, base + p) < 0)
            panic("out of memory for kernel page tables");
    }
    for (phys_t p = start; p < virt_to_phys(__rodata_end); p += PAGE_SIZE) {
        uint64_t *pte = pte_lookup(base + p, false, NULL);
        *pte &= ~PTE_W;
        if (exec && p < virt_to_phys(__text_end))
            *pte &= ~PTE_NX;
    }
}

void paging_init(void)
{
    phys_t image_end = ALIGN_UP(virt_to_phys(__image_end), HUGE_SIZE);
    uint64_t global = cpu_features.pge ? PTE_G : 0;
    uint64_t flags = PTE_P | PTE_W | PTE_A | PTE_D | PTE_NX | global;
    uint64_t *direct_pd = pde_lookup(DIRECT_BASE, false);
    uint64_t *high_pdpt, *high_pd;
    phys_t pd;

    /* The image's own page directory, with only what the image covers. */
    pd = frame_alloc_zero();
    if (!pd)
        panic("out of memory for kernel page tables");
    high_pd = phys_to_virt(pd);
    for (phys_t p = 0; p < image_end; p += HUGE_SIZE)
        high_pd[p >> HUGE_SHIFT] = p | (flags & ~PTE_NX) | PTE_HUGE;
    high_pdpt = table_of(boot_pml4[ENTRIES - 1]);
    high_pdpt[ENTRIES - 2] = pd | PTE_P | PTE_W | PTE_A;
    tlb_flush_all();
    /* Until here that was the directory of the code that runs, too: only now may it lose
     * execution. */
    for (unsigned i = 0; i < ENTRIES; i++)
        direct_pd[i] = (phys_t)i << HUGE_SHIFT | flags | PTE_HUGE;
    boot_pml4[0] = 0;
    tlb_flush_all();
    protect_image(KERNEL_BASE, true);
    protect_image(DIRECT_BASE, false);
    /* After the split: small pages of the image's neighbours and data lose execution. */
    for (phys_t p = 0; p < image_end; p += PAGE_SIZE)
        if (p < virt_to_phys(__image_start) || p >= virt_to_phys(__text_end))
            *pte_lookup(KERNEL_BASE + p, false, NULL) |= PTE_NX;

    for (unsigned i = 0; i < boot_info.nr_regions; i++) {
        const struct boot_region *r = &boot_info.regions[i];
        phys_t from = MAX(ALIGN_DOWN(r->start, HUGE_SIZE), 1 * GiB);
        /* Tables of the firmware are wanted through the direct map too, but not register
         * windows far above RAM, which may be marked reserved. */
        if (r->ram && r->end > from)
            kernel_map(DIRECT_BASE + from, from, ALIGN_UP(r->end, HUGE_SIZE) - from, flags);
    }
    tlb_flush_all();
    WRITE_CR(4, READ_CR(4) & ~CR4_PGE); /* global entries too */
    WRITE_CR(4, READ_CR(4) | (global ? CR4_PGE : 0));
}
