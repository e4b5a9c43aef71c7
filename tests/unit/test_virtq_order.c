// unit: kernel/drivers/virtio/virtq.c kernel/drivers/virtio/virtq_packed.c
/*
 * Proves of indirect descriptors that chains of several segments take one place of the ring, so
 * that it holds as many chains as descriptors and stays in order; and of devices that are in order
 * that every buffer of a batch comes back once, in order, with the length that the specification
 * gives it, that runs never touch a place without an entry, and that false batches break the queue
 * but nothing else.
 */
#include "virtq_device.h"

#define TABLE_LEN 5u /* shorter than the longest chain */
#define COOKIES   4096u

enum { PACKED = 1, EVENT_IDX = 2, TABLED = 4, ORDERED = 8 };

static struct device *device_of(unsigned size, unsigned mode, unsigned table_len)
{
    struct device *d = device_new(size, mode & PACKED, mode & EVENT_IDX);

    if (mode & TABLED)
        device_tables(d, table_len);
    if (mode & ORDERED)
        virtq_set_in_order(&d->vq);
    return d;
}

/* What is in flight, in the order in which it was added. */
struct fifo {
    uintptr_t cookie[COOKIES];
    uint32_t len[COOKIES]; /* 1 + the bytes that were written, once it is known */
    unsigned first, n;
};

static struct fifo f;

static unsigned at(unsigned i)
{
    return (f.first + i) % COOKIES;
}

/* The device completes n buffers, from the i-th in flight on, the last of them with a length. */
static void complete_in_order(struct device *d, unsigned n, unsigned i)
{
    uint32_t len = rnd(d->held[n - 1].wlen + 1);

    for (unsigned k = 0; k < n; k++) {
        assert_int_equal(d->held[k].first_addr / 0x1000, f.cookie[at(i + k)]);
        f.len[at(i + k)] = 1 + (k + 1 < n ? d->held[k].wlen : len);
    }
    complete_batch(d, n, len);
}

static unsigned descriptors(const struct device *d, unsigned n, unsigned mode)
{
    return n > 1 && mode & TABLED && n <= MIN(TABLE_LEN, d->size) ? 1 : n;
}

/* Chains of all lengths, into the ring or into tables, back in any order. */
static void chains(unsigned size, unsigned mode)
{
    struct device *d = device_of(size, mode, TABLE_LEN);
    static bool live[COOKIES];
    unsigned max = MIN(size, MAX_CHAIN), used = 0, asides = 0;
    uintptr_t next = 1;

    memset(live, 0, sizeof(live));
    for (unsigned done = 0; done < 60000;) {
        for (unsigned k = rnd(4); k > 0; k--) {
            unsigned n = 1 + rnd(max), takes = descriptors(d, n, mode);
            bool fits = virtq_fits(&d->vq, n);

            while (live[next])
                next = next % (COOKIES - 1) + 1;
            assert_int_equal(fits, used + takes <= size);
            assert_int_equal(add(d, n, rnd(n + 1), next), fits ? 0 : -ENOSPC);
            if (fits) {
                live[next] = true;
                used += takes;
                asides += takes < n;
            }
            assert_int_equal(virtq_nfree(&d->vq), size - used);
        }
        virtq_kick(&d->vq);
        fetch(d);
        for (unsigned k = rnd(5); k > 0 && d->nr_held; k--) {
            unsigned i = rnd(d->nr_held), takes = d->held[i].n;
            uint32_t len = rnd(d->held[i].wlen + 1), got;
            uintptr_t cookie = d->held[i].first_addr / 0x1000;

            assert_int_equal(takes, descriptors(d, d->held[i].segs, mode));
            complete(d, i, len);
            assert_int_equal((uintptr_t)virtq_pop(&d->vq, &got), cookie);
            assert_int_equal(got, len);
            assert_true(live[cookie]);
            live[cookie] = false;
            used -= takes;
            done++;
        }
    }
    assert_true(asides > 1000 || !(mode & TABLED) || size == 1);
    assert_int_equal(d->vq.stats.bad + d->vq.stats.bad_len, 0);
    device_free(d);
}

