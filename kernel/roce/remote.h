/*
 * What the files of far memory on memory nodes share: remote.c (the backend), places.c (which pages
 * lie where), reads.c (READs, of a second node too if the first is slow), replicate.c (nodes that
 * lack pages get them), balance.c (pages change nodes), members.c (nodes come and go),
 * remote_config.c (command line, start). placement.h has the policy.
 */
#pragma once

#include "mm/far/backend.h"
#include "mm/far/slots.h"
#include "roce/node.h"
#include "roce/placement.h"

#define MIRRORS_MAX 8u

/* A node, and which pages lie there. */
struct mirror {
    struct node node;
    struct far_slots places; /* of its memory: which are taken */
    uint64_t *places_map;
    uint32_t *place; /* by slot: where, from 1; 0: the slot does not lie here */
    uint64_t *stale; /* bit i: slot i lies here, and the node has not what it should hold */
    uint64_t nr_stale;
    uint32_t scan;    /* the word of `stale` where replicate.c goes on */
    bool joined;      /* it has been up: it may have pages */
    bool leaving;     /* it is to have none any more */
    unsigned overdue; /* READs that another node was asked for as well, and it has not answered */
    uint64_t hedged;  /* these, ever */
};

extern struct mirror *remote_mirrors[MIRRORS_MAX];
extern unsigned remote_nr;
extern unsigned remote_copies; /* nodes that a page lies on; PLACEMENT_ALL: all */
extern uint32_t remote_room;   /* pages that each node lends */
/* Slots 1..remote_slots exist. */
extern uint32_t remote_slots;
/* Slots that the backend writes just now: what a node has there is neither old nor new. */
extern uint64_t *remote_writing;

static inline bool slot_is_set(const uint64_t *map, uint32_t slot)
{
    return map[slot / 64] >> slot % 64 & 1;
}

struct remote_stats {
    uint64_t lost;       /* nodes, each time */
    uint64_t replicated; /* pages copied from one to another */
    uint64_t failovers;  /* reads that another node was asked for */
    uint64_t hedged;     /* reads that another node was asked for as well, as the first was slow */
    uint64_t hedges_won; /* those that the other one answered first */
    uint64_t moved;      /* times that a page has left a node for another */
    uint64_t pages_lost; /* pages that no node has any more */
};
extern struct remote_stats remote_stats;

/* ---- places.c ---- */

static inline bool remote_lies_on(const struct mirror *m, uint32_t slot)
{
    return m->place[slot] != 0;
}
/* Has the node what was written last? Whether it can be asked is another question. */
static inline bool remote_is_fresh(const struct mirror *m, uint32_t slot)
{
    return remote_lies_on(m, slot) && !slot_is_set(m->stale, slot);
}
/* Where on the node a slot lies that does. */
static inline uint64_t remote_offset(const struct mirror *m, uint32_t slot)
{
    return (m->place[slot] - 1ull) * PAGE_SIZE;
}
void remote_mark_stale(struct mirror *m, uint32_t slot);
void remote_mark_fresh(struct mirror *m, uint32_t slot);
/* A place there for a slot that has none; false: all are taken. */
bool remote_take_place(struct mirror *m, uint32_t slot);
void remote_give_place(struct mirror *m, uint32_t slot);
/* Sees to it that a slot that is about to be written lies on as many nodes as it should, and on one
 * that is up. */
void remote_place(uint32_t slot);
/* The nodes as placement.h wants them, and sets of them: where the slot lies; which have it. */
void remote_table(struct placement_node table[MIRRORS_MAX]);
uint32_t remote_set_on(uint32_t slot);
uint32_t remote_set_fresh(uint32_t slot);
unsigned remote_number(const struct mirror *m);
/* A node that can be read from, rather none of the set `not`, and none that is slow at the moment.
 * NULL: there is none. */
struct mirror *remote_source(uint32_t slot, uint32_t not );
/* May a node come back that has the slot, or could be given it? */
bool remote_hope(uint32_t slot, bool write);
/* Pages that nobody has any more, and nobody will: how many. They are forgotten. */
uint32_t remote_give_up(void);
/* The maps of a node that is new. 0 or -ENOMEM. */
int remote_map(struct mirror *m);
void remote_unmap(struct mirror *m);
/* Makes all maps large enough for so many slots. 0 or -ENOMEM: nothing has changed. */
int remote_grow(uint32_t slots);

/* ---- remote.c ---- */

/* Makes the backend, whose nodes are open. 0 or -errno. */
int remote_start(void);
/* Something is to be done that is not known to be due. */
void remote_wake(void);
/* A read that has failed is begun anew. */
void remote_again(struct far_io *io);

/* ---- reads.c ---- */

/* Posts the READ of a whole page. False: not now. */
bool reads_post(struct far_io *io, uint64_t now);
/* Asks a second node where the first is slow. When to call it again. */
uint64_t reads_hedge(uint64_t now);
/* A request of ours is over, or a page landed for one; false: it is none of ours. */
bool reads_done(void *cookie, int status);
bool reads_landed(void *cookie, phys_t page);
/* Is a READ of the slot under way that somebody waits for? */
bool reads_busy(uint32_t slot);

/* ---- replicate.c ---- */

/* The backend writes the slot from now on, or it is nobody's any more: a copy that is under way
 * counts for nothing, and one that has only been read is not written any more. */
void replicate_overtaken(uint32_t slot);
/* Is a copy of the slot under way? */
bool replicate_busy(uint32_t slot);
/* Goes on with what is to be copied. True: something is under way or to be done. */
bool replicate_run(void);
bool replicate_done(void *cookie, int status);
bool replicate_landed(void *cookie, phys_t page);

/* ---- balance.c ---- */

/* Nodes have changed: all pages are looked at, whether they lie where they should. */
void balance_wake(void);
/* The same, but not at once. */
void balance_later(void);
/* Goes on with that. True: there is more to be done at once. */
bool balance_run(uint64_t now);
/* When it should be called at the latest. */
uint64_t balance_deadline(void);
/* The node, on which nothing lies, goes. */
void balance_without(const struct mirror *m);

/* ---- members.c ---- */

/* "add ADDRESS[:PORT]" or "remove ADDRESS": 0; -EINVAL; -EOPNOTSUPP: there are no nodes; -EEXIST,
 * -ENOENT; -ENOSPC: there are too many, or the others have not the room; -EBUSY: it is the last
 * one, is leaving already, or has pages that nobody else has, and does not answer; -ENOMEM. */
int members_command(const char *text);
/* Takes in nodes that have come up, and lets those go that are empty. */
void members_run(uint64_t now);
/* One has joined, is to leave, or is dead. */
void members_changed(void);
/* Room for pages on the nodes that stay. */
uint32_t members_capacity(void);

/* ---- remote_config.c ---- */

/* "ADDRESS[:PORT]", to the end of the text. 0 or -EINVAL. */
int remote_parse(const char *text, uint32_t *ip, uint16_t *port);
/* A node, opened, as all others are. NULL: no memory. */
struct mirror *remote_open(uint32_t ip, uint16_t port);
void remote_close(struct mirror *m);
/* Why a node cannot be used. */
const char *remote_why(int error);
