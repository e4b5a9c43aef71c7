/*
 * The memory devices (null(4), zero(4), full(4), random(4)) and the population of /dev. The
 * directory itself is a tmpfs, as Linux's devtmpfs is: nodes can be made and removed.
 */
#include "fs/devices.h"

#include "fs/tmpfs.h"
#include "fs/tty.h"
#include "lib/random.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "mm/vma.h"

#include <asm/ioctls.h>
#include <linux/major.h>
#include <linux/random.h>

#include "arch/x86_64/uaccess.h"

#define MINOR_NULL    3u
#define MINOR_ZERO    5u
#define MINOR_FULL    7u
#define MINOR_RANDOM  8u
#define MINOR_URANDOM 9u
#define CHUNK         256u

static ssize_t read_nothing(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    return 0;
}

static ssize_t write_all(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    size_t n = it->count;
    iov_iter_advance(it, n);
    return (ssize_t)n;
}

static ssize_t read_zeroes(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    return zero_iter(it, it->count);
}

static ssize_t write_full(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    return it->count > 0 ? -ENOSPC : 0;
}

static ssize_t read_random(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    uint8_t chunk[CHUNK];
    size_t done = 0;
    while (it->count > 0) {
        size_t n = MIN(it->count, sizeof(chunk));
        random_bytes(chunk, n);
        ssize_t got = copy_to_iter(it, chunk, n);
        if (got < 0)
            return done > 0 ? (ssize_t)done : got;
        done += (size_t)got;
        if ((size_t)got < n)
            break;
    }
    memset(chunk, 0, sizeof(chunk));
    barrier();
    return (ssize_t)done;
}

static ssize_t write_random(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    uint8_t chunk[CHUNK];
    size_t done = 0;
    while (it->count > 0) {
        ssize_t n = copy_from_iter(it, chunk, sizeof(chunk));
        if (n < 0)
            return done > 0 ? (ssize_t)done : n;
        random_add_entropy(chunk, (size_t)n);
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static long random_ioctl(struct file *f, unsigned cmd, uint64_t arg)
{
    switch (cmd) {
    case RNDGETENTCNT: /* random(4): a full pool, since Linux 5.18 always */
        return put_user(256, (int *)arg);
    case RNDRESEEDCRNG:
        return cred.euid == 0 ? 0 : -EPERM;
    }
    return -ENOTTY;
}

/* Each page is fresh, so a private mapping is ordinary memory. A shared one is too: no second
 * process could see it. */
static phys_t zero_page_of(struct vma *v, uint64_t pgoff, bool write, int *err)
{
    phys_t p = frame_alloc_zero();
    if (p == 0)
        *err = -ENOMEM;
    return p;
}

static int map_zero(struct file *f, struct vma *v)
{
    static const struct vma_ops ops = {.page = zero_page_of};
    v->ops = &ops;
    return 0;
}

/* lseek(2) succeeds on these devices and stays at the beginning. */
static int64_t seek_nowhere(struct file *f, int64_t off, int whence)
{
    return 0;
}

static void plain_release(struct file *f)
{
    kfree(f);
}

static const struct file_ops null_ops = {
    .name = "null",
    .read = read_nothing,
    .write = write_all,
    .seek = seek_nowhere,
    .release = plain_release,
};
static const struct file_ops zero_ops = {
    .name = "zero",
    .read = read_zeroes,
    .write = write_all,
    .seek = seek_nowhere,
    .mmap = map_zero,
    .release = plain_release,
};
static const struct file_ops full_ops = {
    .name = "full",
    .read = read_zeroes,
    .write = write_full,
    .seek = seek_nowhere,
    .release = plain_release,
};
static const struct file_ops random_ops = {
    .name = "random",
    .read = read_random,
    .write = write_random,
    .ioctl = random_ioctl,
    .seek = seek_nowhere,
    .release = plain_release,
};

static int open_memory(struct inode *inode, struct path_node *path, unsigned flags,
                       struct file **out)
{
    const struct file_ops *ops = &random_ops;
    switch (inode->rdev & 0xff) {
    case MINOR_NULL:
        ops = &null_ops;
        break;
    case MINOR_ZERO:
        ops = &zero_ops;
        break;
    case MINOR_FULL:
        ops = &full_ops;
        break;
    }
    return file_new(ops, flags, 0, out);
}

static struct chardev memory_devices[] = {
    {.major = MEM_MAJOR, .minor = MINOR_NULL, .name = "null", .open = open_memory},
    {.major = MEM_MAJOR, .minor = MINOR_ZERO, .name = "zero", .open = open_memory},
    {.major = MEM_MAJOR, .minor = MINOR_FULL, .name = "full", .open = open_memory},
    {.major = MEM_MAJOR, .minor = MINOR_RANDOM, .name = "random", .open = open_memory},
    {.major = MEM_MAJOR, .minor = MINOR_URANDOM, .name = "urandom", .open = open_memory},
};

struct node {
    const char *path;
    uint32_t mode;
    uint32_t major, minor;
};

static const struct node nodes[] = {
    {"/dev/null", 0666, MEM_MAJOR, MINOR_NULL},
    {"/dev/zero", 0666, MEM_MAJOR, MINOR_ZERO},
    {"/dev/full", 0666, MEM_MAJOR, MINOR_FULL},
    {"/dev/random", 0666, MEM_MAJOR, MINOR_RANDOM},
    {"/dev/urandom", 0666, MEM_MAJOR, MINOR_URANDOM},
    {"/dev/tty", 0666, TTYAUX_MAJOR, 0},
    {"/dev/console", 0600, TTYAUX_MAJOR, 1},
    {"/dev/ttyS0", 0600, TTY_MAJOR, 64},
};

static const char *const links[][2] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

void devices_register(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(memory_devices); i++)
        chardev_register(&memory_devices[i]);
    tty_init();
}

int devices_populate(void)
{
    int err = 0;
    for (size_t i = 0; i < ARRAY_SIZE(nodes) && err == 0; i++)
        err = vfs_mknod(AT_FDCWD, nodes[i].path, S_IFCHR | nodes[i].mode,
                        vfs_makedev(nodes[i].major, nodes[i].minor), NULL);
    for (size_t i = 0; i < ARRAY_SIZE(links) && err == 0; i++)
        err = vfs_symlink(links[i][0], AT_FDCWD, links[i][1]);
    if (err == 0)
        err = vfs_mkdir(AT_FDCWD, "/dev/shm", 01777);
    return err;
}
