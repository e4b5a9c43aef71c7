/*
 * Block devices: whole-page transfers between a device and page frames. Drivers register;
 * file systems find a device by name. Reading and writing sleep: from a thread only.
 */
#pragma once

#include "lib/list.h"

#define BLK_SECTOR   512
#define BLK_MAX_SEGS 32 /* pages in one transfer */

struct blkdev;

struct blk_stats {
    uint64_t reads, read_bytes, writes, write_bytes, errors, timeouts;
};

struct blkdev {
    struct list link;
    char name[16]; /* "vda" */
    uint64_t size; /* bytes */
    bool read_only;
    struct blk_stats stats;
    /* Transfers n <= BLK_MAX_SEGS whole frames, each with a reference count of its own, from byte offset off on, which is a multiple of
     * BLK_SECTOR. 0 or -EIO, -EROFS, -EINVAL beyond the end (which may cut the last page short: the rest
     * of it is undefined). */
    int (*transfer)(struct blkdev *b, bool write, uint64_t off, const phys_t *frames, unsigned n);
    int (*flush)(struct blkdev *b);
};

void blkdev_register(struct blkdev *b);
struct blkdev *blkdev_find(const char *name);
