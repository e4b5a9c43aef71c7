/*
 * The instances of proc and sysfs, their fixed files, and generated files in general
 * (procfs.h). The tree of an instance is built when it is first looked into: a machine whose
 * program never does pays nothing for it. Reading may sleep.
 */
#include "fs/procfs_int.h"

#include "mm/slab.h"
#include "sched/thread.h"

#include <linux/magic.h>

#define PROC_PREFIX   "/proc/"
#define SYS_PREFIX    "/sys/"
#define STORE_MAX     4096u
#define PID_POSITIONS (1ull << 32) /* readdir positions from here on are processes */

struct gen_fs {
    struct filesystem fs;
    struct list link;
    const char *prefix;
    bool populated;
};

/* An open generated file. */
struct gen_file {
    struct file file;
    struct text_buf text;
    unsigned users; /* reads in progress: the text stays */
    bool loaded;
};

static struct list registered = LIST_INIT(registered);
static struct list instances = LIST_INIT(instances);

/* ---- Generated files --------------------------------------------------------------------------
 */

static void show_fixed(const struct proc_file *p, struct text_buf *out)
{
    if (p->show != NULL)
        p->show(out);
    else if (p->value != NULL)
        text_printf(out, "%ld\n", *p->value);
    else if (p->text != NULL)
        text_puts(out, p->text);
}

static int generate(struct gen_file *g)
{
    struct proc_inode *i = proc_inode_of(g->file.inode);
    int err = 0;
    text_free(&g->text);
    if (i->file != NULL)
        show_fixed(i->file, &g->text);
    else
        err = proc_pid_show(i, &g->text);
    if (err == 0 && g->text.failed)
        err = -ENOMEM;
    if (err < 0)
        text_free(&g->text);
    g->loaded = err == 0;
    return err;
}

static ssize_t gen_read(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    struct gen_file *g = container_of(f, struct gen_file, file);
    ssize_t r = 0;
    bool fresh = g->users == 0 && (*pos == 0 || !g->loaded);
    g->users++;
    if (fresh)
        r = generate(g);
    if (r == 0 && *pos < g->text.len) {
        r = copy_to_iter(it, g->text.text + *pos, g->text.len - *pos);
        if (r > 0)
            *pos += (uint64_t)r;
    }
    g->users--;
    return r;
}

static int store_value(const struct proc_file *p, const char *s)
{
    bool negative = *s == '-';
    uint64_t v;
    const char *end = parse_u64(s + negative, &v);
    if (end == NULL || (*end != '\0' && *end != ' ' && *end != '\n') || v > INT64_MAX)
        return -EINVAL;
    int64_t n = negative ? -(int64_t)v : (int64_t)v;
    if (n < p->min || n > p->max)
        return -EINVAL;
    *p->value = n;
    return 0;
}

static ssize_t gen_write(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    struct proc_inode *i = proc_inode_of(f->inode);
    size_t n = it->count;
    if (n >= STORE_MAX)
        return -EINVAL;
    char *s = kmalloc(n + 1);
    if (s == NULL)
        return -ENOMEM;
    ssize_t got = copy_from_iter(it, s, n);
    int err = got < 0 ? (int)got : 0;
    if (err == 0) {
        size_t len = (size_t)got;
        while (len > 0 && s[len - 1] == '\n')
            len--;
        s[len] = '\0';
        if (i->file == NULL)
            err = proc_pid_store(i, s);
        else if (i->file->store != NULL)
            err = i->file->store(s);
        else if (i->file->value != NULL)
            err = store_value(i->file, s);
        else
            err = -EINVAL;
    }
    kfree(s);
    if (err < 0)
        return err;
    *pos += (uint64_t)got;
    return got;
}

static int64_t gen_seek(struct file *f, int64_t off, int whence)
{
    if (whence == SEEK_CUR)
        off += (int64_t)f->pos;
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (off < 0)
        return -EINVAL;
    f->pos = (uint64_t)off;
    return off;
}

static int gen_truncate(struct file *f, uint64_t size)
{
    return 0; /* what > does before it writes to a sysctl */
}

static void gen_release(struct file *f)
{
    struct gen_file *g = container_of(f, struct gen_file, file);
    text_free(&g->text);
    kfree(g);
}

