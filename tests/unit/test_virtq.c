// unit: kernel/drivers/virtio/virtq.c kernel/drivers/virtio/virtq_packed.c
/*
 * Proves that both ring formats deliver every buffer exactly once, in any order of completion and
 * across index wraps; that notifications and interrupts are asked for exactly when they are needed;
 * that a lying device can break its queue but nothing else; and that runs are offered exactly when
 * they are possible. The test plays the device, on the ring memory as the specification lays it
 * out, without the driver's structures (but those that users of runs know).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/virtq.h"

#define MAX_CHAIN 8u
#define AVAIL     0x80
#define USED      0x8000

struct device {
    struct virtq vq;
    unsigned size;
    bool packed, event_idx;
    char *ring;
    struct virtq_slot *slots;
    uint32_t doorbell;
    /* Split. */
    uint16_t last_avail, used_idx;
    /* Packed. */
    unsigned at, used_at;
    bool wrap, used_wrap;
    /* Chains fetched and not yet completed. */
    struct chain {
        uint16_t id, n;
        uint32_t wlen;
        uint64_t first_addr;
    } held[1024];
    unsigned nr_held;
};

static uint16_t *avail(struct device *d)
{
    return (uint16_t *)(d->ring + 16 * d->size);
}

static char *used(struct device *d)
{
    return d->ring + 16 * d->size + ((6 + 2 * d->size + 3) & ~3u);
}

static void set_used_idx(struct device *d, uint16_t v)
{
    memcpy(used(d) + 2, &v, 2);
}

static void used_entry(struct device *d, uint32_t id, uint32_t len)
{
    char *e = used(d) + 4 + 8 * (d->used_idx % d->size);
    memcpy(e, &id, 4);
    memcpy(e + 4, &len, 4);
    set_used_idx(d, ++d->used_idx);
}

static struct device *device_new(unsigned size, bool packed, bool event_idx)
{
    struct device *d = calloc(1, sizeof(*d));
    size_t bytes = virtq_ring_bytes(size, packed);
    assert_non_null(d);
    d->size = size;
    d->packed = packed;
    d->event_idx = event_idx;
    d->ring = aligned_alloc(16, (bytes + 15) & ~15ul);
    memset(d->ring, 0, bytes);
    d->slots = malloc(size * sizeof(*d->slots));
    d->vq.notify = &d->doorbell;
    d->wrap = d->used_wrap = true;
    virtq_init(&d->vq, size, packed, event_idx, d->ring, d->slots);
    return d;
}

static void device_free(struct device *d)
{
    free(d->ring);
    free(d->slots);
    free(d);
}

/* Fetches all chains on offer, checking that they are well formed. */
static void fetch_split(struct device *d)
{
    while (d->last_avail != avail(d)[1]) {
        uint16_t head = avail(d)[2 + d->last_avail++ % d->size], i = head;
        struct chain *c = &d->held[d->nr_held++];
        *c = (struct chain){.id = head};
        for (bool more = true; more;) {
            struct vring_desc *desc = (struct vring_desc *)d->ring + i;
            assert_true(i < d->size);
            assert_true(c->n < d->size);
            if (c->n++ == 0)
                c->first_addr = desc->addr;
            if (desc->flags & 2)
                c->wlen += desc->len;
            more = desc->flags & 1;
            i = desc->next;
        }
    }
}

static void fetch_packed(struct device *d)
{
    struct vring_packed_desc *ring = (void *)d->ring;
    for (;;) {
        uint16_t f = ring[d->at].flags;
        if (!!(f & AVAIL) != d->wrap || !!(f & USED) == d->wrap)
            return;
        struct chain *c = &d->held[d->nr_held++];
        *c = (struct chain){.first_addr = ring[d->at].addr};
        for (bool more = true; more;) {
            struct vring_packed_desc *desc = &ring[d->at];
            assert_true(c->n < d->size);
            c->n++;
            c->id = desc->id;
            if (desc->flags & 2)
                c->wlen += desc->len;
            more = desc->flags & 1;
            if (++d->at == d->size) {
                d->at = 0;
                d->wrap = !d->wrap;
            }
        }
    }
}

static void fetch(struct device *d)
{
    if (d->packed)
        fetch_packed(d);
    else
        fetch_split(d);
    assert_true(d->nr_held <= d->size);
}

static void packed_used(struct device *d, uint16_t id, uint32_t len, unsigned n)
{
    struct vring_packed_desc *u = (struct vring_packed_desc *)d->ring + d->used_at;
    u->id = id;
    u->len = len;
    u->flags = d->used_wrap ? AVAIL | USED : 0;
    d->used_at += n;
    if (d->used_at >= d->size) {
        d->used_at -= d->size;
        d->used_wrap = !d->used_wrap;
    }
}

/* Completes the held chain at index k with len bytes. */
static void complete(struct device *d, unsigned k, uint32_t len)
{
    struct chain c = d->held[k];
    assert_true(k < d->nr_held);
    d->held[k] = d->held[--d->nr_held];
    if (d->packed)
        packed_used(d, c.id, len, c.n);
    else
        used_entry(d, c.id, len);
}

/* A chain of n segments whose last w are writable, 100 bytes each; its address tells its cookie. */
static int add(struct device *d, unsigned n, unsigned w, uintptr_t cookie)
{
    struct virtq_seg seg[MAX_CHAIN];
    for (unsigned i = 0; i < n; i++)
        seg[i] = (struct virtq_seg){cookie * 0x1000 + i, 100, i >= n - w ? VIRTQ_WRITE : 0};
    return virtq_add(&d->vq, seg, n, (void *)cookie);
}

static uint32_t state = 1;
static unsigned rnd(unsigned n)
{
    state = state * 1664525 + 1013904223;
    return (state >> 8) % n;
}

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
