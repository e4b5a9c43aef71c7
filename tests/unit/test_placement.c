// unit: kernel/roce/placement.c
/*
 * Which memory nodes pages lie on (kernel/roce/placement.h): even, as many pages as the nodes have
 * room for, and when nodes come and go no more is moved than has to be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "roce/placement.h"

#define NODES 6u
#define PAGES 60000u
#define ROOM  PAGES

static struct placement_node nodes[NODES];
static uint32_t on[PAGES];
static unsigned nr, moves;

static void start(unsigned n, uint32_t room)
{
    memset(nodes, 0, sizeof(nodes));
    memset(on, 0, sizeof(on));
    nr = n;
    for (unsigned i = 0; i < n; i++)
        nodes[i] = (struct placement_node){.room = room, .stays = true, .up = true};
}

static bool put(unsigned page, unsigned copies)
{
    while ((unsigned)__builtin_popcount(on[page]) < placement_copies(nodes, nr, copies)) {
        unsigned i = placement_pick(nodes, nr, page, on[page], false);

        if (i == PLACEMENT_NONE)
            return false;
        nodes[i].used++;
        on[page] |= 1u << i;
    }
    return true;
}

static void fill(unsigned pages, unsigned copies)
{
    for (unsigned p = 0; p < pages; p++)
        assert_true(put(p, copies));
}

/* Every page's steps until there are none, each move at once; pages that want more. */
static unsigned settle(unsigned pages, unsigned copies)
{
    unsigned wanting = 0;

    moves = 0;
    for (bool any = true; any;) {
        any = false;
        wanting = 0;
        for (unsigned p = 0; p < pages; p++) {
            struct placement_step s;

            for (unsigned k = 0;; k++) {
                s = placement_step(nodes, nr, p, on[p], on[p], copies);
                if (s.add == PLACEMENT_NONE && s.drop == PLACEMENT_NONE)
                    break;
                assert_true(k < 2 * NODES);
                any = true;
                if (s.add != PLACEMENT_NONE) {
                    nodes[s.add].used++;
                    on[p] |= 1u << s.add;
                    moves++;
                } else {
                    nodes[s.drop].used--;
                    on[p] &= ~(1u << s.drop);
                }
            }
            wanting += s.wanting;
        }
    }
    return wanting;
}

static void check_even(unsigned pages, unsigned copies, unsigned slack)
{
    unsigned staying = 0, want = placement_copies(nodes, nr, copies);

    for (unsigned i = 0; i < nr; i++)
        staying += nodes[i].stays;
    for (unsigned i = 0; i < nr; i++) {
        unsigned share = nodes[i].stays ? pages * want / staying : 0;

        assert_in_range(nodes[i].used + slack, share, share + 2 * slack);
    }
    for (unsigned p = 0; p < pages; p++)
        assert_int_equal(__builtin_popcount(on[p]), want);
}

static void pages_are_spread_evenly(void **state)
{
    for (unsigned n = 1; n <= NODES; n++)
        for (unsigned copies = 0; copies <= n; copies++) {
            start(n, ROOM);
            fill(PAGES, copies);
            check_even(PAGES, copies, PLACEMENT_SLACK / 2 + 1);
        }
    /* Neighbours lie on different nodes. */
    start(3, ROOM);
    fill(300, 1);
    for (unsigned p = 2; p < 300; p++)
        assert_int_equal(on[p] | on[p - 1] | on[p - 2], 7);
}

static void all_the_room_is_used(void **state)
{
    start(4, 1000);
    assert_int_equal(placement_capacity(nodes, nr, 1), 4000);
    assert_int_equal(placement_capacity(nodes, nr, 2), 2 * (1000 - 2 * PLACEMENT_SLACK));
    assert_int_equal(placement_capacity(nodes, nr, 3), 4 * (1000 - 2 * PLACEMENT_SLACK) / 3);
    assert_int_equal(placement_capacity(nodes, nr, 4), 1000);
    assert_int_equal(placement_capacity(nodes, nr, 9), 1000);
    assert_int_equal(placement_capacity(nodes, nr, PLACEMENT_ALL), 1000);
    nodes[1].stays = false;
    assert_int_equal(placement_capacity(nodes, nr, 2), 3 * (1000 - 2 * PLACEMENT_SLACK) / 2);
    nodes[2].room = 100;
    assert_int_equal(placement_capacity(nodes, nr, 1), 2100);
    assert_int_equal(placement_capacity(nodes, nr, 2), 2050 - 1000 - 3 * PLACEMENT_SLACK);
    nodes[2].room = 0;
    assert_int_equal(placement_capacity(nodes, nr, 3), 0);
    for (unsigned copies = 1; copies <= 4; copies++) {
        start(4, 1000);
        fill(placement_capacity(nodes, nr, copies), copies);
    }
    start(0, 0);
    assert_int_equal(placement_capacity(nodes, nr, 1), 0);
}