static void chains_come_back_once_with_tables_and_without(void **s)
{
    static const unsigned sizes[] = {1, 2, 4, 8, 64, 256};

    (void)s;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
        for (unsigned mode = 0; mode < 8; mode++)
            chains(sizes[i], mode);
    chains(7, PACKED | TABLED); /* packed rings may have any size */
}

static void a_ring_holds_as_many_chains_as_descriptors_and_stays_in_order(void **s)
{
    (void)s;
    for (unsigned mode = TABLED; mode < 16; mode = (mode + 1) | TABLED) {
        struct device *d = device_of(256, mode, MAX_CHAIN);
        uint32_t len;

        for (uintptr_t c = 1; c <= 256; c++)
            assert_int_equal(add(d, 1 + c % MAX_CHAIN, c % 2, c), 0);
        assert_int_equal(virtq_nfree(&d->vq), 0);
        assert_int_equal(add(d, 3, 0, 1), -ENOSPC);
        for (unsigned lap = 0; lap < 300; lap++) {
            unsigned n = 1 + rnd(256);

            virtq_kick(&d->vq);
            fetch(d);
            assert_int_equal(d->nr_held, 256);
            for (unsigned i = 0; i < n; i++) {
                complete_batch(d, 1, 0);
                assert_non_null(virtq_pop(&d->vq, &len));
            }
            for (unsigned i = 0; i < n; i++)
                assert_int_equal(add(d, 1 + rnd(MAX_CHAIN), 0, 1), 0);
            assert_int_equal(d->vq.disorder, 0);
        }
        device_free(d);
    }
}

static void hostile_length_of_a_table_is_cut(void **s)
{
    (void)s;
    for (unsigned mode = TABLED; mode < 16; mode = (mode + 1) | TABLED) {
        struct device *d = device_of(8, mode, MAX_CHAIN);
        uint32_t len;

        assert_int_equal(add(d, 5, 3, 1), 0); /* 300 bytes; the table itself has more than 300 */
        assert_int_equal(add(d, 8, 0, 2), 0);
        virtq_kick(&d->vq);
        fetch(d);
        complete_batch(d, 1, 301);
        complete_batch(d, 1, 16);
        assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)1);
        assert_int_equal(len, 300);
        assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)2);
        assert_int_equal(len, 0);
        assert_int_equal(d->vq.stats.bad_len, 2);
        device_free(d);
    }
}

/* The device changes the tables behind our back: nothing is read from them. */
static void hostile_tables_do_not_matter(void **s)
{
    (void)s;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct device *d = device_of(8, TABLED | packed, MAX_CHAIN);
        uint32_t len;

        add(d, 3, 1, 1);
        add(d, 4, 0, 2);
        virtq_kick(&d->vq);
        fetch(d);
        memset(d->tables, 0xff, 8 * MAX_CHAIN * 16);
        complete_batch(d, 1, 0xffff);
        complete_batch(d, 1, 0);
        assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)1);
        assert_int_equal(len, 100);
        assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)2);
        assert_int_equal(virtq_nfree(&d->vq), 8);
        assert_int_equal(add(d, 8, 0, 3), 0);
        virtq_kick(&d->vq);
        fetch(d); /* which looks at the table */
        assert_int_equal(d->held[0].segs, 8);
        device_free(d);
    }
}

/* ---- In order ---- */

/* Random batches over many laps: each buffer comes back in its turn, its length as §2.7.9 has it.
 */
