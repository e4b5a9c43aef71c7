// unit: kernel/mm/far/prefetch_none.c kernel/mm/far/prefetch_sequential.c kernel/mm/far/prefetch_trend.c kernel/lib/string.c
/*
 * The prefetchers of far memory (kernel/mm/far/prefetch.h), in a world of pages that are away,
 * under way or here: how many faults scans, strides and mixtures of them are left with, and how
 * many pages are fetched for nothing. Every prefetcher is held to what it may ask for: pages of the
 * mapping, and never more than there is room for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chance.h"
#include "mm/far/prefetch.h"

#define PAGES 65536
#define BASE  0x700000000000ul

enum place { AWAY, COMING, UNUSED, USED };

static uint8_t place[PAGES];
static uint32_t arrives[PAGES]; /* when, if it is COMING */
static uint32_t fifo[PAGES];    /* the pages that are here or under way, in that order */
static unsigned fifo_first, fifo_nr;
static unsigned local, latency; /* pages that may be here; accesses until a page arrives */
static unsigned first, end;     /* of the mapping */
static uint32_t now;            /* accesses */
static bool blind;              /* the accessed bits tell nothing */
static struct far_fault current;
static unsigned asked_now;
static uint32_t list[FAR_WINDOW_MAX]; /* what was asked for in the newest fault */

static struct {
    unsigned missed, late, fetched, hits, wasted;
} count;

/* What is remembered is in the prefetcher's own file: another place is another world. */
static virt_t base = BASE;

static void leave(void)
{
    uint32_t page = fifo[fifo_first++ % PAGES];

    fifo_nr--;
    count.wasted += place[page] == UNUSED || place[page] == COMING;
    place[page] = AWAY;
}

static void enter(uint32_t page, enum place p)
{
    if (fifo_nr == local)
        leave();
    fifo[(fifo_first + fifo_nr++) % PAGES] = page;
    place[page] = p;
    arrives[page] = now + latency;
}

bool far_want(virt_t va)
{
    uint32_t page = (uint32_t)((va - base) / PAGE_SIZE);

    assert_int_equal(va % PAGE_SIZE, 0);
    assert_in_range(va, current.start, current.end - 1);
    assert_true(va != current.va);
    assert_true(asked_now < current.room && asked_now < FAR_WINDOW_MAX);
    list[asked_now++] = page;
    if (place[page] != AWAY)
        return false;
    enter(page, COMING);
    count.fetched++;
    return true;
}

bool far_was_used(virt_t va)
{
    uint64_t page = (va - base) / PAGE_SIZE;

    assert_int_equal(va % PAGE_SIZE, 0);
    return page < PAGES && place[page] == USED && !blind; /* others are unmapped by now */
}

static unsigned room = 64;

static void fault(const struct far_prefetcher *p, uint32_t page, bool late)
{
    asked_now = 0;
    current = (struct far_fault){.va = base + page * PAGE_SIZE,
                                 .start = base + first * PAGE_SIZE,
                                 .end = base + end * PAGE_SIZE,
                                 .late = late,
                                 .room = room};
    p->fault(&current);
    assert_in_range(asked_now, 0, room);
    assert_in_range(asked_now, 0, far_prefetch_window);
}

static void touch(const struct far_prefetcher *p, uint32_t page)
{
    bool late;

    now++;
    assert_true(page < PAGES);
    if (place[page] == COMING && now >= arrives[page])
        place[page] = UNUSED;
    if (place[page] == UNUSED)
        count.hits++;
    if (place[page] >= UNUSED) {
        place[page] = USED;
        return;
    }
    late = place[page] == COMING;
    if (late) {
        count.late++;
        count.hits++;
    } else {
        count.missed++;
        enter(page, COMING);
    }
    fault(p, page, late);
    place[page] = USED;
}

