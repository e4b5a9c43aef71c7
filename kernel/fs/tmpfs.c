/*
 * tmpfs (tmpfs.h): inodes whose content is a page store. Reading and writing may sleep,
 * because the application's memory may have to be fetched: the page being copied is held by a
 * reference, and sizes are looked at again afterwards.
 */
#include "fs/tmpfs.h"

#include "fs/store.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/slab.h"
#include "mm/vma.h"
#include "sched/clock.h"

#include <linux/falloc.h>
#include <linux/magic.h>

struct tmpfs_inode {
    struct inode inode;
    union {
        struct page_store pages; /* regular files */
        struct {
            char *target; /* symbolic links */
            size_t target_len;
        };
    };
};

static const char zero_page[PAGE_SIZE] __attribute__((aligned(4096)));

struct tmpfs_stats tmpfs_stats;

static struct page_store *pages_of(struct inode *i)
{
    return &container_of(i, struct tmpfs_inode, inode)->pages;
}

static uint64_t pages_for(uint64_t size)
{
    return (size >> PAGE_SHIFT) + ((size & (PAGE_SIZE - 1)) != 0);
}

/* ---- Reading and writing ------------------------------------------------------------------- */

/* Linux's relatime: the access time moves only when it lies behind the last change. */
static inline void touch_atime(struct file *f)
{
    struct inode *i = f->inode;
    if (unlikely(i->atime <= i->mtime) && !(f->flags & O_NOATIME) &&
        !(i->fs->mount != NULL && (i->fs->mount->flags & MS_NOATIME)))
        i->atime = (int64_t)clock_real_ns();
}

static ssize_t tmpfs_read(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    struct inode *i = f->inode;
    struct page_store *ps = pages_of(i);
    uint64_t off = *pos;
    size_t done = 0;
    while (it->count > 0 && off < i->size) {
        int err = store_bring(ps, off >> PAGE_SHIFT);
        if (err < 0) {
            if (done == 0)
                return err;
            break;
        }
        if (off >= i->size)
            break; /* cut while we slept */
        size_t n, want = MIN(it->count, i->size - off);
        /* Not over a page border when the copy may sleep: one frame is held at a time. */
        if (!it->kernel)
            want = MIN(want, PAGE_SIZE - (off & (PAGE_SIZE - 1)));
        const void *p = store_run(ps, off, want, &n);
        ssize_t got;
        if (p == NULL) {
            got = zero_iter(it, n);
        } else if (it->kernel) {
            got = copy_to_iter(it, p, n);
        } else {
            /* Unaligned archive data may lie in two frames. */
            phys_t first = virt_to_phys(p) & PAGE_MASK;
            phys_t second = (virt_to_phys(p) + n - 1) & PAGE_MASK;
            frame_get(first);
            if (second != first)
                frame_get(second);
            got = copy_to_iter(it, p, n);
            frame_put(first);
            if (second != first)
                frame_put(second);
        }
        if (got < 0) {
            if (done == 0)
                return got;
            break;
        }
        done += (size_t)got;
        off += (size_t)got;
        if ((size_t)got < n)
            break;
    }
    *pos = off;
    touch_atime(f);
    tmpfs_stats.read_bytes += done;
    return (ssize_t)done;
}

/* Writes within one page: bytes done, -EFAULT, -ENOSPC. */
static ssize_t write_page(struct page_store *ps, uint64_t off, struct iov_iter *it, size_t n)
{
    uint64_t i = off >> PAGE_SHIFT;
    phys_t frame = store_peek(ps, i);
    if (frame == 0 && n == PAGE_SIZE) {
        /* A whole new page: filled before anybody can see it, and never zeroed. */
        frame = frame_alloc(0);
        if (frame == 0)
            return -ENOSPC;
        char *mem = phys_to_virt(frame);
        ssize_t got = copy_from_iter(it, mem, n);
        if (got <= 0) {
            frame_put(frame);
            return got;
        }
        if (got == (ssize_t)n && store_peek(ps, i) == 0) {
            if (store_install(ps, i, frame) == 0)
                return got;
            frame_put(frame);
            return -ENOSPC;
        }
        /* Cut short, or another thread made the page while the copy slept. */
        phys_t there = store_get(ps, i);
        if (there != 0) {
            store_dirty(there);
            memcpy(phys_to_virt(there), mem, (size_t)got);
        }
        frame_put(frame);
        return there != 0 ? got : -ENOSPC;
    }
    if (frame == 0) {
        frame = store_get(ps, i);
        if (frame == 0)
            return -ENOSPC;
    }
    frame_get(frame);
    store_dirty(frame);
    ssize_t got = copy_from_iter(it, (char *)phys_to_virt(frame) + (off & (PAGE_SIZE - 1)), n);
    frame_put(frame);
    return got;
}

