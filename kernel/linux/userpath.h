/*
 * Paths given by the application, copied into the kernel. Short ones stay on the caller's
 * stack. May sleep.
 */
#pragma once

#include "arch/x86_64/uaccess.h"
#include "mm/slab.h"

#include <linux/limits.h>

struct user_path {
    const char *text;
    char *block;
    char fast[128];
};

__cold int user_path_get_long(struct user_path *p, const char *u);

/* 0; -EFAULT, -ENAMETOOLONG, -ENOMEM. After 0: user_path_put(). */
static inline int user_path_get(struct user_path *p, const char *u)
{
    ssize_t n = copy_string_from_user(p->fast, u, sizeof(p->fast));
    p->text = p->fast;
    p->block = NULL;
    if (likely(n >= 0))
        return 0;
    return n == -ENAMETOOLONG ? user_path_get_long(p, u) : (int)n;
}

static inline void user_path_put(struct user_path *p)
{
    if (unlikely(p->block != NULL))
        kfree(p->block);
}
