/*
 * The packed ring (virtio 1.2 §2.8) behind virtq.h's calls. One ring of descriptors that the driver
 * writes and the device overwrites with completions; whose a descriptor is, two bits in it say,
 * compared with a wrap counter that flips at the end of the ring. Called by virtq.c; any context,
 * never sleeps. Trust and state are as in virtq.h: a completion is one 8-byte read {len, id,
 * flags}, and id counts only if that slot is in flight.
 *
 * Where the device is in order, ids go round in a circle as the buffers do: the list of the free
 * ones is never changed.
 *
 * Unlike the split ring's, a chain is visible to the device as soon as it is added.
 */
#include "drivers/virtio/virtq_packed.h"

#define FLAG_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED  (1u << VRING_PACKED_DESC_F_USED)
#define EVENT_WRAP (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

/* The device's or our wish for events, 4 bytes read or written at once (§2.8.10). */
union event {
    struct vring_packed_desc_event e;
    uint32_t word;
};

void virtq_packed_init(struct virtq *vq, bool event_idx, void *ring)
{
    vq->pdesc = ring;
    vq->driver_event = (void *)(vq->pdesc + vq->size);
    vq->device_event = vq->driver_event + 1;
    vq->pfree = vq->size;
    vq->next_avail = vq->next_used = vq->unkicked = 0;
    vq->avail_wrap = vq->used_wrap = true;
    vq->packed_event_idx = event_idx;
    virtq_packed_disable_irq(vq);
}

/* The caller has checked that n descriptors are free; then so is an id. */
int virtq_packed_add(struct virtq *vq, const struct virtq_seg *seg, unsigned n, void *cookie)
{
    uint16_t id = (uint16_t)vq->free_head, at = vq->next_avail;
    struct virtq_slot *s = &vq->slot[id];
    struct vring_packed_desc *first = &vq->pdesc[at];
    uint16_t first_flags = 0;
    uint32_t limit = 1;

    for (unsigned k = 0; k < n; k++) {
        struct vring_packed_desc *d = &vq->pdesc[at];
        uint16_t flags = (uint16_t)(seg[k].flags | (k + 1 < n ? VRING_DESC_F_NEXT : 0) |
                                    (vq->avail_wrap ? FLAG_AVAIL : FLAG_USED));
        d->addr = seg[k].addr;
        d->len = seg[k].len;
        d->id = id;
        limit += seg[k].flags & VIRTQ_WRITE ? seg[k].len : 0;
        if (k == 0)
            first_flags = flags;
        else
            d->flags = flags;
        if (++at == vq->size) {
            at = 0;
            vq->avail_wrap = !vq->avail_wrap;
        }
    }
    vq->next_avail = at;
    vq->free_head = s->next;
    s->cookie = cookie;
    s->limit = limit;
    s->ndesc = (uint16_t)n;
    vq->pfree = (uint16_t)(vq->pfree - n);
    vq->unkicked = (uint16_t)(vq->unkicked + n);
    dma_wmb(); /* the chain before the flags that hand it over (§2.8.21.1) */
    WRITE_ONCE(first->flags, first_flags);
    return 0;
}

int virtq_packed_add_table(struct virtq *vq, const struct virtq_seg *seg, unsigned n, void *cookie)
{
    uint32_t id = vq->free_head, limit = virtq_fill_table(vq, id, seg, n, true);
    struct virtq_seg table = virtq_table(vq, id, n);
    int r = virtq_packed_add(vq, &table, 1, cookie);

    vq->slot[id].limit = limit;
    return r;
}

