/*
 * The identity of the application: root unless it asks for less. One for all threads, as
 * glibc keeps it. Read by permission checks; written by the set*id system calls
 * (linux/sys_cred.c). Any context.
 */
#pragma once

#include "lib/base.h"

#define CRED_MAX_GROUPS 64

struct cred {
    uint32_t uid, euid, suid, fsuid;
    uint32_t gid, egid, sgid, fsgid;
    uint32_t nr_groups;
    uint32_t groups[CRED_MAX_GROUPS];
};

extern struct cred cred;
