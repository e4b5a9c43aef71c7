/*
 * Physical memory: a binary buddy allocator per memory range. A range is a stretch of
 * physical addresses of one kind (ordinary memory now, a memory tier later); each has
 * its own free lists. Called by all of the kernel; calls nothing. Never blocks; any
 * context. Physical address 0 is never handed out and means "none".
 */
#pragma once

#include "lib/base.h"

#define FRAME_MAX_ORDER 10 /* 4 MiB */
#define FRAME_MAX_RANGES 8

/* One per 4 KiB frame of every range, in an array at the start of the range. */
struct frame {
    uint32_t refs;  /* of the block's first frame; 0 when free */
    uint8_t order;  /* of the block this frame heads */
    uint8_t state;  /* enum frame_state */
    uint8_t range;  /* index of its range */
    uint8_t flags;  /* FRAME_CLEAN; 0 when allocated */
};

/* The content can be had again from where it came: set and cleared by fs/store.c, looked at by
 * mm/reclaim.c. */
#define FRAME_CLEAN 1

enum frame_state {
    FRAME_TAIL = 0, /* not the head of a block */
    FRAME_FREE,     /* heads a free block of its order */
    FRAME_USED,     /* heads an allocated block */
    FRAME_SLAB,     /* heads a block owned by the slab allocator */
};

struct frame_stats {
    uint64_t total, free;   /* frames of 4 KiB */
    uint64_t failed;        /* allocations refused */
};

/* Bytes of frame array that a range needs. */
size_t frame_array_size(phys_t start, phys_t end);
/*
 * Makes [start, end) a range whose frame array is at array (frame_array_size() bytes, mapped,
 * its own memory excluded from what is released later). Everything is allocated at first: the
 * caller gives the usable parts with frame_release_area(). The range's index, -ENOSPC or -EINVAL.
 */
int frame_add_range(phys_t start, phys_t end, void *array);
/* Makes [start, end) free memory. Parts already free must not overlap. */
void frame_release_area(phys_t start, phys_t end);

/* A block of 2^order frames, referenced once, content undefined; 0 when there is none. */
phys_t frame_alloc(unsigned order);
/* As frame_alloc(0), filled with zeroes. */
phys_t frame_alloc_zero(void);
/* From one range only. */
phys_t frame_alloc_from(unsigned range, unsigned order);
/* 2^order frames that are freed one by one (each has its own reference). */
phys_t frame_alloc_split(unsigned order);
/* Turns an allocated block, referenced once, into frames that are freed one by one. */
void frame_split(phys_t p);
/* Marks each 4 KiB frame of [start, end), page aligned and never released, as used with one
 * reference: memory that was filled before the allocator ran (the initrd) becomes ordinary. */
void frame_adopt(phys_t start, phys_t end);
/* Drops a reference; the last one frees the block. */
void frame_put(phys_t p);
void frame_get(phys_t p);
/* The frame's metadata; NULL for an address that is in no range (device memory). */
struct frame *frame_of(phys_t p);
/* A number of its own for each frame, from 0 to below frame_numbers(), for tables beside. The frame
 * is in a range. */
uint64_t frame_number(phys_t p);
uint64_t frame_numbers(void);
struct frame_stats frame_stats(void);
/* Registers a function that can give memory back when an allocation fails: returns frames freed. */
void frame_set_reclaim(uint64_t (*reclaim)(unsigned order));
