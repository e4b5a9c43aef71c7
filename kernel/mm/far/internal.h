/*
 * What the files of mm/far share; not for others. The frame's side of a page: the slot that it
 * owns, with two marks.
 */
#pragma once

#include "mm/far/backend.h"
#include "mm/far/far.h"
#include "mm/far/prefetch.h"
#include "mm/far/seal.h"

#define SLOT_MASK    FAR_SLOTS_MAX
#define SLOT_WRITING 0x80000000u /* a copy of the page is on its way to the slot */
#define SLOT_AHEAD   0x40000000u /* the page was fetched ahead, and has not been seen used */

/* The word of an anonymous page's frame; 0: it has no slot. */
uint32_t *far_word(phys_t frame);

/* io.c */
extern const struct far_backend *far_backend;
extern unsigned far_reading, far_writing; /* under way */
/* Reads slot into a new frame for va, whose entry *pte becomes "coming". false: not now. */
bool far_read(virt_t va, uint64_t *pte, enum far_class class);
/* Reads n bytes of the page at va, whose entry is pte, to `to`. false: not now. */
bool far_read_part(virt_t va, uint64_t pte, size_t n, void *to, unsigned tag);
/* Writes a copy of the page to its slot; PTE_D was cleared and flushed. false: not now. */
bool far_write(virt_t va, phys_t frame);
/* 0: all are taken. */
uint32_t far_slot_take(void);
void far_slot_give(uint32_t slot);
struct far_io *far_io_of(uint64_t pte);
/* Sleeps until some transfer is done: 0, or -ETIMEDOUT after so many ns. */
int far_wait_room(uint64_t ns);
/* The page at va leaves, if it is clean, unused and nobody else's. */
bool far_evict_clean(virt_t va, uint64_t *pte);
/* Takes the backend into use: 0 or -ENOMEM. cipher: for FAR_VERIFY_ENCRYPT. */
int far_start(const struct far_backend *b, enum far_verify how, const struct far_cipher *cipher);

/* fault.c */
extern const struct far_prefetcher *far_prefetcher;

/* reclaim.c */
/* Are there more pages than may be, or soon will be? */
bool far_is_tight(void);
/* Sends some away, without waiting. */
void far_reclaim(void);
/* The same, until one has left or is leaving; false: none can, wherever one looks. */
bool far_squeeze(void);
/* Pages that may be fetched ahead now. */
unsigned far_prefetch_room(void);

/* join.c */
/* Makes a page of 2 MiB, if there is one to be made. */
void far_join(uint64_t now);

/* ram.c */
extern const struct far_backend *far_ram_open(uint64_t bytes, uint64_t latency_ns);
