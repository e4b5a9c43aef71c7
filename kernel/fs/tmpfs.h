/*
 * tmpfs: files, directories, links and nodes in memory. The root file system, /dev, /dev/shm,
 * /tmp and memfds are instances of it. Called through vfs.h; this header is for the boot
 * code, memfd_create and sendfile.
 */
#pragma once

#include "fs/vfs.h"

/* A new instance with an empty root directory; NULL: out of memory. */
struct filesystem *tmpfs_new(const char *type, uint32_t root_mode);

/* Makes an empty regular file's content the bytes at data in physical memory, whose frames'
 * references (one a frame that they overlap) the file takes over. */
void tmpfs_set_backing(struct inode *inode, phys_t data, uint64_t len);
/* The same for data on a disk. */
struct blkdev;
int tmpfs_set_backing_disk(struct inode *i, struct blkdev *disk, uint64_t off, uint64_t len);
/* Moves the last page of such a file, if it has one in part, into a frame of its own or, when
 * nobody shares it, zeroes what follows the data in it. 0, -ENOMEM. */
int tmpfs_finish_backing(struct inode *inode);

/* memfd_create: a nameless file. flags are open flags; seals F_SEAL_*. */
int tmpfs_memfd(const char *name, unsigned flags, uint32_t seals, struct file **out);

bool tmpfs_is_file(const struct file *f);

/* Pieces of a file's content as kernel memory, held so that they stay while the user sleeps. */
#define TMPFS_PINS 32
struct tmpfs_pins {
    struct iovec iov[TMPFS_PINS];
    phys_t frames[2 * TMPFS_PINS];
    unsigned nr_iov, nr_frames;
    size_t bytes;
};
/* Pins what lies from byte off on, at most max bytes and TMPFS_PINS pieces; no bytes at the end. 0,
 * or -ENOMEM, -EIO for data on a disk, which it sleeps for. Always followed by tmpfs_unpin(). */
int tmpfs_pin(struct file *f, uint64_t off, size_t max, struct tmpfs_pins *p);
void tmpfs_unpin(struct tmpfs_pins *p);

struct tmpfs_stats {
    uint64_t read_bytes, written_bytes, no_space;
};
extern struct tmpfs_stats tmpfs_stats;
