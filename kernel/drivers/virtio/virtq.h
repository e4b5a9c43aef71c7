/*
 * Virtqueues (virtio 1.2 §2.6-2.8): the rings through which a driver and a device exchange
 * buffers. Called by the virtio drivers, from any context; calls only io.h, and panic() never.
 * Nothing here sleeps or allocates: the ring memory is given to virtq_init().
 *
 * A buffer is a chain of 1..size segments, the ones the device reads before the ones it writes
 * (§2.7.4.2), and a cookie that comes back when the device is done:
 *
 *     virtq_add(vq, segs, n, cookie);     any number of times
 *     virtq_kick(vq);                     once: makes them visible, notifies if the device asks
 *     while ((c = virtq_pop(vq, &len)))   what the device has finished
 *
 * Everything the device writes is hostile. It is read once, and believed only if it names a
 * buffer that is in flight: all state that decides anything (free list, chains, cookies, posted
 * lengths) is in struct virtq_slot, out of the device's protocol. A completion of a buffer that is
 * not in flight breaks the queue (stats.bad): add gives -EIO and pop nothing from then on, until
 * the owner resets the device. A length above what was posted is
 * counted (stats.bad_len) and cut down to it.
 *
 * Indirect descriptors (§2.7.5.3, §2.8.7): with virtq_set_tables() a chain of several segments lies
 * in a table of its own and takes one descriptor, which points there. Each descriptor has its table
 * at a fixed place. We never read what is in them.
 *
 * In order (VIRTIO_F_IN_ORDER; §2.7.9, §2.8.8): with virtq_set_in_order() a completion may stand
 * for a batch of buffers, from the oldest on; it names the last of them. Its length is that
 * buffer's. Those before it the device has "used completely": they were written to their ends. A
 * batch that is longer than what is in flight, or than what the used index says is done, breaks the
 * queue.
 *
 * Invariants (split ring):
 *   - slot[].next links the free descriptors from free_head to free_tail, nfree of them, and the
 * members of each chain in flight; no descriptor is on both.
 *   - slot[h].limit != 0 exactly if a chain in flight starts at h; but where a batch is being
 * taken, batch_limit is that of the next one, and its slot has 0.
 *   - avail->ring[] holds entries up to avail_idx; the device knows those before published.
 *   - in order: every buffer has one descriptor, the one at its place; disorder is 0 but while a
 * part of a batch is still to be taken. So the free list is a circle that is gone round once a lap.
 *
 * The fast paths here are the split ring's alone. A packed ring (§2.8) and a broken queue look to
 * them like one that is empty and full at once (nfree 0, nothing unpublished, used pointing to an
 * empty ring of our own), and only what finds a queue so looks further: virtq_*_slow(), which serve
 * the packed ring behind the same calls. Split rings therefore pay nothing for either.
 */
#pragma once

#include "arch/x86_64/io.h"
#include "lib/base.h"

#include <asm/errno.h>
#include <linux/virtio_ring.h>

#define VIRTQ_READ     0u /* the device reads the segment */
#define VIRTQ_WRITE    2u /* the device writes it: VRING_DESC_F_WRITE */
#define VIRTQ_MAX_SIZE 32768u

/* One stretch of physical memory. The first three fields are a descriptor's (§2.7.5). */
struct virtq_seg {
    uint64_t addr;
    uint32_t len;
    uint16_t flags; /* VIRTQ_READ or VIRTQ_WRITE */
};

/* Ours alone; one a descriptor (split) or a buffer id (packed). */
struct virtq_slot {
    void *cookie;
    uint32_t limit; /* 1 + bytes the device may write, of the chain in flight that starts here; 0:
                       none does; in a chain's second slot: 0, and the chain's last is in ndesc */
    uint16_t next;  /* the chain's or the free list's */
    uint16_t ndesc; /* descriptors of the chain */
};

struct virtq_stats {
    uint64_t kicks;   /* notifications sent: each is an exit to the monitor */
    uint64_t irqs;    /* callbacks from an interrupt */
    uint64_t bad;     /* completions of what was not in flight: the queue broke */
    uint64_t bad_len; /* completions longer than the buffer */
};

struct virtio_device;

