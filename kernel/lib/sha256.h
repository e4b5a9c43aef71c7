/*
 * SHA-256 (FIPS 180-4) and HMAC-SHA256 (RFC 2104), for the little that a client of a memory node
 * signs and checks. Pure; any context. Not meant for much data.
 */
#pragma once

#include "lib/base.h"

#define SHA256_BYTES 32u

struct sha256 {
    uint32_t h[8];
    uint64_t len; /* bytes so far */
    uint8_t block[64];
};

void sha256_init(struct sha256 *s);
void sha256_update(struct sha256 *s, const void *data, size_t n);
void sha256_final(struct sha256 *s, uint8_t out[SHA256_BYTES]);
void hmac_sha256(const void *key, size_t key_len, const void *data, size_t n,
                 uint8_t out[SHA256_BYTES]);
