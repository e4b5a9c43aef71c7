/*
 * What fuzz_raw.c's frames go through: the kernel's own driver, steering and responder, built here
 * with what they need of the rest of the kernel; a device, played on the memory of their rings; and
 * the frames that are expected. Included once.
 */
#pragma once

#include <stdlib.h>

#include "mm/layout.h"
/* Netbufs as they are in the kernel: the pool's own arrays are what runs work on. */
#undef WHERRY_HOST_TEST
/* Their static functions are wanted here. */
#include "../../kernel/net/netbuf.c"
#include "../../kernel/native/responder.c"
#undef ETH_HLEN
#undef IP_HLEN
#include "../../kernel/drivers/virtio/net.c"
#undef ETH_HLEN
#include "../../kernel/net/raw.c"

#include <wherry/inet.h>

void __asan_poison_memory_region(void const volatile *p, size_t n);
void __asan_unpoison_memory_region(void const volatile *p, size_t n);

#define HERE      0x0200630au /* 10.99.0.2 */
#define THERE     0x0100630au
#define PORT_     7777
#define ARENA     (4 * MiB)
#define ROOM      (WHERRY_BUF_ROOM + WHERRY_RUN_HEADER) /* of a buffer of the ring */
#define MAX_BURST 40u
#define HELD      96u
#define FOREIGN   128u
#define MEMORIES  8u /* the driver's blocks */

/* What the fuzzer need not learn its way through. */
#define UNTRACED __attribute__((no_sanitize("coverage")))

const bool netdev_stream = true;

/* ---- What is expected ---- */

struct thing { /* a frame under way */
    uint16_t len, cut, csum_start, csum_off;
    uint8_t flags, buffers, data[WHERRY_BUF_ROOM];
};

struct fifo {
    unsigned first, n;
    struct thing thing[1024];
};

/* Those in several buffers may overtake the others. */
static struct fifo to_user, to_input, to_input_long, to_wire;

static struct thing *fifo_at(struct fifo *f, unsigned i)
{
    return &f->thing[(f->first + i) % ARRAY_SIZE(f->thing)];
}

static struct thing *fifo_add(struct fifo *f)
{
    assert(f->n < ARRAY_SIZE(f->thing));
    return fifo_at(f, f->n++);
}

static struct thing *fifo_take(struct fifo *f)
{
    struct thing *t = fifo_at(f, 0);

    assert(f->n > 0);
    f->first++;
    f->n--;
    return t;
}

/* n of them, from i on, will not come. */
static void fifo_forget(struct fifo *f, unsigned i, unsigned n)
{
    assert(i + n <= f->n);
    for (; i + n < f->n; i++)
        *fifo_at(f, i) = *fifo_at(f, i + n);
    f->n -= n;
}

/* ---- The kernel around it ---- */

struct queue { /* the device's side */
    struct virtq *vq;
    uint16_t seen, used;
    unsigned batch; /* in order: done, but without an entry, and what that would say */
    struct vring_used_elem entry;
    unsigned nr;
    uint16_t held[WHERRY_RING_SIZE]; /* heads, in the order in which they came */
    bool has[WHERRY_RING_SIZE];
    const void *header[WHERRY_RING_SIZE]; /* of what was sent from a head */
};

static struct {
    uint8_t *arena;
    unsigned chunks, chunks_max; /* pages of the arena in use */
    bool small;
    void *memory[MEMORIES];
    unsigned nr_memory;
    struct virtio_device vdev;
    struct queue rx, tx;
    unsigned ring_size;
    uint32_t doorbell;
    struct netdev *dev;
    struct wherry_netq q;
    bool lies; /* the device has lied: frames are not compared any more */
    uint64_t good, good_bytes, fetched, fetched_bytes, taken, lost, others;
    struct wherry_packet held[HELD];
    unsigned nr_held;
    bool devices[ARENA / NETBUF_SIZE]; /* blocks that it has and has not given back */
    bool foreign_out[FOREIGN];
    uint8_t foreign[FOREIGN][WHERRY_RUN_HEADER + 96];
    uint32_t rnd;
} h;

uintptr_t host_direct_base;
struct thread *current_thread;

static unsigned rnd(unsigned n)
{
    h.rnd = h.rnd * 1664525 + 1013904223;
    return (h.rnd >> 8) % n;
}

phys_t frame_alloc(unsigned order)
{
    unsigned n = 1u << order, at = h.chunks;

    if (at + n > h.chunks_max)
        return 0;
    h.chunks += n;
    return virt_to_phys(h.arena + at * PAGE_SIZE);
}

struct frame_stats frame_stats(void)
{
    return (struct frame_stats){.total = (h.small ? 16 * MiB : 64 * MiB) / PAGE_SIZE};
}

void *kzalloc(size_t size)
{
    assert(h.nr_memory < MEMORIES);
    return h.memory[h.nr_memory++] = calloc(1, size);
}

void kfree(void *p)
{
    assert(p == NULL);
}

void random_bytes(void *p, size_t n)
{
    memset(p, 0x5a, n);
}