static ssize_t tmpfs_write(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    struct inode *i = f->inode;
    struct page_store *ps = pages_of(i);
    uint64_t off = f->flags & O_APPEND ? i->size : *pos;
    if (it->count == 0)
        return 0;
    if (i->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_GROW)) {
        if (i->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
            return -EPERM;
        if (off + it->count > i->size)
            return -EPERM;
    }
    if (off > INT64_MAX - it->count)
        return -EFBIG;
    /* A write clears the set-id bits, unless it is root's. */
    if ((i->mode & (S_ISUID | S_ISGID)) && cred.fsuid != 0)
        i->mode &= ~(uint32_t)(S_ISUID | ((i->mode & 0010) ? S_ISGID : 0));
    size_t done = 0;
    ssize_t err = 0;
    while (it->count > 0) {
        size_t n = MIN(it->count, PAGE_SIZE - (off & (PAGE_SIZE - 1)));
        ssize_t got = write_page(ps, off, it, n);
        if (got < 0) {
            err = got;
            break;
        }
        done += (size_t)got;
        off += (size_t)got;
        if (off > i->size)
            i->size = off;
        if ((size_t)got < n)
            break;
    }
    if (done == 0) {
        tmpfs_stats.no_space += err == -ENOSPC;
        return err;
    }
    inode_touch(i);
    *pos = off;
    tmpfs_stats.written_bytes += done;
    return (ssize_t)done;
}

/* ---- Size ---------------------------------------------------------------------------------- */

static int tmpfs_truncate_inode(struct inode *i, uint64_t size)
{
    struct page_store *ps = pages_of(i);
    if (size > INT64_MAX)
        return -EFBIG;
    if (size < i->size) {
        uint64_t first = pages_for(size);
        if (size & (PAGE_SIZE - 1)) {
            int err = store_zero(ps, size, PAGE_SIZE - (size & (PAGE_SIZE - 1)));
            if (err < 0)
                return err;
        }
        i->size = size; /* before the zap: a fault meanwhile must not bring pages back */
        vma_zap_file(i, first);
        store_cut(ps, first);
    }
    i->size = size;
    inode_touch(i);
    return 0;
}

static int tmpfs_truncate(struct file *f, uint64_t size)
{
    return vfs_truncate(f->inode, size);
}