/* Everything is away again, and nothing is remembered of these addresses. */
static void world(unsigned local_pages, unsigned late_by)
{
    memset(place, AWAY, sizeof(place));
    memset(&count, 0, sizeof(count));
    fifo_first = fifo_nr = 0;
    local = local_pages;
    latency = late_by;
    first = 0;
    end = PAGES;
    room = 64;
    blind = false;
    far_prefetch_window = FAR_WINDOW_DEFAULT;
    base += 1ul << 40;
    if (base > USER_MAX / 2)
        base = 1ul << 40;
}

/* The state of the trend is global: so much noise that nothing of what was before is left. */
static void forget(const struct far_prefetcher *p)
{
    world(256, 0);
    for (unsigned i = 0; i < 200; i++)
        touch(p, below(PAGES));
}

/* ---- Single faults, with what each asks for ---- */

/* The page is missed, or late; then n pages are asked for, the first of them at `from`. */
static void asks(const struct far_prefetcher *p, uint32_t page, bool late, uint32_t from, int step,
                 unsigned n)
{
    fault(p, page, late);
    place[page] = USED;
    if (asked_now != n || (n > 0 && list[0] != from))
        fail_msg("%s, fault %u: %u asked for from %u on, not %u from %u", p->name, page, asked_now,
                 list[0], n, from);
    for (unsigned i = 1; i < n; i++)
        assert_int_equal(list[i], from + i * (uint32_t)step);
}

/* What becomes of n pages. */
static void are(enum place what, uint32_t from, unsigned n)
{
    memset(place + from, what, n);
}

#define SEQ &far_prefetch_sequential

/* A run of which the newest fault was at 115; 116 to 131 are asked for. */
static void start_run(void)
{
    forget(SEQ);
    world(PAGES, 0);
    asks(SEQ, 100, false, 0, 1, 0);
    asks(SEQ, 101, false, 102, 1, 4);
    are(USED, 102, 4);
    asks(SEQ, 106, false, 107, 1, 8);
    are(USED, 107, 8);
    asks(SEQ, 115, false, 116, 1, 16);
}

static void run_late(void **state)
{
    start_run();
    asks(SEQ, 116, true, 0, 1, 0); /* 15 are still coming */
    are(USED, 117, 5);
    asks(SEQ, 122, true, 0, 1, 0); /* 9 */
    asks(SEQ, 123, true, 132, 1, 8);
    are(USED, 124, 8);
    asks(SEQ, 132, true, 140, 1, 25); /* 16 hits and more: 32 pages from there on */
}

static void run_judged(void **state)
{
    /* used of 16: twice, the same and, where the fault is not at the edge, half as many again */
    for (unsigned used = 0; used <= 16; used++) {
        start_run();
        are(UNUSED, 116, 16);
        are(USED, 116, used);
        asks(SEQ, 132, false, 133, 1, used > 12 ? 32 : 16);
        start_run();
        are(AWAY, 116, 16);
        are(USED, 116, used);
        asks(SEQ, 135, false, 136, 1, used > 12 ? 32 : used < 8 ? 8 : 16);
    }
    /* What was judged is not judged again. */
    start_run();
    are(USED, 116, 8);
    asks(SEQ, 124, true, 132, 1, 9);
    are(UNUSED, 125, 16);
    asks(SEQ, 141, false, 142, 1, 16); /* 9 of 25 */
    /* A page of the run that came and went again before it was used is no hit. */
    start_run();
    for (uint32_t page = 116; page < 135; page++)
        asks(SEQ, page, false, 132, 1, page == 123 ? 8 : 0);
    asks(SEQ, 135, false, 140, 1, 4);
}

static void run_finds_pages_here(void **state)
{
    /* All of a window: it tells nothing. */
    forget(SEQ);
    world(PAGES, 0);
    are(USED, 102, 10);
    asks(SEQ, 100, false, 0, 1, 0);
    asks(SEQ, 101, false, 102, 1, 4);
    asks(SEQ, 106, false, 107, 1, 4);
    /* All but two: they are enough. */
    are(UNUSED, 109, 1);
    are(USED, 110, 1);
    forget(SEQ);
    world(PAGES, 0);
    are(USED, 102, 2);
    asks(SEQ, 100, false, 0, 1, 0);
    asks(SEQ, 101, false, 102, 1, 4);
    are(USED, 104, 2);
    asks(SEQ, 106, false, 107, 1, 8);
}