void poller_register(struct poller *p)
{
}
void haltpoll_enable(void)
{
}
void thread_wake(struct thread *t)
{
}
bool thread_block(uint64_t deadline)
{
    return true;
}

const char *parse_u64(const char *s, uint64_t *out)
{
    char *end;

    *out = strtoull(s, &end, 10);
    return end == s ? NULL : end;
}

int virtio_negotiate(struct virtio_device *dev, uint64_t wanted)
{
    dev->features =
        dev->offered & (wanted | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) |
                        VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_F_IN_ORDER));
    return 0;
}

void virtio_config_read(struct virtio_device *dev, unsigned off, void *buf, unsigned len)
{
    static const uint8_t mac[6] = "\x02\x57\x0a\x63\x00\x02";

    assert(off + len <= sizeof(mac));
    memcpy(buf, mac + off, len);
}

void virtio_ready(struct virtio_device *dev)
{
}

/* The device has one pair of queues: net_multi.c has nothing to do. */
uint64_t net_multi_features(struct virtio_device *vdev)
{
    return 0;
}
void net_multi_setup(struct virtio_net *n, void (*callback)(struct virtq *vq))
{
}
void net_multi_start(struct virtio_net *n)
{
}
void net_use_queues(struct netdev *d, unsigned pairs)
{
    assert(pairs == 1);
}
bool net_queue_stats(struct netdev *d, unsigned pair, struct wherry_pair_stats *stats)
{
    return false;
}

/* As in kernel/drivers/virtio/core.c: the slots behind the ring. */
struct virtq *virtio_queue(struct virtio_device *dev, unsigned index, unsigned max_size,
                           void (*callback)(struct virtq *vq), void *arg)
{
    unsigned size = MIN(max_size, h.ring_size);
    size_t slots = virtq_slots_at(size, false);
    struct virtq *vq = kzalloc(sizeof(*vq));
    uint8_t *ring = kzalloc(slots + size * sizeof(struct virtq_slot));

    virtq_init(vq, size, false, virtio_has(dev, VIRTIO_RING_F_EVENT_IDX), ring,
               (void *)(ring + slots));
    if (virtio_has(dev, VIRTIO_F_IN_ORDER))
        virtq_set_in_order(vq);
    vq->dev = dev;
    vq->notify = &h.doorbell;
    *(index == 0 ? &h.rx : &h.tx) = (struct queue){.vq = vq};
    return vq;
}

bool virtio_queue_tables(struct virtq *vq, unsigned len)
{
    void *tables;

    if (virtio_has(vq->dev, VIRTIO_RING_F_INDIRECT_DESC)) {
        tables = kzalloc(vq->size * len * sizeof(struct vring_desc));
        virtq_set_tables(vq, tables, virt_to_phys(tables), len);
    }
    return true;
}

/* ---- The device ---- */

static struct netbuf *block_of(const void *p)
{
    return (struct netbuf *)ALIGN_DOWN((uintptr_t)p, (uintptr_t)NETBUF_SIZE);
}

static bool in_arena(const void *p)
{
    return (uint8_t *)p >= h.arena && (uint8_t *)p < h.arena + h.chunks * PAGE_SIZE;
}

/* Its memory is the device's alone, and was not before: nobody reads or writes it. */
static void hide(void *block)
{
    unsigned i = (unsigned)(((uint8_t *)block - h.arena) / NETBUF_SIZE);

    if (h.lies)
        return;
    assert(!h.devices[i]);
    h.devices[i] = true;
    __asan_poison_memory_region(block, NETBUF_SIZE);
}

static void show(void *block)
{
    h.devices[((uint8_t *)block - h.arena) / NETBUF_SIZE] = false;
    __asan_unpoison_memory_region(block, NETBUF_SIZE);
}

static bool responders(const uint8_t *f, unsigned len)
{
    uint32_t here = HERE;

    if (f[12] == 8 && f[13] == 6)
        return len >= 42 && f[21] == 2 && memcmp(f + 28, &here, 4) == 0 &&
               memcmp(f + 22, h.dev->mac, 6) == 0;
    return f[12] == 8 && f[13] == 0 && f[23] == 1 && f[34] == 0 && memcmp(f + 26, &here, 4) == 0;
}

