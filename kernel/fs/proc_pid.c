/*
 * /proc/PID and /proc/PID/task/TID: directories whose names are computed. There is one process;
 * its threads can be named at the top level too, as Linux allows. A node is made for every
 * walk and belongs to whoever walked. Reading a file's content may sleep.
 */
#include "fs/procfs_int.h"

#include "arch/x86_64/uaccess.h"
#include "linux/process.h"
#include "mm/slab.h"
#include "mm/vma.h"
#include "sched/thread.h"

#define FIRST_POSITION 2u /* behind "." and ".." */
#define NUMBER_MAX     12u
#define AUXV_MAX       (64 * 16) /* bytes: more pairs than a kernel passes */

struct pid_entry {
    const char *name;
    uint32_t mode; /* with S_IF* */
    void (*show)(struct text_buf *out, struct thread *t, bool task);
    int (*copy)(struct text_buf *out); /* contents that come from application memory */
    int (*store)(struct thread *t, const char *s);
    ssize_t (*readlink)(struct proc_inode *i, char *buf, size_t size);
    int (*follow)(struct inode *i, struct path_node **out);
    const struct file_ops *dir; /* listing of a directory */
    int (*lookup)(struct path_node *dir, const char *name, size_t len, struct path_node **out);
};

/* A decimal number without leading zeroes; -1 if it is none. */
static int number_of(const char *name, size_t len)
{
    if (len == 0 || len > 9 || (name[0] == '0' && len > 1))
        return -1;
    int v = 0;
    for (size_t k = 0; k < len; k++) {
        if (name[k] < '0' || name[k] > '9')
            return -1;
        v = v * 10 + (name[k] - '0');
    }
    return v;
}

/* The thread that speaks for tid. The process goes by its number even when the thread that
 * once had it is gone. */
static struct thread *thread_of(int tid, bool task)
{
    struct thread *t = thread_find(tid);
    if (t == NULL && !task && tid == PROCESS_PID)
        t = current();
    return t;
}

/* ---- Contents that are application memory
 * -------------------------------------------------------- */

static int copy_range(struct text_buf *out, virt_t start, virt_t end, size_t max)
{
    if (end <= start)
        return 0;
    size_t n = MIN(end - start, max);
    char *p = text_room(out, n);
    if (p == NULL)
        return -ENOMEM;
    if (copy_from_user(p, (const void *)start, n) < 0)
        return 0; /* the application unmapped it: an empty file, as Linux gives */
    text_grown(out, n);
    return 0;
}

static int copy_cmdline(struct text_buf *out)
{
    return copy_range(out, mm_layout.arg_start, mm_layout.arg_end, 2 * MiB);
}

static int copy_environ(struct text_buf *out)
{
    return copy_range(out, mm_layout.env_start, mm_layout.env_end, 2 * MiB);
}

static int copy_auxv(struct text_buf *out)
{
    /* Pairs up to and with AT_NULL. */
    for (size_t at = 0; at < AUXV_MAX; at += 16) {
        uint64_t pair[2];
        if (copy_from_user(pair, (const char *)mm_layout.auxv + at, sizeof(pair)) < 0)
            break;
        text_put(out, (const char *)pair, sizeof(pair));
        if (pair[0] == 0)
            break;
    }
    return 0;
}

/* ---- Links
 * --------------------------------------------------------------------------------------- */

static ssize_t put_path(struct path_node *p, char *buf, size_t size)
{
    char *block = kmalloc(PATH_MAX);
    if (block == NULL)
        return -ENOMEM;
    char *text = path_text(p, block, PATH_MAX, NULL);
    ssize_t n = -ENAMETOOLONG;
    if (text != NULL) {
        n = (ssize_t)MIN(strlen(text), size);
        memcpy(buf, text, (size_t)n);
    }
    kfree(block);
    return n;
}

static ssize_t cwd_link(struct proc_inode *i, char *buf, size_t size)
{
    return put_path(fs_context.cwd, buf, size);
}

static int cwd_follow(struct inode *i, struct path_node **out)
{
    path_get(fs_context.cwd);
    *out = fs_context.cwd;
    return 0;
}

static ssize_t root_link(struct proc_inode *i, char *buf, size_t size)
{
    return put_path(fs_context.root, buf, size);
}

static int root_follow(struct inode *i, struct path_node **out)
{
    path_get(fs_context.root);
    *out = fs_context.root;
    return 0;
}