void virtq_packed_kick(struct virtq *vq)
{
    union event ev;
    uint16_t n = vq->unkicked;

    vq->unkicked = 0;
    dma_mb(); /* the flags before the device's wish (§2.8.21.3.1) */
    ev.word = READ_ONCE(*(const uint32_t *)vq->device_event);
    switch (ev.e.flags) {
    case VRING_PACKED_EVENT_FLAG_DISABLE:
        return;
    case VRING_PACKED_EVENT_FLAG_DESC: {
        /* Positions of the previous lap, by its wrap counter, count from below zero. */
        uint16_t want = ev.e.off_wrap & (EVENT_WRAP - 1);
        if ((ev.e.off_wrap & EVENT_WRAP ? 1 : 0) != vq->avail_wrap)
            want = (uint16_t)(want - vq->size);
        if ((uint16_t)(vq->next_avail - want - 1) >= n)
            return;
        break;
    }
    }
    virtq_notify(vq);
}

/* {len, id, flags} of the next completion's place. */
static uint64_t used_entry(const struct virtq *vq)
{
    return READ_ONCE(*(const uint64_t *)&vq->pdesc[vq->next_used].len);
}

static bool entry_used(const struct virtq *vq, uint64_t e)
{
    uint32_t flags = (uint32_t)(e >> 48) & (FLAG_AVAIL | FLAG_USED);
    return flags == (vq->used_wrap ? FLAG_AVAIL | FLAG_USED : 0);
}

bool virtq_packed_pending(const struct virtq *vq)
{
    /* With nothing in flight, the place still holds what was taken there a lap ago. */
    return vq->batch > 0 || (vq->pfree != vq->size && entry_used(vq, used_entry(vq)));
}

/* The buffer of this slot is done with: on to where the next completion will be. */
static __always_inline void *taken(struct virtq *vq, struct virtq_slot *s)
{
    vq->next_used = (uint16_t)(vq->next_used + s->ndesc);
    if (vq->next_used >= vq->size) {
        vq->next_used = (uint16_t)(vq->next_used - vq->size);
        vq->used_wrap = !vq->used_wrap;
    }
    vq->pfree = (uint16_t)(vq->pfree + s->ndesc);
    s->limit = 0;
    return s->cookie;
}

/* In order: the next of a batch. All but its last are written to their ends (§2.8.8). */
static void *pop_batch(struct virtq *vq, uint32_t *len)
{
    struct virtq_slot *s = &vq->slot[vq->oldest];

    *len = --vq->batch > 0 ? s->limit - 1 : virtq_believable(vq, vq->batch_len, s->limit);
    vq->oldest = s->next;
    return taken(vq, s);
}

void *virtq_packed_pop(struct virtq *vq, uint32_t *len)
{
    uint64_t e = used_entry(vq);
    uint16_t id = (uint16_t)(e >> 32);
    struct virtq_slot *s = &vq->slot[id];

    if (unlikely(vq->batch > 0))
        return pop_batch(vq, len);
    if (vq->pfree == vq->size || !entry_used(vq, e))
        return NULL;
    dma_rmb();
    if (id >= vq->size || !s->limit)
        return virtq_lied(vq);
    if (vq->in_order) { /* all from the oldest to one in flight are in flight */
        vq->batch = (uint16_t)((id >= vq->oldest ? 1 : 1 + vq->size) + id - vq->oldest);
        vq->batch_len = (uint32_t)e;
        return pop_batch(vq, len);
    }
    *len = virtq_believable(vq, (uint32_t)e, s->limit);
    s->next = (uint16_t)vq->free_head;
    vq->free_head = id;
    return taken(vq, s);
}

static void set_wish(struct virtq *vq, uint16_t flags)
{
    union event ev = {.e = {(uint16_t)(vq->next_used | (vq->used_wrap ? EVENT_WRAP : 0)), flags}};
    WRITE_ONCE(*(uint32_t *)vq->driver_event, ev.word);
}

bool virtq_packed_enable_irq(struct virtq *vq)
{
    set_wish(vq,
             vq->packed_event_idx ? VRING_PACKED_EVENT_FLAG_DESC : VRING_PACKED_EVENT_FLAG_ENABLE);
    dma_mb(); /* as in virtq_enable_irq() */
    return !virtq_packed_pending(vq);
}

void virtq_packed_disable_irq(struct virtq *vq)
{
    set_wish(vq, VRING_PACKED_EVENT_FLAG_DISABLE);
}
