/*
 * Open file descriptions and the descriptor table: the border between system calls and
 * everything that can be opened (tmpfs files, pipes, sockets, epoll, ...).
 *
 * An object embeds a struct file, fills it with file_init() and gives it a descriptor with
 * fd_install(). The last file_put() calls ops->release, which frees the object.
 */
#pragma once

#include "fs/iov.h"
#include "lib/list.h"
#include "sched/wait.h"

#include <asm/errno.h>
#include <asm/fcntl.h>

/* The kernel's headers call it by its BSD name only. */
#define O_ASYNC FASYNC

struct inode;
struct kstat;
struct vma;
struct file;
struct dir_context;

struct file_ops {
    const char *name; /* for /proc/self/fd: "socket", "anon_inode:[eventpoll]", ... */
    /*
     * Read and write the bytes of it. pos is the offset to use and advance; streams ignore it
     * (FILE_STREAM: lseek and pread then give ESPIPE). Honour file->flags & O_NONBLOCK
     * (-EAGAIN). NULL: -EINVAL. Return bytes done, or -errno if none were. Blocking calls return
     * -ERESTARTSYS when a signal ends them.
     */
    ssize_t (*read)(struct file *f, struct iov_iter *it, uint64_t *pos);
    ssize_t (*write)(struct file *f, struct iov_iter *it, uint64_t *pos);
    /* Present readiness as EPOLL* bits. Must not sleep. NULL: always EPOLLIN|EPOLLOUT. Changes
     * are announced by waitq_wake(&file->waitq, bits). */
    uint32_t (*poll)(struct file *f);
    /* -ENOTTY for an unknown command. arg is as the application gave it. */
    long (*ioctl)(struct file *f, unsigned cmd, uint64_t arg);
    /* Checks that the mapping may be made and sets vma->ops. NULL: -ENODEV. */
    int (*mmap)(struct file *f, struct vma *v);
    /* Fills in what fstat reports. NULL: the inode's attributes, or an anonymous file's. */
    int (*stat)(struct file *f, struct kstat *st);
    int64_t (*seek)(struct file *f, int64_t off, int whence);
    int (*readdir)(struct file *f, struct dir_context *ctx);
    int (*fsync)(struct file *f, bool data_only);
    int (*truncate)(struct file *f, uint64_t size);
    int (*fallocate)(struct file *f, int mode, uint64_t off, uint64_t len);
    /* Called at each close() of a descriptor, before the reference goes. */
    void (*flush)(struct file *f);
    /* F_SETFL changed O_NONBLOCK, O_ASYNC or O_APPEND. */
    void (*flags_changed)(struct file *f);
    /* Frees the object. */
    void (*release)(struct file *f);
};

struct file {
    const struct file_ops *ops;
    uint32_t refs;
    uint32_t flags;     /* O_ACCMODE, O_NONBLOCK, O_APPEND, O_ASYNC, ... */
    uint32_t kind;      /* FILE_* bits */
    int32_t owner;      /* F_SETOWN: process, or thread with F_SETOWN_EX; negative: group */
    int32_t owner_type; /* F_OWNER_TID, F_OWNER_PID, F_OWNER_PGRP */
    int32_t owner_sig;  /* F_SETSIG */
    uint64_t pos;
    struct waitq waitq;     /* sleepers and epoll watches */
    struct list watches;    /* epoll items on this file, dropped when it is released (fs/epoll.c) */
    struct inode *inode;    /* referenced; NULL for objects without a name */
    struct path_node *path; /* referenced; the name it was opened by, NULL if none (fs/vfs.h) */
};

#define FILE_STREAM 1u /* no position */
#define FILE_SOCKET 2u /* embedded in a struct socket */
#define FILE_DIR    4u
#define FILE_PATH   8u /* O_PATH */
#define FILE_PIPE   16u
#define FILE_EPOLL  32u

void file_init(struct file *f, const struct file_ops *ops, uint32_t flags, uint32_t kind);
static inline void file_get(struct file *f)
{
    f->refs++;
}
void file_put_last(struct file *f);
static inline void file_put(struct file *f)
{
    if (--f->refs == 0)
        file_put_last(f);
}
static inline bool file_nonblock(const struct file *f)
{
    return f->flags & O_NONBLOCK;
}
uint32_t file_poll(struct file *f);

/* The descriptor table, shared by all threads. It grows up to RLIMIT_NOFILE. */
struct fd_entry {
    struct file *file;
    bool cloexec;
};
extern struct fd_entry *fd_entries;
extern unsigned fd_limit; /* entries in fd_entries */

/*
 * The file of a descriptor, NOT referenced: good until the caller sleeps. Whoever may sleep (any
 * copy to or from the application included) takes a reference with fd_get() and drops it with
 * file_put(). NULL: -EBADF.
 */
static inline struct file *fd_peek(int fd)
{
    return likely((unsigned)fd < fd_limit) ? fd_entries[fd].file : NULL;
}
static inline struct file *fd_get(int fd)
{
    struct file *f = fd_peek(fd);
    if (likely(f != NULL))
        f->refs++;
    return f;
}
/* Lowest free descriptor >= min gets f (the caller's reference moves to the table); on error
 * (-EMFILE, -ENOMEM) the reference stays with the caller. flags: O_CLOEXEC. */
int fd_install(struct file *f, int min, unsigned flags);
/* Puts f at exactly fd, closing what was there; -EBADF beyond the limit, -ENOMEM. */
int fd_install_at(struct file *f, int fd, unsigned flags);
int fd_close(int fd);
/* Closes [first, last], or only marks them FD_CLOEXEC. */
void fd_close_range(unsigned first, unsigned last);
void fd_cloexec_range(unsigned first, unsigned last);
/* What execve does to descriptors marked FD_CLOEXEC. */
void fd_close_on_exec(void);
unsigned fd_count(void); /* descriptors in use */
/* RLIMIT_NOFILE's soft limit (prlimit64 writes it); the hard limit starts at FD_MAX, and even root
 * cannot raise it beyond. Linux's defaults. */
#define FD_RLIMIT_SOFT 1024u
#define FD_MAX         1048576u /* fs.nr_open */
extern uint32_t fd_rlimit;

struct file_stats {
    uint64_t opened, released, emfile;
    uint64_t locks; /* file locks held now */
};
extern struct file_stats file_stats;
/* Called by fs/epoll.c's watches when a file goes: set up in fs/epoll.c. */
void epoll_file_released(struct file *f);

/* Sends SIGIO to the owner if O_ASYNC is set. Any context. */
void file_sigio(struct file *f, int band);
