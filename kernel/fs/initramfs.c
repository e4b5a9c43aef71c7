/*
 * Unpacks the initial archive into the root file system, at boot. The format is Linux's
 * (Documentation/driver-api/early-userspace/buffer-format): any sequence of newc archives, each
 * plain or compressed with gzip or zstd, with zeroes between them.
 *
 * The data of a plain archive is not copied: files refer to the frames it was loaded into
 * (fs/store.h). frame_adopt() gave every frame of the archive one reference, which is ours. A
 * frame that lies wholly inside one file's data passes to that file with this reference; of one
 * that lies there in part, the file takes a reference of its own. Entries come in rising order,
 * so whatever lies before the current one has been decided: `cursor` is the first frame whose
 * reference is still ours, and the frames it passes over without giving them away are freed.
 *
 * The rest of a page-aligned file's last page must read as zeroes, but holds the next header. It
 * is cleared once the cursor has passed it (`pending`).
 *
 * A compressed archive is decompressed in pieces straight into the files' own pages, and its
 * frames are freed as it is read.
 *
 * Nothing here is a bug of ours: a bad archive, or one that does not fit into memory, ends the
 * boot with one line and a failure status.
 */
#include "fs/initramfs.h"

#include "arch/x86_64/boot.h"
#include "drivers/blkdev.h"
#include "drivers/power.h"
#include "fs/cpio.h"
#include "fs/decompress.h"
#include "fs/tmpfs.h"
#include "lib/cmdline.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/slab.h"

#define EXIT_BAD_ROOT 125
#define TARGET_MAX    PATH_MAX
/* Read at a time from a disk: two headers with names, usually. */
#define DISK_CHUNK       (4 * PAGE_SIZE)
#define DISK_CHUNK_ORDER 2

struct hard_link {
    struct hard_link *next;
    uint32_t ino, dev_major, dev_minor;
    struct path_node *node; /* referenced */
};

struct unpacker {
    struct cpio_sink cpio; /* first: the stream's callbacks find us by it */
    struct decompress_sink decompress;
    struct cpio_stream *stream;
    struct hard_link *links;
    phys_t cursor;         /* frames before it are decided */
    phys_t end;            /* of the archive */
    phys_t segment;        /* where the compressed segment being read starts */
    struct inode *pending; /* referenced; its last page is to be cleared */
    phys_t pending_frame;
    struct file *file; /* of the entry being streamed; NULL if it has no content */
    uint64_t file_pos;
    char *target; /* link target being streamed; NULL if it is no link */
    size_t target_len;
    struct inode *link_inode; /* referenced; its inode */
    char name[PATH_MAX];      /* of the entry at work, for messages */
    struct blkdev *disk;      /* the archive is there; NULL: in memory */
    const uint8_t *chunk;     /* what was read of it last */
    uint64_t chunk_off;       /* where on the disk that is */
    uint64_t skip_to;         /* where to go on reading; 0: behind the chunk */
};

struct initramfs_stats initramfs_stats;

__noreturn __cold static void give_up(const struct unpacker *u, const char *why, const char *name)
{
    kprintf("wherry: cannot unpack the initial root file system: %s%s%s\n", why,
            name[0] != '\0' ? ": " : "", name);
    power_off(EXIT_BAD_ROOT);
}

__noreturn __cold static void give_up_errno(const struct unpacker *u, int err)
{
    if (err == -ENOMEM || err == -ENOSPC)
        give_up(u, "not enough memory; give the machine more", u->name);
    char why[48];
    ksnprintf(why, sizeof(why), "error %d", -err);
    give_up(u, why, u->name);
}

/* The name is that of the last entry that was whole. */
__noreturn __cold static void give_up_parse(const struct unpacker *u, enum cpio_status s)
{
    char why[64];
    ksnprintf(why, sizeof(why), "%s%s", cpio_status_text(s), u->name[0] != '\0' ? ", after" : "");
    give_up(u, why, u->name);
}

/* ---- Frames of the archive ------------------------------------------------------------------ */

