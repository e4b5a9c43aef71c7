/* See flight.h. */
#include "flight.h"

#include "../util.h"

#include <stdlib.h>

#define NONE UINT32_MAX

/* A slot is used about as often as there are seconds in a run: 2^23 times last. */
enum { EPOCH_SHIFT = 23, EPOCH_MASK = 0xff };

void flights_init(struct flights *f, uint32_t capacity, unsigned epoch)
{
    *f = (struct flights){
        .slot = xcalloc(capacity, sizeof(f->slot[0])),
        .capacity = capacity,
        .first_use = (epoch & EPOCH_MASK) << EPOCH_SHIFT,
        .oldest = NONE,
        .newest = NONE,
        .first_free = NONE,
        .last_free = NONE,
    };
}

void flights_free(struct flights *f)
{
    free(f->slot);
    f->slot = NULL;
}

static uint32_t take_slot(struct flights *f)
{
    uint32_t i;

    if (f->used < f->capacity)
        return f->used++;
    i = f->first_free;
    if (i != NONE) {
        f->first_free = f->slot[i].newer;
        if (f->first_free == NONE)
            f->last_free = NONE;
    }
    return i;
}

struct flight *flights_add(struct flights *f)
{
    uint32_t i = take_slot(f);
    struct flight *e;
    uint64_t uses;

    if (i == NONE)
        return NULL;
    e = &f->slot[i];
    uses = (e->id ? e->id >> 32 : f->first_use) + 1;
    *e = (struct flight){
        .id = (uses << 32 | i) & (FLIGHT_ID_LIMIT - 1),
        .state = FLIGHT_LIVE,
        .older = f->newest,
        .newer = NONE,
    };
    if (f->newest != NONE)
        f->slot[f->newest].newer = i;
    else
        f->oldest = i;
    f->newest = i;
    f->live++;
    return e;
}

enum flight_state flights_find(struct flights *f, uint64_t id, struct flight **found)
{
    uint32_t i = (uint32_t)id;

    if (i >= f->used || f->slot[i].id != id)
        return FLIGHT_UNUSED;
    if (f->slot[i].state == FLIGHT_LIVE)
        *found = &f->slot[i];
    return f->slot[i].state;
}

void flights_end(struct flights *f, struct flight *e, enum flight_state state)
{
    uint32_t i = e - f->slot;

    if (e->older != NONE)
        f->slot[e->older].newer = e->newer;
    else
        f->oldest = e->newer;
    if (e->newer != NONE)
        f->slot[e->newer].older = e->older;
    else
        f->newest = e->older;
    e->state = state;
    e->newer = NONE;
    if (f->last_free != NONE)
        f->slot[f->last_free].newer = i;
    else
        f->first_free = i;
    f->last_free = i;
    f->live--;
}

struct flight *flights_oldest(struct flights *f)
{
    return f->oldest == NONE ? NULL : &f->slot[f->oldest];
}