/* A run that has lost its window is a single page again, from which one can go either way. */
static void run_ends(void **state)
{
    forget(SEQ);
    world(PAGES, 0);
    asks(SEQ, 100, false, 0, 1, 0);
    asks(SEQ, 101, false, 102, 1, 4);
    are(UNUSED, 102, 4);
    asks(SEQ, 108, false, 109, 1, 2);
    are(UNUSED, 109, 2);
    asks(SEQ, 112, false, 113, 1, 1);
    are(UNUSED, 113, 1);
    asks(SEQ, 115, false, 0, 1, 0);
    asks(SEQ, 114, false, 113, -1, 4);
}

static void runs_are_kept_apart(void **state)
{
    /* A page where nothing went on does not take a run's fault away, whichever was there first. */
    for (unsigned k = 0; k < 16; k++) {
        forget(SEQ);
        world(PAGES, 0);
        for (uint32_t i = 0; i < k; i++)
            asks(SEQ, 1000 * (i + 1), false, 0, 1, 0);
        asks(SEQ, 114, false, 0, 1, 0);
        asks(SEQ, 100, false, 0, 1, 0);
        asks(SEQ, 101, false, 102, 1, 4);
        are(USED, 102, 4);
        asks(SEQ, 106, false, 107, 1, 8);
        are(USED, 107, 8);
        asks(SEQ, 115, false, 116, 1, 16);
    }
    /* A page missed again and again is one. */
    forget(SEQ);
    world(PAGES, 0);
    asks(SEQ, 100, false, 0, 1, 0);
    for (unsigned i = 0; i < 100; i++)
        asks(SEQ, 5000, false, 0, 1, 0);
    asks(SEQ, 101, false, 102, 1, 4);
    /* Of those with a window the one that was quiet for longest goes. */
    forget(SEQ);
    world(PAGES, 0);
    asks(SEQ, 100, false, 0, 1, 0);
    asks(SEQ, 101, false, 102, 1, 4);
    for (uint32_t i = 0; i < 50; i++) {
        asks(SEQ, 1000 + 1000 * i, false, 0, 1, 0);
        asks(SEQ, 1001 + 1000 * i, false, 1002 + 1000 * i, 1, 4);
        are(USED, 100, 500);
        fault(SEQ, 106 + 5 * i, false);
        if (asked_now == 0)
            fail_msg("forgotten after %u others", i);
    }
}

#define TREND &far_prefetch_trend

/* Five pages, 3 apart, up to 112, are missed: that is a trend once noise has left the newest 8. */
static void trend_is_found(void **state)
{
    static const uint8_t steps[] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,  7,  7,  7, 7,
                                    7, 7, 7, 7, 7, 9, 9, 9, 9, 9, 30, 31, 33, 50};
    uint32_t at;

    forget(TREND);
    world(PAGES, 0);
    for (uint32_t i = 0; i < 5; i++)
        asks(TREND, 100 + 3 * i, false, 0, 3, 0); /* 4 of 8 */
    asks(TREND, 115, false, 0, 3, 0);             /* now 5, but none was expected there */
    asks(TREND, 118, false, 121, 3, 1);
    /* A page missed again tells nothing. */
    for (unsigned i = 0; i < 20; i++)
        fault(TREND, 118, false);
    asks(TREND, 121, false, 124, 3, 1);
    /* With something else in front of it, that the vote has to get rid of. */
    forget(TREND);
    world(PAGES, 0);
    for (uint32_t i = 0; i < 5; i++)
        asks(TREND, 1000 + 5 * i, false, 0, 5, 0);
    asks(TREND, 30000, false, 0, 5, 0);
    asks(TREND, 30005, false, 0, 5, 0);
    asks(TREND, 30010, false, 30015, 5, 1);
    /* A page missed twice is one. */
    forget(TREND);
    world(PAGES, 0);
    for (uint32_t i = 0; i < 12; i++)
        asks(TREND, 1000 + i / 2 * 6, false, 0, 6, 0);
    asks(TREND, 1036, false, 1042, 6, 1);
    /* The newest trend stays until there is another. */
    forget(TREND);
    world(PAGES, 0);
    asks(TREND, 1000, false, 0, 6, 0);
    asks(TREND, 1006, false, 1012, 6, 1);
    /* None in the newest 8 and 16, but in 32. */
    forget(TREND);
    world(PAGES, 0);
    at = 1000;
    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
        fault(TREND, at += steps[i], false);
    asks(TREND, at + 7, false, at + 14, 7, 1);
}

