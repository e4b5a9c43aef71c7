/*
 * The tree of mappings: making, splitting, merging, moving and removing them. See vma.h.
 * Page tables follow through mm/mmu.h. Does not sleep.
 */
#include "mm/vma.h"

#include "fs/file.h"
#include "mm/frame.h"
#include "mm/mmu.h"
#include "mm/slab.h"

#include <asm/errno.h>

/* vm.max_map_count's default. */
#define MAX_MAPPINGS 65530

/* Cutting a mapping in two must work when memory is out: unmapping a part is how it comes back. */
#define SPARES 8

static struct vma *spares[SPARES];
static unsigned nr_spares;
static struct rb_tree tree;
static unsigned nr_mappings;
virt_t vma_mmap_top = USER_MAX;
uint32_t vma_future_flags;
struct mm_layout mm_layout;

static struct vma *vma_of(struct rb_node *n)
{
    return n ? container_of(n, struct vma, node) : NULL;
}

struct vma *vma_find_above(virt_t addr)
{
    struct rb_node *n = tree.root;
    struct vma *best = NULL;

    while (n) {
        struct vma *v = vma_of(n);
        if (addr < v->end) {
            best = v;
            if (addr >= v->start)
                break;
            n = n->child[0];
        } else {
            n = n->child[1];
        }
    }
    return best;
}

struct vma *vma_find(virt_t addr)
{
    struct vma *v = vma_find_above(addr);

    return v && v->start <= addr ? v : NULL;
}

struct vma *vma_next(struct vma *v)
{
    return vma_of(rb_next(&v->node));
}

static void insert(struct vma *v)
{
    struct rb_node *parent = NULL, *n = tree.root;
    int right = 0;

    while (n) {
        parent = n;
        right = v->start >= vma_of(n)->start;
        n = n->child[right];
    }
    rb_insert(&tree, &v->node, parent, right);
    nr_mappings++;
    mm_stats.virt_pages += (v->end - v->start) >> PAGE_SHIFT;
}

static void discard(struct vma *v)
{
    rb_remove(&tree, &v->node);
    nr_mappings--;
    mm_stats.virt_pages -= (v->end - v->start) >> PAGE_SHIFT;
    if (v->file)
        file_put(v->file);
    if (nr_spares < SPARES)
        spares[nr_spares++] = v;
    else
        kfree(v);
}

/* Cuts v in two at addr; the upper part is new. */
static int split(struct vma *v, virt_t addr)
{
    struct vma *up;

    if (addr <= v->start || addr >= v->end)
        return 0;
    if (nr_mappings >= MAX_MAPPINGS)
        return -ENOMEM;
    up = kmalloc(sizeof(*up));
    if (!up && nr_spares)
        up = spares[--nr_spares];
    if (!up)
        return -ENOMEM;
    *up = *v;
    up->start = addr;
    up->pgoff += (addr - v->start) >> PAGE_SHIFT;
    if (up->file)
        file_get(up->file);
    mm_stats.virt_pages -= (v->end - addr) >> PAGE_SHIFT;
    v->end = addr;
    insert(up);
    return 0;
}

static bool mergeable(const struct vma *low, const struct vma *high)
{
    return low->end == high->start && low->prot == high->prot && low->flags == high->flags &&
           low->file == high->file && low->ops == high->ops && low->name == high->name &&
           !(low->flags & (VMA_STACK | VMA_KERNEL)) &&
           (!low->file || low->pgoff + ((low->end - low->start) >> PAGE_SHIFT) == high->pgoff);
}

static struct vma *merge(struct vma *v)
{
    struct vma *low = vma_of(rb_prev(&v->node)), *high;

    if (low && mergeable(low, v)) {
        virt_t end = v->end;
        discard(v);
        mm_stats.virt_pages += (end - low->end) >> PAGE_SHIFT;
        low->end = end;
        v = low;
    }
    high = vma_next(v);
    if (high && mergeable(v, high)) {
        virt_t end = high->end;
        discard(high);
        mm_stats.virt_pages += (end - v->end) >> PAGE_SHIFT;
        v->end = end;
    }
    return v;
}

