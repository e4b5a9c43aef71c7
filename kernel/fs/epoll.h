/*
 * Counters of the epoll calls (fs/epoll.c). Any context.
 */
#pragma once

#include "lib/base.h"

struct epoll_stats {
    uint64_t waits;   /* epoll_wait calls */
    uint64_t sleeps;  /* of those, times the thread slept */
    uint64_t events;  /* delivered */
    uint64_t stale;   /* ready items that were no longer ready when looked at */
    uint64_t watches; /* live items */
};
extern struct epoll_stats epoll_stats;
