/* See cpio.h. */
#define _GNU_SOURCE
#include "cpio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define HEADER_SIZE   110
#define NAME_SIZE_MAX 4096 /* Linux's PATH_MAX, with the NUL */
#define FIELD_MAX     0xffffffffu
#define TRAILER       "TRAILER!!!"

struct writer {
    int fd;
    uint64_t offset; /* in the archive */
    unsigned next_ino;
    struct inode *root;
    char *buf;
    size_t fill;
    struct why *why;
    bool failed;
};

#define BUF_SIZE (256 * 1024)

static void fail(struct writer *w, const char *path, const char *text)
{
    if (!w->failed)
        because(w->why, "%s: %s", path, text);
    w->failed = true;
}

static void flush(struct writer *w)
{
    if (w->fill && !w->failed && !write_all(w->fd, w->buf, w->fill))
        fail(w, "writing the root file system", strerror(errno));
    w->fill = 0;
}

static void put(struct writer *w, const void *data, size_t n)
{
    w->offset += n;
    while (n) {
        size_t m = BUF_SIZE - w->fill < n ? BUF_SIZE - w->fill : n;
        memcpy(w->buf + w->fill, data, m);
        w->fill += m;
        data = (const char *)data + m;
        n -= m;
        if (w->fill == BUF_SIZE)
            flush(w);
    }
}

static void put_zeros(struct writer *w, size_t n)
{
    static const char zeros[CPIO_ALIGN];

    for (; n > sizeof(zeros); n -= sizeof(zeros))
        put(w, zeros, sizeof(zeros));
    put(w, zeros, n);
}

static void pad4(struct writer *w)
{
    put_zeros(w, -w->offset & 3);
}

static uint32_t clamp_time(int64_t t)
{
    return t < 0 ? 0 : t > FIELD_MAX ? FIELD_MAX : t;
}

static void put_entry(struct writer *w, const char *name, size_t name_size, const struct inode *i,
                      uint32_t size)
{
    char header[HEADER_SIZE + 1];
    size_t n = strlen(name);

    snprintf(header, sizeof(header), "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
             i->ino, (unsigned)i->mode, (unsigned)i->uid, (unsigned)i->gid, i->nlink,
             clamp_time(i->mtime), size, 0, 0, major(i->rdev), minor(i->rdev), (unsigned)name_size,
             0);
    put(w, header, HEADER_SIZE);
    put(w, name, n);
    put_zeros(w, name_size - n);
    pad4(w);
}

/* The bytes that must follow an entry's name for its contents to start on a page. */
static size_t padding(const struct writer *w, size_t name_size)
{
    return -(w->offset + HEADER_SIZE + name_size) & (CPIO_ALIGN - 1);
}

/* The name size that aligns the contents; writes a filler entry first if there is none. */
static size_t aligned_name_size(struct writer *w, size_t name_size)
{
    if (name_size + padding(w, name_size) > NAME_SIZE_MAX) {
        /* "." padded such that the file's own name ends at a page, but for the up to 3 bytes that
         * the filler's own alignment costs. Header and "." are 112 bytes, a multiple of 4. */
        size_t extra = padding(w, HEADER_SIZE + sizeof(".") + name_size);
        put_entry(w, ".", sizeof(".") + (extra & ~(size_t)3), w->root, 0);
    }
    return name_size + padding(w, name_size);
}

static void put_contents(struct writer *w, const struct inode *i)
{
    uint64_t done = 0;
    int fd;

    if (i->data || i->size == 0) {
        put(w, i->data, i->size);
        return;
    }
    fd = open(i->host_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail(w, i->host_path, strerror(errno));
        return;
    }
    while (done < i->size) {
        size_t room = BUF_SIZE - w->fill;
        size_t want = i->size - done < room ? i->size - done : room;
        ssize_t n = read(fd, w->buf + w->fill, want);
        if (n <= 0) {
            if (n < 0 && errno == EINTR)
                continue;
            fail(w, i->host_path, n < 0 ? strerror(errno) : "became shorter while it was packed");
            break;
        }
        w->fill += n;
        w->offset += n;
        done += n;
        if (w->fill == BUF_SIZE)
            flush(w);
    }
    close(fd);
}

static void put_node(void *ctx, struct node *n, const char *path)
{
    struct writer *w = ctx;
    struct inode *i = n->inode;
    const char *name = path[1] ? path + 1 : ".";
    size_t name_size = strlen(name) + 1;
    bool contents = (S_ISREG(i->mode) || S_ISLNK(i->mode)) && !i->written;

    if (w->failed)
        return;
    if (name_size > NAME_SIZE_MAX - 3) {
        fail(w, "a path is too long for a cpio archive", path);
        return;
    }
    if (i->size > FIELD_MAX) {
        fail(w, path, "the file is too large for a cpio archive (4 GiB)");
        return;
    }
    if (!i->ino)
        i->ino = w->next_ino++;
    if (S_ISREG(i->mode) && contents && i->size >= CPIO_ALIGN)
        name_size = aligned_name_size(w, name_size);
    put_entry(w, name, name_size, i, contents ? i->size : 0);
    if (contents)
        put_contents(w, i);
    i->written = true;
    pad4(w);
}

static void reset(void *ctx, struct node *n, const char *path)
{
    (void)ctx;
    (void)path;
    n->inode->ino = 0;
    n->inode->written = false;
}

bool cpio_write(const struct tree *t, int fd, uint64_t *size, struct why *why)
{
    struct writer w = {.fd = fd, .next_ino = 1, .root = t->root->inode, .why = why};
    const struct inode trailer = {.nlink = 1};

    w.buf = xmalloc(BUF_SIZE);
    tree_walk(t, reset, NULL);
    tree_walk(t, put_node, &w);
    put_entry(&w, TRAILER, sizeof(TRAILER), &trailer, 0);
    flush(&w);
    free(w.buf);
    *size = w.offset;
    return !w.failed;
}
