// unit: kernel/lib/rbtree.c
/* Proves path walking, names, permissions, links, renames, mounts, locks and tmpfs files, and that
 * the unpacker turns an archive into that tree without copying or losing a frame. */
#include "fs_fakes.h"

#include "fs/path.c"
#include "fs/walk.c"
#include "fs/names.c"
#include "fs/open.c"
#include "fs/mount.c"
#include "fs/store.c"
#include "fs/tmpfs.c"
#include "fs/xattr.c"
#include "fs/locks.c"
#include "fs/file.c"
#include "fs/iov.c"
#include "fs/cpio.c"
#include "fs/initramfs.c"

#include <stdio.h>
#include <string.h>

struct boot_info boot_info;
static jmp_buf powered_off;
static char printed[512];

void power_off(int status)
{
    longjmp(powered_off, status);
}

void kprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(printed, sizeof(printed), fmt, ap);
    va_end(ap);
}

void __lsan_disable(void);
void __lsan_enable(void);

static int read_disk(struct blkdev *b, bool write, uint64_t off, const phys_t *frames, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        memset(phys_to_virt(frames[k]), (int)(1 + off / PAGE_SIZE + k), PAGE_SIZE);
    return 0;
}

static struct blkdev disk = {.name = "vda", .size = 1ul << 20, .transfer = read_disk};

struct blkdev *blkdev_find(const char *name)
{
    return NULL;
}

int fifo_open(struct inode *i, struct path_node *p, unsigned flags, struct file **out)
{
    return -ENXIO;
}

enum compression compression_of(const uint8_t *p, size_t n)
{
    return n >= 2 && p[0] == 'Z' && p[1] == 'Z' ? COMPRESSION_GZIP : COMPRESSION_NONE;
}

/* "ZZ" and then the plain bytes, handed out in uneven pieces. */
int decompress(enum compression kind, const uint8_t *in, size_t len, size_t *used,
               struct decompress_sink *sink)
{
    size_t pos = 2;
    int err = 0;
    while (pos < len && err == 0) {
        size_t n = MIN(len - pos, 777ul);
        err = sink->output(sink, in + pos, n);
        pos += n;
        if (err == 0)
            sink->consumed(sink, pos);
    }
    *used = pos;
    return err;
}

static int at = AT_FDCWD;

static int start(void **state)
{
    struct filesystem *fs = tmpfs_new("rootfs", 0755);
    cred = (struct cred){.uid = 0};
    fs_context.umask = 022;
    vfs_set_root(fs);
    return 0;
}

static int stop(void **state)
{
    /* What the process and the tree hold goes; then nothing may be left. */
    fd_close_range(0, 1000);
    struct filesystem *fs = fs_context.root->inode->fs;
    path_put(fs_context.root);
    path_put(fs_context.cwd);
    list_remove(&fs->mount->link);
    kfree(fs->mount);
    tmpfs_release(fs);
    kfree(fs);
    assert_int_equal(vfs_stats.nodes, 0);
    assert_int_equal(vfs_stats.inodes, 0);
    assert_int_equal(fake_frames_used, 0);
    return 0;
}

static struct file *open_file(const char *path, int flags, int mode)
{
    struct file *f = NULL;
    assert_int_equal(vfs_open(at, path, flags, mode, &f), 0);
    return f;
}

static int open_error(const char *path, int flags)
{
    struct file *f;
    int err = vfs_open(at, path, flags, 0644, &f);
    if (err == 0)
        file_put(f);
    return err;
}

