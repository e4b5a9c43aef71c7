/*
 * What the parts of procfs share: procfs.c (instances, fixed files), proc_pid.c (the computed
 * directories of processes), proc_text.c and the other proc_*.c files (contents).
 */
#pragma once

#include "fs/procfs.h"
#include "fs/vfs.h"

struct thread;
struct pid_entry;

struct proc_inode {
    struct inode inode;
    const struct proc_file *file;  /* fixed files and links */
    const struct pid_entry *entry; /* files below /proc/PID */
    int tid;                       /* of the /proc/PID or task/TID it is below */
    int fd;                        /* fd/N and fdinfo/N */
    bool task;                     /* below task/: the thread itself, not the process */
};

static inline struct proc_inode *proc_inode_of(struct inode *i)
{
    return container_of(i, struct proc_inode, inode);
}

/* An inode of the given kind; NULL: out of memory. */
struct proc_inode *proc_inode_new(struct filesystem *fs, const struct inode_ops *ops,
                                  uint32_t mode);
void proc_inode_release(struct inode *i);
/* inode_ops.open of generated files. */
int proc_open_file(struct inode *inode, struct path_node *path, unsigned flags, struct file **out);
/* inode_ops.open of computed directories: readdir is the file system's own. */
int proc_open_dir(const struct file_ops *ops, unsigned flags, struct file **out);
int64_t proc_dir_seek(struct file *f, int64_t off, int whence);
void proc_dir_release(struct file *f);

/* The content of i: 0 or -errno. May sleep. */
int proc_pid_show(struct proc_inode *i, struct text_buf *out);
int proc_pid_store(struct proc_inode *i, const char *s);
/* /proc's own computed names: processes. */
int proc_pid_lookup(struct path_node *dir, const char *name, size_t len, struct path_node **out);
/* Lists them from position first on. */
int proc_pid_readdir(struct filesystem *fs, struct dir_context *ctx, uint64_t first);

/* Contents of /proc/PID files. t may be NULL only for what concerns the process as a whole. */
void proc_show_stat(struct text_buf *out, struct thread *t, bool task);
void proc_show_status(struct text_buf *out, struct thread *t, bool task);
void proc_show_statm(struct text_buf *out, struct thread *t, bool task);
void proc_show_maps(struct text_buf *out, struct thread *t, bool task);
void proc_show_smaps(struct text_buf *out, struct thread *t, bool task);
void proc_show_smaps_rollup(struct text_buf *out, struct thread *t, bool task);
void proc_show_numa_maps(struct text_buf *out, struct thread *t, bool task);
void proc_show_limits(struct text_buf *out, struct thread *t, bool task);
void proc_show_mounts(struct text_buf *out);
void proc_show_mountinfo(struct text_buf *out);

/* A path as mount tables and maps print it: blanks, newlines and backslashes in octal. */
void proc_put_escaped(struct text_buf *out, const char *s, const char *special);
