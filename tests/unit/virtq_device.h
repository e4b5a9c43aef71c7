/*
 * The device of test_virtq.c and test_virtq_order.c: it works on the ring memory as the
 * specification lays it out (virtio 1.2 §2.7, §2.8), without the driver's structures, and checks
 * what it is given. Included once.
 */
#pragma once

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
#define NEXT      1
#define WRITE     2
#define INDIRECT  4

#define TABLES 0x7000000000ull /* where the tables are, for the device */

struct device {
    struct virtq vq;
    unsigned size;
    bool packed, event_idx;
    char *ring;
    struct vring_desc *tables; /* of table_len segments each; NULL: there are none */
    unsigned table_len;
    struct virtq_slot *slots;
    uint32_t doorbell;
    /* Split. */
    uint16_t last_avail, used_idx;
    /* Packed. */
    unsigned at, used_at;
    bool wrap, used_wrap;
    /* Chains fetched and not yet completed. */
    struct chain {
        uint16_t id, n; /* n: descriptors of the ring */
        unsigned segs;
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

static inline void device_tables(struct device *d, unsigned len)
{
    d->table_len = MIN(len, d->size); /* no chain is longer than that (§2.7.5.3.1) */
    d->tables = malloc(d->size * d->table_len * sizeof(*d->tables));
    memset(d->tables, 0xff, d->size * d->table_len * sizeof(*d->tables));
    virtq_set_tables(&d->vq, d->tables, TABLES, len);
}

static void device_free(struct device *d)
{
    free(d->ring);
    free(d->tables);
    free(d->slots);
    free(d);
}

static void fetch_segment(struct chain *c, uint64_t addr, uint32_t len, unsigned flags)
{
    if (c->segs++ == 0)
        c->first_addr = addr;
    assert_true(flags & WRITE || c->wlen == 0); /* §2.7.4.2 */
    if (flags & WRITE)
        c->wlen += len;
}

/* §2.7.5.3, §2.8.7: a table in its place, its segments one behind the other. */
static void fetch_table(struct device *d, struct chain *c, uint64_t addr, uint32_t len)
{
    uint64_t at = (addr - TABLES) / 16, n = len / 16;

    assert_non_null(d->tables);
    assert_true(addr % 16 == 0 && len % 16 == 0 && n > 1 && n <= d->table_len && n <= d->size);
    assert_true(at % d->table_len == 0 && at < d->size * d->table_len);
    for (uint64_t k = 0; k < n; k++) {
        struct vring_desc *desc = &d->tables[at + k];
        struct vring_packed_desc *packed = (void *)desc;

        if (d->packed)
            assert_int_equal(packed->flags & ~WRITE, 0);
        else
            assert_int_equal(desc->flags & ~WRITE, k + 1 < n ? NEXT : 0);
        if (!d->packed && k + 1 < n)
            assert_int_equal(desc->next, k + 1);
        fetch_segment(c, desc->addr, desc->len, d->packed ? packed->flags : desc->flags);
    }
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
            assert_true(c->n++ < d->size);
            more = desc->flags & NEXT;
            if (desc->flags & INDIRECT) {
                assert_true(c->n == 1 && desc->flags == INDIRECT);
                fetch_table(d, c, desc->addr, desc->len);
            } else {
                fetch_segment(c, desc->addr, desc->len, desc->flags);
            }
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
        *c = (struct chain){.n = 0};
        for (bool more = true; more;) {
            struct vring_packed_desc *desc = &ring[d->at];
            assert_true(c->n++ < d->size);
            c->id = desc->id;
            more = desc->flags & NEXT;
            if (desc->flags & INDIRECT) {
                assert_true(c->n == 1 && !(desc->flags & (WRITE | NEXT)));
                fetch_table(d, c, desc->addr, desc->len);
            } else {
                fetch_segment(c, desc->addr, desc->len, desc->flags);
            }
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

/* In order (§2.7.9, §2.8.8): one completion of the n oldest chains, len bytes in the last of them.
 */
static inline void complete_batch(struct device *d, unsigned n, uint32_t len)
{
    uint16_t id = d->held[n - 1].id;
    unsigned descs = 0;

    assert_true(n > 0 && n <= d->nr_held);
    for (unsigned i = 0; i < n; i++)
        descs += d->held[i].n;
    d->nr_held -= n;
    memmove(d->held, d->held + n, d->nr_held * sizeof(*d->held));
    if (d->packed) {
        packed_used(d, id, len, descs);
    } else {
        char *e = used(d) + 4 + 8 * (d->used_idx % d->size);
        uint32_t word = id;

        memcpy(e, &word, 4);
        memcpy(e + 4, &len, 4);
        d->used_idx = (uint16_t)(d->used_idx + n);
        set_used_idx(d, d->used_idx);
    }
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