/* The trend is 3; the newest fault was at 175, and 16 pages from 178 on are asked for. */
static void start_trend(void)
{
    uint32_t at = 118;

    forget(TREND);
    world(PAGES, 0);
    for (uint32_t i = 0; i < 6; i++)
        fault(TREND, 100 + 3 * i, false);
    asks(TREND, 118, false, 121, 3, 1);
    for (unsigned n = 1; n <= 8; n *= 2) {
        are(USED, at + 1, 3 * n);
        at += 3 * (n + 1);
        asks(TREND, at, false, at + 3, 3, 2 * n);
    }
}

static void trend_window(void **state)
{
    const uint32_t at = 175;

    /* used of 16, then the page behind them */
    for (unsigned used = 0; used <= 16; used++) {
        start_trend();
        for (unsigned i = 1; i <= 16; i++)
            place[at + 3 * i] = i <= used ? USED : UNUSED;
        asks(TREND, at + 51, false, at + 54, 3, used < 8 ? 8 : used < 16 ? 16 : 32);
    }
    /* Pages that are here already are no hits. */
    start_trend();
    for (unsigned i = 1; i <= 8; i++)
        place[at + 3 * i] = USED;
    are(USED, 227, 100);
    asks(TREND, 226, false, 229, 3, 16);
    asks(TREND, 277, false, 280, 3, 8);
    /* Nothing is used any more: it ends, not at once. */
    start_trend();
    for (unsigned n = 8; n > 0; n /= 2)
        asks(TREND, 20000 + 1000 * n, false, 20003 + 1000 * n, 3, n);
    asks(TREND, 50000, false, 0, 3, 0);
}

static void trend_late(void **state)
{
    const uint32_t at = 175;

    start_trend();
    asks(TREND, at + 3, true, 0, 3, 0);
    for (unsigned i = 2; i < 7; i++)
        place[at + 3 * i] = USED;
    asks(TREND, at + 21, true, 0, 3, 0);       /* 9 are still coming */
    asks(TREND, at + 24, true, at + 51, 3, 8); /* 8 hits, 8 left: 16 */
    /* What is left counts for the next window, once. */
    for (unsigned i = 9; i <= 24; i++)
        place[at + 3 * i] = USED;
    asks(TREND, at + 75, false, at + 78, 3, 32);
    /* A page that came and went again: from there anew. */
    start_trend();
    are(AWAY, at + 1, 100);
    asks(TREND, at + 3, false, at + 6, 3, 8);
    /* Pages of a batch count once: 7. */
    start_trend();
    are(USED, at + 1, 15);
    asks(TREND, at + 18, true, 0, 3, 0);
    asks(TREND, at + 21, true, 0, 3, 0);
    asks(TREND, 40000, false, 40003, 3, 8);
}

/* ---- Whole programs ---- */

static const struct far_prefetcher *const both[] = {&far_prefetch_sequential, &far_prefetch_trend};

