/*
 * The memory that a node lends: regions (anonymous memory or a file, mapped), and extents of them
 * that clients have. Memory that nobody has holds zeros: it is cleared when an extent is freed, so
 * no client sees another's bytes. Called by session.c (extents), the responder (where an address
 * lies), options and statistics. Makes mappings; waits for nothing but the file system.
 *
 * An extent's remote address tells region and offset and nothing of this process: (region + 1) <<
 * 44 | offset. Its rkey is a slot of the table (the low bits) and a random number, so that a key of
 * yesterday's or another's does not open it. It belongs to one owner.
 */
#pragma once

#include "../../kernel/roce/node_proto.h"
#include "../util.h"

enum {
    MEMORY_REGIONS = 16,
    MEMORY_EXTENTS = 4096, /* of all clients: a power of two */
    MEMORY_VA_SHIFT = 44,
    MEMORY_HUGE = 2 << 20, /* extents of at least so many bytes begin at a multiple of it */
};

struct region_spec {
    char name[NODE_NAME + 1];
    uint64_t size;
    uint64_t quota;   /* of each client, in bytes; 0: none but the general one */
    const char *file; /* a file or a directory; NULL: anonymous */
    bool huge_pages;  /* only such: fails without; else the kernel may use them as it likes */
};

struct free_piece {
    uint64_t offset, length;
};

struct region {
    struct region_spec spec;
    uint8_t *base;
    int fd; /* -1: anonymous */
    uint64_t used;
    struct free_piece *pieces; /* by offset; no two touch */
    size_t nr_pieces, room;
};

struct extent {
    uint32_t rkey; /* 0: the slot is free */
    uint32_t key;  /* what clients are told: the same, or an RDMA device's */
    uint32_t owner;
    unsigned region, access;
    uint64_t offset, length;
    void *handle; /* the device's */
};

struct device;

struct memory {
    struct region regions[MEMORY_REGIONS];
    unsigned nr_regions;
    uint64_t quota;        /* of each client; 0: none */
    struct device *device; /* that extents are registered with (device.h), or NULL */
    struct extent extents[MEMORY_EXTENTS];
    unsigned nr_extents;
};

/* "NAME=SIZE[,file=PATH][,quota=SIZE]"; sizes are a number with K, M, G, T or none behind it. The
 * text is not needed afterwards. */
bool region_parse(struct region_spec *spec, const char *text, struct why *why);
bool memory_size_parse(uint64_t *size, const char *text);
/* What has no room in the memory's table or on this host is refused. */
bool memory_add(struct memory *m, const struct region_spec *spec, struct why *why);
void memory_close(struct memory *m);

/* name: a region's, NULL: the first that has room. */
enum node_status memory_alloc(struct memory *m, uint32_t owner, const char *name, uint64_t bytes,
                              unsigned access, struct extent **out);
/* The owner's extent that was told with that key, or NULL. */
struct extent *memory_find(struct memory *m, uint32_t owner, uint32_t key);
uint64_t memory_va(const struct extent *e);
void memory_free(struct memory *m, struct extent *e);
void memory_free_all(struct memory *m, uint32_t owner);
/* What an owner has: bytes and, if not NULL, number of extents. */
uint64_t memory_used(const struct memory *m, uint32_t owner, unsigned *extents);
uint64_t memory_largest(const struct memory *m);
uint64_t memory_total(const struct memory *m);

/* Where n > 0 bytes at va lie, if rkey lets this owner access them so; NULL if not. */
static inline uint8_t *memory_at(struct memory *m, uint32_t owner, uint32_t rkey, uint64_t va,
                                 uint64_t n, unsigned access)
{
    struct extent *e = &m->extents[rkey & (MEMORY_EXTENTS - 1)];
    uint64_t base = ((uint64_t)e->region + 1) << MEMORY_VA_SHIFT;
    uint64_t at = va - base - e->offset;

    if (!rkey || e->rkey != rkey || e->owner != owner || (e->access & access) != access ||
        at > e->length || n > e->length - at)
        return NULL;
    return m->regions[e->region].base + e->offset + at;
}