/* A buffer that the driver has made available on the transmit queue. */
static void look_at_sent(struct queue *d, unsigned head)
{
    const struct vring_desc *base = d->vq->desc, *desc = &base[head];
    bool table = desc->flags == VRING_DESC_F_INDIRECT;
    const struct virtio_net_hdr_v1 *hdr;
    const uint8_t *f;
    unsigned len;
    struct thing *t;

    if (table)
        desc = base = phys_to_virt(desc->addr);
    hdr = phys_to_virt(desc->addr);
    f = (const uint8_t *)(hdr + 1);
    len = desc->len - WHERRY_RUN_HEADER;
    d->header[head] = hdr;
    for (unsigned i = 0; i < d->vq->size; i++) /* it has a header of its own */
        assert(h.lies || i == head || !d->has[i] || d->header[i] != hdr);
    h.fetched++;
    assert(h.lies || (hdr->gso_type == 0 && hdr->gso_size == 0 && hdr->num_buffers == 0 &&
                      hdr->hdr_len == 0));
    if (h.lies && !in_arena(hdr))
        return;
    if (!in_arena(hdr)) { /* the stack's: its length, over all pieces */
        uint16_t next = desc->next;

        assert(d->vq->slot[head].ndesc > 1 || table || !(desc->flags & VRING_DESC_F_NEXT));
        for (unsigned more = desc->flags & VRING_DESC_F_NEXT; more; next = desc->next) {
            desc = &base[next];
            len += desc->len;
            more = desc->flags & VRING_DESC_F_NEXT;
        }
        h.fetched_bytes += len;
        return;
    }
    assert(desc->flags == 0 && f == (uint8_t *)block_of(f) + WHERRY_BUF_START &&
           len <= WHERRY_BUF_ROOM);
    h.fetched_bytes += len;
    if (!h.lies && !(to_wire.n > 0 && fifo_at(&to_wire, 0)->len == len &&
                     memcmp(fifo_at(&to_wire, 0)->data, f, len) == 0)) {
        assert(responders(f, len) && memcmp(f + 6, h.dev->mac, 6) == 0 && hdr->flags == 0);
    } else if (!h.lies) {
        t = fifo_take(&to_wire);
        assert(hdr->flags == (t->flags & WHERRY_CSUM_TODO));
        if (hdr->flags)
            assert(hdr->csum_start == t->csum_start && hdr->csum_offset == t->csum_off);
    }
    hide(block_of(f));
}

static void look_at_room(struct queue *d, unsigned head)
{
    const struct vring_desc *desc = &d->vq->desc[head];
    uint8_t *p = phys_to_virt(desc->addr);

    assert(in_arena(p) && p == (uint8_t *)block_of(p) + NETBUF_HEAD);
    assert(desc->len == ROOM && desc->flags == VRING_DESC_F_WRITE);
    hide(block_of(p));
}

static void fetch(struct queue *d)
{
    struct virtq *vq = d->vq;

    if (vq->broken)
        return;
    for (; d->seen != vq->avail->idx; d->seen++) {
        unsigned head = vq->avail->ring[d->seen % vq->size];

        assert(head < vq->size && (h.lies || !d->has[head]));
        if (d->nr == vq->size)
            return;
        d->has[head] = true;
        d->held[d->nr++] = (uint16_t)head;
        if (d == &h.tx)
            look_at_sent(d, head);
        else
            look_at_room(d, head);
    }
}

/* The entry for what is done without one. */
static void flush(struct queue *d)
{
    struct vring_used *used = (struct vring_used *)((uint8_t *)d->vq->desc + 16 * d->vq->size +
                                                    ALIGN_UP(6 + 2 * d->vq->size, 4u));

    if (d->batch == 0)
        return;
    used->ring[d->used % d->vq->size] = d->entry;
    used->idx = d->used = (uint16_t)(d->used + d->batch);
    d->batch = 0;
}

/* skip: if the device is in order, another will say so of this one (§2.7.9), or flush(). */
static void put_used(struct queue *d, uint32_t id, uint32_t len, bool skip)
{
    d->entry = (struct vring_used_elem){id, len};
    d->batch++;
    if (!skip || !d->vq->in_order || h.lies)
        flush(d);
}

static unsigned take_held(struct queue *d, unsigned i)
{
    unsigned head;

    if (d->vq->in_order && !h.lies)
        i = 0;
    head = d->held[i];
    d->has[head] = false;
    memmove(d->held + i, d->held + i + 1, (--d->nr - i) * sizeof(*d->held));
    return head;
}

static void complete_sent(unsigned n, bool in_order)
{
    fetch(&h.tx);
    for (; n > 0 && h.tx.nr > 0; n--) {
        unsigned head = take_held(&h.tx, in_order ? 0 : rnd(h.tx.nr));
        uint8_t *p = phys_to_virt(h.tx.vq->desc[head].addr);

        if (in_arena(p))
            show(block_of(p));
        /* What it says of lengths is not asked for. */
        put_used(&h.tx, head, rnd(8) ? 0 : rnd(5000), rnd(4) == 0);
    }
    flush(&h.tx);
}

/* From now on the device says what it likes. */
static void lie(unsigned what, unsigned v)
{
    struct queue *d = what & 1 ? &h.tx : &h.rx;

    h.lies = true;
    __asan_unpoison_memory_region(h.arena, ARENA);
    fetch(d);
    switch (what >> 1 & 3) {
    case 0: /* no such descriptor, or one that is not in flight, or is again */
        put_used(d, v % (2 * d->vq->size), v * 16, false);
        break;
    case 1:
        put_used(d, v << 24 | v, 100, false);
        break;
    case 2: /* more completions than there are buffers, or fewer than there were */
        d->used = (uint16_t)(d->used + v * 3);
        put_used(d, 0, 100, false);
        break;
    default: /* two change places */
        if (d->nr > 1) {
            uint16_t last = d->held[0];

            d->held[0] = d->held[v % d->nr];
            d->held[v % d->nr] = last;
        }
        break;
    }
}
