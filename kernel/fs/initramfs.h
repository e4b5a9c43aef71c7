/*
 * The initial root file system (initramfs.c): unpacked once at boot, into the mounted root.
 */
#pragma once

#include "lib/base.h"

/* Unpacks boot_info's archive, if there is one. On a bad archive, or one too large for the
 * memory, prints one line and powers off. */
void initramfs_unpack(void);
/* The same for the archive on the disk that wherry.root= names, if it does; after it, the disk is
 * in use: files are read from it when they are needed. Sleeps. */
void initramfs_unpack_disk(void);

struct initramfs_stats {
    uint64_t entries;
    uint64_t in_place; /* bytes that stayed where they were loaded */
    uint64_t copied;   /* bytes that were decompressed */
};
extern struct initramfs_stats initramfs_stats;
