/*
 * /proc and /sys: files whose content is made when they are read. Any module can add some:
 *
 *     static void show_tcp(struct text_buf *out) { text_printf(out, ...); }
 *     procfs_register("/proc/net/tcp", 0444, show_tcp);
 *
 * The directories above a path appear with it; a path registered again replaces the older one.
 * show runs in the reading thread, at the first read and again when somebody reads from the
 * beginning; it may sleep if it touches application memory.
 */
#pragma once

#include "fs/textbuf.h"
#include "lib/list.h"

struct filesystem;

struct proc_file {
    const char *path; /* "/proc/..." or "/sys/...", static */
    uint32_t mode;    /* permissions; S_IFDIR for an empty directory, S_IFLNK: text is the target */
    void (*show)(struct text_buf *out);
    /* A write: s is NUL-terminated, without a newline at its end. 0 or -errno. */
    int (*store)(const char *s);
    /* Without show: a number, writable if mode says so, within [min, max]; or a fixed text. */
    int64_t *value;
    int64_t min, max;
    const char *text;
    bool control;     /* store() may be called from outside, without sleeping: procfs_control() */
    bool metrics;     /* counters in Prometheus' format, shown without sleeping: procfs_metrics() */
    struct list link; /* set by procfs_register_file() */
};

/* 0 or -ENOMEM. */
int procfs_register(const char *path, uint32_t mode, void (*show)(struct text_buf *out));
/* A table that stays. */
void procfs_register_files(struct proc_file *files, size_t n);

/* Adds what all files that are metrics say. */
void procfs_metrics(struct text_buf *out);

/* Writes text to the file, as to that of /proc with this path, if it is for this. 0 or -errno;
 * -ENOENT: there is none. */
int procfs_control(const char *path, const char *text);

/* New instances; NULL: out of memory. */
struct filesystem *procfs_new(void);
struct filesystem *sysfs_new(void);