static void finish_pending(struct unpacker *u)
{
    if (tmpfs_finish_backing(u->pending) < 0)
        give_up_errno(u, -ENOMEM);
    inode_put(u->pending);
    u->pending = NULL;
}

/* Gives up our references on the frames before upto. */
static void release_before(struct unpacker *u, phys_t upto)
{
    for (; u->cursor < upto; u->cursor += PAGE_SIZE)
        frame_put(u->cursor);
    if (u->pending != NULL && u->cursor > u->pending_frame)
        finish_pending(u);
}

/* Makes the bytes [data, data+len) of the archive the content of a new file. */
static void adopt_data(struct unpacker *u, struct inode *inode, phys_t data, uint64_t len)
{
    phys_t end = data + len;
    phys_t first = ALIGN_UP(data, PAGE_SIZE), last = ALIGN_DOWN(end, PAGE_SIZE);
    release_before(u, ALIGN_DOWN(data, PAGE_SIZE));
    if (data != first)
        frame_get(ALIGN_DOWN(data, PAGE_SIZE));
    if (end != last && last >= first)
        frame_get(last);
    tmpfs_set_backing(inode, data, len);
    if (first < last) {
        release_before(u, first);
        u->cursor = last; /* what lies between is the file's now */
        release_before(u, last);
    }
    if (data == first && end != last) {
        assert(u->pending == NULL); /* its frame lies before this one's first */
        inode_get(inode);
        u->pending = inode;
        u->pending_frame = last;
    }
    initramfs_stats.in_place += len;
}

/* ---- Entries -------------------------------------------------------------------------------- */

/* Makes the directories above the last component of path, where they are missing. */
static int make_parents(char *path)
{
    for (char *p = path; (p = strchr(p, '/')) != NULL; p++) {
        if (p == path || p[1] == '\0')
            continue;
        *p = '\0';
        int err = vfs_mkdir(AT_FDCWD, path, 0755);
        *p = '/';
        if (err < 0 && err != -EEXIST)
            return err;
    }
    return 0;
}

static int make_node(const struct cpio_entry *e, const char *path, struct path_node **out)
{
    uint32_t type = e->mode & S_IFMT;
    struct walk w;
    int err = vfs_walk(AT_FDCWD, path, LOOKUP_PARENT, &w);
    if (err < 0)
        return err;
    if (w.node != NULL && type == S_IFDIR && inode_is_dir(w.node->inode)) {
        *out = w.node; /* "." and directories that are given twice */
        path_get(w.node);
    } else if (w.node != NULL && inode_is_dir(w.node->inode)) {
        err = -EISDIR;
    } else {
        /* A later entry of the same name replaces the earlier one. */
        if (w.node != NULL) {
            err = vfs_unlink(AT_FDCWD, path, false);
            path_put(w.node);
            w.node = NULL;
        }
        if (err == 0)
            err = names_create(&w, e->mode & (S_IFMT | 07777),
                               vfs_makedev(e->rdev_major, e->rdev_minor), out);
    }
    walk_end(&w);
    return err;
}

static struct hard_link *find_link(struct unpacker *u, const struct cpio_entry *e)
{
    for (struct hard_link *l = u->links; l != NULL; l = l->next)
        if (l->ino == e->ino && l->dev_major == e->dev_major && l->dev_minor == e->dev_minor &&
            ((l->node->inode->mode ^ e->mode) & S_IFMT) == 0)
            return l;
    return NULL;
}

static int remember_link(struct unpacker *u, const struct cpio_entry *e, struct path_node *n)
{
    struct hard_link *l = kmalloc(sizeof(*l));
    if (l == NULL)
        return -ENOMEM;
    *l = (struct hard_link){.next = u->links,
                            .ino = e->ino,
                            .dev_major = e->dev_major,
                            .dev_minor = e->dev_minor,
                            .node = n};
    path_get(n);
    u->links = l;
    return 0;
}

static void forget_links(struct unpacker *u)
{
    for (struct hard_link *l = u->links, *next; l != NULL; l = next) {
        next = l->next;
        path_put(l->node);
        kfree(l);
    }
    u->links = NULL;
}

