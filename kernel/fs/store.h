/*
 * The content of a tmpfs file: 4 KiB pages by index, sparse. Called by tmpfs only. Calls
 * the frame allocator, the heap and, for a backing on disk, the block device; only then it
 * may sleep, where said.
 *
 * A page is in one of three places, looked for in this order:
 *   - in a slot of a radix tree (64 slots a node): a frame of its own, or known to be a hole;
 *   - in the backing: the stretch of the initial archive that holds the file's data, in
 *     physical memory, where it was loaded. If it is page aligned there, its frames are the
 *     file's pages, read, written and mapped in place. If not, reads copy straight from the
 *     archive, and a page is copied into a frame of its own when it is first written or mapped;
 *   - nowhere: a hole, zeroes.
 *
 * The archive may also lie on a disk (store_init_disk). Its pages then are "in the backing" too,
 * but must be read into frames of their own before they can be looked at: store_bring() does so,
 * some pages at a time, and sleeps. Such frames are FRAME_CLEAN until somebody writes to them
 * (store_dirty()); while they are, and nobody else refers to them, they go back to the disk when
 * memory runs out. So a frame found here must be referenced before anything is allocated.
 *
 * References: the file holds one on every frame that overlaps backing data still in use. Page i
 * of an unaligned backing overlaps the frames B+i and B+i+1 (B: the first one), so a frame is
 * dropped when both pages that share it are gone (got a slot, or were cut off). Aligned: page i
 * is frame B+i. Nobody else's reference is touched, so neighbouring files and archive headers
 * that share a frame keep it alive for as long as they need it.
 */
#pragma once

#include "mm/frame.h"

struct blkdev;
struct store_disk;

struct page_store {
    void *root;              /* of the radix tree; NULL: no slots */
    unsigned height;         /* levels; 1: the root is a leaf */
    uint64_t frames;         /* slots that hold frames */
    phys_t backing;          /* where the archive has the data; on disk: its byte offset there */
    uint64_t backing_len;    /* bytes of it still in use, from the start of the file */
    struct store_disk *disk; /* the backing is there; NULL: in memory */
};

struct store_stats {
    uint64_t brought, reclaimed; /* pages read from disk, and such given up when memory ran out */
};
extern struct store_stats store_stats;

/* Takes over the caller's references on the frames of [backing, backing+len). */
void store_init(struct page_store *ps, phys_t backing, uint64_t len);
/* The same for data on a disk, at a page-aligned offset: 0, -ENOMEM. */
int store_init_disk(struct page_store *ps, struct blkdev *disk, uint64_t off, uint64_t len);
/* Makes sure that page i is not only on disk: 0, -ENOMEM, -EIO. May sleep. */
int store_bring_slow(struct page_store *ps, uint64_t i);
static inline int store_bring(struct page_store *ps, uint64_t i)
{
    return likely(ps->disk == NULL) ? 0 : store_bring_slow(ps, i);
}
/* To be called before a frame of a store is written to, or handed out to be. */
static inline void store_dirty(phys_t frame)
{
    struct frame *f = frame_of(frame);

    if (f != NULL)
        f->flags &= (uint8_t)~FRAME_CLEAN;
}
/* Frees everything from page first on. */
void store_cut(struct page_store *ps, uint64_t first);
/* Makes [first, last) holes. In place: frames others refer to (mappings) are zeroed instead. */
int store_punch(struct page_store *ps, uint64_t first, uint64_t last);
/* The frame of page i if it has one, else 0. Not referenced. */
phys_t store_peek(const struct page_store *ps, uint64_t i);
/* The same, made if it has none (zeroes, or copied from the archive; brought from disk, which may
 * sleep); 0: out of memory, or the disk failed. */
phys_t store_get(struct page_store *ps, uint64_t i);
/* Gives page i, which is nowhere yet, a frame (the caller's reference): 0, -ENOMEM. */
int store_install(struct page_store *ps, uint64_t i, phys_t frame);
/*
 * What can be read from byte off on in one piece: a pointer and in *n its length (<= max), or NULL
 * for *n bytes of zeroes. At most up to the next page border, except in an untouched backing.
 */
const void *store_run(const struct page_store *ps, uint64_t off, size_t max, size_t *n);
/* Zeroes [off, off+n), which lies within one page, if there is something there: 0, -ENOMEM. May
 * sleep if it is on disk. */
int store_zero(struct page_store *ps, uint64_t off, size_t n);
/* The first page >= i, below end, that is data (or a hole): end if there is none. */
uint64_t store_next(const struct page_store *ps, uint64_t i, uint64_t end, bool data);
/* Pages that take memory. */
uint64_t store_count(const struct page_store *ps);
