/*
 * Which places of a backend hold a page: a bitmap with a moving hint, so that pages that leave one
 * after the other lie side by side. Pure. Slot 0 is none.
 */
#pragma once

#include "lib/base.h"

struct far_slots {
    uint64_t *map; /* bit i: slot i is in use */
    uint32_t nr;   /* slots 1..nr exist */
    uint32_t most; /* so many may be in use */
    uint32_t used;
    uint32_t hint; /* word of the map where the search starts */
};

/* Bytes of map for nr slots. */
static inline size_t far_slots_bytes(uint32_t nr)
{
    return ((size_t)nr / 64 + 1) * sizeof(uint64_t);
}
/* map: far_slots_bytes(nr) zeroed bytes. nr below 2^30. */
void far_slots_init(struct far_slots *s, uint64_t *map, uint32_t nr);
/* map: far_slots_bytes(nr) zeroed bytes, to go on with instead of the map there is; nr is more than
 * there are. */
void far_slots_grow(struct far_slots *s, uint64_t *map, uint32_t nr);
/* 0: all that may be are in use. */
uint32_t far_slot_alloc(struct far_slots *s);
void far_slot_free(struct far_slots *s, uint32_t slot);