static void none_asks_for_nothing(void **state)
{
    world(1024, 0);
    for (unsigned i = 0; i < 4096; i++)
        touch(&far_prefetch_none, i);
    assert_int_equal(count.fetched, 0);
    assert_int_equal(count.missed, 4096);
}

/* n pages from `from` on, `step` apart; few are missed, and nearly none are fetched for nothing. */
static void scan(const struct far_prefetcher *p, uint32_t from, int step, unsigned n,
                 unsigned misses)
{
    for (unsigned i = 0; i < n; i++)
        touch(p, from + i * (uint32_t)step);
    if (count.missed > misses)
        fail_msg("%s: step %d: %u of %u missed", p->name, step, count.missed, n);
    assert_true(count.fetched - count.hits <= far_prefetch_window);
}

static void sequences(void **state)
{
    for (unsigned k = 0; k < ARRAY_SIZE(both); k++)
        for (int step = -1; step <= 1; step += 2)
            for (unsigned size = 64; size <= 4096; size *= 4) {
                forget(both[k]);
                world(size, 0);
                /* one in 33, and the start */
                scan(both[k], step > 0 ? 100 : 9000, step, 8000, 8000 / 33 + 20);
            }
}

/* Where pages come later than they are used, the next ones are asked for in time: only the start is
 * missed, and about one fault in half a window finds its page on the way. */
static void late_pages(void **state)
{
    for (unsigned k = 0; k < ARRAY_SIZE(both); k++)
        for (int step = -1; step <= 1; step += 2) {
            forget(both[k]);
            world(1024, 10);
            scan(both[k], step > 0 ? 100 : 9000, step, 8000, 8000 / 33 + 30);
            forget(both[k]);
            world(1024, 40);
            scan(both[k], step > 0 ? 100 : 9000, step, 8000, 40);
            assert_true(count.late > 8000 / 40);
        }
}

static void any_stride(void **state)
{
    static const int steps[] = {2, 3, 7, -2, -5, 8, 13, -16};

    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        unsigned n = 60000 / (unsigned)abs(steps[i]);

        for (unsigned late_by = 0; late_by <= 40; late_by += 20) {
            forget(&far_prefetch_trend);
            world(1024, late_by);
            scan(&far_prefetch_trend, steps[i] > 0 ? 100 : 65000, steps[i], n, n / 33 + 40);
        }
    }
    /* A stride that is none: sequential does not take it for one. */
    forget(&far_prefetch_sequential);
    world(1024, 0);
    for (unsigned i = 0; i < 1000; i++)
        touch(&far_prefetch_sequential, i * 3);
    assert_int_equal(count.fetched, 0);
}

/* Irregular accesses among regular ones do not hide a trend, as long as they are fewer. But each of
 * them looks to trend like a jump to where the trend goes on, as in the paper: that is its price.
 */
static void noise(void **state)
{
    for (unsigned k = 0; k < ARRAY_SIZE(both); k++) {
        unsigned regular = 0, random = 0;

        forget(both[k]);
        world(2048, 0);
        for (unsigned i = 0; i < 20000; i++)
            if (below(10) == 0) {
                touch(both[k], 40000 + below(PAGES - 40000));
                random++;
            } else {
                touch(both[k], regular++);
            }
        /* Of the regular ones fewer than a fifth are missed (trend: most windows are cut short). */
        if (count.missed > random + regular / 5)
            fail_msg("%s: %u of %u missed, %u at random", both[k]->name, count.missed, regular,
                     random);
        if (count.wasted > (k == 0 ? 20000 / 50 : 20000 / 2))
            fail_msg("%s: %u of %u wasted", both[k]->name, count.wasted, count.fetched);
    }
}

