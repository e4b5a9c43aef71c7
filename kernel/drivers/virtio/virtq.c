/*
 * Virtqueues: set-up, the end of a queue, and the paths that virtq.h's inlines leave for rare
 * cases. Called by the virtio core and, through virtq.h, by drivers; any context, never sleeps.
 * Pure: touches only the memory it was given and the notification register, so that the unit
 * tests and the fuzzer play the device.
 */
#include "drivers/virtio/virtq.h"

#include "drivers/virtio/virtq_packed.h"

/* What a broken or packed queue's used points to: index 0, as its last_used, for ever. */
static const struct {
    uint16_t flags, idx;
    struct vring_used_elem ring[1];
} empty_used;

size_t virtq_ring_bytes(unsigned size, bool packed)
{
    if (packed)
        return size * sizeof(struct vring_packed_desc) + 2 * sizeof(struct vring_packed_desc_event);
    /* §2.7: descriptors; flags, idx, ring, used_event; flags, idx, ring, avail_event (4-aligned).
     */
    return size * sizeof(struct vring_desc) + ALIGN_UP(6 + 2 * size, 4u) + 6 + 8 * size;
}

static void close_fast_paths(struct virtq *vq)
{
    vq->used = (struct vring_used *)&empty_used;
    vq->last_used = 0;
    vq->nfree = 0;
    vq->published = vq->avail_idx;
    vq->event_idx = false;
}

void virtq_init(struct virtq *vq, unsigned size, bool packed, bool event_idx, void *ring,
                struct virtq_slot *slots)
{
    assert(size > 0 && size <= VIRTQ_MAX_SIZE && (packed || !(size & (size - 1))));
    vq->size = (uint16_t)size;
    vq->packed = packed;
    vq->broken = false;
    vq->slot = slots;
    vq->ring_mem = ring;
    vq->free_head = 0;
    vq->free_tail = size - 1;
    vq->disorder = 0;
    vq->aside = vq->in_order = vq->single = false;
    vq->table_len = vq->batch = vq->oldest = 0;
    vq->tables = NULL;
    vq->avail_idx = vq->published = vq->last_used = 0;
    for (unsigned i = 0; i < size; i++)
        slots[i] = (struct virtq_slot){.next = (uint16_t)(i + 1 < size ? i + 1 : 0)};
    if (packed) {
        close_fast_paths(vq);
        virtq_packed_init(vq, event_idx, ring);
        return;
    }
    vq->desc = ring;
    vq->avail = (void *)(vq->desc + size);
    vq->used_event = &vq->avail->ring[size];
    vq->used = (void *)((char *)vq->avail + ALIGN_UP(6 + 2 * size, 4u));
    vq->avail_event = (uint16_t *)&vq->used->ring[size];
    vq->mask = size - 1;
    vq->nfree = size;
    vq->event_idx = event_idx;
    vq->avail->flags = event_idx ? 0 : VRING_AVAIL_F_NO_INTERRUPT; /* §2.7.7.1 */
    virtq_disable_irq(vq);
}

void virtq_set_tables(struct virtq *vq, void *tables, uint64_t phys, unsigned len)
{
    vq->tables = tables;
    vq->tables_phys = phys;
    vq->table_len = (uint16_t)MIN(len, vq->size); /* no chain is longer than that (§2.7.5.3.1) */
    vq->aside = true;
}

void virtq_set_in_order(struct virtq *vq)
{
    vq->in_order = true;
    vq->single = !vq->packed;
    vq->aside |= vq->single;
}

static void break_queue(struct virtq *vq)
{
    if (vq->batch > 0 && !vq->packed)
        vq->slot[vq->last_used & vq->mask].limit = vq->batch_limit;
    vq->batch = 0;
    vq->broken = true;
    vq->pfree = 0;
    vq->unkicked = 0;
    close_fast_paths(vq);
}

void *virtq_detach(struct virtq *vq)
{
    break_queue(vq);
    for (unsigned i = 0; i < vq->size; i++)
        if (vq->slot[i].limit) {
            vq->slot[i].limit = 0;
            return vq->slot[i].cookie;
        }
    return NULL;
}

/* Longer than a table. */
static __cold int add_long(struct virtq *vq, const struct virtq_seg *seg, unsigned n, void *cookie)
{
    return virtq_add_plain(vq, seg, n, cookie);
}

