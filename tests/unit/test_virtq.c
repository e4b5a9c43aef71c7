// unit: kernel/drivers/virtio/virtq.c kernel/drivers/virtio/virtq_packed.c
/*
 * Proves that both ring formats deliver every buffer exactly once, in any order of completion and
 * across index wraps; that notifications and interrupts are asked for exactly when they are needed;
 * that a lying device can break its queue but nothing else; and that runs are offered exactly when
 * they are possible. The test plays the device, on the ring memory as the specification lays it
 * out, without the driver's structures (but those that users of runs know).
 */
#include "virtq_device.h"

/* Random traffic over many index wraps: every cookie comes back once, with its length. */
static void traffic(unsigned size, bool packed, bool event_idx)
{
    struct device *d = device_new(size, packed, event_idx);
    static uint8_t live[4096];
    uint32_t expected_len[4096] = {0};
    uintptr_t next = 1;
    unsigned in_flight = 0, max = size < MAX_CHAIN ? size : MAX_CHAIN, done = 0;

    memset(live, 0, sizeof(live));
    while (done < 200000) {
        for (unsigned k = rnd(4); k > 0; k--) {
            unsigned n = 1 + rnd(max), w = rnd(n + 1), before = virtq_nfree(&d->vq);
            while (live[next])
                next = next % 4095 + 1;
            int r = add(d, n, w, next);
            assert_int_equal(r, n <= before ? 0 : -ENOSPC);
            if (r == 0) {
                live[next] = 1;
                in_flight++;
                assert_int_equal(virtq_nfree(&d->vq), before - n);
            }
        }
        virtq_kick(&d->vq);
        fetch(d);
        for (unsigned k = rnd(5); k > 0 && d->nr_held; k--) {
            unsigned i = rnd(d->nr_held);
            uint32_t len = rnd(d->held[i].wlen + 1);
            expected_len[d->held[i].first_addr / 0x1000] = len;
            complete(d, i, len);
        }
        uint32_t len;
        unsigned exchanged = 0;
        uint32_t id;

        for (uintptr_t c; (c = (uintptr_t)virtq_peek(&d->vq, &id, &len)); done++) {
            assert_true(c < 4096 && live[c]);
            assert_int_equal(len, expected_len[c]);
            live[c] = 0;
            if (rnd(2)) { /* the descriptors of the one go on with another */
                while (live[next])
                    next = next % 4095 + 1;
                assert_int_equal(virtq_exchange(&d->vq, id, next * 0x1000, 64,
                                                rnd(2) ? VIRTQ_WRITE : VIRTQ_READ, (void *)next),
                                 0);
                live[next] = 1;
                exchanged++;
            } else {
                virtq_release(&d->vq, id);
                in_flight--;
            }
        }
        assert_int_equal(in_flight, d->nr_held + exchanged);
    }
    assert_int_equal(d->vq.stats.bad + d->vq.stats.bad_len, 0);
    device_free(d);
}

static void every_buffer_comes_back_once(void **s)
{
    static const unsigned sizes[] = {1, 2, 8, 64, 256, 1024};
    (void)s;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        for (unsigned mode = 0; mode < 4; mode++)
            traffic(sizes[i], mode & 1, mode & 2);
    traffic(7, true, true); /* packed rings may have any size */
}

/* ---- Runs ---- */

/* What of it runs may depend on, seen from outside. */
struct runs {
    struct device *d;
    uintptr_t next;
    unsigned outstanding; /* buffers, all of one descriptor each if there was no chain */
    uint32_t entries;     /* of the available ring that were looked at */
    bool disorder;        /* one of them did not name the descriptor at its place */
    uintptr_t done[256];  /* the cookies that have been completed, and how long each is, in order */
    uint32_t len[256];
    unsigned first, nr;
    bool live[4096];
    unsigned offered, taken;
};

static uintptr_t fresh_cookie(struct runs *r)
{
    do
        r->next = r->next % 4095 + 1;
    while (r->live[r->next]);
    r->live[r->next] = true;
    return r->next;
}

static void look_at_entries(struct runs *r)
{
    for (; r->entries != r->d->vq.avail_idx; r->entries++) {
        uint32_t place = r->entries % r->d->size;

        r->disorder |= avail(r->d)[2 + place] != place;
    }
}

/* The cookie that came next, and must. */
static void came(struct runs *r, uintptr_t cookie, uint32_t len)
{
    assert_true(r->nr > 0);
    assert_int_equal(cookie, r->done[r->first % 256]);
    assert_int_equal(len, r->len[r->first % 256]);
    assert_true(r->live[cookie]);
    r->live[cookie] = false;
    r->first++;
    r->nr--;
}