static ssize_t exe_link(struct proc_inode *i, char *buf, size_t size)
{
    size_t n = MIN(strlen(process.exe), size);
    memcpy(buf, process.exe, n);
    return n > 0 ? (ssize_t)n : -ENOENT;
}

static int exe_follow(struct inode *i, struct path_node **out)
{
    return vfs_lookup(AT_FDCWD, process.exe, LOOKUP_FOLLOW, out);
}

static ssize_t fd_link(struct proc_inode *i, char *buf, size_t size)
{
    struct file *f = fd_peek(i->fd);
    if (f == NULL)
        return -ENOENT;
    if (f->path != NULL)
        return put_path(f->path, buf, size);
    char name[64];
    const char *text = vfs_path_of(f, name, sizeof(name));
    if (text == NULL)
        return -ENAMETOOLONG;
    size_t n = MIN(strlen(text), size);
    memcpy(buf, text, n);
    return (ssize_t)n;
}

static int fd_follow(struct inode *i, struct path_node **out)
{
    struct file *f = fd_peek(proc_inode_of(i)->fd);
    if (f == NULL)
        return -ENOENT;
    if (f->path == NULL)
        return -ENXIO; /* sockets, pipes, epoll: nothing that could be opened again */
    path_get(f->path);
    *out = f->path;
    return 0;
}

/* ---- fdinfo
 * --------------------------------------------------------------------------------------- */

static int show_fdinfo(struct text_buf *out, int fd)
{
    struct file *f = fd_peek(fd);
    if (f == NULL)
        return -ENOENT;
    unsigned flags = f->flags | (fd_entries[fd].cloexec ? O_CLOEXEC : 0);
    uint32_t mount = f->inode != NULL && f->inode->fs->mount != NULL ? f->inode->fs->mount->id : 0;
    text_printf(out, "pos:\t%lu\nflags:\t0%o\nmnt_id:\t%u\nino:\t%lu\n", f->pos, flags, mount,
                file_ino(f));
    return 0;
}

/* ---- Small contents
 * -------------------------------------------------------------------------------- */

static void show_comm(struct text_buf *out, struct thread *t, bool task)
{
    text_printf(out, "%s\n", t->name);
}

static int store_comm(struct thread *t, const char *s)
{
    strlcpy(t->name, s, sizeof(t->name));
    if (t->tid == PROCESS_PID)
        strlcpy(process.comm, s, sizeof(process.comm));
    return 0;
}

static void show_mounts(struct text_buf *out, struct thread *t, bool task)
{
    proc_show_mounts(out);
}

static void show_mountinfo(struct text_buf *out, struct thread *t, bool task)
{
    proc_show_mountinfo(out);
}

static int64_t oom_score_adj; /* kept for who reads it back: there is one process to kill */

static void show_oom_adj(struct text_buf *out, struct thread *t, bool task)
{
    text_printf(out, "%ld\n", oom_score_adj);
}

static int store_oom_adj(struct thread *t, const char *s)
{
    uint64_t v;
    bool negative = *s == '-';
    const char *end = parse_u64(s + negative, &v);
    if (end == NULL || *end != '\0' || v > 1000)
        return -EINVAL;
    oom_score_adj = negative ? -(int64_t)v : (int64_t)v;
    return 0;
}

static void show_zero(struct text_buf *out, struct thread *t, bool task)
{
    text_puts(out, "0\n");
}

static void show_wchan(struct text_buf *out, struct thread *t, bool task)
{
    text_puts(out, "0");
}

static void show_loginuid(struct text_buf *out, struct thread *t, bool task)
{
    text_printf(out, "%u", UINT32_MAX); /* not set: nobody logged in */
}

static void show_cgroup(struct text_buf *out, struct thread *t, bool task)
{
    text_puts(out, "0::/\n");
}

static void show_coredump(struct text_buf *out, struct thread *t, bool task)
{
    text_puts(out, "00000033\n"); /* core(5): the default */
}

static void show_sched(struct text_buf *out, struct thread *t, bool task)
{
    uint64_t us = thread_cpu_ns(t) / NSEC_PER_USEC;
    text_printf(out,
                "%s (%d, #threads: %u)\n"
                "-------------------------------------------------------------------\n"
                "se.sum_exec_runtime                          :     %10lu.%03lu000\n"
                "nr_switches                                  :     %14lu\n"
                "policy                                       :     %14u\n"
                "prio                                         :     %14u\n",
                t->name, t->tid, thread_count, us / 1000, us % 1000, t->switches, 0u, 120u);
}

