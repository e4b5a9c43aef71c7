/*
 * Memory system calls, over mm/vma.h.
 */
#include "arch/x86_64/uaccess.h"
#include "fs/file.h"
#include "fs/vfs.h"
#include "guide/guide.h"
#include "linux/syscall.h"
#include "mm/far/far.h"
#include "mm/frame.h"
#include "mm/vma.h"

#include <linux/mman.h>
#include <linux/mempolicy.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static long sys_mmap(uint64_t addr, size_t len, unsigned prot, unsigned flags, int fd, uint64_t off)
{
    unsigned type = flags & MAP_TYPE;
    struct file *f = NULL;
    long r;

    if (!len || off & ~PAGE_MASK)
        return -EINVAL;
    if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE)
        return -EINVAL;
    if (type == MAP_SHARED_VALIDATE)
        flags = (flags & ~MAP_TYPE) | MAP_SHARED;
    if (!(flags & MAP_ANONYMOUS)) {
        f = fd_get(fd);
        if (!f)
            return -EBADF;
        unsigned mode = f->flags & O_ACCMODE;
        if (mode == O_WRONLY || f->kind & FILE_PATH ||
            (type != MAP_PRIVATE && prot & PROT_WRITE && mode != O_RDWR)) {
            r = f->kind & FILE_PATH ? -EBADF : -EACCES;
            file_put(f);
            return r;
        }
        if (off + len < off) {
            file_put(f);
            return -EOVERFLOW;
        }
    }
    /* The highest bits ask for a size of huge pages: the kernel's own flags are there inside. */
    flags &= (1u << MAP_HUGE_SHIFT) - 1;
    r = vma_map(addr, len, prot, flags | (flags & MAP_HUGETLB ? VMA_HUGE : 0), f, off >> PAGE_SHIFT,
                NULL);
    if (r >= 0 && f && prot & PROT_EXEC && type == MAP_PRIVATE)
        guide_mapped(f, r, len, off >> PAGE_SHIFT);
    if (f)
        file_put(f);
    if (r >= 0 && flags & (MAP_POPULATE | MAP_LOCKED) && prot & (PROT_READ | PROT_WRITE))
        vma_populate(r, len, prot & PROT_WRITE && (flags & MAP_ANONYMOUS));
    return r;
}
SYSCALL(mmap, PARTIAL, "pzMFdl",
        "no MAP_HUGETLB pools (2 MiB pages come by themselves), MAP_GROWSDOWN and MAP_SYNC have no "
        "effect");

static long sys_munmap(uint64_t addr, size_t len)
{
    return len ? vma_unmap(addr, len) : -EINVAL;
}
SYSCALL(munmap, COMPLETE, "pz", "");

static long sys_mprotect(uint64_t addr, size_t len, unsigned prot)
{
    if (addr & ~PAGE_MASK || prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC))
        return -EINVAL; /* PROT_SEM and PROT_GROWS* have no meaning on x86-64 here */
    return vma_protect(addr, len, prot);
}
SYSCALL(mprotect, COMPLETE, "pzM", "");

static long sys_brk(uint64_t end)
{
    return vma_brk(end);
}
SYSCALL(brk, COMPLETE, "p", "");

static long sys_mremap(uint64_t old, size_t old_len, size_t new_len, unsigned flags,
                       uint64_t new_addr)
{
    if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) || old & ~PAGE_MASK ||
        !new_len || (flags & MREMAP_FIXED && !(flags & MREMAP_MAYMOVE)))
        return -EINVAL;
    if (flags & MREMAP_DONTUNMAP && (!(flags & MREMAP_MAYMOVE) || old_len != new_len))
        return -EINVAL;
    if (flags & MREMAP_FIXED) {
        if (new_addr & ~PAGE_MASK || new_addr > USER_MAX || new_len > USER_MAX - new_addr ||
            (new_addr < old + old_len && old < new_addr + new_len))
            return -EINVAL;
    } else {
        new_addr = 0;
    }
    return vma_remap(old, old_len, new_len, flags, new_addr);
}
SYSCALL(mremap, COMPLETE, "pzzxp", "");

static long advise_remove(uint64_t addr, size_t len)
{
    struct vma *v = vma_find(addr);
    struct file *f = v ? v->file : NULL;
    long r;

    if (!f || (v->flags & MAP_TYPE) != MAP_SHARED || addr + len > v->end || !f->ops->fallocate)
        return -EINVAL;
    if (!(v->prot & PROT_WRITE))
        return -EACCES;
    file_get(f);
    r = f->ops->fallocate(f, 3 /* KEEP_SIZE | PUNCH_HOLE */,
                          (v->pgoff << PAGE_SHIFT) + (addr - v->start), len);
    file_put(f);
    return r;
}

/* What these mean where pages can leave; elsewhere nothing. */
static long advise_far(uint64_t addr, size_t len, int advice)
{
    long r = vma_change_flags(addr, len, 0, 0);

    if (r < 0 || !far_on)
        return r;
    for (struct vma *v = vma_find(addr); v && v->start < addr + len; v = vma_next(v))
        far_advise(v, MAX(addr, v->start), MIN(addr + len, v->end), advice);
    return 0;
}

