/*
 * The packed ring's half of virtq.h (virtio 1.2 §2.8); for virtq.c only.
 */
#pragma once

#include "drivers/virtio/virtq.h"

void virtq_packed_init(struct virtq *vq, bool event_idx, void *ring);
int virtq_packed_add(struct virtq *vq, const struct virtq_seg *seg, unsigned n, void *cookie);
int virtq_packed_add_table(struct virtq *vq, const struct virtq_seg *seg, unsigned n, void *cookie);
void virtq_packed_kick(struct virtq *vq);
bool virtq_packed_pending(const struct virtq *vq);
void *virtq_packed_pop(struct virtq *vq, uint32_t *len);
bool virtq_packed_enable_irq(struct virtq *vq);
void virtq_packed_disable_irq(struct virtq *vq);
/* Shared with virtq.c. A completion is of nothing in flight: the queue breaks. NULL. */
void *virtq_lied(struct virtq *vq);
/* What is possible of the len bytes that the device says it wrote. */
static inline uint32_t virtq_believable(struct virtq *vq, uint32_t len, uint32_t limit)
{
    if (likely(len < limit))
        return len;
    vq->stats.bad_len++;
    return limit - 1;
}