/* Makes the object of an entry, without its content. */
static int make_entry(struct unpacker *u, const struct cpio_entry *e, const char *name,
                      struct path_node **out)
{
    strlcpy(u->name, name, sizeof(u->name));
    uint32_t type = e->mode & S_IFMT;
    bool linked = e->nlink > 1 && type != S_IFDIR;
    struct hard_link *l = linked ? find_link(u, e) : NULL;
    if (l != NULL) {
        /* All names of a file carry the same number; the data comes with one of them. */
        int err = vfs_link(l->node, AT_FDCWD, u->name);
        if (err == -EEXIST && vfs_unlink(AT_FDCWD, u->name, false) == 0)
            err = vfs_link(l->node, AT_FDCWD, u->name);
        path_get(l->node);
        *out = l->node;
        return err;
    }
    int err = make_node(e, u->name, out);
    if (err == -ENOENT) {
        err = make_parents(u->name);
        if (err == 0)
            err = make_node(e, u->name, out);
    }
    if (err < 0)
        return err;
    struct inode *i = (*out)->inode;
    i->mode = (i->mode & S_IFMT) | (e->mode & 07777);
    i->uid = e->uid;
    i->gid = e->gid;
    i->mtime = i->atime = (int64_t)(e->mtime * NSEC_PER_SEC);
    initramfs_stats.entries++;
    return linked ? remember_link(u, e, *out) : 0;
}

static void check_type(const struct unpacker *u, const struct cpio_entry *e, const char *name)
{
    switch (e->mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return;
    }
    give_up(u, "a file of no known type", name);
}

static void unpack_entry(struct unpacker *u, const struct cpio_entry *e)
{
    struct path_node *n;
    check_type(u, e, e->name);
    int err = make_entry(u, e, e->name, &n);
    if (err < 0)
        give_up_errno(u, err);
    phys_t data = virt_to_phys(e->data);
    uint32_t type = n->inode->mode & S_IFMT;
    if (type == S_IFREG && e->size > 0) {
        err = vfs_truncate(n->inode, 0);
        adopt_data(u, n->inode, data, e->size);
    } else if (type == S_IFLNK) {
        if (e->size == 0 || e->size >= TARGET_MAX)
            give_up(u, "a damaged link", e->name);
        err = n->inode->fs->set_link(n->inode, (const char *)e->data, e->size);
    }
    path_put(n);
    if (err < 0)
        give_up_errno(u, err);
    release_before(u, ALIGN_DOWN(data + e->size, PAGE_SIZE));
}

/* ---- Compressed archives --------------------------------------------------------------------- */

static int stream_entry(struct cpio_sink *s, const struct cpio_entry *e, const char *name)
{
    struct unpacker *u = container_of(s, struct unpacker, cpio);
    struct path_node *n;
    check_type(u, e, name);
    int err = make_entry(u, e, name, &n);
    if (err < 0)
        return err;
    uint32_t type = n->inode->mode & S_IFMT;
    if (type == S_IFREG && e->size > 0) {
        err = vfs_truncate(n->inode, 0);
        if (err == 0)
            err = vfs_open_node(n, O_WRONLY, &u->file);
        u->file_pos = 0;
    } else if (type == S_IFLNK) {
        if (e->size == 0 || e->size >= TARGET_MAX)
            give_up(u, "a damaged link", name);
        u->target = kmalloc(e->size);
        u->target_len = 0;
        err = u->target != NULL ? 0 : -ENOMEM;
    }
    if (u->target != NULL) {
        u->link_inode = n->inode;
        inode_get(n->inode);
    }
    path_put(n);
    return err;
}

/*
 * Leaves the data of a file where it is if it is page aligned on the disk. The parser is then
 * started anew behind it: an entry may always be the first of an archive.
 */
