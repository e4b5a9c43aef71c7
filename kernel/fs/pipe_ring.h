/*
 * A pipe's content: a ring of slots, each a stretch of a page frame. Nothing here sleeps or
 * knows of readers, writers or locks (fs/pipe.c does), so unit tests run it on the host.
 */
#pragma once

#include "lib/base.h"

struct pipe_slot {
    phys_t frame; /* one reference is the slot's */
    uint16_t off; /* of the first byte not yet read */
    uint16_t len;
    bool packet; /* one write in O_DIRECT mode: a read takes it whole, cut to its size */
    bool shared; /* others see this frame too: bytes must not be added to it */
};

struct pipe_ring {
    struct pipe_slot *slots;
    uint32_t nr;         /* slots, a power of two */
    uint32_t head, tail; /* free-running; head - tail slots are in use */
    phys_t spare;        /* a frame kept for the next write; 0: none */
};

int pipe_ring_init(struct pipe_ring *r, uint32_t nr); /* 0, -ENOMEM */
void pipe_ring_free(struct pipe_ring *r);
/* Changes the number of slots (a power of two): 0, -EBUSY when more are in use, -ENOMEM. */
int pipe_ring_resize(struct pipe_ring *r, uint32_t nr);
/* Bytes to read. */
size_t pipe_ring_bytes(const struct pipe_ring *r);

static inline bool pipe_ring_empty(const struct pipe_ring *r)
{
    return r->head == r->tail;
}
static inline bool pipe_ring_full(const struct pipe_ring *r)
{
    return r->head - r->tail >= r->nr;
}
static inline struct pipe_slot *pipe_ring_first(const struct pipe_ring *r)
{
    return &r->slots[r->tail & (r->nr - 1)];
}
/* The i-th slot from the oldest, i < slots in use. */
static inline struct pipe_slot *pipe_ring_at(const struct pipe_ring *r, uint32_t i)
{
    return &r->slots[(r->tail + i) & (r->nr - 1)];
}
/* The newest slot if n more bytes may be added behind its own; NULL if not. */
struct pipe_slot *pipe_ring_mergeable(struct pipe_ring *r, size_t n);
/* An empty frame for a new slot, 0 when out of memory; goes into the ring or back. */
phys_t pipe_ring_take_frame(struct pipe_ring *r);
void pipe_ring_give_frame(struct pipe_ring *r, phys_t frame);
/* Appends a slot; the ring is not full. Takes over the reference to the frame. */
void pipe_ring_push(struct pipe_ring *r, struct pipe_slot slot);
/* Drops the first n bytes of the oldest slot, and the slot when nothing (or a packet's rest) is
 * left of it. */
void pipe_ring_consume(struct pipe_ring *r, size_t n);
/* Gives n bytes of slot src to the end of to by reference; src keeps them as well. */
void pipe_ring_share(struct pipe_ring *to, struct pipe_slot *src, size_t n);
