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

void virtq_break(struct virtq *vq)
{
    vq->broken = true;
    vq->pfree = 0;
    vq->unkicked = 0;
    close_fast_paths(vq);
}

void *virtq_detach(struct virtq *vq)
{
    virtq_break(vq);
    for (unsigned i = 0; i < vq->size; i++)
        if (vq->slot[i].limit) {
            vq->slot[i].limit = 0;
            return vq->slot[i].cookie;
        }
    return NULL;
}

int virtq_add_slow(struct virtq *vq, const struct virtq_seg *seg, unsigned n, void *cookie)
{
    assert(n != 0);
    if (vq->packed && n <= vq->pfree)
        return virtq_packed_add(vq, seg, n, cookie);
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

/*
 * virtq_pop() found an entry it does not believe: of no buffer in flight, which ends the queue, or
 * too long, which is put right.
 */
void *virtq_pop_bad(struct virtq *vq, uint32_t id, uint32_t *len)
{
    struct virtq_slot *s;

    if (id >= vq->size || !vq->slot[id].limit) {
        vq->stats.bad++;
        virtq_break(vq);
        return NULL;
    }
    s = &vq->slot[id];
    vq->stats.bad_len++;
    *len = s->limit - 1;
    s->limit = 0;
    vq->last_used++;
    virtq_put_free(vq, id, s->ndesc == 1 ? id : vq->slot[s->next].ndesc, s->ndesc);
    return s->cookie;
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
