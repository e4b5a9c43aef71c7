// unit: kernel/mm/far/slots.c
/*
 * The slots of far memory (kernel/mm/far/slots.h) against a plain model: an array that says of each
 * slot whether it is taken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chance.h"
#include "mm/far/slots.h"

#define OPERATIONS 4000000u
#define BIG        200001u

struct model {
    struct far_slots s;
    uint64_t *map;
    uint8_t *taken; /* by slot */
    uint32_t *list; /* the slots that are taken, in any order */
    uint32_t nr, used;
};

static void setup(struct model *m, uint32_t nr)
{
    m->map = calloc(1, far_slots_bytes(nr)); /* exactly: AddressSanitizer watches its end */
    m->taken = calloc(1, nr + 1);
    m->list = calloc(nr + 1, sizeof(*m->list));
    m->nr = nr;
    m->used = 0;
    far_slots_init(&m->s, m->map, nr);
}

static void teardown(struct model *m)
{
    free(m->map);
    free(m->taken);
    free(m->list);
}

static uint32_t take(struct model *m)
{
    uint32_t slot = far_slot_alloc(&m->s);

    if (m->used == m->nr) {
        assert_int_equal(slot, 0);
        return 0;
    }
    assert_in_range(slot, 1, m->nr);
    assert_false(m->taken[slot]);
    m->taken[slot] = 1;
    m->list[m->used++] = slot;
    assert_int_equal(m->s.used, m->used);
    return slot;
}

/* The slot at a place of the list. */
static void give(struct model *m, uint32_t place)
{
    uint32_t slot = m->list[place];

    m->list[place] = m->list[--m->used];
    m->taken[slot] = 0;
    far_slot_free(&m->s, slot);
    assert_int_equal(m->s.used, m->used);
}

/* The map says what the model says, slot 0 and what lies beyond the last one taken. */
static void same(const struct model *m)
{
    for (uint32_t i = 0; i < far_slots_bytes(m->nr) * 8; i++)
        assert_int_equal(m->map[i / 64] >> i % 64 & 1, i == 0 || i > m->nr || m->taken[i]);
}

/* Every slot is given out once, all again after all were given back, and each single one. */
static void every_size(void **state)
{
    for (uint32_t nr = 0; nr <= 64 * 5 + 1; nr++) {
        struct model m;

        setup(&m, nr);
        for (unsigned round = 0; round < 3; round++) {
            for (uint32_t i = 0; i < nr; i++)
                assert_int_not_equal(take(&m), 0);
            same(&m);
            assert_int_equal(take(&m), 0);
            for (uint32_t i = 0; i < nr; i++) { /* full but for one */
                uint32_t slot = m.list[i];

                give(&m, i);
                assert_int_equal(take(&m), slot);
                assert_int_equal(take(&m), 0);
            }
            while (m.used > 0)
                give(&m, round ? m.used - 1 : below(m.used));
            same(&m);
        }
        teardown(&m);
    }
}

/* Any sequence, by turns nearly full, nearly empty and in between. */
static void any_sequence(void **state)
{
    static const uint32_t sizes[] = {1,   2,   62,  63,  64,   65,   126,  127,  128,   129,
                                     191, 192, 193, 255, 1023, 1024, 1025, 4095, 65536, BIG};

    for (unsigned k = 0; k < ARRAY_SIZE(sizes); k++) {
        struct model m;
        uint32_t bias = 95;

        setup(&m, sizes[k]);
        for (uint32_t i = 0; i < OPERATIONS / ARRAY_SIZE(sizes); i++) {
            if (below(2 * sizes[k] + 50) == 0)
                bias = below(3) == 0 ? 5 : below(2) == 0 ? 95 : 50;
            if (m.used == 0 || below(100) < bias)
                take(&m);
            else
                give(&m, below(m.used));
        }
        same(&m);
        teardown(&m);
    }
}

/* What is taken stays taken, and the new ones are free; then no more than is said. */
static void any_growth(void **state)
{
    for (uint32_t n = 0; n < 4000; n++) {
        struct model m;
        uint32_t nr = 1 + below(300), more = nr + 1 + below(300), most;
        uint64_t *old;

        setup(&m, nr);
        while (m.used < nr && below(nr) > 0)
            take(&m);
        old = m.map;
        m.map = calloc(1, far_slots_bytes(more));
        far_slots_grow(&m.s, m.map, more);
        free(old);
        m.nr = more;
        m.taken = realloc(m.taken, more + 1);
        memset(m.taken + nr + 1, 0, more - nr);
        m.list = realloc(m.list, (more + 1) * sizeof(*m.list));
        same(&m);
        most = m.s.most = below(more + 1);
        while (m.used < most)
            assert_int_not_equal(take(&m), 0);
        assert_int_equal(far_slot_alloc(&m.s), 0);
        m.s.most = more;
        while (m.used < more)
            take(&m);
        same(&m);
        teardown(&m);
    }
}

/* Pages that leave one after the other lie side by side. */
static void side_by_side(void **state)
{
    struct model m;
    uint32_t last;

    setup(&m, 20000);
    last = take(&m);
    for (unsigned i = 1; i < 10000; i++) {
        uint32_t slot = take(&m);

        assert_int_equal(slot, last + 1);
        last = slot;
    }
    for (unsigned i = 0; i < 64; i++) /* among the others: not where the next ones go */
        give(&m, i);
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t slot = take(&m);

        assert_int_equal(slot, last + 1);
        last = slot;
    }
    same(&m);
    teardown(&m);
}

static jmp_buf panicked;

__noreturn void panic(const char *fmt, ...)
{
    longjmp(panicked, 1);
}

static bool panics(struct far_slots *s, uint32_t slot)
{
    if (setjmp(panicked))
        return true;
    far_slot_free(s, slot);
    return false;
}

/* To give back what was not taken, or does not exist, is our own error. */
static void not_taken(void **state)
{
    struct model m;

    setup(&m, 100);
    assert_int_equal(take(&m), 1);
    assert_true(panics(&m.s, 0) && panics(&m.s, 2) && panics(&m.s, 101) && panics(&m.s, 127));
    assert_true(panics(&m.s, UINT32_MAX));
    assert_false(panics(&m.s, 1));
    assert_true(panics(&m.s, 1));
    teardown(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_size), cmocka_unit_test(any_sequence),
                                       cmocka_unit_test(any_growth), cmocka_unit_test(side_by_side),
                                       cmocka_unit_test(not_taken)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