static int punch_hole(struct inode *i, uint64_t off, uint64_t len)
{
    struct page_store *ps = pages_of(i);
    if (i->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EPERM;
    uint64_t end = off + len, first = pages_for(off), last = end >> PAGE_SHIFT;
    int err = 0;
    if (first > last) /* within one page */
        return store_zero(ps, off, len);
    if (off < first * PAGE_SIZE)
        err = store_zero(ps, off, first * PAGE_SIZE - off);
    if (err == 0 && last * PAGE_SIZE < end)
        err = store_zero(ps, last * PAGE_SIZE, end - last * PAGE_SIZE);
    if (err == 0)
        err = store_punch(ps, first, last);
    inode_touch(i);
    return err;
}

static int tmpfs_fallocate(struct file *f, int mode, uint64_t off, uint64_t len)
{
    struct inode *i = f->inode;
    struct page_store *ps = pages_of(i);
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
        return -EOPNOTSUPP;
    if (mode & FALLOC_FL_PUNCH_HOLE)
        return punch_hole(i, off, len);
    uint64_t end = off + len;
    bool grow = end > i->size && !(mode & FALLOC_FL_KEEP_SIZE);
    if (grow && (i->seals & F_SEAL_GROW))
        return -EPERM;
    uint64_t first = off >> PAGE_SHIFT, last = pages_for(end);
    /* What cannot fit is refused before anything is taken. */
    if (last - first > frame_stats().free + store_count(ps))
        return -ENOSPC;
    for (uint64_t p = first; p < last; p++) {
        if (store_peek(ps, p) == 0 && store_get(ps, p) == 0)
            return -ENOSPC;
    }
    if (grow)
        i->size = end;
    inode_changed(i);
    return 0;
}

static int64_t tmpfs_seek(struct file *f, int64_t off, int whence)
{
    struct inode *i = f->inode;
    int64_t to;
    switch (whence) {
    case SEEK_SET:
        to = off;
        break;
    case SEEK_CUR:
        to = (int64_t)((uint64_t)off + f->pos);
        break;
    case SEEK_END:
        to = (int64_t)((uint64_t)off + i->size);
        break;
    case SEEK_DATA:
    case SEEK_HOLE: {
        if (off < 0 || (uint64_t)off >= i->size)
            return -ENXIO;
        uint64_t page = (uint64_t)off >> PAGE_SHIFT, end = pages_for(i->size);
        uint64_t found = store_next(pages_of(i), page, end, whence == SEEK_DATA);
        if (found == end && whence == SEEK_DATA)
            return -ENXIO;
        /* The end of the file is a hole too. */
        to = found == end ? (int64_t)i->size : MAX((int64_t)(found << PAGE_SHIFT), off);
        break;
    }
    default:
        return -EINVAL;
    }
    if (to < 0)
        return -EINVAL;
    f->pos = (uint64_t)to;
    return to;
}

/* ---- Mapping ------------------------------------------------------------------------------- */

static phys_t tmpfs_page(struct vma *v, uint64_t pgoff, bool write, int *err)
{
    struct inode *i = v->file->inode;
    if (pgoff >= pages_for(i->size)) {
        *err = -EFAULT;
        return 0;
    }
    struct page_store *ps = pages_of(i);
    /* While the disk is read the mapping may go, and the file with it. */
    inode_get(i);
    phys_t frame = 0;
    *err = store_bring(ps, pgoff);
    if (*err == 0) {
        frame = pgoff < pages_for(i->size) ? store_get(ps, pgoff) : 0;
        *err = pgoff < pages_for(i->size) ? -ENOMEM : -EFAULT;
    }
    if (frame != 0) {
        frame_get(frame);
        if (write)
            store_dirty(frame);
    }
    inode_put(i);
    return frame;
}

static phys_t tmpfs_page_ready(struct vma *v, uint64_t pgoff)
{
    phys_t frame = store_peek(pages_of(v->file->inode), pgoff);

    if (frame)
        frame_get(frame);
    return frame;
}

static const struct vma_ops tmpfs_vma_ops = {.page = tmpfs_page, .page_ready = tmpfs_page_ready};

static int tmpfs_mmap(struct file *f, struct vma *v)
{
    if ((f->inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) && (v->flags & MAP_SHARED) &&
        (v->prot & PROT_WRITE))
        return -EPERM;
    v->ops = &tmpfs_vma_ops;
    touch_atime(f);
    return 0;
}

/* ---- Files --------------------------------------------------------------------------------- */

static int tmpfs_fsync(struct file *f, bool data_only)
{
    return 0; /* memory is all there is */
}

static void tmpfs_release_file(struct file *f)
{
    kfree(f);
}

static const struct file_ops tmpfs_file_ops = {
    .name = "tmpfs",
    .read = tmpfs_read,
    .write = tmpfs_write,
    .mmap = tmpfs_mmap,
    .seek = tmpfs_seek,
    .fsync = tmpfs_fsync,
    .truncate = tmpfs_truncate,
    .fallocate = tmpfs_fallocate,
    .release = tmpfs_release_file,
};

bool tmpfs_is_file(const struct file *f)
{
    return f->ops == &tmpfs_file_ops;
}

static int tmpfs_open(struct inode *inode, struct path_node *path, unsigned flags,
                      struct file **out)
{
    if (flags & O_DIRECT)
        return -EINVAL; /* as Linux's tmpfs: there is no cache to go around */
    return file_new(&tmpfs_file_ops, flags, 0, out);
}

static void tmpfs_stat(struct inode *i, struct kstat *st)
{
    st->blocks = store_count(pages_of(i)) * (PAGE_SIZE / 512);
}

static ssize_t tmpfs_readlink(struct inode *i, char *buf, size_t size)
{
    struct tmpfs_inode *t = container_of(i, struct tmpfs_inode, inode);
    size_t n = MIN(t->target_len, size);
    memcpy(buf, t->target, n);
    return (ssize_t)n;
}

static int tmpfs_set_link(struct inode *i, const char *target, size_t len)
{
    struct tmpfs_inode *t = container_of(i, struct tmpfs_inode, inode);
    char *copy = kmalloc(len + 1);
    if (copy == NULL)
        return -ENOSPC;
    memcpy(copy, target, len);
    copy[len] = '\0';
    kfree(t->target);
    t->target = copy;
    t->target_len = len;
    i->size = len;
    return 0;
}

/* ---- Inodes -------------------------------------------------------------------------------- */

static void tmpfs_release_inode(struct inode *i)
{
    struct tmpfs_inode *t = container_of(i, struct tmpfs_inode, inode);
    uint32_t type = i->mode & S_IFMT;
    if (type == S_IFREG)
        store_cut(&t->pages, 0);
    else if (type == S_IFLNK)
        kfree(t->target);
    kfree(t);
}

static const struct inode_ops file_inode_ops = {
    .open = tmpfs_open,
    .truncate = tmpfs_truncate_inode,
    .stat = tmpfs_stat,
    .release = tmpfs_release_inode,
};
static const struct inode_ops dir_inode_ops = {
    .open = vfs_open_dir,
    .release = tmpfs_release_inode,
};
static const struct inode_ops link_inode_ops = {
    .readlink = tmpfs_readlink,
    .release = tmpfs_release_inode,
};
static const struct inode_ops node_inode_ops = {.release = tmpfs_release_inode};

static struct inode *tmpfs_new_inode(struct filesystem *fs, uint32_t mode, uint64_t rdev)
{
    struct tmpfs_inode *t = kzalloc(sizeof(*t));
    if (t == NULL)
        return NULL;
    const struct inode_ops *ops = &node_inode_ops;
    switch (mode & S_IFMT) {
    case S_IFREG:
        ops = &file_inode_ops;
        break;
    case S_IFDIR:
        ops = &dir_inode_ops;
        break;
    case S_IFLNK:
        ops = &link_inode_ops;
        break;
    }
    inode_setup(&t->inode, fs, ops, mode);
    t->inode.rdev = rdev;
    return &t->inode;
}

/* ---- Instances ----------------------------------------------------------------------------- */

/* Does anything outside the tree refer to a node of this instance below dir? Each node has one
 * reference for being in the tree and one for each child. */
static bool subtree_in_use(const struct path_node *dir, unsigned own)
{
    unsigned expected = own;
    list_for_each (n, &dir->children, struct path_node, sibling) {
        expected++;
        if (inode_is_dir(n->inode) ? subtree_in_use(n, 1) : n->refs != 1)
            return true;
    }
    return dir->refs != expected;
}

static bool tmpfs_in_use(struct filesystem *fs)
{
    /* The caller, umount, has looked the root up: one more reference. */
    return subtree_in_use(fs->root, 2);
}

static void empty_dir(struct path_node *dir)
{
    list_for_each_safe (n, &dir->children, struct path_node, sibling) {
        empty_dir(n);
        path_unhash(n);
    }
}

static void tmpfs_release(struct filesystem *fs)
{
    empty_dir(fs->root);
    path_put(fs->root);
    /* fs itself stays: umount's caller still holds the root node, which refers to it, and an
     * instance is a few words. */
}

struct filesystem *tmpfs_new(const char *type, uint32_t root_mode)
{
    struct filesystem *fs = kmalloc(sizeof(*fs));
    if (fs == NULL)
        return NULL;
    filesystem_setup(fs, type, TMPFS_MAGIC);
    fs->keeps_xattrs = true;
    fs->new_inode = tmpfs_new_inode;
    fs->set_link = tmpfs_set_link;
    fs->in_use = tmpfs_in_use;
    fs->release = tmpfs_release;
    struct inode *root = tmpfs_new_inode(fs, S_IFDIR | root_mode, 0);
    fs->root = root != NULL ? path_new(NULL, "", 0, root) : NULL;
    if (fs->root == NULL) {
        if (root != NULL)
            inode_put(root);
        kfree(fs);
        return NULL;
    }
    return fs;
}

/* ---- The initial archive -------------------------------------------------------------------- */

void tmpfs_set_backing(struct inode *i, phys_t data, uint64_t len)
{
    store_init(pages_of(i), data, len);
    i->size = len;
}

int tmpfs_set_backing_disk(struct inode *i, struct blkdev *disk, uint64_t off, uint64_t len)
{
    int err = store_init_disk(pages_of(i), disk, off, len);
    if (err == 0)
        i->size = len;
    return err;
}

int tmpfs_finish_backing(struct inode *i)
{
    struct page_store *ps = pages_of(i);
    uint64_t tail = ps->backing_len & (PAGE_SIZE - 1), last = ps->backing_len >> PAGE_SHIFT;
    if ((ps->backing & (PAGE_SIZE - 1)) != 0 || tail == 0 || ps->root != NULL)
        return 0;
    phys_t frame = ps->backing + last * PAGE_SIZE;
    char *mem = phys_to_virt(frame);
    if (frame_of(frame)->refs == 1) {
        memset(mem + tail, 0, PAGE_SIZE - tail);
        return 0;
    }
    phys_t own = frame_alloc(0);
    if (own == 0)
        return -ENOMEM;
    memcpy(phys_to_virt(own), mem, tail);
    memset((char *)phys_to_virt(own) + tail, 0, PAGE_SIZE - tail);
    if (store_install(ps, last, own) < 0) {
        frame_put(own);
        return -ENOMEM;
    }
    return 0;
}

/* ---- memfd --------------------------------------------------------------------------------- */

int tmpfs_memfd(const char *name, unsigned flags, uint32_t seals, struct file **out)
{
    static struct filesystem *memfd_fs; /* never mounted */
    if (memfd_fs == NULL)
        memfd_fs = tmpfs_new("tmpfs", 0700);
    if (memfd_fs == NULL)
        return -ENOMEM;
    struct inode *i = tmpfs_new_inode(memfd_fs, S_IFREG | 0777, 0);
    if (i == NULL)
        return -ENOMEM;
    i->nlink = 0;
    i->seals = seals;
    struct path_node *n = path_new(NULL, name, strlen(name), i);
    if (n == NULL) {
        inode_put(i);
        return -ENOMEM;
    }
    n->flags = PATH_DELETED;
    int err = vfs_open_node(n, (int)flags, out);
    path_put(n);
    return err;
}

/* ---- Pinned content ------------------------------------------------------------------------- */

int tmpfs_pin(struct file *f, uint64_t off, size_t max, struct tmpfs_pins *p)
{
    struct inode *i = f->inode;
    struct page_store *ps = pages_of(i);
    p->nr_iov = p->nr_frames = 0;
    p->bytes = 0;
    while (p->bytes < max && p->nr_iov < TMPFS_PINS) {
        int err = store_bring(ps, off >> PAGE_SHIFT);
        if (err < 0)
            return p->bytes > 0 ? 0 : err;
        if (off >= i->size) /* asked anew each time: bringing a page may have slept */
            break;
        size_t n, want = MIN(max - p->bytes, PAGE_SIZE - (off & (PAGE_SIZE - 1)));
        want = MIN(want, i->size - off);
        const char *at = store_run(ps, off, want, &n);
        if (at == NULL) {
            at = zero_page;
        } else {
            phys_t first = virt_to_phys(at) & PAGE_MASK;
            phys_t last = (virt_to_phys(at) + n - 1) & PAGE_MASK;
            for (phys_t frame = first; frame <= last; frame += PAGE_SIZE) {
                frame_get(frame);
                p->frames[p->nr_frames++] = frame;
            }
        }
        struct iovec *prev = p->nr_iov > 0 ? &p->iov[p->nr_iov - 1] : NULL;
        if (prev != NULL && (const char *)prev->iov_base + prev->iov_len == at)
            prev->iov_len += n; /* neighbours in memory too */
        else
            p->iov[p->nr_iov++] = (struct iovec){.iov_base = (void *)at, .iov_len = n};
        p->bytes += n;
        off += n;
        if (p->nr_frames > ARRAY_SIZE(p->frames) - 2)
            break;
    }
    touch_atime(f);
    return 0;
}

void tmpfs_unpin(struct tmpfs_pins *p)
{
    for (unsigned k = 0; k < p->nr_frames; k++)
        frame_put(p->frames[k]);
    p->nr_frames = 0;
}
