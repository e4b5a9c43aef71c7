/*
 * Counters of lwIP's memory (net/lwip_mem.c).
 */
#pragma once

#include "lib/base.h"

struct net_mem_stats {
    uint64_t failed; /* allocations refused for want of memory */
};
extern struct net_mem_stats net_mem_stats;