static void show_schedstat(struct text_buf *out, struct thread *t, bool task)
{
    text_printf(out, "%lu 0 %lu\n", thread_cpu_ns(t), t->switches);
}

/* ---- The names
 * ---------------------------------------------------------------------------------------- */

static const struct file_ops pid_dir_ops, task_dir_ops, fd_dir_ops, fdinfo_dir_ops;
static int pid_lookup(struct path_node *dir, const char *name, size_t len, struct path_node **out);
static int task_lookup(struct path_node *dir, const char *name, size_t len, struct path_node **out);
static int fd_lookup(struct path_node *dir, const char *name, size_t len, struct path_node **out);
static int fdinfo_lookup(struct path_node *dir, const char *name, size_t len,
                         struct path_node **out);
static ssize_t net_link(struct proc_inode *i, char *buf, size_t size);

/* In a PID's directory; "task" comes last, because a TID's directory has all but it. */
static const struct pid_entry entries[] = {
    {"stat", S_IFREG | 0444, .show = proc_show_stat},
    {"status", S_IFREG | 0444, .show = proc_show_status},
    {"statm", S_IFREG | 0444, .show = proc_show_statm},
    {"maps", S_IFREG | 0444, .show = proc_show_maps},
    {"smaps", S_IFREG | 0444, .show = proc_show_smaps},
    {"smaps_rollup", S_IFREG | 0444, .show = proc_show_smaps_rollup},
    {"numa_maps", S_IFREG | 0444, .show = proc_show_numa_maps},
    {"cmdline", S_IFREG | 0444, .copy = copy_cmdline},
    {"environ", S_IFREG | 0400, .copy = copy_environ},
    {"auxv", S_IFREG | 0400, .copy = copy_auxv},
    {"comm", S_IFREG | 0644, .show = show_comm, .store = store_comm},
    {"limits", S_IFREG | 0444, .show = proc_show_limits},
    {"mounts", S_IFREG | 0444, .show = show_mounts},
    {"mountinfo", S_IFREG | 0444, .show = show_mountinfo},
    {"oom_score_adj", S_IFREG | 0644, .show = show_oom_adj, .store = store_oom_adj},
    {"oom_score", S_IFREG | 0444, .show = show_zero},
    {"loginuid", S_IFREG | 0444, .show = show_loginuid},
    {"sessionid", S_IFREG | 0444, .show = show_loginuid},
    {"cgroup", S_IFREG | 0444, .show = show_cgroup},
    {"coredump_filter", S_IFREG | 0444, .show = show_coredump},
    {"wchan", S_IFREG | 0444, .show = show_wchan},
    {"sched", S_IFREG | 0444, .show = show_sched},
    {"schedstat", S_IFREG | 0444, .show = show_schedstat},
    {"exe", S_IFLNK | 0777, .readlink = exe_link, .follow = exe_follow},
    {"cwd", S_IFLNK | 0777, .readlink = cwd_link, .follow = cwd_follow},
    {"root", S_IFLNK | 0777, .readlink = root_link, .follow = root_follow},
    {"net", S_IFLNK | 0777, .readlink = net_link},
    {"fd", S_IFDIR | 0500, .dir = &fd_dir_ops, .lookup = fd_lookup},
    {"fdinfo", S_IFDIR | 0555, .dir = &fdinfo_dir_ops, .lookup = fdinfo_lookup},
    {"task", S_IFDIR | 0555, .dir = &task_dir_ops, .lookup = task_lookup},
};
#define TASK_ENTRIES (ARRAY_SIZE(entries) - 1)

static const struct pid_entry pid_directory = {"", S_IFDIR | 0555, .dir = &pid_dir_ops,
                                               .lookup = pid_lookup};
static const struct pid_entry fd_link_entry = {"", S_IFLNK | 0700, .readlink = fd_link,
                                               .follow = fd_follow};
static const struct pid_entry fdinfo_entry = {.name = "", .mode = S_IFREG | 0400};