struct virtq {
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    volatile uint16_t *avail_event; /* the device: notify me at (§2.7.10); after used->ring */
    volatile uint16_t *used_event;  /* we: interrupt me at (§2.7.7.2); after avail->ring */
    struct virtq_slot *slot;
    uint32_t mask;      /* size - 1, split ring only */
    uint32_t nfree;     /* descriptors free; 0 for packed and broken queues */
    uint32_t free_head; /* first of them (packed: first free buffer id) */
    uint32_t free_tail; /* the last; free ones are used again in the order in which they came */
    uint32_t disorder;  /* 0: each entry of the available ring names the descriptor at its place */
    /* Free-running; the rings' own indices are their low 16 bits. */
    uint32_t avail_idx;    /* where the next chain goes */
    uint32_t published;    /* avail_idx that the device knows */
    uint32_t last_used;    /* next completion to take */
    bool event_idx;        /* VIRTIO_F_EVENT_IDX, split ring only */
    bool notify16;         /* width of the notification register */
    volatile void *notify; /* where the queue's index is written to wake the device */
    uint32_t notify_value;
    struct virtq_stats stats;

    bool packed; /* VIRTIO_F_RING_PACKED */
    bool broken;
    uint16_t size;

    /* Packed ring only. */
    struct vring_packed_desc *pdesc;
    struct vring_packed_desc_event *driver_event, *device_event;
    uint16_t pfree;                 /* descriptors free */
    uint16_t oldest;                /* in order: the id of the oldest buffer in flight */
    uint16_t next_avail, next_used; /* ring positions */
    uint16_t unkicked;              /* descriptors added since the last kick */
    bool avail_wrap, used_wrap;     /* wrap counters (§2.8.1) */
    bool packed_event_idx;

    /* Indirect descriptors. */
    bool aside;           /* chains of several segments have their ways */
    uint16_t table_len;   /* segments that a table holds; 0: there are none */
    uint64_t *tables;     /* size of them, two words a segment */
    uint64_t tables_phys; /* where the device finds them */

    /* In order. */
    bool in_order;
    bool single;          /* split: a chain has one descriptor or is not taken */
    uint16_t batch;       /* buffers that are done and not taken yet, of one completion */
    uint32_t batch_len;   /* what the device wrote to the last of them */
    uint32_t batch_limit; /* split: the limit of the first of them, which has 0 in its slot */

    /* The transport's (virtio.h). */
    struct virtio_device *dev;
    uint16_t index;
    void (*callback)(struct virtq *vq); /* from the interrupt; NULL: polled only */
    void *arg;                          /* the driver's */
    void *ring_mem;                     /* virtq_init's ring */
    int msix_vector;                    /* CPU vector, -1 if the interrupt is shared */
};

/* Bytes of ring memory (physically contiguous, zeroed, 16-byte aligned) for a queue of size. */
size_t virtq_ring_bytes(unsigned size, bool packed);
/* Where the slots have their place if they lie behind the ring. */
static inline size_t virtq_slots_at(unsigned size, bool packed)
{
    return ALIGN_UP(virtq_ring_bytes(size, packed), sizeof(struct virtq_slot));
}
/*
 * Makes an empty queue in ring (virtq_ring_bytes) and slots (size of them). size: 1..32768, for
 * split a power of two. Interrupts are disabled. notify.. and the transport's fields are left
 * alone.
 */
void virtq_init(struct virtq *vq, unsigned size, bool packed, bool event_idx, void *ring,
                struct virtq_slot *slots);
/* After virtq_init(), before the first buffer: chains of up to len segments go into tables, in
 * memory for size * len descriptors, which the device knows as phys. */
void virtq_set_tables(struct virtq *vq, void *tables, uint64_t phys, unsigned len);
/* After virtq_init(), before the first buffer: the device uses buffers in order. Split rings then
 * take chains by tables only; and virtq_exchange() is for full rings. */
void virtq_set_in_order(struct virtq *vq);
/* After the device was reset: takes back buffers in flight, one a call; NULL when none is left.
 * The queue stays unusable until virtq_init(). */
void *virtq_detach(struct virtq *vq);

/* Out of line halves of what follows; not for drivers. */
int virtq_add_slow(struct virtq *vq, const struct virtq_seg *seg, unsigned n, void *cookie);
void virtq_kick_slow(struct virtq *vq);
bool virtq_pending_slow(const struct virtq *vq);
void *virtq_pop_slow(struct virtq *vq, uint32_t *len);
void *virtq_peek_other(struct virtq *vq, uint32_t head, uint32_t *id, uint32_t *len);
void *virtq_look_other(const struct virtq *vq, uint32_t head);
bool virtq_enable_irq_slow(struct virtq *vq);
void virtq_disable_irq_slow(struct virtq *vq);

/* Descriptors that can still be added; a chain of n segments takes n, by a table one. */
static __always_inline unsigned virtq_nfree(const struct virtq *vq)
{
    return unlikely(vq->packed) ? vq->pfree : vq->nfree;
}