int virtq_add_slow(struct virtq *vq, const struct virtq_seg *seg, unsigned n, void *cookie)
{
    assert(n != 0);
    if (vq->packed && n > 1 && n <= vq->table_len && vq->pfree > 0)
        return virtq_packed_add_table(vq, seg, n, cookie);
    if (vq->packed && n <= vq->pfree)
        return virtq_packed_add(vq, seg, n, cookie);
    if (n > vq->table_len && n <= vq->nfree && !vq->single)
        return add_long(vq, seg, n, cookie);
    return vq->broken ? -EIO : -ENOSPC;
}

void virtq_kick_slow(struct virtq *vq)
{
    if (vq->packed && vq->unkicked)
        virtq_packed_kick(vq);
}

bool virtq_pending_slow(const struct virtq *vq)
{
    return !vq->broken && virtq_packed_pending(vq);
}

void *virtq_pop_slow(struct virtq *vq, uint32_t *len)
{
    return vq->broken ? NULL : virtq_packed_pop(vq, len);
}

void *virtq_lied(struct virtq *vq)
{
    vq->stats.bad++;
    break_queue(vq);
    return NULL;
}

/*
 * In order: the oldest buffer, if the completion that names head is of a batch which begins there.
 * Until the last of a batch is taken no entry of the used ring says anything of its buffers: what
 * stands there is of earlier laps. To keep virtq_peek() from believing it, the next buffer's limit
 * is out of its slot meanwhile.
 */
static void *peek_in_order(struct virtq *vq, uint32_t head, uint32_t *id, uint32_t *len)
{
    uint32_t place = vq->last_used & vq->mask, limit = vq->batch_limit;

    assert((vq->disorder != 0) ==
           (vq->batch != 0)); /* what was asked of virtq_exchange()'s users */
    if (vq->batch == 0) {
        uint32_t n = ((head - place) & vq->mask) + 1;

        if (head > vq->mask || n > vq->avail_idx - vq->last_used ||
            n > (uint16_t)(READ_ONCE(vq->used->idx) - (uint16_t)vq->last_used))
            return virtq_lied(vq);
        vq->batch = (uint16_t)n;
        vq->batch_len = *len;
        limit = vq->slot[place].limit;
    }
    *len = --vq->batch > 0 ? limit - 1 : virtq_believable(vq, vq->batch_len, limit);
    vq->disorder = vq->batch > 0;
    if (vq->batch > 0) {
        struct virtq_slot *next = &vq->slot[(place + 1) & vq->mask];

        vq->batch_limit = next->limit;
        next->limit = 0;
    }
    *id = place;
    return vq->slot[place].cookie;
}

/*
 * virtq_peek() found a completion that is not of the buffer at its place, or too long: out of
 * order, of a batch, a length to be put right; or of no buffer in flight, which ends the queue.
 */
void *virtq_peek_other(struct virtq *vq, uint32_t head, uint32_t *id, uint32_t *len)
{
    *id = VIRTQ_TAKEN;
    if (vq->in_order)
        return peek_in_order(vq, head, id, len);
    if (head > vq->mask || !vq->slot[head].limit)
        return virtq_lied(vq);
    *id = head;
    *len = virtq_believable(vq, *len, vq->slot[head].limit);
    return vq->slot[head].cookie;
}

void *virtq_look_other(const struct virtq *vq, uint32_t head)
{
    if (vq->in_order) /* the oldest, whichever is named */
        return vq->avail_idx != vq->last_used ? vq->slot[vq->last_used & vq->mask].cookie : NULL;
    return head <= vq->mask && vq->slot[head].limit != 0 ? vq->slot[head].cookie : NULL;
}

bool virtq_enable_irq_slow(struct virtq *vq)
{
    if (vq->broken)
        return true;
    if (vq->packed)
        return virtq_packed_enable_irq(vq);
    WRITE_ONCE(vq->avail->flags, 0);
    dma_mb(); /* as in virtq_enable_irq() */
    return READ_ONCE(vq->used->idx) == (uint16_t)vq->last_used;
}

void virtq_disable_irq_slow(struct virtq *vq)
{
    if (vq->broken)
        return;
    if (vq->packed)
        virtq_packed_disable_irq(vq);
    else
        WRITE_ONCE(vq->avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
}
