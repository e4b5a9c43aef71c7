/*
 * The requests under way: which identifiers are outstanding, the oldest first, and what became of
 * those that ended, so that an answer is told apart from a second one, a late one, and one that
 * nobody asked for. An identifier is a slot's number and how often the slot was used; slots are
 * used again as late as can be. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum flight_state { FLIGHT_UNUSED, FLIGHT_LIVE, FLIGHT_ANSWERED, FLIGHT_TIMED_OUT };

struct flight {
    uint64_t id;
    uint64_t intended, sent; /* ns; sent 0: it has not left yet */
    uint64_t key, version;
    uint32_t from; /* the address and port that it leaves from */
    uint16_t from_port;
    uint8_t op;    /* enum op of tools/load/proto.h */
    uint8_t state; /* enum flight_state */
    bool recorded;
    uint32_t older, newer; /* or, of a free slot, newer: the next free one */
};

struct flights {
    struct flight *slot;
    uint32_t capacity, used; /* slots up to used were in use once */
    uint32_t first_use;      /* of any slot */
    uint32_t live;
    uint32_t oldest, newest;        /* of the live ones */
    uint32_t first_free, last_free; /* of those used before */
};

/* Identifiers below this are ours; with the bit set they are for others to use. */
#define FLIGHT_ID_LIMIT (UINT64_C(1) << 63)

/* epoch: any number; identifiers of tables with other numbers differ. */
void flights_init(struct flights *f, uint32_t capacity, unsigned epoch);
void flights_free(struct flights *f);
/* The newest of all, with id set and all else to be filled in; NULL if there is no slot. */
struct flight *flights_add(struct flights *f);
/* What an identifier stands for. *found is set if it is live. FLIGHT_UNUSED: it was never given
 * out, or the slot has been used again since. */
enum flight_state flights_find(struct flights *f, uint64_t id, struct flight **found);
/* state: FLIGHT_ANSWERED or FLIGHT_TIMED_OUT. */
void flights_end(struct flights *f, struct flight *e, enum flight_state state);
/* The oldest that is live, or NULL. */
struct flight *flights_oldest(struct flights *f);
