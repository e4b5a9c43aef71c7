/*
 * What the files of far memory on memory nodes share: remote.c (the backend), replicate.c (nodes
 * that lack pages get them), remote_config.c (command line, start).
 */
#pragma once

#include "mm/far/backend.h"
#include "roce/node.h"

#define MIRRORS_MAX 4u

struct mirror {
    struct node node;
    uint64_t *stale; /* bit i: the node has not what slot i should hold */
    uint64_t nr_stale;
};

extern struct mirror *remote_mirrors[MIRRORS_MAX];
extern unsigned remote_nr;
/* Slots that have been written, ever. */
extern uint64_t *remote_written;
/* Slots that the backend writes just now: what a node has there is neither old nor new. */
extern uint64_t *remote_writing;
extern uint32_t remote_slots;

static inline bool slot_is_set(const uint64_t *map, uint32_t slot)
{
    return map[slot / 64] >> slot % 64 & 1;
}

void remote_mark_stale(struct mirror *m, uint32_t slot);
void remote_mark_fresh(struct mirror *m, uint32_t slot);
/* A node that can be read from; the try'th choice. NULL: none at the moment. */
struct mirror *remote_source(uint32_t slot, unsigned try);

/* remote.c: makes the backend, whose nodes are open. 0 or -errno. */
int remote_start(void);

/* replicate.c */
/* The backend writes slot to m from now on: a copy that is under way there counts for nothing, and
 * one that has only been read is not written any more. */
void replicate_overtaken(const struct mirror *m, uint32_t slot);
/* Goes on with what is to be copied. True: something is under way or to be done. */
bool replicate_run(void);
/* A request of ours is over; false: it is none of ours. */
bool replicate_done(void *cookie, int status);
/* A page landed for one of ours; the same. */
bool replicate_landed(void *cookie, phys_t page);

struct remote_stats {
    uint64_t lost;       /* nodes, each time */
    uint64_t replicated; /* pages copied from one to another */
    uint64_t failovers;  /* reads that another node was asked for */
};
extern struct remote_stats remote_stats;
