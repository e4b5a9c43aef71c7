/*
 * Packs the root file system of a guest: from a program of the host with all that it needs, or
 * from a whole root file system. Ends the program with one line on a mistake of the user's.
 * Host code; may block.
 */
#pragma once

#include "options.h"
#include "tree.h"

struct rootfs {
    struct tree tree;
    char *program; /* path in the guest for init=; NULL: a kernel with the application in it */
    char *native_kernel; /* the image is a bootable kernel itself: its path */
    char *host_program;  /* the program's file on the host, for debuggers; may be NULL */
};

void rootfs_pack(struct rootfs *r, const struct run_options *o);
void rootfs_free(struct rootfs *r);