/* Several scans at once, as many as there are runs for, in both directions and at any pace. */
static void interleaved(void **state)
{
    for (unsigned streams = 2; streams <= 12; streams += 2) {
        uint32_t at[12];
        unsigned n = 0;

        forget(&far_prefetch_sequential);
        world(2048, 5);
        for (unsigned i = 0; i < streams; i++)
            at[i] = 2500 + 5000 * i;
        for (unsigned i = 0; i < 2000 * streams; i++) {
            uint32_t s = below(streams);

            if (at[s] % 5000 == 4999 || at[s] % 5000 == 0)
                continue;
            touch(&far_prefetch_sequential, s % 2 ? at[s]-- : at[s]++);
            n++;
        }
        if (count.missed > n / 15 + streams * 8)
            fail_msg("%u streams: %u of %u missed", streams, count.missed, n);
        assert_true(count.fetched - count.hits <= streams * far_prefetch_window);
    }
}

/* A scan among four times as many random accesses keeps its window. */
static void scan_in_a_crowd(void **state)
{
    unsigned random = 0, n = 0;

    forget(&far_prefetch_sequential);
    world(4096, 0);
    for (unsigned i = 0; i < 50000; i++)
        if (i % 5) {
            touch(&far_prefetch_sequential, 20000 + below(PAGES - 20000));
            random++;
        } else {
            touch(&far_prefetch_sequential, n++);
        }
    if (count.missed > random + n / 15)
        fail_msg("%u missed, %u at random, %u in order", count.missed, random, n);
}

/* Pages of the scan that are here make holes in its faults, and no end of it. */
static void partly_local(void **state)
{
    unsigned here = 0;

    forget(&far_prefetch_sequential);
    world(PAGES, 0);
    for (unsigned i = 0; i < 20000; i++)
        if (below(3) == 0) {
            enter(i, USED);
            here++;
        }
    for (unsigned i = 0; i < 20000; i++)
        touch(&far_prefetch_sequential, i);
    assert_true(count.missed < (20000 - here) / 15);
}

/* Nearly nothing is fetched for random accesses, and that is bound whatever was before. */
static void random_accesses(void **state)
{
    for (unsigned k = 0; k < ARRAY_SIZE(both); k++)
        for (unsigned before = 0; before < 2; before++) {
            forget(both[k]);
            world(4096, 3);
            for (unsigned i = 0; before && i < 2000; i++)
                touch(both[k], i);
            memset(&count, 0, sizeof(count));
            for (unsigned i = 0; i < 50000; i++)
                touch(both[k], below(PAGES));
            if (count.fetched > count.missed / 50 + 2 * FAR_WINDOW_DEFAULT)
                fail_msg("%s: %u fetched, %u missed", both[k]->name, count.fetched, count.missed);
        }
}

/* Half of the pages are here and hot: that those are used is no hit of the prefetcher. */
static void random_among_local(void **state)
{
    for (unsigned k = 0; k < ARRAY_SIZE(both); k++) {
        forget(both[k]);
        world(PAGES, 0);
        for (unsigned i = 0; i < PAGES; i++)
            if (below(4))
                enter(i, USED);
        for (unsigned i = 0; i < 12000; i++)
            touch(both[k], below(PAGES));
        if (count.fetched > count.missed / 20 + FAR_WINDOW_DEFAULT)
            fail_msg("%s: %u fetched, %u missed", both[k]->name, count.fetched, count.missed);
    }
}

/* Values of a few pages each, read in order, lie anywhere: what is fetched beyond their ends is
 * less than what was used. */
static void short_runs(void **state)
{
    for (unsigned k = 0; k < ARRAY_SIZE(both); k++) {
        unsigned used = 0;

        forget(both[k]);
        world(2048, 2);
        for (unsigned i = 0; i < 2000; i++) {
            uint32_t start = below(PAGES - 64), n = 1 + below(32);

            for (uint32_t page = start; page < start + n; page++)
                touch(both[k], page);
            used += n;
        }
        if (count.fetched - count.hits > (k == 0 ? used / 2 : used))
            fail_msg("%s: %u of %u pages for nothing", both[k]->name, count.fetched - count.hits,
                     used);
        if (k == 0) /* trend needs some accesses to see one */
            assert_true(count.missed < used / 2);
    }
}

