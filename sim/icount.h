/*
 * The file in which the instruction counter (sim/icount.c, a QEMU plugin) keeps its counts, mapped
 * by QEMU and read by `icount` (bench/icount.c) while the guest runs. All counts only grow;
 * whoever measures takes the difference of two readings.
 *
 * Profile: a hash table of blocks by the address of their first instruction, open addressing with
 * linear probing from icount_slot(); an entry with address 0 is free. Counts of blocks that no
 * longer fit go to `overflow`.
 *
 * With vcpus=on the counts are kept for each virtual CPU in `vcpu`, and `insns` and `reps` stay 0:
 * whoever wants all adds them up (icount_total()).
 */
#pragma once

#include <stdint.h>

#define ICOUNT_MAGIC   0x544e554f434948ull /* "HICOUNT" */
#define ICOUNT_VERSION 2
#define ICOUNT_SLOTS   (1u << 20)
#define ICOUNT_VCPUS   8

/* Halves of the address space: a unikernel's and Linux's kernel both live in the upper one. */
enum icount_half { ICOUNT_LOWER, ICOUNT_UPPER, ICOUNT_HALVES };

struct icount_block {
    uint64_t addr;
    uint64_t insns; /* executed in blocks that start there; a repeated one counts as often */
};

struct icount_counts {
    uint64_t insns[ICOUNT_HALVES]; /* without string instructions under a REP prefix */
    uint64_t reps[ICOUNT_HALVES];  /* those: one for each iteration, and one for the last test */
};

struct icount_file {
    uint64_t magic, version;
    struct icount_counts all;
    uint64_t slots; /* of the profile; 0 without one */
    uint64_t used;  /* of them */
    uint64_t overflow;
    uint64_t vcpus; /* entries of vcpu in use, 0 without vcpus=on */
    uint64_t unused[4];
    struct icount_counts vcpu[ICOUNT_VCPUS];
    struct icount_block block[];
};

static inline struct icount_counts icount_total(const volatile struct icount_file *f)
{
    struct icount_counts sum = {{0}, {0}};

    for (unsigned h = 0; h < ICOUNT_HALVES; h++) {
        sum.insns[h] = f->all.insns[h];
        sum.reps[h] = f->all.reps[h];
        for (unsigned i = 0; i < ICOUNT_VCPUS; i++) {
            sum.insns[h] += f->vcpu[i].insns[h];
            sum.reps[h] += f->vcpu[i].reps[h];
        }
    }
    return sum;
}

static inline uint32_t icount_slot(uint64_t addr)
{
    return (uint32_t)((addr * 0x9e3779b97f4a7c15ull) >> 44); /* the top 20 bits */
}