static void run_add(struct runs *r, unsigned n)
{
    uintptr_t c = fresh_cookie(r);

    if (add(r->d, n, n, c) == 0)
        r->outstanding++;
    else
        r->live[c] = false;
    look_at_entries(r);
}

static void run_complete(struct runs *r, unsigned k)
{
    struct device *d = r->d;
    unsigned at = (r->first + r->nr++) % 256;

    r->done[at] = d->held[k].first_addr / 0x1000;
    r->len[at] = rnd(d->held[k].wlen + 1);
    /* As complete(), but those that wait keep their order. */
    used_entry(d, d->held[k].id, r->len[at]);
    memmove(&d->held[k], &d->held[k + 1], (--d->nr_held - k) * sizeof(*d->held));
}

/* As <wherry/burst.h> does: a run as far as each completion names its place. */
static void run_take(struct runs *r, unsigned max)
{
    struct virtq *vq = &r->d->vq;
    uint32_t pos, n = virtq_run_begin(vq, max, &pos), i;
    bool can = !r->disorder && r->outstanding == r->d->size && r->nr > 0;

    if (!can) {
        assert_int_equal(n, 0);
        return;
    }
    assert_int_equal(pos, r->first % r->d->size);
    assert_int_equal(n, MIN(MIN(max, r->nr), r->d->size - pos));
    r->offered += n > 0;
    for (i = 0; i < n; i++, pos++) {
        const char *e = used(r->d) + 4 + 8 * pos;
        struct vring_desc *desc = (struct vring_desc *)r->d->ring + pos;
        uint32_t id, len;

        memcpy(&id, e, 4);
        memcpy(&len, e + 4, 4);
        if (id != pos)
            break;
        came(r, (uintptr_t)r->d->slots[pos].cookie, len);
        assert_int_equal(desc->len, 100);
        assert_int_equal(desc->flags, VIRTQ_WRITE);
        r->d->slots[pos].cookie = (void *)fresh_cookie(r);
        desc->addr = r->next * 0x1000;
        r->taken++;
    }
    virtq_run_end(vq, i);
    look_at_entries(r);
}

/* The ways of before, one buffer each: its place goes to another, or remains free. */
static void run_pop(struct runs *r, bool exchange)
{
    struct virtq *vq = &r->d->vq;
    uint32_t id, len;
    uintptr_t c = (uintptr_t)virtq_peek(vq, &id, &len);

    if (!c) {
        assert_int_equal(r->nr, 0);
        return;
    }
    came(r, c, len);
    if (exchange) {
        c = fresh_cookie(r);
        assert_int_equal(virtq_exchange(vq, id, c * 0x1000, 100, VIRTQ_WRITE, (void *)c), 0);
    } else {
        virtq_release(vq, id);
        r->outstanding--;
    }
    look_at_entries(r);
}

/* Places remain empty; completions come in any order; chains; and places that go to others while
 * some are empty, which changes the order. */
enum { SHORTAGE = 1, ANY_ORDER = 2, CHAINS = 4, MIXED = 8 };

static struct runs runs_of(unsigned size, unsigned how, unsigned steps)
{
    struct runs r = {.d = device_new(size, false, rnd(2))};

    for (unsigned i = 0; i < steps; i++) {
        unsigned rare = rnd(200);

        if (rare == 0 && how & SHORTAGE)
            run_pop(&r, false);
        else if (rare == 1 && how & CHAINS)
            run_add(&r, 1 + rnd(MIN(size, MAX_CHAIN)));
        else if (rare < 20)
            run_pop(&r, how & MIXED || virtq_nfree(&r.d->vq) == 0);
        else
            run_take(&r, rnd(40));
        while (rnd(3) && virtq_nfree(&r.d->vq) > 0) /* refilled, sooner or later */
            run_add(&r, 1);
        virtq_kick(&r.d->vq);
        fetch(r.d);
        for (unsigned k = rnd(30); k > 0 && r.d->nr_held > 0; k--)
            run_complete(&r, how & ANY_ORDER && rnd(200) == 0 ? rnd(r.d->nr_held) : 0);
    }
    while (r.nr > 0)
        run_pop(&r, false);
    assert_int_equal(r.outstanding, r.d->nr_held);
    assert_int_equal(r.d->vq.stats.bad + r.d->vq.stats.bad_len, 0);
    device_free(r.d);
    return r;
}