static void batches(unsigned size, unsigned mode)
{
    struct device *d = device_of(size, mode | ORDERED, TABLE_LEN);
    unsigned max = mode & PACKED ? MIN(size, MAX_CHAIN) : mode & TABLED ? MIN(size, TABLE_LEN) : 1;
    unsigned completed = 0, in_batches = 0;
    uintptr_t next = 0;
    uint32_t id, len;

    f.first = f.n = 0;
    for (unsigned done = 0; done < 60000;) {
        for (unsigned k = rnd(2 * MIN(size, 40u)); k > 0; k--) {
            unsigned n = 1 + rnd(max);
            bool fits = virtq_fits(&d->vq, n);

            next = next % (COOKIES - 1) + 1;
            assert_int_equal(add(d, n, rnd(n + 1), next), fits ? 0 : -ENOSPC);
            if (fits)
                f.cookie[at(f.n++)] = next;
        }
        virtq_kick(&d->vq);
        fetch(d);
        assert_int_equal(completed + d->nr_held, f.n);
        for (unsigned k = rnd(4); k > 0 && d->nr_held > 0; k--) {
            unsigned n = 1 + rnd(rnd(2) ? d->nr_held : MIN(d->nr_held, 3u));

            complete_in_order(d, n, completed);
            completed += n;
            in_batches += n > 1;
        }
        for (unsigned k = rnd(2 * size); k > 0 && completed > 0; k--, completed--, done++) {
            assert_true(virtq_pending(&d->vq));
            assert_false(virtq_enable_irq(&d->vq));
            if (!(mode & PACKED))
                assert_int_equal((uintptr_t)virtq_look(&d->vq), f.cookie[at(0)]);
            assert_int_equal((uintptr_t)virtq_peek(&d->vq, &id, &len), f.cookie[at(0)]);
            assert_int_equal(len, f.len[at(0)] - 1);
            f.first++;
            f.n--;
            if (!(mode & PACKED) && d->vq.nfree == 0 && rnd(2)) { /* its place to another */
                next = next % (COOKIES - 1) + 1;
                assert_int_equal(virtq_exchange(&d->vq, id, next * 0x1000, 64,
                                                rnd(2) ? VIRTQ_WRITE : VIRTQ_READ, (void *)next),
                                 0);
                f.cookie[at(f.n++)] = next;
            } else {
                virtq_release(&d->vq, id);
            }
        }
        if (completed == 0) {
            assert_null(virtq_peek(&d->vq, &id, &len));
            assert_true(virtq_enable_irq(&d->vq));
        }
    }
    assert_true(in_batches > 100 || size == 1);
    assert_int_equal(d->vq.stats.bad + d->vq.stats.bad_len, 0);
    device_free(d);
}

static void batches_come_back_in_order_with_their_lengths(void **s)
{
    static const unsigned sizes[] = {1, 2, 4, 8, 64, 256};

    (void)s;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
        for (unsigned mode = 0; mode < 8; mode++)
            batches(sizes[i], mode);
    batches(7, PACKED);
    batches(7, PACKED | TABLED);
}

/* Runs as <wherry/burst.h> makes them, on a full ring of one-segment buffers whose device leaves
 * entries out: what stands there is of earlier laps, and names its place. */