static ssize_t net_link(struct proc_inode *i, char *buf, size_t size)
{
    const char *to = i->task ? "../../../net" : "../net";
    size_t n = MIN(strlen(to), size);
    memcpy(buf, to, n);
    return (ssize_t)n;
}

/* ---- Inodes
 * -------------------------------------------------------------------------------------------- */

static int open_directory(struct inode *inode, struct path_node *path, unsigned flags,
                          struct file **out)
{
    return proc_open_dir(proc_inode_of(inode)->entry->dir, flags, out);
}

static int lookup_entry(struct path_node *dir, const char *name, size_t len, struct path_node **out)
{
    return proc_inode_of(dir->inode)->entry->lookup(dir, name, len, out);
}

static ssize_t readlink_entry(struct inode *i, char *buf, size_t size)
{
    struct proc_inode *p = proc_inode_of(i);
    return p->entry->readlink(p, buf, size);
}

static int follow_entry(struct inode *i, struct path_node **out)
{
    return proc_inode_of(i)->entry->follow(i, out);
}

static int truncate_nothing(struct inode *i, uint64_t size)
{
    return 0;
}

static const struct inode_ops file_inode_ops = {
    .open = proc_open_file, .truncate = truncate_nothing, .release = proc_inode_release};
static const struct inode_ops dir_inode_ops = {
    .open = open_directory, .lookup = lookup_entry, .release = proc_inode_release};
static const struct inode_ops link_inode_ops = {.readlink = readlink_entry,
                                                .release = proc_inode_release};
static const struct inode_ops magic_inode_ops = {
    .readlink = readlink_entry, .follow = follow_entry, .release = proc_inode_release};

static int make_node(struct path_node *dir, const char *name, size_t len, const struct pid_entry *e,
                     int tid, int fd, bool task, struct path_node **out)
{
    uint32_t type = e->mode & S_IFMT;
    const struct inode_ops *ops = type == S_IFDIR     ? &dir_inode_ops
                                  : type == S_IFREG   ? &file_inode_ops
                                  : e->follow != NULL ? &magic_inode_ops
                                                      : &link_inode_ops;
    struct proc_inode *i = proc_inode_new(dir->inode->fs, ops, e->mode);
    if (i == NULL)
        return -ENOMEM;
    i->entry = e;
    i->tid = tid;
    i->fd = fd;
    i->task = task;
    *out = path_new(dir, name, len, &i->inode);
    if (*out == NULL) {
        inode_put(&i->inode);
        return -ENOMEM;
    }
    return 0;
}

int proc_pid_lookup(struct path_node *dir, const char *name, size_t len, struct path_node **out)
{
    int tid = number_of(name, len);
    if (tid <= 0 || thread_of(tid, false) == NULL)
        return -ENOENT;
    return make_node(dir, name, len, &pid_directory, tid, -1, false, out);
}

static int pid_lookup(struct path_node *dir, const char *name, size_t len, struct path_node **out)
{
    struct proc_inode *i = proc_inode_of(dir->inode);
    size_t n = i->task ? TASK_ENTRIES : ARRAY_SIZE(entries);
    for (size_t k = 0; k < n; k++)
        if (strlen(entries[k].name) == len && memcmp(entries[k].name, name, len) == 0)
            return make_node(dir, name, len, &entries[k], i->tid, -1, i->task, out);
    return -ENOENT;
}

static int task_lookup(struct path_node *dir, const char *name, size_t len, struct path_node **out)
{
    int tid = number_of(name, len);
    if (tid <= 0 || thread_find(tid) == NULL)
        return -ENOENT;
    return make_node(dir, name, len, &pid_directory, tid, -1, true, out);
}

static int lookup_number(struct path_node *dir, const char *name, size_t len,
                         const struct pid_entry *e, struct path_node **out)
{
    struct proc_inode *i = proc_inode_of(dir->inode);
    int fd = number_of(name, len);
    if (fd < 0 || fd_peek(fd) == NULL)
        return -ENOENT;
    return make_node(dir, name, len, e, i->tid, fd, i->task, out);
}

static int fd_lookup(struct path_node *dir, const char *name, size_t len, struct path_node **out)
{
    return lookup_number(dir, name, len, &fd_link_entry, out);
}

static int fdinfo_lookup(struct path_node *dir, const char *name, size_t len,
                         struct path_node **out)
{
    return lookup_number(dir, name, len, &fdinfo_entry, out);
}

/* ---- Listing
 * ------------------------------------------------------------------------------------------- */