static bool stay_on_disk(struct unpacker *u, const uint8_t *data)
{
    uint64_t off = u->chunk_off + (uint64_t)(data - u->chunk);
    uint32_t size = u->stream->e.size;
    if (u->disk == NULL || u->file_pos != 0 || off % PAGE_SIZE != 0 || size < PAGE_SIZE)
        return false;
    if (size > u->disk->size - off)
        give_up(u, cpio_status_text(CPIO_TRUNCATED), u->name);
    if (tmpfs_set_backing_disk(u->file->inode, u->disk, off, size) < 0)
        give_up_errno(u, -ENOMEM);
    initramfs_stats.in_place += size;
    u->skip_to = ALIGN_UP(off + size, 4ul);
    return true;
}

static int stream_data(struct cpio_sink *s, const uint8_t *data, size_t n)
{
    struct unpacker *u = container_of(s, struct unpacker, cpio);
    if (u->target != NULL) {
        memcpy(u->target + u->target_len, data, n);
        u->target_len += n;
    } else if (u->file != NULL && stay_on_disk(u, data)) {
        return -ECANCELED;
    } else if (u->file != NULL) {
        ssize_t done = file_write_at(u->file, data, n, u->file_pos);
        if (done != (ssize_t)n)
            return done < 0 ? (int)done : -ENOSPC;
        u->file_pos += n;
        initramfs_stats.copied += n;
    }
    return 0;
}

static int stream_end(struct cpio_sink *s)
{
    struct unpacker *u = container_of(s, struct unpacker, cpio);
    int err = 0;
    if (u->target != NULL) {
        err = u->link_inode->fs->set_link(u->link_inode, u->target, u->target_len);
        inode_put(u->link_inode);
        kfree(u->target);
        u->target = NULL;
    }
    if (u->file != NULL) {
        /* Writing moved the time of change. */
        u->file->inode->mtime = (int64_t)(u->stream->e.mtime * NSEC_PER_SEC);
        file_put(u->file);
        u->file = NULL;
    }
    return err;
}

static int stream_output(struct decompress_sink *s, const uint8_t *p, size_t n)
{
    struct unpacker *u = container_of(s, struct unpacker, decompress);
    return cpio_stream_push(u->stream, p, n);
}

static void stream_consumed(struct decompress_sink *s, size_t n)
{
    struct unpacker *u = container_of(s, struct unpacker, decompress);
    release_before(u, ALIGN_DOWN(u->segment + n, PAGE_SIZE));
}

static size_t unpack_compressed(struct unpacker *u, enum compression kind, const uint8_t *in,
                                size_t len)
{
    u->stream = vmalloc(sizeof(*u->stream));
    if (u->stream == NULL)
        give_up_errno(u, -ENOMEM);
    cpio_stream_init(u->stream, &u->cpio);
    u->segment = virt_to_phys(in);
    size_t used = 0;
    int err = decompress(kind, in, len, &used, &u->decompress);
    if (err == 0)
        err = cpio_stream_finish(u->stream);
    const char *format = kind == COMPRESSION_GZIP ? "gzip" : "zstd";
    if (u->stream->status != CPIO_ENTRY)
        give_up_parse(u, u->stream->status);
    if (err == -ENODATA)
        give_up(u, "the compressed archive is cut off", format);
    if (err == -EINVAL)
        give_up(u, "the compressed archive is damaged", format);
    if (err < 0)
        give_up_errno(u, err);
    vfree(u->stream);
    u->stream = NULL;
    return used;
}

/* ---- The whole ------------------------------------------------------------------------------- */

/* A plain archive, to its trailer or the end: bytes used. */
static size_t unpack_plain(struct unpacker *u, const uint8_t *buf, size_t len)
{
    size_t pos = 0;
    for (;;) {
        struct cpio_entry e;
        enum cpio_status s = cpio_next(buf, len, &pos, &e);
        if (s == CPIO_ENTRY)
            unpack_entry(u, &e);
        else if (s == CPIO_TRAILER || s == CPIO_END)
            return pos;
        else
            give_up_parse(u, s);
    }
}

static void unpacker_init(struct unpacker *u)
{
    u->cpio = (struct cpio_sink){stream_entry, stream_data, stream_end};
    u->decompress = (struct decompress_sink){stream_output, stream_consumed};
}

/* An archive on a disk, uncompressed, to its trailer. Its larger files are read when they are used.
 */