static void a_new_node_gets_its_share_and_nothing_else_moves(void **state)
{
    for (unsigned n = 1; n < NODES; n++)
        for (unsigned copies = 0; copies <= n; copies++) {
            unsigned share, before = n;

            start(n, ROOM);
            fill(PAGES, copies);
            nodes[nr++] = (struct placement_node){.room = ROOM, .stays = true, .up = true};
            assert_int_equal(settle(PAGES, copies), 0);
            share = PAGES * placement_copies(nodes, nr, copies) / (before + 1);
            assert_in_range(moves, share - 2 * PLACEMENT_SLACK, share + PLACEMENT_SLACK);
            check_even(PAGES, copies, 2 * PLACEMENT_SLACK);
        }
}

static void a_node_that_leaves_is_emptied_and_nothing_else_moves(void **state)
{
    for (unsigned n = 2; n <= NODES; n++)
        for (unsigned copies = 0; copies <= n; copies++) {
            unsigned held;

            start(n, ROOM);
            fill(PAGES, copies);
            held = nodes[1].used;
            nodes[1].stays = false;
            assert_int_equal(settle(PAGES, copies), 0);
            assert_int_equal(nodes[1].used, 0);
            if (copies == PLACEMENT_ALL || copies == n)
                assert_int_equal(moves, 0); /* the others have it */
            else
                assert_in_range(moves, held, held + PLACEMENT_SLACK * n);
            check_even(PAGES, copies, 2 * PLACEMENT_SLACK);
        }
}

static void without_room_pages_stay(void **state)
{
    start(2, 1000);
    fill(1500, 1);
    nodes[1].stays = false;
    assert_int_equal(settle(1500, 1), 500);
    assert_int_equal(nodes[1].used, 500);
    nodes[0].up = false; /* and nobody fills a node that is not there */
    nodes[0].room = 2000;
    assert_int_equal(settle(1500, 1), 500);
    nodes[0].up = true;
    assert_int_equal(settle(1500, 1), 0);
}

static void a_copy_goes_when_enough_others_are_fresh(void **state)
{
    struct placement_step s;

    start(3, 1000);
    nodes[0].used = nodes[1].used = 500;
    nodes[0].stays = false;
    s = placement_step(nodes, nr, 0, 1, 1, 1);
    assert_int_equal(s.add, 2);
    s = placement_step(nodes, nr, 0, 5, 1, 1); /* it is being filled */
    assert_int_equal(s.add, PLACEMENT_NONE);
    assert_int_equal(s.drop, PLACEMENT_NONE);
    s = placement_step(nodes, nr, 0, 5, 5, 1);
    assert_int_equal(s.drop, 0);
    nodes[0].stays = true;
    s = placement_step(nodes, nr, 0, 7, 3, 2); /* the one that is not fresh goes first */
    assert_int_equal(s.drop, 2);
    s = placement_step(nodes, nr, 0, 3, 1, 2); /* and none of those that are wanted */
    assert_int_equal(s.drop, PLACEMENT_NONE);
    assert_int_equal(s.add, PLACEMENT_NONE);
    nodes[1].up = false; /* those that are left must be there */
    s = placement_step(nodes, nr, 0, 7, 3, 2);
    assert_int_equal(s.drop, PLACEMENT_NONE);
    s = placement_step(nodes, nr, 0, 7, 7, 2);
    assert_int_equal(s.drop, 1);
    nodes[0].stays = nodes[1].stays = nodes[2].stays = false;
    s = placement_step(nodes, nr, 0, 1, 1, 1);
    assert_int_equal(s.drop, PLACEMENT_NONE);
}

static void nodes_that_are_up_come_first(void **state)
{
    start(3, 10);
    nodes[0].used = 5;
    nodes[1].up = false;
    nodes[2].used = 10;
    assert_int_equal(placement_pick(nodes, nr, 0, 0, false), 0);
    assert_int_equal(placement_pick(nodes, nr, 0, 1, false), 1);
    assert_int_equal(placement_pick(nodes, nr, 0, 1, true), PLACEMENT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_spread_evenly),
        cmocka_unit_test(all_the_room_is_used),
        cmocka_unit_test(a_new_node_gets_its_share_and_nothing_else_moves),
        cmocka_unit_test(a_node_that_leaves_is_emptied_and_nothing_else_moves),
        cmocka_unit_test(without_room_pages_stay),
        cmocka_unit_test(a_copy_goes_when_enough_others_are_fresh),
        cmocka_unit_test(nodes_that_are_up_come_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