/* Inode numbers of computed names: any that stay the same. */
static uint64_t computed_ino(uint64_t a, uint64_t b)
{
    return 0x100000 + a * 0x10000 + b;
}

static bool emit_number(struct dir_context *ctx, uint64_t n, unsigned type)
{
    char name[NUMBER_MAX];
    int len = ksnprintf(name, sizeof(name), "%lu", n);
    return ctx->emit(ctx, name, (size_t)len, computed_ino(1, n), type);
}

static int pid_readdir(struct file *f, struct dir_context *ctx)
{
    if (path_emit_dots(f->path, ctx) != 0)
        return 0;
    size_t n = proc_inode_of(f->inode)->task ? TASK_ENTRIES : ARRAY_SIZE(entries);
    for (; ctx->pos - FIRST_POSITION < n; ctx->pos++) {
        const struct pid_entry *e = &entries[ctx->pos - FIRST_POSITION];
        if (!ctx->emit(ctx, e->name, strlen(e->name), computed_ino(2, ctx->pos),
                       mode_to_dt(e->mode)))
            break;
    }
    return 0;
}

/* The position is the thread's number: threads come and go, numbers rise. */
static int list_threads(struct dir_context *ctx, uint64_t first)
{
    for (;;) {
        struct thread *next = NULL;
        list_for_each (t, &thread_list, struct thread, all_link) {
            if (t->tid > 0 && (uint64_t)t->tid + first >= ctx->pos &&
                (next == NULL || t->tid < next->tid))
                next = t;
        }
        if (next == NULL || !emit_number(ctx, (uint64_t)next->tid, mode_to_dt(S_IFDIR)))
            return 0;
        ctx->pos = first + (uint64_t)next->tid + 1;
    }
}

static int task_readdir(struct file *f, struct dir_context *ctx)
{
    return path_emit_dots(f->path, ctx) != 0 ? 0 : list_threads(ctx, FIRST_POSITION);
}

int proc_pid_readdir(struct filesystem *fs, struct dir_context *ctx, uint64_t first)
{
    if (ctx->pos > first)
        return 0;
    if (emit_number(ctx, PROCESS_PID, mode_to_dt(S_IFDIR)))
        ctx->pos = first + 1;
    return 0;
}

static int list_fds(struct file *f, struct dir_context *ctx, uint32_t type)
{
    if (path_emit_dots(f->path, ctx) != 0)
        return 0;
    for (; ctx->pos - FIRST_POSITION < fd_limit; ctx->pos++) {
        uint64_t fd = ctx->pos - FIRST_POSITION;
        if (fd_entries[fd].file != NULL && !emit_number(ctx, fd, mode_to_dt(type)))
            break;
    }
    return 0;
}

static int fd_readdir(struct file *f, struct dir_context *ctx)
{
    return list_fds(f, ctx, S_IFLNK);
}

static int fdinfo_readdir(struct file *f, struct dir_context *ctx)
{
    return list_fds(f, ctx, S_IFREG);
}

#define DIRECTORY(readdir_)                                                                        \
    {                                                                                              \
        .name = "directory", .seek = proc_dir_seek, .readdir = readdir_,                           \
        .release = proc_dir_release,                                                               \
    }
static const struct file_ops pid_dir_ops = DIRECTORY(pid_readdir);
static const struct file_ops task_dir_ops = DIRECTORY(task_readdir);
static const struct file_ops fd_dir_ops = DIRECTORY(fd_readdir);
static const struct file_ops fdinfo_dir_ops = DIRECTORY(fdinfo_readdir);

/* ---- Content
 * ------------------------------------------------------------------------------------------- */

int proc_pid_show(struct proc_inode *i, struct text_buf *out)
{
    struct thread *t = thread_of(i->tid, i->task);
    if (t == NULL)
        return -ESRCH;
    if (i->entry == &fdinfo_entry)
        return show_fdinfo(out, i->fd);
    if (i->entry->copy != NULL)
        return i->entry->copy(out);
    i->entry->show(out, t, i->task);
    return 0;
}

int proc_pid_store(struct proc_inode *i, const char *s)
{
    struct thread *t = thread_of(i->tid, i->task);
    if (t == NULL)
        return -ESRCH;
    return i->entry->store != NULL ? i->entry->store(t, s) : -EINVAL;
}