/* Is there room for a chain of n segments? */
static __always_inline bool virtq_fits(const struct virtq *vq, unsigned n)
{
    unsigned nfree = virtq_nfree(vq);

    return n == 1 || n <= vq->table_len ? nfree > 0 : n <= nfree && !vq->single;
}

/* While there is room: the descriptor (packed: the id) that the next chain has as its first, and
 * that no other has until it is done. */
static __always_inline unsigned virtq_next_head(const struct virtq *vq)
{
    return vq->free_head;
}

static __always_inline void virtq_notify(struct virtq *vq)
{
    vq->stats.kicks++;
    if (vq->notify16)
        mmio_write16(vq->notify, (uint16_t)vq->notify_value);
    else
        mmio_write32(vq->notify, vq->notify_value);
}

/* virtq_add() without tables. */
static __always_inline int virtq_add_plain(struct virtq *vq, const struct virtq_seg *seg,
                                           unsigned n, void *cookie)
{
    if (unlikely(n - 1 >= vq->nfree)) /* n == 0 as well */
        return virtq_add_slow(vq, seg, n, cookie);
    struct virtq_slot *slots = vq->slot;
    struct vring_desc *desc = vq->desc;
    uint32_t head = vq->free_head, i = head, last, limit = 1;
    for (unsigned k = 0;;) {
        struct vring_desc *d = &desc[i];
        uint32_t flags = seg[k].flags, len = seg[k].len;
        last = i;
        i = slots[i].next;
        d->addr = seg[k].addr;
        d->len = len;
        d->next = (uint16_t)i;
        limit += flags & VIRTQ_WRITE ? len : 0;
        if (++k == n) {
            d->flags = (uint16_t)flags;
            break;
        }
        d->flags = (uint16_t)(flags | VRING_DESC_F_NEXT);
    }
    vq->free_head = i;
    vq->nfree -= n;
    struct virtq_slot *s = &slots[head];
    s->cookie = cookie;
    s->limit = limit;
    s->ndesc = (uint16_t)n;
    if (n > 1)
        slots[s->next].ndesc = (uint16_t)last;
    uint32_t at = vq->avail_idx, place = at & vq->mask;
    vq->disorder |= head ^ place;
    vq->avail->ring[place] = (uint16_t)head;
    vq->avail_idx = at + 1;
    return 0;
}

/*
 * Writes a chain into the table of descriptor head; its limit. What follows an address is len,
 * flags and next, which is the next of the table (§2.7.5.3); in a packed ring len, nothing and
 * flags, of which none chains (§2.8.7).
 */
static __always_inline uint32_t virtq_fill_table(const struct virtq *vq, uint32_t head,
                                                 const struct virtq_seg *seg, unsigned n,
                                                 bool packed)
{
    uint64_t *to = vq->tables + 2 * head * vq->table_len;
    uint64_t step = packed ? 0 : 1ull << 48;
    uint64_t link = packed ? 0 : step | (uint64_t)VRING_DESC_F_NEXT << 32;
    uint32_t limit = 1;

    for (const struct virtq_seg *end = seg + n; seg != end; seg++, to += 2, link += step) {
        limit += seg->flags & VIRTQ_WRITE ? seg->len : 0;
        to[0] = seg->addr;
        to[1] = seg->len | (uint64_t)seg->flags << (packed ? 48 : 32) | link;
    }
    to[-1] -= link - step; /* the last one leads nowhere */
    return limit;
}

/* The descriptor that points to it. */
static __always_inline struct virtq_seg virtq_table(const struct virtq *vq, uint32_t head,
                                                    unsigned n)
{
    return (struct virtq_seg){vq->tables_phys + head * vq->table_len * sizeof(struct vring_desc),
                              n * (uint32_t)sizeof(struct vring_desc), VRING_DESC_F_INDIRECT};
}

/*
 * Queues a chain of n segments; the device sees it at the next virtq_kick(). cookie is not NULL.
 * The writable segments' lengths add up to less than 4 GiB - 1. 0, -ENOSPC (nothing was queued),
 * or -EIO if the queue is broken.
 */
static __always_inline int virtq_add(struct virtq *vq, const struct virtq_seg *seg, unsigned n,
                                     void *cookie)
{
    if (n > 1 && vq->aside) {
        uint32_t head = vq->free_head, limit;
        struct virtq_seg table;

        if (unlikely(n > vq->table_len || vq->nfree == 0))
            return virtq_add_slow(vq, seg, n, cookie);
        limit = virtq_fill_table(vq, head, seg, n, false);
        table = virtq_table(vq, head, n);
        (void)virtq_add_plain(vq, &table, 1, cookie);
        vq->slot[head].limit = limit;
        return 0;
    }
    return virtq_add_plain(vq, seg, n, cookie);
}

