/*
 * The application's address space: mappings (VMAs), demand paging and protection.
 * Called by the memory system calls, the ELF loader and the page-fault trap. Calls
 * frames, page tables and, through vma_ops, files. Faults may sleep.
 */
#pragma once

#include "lib/list.h"
#include "lib/rbtree.h"

#include <linux/mman.h>

struct file;
struct inode;
struct vma;

struct vma_ops {
    /*
     * The frame that holds page pgoff of the object, with a reference for the caller. write: it
     * will be written through a shared mapping (allocate holes). 0 and *err (-ENOMEM; -EFAULT
     * beyond the end, which the application sees as SIGBUS).
     */
    phys_t (*page)(struct vma *v, uint64_t pgoff, bool write, int *err);
    /* The same frame, referenced, if it is in memory and costs nothing to give; else 0. Never
     * sleeps. May be NULL: then nothing is mapped ahead of faults. */
    phys_t (*page_ready)(struct vma *v, uint64_t pgoff);
};

struct vma {
    struct rb_node node;
    virt_t start, end;    /* page aligned, end exclusive */
    uint32_t prot;        /* PROT_* */
    uint32_t flags;       /* MAP_SHARED/MAP_PRIVATE, VMA_* */
    struct file *file;    /* referenced; NULL if anonymous */
    const struct vma_ops *ops;
    uint64_t pgoff;       /* of start, in pages, in the file */
    const char *name;     /* "[heap]", "[stack]", ...; NULL for none. Static */
};

#define VMA_STACK    0x80000000u /* grows down */
#define VMA_NOHUGE   0x40000000u
#define VMA_HUGE     0x20000000u
#define VMA_LOCKED   0x10000000u
#define VMA_KERNEL   0x08000000u /* vDSO: not to be unmapped or changed */
#define VMA_DONTDUMP 0x04000000u

/* As mmap(2): the address or -errno. addr and len in bytes, pgoff in pages; file may be NULL. */
long vma_map(virt_t addr, size_t len, unsigned prot, unsigned flags, struct file *file,
             uint64_t pgoff, const char *name);
int vma_unmap(virt_t addr, size_t len);
int vma_protect(virt_t addr, size_t len, unsigned prot);
struct vma *vma_find(virt_t addr);       /* the mapping that holds addr */
struct vma *vma_find_above(virt_t addr); /* that, or the next one up */
struct vma *vma_next(struct vma *v);
/* Shrinks, grows or moves a mapping, as mremap(2); the new address or -errno. */
long vma_remap(virt_t old, size_t old_len, size_t new_len, unsigned flags, virt_t new_addr);
/* Sets and clears VMA_* bits over a range, splitting at its ends: -ENOMEM if it has holes. */
int vma_change_flags(virt_t addr, size_t len, uint32_t set, uint32_t clear);
/* Forgets the content of a range of mappings (MADV_DONTNEED): -ENOMEM if it has holes, -EINVAL at
 * a locked one unless those are meant too. */
int vma_discard(virt_t addr, size_t len, bool locked);
/* The page at addr is present. */
bool vma_page_present(virt_t addr);
/* Moves the end of the heap, as brk(2): the new end, or the old one if that is not possible. */
virt_t vma_brk(virt_t end);
/* Drops every mapping but the kernel's (exec). */
void vma_unmap_all(void);
/* Every new mapping has these VMA_*, too: mlockall(MCL_FUTURE). */
extern uint32_t vma_future_flags;
/* Where mappings without an address of their own end; chosen at exec. */
extern virt_t vma_mmap_top;
/* Resolves a fault: 0, -EFAULT (SEGV_MAPERR), -EACCES (SEGV_ACCERR), -EIO (SIGBUS), -ENOMEM. */
int vma_fault(virt_t addr, bool write, bool exec);
/* Removes pages of a file from first on from every mapping of it (truncate). */
void vma_zap_file(struct inode *inode, uint64_t first_pgoff);
/* Unmaps up to max FRAME_CLEAN pages of files, unused ones first, for their owner to free; how many.
 * For reclaim: allocates nothing. */
uint64_t vma_unmap_clean(uint64_t max);

/* Makes the whole of [addr, addr+len) present (mlock, MAP_POPULATE): 0 or as vma_fault. */
int vma_populate(virt_t addr, size_t len, bool write);

/* Changes n bytes of one private page, whatever its protection: others do not see it. 0 or as
 * vma_fault(); -EFAULT: not a private mapping. May sleep. */
int vma_poke(virt_t addr, const void *data, size_t n);

struct mm_stats {
    uint64_t virt_pages;              /* mapped */
    uint64_t rss_anon, rss_file;      /* present, in 4 KiB pages */
    uint64_t huge;                    /* of those, in 2 MiB pages */
    uint64_t faults_minor, faults_cow, faults_zero;
};
extern struct mm_stats mm_stats;
extern bool mm_huge_disabled; /* prctl(PR_SET_THP_DISABLE): no 2 MiB pages unless asked for */
/* For /proc/self/smaps: pages present in one mapping. */
uint64_t vma_resident(const struct vma *v, uint64_t *away);

/* Heap and layout for /proc/self/stat. */
struct mm_layout {
    virt_t code_start, code_end, data_start, data_end, brk_start, brk, stack_top;
    virt_t arg_start, arg_end, env_start, env_end, auxv;
};
extern struct mm_layout mm_layout;
