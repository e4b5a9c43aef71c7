/*
 * Which pages lie on which memory nodes, and where there: a word for each slot and node. Slots are
 * names; a slot's places are given to it when it is written first and are free again when nobody
 * wants the page any more. Called by the other files behind remote.h. Nothing here waits.
 */
#include "mm/slab.h"
#include "roce/remote.h"

#include <asm/errno.h>

struct mirror *remote_mirrors[MIRRORS_MAX];
unsigned remote_nr;
unsigned remote_copies = PLACEMENT_ALL;
uint32_t remote_room, remote_slots;
uint64_t *remote_writing;

static unsigned turn; /* whose turn it is to be read from */

void remote_mark_stale(struct mirror *m, uint32_t slot)
{
    if (!slot_is_set(m->stale, slot)) {
        m->stale[slot / 64] |= 1ull << slot % 64;
        m->nr_stale++;
    }
}

void remote_mark_fresh(struct mirror *m, uint32_t slot)
{
    if (slot_is_set(m->stale, slot)) {
        m->stale[slot / 64] &= ~(1ull << slot % 64);
        m->nr_stale--;
    }
}

bool remote_take_place(struct mirror *m, uint32_t slot)
{
    assert(!remote_lies_on(m, slot));
    m->place[slot] = far_slot_alloc(&m->places);
    return m->place[slot] != 0;
}

void remote_give_place(struct mirror *m, uint32_t slot)
{
    replicate_overtaken(slot);
    remote_mark_fresh(m, slot);
    far_slot_free(&m->places, m->place[slot]);
    m->place[slot] = 0;
}

void remote_table(struct placement_node table[MIRRORS_MAX])
{
    for (unsigned i = 0; i < remote_nr; i++) {
        const struct mirror *m = remote_mirrors[i];

        table[i] = (struct placement_node){
            .used = m->places.used,
            .room = remote_room,
            .stays = m->joined && !m->leaving &&
                     (m->node.state == NODE_IS_UP || m->node.state == NODE_IS_OPENING),
            .up = m->node.state == NODE_IS_UP};
    }
}

uint32_t remote_set_on(uint32_t slot)
{
    uint32_t set = 0;

    for (unsigned i = 0; i < remote_nr; i++)
        set |= (uint32_t)remote_lies_on(remote_mirrors[i], slot) << i;
    return set;
}

uint32_t remote_set_fresh(uint32_t slot)
{
    uint32_t set = 0;

    for (unsigned i = 0; i < remote_nr; i++)
        set |= (uint32_t)remote_is_fresh(remote_mirrors[i], slot) << i;
    return set;
}

unsigned remote_number(const struct mirror *m)
{
    unsigned i = 0;

    while (remote_mirrors[i] != m)
        i++;
    return i;
}

void remote_place(uint32_t slot)
{
    struct placement_node table[MIRRORS_MAX];
    unsigned want, staying = 0, up = 0, i;
    uint32_t on = remote_set_on(slot);

    remote_table(table);
    want = placement_copies(table, remote_nr, remote_copies);
    for (i = 0; i < remote_nr; i++) {
        staying += on >> i & 1 && table[i].stays;
        up += on >> i & 1 && table[i].stays && table[i].up;
    }
    /* As many as there should be; and if none of them can be written to, one more: what the others
     * have is old then, and balance.c takes it from them. */
    while (staying < want || up == 0) {
        i = placement_pick(table, remote_nr, slot, on, staying >= want);
        if (i == PLACEMENT_NONE || !remote_take_place(remote_mirrors[i], slot))
            break;
        on |= 1u << i;
        staying++;
        up += table[i].up;
    }
    if (staying < want)
        balance_later();
    /* Nobody will want what it has there. */
    for (i = 0; staying > 0 && i < remote_nr; i++)
        if (on >> i & 1 && !table[i].stays)
            remote_give_place(remote_mirrors[i], slot);
}

static struct mirror *choose(uint32_t slot, uint32_t not, bool slow)
{
    for (unsigned k = 0; k < remote_nr; k++) {
        unsigned i = (turn + k) % remote_nr;
        struct mirror *m = remote_mirrors[i];

        if (m->node.state != NODE_IS_UP || !remote_is_fresh(m, slot) || not >> i & 1 ||
            (!slow && m->overdue > 0))
            continue;
        turn = i + 1;
        return m;
    }
    return NULL;
}