static void runs_pass_over_single_completions_only(void **s)
{
    struct device *d = device_of(64, TABLED | ORDERED | EVENT_IDX, TABLE_LEN);
    unsigned completed = 0, ran = 0, taken = 0;
    uintptr_t next = 0;

    (void)s;
    f.first = f.n = 0;
    while (f.n < 64) {
        f.cookie[at(f.n++)] = ++next;
        assert_int_equal(add(d, 1, 1, next), 0);
    }
    while (taken < 200000 || ran < 200000) {
        virtq_kick(&d->vq);
        fetch(d);
        for (unsigned k = rnd(20); k > 0 && d->nr_held > 0; k--) {
            unsigned n = rnd(8) ? 1 : 1 + rnd(d->nr_held);

            complete_in_order(d, n, completed);
            completed += n;
        }
        if (rnd(3)) {
            uint32_t pos, n = virtq_run_begin(&d->vq, rnd(70), &pos), i;

            assert_true(n <= completed);
            for (i = 0; i < n; i++, pos++) {
                uint32_t e[2];

                memcpy(e, used(d) + 4 + 8 * pos, 8);
                if (e[0] != pos)
                    break;
                assert_int_equal((uintptr_t)d->slots[pos].cookie, f.cookie[at(0)]);
                assert_int_equal(e[1], f.len[at(0)] - 1);
                next = next % (COOKIES - 1) + 1;
                f.first++;
                f.cookie[at(63)] = next;
                d->slots[pos].cookie = (void *)next;
                ((struct vring_desc *)d->ring)[pos].addr = next * 0x1000;
            }
            virtq_run_end(&d->vq, i);
            completed -= i;
            ran += i;
        } else if (completed > 0) { /* often in the middle of a batch */
            uint32_t id, len;

            assert_int_equal((uintptr_t)virtq_peek(&d->vq, &id, &len), f.cookie[at(0)]);
            assert_int_equal(len, f.len[at(0)] - 1);
            next = next % (COOKIES - 1) + 1;
            f.first++;
            f.cookie[at(63)] = next;
            assert_int_equal(
                virtq_exchange(&d->vq, id, next * 0x1000, 100, VIRTQ_WRITE, (void *)next), 0);
            completed--;
            taken++;
        }
    }
    assert_int_equal(d->vq.stats.bad + d->vq.stats.bad_len, 0);
    device_free(d);
}

/* A queue broke, and gives back the cookies of this set. */
static void assert_broken(struct device *d, unsigned expect)
{
    unsigned seen = 0;
    uint32_t len;

    assert_true(d->vq.broken);
    assert_int_equal(d->vq.stats.bad, 1);
    assert_null(virtq_pop(&d->vq, &len));
    assert_false(virtq_pending(&d->vq));
    assert_int_equal(add(d, 1, 0, 9), -EIO);
    assert_int_equal(add(d, 2, 0, 9), -EIO);
    for (uintptr_t c; (c = (uintptr_t)virtq_detach(&d->vq)) != 0;) {
        assert_false(seen & 1u << c);
        seen |= 1u << c;
    }
    assert_int_equal(seen, expect);
    device_free(d);
}

/* Buffers 1 to 5, of a segment to be written each, of 8 places, after so many others have gone by;
 * the device holds four, and was not told of the fifth. */
static struct device *five(bool packed, unsigned before)
{
    struct device *d = device_of(8, ORDERED | TABLED | (packed ? PACKED : 0), TABLE_LEN);
    uint32_t len;

    for (unsigned i = 0; i < before; i++) {
        add(d, 1, 1, 7);
        virtq_kick(&d->vq);
        fetch(d);
        complete_batch(d, 1, 77);
        assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)7);
        assert_int_equal(len, 77);
    }
    for (uintptr_t c = 1; c <= 4; c++)
        add(d, 1, 1, c);
    virtq_kick(&d->vq);
    fetch(d);
    add(d, 1, 1, 5);
    return d;
}

static void say(struct device *d, uint32_t id, uint32_t len, unsigned n)
{
    char *e = used(d) + 4 + 8 * (d->used_idx % d->size);

    memcpy(e, &id, 4);
    memcpy(e + 4, &len, 4);
    d->used_idx = (uint16_t)(d->used_idx + n);
    set_used_idx(d, d->used_idx);
}

static void hostile_batches(void **s)
{
    uint32_t len;

    (void)s;
    for (unsigned before = 0; before < 20; before++) {
        uint32_t place = before % 8;
        const struct {
            uint32_t id;
            unsigned n;
        } lies[] = {
            {(place + 5) % 8, 6}, /* free */
            {(place + 7) % 8, 8}, /* free: the last that was */
            {(place + 2) % 8, 2}, /* longer than the index says */
            {8, 1},               /* no such place */
            {place + 8, 1},
            {0x80000000u + place, 1},
            {0xffffffff, 3},
        };

        for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
            struct device *d = five(false, before);

            say(d, lies[i].id, 0, lies[i].n);
            assert_null(virtq_pop(&d->vq, &len));
            assert_broken(d, 0x3e);
        }
        for (unsigned i = 5; i < 12; i++) { /* ids that are free, or none */
            struct device *d = five(true, before);

            packed_used(d, (uint16_t)(i < 8 ? (before + i) % 8 : i), 0, 1);
            assert_null(virtq_pop(&d->vq, &len));
            assert_broken(d, 0x3e);
        }
    }
}