/* A window whose pages nobody uses shrinks to nothing. */
static void shrinks(void **state)
{
    for (unsigned k = 0; k < ARRAY_SIZE(both); k++) {
        forget(both[k]);
        world(PAGES, 0);
        for (unsigned i = 0; i < 2000; i++)
            touch(both[k], i);
        /* Now every eighth page only, behind where it has asked. */
        memset(&count, 0, sizeof(count));
        for (unsigned i = 2040; i < 30000; i += 5 + below(9))
            touch(both[k], i);
        if (count.fetched - count.hits > (k == 0 ? 100 : 500))
            fail_msg("%s: %u fetched, %u used", both[k]->name, count.fetched, count.hits);
    }
}

/* The fault behind the last page of a window tells enough of it: without accessed bits a window is
 * at least kept. */
static void blind_bits(void **state)
{
    forget(&far_prefetch_sequential);
    world(1024, 0);
    for (unsigned i = 0; i < 2000; i++)
        touch(&far_prefetch_sequential, i);
    blind = true;
    memset(&count, 0, sizeof(count));
    for (unsigned i = 2000; i < 10000; i++)
        touch(&far_prefetch_sequential, i);
    assert_in_range(count.missed, 0, 8000 / 32);
}

/* Little room, ends of mappings, small windows: in touch() and far_want(). */
static void bounds(void **state)
{
    static const unsigned windows[] = {1, 2, 3, 5, 32, 33, 63, 64};

    for (unsigned k = 0; k < ARRAY_SIZE(both); k++)
        for (unsigned w = 0; w < ARRAY_SIZE(windows); w++)
            for (unsigned run = 0; run < 300; run++) {
                int step = run % 2 ? -1 : 1;
                uint32_t at;

                if (run % 50 == 0)
                    world(64 + below(300), below(50));
                far_prefetch_window = windows[w];
                first = below(PAGES - 300);
                end = first + 1 + below(300);
                if (k == 1)
                    step *= 1 + (int)below(4);
                at = step > 0 ? first : end - 1;
                for (; at >= first && at < end && at < PAGES; at += (uint32_t)step) {
                    room = below(3) ? 64 : below(8);
                    touch(both[k], at);
                    if (below(16) == 0)
                        touch(both[k], first + below(end - first));
                }
            }
}

/* A larger window is used in full. */
static void window_is_the_limit(void **state)
{
    for (unsigned k = 0; k < ARRAY_SIZE(both); k++)
        for (unsigned w = 4; w <= FAR_WINDOW_MAX; w *= 2) {
            forget(both[k]);
            world(1024, 0);
            far_prefetch_window = w;
            for (unsigned i = 0; i < 1000; i++)
                touch(both[k], i);
            memset(&count, 0, sizeof(count));
            for (unsigned i = 1000; i < 1000 + 10 * (w + 1); i++)
                touch(both[k], i);
            assert_int_equal(count.missed, 10);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_late),
        cmocka_unit_test(run_judged),
        cmocka_unit_test(run_finds_pages_here),
        cmocka_unit_test(run_ends),
        cmocka_unit_test(runs_are_kept_apart),
        cmocka_unit_test(trend_is_found),
        cmocka_unit_test(trend_window),
        cmocka_unit_test(trend_late),
        cmocka_unit_test(none_asks_for_nothing),
        cmocka_unit_test(sequences),
        cmocka_unit_test(late_pages),
        cmocka_unit_test(any_stride),
        cmocka_unit_test(noise),
        cmocka_unit_test(interleaved),
        cmocka_unit_test(scan_in_a_crowd),
        cmocka_unit_test(partly_local),
        cmocka_unit_test(random_accesses),
        cmocka_unit_test(random_among_local),
        cmocka_unit_test(short_runs),
        cmocka_unit_test(shrinks),
        cmocka_unit_test(blind_bits),
        cmocka_unit_test(bounds),
        cmocka_unit_test(window_is_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