static void runs_are_offered_when_they_can_be_and_give_the_right_cookies(void **s)
{
    static const unsigned sizes[] = {1, 2, 8, 64, 256};

    (void)s;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        /* In order, also where a shortage passes: most buffers go by runs, over index wraps. */
        for (unsigned how = 0; how <= SHORTAGE; how++) {
            struct runs r = runs_of(sizes[i], how, 30000);

            assert_false(r.disorder);
            assert_true(r.taken > 15000 && r.offered > 10000);
        }
        for (unsigned n = 0; n < 300; n++) {
            struct runs r = runs_of(sizes[i], 1 + rnd(15), 300);

            assert_true(r.offered > 0 || r.disorder || sizes[i] == 256);
        }
    }
}

static void no_run_of_what_is_not_a_full_ring_in_order(void **s)
{
    uint32_t pos, len;
    struct device *d;

    (void)s;
    for (unsigned full = 0; full < 2; full++) {
        d = device_new(8, false, true);
        for (unsigned i = 0; i < 7 + full; i++)
            add(d, 1, 1, i + 1);
        virtq_kick(&d->vq);
        fetch(d);
        assert_int_equal(virtq_run_begin(&d->vq, 8, &pos), 0); /* nothing has come */
        for (uint32_t i = 0; i < 3; i++)
            used_entry(d, i, 1);
        assert_int_equal(virtq_run_begin(&d->vq, 8, &pos), full ? 3 : 0);
        assert_int_equal(virtq_run_begin(&d->vq, 0, &pos), 0);
        set_used_idx(d, 9); /* more than there are buffers */
        assert_int_equal(virtq_run_begin(&d->vq, 8, &pos), 0);
        set_used_idx(d, 3);
        used_entry(d, 8, 0); /* no such buffer: the queue breaks */
        while (virtq_pop(&d->vq, &len))
            ;
        assert_true(d->vq.broken);
        assert_int_equal(virtq_run_begin(&d->vq, 8, &pos), 0);
        device_free(d);
    }
    d = device_new(8, true, true);
    for (unsigned i = 0; i < 8; i++)
        add(d, 1, 1, i + 1);
    virtq_kick(&d->vq);
    fetch(d);
    complete(d, 0, 1);
    assert_int_equal(virtq_run_begin(&d->vq, 8, &pos), 0);
    assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)1);
    device_free(d);
}

/* Free descriptors are used in the order in which they became free: so a ring that was short of
 * buffers is in order when it is full again. */
static void free_descriptors_serve_in_the_order_they_came(void **s)
{
    struct device *d = device_new(64, false, true);
    uint32_t len;

    (void)s;
    for (unsigned i = 0; i < 64; i++)
        add(d, 1, 0, i + 1);
    for (unsigned lap = 0; lap < 1000; lap++) {
        unsigned n = 1 + rnd(64);

        virtq_kick(&d->vq);
        fetch(d);
        for (unsigned i = 0; i < n; i++) {
            used_entry(d, d->held[i].id, 0);
            assert_non_null(virtq_pop(&d->vq, &len));
        }
        memmove(d->held, d->held + n, (d->nr_held -= n) * sizeof(*d->held));
        assert_int_equal(virtq_nfree(&d->vq), n);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(add(d, 1, 0, 1), 0);
        assert_int_equal(d->vq.disorder, 0);
    }
    device_free(d);
}

static uint16_t *avail_event(struct device *d)
{
    return (uint16_t *)(used(d) + 4 + 8 * d->size);
}

static void one_notification_a_batch(void **s)
{
    (void)s;
    for (unsigned mode = 0; mode < 4; mode++) {
        struct device *d = device_new(16, mode & 1, mode & 2);
        for (uintptr_t c = 1; c <= 5; c++)
            assert_int_equal(add(d, 2, 1, c), 0);
        assert_int_equal(d->vq.stats.kicks, 0);
        virtq_kick(&d->vq);
        assert_int_equal(d->vq.stats.kicks, 1);
        virtq_kick(&d->vq); /* nothing new */
        assert_int_equal(d->vq.stats.kicks, 1);
        device_free(d);
    }
}

static void split_event_index_decides_notification(void **s)
{
    struct device *d = device_new(16, false, true);
    (void)s;
    /* Take the ring over the 16-bit wrap. */
    for (unsigned i = 0; i < 70000; i++) {
        uint64_t kicks = d->vq.stats.kicks;
        bool wants = i % 3 == 0;
        uint32_t len;
        /* Wanted: the event lies at the index of what comes. Else far behind. */
        *avail_event(d) = (uint16_t)(wants ? i : i - 1000);
        assert_int_equal(add(d, 1, 0, 7), 0);
        virtq_kick(&d->vq);
        assert_int_equal(d->vq.stats.kicks - kicks, wants);
        fetch(d);
        complete(d, 0, 0);
        assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)7);
    }
    device_free(d);
}

