/*
 * ChaCha20 (RFC 8439 §2.3): its rounds, for words or for vectors of words, and the stream cipher
 * (§2.4) four blocks at a time by SSE2, which every x86-64 CPU has. Called by lib/random.c (the
 * rounds) and mm/far (the cipher). Pure; in any context that may use simd_begin().
 */
#pragma once

#include "lib/base.h"

#define CHACHA20_KEY   32u
#define CHACHA20_BLOCK 64u

#define CHACHA20_ROTL(v, n) ((v) << (n) | (v) >> (32 - (n)))
#define CHACHA20_QUARTER(a, b, c, d)                                                               \
    a += b, d ^= a, d = CHACHA20_ROTL(d, 16), c += d, b ^= c, b = CHACHA20_ROTL(b, 12), a += b,    \
                    d ^= a, d = CHACHA20_ROTL(d, 8), c += d, b ^= c, b = CHACHA20_ROTL(b, 7)

/* The twenty rounds on x[16], of any type that has +, ^, << and >> of 32-bit words. */
#define CHACHA20_ROUNDS(x)                                                                         \
    do {                                                                                           \
        for (int round_ = 0; round_ < 10; round_++) {                                              \
            CHACHA20_QUARTER(x[0], x[4], x[8], x[12]);                                             \
            CHACHA20_QUARTER(x[1], x[5], x[9], x[13]);                                             \
            CHACHA20_QUARTER(x[2], x[6], x[10], x[14]);                                            \
            CHACHA20_QUARTER(x[3], x[7], x[11], x[15]);                                            \
            CHACHA20_QUARTER(x[0], x[5], x[10], x[15]);                                            \
            CHACHA20_QUARTER(x[1], x[6], x[11], x[12]);                                            \
            CHACHA20_QUARTER(x[2], x[7], x[8], x[13]);                                             \
            CHACHA20_QUARTER(x[3], x[4], x[9], x[14]);                                             \
        }                                                                                          \
    } while (0)

/* The first four words: "expand 32-byte k". */
#define CHACHA20_SIGMA 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574

struct chacha20_key {
    uint32_t word[CHACHA20_KEY / 4];
};

/* n bytes of src, XORed with the key stream from its byte `at` on, to dst. nonce: words 13 to 15 of
 * the state. dst is src, or does not overlap it. The stream's end, 256 GiB, is not passed. */
void chacha20_xor(const struct chacha20_key *key, const uint32_t nonce[3], uint64_t at, void *dst,
                  const void *src, size_t n);
