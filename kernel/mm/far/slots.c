/* See slots.h. */
#include "mm/far/slots.h"

/* Slots behind the last one are never free. */
static uint64_t tail(uint32_t nr)
{
    return nr % 64 < 63 ? ~0ull << (nr % 64 + 1) : 0;
}

void far_slots_init(struct far_slots *s, uint64_t *map, uint32_t nr)
{
    map[0] |= 1; /* slot 0 */
    map[nr / 64] |= tail(nr);
    *s = (struct far_slots){.map = map, .nr = nr, .most = nr};
}

void far_slots_grow(struct far_slots *s, uint64_t *map, uint32_t nr)
{
    memcpy(map, s->map, far_slots_bytes(s->nr));
    map[s->nr / 64] &= ~tail(s->nr);
    map[nr / 64] |= tail(nr);
    s->map = map;
    s->nr = s->most = nr;
}

uint32_t far_slot_alloc(struct far_slots *s)
{
    uint32_t words = s->nr / 64 + 1, w = s->hint;

    if (s->used >= s->most)
        return 0;
    while (s->map[w] == UINT64_MAX)
        w = w + 1 < words ? w + 1 : 0;
    s->hint = w;
    s->used++;
    unsigned bit = __builtin_ctzll(~s->map[w]);
    s->map[w] |= 1ull << bit;
    return w * 64 + bit;
}

void far_slot_free(struct far_slots *s, uint32_t slot)
{
    uint64_t bit = 1ull << slot % 64;

    assert(slot - 1 < s->nr && s->map[slot / 64] & bit);
    s->map[slot / 64] &= ~bit;
    s->used--;
}