static long sys_madvise(uint64_t addr, size_t len, int advice)
{
    len = ALIGN_UP(len, PAGE_SIZE);
    if (addr & ~PAGE_MASK || addr + len < addr)
        return -EINVAL;
    switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
    case MADV_COLLAPSE:
        return len ? vma_change_flags(addr, len, 0, 0) : 0;
    case MADV_WILLNEED:
    case MADV_COLD:
    case MADV_PAGEOUT:
        return len ? advise_far(addr, len, advice) : 0;
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
        return len ? vma_discard(addr, len, advice == MADV_DONTNEED_LOCKED) : 0;
    case MADV_FREE:
        for (struct vma *v = vma_find_above(addr); v && v->start < addr + len; v = vma_next(v))
            if (v->file)
                return -EINVAL;
        return len ? vma_discard(addr, len, false) : 0;
    case MADV_HUGEPAGE:
        return len ? vma_change_flags(addr, len, VMA_HUGE, VMA_NOHUGE) : 0;
    case MADV_NOHUGEPAGE:
        return len ? vma_change_flags(addr, len, VMA_NOHUGE, VMA_HUGE) : 0;
    case MADV_DONTDUMP:
        return len ? vma_change_flags(addr, len, VMA_DONTDUMP, 0) : 0;
    case MADV_DODUMP:
        return len ? vma_change_flags(addr, len, 0, VMA_DONTDUMP) : 0;
    case MADV_REMOVE:
        return advise_remove(addr, len);
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE: {
        int r = vma_populate(addr, len, advice == MADV_POPULATE_WRITE);
        return r == -EACCES ? -EINVAL : r == -EIO ? -EFAULT : r == -EFAULT ? -ENOMEM : r;
    }
    default:
        return -EINVAL;
    }
}
SYSCALL(madvise, COMPLETE, "pzi", "");

static long sys_msync(uint64_t addr, size_t len, int flags)
{
    if (addr & ~PAGE_MASK || flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) ||
        (flags & MS_ASYNC && flags & MS_SYNC))
        return -EINVAL;
    if (len > USER_MAX)
        return -ENOMEM;
    /* All files are in memory: there is nothing to write back. */
    return len ? vma_change_flags(addr, ALIGN_UP(len, PAGE_SIZE), 0, 0) : 0;
}
SYSCALL(msync, COMPLETE, "pzx", "");

static long sys_mincore(uint64_t addr, size_t len, uint8_t *vec)
{
    if (addr & ~PAGE_MASK)
        return -EINVAL;
    if (addr > USER_MAX || len > USER_MAX - addr)
        return -ENOMEM;
    for (uint64_t at = addr; at < addr + len; at += PAGE_SIZE, vec++) {
        if (!vma_find(at))
            return -ENOMEM;
        if (put_user((uint8_t)vma_page_present(at), vec) < 0)
            return -EFAULT;
    }
    return 0;
}
SYSCALL(mincore, COMPLETE, "pzp", "");

/* Makes all of a locked range present; private pages that can be written are the program's own, as
 * in Linux. */
static long bring(uint64_t start, size_t len)
{
    for (struct vma *v = vma_find_above(start); v && v->start < start + len; v = vma_next(v)) {
        uint64_t from = MAX(start, v->start), to = MIN(start + len, v->end);
        bool own = v->prot & PROT_WRITE && (v->flags & MAP_TYPE) == MAP_PRIVATE;

        if (vma_populate(from, to - from, own) < 0)
            return -ENOMEM;
        v = vma_find(from); /* it may have slept */
        if (v == NULL)
            return -ENOMEM;
    }
    return 0;
}

static long lock_range(uint64_t addr, size_t len, bool on_fault)
{
    uint64_t start = ALIGN_DOWN(addr, PAGE_SIZE);
    int r;

    len = ALIGN_UP(addr + len, PAGE_SIZE) - start;
    if (start + len < start)
        return -EINVAL;
    r = len ? vma_change_flags(start, len, VMA_LOCKED, 0) : 0;
    return r == 0 && !on_fault ? bring(start, len) : r;
}

static long sys_mlock(uint64_t addr, size_t len)
{
    return lock_range(addr, len, false);
}
SYSCALL(mlock, COMPLETE, "pz", "");

static long sys_mlock2(uint64_t addr, size_t len, unsigned flags)
{
    return flags & ~MLOCK_ONFAULT ? -EINVAL : lock_range(addr, len, flags & MLOCK_ONFAULT);
}
SYSCALL(mlock2, COMPLETE, "pzx", "");

static long sys_munlock(uint64_t addr, size_t len)
{
    uint64_t start = ALIGN_DOWN(addr, PAGE_SIZE);

    len = ALIGN_UP(addr + len, PAGE_SIZE) - start;
    return len ? vma_change_flags(start, len, 0, VMA_LOCKED) : 0;
}
SYSCALL(munlock, COMPLETE, "pz", "");

static long sys_mlockall(int flags)
{
    if (!flags || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || flags == MCL_ONFAULT)
        return -EINVAL;
    vma_future_flags = flags & MCL_FUTURE ? VMA_LOCKED : 0;
    for (struct vma *v = vma_find_above(0); flags & MCL_CURRENT && v; v = vma_find_above(v->end)) {
        v->flags |= VMA_LOCKED;
        if (v->prot & (PROT_READ | PROT_WRITE) && !(v->flags & (VMA_KERNEL | VMA_STACK)) &&
            !(flags & MCL_ONFAULT))
            if (vma_populate(v->start, v->end - v->start, false) == -ENOMEM)
                return -ENOMEM;
    }
    return 0;
}
SYSCALL(mlockall, PARTIAL, "x", "MCL_FUTURE does not bring later mappings in at once");

static long sys_munlockall(void)
{
    vma_future_flags = 0;
    for (struct vma *v = vma_find_above(0); v; v = vma_next(v))
        v->flags &= ~VMA_LOCKED;
    return 0;
}
SYSCALL(munlockall, COMPLETE, "", "");