/* Makes mapping borders at both ends of a range. */
static int split_range(virt_t start, virt_t end)
{
    struct vma *v = vma_find(start);
    int r = v ? split(v, start) : 0;

    if (r == 0 && (v = vma_find(end - 1)))
        r = split(v, end);
    return r;
}

/* The highest gap of len bytes below vma_mmap_top; 2 MiB aligned if it is to hold large pages. */
static virt_t find_gap(size_t len, size_t align)
{
    virt_t top = vma_mmap_top;
    struct vma *v = vma_find_above(top - 1);
    struct rb_node *n;

    if (v && v->start < top)
        top = v->start;
    for (n = v ? rb_prev(&v->node) : NULL; !v && tree.root && !n;) {
        for (n = tree.root; n->child[1]; n = n->child[1])
            ;
    }
    for (;; n = rb_prev(n)) {
        virt_t bottom = n ? vma_of(n)->end : USER_MIN;
        if (top >= USER_MIN + len && bottom <= top - len) {
            virt_t at = ALIGN_DOWN(top - len, align);
            if (at >= bottom)
                return at;
        }
        if (!n)
            return 0;
        top = MIN(top, vma_of(n)->start);
    }
}

static bool range_ok(virt_t addr, size_t len)
{
    return !(addr & ~PAGE_MASK) && len && addr < USER_MAX && len <= USER_MAX - addr;
}

static bool range_free(virt_t addr, size_t len)
{
    struct vma *v = vma_find_above(addr);

    return !v || v->start >= addr + len;
}

static long map_region(virt_t addr, size_t len, unsigned prot, unsigned flags, struct file *file,
                       uint64_t pgoff, const char *name)
{
    bool huge = !file && len >= HUGE_SIZE && !(flags & (MAP_STACK | VMA_STACK));
    struct vma *v;
    int r;

    if (!len || len > USER_MAX)
        return !len ? -EINVAL : -ENOMEM;
    len = ALIGN_UP(len, PAGE_SIZE);
    if (nr_mappings >= MAX_MAPPINGS)
        return -ENOMEM;
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (addr & ~PAGE_MASK)
            return -EINVAL;
        if (!range_ok(addr, len) || addr < USER_MIN)
            return addr < USER_MIN ? -EPERM : -ENOMEM;
        if (flags & MAP_FIXED_NOREPLACE) {
            if (!range_free(addr, len))
                return -EEXIST;
        } else if ((r = vma_unmap(addr, len)) < 0) {
            return r;
        }
    } else {
        addr = ALIGN_DOWN(addr, PAGE_SIZE);
        if (addr < USER_MIN || !range_ok(addr, len) || !range_free(addr, len)) {
            addr = huge ? find_gap(len, HUGE_SIZE) : 0;
            if (!addr)
                addr = find_gap(len, PAGE_SIZE);
        }
        if (!addr)
            return -ENOMEM;
    }
    v = kzalloc(sizeof(*v));
    if (!v)
        return -ENOMEM;
    v->start = addr;
    v->end = addr + len;
    v->prot = prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
    v->flags = (flags & (MAP_TYPE | MAP_ANONYMOUS | VMA_STACK | VMA_NOHUGE | VMA_HUGE | VMA_LOCKED |
                         VMA_DONTDUMP | VMA_KERNEL)) |
               (flags & MAP_STACK ? VMA_NOHUGE : 0) | (flags & MAP_LOCKED ? VMA_LOCKED : 0) |
               vma_future_flags;
    v->name = name;
    if (file) {
        r = file->ops->mmap ? file->ops->mmap(file, v) : -ENODEV;
        if (r < 0) {
            kfree(v);
            return r;
        }
        v->file = file;
        v->pgoff = pgoff;
        file_get(file);
    }
    insert(v);
    merge(v);
    return addr;
}