/* virtq_add() of one segment. */
static __always_inline int virtq_add_one(struct virtq *vq, phys_t addr, uint32_t len,
                                         unsigned flags, void *cookie)
{
    struct virtq_seg seg = {addr, len, (uint16_t)flags};
    return virtq_add(vq, &seg, 1, cookie);
}

/* Buffers (packed: descriptors) added since the last virtq_kick(). */
static __always_inline unsigned virtq_unkicked(const struct virtq *vq)
{
    return unlikely(vq->packed) ? vq->unkicked : vq->avail_idx - vq->published;
}

/* Publishes what was added since the last call and, if the device wants to know, tells it. */
static __always_inline void virtq_kick(struct virtq *vq)
{
    uint32_t new = vq->avail_idx, old = vq->published;
    if (unlikely(new == old)) {
        virtq_kick_slow(vq);
        return;
    }
    vq->published = new;
    dma_wmb(); /* the chains before the index that offers them (§2.7.13.3) */
    WRITE_ONCE(vq->avail->idx, (uint16_t) new);
    dma_mb(); /* the index before asking whether it was seen (§2.7.13.4) */
    if (likely(vq->event_idx)) {
        if ((uint16_t)(new - *vq->avail_event - 1) < (uint16_t)(new - old))
            virtq_notify(vq);
    } else if (!(READ_ONCE(vq->used->flags) & VRING_USED_F_NO_NOTIFY)) {
        virtq_notify(vq);
    }
}

/* Whether virtq_pop() would find something (or find the device lying). */
static __always_inline bool virtq_pending(const struct virtq *vq)
{
    return READ_ONCE(vq->used->idx) != (uint16_t)vq->last_used ||
           unlikely(vq->packed && virtq_pending_slow(vq));
}

/*
 * The cookie of the next buffer the device has finished, in *len the bytes it wrote and in *id its
 * name for the following; NULL if there is none. virtq_release() or virtq_exchange() must follow at
 * once.
 */
#define VIRTQ_TAKEN UINT32_MAX /* an id: the descriptors are free already */
static __always_inline void *virtq_peek(struct virtq *vq, uint32_t *id, uint32_t *len)
{
    struct vring_used *used = vq->used;
    uint32_t at = vq->last_used;
    uint64_t e;

    *id = VIRTQ_TAKEN;
    barrier(); /* look at the index each time */
    if (used->idx == (uint16_t)at)
        return unlikely(vq->packed) ? virtq_pop_slow(vq, len) : NULL;
    dma_rmb(); /* the index before the entry */
    __builtin_memcpy(&e, &used->ring[at & vq->mask], sizeof(e));
    barrier(); /* what was read is what is checked and used */
    *len = (uint32_t)(e >> 32);
    /* Most rings are used in order, with or without a promise. Others, batches, and what is not in
     * flight or too long: */
    if (unlikely((uint32_t)e != (at & vq->mask) || *len >= vq->slot[(uint32_t)e].limit)) {
        uint32_t other;
        void *cookie = virtq_peek_other(vq, (uint32_t)e, &other, len);

        *id = other;
        return cookie;
    }
    *id = (uint32_t)e;
    return vq->slot[(uint32_t)e].cookie;
}

/* The cookie of what virtq_peek() would find, if that is as usual; nothing is taken, or said of
 * what is wrong. NULL for packed rings. */
static __always_inline void *virtq_look(const struct virtq *vq)
{
    uint32_t id, place = vq->last_used & vq->mask;

    if (READ_ONCE(vq->used->idx) == (uint16_t)vq->last_used)
        return NULL;
    dma_rmb();
    id = READ_ONCE(vq->used->ring[place].id);
    return likely(id == place && vq->slot[place].limit != 0) ? vq->slot[place].cookie
                                                             : virtq_look_other(vq, id);
}

/* A chain of n descriptors, linked by slot[].next, becomes the end of the free list. */
static __always_inline void virtq_put_free(struct virtq *vq, uint32_t head, uint32_t tail,
                                           unsigned n)
{
    if (vq->nfree == 0)
        vq->free_head = head;
    else
        vq->slot[vq->free_tail].next = (uint16_t)head;
    vq->free_tail = tail;
    vq->nfree += n;
}

