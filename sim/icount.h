/*
 * The file in which the instruction counter (sim/icount.c, a QEMU plugin) keeps its counts, mapped
 * by QEMU and read by `icount` (bench/icount.c) while the guest runs. All counts only grow;
 * whoever measures takes the difference of two readings.
 *
 * Profile: a hash table of blocks by the address of their first instruction, open addressing with
 * linear probing from icount_slot(); an entry with address 0 is free. Counts of blocks that no
 * longer fit go to `overflow`.
 */
#pragma once

#include <stdint.h>

#define ICOUNT_MAGIC   0x544e554f434948ull /* "HICOUNT" */
#define ICOUNT_VERSION 1
#define ICOUNT_SLOTS   (1u << 20)

/* Halves of the address space: a unikernel's and Linux's kernel both live in the upper one. */
enum icount_half { ICOUNT_LOWER, ICOUNT_UPPER, ICOUNT_HALVES };

struct icount_block {
    uint64_t addr;
    uint64_t insns; /* executed in blocks that start there; a repeated one counts as often */
};

struct icount_file {
    uint64_t magic, version;
    uint64_t insns[ICOUNT_HALVES]; /* without string instructions under a REP prefix */
    uint64_t reps[ICOUNT_HALVES];  /* those: one for each iteration, and one for the last test */
    uint64_t slots;                /* of the profile; 0 without one */
    uint64_t used;                 /* of them */
    uint64_t overflow;
    uint64_t unused[5];
    struct icount_block block[];
};

static inline uint32_t icount_slot(uint64_t addr)
{
    return (uint32_t)((addr * 0x9e3779b97f4a7c15ull) >> 44); /* the top 20 bits */
}