static void device_can_turn_notifications_off(void **s)
{
    (void)s;
    struct device *d = device_new(16, false, false);
    uint16_t no_notify = 1;
    memcpy(used(d), &no_notify, 2);
    add(d, 1, 0, 1);
    virtq_kick(&d->vq);
    assert_int_equal(d->vq.stats.kicks, 0);
    device_free(d);

    d = device_new(16, true, true);
    struct vring_packed_desc_event *ev = (void *)(d->ring + 16 * 16 + 4);
    ev->flags = 1;
    add(d, 1, 0, 1);
    virtq_kick(&d->vq);
    assert_int_equal(d->vq.stats.kicks, 0);
    /* A certain descriptor of this lap: the one added next but one. */
    ev->flags = 2;
    ev->off_wrap = 2 | 1 << 15;
    add(d, 1, 0, 2);
    virtq_kick(&d->vq);
    assert_int_equal(d->vq.stats.kicks, 0);
    add(d, 1, 0, 3);
    virtq_kick(&d->vq);
    assert_int_equal(d->vq.stats.kicks, 1);
    device_free(d);
}

static void interrupts_are_asked_for(void **s)
{
    (void)s;
    for (unsigned mode = 0; mode < 4; mode++) {
        struct device *d = device_new(8, mode & 1, mode & 2);
        bool packed = mode & 1, event_idx = mode & 2;
        struct vring_packed_desc_event *wish = (void *)(d->ring + 16 * 8);
        uint16_t *flags = avail(d), *used_event = avail(d) + 2 + 8;
        uint32_t len;
        for (unsigned i = 0; i < 100; i++) {
            virtq_disable_irq(&d->vq);
            if (packed)
                assert_int_equal(wish->flags, 1);
            else if (event_idx)
                assert_int_equal(*used_event, (uint16_t)(i - 1));
            else
                assert_int_equal(*flags, 1);
            assert_true(virtq_enable_irq(&d->vq));
            if (packed)
                assert_int_equal(wish->flags, event_idx ? 2 : 0);
            else if (event_idx)
                assert_int_equal(*used_event, (uint16_t)i);
            else
                assert_int_equal(*flags, 0);
            add(d, 1, 1, 5);
            virtq_kick(&d->vq);
            fetch(d);
            assert_false(virtq_pending(&d->vq));
            complete(d, 0, 1);
            assert_true(virtq_pending(&d->vq));
            assert_false(virtq_enable_irq(&d->vq));
            assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)5);
            assert_null(virtq_pop(&d->vq, &len));
        }
        device_free(d);
    }
}

/* The queue is broken, takes and gives nothing, and gives back exactly the cookies in expect. */
static void assert_broken(struct device *d, unsigned expect)
{
    struct virtq *vq = &d->vq;
    uint32_t len;
    unsigned seen = 0;
    assert_true(vq->broken);
    assert_int_equal(vq->stats.bad, 1);
    assert_null(virtq_pop(vq, &len));
    assert_false(virtq_pending(vq));
    assert_true(virtq_enable_irq(vq));
    virtq_disable_irq(vq);
    assert_int_equal(add(d, 1, 0, 9), -EIO);
    uint64_t kicks = vq->stats.kicks;
    virtq_kick(vq);
    assert_int_equal(vq->stats.kicks, kicks);
    for (uintptr_t c; (c = (uintptr_t)virtq_detach(vq));) {
        assert_false(seen & 1u << c);
        seen |= 1u << c;
    }
    assert_int_equal(seen, expect);
    device_free(d);
}

/* Chains 1 (3 descriptors), 2 and 3 (1 each) in flight and fetched. */
static struct device *three(bool packed)
{
    struct device *d = device_new(8, packed, true);
    add(d, 3, 2, 1);
    add(d, 1, 1, 2);
    add(d, 1, 0, 3);
    virtq_kick(&d->vq);
    fetch(d);
    assert_int_equal(d->nr_held, 3);
    return d;
}

static void hostile_id_out_of_range(void **s)
{
    static const uint32_t ids[] = {8, 9, 0xffff, 0x10000, 0x80000000, 0xffffffff};
    uint32_t len;
    (void)s;
    for (unsigned i = 0; i < 6; i++) {
        struct device *d = three(false);
        used_entry(d, ids[i], 0);
        assert_null(virtq_pop(&d->vq, &len));
        assert_broken(d, 1 << 1 | 1 << 2 | 1 << 3);
    }
    for (unsigned i = 0; i < 3; i++) {
        struct device *d = three(true);
        packed_used(d, (uint16_t)ids[i], 0, 1);
        assert_null(virtq_pop(&d->vq, &len));
        assert_broken(d, 1 << 1 | 1 << 2 | 1 << 3);
    }
}