/* The descriptors of the buffer that virtq_peek() found are free again. */
static __always_inline void virtq_release(struct virtq *vq, uint32_t id)
{
    struct virtq_slot *s;

    if (unlikely(id == VIRTQ_TAKEN))
        return;
    s = &vq->slot[id];
    vq->last_used++;
    s->limit = 0;
    virtq_put_free(vq, id, s->ndesc == 1 ? id : vq->slot[s->next].ndesc, s->ndesc);
}

/* virtq_release() and virtq_add_one() in one: the descriptor goes on with another buffer. Never
 * for want of room, but -EIO if the queue broke. */
static __always_inline int virtq_exchange(struct virtq *vq, uint32_t id, phys_t addr, uint32_t len,
                                          unsigned flags, void *cookie)
{
    uint64_t rest = len | (uint64_t)flags << 32; /* §2.7.5: len, flags, next */
    struct virtq_slot *s;
    uint32_t at;

    if (unlikely(id == VIRTQ_TAKEN || vq->slot[id].ndesc != 1)) {
        virtq_release(vq, id);
        return virtq_add_one(vq, addr, len, flags, cookie);
    }
    s = &vq->slot[id];
    vq->desc[id].addr = addr;
    __builtin_memcpy(&vq->desc[id].len, &rest, sizeof(rest));
    s->cookie = cookie;
    s->limit = flags & VIRTQ_WRITE ? 1 + len : 1;
    at = vq->avail_idx;
    vq->disorder |= id ^ (at & vq->mask);
    vq->avail->ring[at & vq->mask] = (uint16_t)id;
    vq->avail_idx = at + 1;
    vq->last_used++;
    return 0;
}

/*
 * Runs: while a ring is full of single buffers, which come back in the order in which they went
 * out, buffer i has descriptor i and its completion stands at place i; handing on a descriptor with
 * another buffer in it changes the descriptor's address and the cookie, and nothing else.
 *
 * This holds as well where the device is in order and skips entries (§2.7.9): a completion that
 * names its place stands for one buffer, and its length is that buffer's; one that stands for
 * several names the last of them, which ends the run before anything that was skipped is looked at;
 * and until virtq_peek() has given out all of the batch, disorder says that there is no run.
 *
 * Places from *pos on whose completions have come, up to max and to the end of the ring; 0 if it is
 * not so. The caller checks that each completion names its place, stops at the first that does not,
 * and tells virtq_run_end() how many he has handed on.
 */
static __always_inline unsigned virtq_run_begin(struct virtq *vq, unsigned max, uint32_t *pos)
{
    uint32_t ready = (uint16_t)(READ_ONCE(vq->used->idx) - (uint16_t)vq->last_used);

    *pos = vq->last_used & vq->mask;
    if (ready == 0 || unlikely(vq->disorder != 0 || vq->avail_idx - vq->last_used != vq->size ||
                               ready > vq->size))
        return 0;
    dma_rmb(); /* the index before the entries */
    return MIN(MIN(ready, max), vq->size - *pos);
}

static __always_inline void virtq_run_end(struct virtq *vq, unsigned n)
{
    vq->last_used += n;
    vq->avail_idx += n;
}

/* The cookie of the next buffer the device has finished, and in *len the bytes it wrote; NULL if
 * there is none. The buffer's descriptors are free again. */
static __always_inline void *virtq_pop(struct virtq *vq, uint32_t *len)
{
    uint32_t id;
    void *cookie = virtq_peek(vq, &id, len);

    if (likely(cookie))
        virtq_release(vq, id);
    return cookie;
}

/*
 * Asks for an interrupt at the next completion. False if one is there already: pop it (the
 * interrupt may come as well). Interrupts stay enabled until virtq_disable_irq().
 */
static __always_inline bool virtq_enable_irq(struct virtq *vq)
{
    if (unlikely(!vq->event_idx))
        return virtq_enable_irq_slow(vq);
    *vq->used_event = (uint16_t)vq->last_used;
    dma_mb(); /* the wish before the look at what is there (§2.7.13.4.1) */
    return READ_ONCE(vq->used->idx) == (uint16_t)vq->last_used;
}

/* A hint: an interrupt already on its way, or with EVENT_IDX one every 65,536 completions, may
 * still come. */
static __always_inline void virtq_disable_irq(struct virtq *vq)
{
    if (likely(vq->event_idx))
        *vq->used_event = (uint16_t)(vq->last_used - 1); /* passed already: 65,535 away */
    else
        virtq_disable_irq_slow(vq);
}