static const struct file_ops gen_ops = {
    .name = "generated",
    .read = gen_read,
    .write = gen_write,
    .seek = gen_seek,
    .truncate = gen_truncate,
    .release = gen_release,
};

int proc_open_file(struct inode *inode, struct path_node *path, unsigned flags, struct file **out)
{
    struct gen_file *g = kzalloc(sizeof(*g));
    if (g == NULL)
        return -ENOMEM;
    file_init(&g->file, &gen_ops, flags, 0);
    *out = &g->file;
    return 0;
}

/* ---- Computed directories ----------------------------------------------------------------------
 */

int64_t proc_dir_seek(struct file *f, int64_t off, int whence)
{
    return gen_seek(f, off, whence);
}

void proc_dir_release(struct file *f)
{
    kfree(f);
}

int proc_open_dir(const struct file_ops *ops, unsigned flags, struct file **out)
{
    return file_new(ops, flags, FILE_DIR, out);
}

/* ---- Inodes ------------------------------------------------------------------------------------
 */

void proc_inode_release(struct inode *i)
{
    kfree(proc_inode_of(i));
}

struct proc_inode *proc_inode_new(struct filesystem *fs, const struct inode_ops *ops, uint32_t mode)
{
    struct proc_inode *p = kzalloc(sizeof(*p));
    if (p == NULL)
        return NULL;
    inode_setup(&p->inode, fs, ops, mode);
    p->inode.uid = p->inode.gid = 0;
    return p;
}

static int truncate_nothing(struct inode *i, uint64_t size)
{
    return 0;
}

static ssize_t fixed_readlink(struct inode *i, char *buf, size_t size)
{
    struct text_buf t = {.text = NULL};
    show_fixed(proc_inode_of(i)->file, &t);
    ssize_t n = t.failed ? -ENOMEM : (ssize_t)MIN(t.len, size);
    if (n > 0)
        memcpy(buf, t.text, (size_t)n);
    text_free(&t);
    return n;
}

static const struct inode_ops fixed_file_ops = {
    .open = proc_open_file,
    .truncate = truncate_nothing,
    .release = proc_inode_release,
};
static const struct inode_ops fixed_link_ops = {
    .readlink = fixed_readlink,
    .release = proc_inode_release,
};
static const struct inode_ops fixed_dir_ops = {
    .open = vfs_open_dir,
    .release = proc_inode_release,
};

/* ---- The tree ----------------------------------------------------------------------------------
 */

static struct path_node *add_node(struct path_node *dir, const char *name, size_t len,
                                  const struct inode_ops *ops, uint32_t mode,
                                  const struct proc_file *p)
{
    struct proc_inode *i = proc_inode_new(dir->inode->fs, ops, mode);
    if (i == NULL)
        return NULL;
    i->file = p;
    struct path_node *n = path_new(dir, name, len, &i->inode);
    if (n == NULL) {
        inode_put(&i->inode);
        return NULL;
    }
    path_hash(n);
    path_put(n); /* the tree has its own reference */
    if (inode_is_dir(&i->inode))
        dir->inode->nlink++;
    return n;
}

/* Puts a registered file into an instance, with the directories above it. */
static int add_file(struct gen_fs *g, const struct proc_file *p)
{
    const char *at = p->path + strlen(g->prefix);
    struct path_node *dir = g->fs.root;
    for (const char *slash; (slash = strchr(at, '/')) != NULL; at = slash + 1) {
        size_t len = (size_t)(slash - at);
        struct path_node *next = path_child(dir, at, len);
        if (next == NULL)
            next = add_node(dir, at, len, &fixed_dir_ops, S_IFDIR | 0555, NULL);
        if (next == NULL)
            return -ENOMEM;
        dir = next;
    }
    struct path_node *old = path_child(dir, at, strlen(at));
    if (old != NULL && inode_is_dir(old->inode))
        return 0;
    if (old != NULL)
        path_unhash(old);
    uint32_t type = p->mode & S_IFMT;
    const struct inode_ops *ops = type == S_IFDIR   ? &fixed_dir_ops
                                  : type == S_IFLNK ? &fixed_link_ops
                                                    : &fixed_file_ops;
    uint32_t mode = type != 0 ? p->mode : S_IFREG | p->mode;
    return add_node(dir, at, strlen(at), ops, mode, p) != NULL ? 0 : -ENOMEM;
}