static void hostile_completed_twice(void **s)
{
    uint32_t len;
    (void)s;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct device *d = three(packed);
        uint16_t id = d->held[1].id;
        complete(d, 1, 4);
        assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)2);
        assert_int_equal(len, 4);
        if (packed)
            packed_used(d, id, 4, 1);
        else
            used_entry(d, id, 4);
        assert_null(virtq_pop(&d->vq, &len));
        assert_broken(d, 1 << 1 | 1 << 3);
    }
}

static void hostile_middle_of_a_chain(void **s)
{
    struct device *d = three(false);
    uint16_t middle = ((struct vring_desc *)d->ring)[d->held[0].id].next;
    uint32_t len;
    (void)s;
    used_entry(d, middle, 0);
    assert_null(virtq_pop(&d->vq, &len));
    assert_broken(d, 1 << 1 | 1 << 2 | 1 << 3);
}

static void hostile_index_jump(void **s)
{
    struct device *d = three(false);
    uint32_t len;
    (void)s;
    /* 40,000 completions at once, the ring still zero: chain 1, whose id is 0, then it again. */
    set_used_idx(d, 40000);
    assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)1);
    assert_null(virtq_pop(&d->vq, &len));
    assert_broken(d, 1 << 2 | 1 << 3);
}

static void hostile_length_is_cut(void **s)
{
    (void)s;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct device *d = three(packed);
        uint32_t len;
        complete(d, 0, 201);
        assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)1);
        assert_int_equal(len, 200);
        complete(d, 1, 0xffffffff);
        assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)2);
        assert_int_equal(len, 100);
        complete(d, 0, 1); /* nothing was writable */
        assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)3);
        assert_int_equal(len, 0);
        assert_int_equal(d->vq.stats.bad_len, 3);
        assert_false(d->vq.broken);
        assert_int_equal(virtq_nfree(&d->vq), 8);
        /* And the queue goes on. */
        for (unsigned i = 0; i < 100; i++) {
            assert_int_equal(add(d, 1 + i % 8, 0, 4), 0);
            virtq_kick(&d->vq);
            fetch(d);
            complete(d, 0, 0);
            assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)4);
        }
        device_free(d);
    }
}

static void descriptors_changed_behind_our_back_do_not_matter(void **s)
{
    struct device *d = three(false);
    uint32_t len;
    (void)s;
    memset(d->ring, 0xff, 16 * 8); /* links into nowhere */
    complete(d, 0, 0);
    assert_ptr_equal(virtq_pop(&d->vq, &len), (void *)1);
    assert_int_equal(virtq_nfree(&d->vq), 6);
    assert_int_equal(add(d, 6, 0, 4), 0);
    virtq_kick(&d->vq);
    assert_int_equal(((struct vring_desc *)d->ring)[0].next < 8, 1);
    device_free(d);
}

static void detach_after_reset_returns_all(void **s)
{
    (void)s;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct device *d = three(packed);
        unsigned seen = 0;
        for (uintptr_t c; (c = (uintptr_t)virtq_detach(&d->vq));)
            seen |= 1u << c;
        assert_int_equal(seen, 0xe);
        assert_int_equal(d->vq.stats.bad, 0);
        memset(d->ring, 0, virtq_ring_bytes(8, packed));
        virtq_init(&d->vq, 8, packed, true, d->ring, d->slots);
        assert_int_equal(add(d, 8, 0, 1), 0);
        device_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_buffer_comes_back_once),
        cmocka_unit_test(runs_are_offered_when_they_can_be_and_give_the_right_cookies),
        cmocka_unit_test(no_run_of_what_is_not_a_full_ring_in_order),
        cmocka_unit_test(free_descriptors_serve_in_the_order_they_came),
        cmocka_unit_test(one_notification_a_batch),
        cmocka_unit_test(split_event_index_decides_notification),
        cmocka_unit_test(device_can_turn_notifications_off),
        cmocka_unit_test(interrupts_are_asked_for),
        cmocka_unit_test(hostile_id_out_of_range),
        cmocka_unit_test(hostile_completed_twice),
        cmocka_unit_test(hostile_middle_of_a_chain),
        cmocka_unit_test(hostile_index_jump),
        cmocka_unit_test(hostile_length_is_cut),
        cmocka_unit_test(descriptors_changed_behind_our_back_do_not_matter),
        cmocka_unit_test(detach_after_reset_returns_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