long vma_map(virt_t addr, size_t len, unsigned prot, unsigned flags, struct file *file,
             uint64_t pgoff, const char *name)
{
    return map_region(addr, len, prot, flags, file, pgoff, name);
}

int vma_unmap(virt_t addr, size_t len)
{
    virt_t end = addr + ALIGN_UP(len, PAGE_SIZE);
    struct vma *v, *next;
    int r;

    if (!range_ok(addr, ALIGN_UP(len, PAGE_SIZE)))
        return -EINVAL;
    v = vma_find_above(addr);
    if (!v || v->start >= end)
        return 0;
    for (next = v; next && next->start < end; next = vma_next(next))
        if (next->flags & VMA_KERNEL)
            return -EPERM;
    r = split_range(addr, end);
    if (r < 0)
        return r;
    for (v = vma_find_above(addr); v && v->start < end; v = next) {
        next = vma_next(v);
        mmu_zap(v->start, v->end);
        discard(v);
    }
    return 0;
}

void vma_unmap_all(void)
{
    struct vma *v = vma_of(rb_first(&tree)), *next;

    for (; v; v = next) {
        next = vma_next(v);
        mmu_zap(v->start, v->end);
        discard(v);
    }
    vma_future_flags = 0; /* mlockall() ends with execve() */
}

/* -ENOMEM if part of the range is not mapped. */
static int check_mapped(virt_t addr, virt_t end)
{
    for (struct vma *v = vma_find(addr); addr < end; v = vma_find(addr)) {
        if (!v)
            return -ENOMEM;
        if (v->flags & VMA_KERNEL)
            return -EPERM;
        addr = v->end;
    }
    return 0;
}

int vma_protect(virt_t addr, size_t len, unsigned prot)
{
    virt_t end = addr + ALIGN_UP(len, PAGE_SIZE);
    struct vma *v;
    int r;

    if (!len)
        return 0;
    if (!range_ok(addr, end - addr))
        return -ENOMEM;
    r = check_mapped(addr, end);
    if (r < 0)
        return r;
    for (v = vma_find(addr); v && v->start < end; v = vma_next(v))
        if (prot & PROT_WRITE && v->file && (v->flags & MAP_TYPE) == MAP_SHARED &&
            (v->file->flags & O_ACCMODE) == O_RDONLY)
            return -EACCES;
    r = split_range(addr, end);
    if (r == 0)
        r = mmu_split(addr);
    if (r == 0)
        r = mmu_split(end);
    if (r < 0)
        return r;
    for (v = vma_find(addr); v && v->start < end; v = vma_next(v)) {
        bool shared_file = v->file && (v->flags & MAP_TYPE) == MAP_SHARED;

        v->prot = prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
        /* Pages of a shared file become writable by fault, which makes room for holes. */
        mmu_protect(v->start, v->end, shared_file ? v->prot & ~PROT_WRITE : v->prot);
        v = merge(v);
    }
    return 0;
}

int vma_change_flags(virt_t addr, size_t len, uint32_t set, uint32_t clear)
{
    virt_t end = addr + ALIGN_UP(len, PAGE_SIZE);
    int r = check_mapped(addr, end);

    if (r == 0)
        r = split_range(addr, end);
    for (struct vma *v = vma_find(addr); r == 0 && v && v->start < end; v = vma_next(v)) {
        v->flags = (v->flags & ~clear) | set;
        v = merge(v);
    }
    return r;
}

int vma_discard(virt_t addr, size_t len, bool locked)
{
    virt_t end = addr + ALIGN_UP(len, PAGE_SIZE);
    int r = 0;

    for (struct vma *v = vma_find_above(addr); addr < end; v = vma_next(v)) {
        if (!v || v->start > addr)
            r = -ENOMEM;
        if (!v || v->start >= end)
            break;
        if (v->flags & (VMA_KERNEL | (locked ? 0 : VMA_LOCKED)))
            return -EINVAL;
        mmu_zap(MAX(addr, v->start), MIN(end, v->end));
        addr = v->end;
    }
    return r;
}