static void put_text(const char *path, const char *text)
{
    struct file *f = open_file(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    assert_int_equal(file_write_at(f, text, strlen(text), 0), strlen(text));
    file_put(f);
}

static void expect_text(const char *path, const char *text)
{
    char buf[256] = "";
    struct file *f = open_file(path, O_RDONLY, 0);
    assert_int_equal(file_read_at(f, buf, sizeof(buf) - 1, 0), strlen(text));
    assert_string_equal(buf, text);
    file_put(f);
}

static void expect_path(const char *path, const char *text)
{
    char buf[256];
    struct file *f = open_file(path, O_PATH, 0);
    assert_string_equal(vfs_path_of(f, buf, sizeof(buf)), text);
    file_put(f);
}

static void paths_are_walked(void **state)
{
    assert_int_equal(vfs_mkdir(at, "/a", 0755), 0);
    assert_int_equal(vfs_mkdir(at, "a/b/", 0755), 0);
    assert_int_equal(vfs_mkdir(at, "a/b", 0755), -EEXIST);
    assert_int_equal(vfs_mkdir(at, "x/y", 0755), -ENOENT);
    put_text("/a/b/f", "text");
    expect_text("//a/./b/../b///f", "text");
    expect_text("../../a/b/f", "text");
    assert_int_equal(open_error("/a/b/f/", O_RDONLY), -ENOTDIR);
    assert_int_equal(open_error("/a/b/f/g", O_RDONLY), -ENOTDIR);
    assert_int_equal(open_error("", O_RDONLY), -ENOENT);
    assert_int_equal(open_error("/a", O_WRONLY), -EISDIR);
    assert_int_equal(open_error("/a/", O_CREAT | O_WRONLY), -EISDIR);
    assert_int_equal(open_error("/a/b/f", O_CREAT | O_EXCL | O_RDWR), -EEXIST);
    assert_int_equal(open_error("/a/b/f", O_DIRECTORY), -ENOTDIR);
    char name[NAME_MAX + 2];
    memset(name, 'n', sizeof(name));
    name[NAME_MAX + 1] = '\0';
    assert_int_equal(open_error(name, O_CREAT | O_RDWR), -ENAMETOOLONG);
    name[NAME_MAX] = '\0';
    assert_int_equal(open_error(name, O_CREAT | O_RDWR), 0);
    expect_path("/a/b/../b/f", "/a/b/f");
    expect_path("/", "/");
}

static void links_are_followed(void **state)
{
    assert_int_equal(vfs_mkdir(at, "/usr", 0755), 0);
    assert_int_equal(vfs_mkdir(at, "/usr/lib", 0755), 0);
    assert_int_equal(vfs_symlink("usr/lib", at, "/lib"), 0);
    assert_int_equal(vfs_symlink("/lib/real", at, "/usr/lib/so"), 0);
    assert_int_equal(vfs_symlink("/", at, "/top"), 0);
    put_text("/lib/real", "elf");
    expect_text("/lib/so", "elf");
    expect_text("/top/top/lib/so", "elf");
    expect_path("/lib/so", "/usr/lib/real");
    assert_int_equal(open_error("/lib/so", O_NOFOLLOW), -ELOOP);
    assert_int_equal(vfs_symlink("loop2", at, "/loop1"), 0);
    assert_int_equal(vfs_symlink("loop1", at, "/loop2"), 0);
    assert_int_equal(open_error("/loop1", O_RDONLY), -ELOOP);
    /* A dangling link: creating through it makes its target; with O_EXCL it exists. */
    assert_int_equal(vfs_symlink("/made", at, "/dangling"), 0);
    assert_int_equal(open_error("/dangling", O_RDONLY), -ENOENT);
    assert_int_equal(open_error("/dangling", O_CREAT | O_EXCL | O_RDWR), -EEXIST);
    assert_int_equal(open_error("/dangling", O_CREAT | O_RDWR), 0);
    assert_int_equal(open_error("/made", O_RDONLY), 0);
}

static void openat2_restrictions_hold(void **state)
{
    struct path_node *n;
    assert_int_equal(vfs_mkdir(at, "/jail", 0755), 0);
    assert_int_equal(vfs_symlink("/etc", at, "/jail/out"), 0);
    assert_int_equal(vfs_mkdir(at, "/jail/etc", 0755), 0);
    struct file *jail = open_file("/jail", O_RDONLY | O_DIRECTORY, 0);
    int fd = fd_install(jail, 0, 0);
    assert_int_equal(vfs_lookup(fd, "../jail", LOOKUP_BENEATH, &n), -EXDEV);
    assert_int_equal(vfs_lookup(fd, "/jail", LOOKUP_BENEATH, &n), -EXDEV);
    assert_int_equal(vfs_lookup(fd, "out", LOOKUP_BENEATH | LOOKUP_FOLLOW, &n), -EXDEV);
    assert_int_equal(vfs_lookup(fd, "out", LOOKUP_NO_LINKS | LOOKUP_FOLLOW, &n), -ELOOP);
    assert_int_equal(vfs_lookup(fd, "../../out/..", LOOKUP_IN_ROOT | LOOKUP_FOLLOW, &n), 0);
    assert_ptr_equal(n, jail->path);
    path_put(n);
}

static void names_are_removed_and_renamed(void **state)
{
    assert_int_equal(vfs_mkdir(at, "/d", 0755), 0);
    assert_int_equal(vfs_mkdir(at, "/d/sub", 0755), 0);
    put_text("/d/f", "one");
    put_text("/g", "two");
    assert_int_equal(vfs_unlink(at, "/d", true), -ENOTEMPTY);
    assert_int_equal(vfs_unlink(at, "/d", false), -EISDIR);
    assert_int_equal(vfs_unlink(at, "/g", true), -ENOTDIR);
    assert_int_equal(vfs_unlink(at, "/", true), -EBUSY);
    assert_int_equal(vfs_unlink(at, "/d/.", true), -EINVAL);
    assert_int_equal(vfs_rename(at, "/d", at, "/d/sub/x", 0), -EINVAL);
    assert_int_equal(vfs_rename(at, "/g", at, "/d", 0), -EISDIR);
    assert_int_equal(vfs_rename(at, "/d", at, "/g", 0), -ENOTDIR);
    assert_int_equal(vfs_rename(at, "/d/f", at, "/g", RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(vfs_rename(at, "/d/f", at, "/g", RENAME_EXCHANGE), 0);
    expect_text("/g", "one");
    expect_text("/d/f", "two");
    assert_int_equal(vfs_rename(at, "/d/f", at, "/g", 0), 0);
    expect_text("/g", "two");
    assert_int_equal(open_error("/d/f", O_RDONLY), -ENOENT);
    assert_int_equal(vfs_rename(at, "/d/sub", at, "/moved-to-a-name-longer-than-28-bytes", 0), 0);
    expect_path("/moved-to-a-name-longer-than-28-bytes", "/moved-to-a-name-longer-than-28-bytes");
    assert_int_equal(vfs_unlink(at, "/d", true), 0);
    struct kstat st;
    vfs_stat_inode(fs_context.root->inode, &st);
    assert_int_equal(st.nlink, 3);
    /* Open files live on without a name. */
    struct file *f = open_file("/g", O_RDWR, 0);
    char buf[64];
    assert_int_equal(vfs_unlink(at, "/g", false), 0);
    assert_int_equal(file_read_at(f, buf, sizeof(buf), 0), 3);
    assert_string_equal(vfs_path_of(f, buf, sizeof(buf)), "/g (deleted)");
    assert_int_equal(vfs_link(f->path, at, "/again"), -ENOENT);
    file_put(f);
}

static void hard_links_share_an_inode(void **state)
{
    put_text("/one", "x");
    struct path_node *n;
    assert_int_equal(vfs_lookup(at, "/one", 0, &n), 0);
    assert_int_equal(vfs_link(n, at, "/two"), 0);
    assert_int_equal(n->inode->nlink, 2);
    assert_int_equal(vfs_rename(at, "/one", at, "/two", 0), 0);
    expect_text("/one", "x");
    assert_int_equal(vfs_unlink(at, "/one", false), 0);
    expect_text("/two", "x");
    path_put(n);
    struct file *t = open_file("/", O_TMPFILE | O_RDWR, 0600);
    assert_int_equal(file_write_at(t, "tmp", 3, 0), 3);
    assert_int_equal(vfs_link(t->path, at, "/named"), 0);
    file_put(t);
    expect_text("/named", "tmp");
}

static void others_are_kept_out(void **state)
{
    assert_int_equal(vfs_mkdir(at, "/secret", 0700), 0);
    put_text("/secret/f", "x");
    put_text("/readable", "x");
    fs_context.umask = 0;
    assert_int_equal(vfs_mkdir(at, "/tmp", 01777), 0);
    put_text("/tmp/roots", "x");
    cred.fsuid = cred.euid = 1000;
    cred.fsgid = 1000;
    assert_int_equal(open_error("/secret/f", O_RDONLY), -EACCES);
    assert_int_equal(open_error("/readable", O_RDONLY), 0);
    assert_int_equal(open_error("/readable", O_WRONLY), -EACCES);
    assert_int_equal(open_error("/new", O_CREAT | O_RDWR), -EACCES);
    assert_int_equal(open_error("/tmp/mine", O_CREAT | O_RDWR), 0);
    assert_int_equal(vfs_unlink(at, "/tmp/roots", false), -EPERM);
    assert_int_equal(vfs_unlink(at, "/tmp/mine", false), 0);
    cred = (struct cred){.uid = 0};
}

static void files_are_sparse_and_seekable(void **state)
{
    struct file *f = open_file("/s", O_CREAT | O_RDWR, 0644);
    char buf[16];
    assert_int_equal(file_write_at(f, "end", 3, 3 * PAGE_SIZE + 10), 3);
    assert_int_equal(file_read_at(f, buf, 4, 3 * PAGE_SIZE + 8), 4);
    assert_memory_equal(buf, "\0\0en", 4);
    assert_int_equal(f->ops->seek(f, 0, SEEK_DATA), 3 * PAGE_SIZE);
    assert_int_equal(f->ops->seek(f, 3 * PAGE_SIZE + 1, SEEK_HOLE), 3 * PAGE_SIZE + 13);
    assert_int_equal(f->ops->seek(f, 3 * PAGE_SIZE + 13, SEEK_DATA), -ENXIO);
    struct kstat st;
    vfs_stat_file(f, &st);
    assert_int_equal(st.blocks, 8);
    assert_int_equal(vfs_truncate(f->inode, 3 * PAGE_SIZE + 11), 0);
    assert_int_equal(vfs_truncate(f->inode, 4 * PAGE_SIZE), 0);
    assert_int_equal(file_read_at(f, buf, 3, 3 * PAGE_SIZE + 10), 3);
    assert_memory_equal(buf, "e\0\0", 3);
    assert_int_equal(f->ops->fallocate(f, 0, 0, 2 * PAGE_SIZE), 0);
    vfs_stat_file(f, &st);
    assert_int_equal(st.blocks, 24);
    assert_int_equal(f->ops->fallocate(f, 0, 0, 2 * FAKE_FRAMES * PAGE_SIZE), -ENOSPC);
    f->flags |= O_APPEND;
    uint64_t pos = 0;
    struct iovec v = {"app", 3};
    struct iov_iter it;
    iov_iter_init(&it, &v, 1, 3, false);
    assert_int_equal(f->ops->write(f, &it, &pos), 3);
    assert_int_equal(pos, 4 * PAGE_SIZE + 3);
    v.iov_base = (void *)16; /* not mapped */
    iov_iter_init(&it, &v, 1, 3, false);
    assert_int_equal(f->ops->write(f, &it, &pos), -EFAULT);
    file_put(f);
}

static void seals_hold(void **state)
{
    struct file *f;
    assert_int_equal(tmpfs_memfd("memfd:x", O_RDWR, 0, &f), 0);
    char buf[64];
    assert_string_equal(vfs_path_of(f, buf, sizeof(buf)), "/memfd:x (deleted)");
    assert_int_equal(file_write_at(f, "abc", 3, 0), 3);
    f->inode->seals = F_SEAL_GROW;
    assert_int_equal(file_write_at(f, "abcd", 4, 0), -EPERM);
    assert_int_equal(file_write_at(f, "xyz", 3, 0), 3);
    f->inode->seals = F_SEAL_SHRINK | F_SEAL_WRITE;
    assert_int_equal(f->ops->truncate(f, 1), -EPERM);
    assert_int_equal(file_write_at(f, "a", 1, 0), -EPERM);
    /* The file system that memfds live in stays for ever; its root is not counted as a leak. */
    struct filesystem *fs = f->inode->fs;
    file_put(f);
    vfs_stats.nodes -= fs->root != NULL;
    vfs_stats.inodes--;
}

static void mounts_cover_and_uncover(void **state)
{
    struct filesystem *fs = tmpfs_new("tmpfs", 0755);
    struct path_node *n;
    assert_int_equal(vfs_mkdir(at, "/mnt", 0755), 0);
    put_text("/mnt/below", "x");
    assert_int_equal(vfs_lookup(at, "/mnt", 0, &n), 0);
    assert_int_equal(vfs_mount(fs, n, "none", 0), 0);
    path_put(n);
    assert_int_equal(open_error("/mnt/below", O_RDONLY), -ENOENT);
    put_text("/mnt/above", "y");
    expect_path("/mnt/above", "/mnt/above");
    expect_text("/mnt/../mnt/above", "y");
    assert_int_equal(vfs_rename(at, "/mnt/above", at, "/above", 0), -EXDEV);
    assert_int_equal(vfs_unlink(at, "/mnt", true), -EBUSY);
    struct file *f = open_file("/mnt/above", O_RDONLY, 0);
    assert_int_equal(vfs_lookup(at, "/mnt", 0, &n), 0);
    assert_int_equal(vfs_umount(n, 0), -EBUSY);
    file_put(f);
    fs->mount->flags = MS_RDONLY;
    assert_int_equal(open_error("/mnt/above", O_WRONLY), -EROFS);
    assert_int_equal(open_error("/mnt/other", O_CREAT | O_WRONLY), -EROFS);
    assert_int_equal(vfs_umount(n, 0), 0);
    path_put(n);
    kfree(fs);
    expect_text("/mnt/below", "x");
}

static void locks_conflict_between_descriptions(void **state)
{
    put_text("/l", "x");
    struct file *a = open_file("/l", O_RDWR, 0), *b = open_file("/l", O_RDWR, 0);
    assert_int_equal(locks_flock(a, LOCK_SH), 0);
    assert_int_equal(locks_flock(b, LOCK_SH | LOCK_NB), 0);
    assert_int_equal(locks_flock(b, LOCK_EX | LOCK_NB), -EWOULDBLOCK);
    assert_int_equal(locks_flock(a, LOCK_UN), 0);
    assert_int_equal(locks_flock(b, LOCK_EX), 0);
    assert_int_equal(locks_flock(a, LOCK_EX), -ERESTARTSYS);
    struct flock w = {.l_type = F_WRLCK, .l_start = 10, .l_len = 10};
    assert_int_equal(locks_fcntl(a, F_OFD_SETLK, &w), 0);
    struct flock r = {.l_type = F_RDLCK, .l_start = 19, .l_len = 1};
    assert_int_equal(locks_fcntl(b, F_OFD_SETLK, &r), -EAGAIN);
    assert_int_equal(locks_fcntl(b, F_SETLK, &r), -EAGAIN);
    r.l_start = 20;
    assert_int_equal(locks_fcntl(b, F_OFD_SETLK, &r), 0);
    /* Unlocking the middle leaves two pieces. */
    struct flock u = {.l_type = F_UNLCK, .l_start = 14, .l_len = 2};
    assert_int_equal(locks_fcntl(a, F_OFD_SETLK, &u), 0);
    struct flock q = {.l_type = F_WRLCK, .l_start = 14, .l_len = 2};
    assert_int_equal(locks_fcntl(b, F_OFD_GETLK, &q), 0);
    assert_int_equal(q.l_type, F_UNLCK);
    q = (struct flock){.l_type = F_WRLCK, .l_start = 0, .l_len = 0};
    assert_int_equal(locks_fcntl(b, F_OFD_GETLK, &q), 0);
    assert_int_equal(q.l_type, F_WRLCK);
    assert_int_equal(q.l_pid, -1);
    /* The process never conflicts with itself. */
    struct flock p = {.l_type = F_WRLCK, .l_start = 100, .l_len = 5};
    assert_int_equal(locks_fcntl(a, F_SETLK, &p), 0);
    assert_int_equal(locks_fcntl(b, F_SETLK, &p), 0);
    file_put(a);
    assert_int_equal(locks_flock(b, LOCK_EX | LOCK_NB), 0);
    locks_release_process(b->inode);
    file_put(b);
    assert_int_equal(file_stats.locks, 0);
}

static void attributes_are_kept(void **state)
{
    put_text("/x", "");
    struct file *f = open_file("/x", O_RDWR, 0);
    struct inode *i = f->inode;
    char buf[64];
    assert_int_equal(xattr_set(i, "user.a", "one", 3, 0), 0);
    assert_int_equal(xattr_set(i, "user.a", "two!", 4, XATTR_CREATE), -EEXIST);
    assert_int_equal(xattr_set(i, "user.a", "two!", 4, 0), 0);
    assert_int_equal(xattr_set(i, "user.b", "", 0, XATTR_REPLACE), -ENODATA);
    assert_int_equal(xattr_set(i, "system.x", "", 0, 0), -EOPNOTSUPP);
    assert_int_equal(xattr_get(i, "user.a", NULL, 0), 4);
    assert_int_equal(xattr_get(i, "user.a", buf, 2), -ERANGE);
    assert_int_equal(xattr_get(i, "user.a", buf, 64), 4);
    assert_memory_equal(buf, "two!", 4);
    assert_int_equal(xattr_list(i, buf, 64), 7);
    assert_int_equal(xattr_remove(i, "user.a"), 0);
    assert_int_equal(xattr_get(i, "user.a", NULL, 0), -ENODATA);
    file_put(f);
}

static void descriptors_are_the_lowest_free(void **state)
{
    struct file *f = open_file("/", O_RDONLY, 0);
    for (int k = 0; k < 700; k++) {
        file_get(f);
        assert_int_equal(fd_install(f, 0, 0), k);
    }
    assert_int_equal(fd_close(5), 0);
    assert_int_equal(fd_close(600), 0);
    assert_int_equal(fd_close(600), -EBADF);
    file_get(f);
    assert_int_equal(fd_install(f, 6, 0), 600);
    file_get(f);
    assert_int_equal(fd_install(f, 0, O_CLOEXEC), 5);
    fd_rlimit = 700;
    assert_int_equal(fd_install(f, 0, 0), -EMFILE);
    fd_rlimit = FD_RLIMIT_SOFT;
    fd_close_on_exec();
    assert_null(fd_peek(5));
    fd_close_range(0, UINT32_MAX);
    assert_int_equal(fd_count(), 0);
    assert_int_equal(f->refs, 1);
    file_put(f);
}

static void sending_pins_the_content(void **state)
{
    static char big[5 * PAGE_SIZE];
    for (size_t k = 0; k < sizeof(big); k++)
        big[k] = (char)k;
    struct file *f = open_file("/big", O_CREAT | O_RDWR, 0644);
    assert_int_equal(file_write_at(f, big, sizeof(big), 100), sizeof(big));
    struct tmpfs_pins p;
    assert_int_equal(tmpfs_pin(f, 200, sizeof(big) - 1000, &p), 0);
    assert_int_equal(p.bytes, sizeof(big) - 1000);
    assert_int_equal(vfs_truncate(f->inode, 0), 0);
    size_t seen = 0;
    for (unsigned k = 0; k < p.nr_iov; k++) {
        assert_memory_equal(p.iov[k].iov_base, big + 100 + seen, p.iov[k].iov_len);
        seen += p.iov[k].iov_len;
    }
    assert_int_equal(seen, p.bytes);
    tmpfs_unpin(&p);
    file_put(f);
}

static void sending_fetches_what_is_on_disk(void **state)
{
    struct file *f = open_file("/big", O_CREAT | O_RDWR, 0644);
    tmpfs_set_backing_disk(f->inode, &disk, 3 * PAGE_SIZE, 2 * PAGE_SIZE + 10);
    struct tmpfs_pins p;
    assert_int_equal(tmpfs_pin(f, PAGE_SIZE, SIZE_MAX, &p), 0);
    assert_int_equal(p.bytes, PAGE_SIZE + 10);
    assert_int_equal(((char *)p.iov[0].iov_base)[0], 5);
    tmpfs_unpin(&p);
    file_put(f);
}

/* ---- Listing ---- */

struct names {
    struct dir_context ctx;
    char text[256];
    unsigned room;
};

static bool add_name(struct dir_context *c, const char *name, size_t len, uint64_t ino,
                     unsigned type)
{
    struct names *n = container_of(c, struct names, ctx);
    if (n->room == 0)
        return false;
    n->room--;
    strncat(n->text, name, len);
    strncat(n->text, " ", 2);
    return true;
}

static void directories_are_listed_in_pieces(void **state)
{
    put_text("/a", "");
    put_text("/b", "");
    put_text("/c", "");
    struct file *d = open_file("/", O_RDONLY, 0);
    struct names n = {.ctx = {.emit = add_name}};
    for (int k = 0; k < 10; k++) {
        n.room = 1;
        assert_int_equal(d->ops->readdir(d, &n.ctx), 0);
        if (k == 3) /* what was listed may go meanwhile */
            assert_int_equal(vfs_unlink(at, "/b", false), 0);
    }
    assert_string_equal(n.text, ". .. a b c ");
    file_put(d);
}

/* ---- The unpacker ---- */

static uint8_t *image;
static size_t image_len;

static void image_start(size_t offset)
{
    boot_info.initrd_start = FAKE_FIRST + offset;
    __asan_unpoison_memory_region(fake_memory, 64 * PAGE_SIZE);
    memset(fake_memory, 0xee, 64 * PAGE_SIZE);
    image = phys_to_virt(boot_info.initrd_start);
    image_len = 0;
}

static void image_add(const char *name, unsigned mode, unsigned ino, unsigned nlink,
                      const char *data, size_t n, bool align)
{
    size_t name_size = strlen(name) + 1;
    if (align)
        while ((boot_info.initrd_start + image_len + CPIO_HEADER + name_size) % PAGE_SIZE != 0)
            name_size++;
    char head[CPIO_HEADER + 1];
    snprintf(head, sizeof(head), "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", ino,
             mode, 0u, 0u, nlink, 5u, (unsigned)n, 0u, 0u, 0u, 0u, (unsigned)name_size, 0u);
    memcpy(image + image_len, head, CPIO_HEADER);
    image_len += CPIO_HEADER;
    memset(image + image_len, 0, name_size + 3);
    memcpy(image + image_len, name, strlen(name));
    image_len = ALIGN_UP(image_len + name_size, 4);
    memcpy(image + image_len, data, n);
    memset(image + image_len + n, 0, 3);
    image_len = ALIGN_UP(image_len + n, 4);
}

static int unpack(void)
{
    boot_info.initrd_end = boot_info.initrd_start + image_len;
    phys_t end = ALIGN_UP(boot_info.initrd_end, PAGE_SIZE);
    __asan_poison_memory_region(phys_to_virt(end), 64 * PAGE_SIZE + FAKE_FIRST - end);
    frame_adopt(ALIGN_DOWN(boot_info.initrd_start, PAGE_SIZE), end);
    int status = setjmp(powered_off);
    if (status == 0)
        initramfs_unpack();
    return status;
}

static char content[6 * PAGE_SIZE];

static void fill_content(void)
{
    for (size_t k = 0; k < sizeof(content); k++)
        content[k] = (char)(k * 7 + k / 4096);
}

static void expect_content(const char *path, size_t n)
{
    static char buf[sizeof(content) + 1];
    struct file *f = open_file(path, O_RDONLY, 0);
    assert_int_equal(file_read_at(f, buf, sizeof(buf), 0), n);
    assert_memory_equal(buf, content, n);
    struct vma v = {.file = f};
    int err = 0;
    /* As a mapping sees it: zeroes behind the end. */
    for (uint64_t page = 0; page * PAGE_SIZE < n; page++) {
        phys_t p = tmpfs_page(&v, page, false, &err);
        assert_true(p != 0);
        const char *mem = phys_to_virt(p);
        for (size_t k = 0; k < PAGE_SIZE; k++)
            assert_int_equal(mem[k], page * PAGE_SIZE + k < n ? content[page * PAGE_SIZE + k] : 0);
        frame_put(p);
    }
    assert_int_equal(tmpfs_page(&v, (n + PAGE_SIZE - 1) / PAGE_SIZE, false, &err), 0);
    assert_int_equal(err, -EFAULT);
    file_put(f);
}

static void image_of_everything(bool align)
{
    image_add(".", S_IFDIR | 0755, 1, 2, "", 0, false);
    image_add("etc", S_IFDIR | 0755, 2, 2, "", 0, false);
    image_add("etc/small", S_IFREG | 0644, 3, 1, content, 11, false);
    image_add("./bin/page", S_IFREG | 0755, 4, 1, content, PAGE_SIZE, align);
    image_add("bin/big", S_IFREG | 0755, 5, 1, content, 5 * PAGE_SIZE + 123, align);
    image_add("bin/link", S_IFLNK | 0777, 6, 1, "big", 3, false);
    image_add("bin/tiny", S_IFREG | 0755, 7, 1, content, 5, align);
    image_add("h1", S_IFREG | 0644, 8, 2, "", 0, false);
    image_add("h2", S_IFREG | 0644, 8, 2, content, 3000, align);
    image_add("empty", S_IFREG | 0600, 9, 1, "", 0, false);
    image_add("twice", S_IFREG | 0600, 10, 1, content + 1, 5000, align);
    image_add("twice", S_IFREG | 0600, 11, 1, content, 4097, align);
    image_add("TRAILER!!!", 0, 0, 1, "", 0, false);
}

static void check_everything(void)
{
    expect_content("/etc/small", 11);
    expect_content("/bin/page", PAGE_SIZE);
    expect_content("/bin/link", 5 * PAGE_SIZE + 123);
    expect_content("/bin/tiny", 5);
    expect_content("/h1", 3000);
    expect_content("/h2", 3000);
    expect_content("/empty", 0);
    expect_content("/twice", 4097);
    struct path_node *n;
    assert_int_equal(vfs_lookup(at, "/h1", 0, &n), 0);
    assert_int_equal(n->inode->nlink, 2);
    path_put(n);
    assert_int_equal(fs_context.umask, 022);
}

static void an_archive_is_unpacked_in_place(void **state)
{
    fill_content();
    for (unsigned offset = 0; offset < 3; offset++) {
        for (int align = 0; align < 2; align++) {
            if (offset + (unsigned)align > 0) {
                stop(state);
                start(state);
            }
            image_start(offset * 40);
            image_of_everything(align);
            unsigned before = fake_frames_used;
            assert_int_equal(before, 0);
            assert_int_equal(unpack(), 0);
            /* Nothing was copied but at most the tails of aligned files with neighbours. */
            assert_true(fake_frames_used <=
                        2 + ALIGN_UP(offset * 40 + image_len, PAGE_SIZE) / PAGE_SIZE);
            check_everything();
        }
    }
}

static void a_compressed_archive_is_streamed(void **state)
{
    fill_content();
    image_start(0);
    image_add("first", S_IFREG | 0644, 3, 1, content, 100, false);
    image_add("TRAILER!!!", 0, 0, 1, "", 0, false);
    memset(image + image_len, 0, 512);
    image_len = ALIGN_UP(image_len, 512);
    memcpy(image + image_len, "ZZ", 2);
    uint8_t *base = image;
    size_t before = image_len + 2;
    image += before; /* padding counts from where the archive starts */
    image_len = 0;
    image_of_everything(false);
    image = base;
    image_len += before;
    assert_int_equal(unpack(), 0);
    expect_content("/first", 100);
    check_everything();
}

static void bad_archives_end_the_boot(void **state)
{
    /* Boot ends there: what was taken until then stays taken. */
    __lsan_disable();
    fill_content();
    image_start(0);
    image_add("f", S_IFREG | 0644, 3, 1, content, 100, false);
    image_len -= 50;
    assert_int_equal(unpack(), EXIT_BAD_ROOT);
    assert_non_null(strstr(printed, "ends in the middle"));
    image_start(0);
    image_add("f", S_IFREG | 0644, 3, 1, content, 100, false);
    memcpy(image + image_len, "garbage!", 8);
    image_len += 8;
    assert_int_equal(unpack(), EXIT_BAD_ROOT);
    assert_non_null(strstr(printed, "neither cpio"));
    image_start(0);
    memcpy(image, "ZZ", 2);
    image += 2;
    image_add("f", S_IFREG | 0644, 3, 1, content, 20000, false);
    image -= 2;
    image_len += 2;
    fake_frames_max = 2;
    assert_int_equal(unpack(), EXIT_BAD_ROOT);
    fake_frames_max = FAKE_FRAMES;
    assert_non_null(strstr(printed, "not enough memory"));
    __lsan_enable();
}

static int forget(void **state)
{
    for (unsigned n = 0; n < FAKE_FRAMES; n++)
        fake_frames[n].refs = 0;
    fake_frames_used = 0;
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(paths_are_walked),
        TEST(links_are_followed),
        TEST(openat2_restrictions_hold),
        TEST(names_are_removed_and_renamed),
        TEST(hard_links_share_an_inode),
        TEST(others_are_kept_out),
        TEST(files_are_sparse_and_seekable),
        TEST(seals_hold),
        TEST(mounts_cover_and_uncover),
        TEST(locks_conflict_between_descriptions),
        TEST(attributes_are_kept),
        TEST(descriptors_are_the_lowest_free),
        TEST(sending_pins_the_content),
        TEST(sending_fetches_what_is_on_disk),
        TEST(directories_are_listed_in_pieces),
        TEST(an_archive_is_unpacked_in_place),
        TEST(a_compressed_archive_is_streamed),
        cmocka_unit_test_setup_teardown(bad_archives_end_the_boot, start, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