static bool belongs_to(const struct gen_fs *g, const struct proc_file *p)
{
    return strncmp(p->path, g->prefix, strlen(g->prefix)) == 0;
}

static void populate(struct gen_fs *g)
{
    g->populated = true;
    list_for_each (p, &registered, struct proc_file, link) {
        if (belongs_to(g, p))
            add_file(g, p); /* without memory for all names, there are fewer */
    }
}

void procfs_register_files(struct proc_file *files, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        list_push_back(&registered, &files[k].link);
        list_for_each (g, &instances, struct gen_fs, link) {
            if (g->populated && belongs_to(g, &files[k]))
                add_file(g, &files[k]);
        }
    }
}

void procfs_metrics(struct text_buf *out)
{
    list_for_each (p, &registered, struct proc_file, link)
        if (p->metrics && p->show != NULL)
            p->show(out);
}

int procfs_control(const char *path, const char *text)
{
    list_for_each (p, &registered, struct proc_file, link)
        if (p->control && strcmp(p->path, path) == 0)
            return p->store(text);
    return -ENOENT;
}

int procfs_register(const char *path, uint32_t mode, void (*show)(struct text_buf *out))
{
    struct proc_file *p = kzalloc(sizeof(*p));
    if (p == NULL)
        return -ENOMEM;
    p->path = path;
    p->mode = mode;
    p->show = show;
    procfs_register_files(p, 1);
    return 0;
}

/* ---- The root directory
 * -------------------------------------------------------------------------- */

static struct gen_fs *gen_fs_of(struct filesystem *fs)
{
    return container_of(fs, struct gen_fs, fs);
}

static int root_lookup(struct path_node *dir, const char *name, size_t len, struct path_node **out)
{
    struct gen_fs *g = gen_fs_of(dir->inode->fs);
    if (!g->populated) {
        populate(g);
        struct path_node *n = path_child(dir, name, len);
        if (n != NULL) {
            path_get(n);
            *out = n;
            return 0;
        }
    }
    return g->fs.magic == PROC_SUPER_MAGIC ? proc_pid_lookup(dir, name, len, out) : -ENOENT;
}

static int root_readdir(struct file *f, struct dir_context *ctx)
{
    struct gen_fs *g = gen_fs_of(f->inode->fs);
    if (!g->populated)
        populate(g);
    if (ctx->pos < PID_POSITIONS) {
        int err = path_readdir(f, ctx);
        if (err < 0 || g->fs.magic != PROC_SUPER_MAGIC)
            return err;
        /* Stopped before the last name: the buffer is full. */
        struct list *children = &f->path->children;
        bool all = list_empty(children) ||
                   ctx->pos > container_of(children->prev, struct path_node, sibling)->cookie;
        if (!all)
            return 0;
        ctx->pos = PID_POSITIONS;
    }
    return proc_pid_readdir(f->inode->fs, ctx, PID_POSITIONS);
}

static int root_open(struct inode *inode, struct path_node *path, unsigned flags, struct file **out)
{
    static const struct file_ops ops = {
        .name = "directory",
        .seek = proc_dir_seek,
        .readdir = root_readdir,
        .release = proc_dir_release,
    };
    return proc_open_dir(&ops, flags, out);
}

static const struct inode_ops root_ops = {
    .open = root_open,
    .lookup = root_lookup,
    .release = proc_inode_release,
};

static struct filesystem *gen_fs_new(const char *type, uint32_t magic, const char *prefix)
{
    struct gen_fs *g = kzalloc(sizeof(*g));
    if (g == NULL)
        return NULL;
    filesystem_setup(&g->fs, type, magic);
    g->fs.fixed = true;
    g->prefix = prefix;
    struct proc_inode *root = proc_inode_new(&g->fs, &root_ops, S_IFDIR | 0555);
    g->fs.root = root != NULL ? path_new(NULL, "", 0, &root->inode) : NULL;
    if (g->fs.root == NULL) {
        if (root != NULL)
            inode_put(&root->inode);
        kfree(g);
        return NULL;
    }
    list_push_back(&instances, &g->link);
    return &g->fs;
}

struct filesystem *procfs_new(void)
{
    return gen_fs_new("proc", PROC_SUPER_MAGIC, PROC_PREFIX);
}

struct filesystem *sysfs_new(void)
{
    return gen_fs_new("sysfs", SYSFS_MAGIC, SYS_PREFIX);
}
