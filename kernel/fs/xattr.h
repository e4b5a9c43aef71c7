/*
 * Extended attributes, kept beside the inode in memory (tmpfs). Called by the xattr system
 * calls (linux/sys_xattr.c), with names and values in kernel memory. Never sleeps.
 */
#pragma once

#include "lib/base.h"

struct inode;

/* flags: XATTR_CREATE, XATTR_REPLACE. 0, -EEXIST, -ENODATA, -EOPNOTSUPP, -EPERM, -ENOSPC, -ENOMEM.
 */
int xattr_set(struct inode *i, const char *name, const void *value, size_t size, int flags);
/* The value's length; copied if size is not 0, -ERANGE if it does not fit. -ENODATA. */
ssize_t xattr_get(struct inode *i, const char *name, void *value, size_t size);
/* The names, each NUL-terminated, and their total length. */
ssize_t xattr_list(struct inode *i, char *list, size_t size);
int xattr_remove(struct inode *i, const char *name);
void xattr_free(struct inode *i);