void vma_zap_file(struct inode *inode, uint64_t first_pgoff)
{
    for (struct vma *v = vma_of(rb_first(&tree)); v; v = vma_next(v)) {
        uint64_t pages = (v->end - v->start) >> PAGE_SHIFT, skip;

        if (!v->file || v->file->inode != inode || v->pgoff + pages <= first_pgoff)
            continue;
        skip = first_pgoff > v->pgoff ? first_pgoff - v->pgoff : 0;
        mmu_zap(v->start + (skip << PAGE_SHIFT), v->end);
    }
}

uint64_t vma_resident(const struct vma *v, uint64_t *away)
{
    return mmu_resident(v->start, v->end, away);
}

bool vma_page_present(virt_t addr)
{
    return mmu_resident(ALIGN_DOWN(addr, PAGE_SIZE), ALIGN_DOWN(addr, PAGE_SIZE) + PAGE_SIZE, NULL);
}

virt_t vma_brk(virt_t end)
{
    virt_t old = ALIGN_UP(mm_layout.brk, PAGE_SIZE), new = ALIGN_UP(end, PAGE_SIZE);

    if (end < mm_layout.brk_start || end >= USER_MAX)
        return mm_layout.brk;
    if (new < old) {
        if (vma_unmap(new, old - new) < 0)
            return mm_layout.brk;
    } else if (new > old) {
        if (!range_free(old, new - old) ||
            vma_map(old, new - old, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                    NULL, 0, "[heap]") < 0)
            return mm_layout.brk;
    }
    return mm_layout.brk = end;
}

/* Grows v in place if the space behind it is free. */
static bool grow(struct vma *v, size_t by)
{
    if (!range_ok(v->start, v->end - v->start + by) || !range_free(v->end, by))
        return false;
    v->end += by;
    mm_stats.virt_pages += by >> PAGE_SHIFT;
    merge(v);
    return true;
}

long vma_remap(virt_t old, size_t old_len, size_t new_len, unsigned flags, virt_t new_addr)
{
    bool fixed = flags & MREMAP_FIXED, keep = flags & MREMAP_DONTUNMAP;
    struct vma *v = vma_find(old);
    unsigned map_flags;
    long to;
    int r;

    old_len = ALIGN_UP(old_len, PAGE_SIZE);
    new_len = ALIGN_UP(new_len, PAGE_SIZE);
    if (!v)
        return -EFAULT;
    if (v->flags & VMA_KERNEL)
        return -EPERM;
    if (old_len == 0 || old_len > v->end - old)
        return old_len == 0 ? -EINVAL : -EFAULT;
    if (!fixed && !keep) {
        if (new_len <= old_len)
            return new_len == old_len || (r = vma_unmap(old + new_len, old_len - new_len)) == 0
                       ? (long)old
                       : r;
        if (old + old_len == v->end && grow(v, new_len - old_len))
            return old;
        if (!(flags & MREMAP_MAYMOVE))
            return -ENOMEM;
    }
    if (new_len < old_len) {
        r = vma_unmap(old + new_len, old_len - new_len);
        if (r < 0)
            return r;
        old_len = new_len;
        v = vma_find(old);
    }
    map_flags = v->flags | (fixed ? MAP_FIXED : 0);
    /* The new mapping is made without pages of its own: they are moved in. */
    unsigned prot = v->prot;
    struct file *file = v->file;
    uint64_t pgoff = v->pgoff + ((old - v->start) >> PAGE_SHIFT);
    const char *name = v->name;

    if (file)
        file_get(file);
    to = map_region(new_addr, new_len, prot, map_flags, file, pgoff, name);
    if (to >= 0) {
        r = mmu_move(old, to, MIN(old_len, new_len));
        if (r < 0) {
            mmu_move(to, old, MIN(old_len, new_len)); /* their tables still exist */
            vma_unmap(to, new_len);
            to = r;
        } else if (!keep) {
            vma_unmap(old, old_len);
        }
    }
    if (file)
        file_put(file);
    return to;
}
