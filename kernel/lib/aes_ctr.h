/*
 * AES-128 in counter mode (FIPS 197; NIST SP 800-38A §6.5) by the CPU's AES instructions. The first
 * counter block is the caller's, two halves of 64 bits that are big-endian in it, as in the
 * standard's examples; the second one counts the blocks of a message, without a carry into the
 * first. Called by mm/far. Pure; in any context that may use simd_begin().
 */
#pragma once

#include "lib/base.h"

#define AES128_KEY   16u
#define AES_BLOCK    16u
#define AES128_STEPS 11u

struct aes128_key {
    uint8_t round[AES128_STEPS][AES_BLOCK] __attribute__((aligned(16)));
};

/* Has this CPU the instructions? The other functions may be called only then. */
bool aes128_usable(void);
void aes128_set_key(struct aes128_key *k, const uint8_t key[AES128_KEY]);
/* n bytes of src, XORed with the key stream that begins with the block `counter`, from its byte
 * `at` on, to dst. dst is src, or does not overlap it. */
void aes128_ctr(const struct aes128_key *k, const uint64_t counter[2], uint64_t at, void *dst,
                const void *src, size_t n);
