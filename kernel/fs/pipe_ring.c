/*
 * The ring of page frames inside a pipe: see fs/pipe_ring.h. Called by fs/pipe.c; calls the
 * frame allocator and the heap. Never sleeps.
 */
#include "fs/pipe_ring.h"

#include "mm/frame.h"
#include "mm/slab.h"

#include <asm/errno.h>

int pipe_ring_init(struct pipe_ring *r, uint32_t nr)
{
    *r = (struct pipe_ring){.nr = nr};
    r->slots = kmalloc(nr * sizeof(*r->slots));
    return r->slots ? 0 : -ENOMEM;
}

void pipe_ring_free(struct pipe_ring *r)
{
    for (; r->tail != r->head; r->tail++)
        frame_put(pipe_ring_first(r)->frame);
    if (r->spare)
        frame_put(r->spare);
    kfree(r->slots);
}

int pipe_ring_resize(struct pipe_ring *r, uint32_t nr)
{
    uint32_t used = r->head - r->tail;
    if (used > nr)
        return -EBUSY;
    struct pipe_slot *slots = kmalloc(nr * sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (uint32_t i = 0; i < used; i++)
        slots[i] = *pipe_ring_at(r, i);
    kfree(r->slots);
    r->slots = slots;
    r->nr = nr;
    r->tail = 0;
    r->head = used;
    return 0;
}

size_t pipe_ring_bytes(const struct pipe_ring *r)
{
    size_t n = 0;
    for (uint32_t i = 0; i < r->head - r->tail; i++)
        n += pipe_ring_at(r, i)->len;
    return n;
}

struct pipe_slot *pipe_ring_mergeable(struct pipe_ring *r, size_t n)
{
    if (pipe_ring_empty(r))
        return NULL;
    struct pipe_slot *last = &r->slots[(r->head - 1) & (r->nr - 1)];
    return !last->packet && !last->shared && last->off + last->len + n <= PAGE_SIZE ? last : NULL;
}

phys_t pipe_ring_take_frame(struct pipe_ring *r)
{
    phys_t frame = r->spare;
    r->spare = 0;
    return frame ? frame : frame_alloc(0);
}

void pipe_ring_give_frame(struct pipe_ring *r, phys_t frame)
{
    if (r->spare)
        frame_put(frame);
    else
        r->spare = frame;
}

void pipe_ring_push(struct pipe_ring *r, struct pipe_slot slot)
{
    assert(!pipe_ring_full(r));
    r->slots[r->head++ & (r->nr - 1)] = slot;
}

void pipe_ring_consume(struct pipe_ring *r, size_t n)
{
    struct pipe_slot *s = pipe_ring_first(r);
    assert(!pipe_ring_empty(r) && n <= s->len);
    s->off += (uint16_t)n;
    s->len -= (uint16_t)n;
    if (s->len > 0 && !s->packet)
        return;
    r->tail++;
    if (s->shared)
        frame_put(s->frame);
    else
        pipe_ring_give_frame(r, s->frame);
}

void pipe_ring_share(struct pipe_ring *to, struct pipe_slot *src, size_t n)
{
    assert(n <= src->len);
    frame_get(src->frame);
    src->shared = true;
    struct pipe_slot copy = *src;
    copy.len = (uint16_t)n;
    pipe_ring_push(to, copy);
}