static void unpack_disk(struct unpacker *u)
{
    phys_t frames[DISK_CHUNK >> PAGE_SHIFT], buf = frame_alloc_split(DISK_CHUNK_ORDER);
    u->stream = vmalloc(sizeof(*u->stream));
    if (u->stream == NULL || buf == 0)
        give_up_errno(u, -ENOMEM);
    for (unsigned i = 0; i < ARRAY_SIZE(frames); i++)
        frames[i] = buf + i * PAGE_SIZE;
    cpio_stream_init(u->stream, &u->cpio);
    u->chunk = phys_to_virt(buf);
    uint64_t off = 0;
    while (off < u->disk->size && !u->stream->trailer) {
        u->chunk_off = ALIGN_DOWN(off, PAGE_SIZE);
        uint64_t have = MIN(u->disk->size - u->chunk_off, DISK_CHUNK);
        unsigned pages = (unsigned)((have + PAGE_SIZE - 1) >> PAGE_SHIFT);
        if (u->disk->transfer(u->disk, false, u->chunk_off, frames, pages) < 0)
            give_up(u, "the disk cannot be read", u->disk->name);
        size_t at = off - u->chunk_off;
        int err = cpio_stream_push(u->stream, u->chunk + at, have - at);
        off = u->chunk_off + have;
        if (err == -ECANCELED) {
            (void)stream_end(&u->cpio);
            off = u->skip_to;
            cpio_stream_init(u->stream, &u->cpio);
        } else if (u->stream->status != CPIO_ENTRY) {
            give_up_parse(u, u->stream->status);
        } else if (err < 0) {
            give_up_errno(u, err);
        }
    }
    if (cpio_stream_finish(u->stream) < 0)
        give_up_parse(u, u->stream->status);
    forget_links(u);
    vfree(u->stream);
    u->stream = NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(frames); i++)
        frame_put(frames[i]);
}

static const char *root_disk; /* wherry.root= */

static int set_root_disk(const char *value)
{
    root_disk = value;
    return value != NULL && value[0] != '\0' ? 0 : -EINVAL;
}
CMDLINE("wherry.root", set_root_disk);

void initramfs_unpack_disk(void)
{
    if (root_disk == NULL)
        return;
    struct unpacker *u = kzalloc(sizeof(*u));
    if (u == NULL)
        panic("no memory to unpack the root file system");
    u->disk = blkdev_find(root_disk);
    if (u->disk == NULL)
        give_up(u, "wherry.root= names a disk that is not there", root_disk);
    unpacker_init(u);
    uint32_t umask = fs_context.umask;
    fs_context.umask = 0;
    unpack_disk(u);
    fs_context.umask = umask;
    kfree(u);
}

void initramfs_unpack(void)
{
    phys_t start = boot_info.initrd_start, end = boot_info.initrd_end;
    if (start == 0 || end <= start)
        return;
    /* On the heap: it holds a path, and the boot stack is small. */
    struct unpacker *u = kzalloc(sizeof(*u));
    if (u == NULL)
        panic("no memory to unpack the initial root file system");
    frame_adopt(ALIGN_DOWN(start, PAGE_SIZE), ALIGN_UP(end, PAGE_SIZE));
    unpacker_init(u);
    u->cursor = ALIGN_DOWN(start, PAGE_SIZE);
    u->end = ALIGN_UP(end, PAGE_SIZE);
    uint32_t umask = fs_context.umask;
    fs_context.umask = 0;

    const uint8_t *buf = phys_to_virt(start);
    size_t len = end - start, pos = 0;
    while (pos < len) {
        if (buf[pos] == 0) { /* padding between archives */
            pos++;
            continue;
        }
        enum compression kind = compression_of(buf + pos, len - pos);
        if (kind != COMPRESSION_NONE)
            pos += unpack_compressed(u, kind, buf + pos, len - pos);
        else
            pos += unpack_plain(u, buf + pos, len - pos);
        forget_links(u);
    }
    release_before(u, u->end);
    if (u->pending != NULL)
        finish_pending(u);
    fs_context.umask = umask;
    kfree(u);
}
