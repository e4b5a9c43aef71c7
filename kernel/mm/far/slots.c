/* See slots.h. */
#include "mm/far/slots.h"

void far_slots_init(struct far_slots *s, uint64_t *map, uint32_t nr)
{
    uint32_t words = nr / 64 + 1, tail = nr % 64 + 1;

    map[0] |= 1; /* slot 0 */
    if (tail < 64)
        map[words - 1] |= ~0ull << tail; /* slots that do not exist are never free */
    *s = (struct far_slots){.map = map, .nr = nr};
}

uint32_t far_slot_alloc(struct far_slots *s)
{
    uint32_t words = s->nr / 64 + 1, w = s->hint;

    if (s->used == s->nr)
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