struct mirror *remote_source(uint32_t slot, uint32_t not )
{
    struct mirror *m = choose(slot, not, false);

    if (m == NULL)
        m = choose(slot, not, true);
    if (m == NULL && not != 0)
        m = choose(slot, 0, true);
    return m;
}

bool remote_hope(uint32_t slot, bool write)
{
    for (unsigned i = 0; i < remote_nr; i++) {
        const struct mirror *m = remote_mirrors[i];

        if (m->node.state != NODE_IS_DEAD && (write ? m->joined : remote_is_fresh(m, slot)))
            return true;
    }
    return false;
}

uint32_t remote_give_up(void)
{
    uint32_t given_up = 0;

    for (uint32_t slot = 1; slot <= remote_slots; slot++) {
        if (remote_set_on(slot) == 0 || slot_is_set(remote_writing, slot) ||
            remote_hope(slot, false))
            continue;
        given_up++;
        for (unsigned i = 0; i < remote_nr; i++)
            if (remote_lies_on(remote_mirrors[i], slot))
                remote_give_place(remote_mirrors[i], slot);
    }
    remote_stats.pages_lost += given_up;
    return given_up;
}

/* ---- Memory for the maps ---- */

static size_t bytes_of_bits(uint32_t slots)
{
    return (slots / 64 + 1) * sizeof(uint64_t);
}

static size_t bytes_of_words(uint32_t slots)
{
    return (slots + 1ull) * sizeof(uint32_t);
}

/* Zeroes behind what there is of the old one. NULL: no memory. */
static void *copy_of(const void *old, size_t old_bytes, size_t bytes)
{
    uint8_t *map = vmalloc(bytes);

    if (map == NULL)
        return NULL;
    if (old != NULL)
        memcpy(map, old, old_bytes);
    else
        old_bytes = 0;
    memset(map + old_bytes, 0, bytes - old_bytes);
    return map;
}

int remote_map(struct mirror *m)
{
    m->stale = copy_of(NULL, 0, bytes_of_bits(remote_slots));
    m->place = copy_of(NULL, 0, bytes_of_words(remote_slots));
    m->places_map = copy_of(NULL, 0, far_slots_bytes(remote_room));
    if (m->stale == NULL || m->place == NULL || m->places_map == NULL) {
        remote_unmap(m);
        return -ENOMEM;
    }
    far_slots_init(&m->places, m->places_map, remote_room);
    return 0;
}

static void give_back(void *map)
{
    if (map != NULL)
        vfree(map);
}

void remote_unmap(struct mirror *m)
{
    give_back(m->stale);
    give_back(m->place);
    give_back(m->places_map);
    m->stale = m->places_map = NULL;
    m->place = NULL;
}

int remote_grow(uint32_t slots)
{
    size_t bits = bytes_of_bits(remote_slots), words = bytes_of_words(remote_slots);
    uint64_t *stale[MIRRORS_MAX], *writing = copy_of(remote_writing, bits, bytes_of_bits(slots));
    uint32_t *place[MIRRORS_MAX];
    bool all = writing != NULL;

    for (unsigned i = 0; i < remote_nr; i++) {
        const struct mirror *m = remote_mirrors[i];

        stale[i] = copy_of(m->stale, bits, bytes_of_bits(slots));
        place[i] = copy_of(m->place, words, bytes_of_words(slots));
        all &= stale[i] != NULL && place[i] != NULL;
    }
    /* Either the new ones are used, or they are what goes. */
    for (unsigned i = 0; i < remote_nr; i++) {
        struct mirror *m = remote_mirrors[i];

        give_back(all ? m->stale : stale[i]);
        give_back(all ? m->place : place[i]);
        if (all) {
            m->stale = stale[i];
            m->place = place[i];
        }
    }
    give_back(all ? remote_writing : writing);
    if (!all)
        return -ENOMEM;
    remote_writing = writing;
    remote_slots = slots;
    return 0;
}
