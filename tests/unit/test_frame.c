// unit: kernel/mm/frame.h
/*
 * The buddy allocator against a map of owners: no frame has two, blocks are aligned to their size
 * in physical memory, everything coalesces again, counts are right, whatever the order of calls.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/frame.c"

#define PHYS_START (256 * MiB - 24 * PAGE_SIZE) /* not aligned to the largest block */
#define PHYS_END   (288 * MiB + 40 * PAGE_SIZE)
#define FRAMES     ((PHYS_END - PHYS_START) / PAGE_SIZE)
#define SECOND     (512 * MiB)
#define SECOND_END (SECOND + 3 * MiB)

static void *arena;
static size_t arena_size;
static uint64_t seed = 88172645463325252ull;

static unsigned below(unsigned n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

static int set_up(void **state)
{
    static struct frame *array[2];

    arena_size = SECOND_END - PHYS_START;
    arena = mmap(NULL, arena_size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    host_direct_base = (uintptr_t)arena - PHYS_START;
    memset(ranges, 0, sizeof(ranges));
    nr_ranges = 0;
    failed = 0;
    reclaim_fn = NULL;
    free(array[0]);
    free(array[1]);
    array[0] = malloc(frame_array_size(PHYS_START, PHYS_END));
    array[1] = malloc(frame_array_size(SECOND, SECOND_END));
    assert_int_equal(frame_add_range(PHYS_START, PHYS_END, array[0]), 0);
    assert_int_equal(frame_add_range(SECOND, SECOND_END, array[1]), 1);
    return 0;
}

static int tear_down(void **state)
{
    return munmap(arena, arena_size);
}

/* Every free list is sound and holds exactly the frames that count as free. */
static void check_lists(void)
{
    for (unsigned i = 0; i < nr_ranges; i++) {
        struct frame_range *r = &ranges[i];
        uint64_t n = 0;

        /* Never used: on no list yet, sorted, apart. */
        for (unsigned k = 0; k < FRESH_MAX; k++) {
            const struct fresh *f = &r->fresh[k];
            assert_true(f->start <= f->end);
            if (k && f->start < f->end)
                assert_true(f[-1].end > f[-1].start && f[-1].end <= f->start);
            n += (f->end - f->start) >> PAGE_SHIFT;
        }
        for (unsigned o = 0; o <= FRAME_MAX_ORDER; o++) {
            assert_int_equal(r->nonempty >> o & 1, r->heads[o].next != &r->heads[o]);
            for (struct free_block *b = r->heads[o].next; b != &r->heads[o]; b = b->next) {
                phys_t p = virt_to_phys(b), buddy = p ^ (PAGE_SIZE << o);
                struct frame *f = &r->frames[index_in(r, p)];

                assert_true(b->next->prev == b && b->prev->next == b);
                assert_true(f->state == FRAME_FREE && f->order == o && f->refs == 0);
                assert_int_equal(p & ((PAGE_SIZE << o) - 1), 0);
                n += 1ul << o;
                if (o < FRAME_MAX_ORDER && buddy >= r->start && buddy < r->end) {
                    struct frame *bf = &r->frames[index_in(r, buddy)];
                    assert_false(bf->state == FRAME_FREE && bf->order == o);
                }
            }
        }
        assert_int_equal(n, r->free);
        assert_true(r->free <= r->total);
    }
}

struct block {
    phys_t p;
    unsigned order, refs;
    bool split;
};

static void random_operations(void **state)
{
    enum { MAX = 4000 };
    static struct block blocks[MAX];
    static uint8_t owned[FRAMES + 1024];
    unsigned n = 0;
    struct frame_stats s;
    uint64_t held = 0, total;

    frame_release_area(PHYS_START, PHYS_END);
    frame_release_area(SECOND, SECOND_END);
    total = FRAMES + (SECOND_END - SECOND) / PAGE_SIZE;
    assert_int_equal(frame_stats().total, total);
    assert_int_equal(frame_stats().free, total);
    check_lists();
    for (unsigned k = 0; k < 1500000; k++) {
        unsigned what = below(100), bias = (k >> 16) & 1 ? 60 : 40;

        if (what < bias && n < MAX) {
            unsigned order = below(4) ? below(3) : below(FRAME_MAX_ORDER + 1);
            bool split = !below(8);
            phys_t p = split ? frame_alloc_split(order) : frame_alloc(order);

            if (!p)
                continue;
            if (!split)
                assert_int_equal(p & ((PAGE_SIZE << order) - 1), 0);
            for (uint64_t f = 0; f < 1ul << order; f++) {
                phys_t at = p + f * PAGE_SIZE;
                size_t i = at >= SECOND ? FRAMES + (at - SECOND) / PAGE_SIZE
                                        : (at - PHYS_START) / PAGE_SIZE;
                assert_true((at >= PHYS_START && at < PHYS_END) ||
                            (at >= SECOND && at < SECOND_END));
                assert_int_equal(owned[i], 0);
                owned[i] = 1;
            }
            held += 1ul << order;
            *(uint64_t *)phys_to_virt(p) = p;
            blocks[n++] = (struct block){p, order, 1, split};
        } else if (n) {
            unsigned i = below(n);
            struct block *b = &blocks[i];

            if (!b->split && !below(4)) {
                frame_get(b->p);
                b->refs++;
                continue;
            }
            assert_int_equal(*(uint64_t *)phys_to_virt(b->p), b->p);
            if (!b->split && b->order && b->refs == 1 && !below(3)) {
                frame_split(b->p);
                b->split = true;
            }
            if (b->split)
                for (uint64_t f = 0; f < 1ul << b->order; f++)
                    frame_put(b->p + f * PAGE_SIZE);
            else
                frame_put(b->p);
            if (!b->split && --b->refs)
                continue;
            for (uint64_t f = 0; f < 1ul << b->order; f++) {
                phys_t at = b->p + f * PAGE_SIZE;
                owned[at >= SECOND ? FRAMES + (at - SECOND) / PAGE_SIZE
                                   : (at - PHYS_START) / PAGE_SIZE] = 0;
            }
            held -= 1ul << b->order;
            *b = blocks[--n];
        }
        s = frame_stats();
        assert_int_equal(s.free, total - held);
        if (k % 50000 == 0)
            check_lists();
    }
    while (n) {
        struct block *b = &blocks[--n];
        if (b->split)
            for (uint64_t f = 0; f < 1ul << b->order; f++)
                frame_put(b->p + f * PAGE_SIZE);
        else
            while (b->refs--)
                frame_put(b->p);
    }
    check_lists();
    assert_int_equal(frame_stats().free, total);
    /* Everything has come together again: the largest blocks are all there. */
    assert_int_equal(frame_alloc_from(0, FRAME_MAX_ORDER) & (4 * MiB - 1), 0);
    uint64_t large = 1;
    while (frame_alloc_from(0, FRAME_MAX_ORDER))
        large++;
    assert_int_equal(large,
                     (ALIGN_DOWN(PHYS_END, 4 * MiB) - ALIGN_UP(PHYS_START, 4 * MiB)) / (4 * MiB));
}

static void exhaustion(void **state)
{
    uint64_t n = 0;
    phys_t p, last = 0;

    frame_release_area(SECOND, SECOND + 8 * PAGE_SIZE);
    while ((p = frame_alloc_zero())) {
        for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
            assert_int_equal(((uint64_t *)phys_to_virt(p))[i], 0);
        memset(phys_to_virt(p), 0xff, PAGE_SIZE);
        last = p;
        n++;
    }
    assert_int_equal(n, 8);
    assert_int_equal(frame_stats().failed, 1);
    assert_int_equal(frame_alloc(0), 0);
    assert_int_equal(frame_alloc(FRAME_MAX_ORDER + 1), 0);
    assert_int_equal(frame_alloc_from(7, 0), 0);
    frame_put(last);
    assert_int_equal(frame_alloc(1), 0);
    assert_int_equal(frame_alloc(0), last);
}

static phys_t spare[4];
static unsigned spares, reclaims;
static uint64_t reclaim(unsigned order)
{
    reclaims++;
    if (!spares)
        return 0;
    frame_put(spare[--spares]);
    return 1;
}

static void reclaiming(void **state)
{
    frame_release_area(SECOND, SECOND + 4 * PAGE_SIZE);
    for (spares = 0; spares < 4; spares++)
        spare[spares] = frame_alloc(0);
    reclaims = 0;
    frame_set_reclaim(reclaim);
    assert_int_not_equal(frame_alloc(0), 0);
    assert_int_equal(spares, 3);
    assert_int_not_equal(frame_alloc(1), 0); /* as many as it takes to make a pair */
    while (frame_alloc(0))
        ;
    assert_int_equal(spares, 0);
    assert_true(reclaims >= 5);
}

/* More stretches than are remembered as fresh, in no order. */
static void scattered(void **state)
{
    static const unsigned order[] = {5, 1, 9, 3, 0, 7, 2, 8, 4, 6};
    uint64_t n = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
        phys_t at = PHYS_START + order[i] * 700 * PAGE_SIZE;
        frame_release_area(at, at + 650 * PAGE_SIZE);
        check_lists();
    }
    assert_int_equal(frame_stats().total, 6500);
    while (frame_alloc(below(2) ? 0 : below(4)))
        check_lists();
    while (frame_alloc(0))
        n++;
    assert_int_equal(frame_stats().free, 0);
}

/* Memory that was in use before there was an allocator. */
static void adoption(void **state)
{
    phys_t p = SECOND + 100 * PAGE_SIZE;

    frame_release_area(SECOND, p);
    frame_adopt(p, p + 16 * PAGE_SIZE);
    assert_int_equal(frame_stats().total, 116);
    assert_int_equal(frame_stats().free, 100);
    for (unsigned i = 0; i < 16; i++)
        frame_put(p + i * PAGE_SIZE);
    assert_int_equal(frame_stats().free, 116);
    check_lists();
    frame_adopt(1 * GiB, 1 * GiB + PAGE_SIZE); /* no range's: nothing happens */
    frame_get(1 * GiB);
    frame_put(1 * GiB);
    assert_null(frame_of(1 * GiB));
}

static void bad_ranges(void **state)
{
    assert_int_equal(frame_add_range(GiB, GiB, NULL), -EINVAL);
    assert_int_equal(frame_add_range(GiB + 1, 2 * GiB, NULL), -EINVAL);
    nr_ranges = FRAME_MAX_RANGES;
    assert_int_equal(frame_add_range(GiB, GiB + MiB, NULL), -ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_operations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(exhaustion, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reclaiming, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scattered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(adoption, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_ranges, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