/* The index goes on past what is in flight: what is there comes back, then the queue breaks. */
static void hostile_index_behind_a_batch(void **s)
{
    struct device *d = five(false, 3);
    uint32_t len;

    (void)s;
    say(d, (3 + 1) % 8, 50, 40000);
    assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)1);
    assert_int_equal(len, 100);
    assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)2);
    assert_int_equal(len, 50);
    assert_null(virtq_pop(&d->vq, &len)); /* the entry of buffer 3's place was never written */
    assert_broken(d, 1 << 3 | 1 << 4 | 1 << 5);
}

static void hostile_length_of_a_batch_is_cut(void **s)
{
    (void)s;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct device *d = five(packed, 5);
        uint32_t len;

        complete_batch(d, 3, 101);
        for (uintptr_t c = 1; c <= 3; c++) {
            assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)c);
            assert_int_equal(len, 100);
        }
        assert_int_equal(d->vq.stats.bad_len, 1);
        complete_batch(d, 1, 0xffffffff);
        assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)4);
        assert_int_equal(len, 100);
        assert_int_equal(d->vq.stats.bad_len, 2);
        assert_false(d->vq.broken);
        device_free(d);
    }
}

static void detach_in_the_middle_of_a_batch_returns_the_rest(void **s)
{
    (void)s;
    for (unsigned packed = 0; packed < 2; packed++)
        for (uintptr_t taken = 0; taken <= 4; taken++) {
            struct device *d = five(packed, 6);
            unsigned seen = 0;
            uint32_t len;

            complete_batch(d, 4, 9);
            for (uintptr_t c = 1; c <= taken; c++)
                assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)c);
            for (uintptr_t c; (c = (uintptr_t)virtq_detach(&d->vq)) != 0;)
                seen |= 1u << c;
            assert_int_equal(seen, 0x3e & ~((2u << taken) - 1));
            device_free(d);
        }
}

/* Without tables, or with ones that are too short, a split ring in order has no place for a chain.
 */
static void in_order_takes_no_chain_that_would_spoil_it(void **s)
{
    struct device *d = device_of(8, ORDERED, 0);

    (void)s;
    assert_false(virtq_fits(&d->vq, 2));
    assert_int_equal(add(d, 2, 0, 1), -ENOSPC);
    assert_true(virtq_fits(&d->vq, 1));
    assert_int_equal(add(d, 1, 0, 1), 0);
    device_free(d);
    d = device_of(8, ORDERED | TABLED, 3);
    assert_true(virtq_fits(&d->vq, 3));
    assert_false(virtq_fits(&d->vq, 4));
    assert_int_equal(add(d, 4, 0, 1), -ENOSPC);
    assert_int_equal(add(d, 3, 0, 1), 0);
    device_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_come_back_once_with_tables_and_without),
        cmocka_unit_test(a_ring_holds_as_many_chains_as_descriptors_and_stays_in_order),
        cmocka_unit_test(hostile_length_of_a_table_is_cut),
        cmocka_unit_test(hostile_tables_do_not_matter),
        cmocka_unit_test(batches_come_back_in_order_with_their_lengths),
        cmocka_unit_test(runs_pass_over_single_completions_only),
        cmocka_unit_test(hostile_batches),
        cmocka_unit_test(hostile_index_behind_a_batch),
        cmocka_unit_test(hostile_length_of_a_batch_is_cut),
        cmocka_unit_test(detach_in_the_middle_of_a_batch_returns_the_rest),
        cmocka_unit_test(in_order_takes_no_chain_that_would_spoil_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
