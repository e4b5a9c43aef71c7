/*
 * Cryptographic random numbers: ChaCha20 (RFC 8439 §2.3) with fast key erasure. Any context.
 */
#pragma once

#include "lib/base.h"

void random_bytes(void *buf, size_t n);
uint64_t random_u64(void);
/* Mixes entropy into the key; never makes it worse. */
void random_add_entropy(const void *data, size_t n);
/* Seeds from the CPU's generator and the clock; once at boot. */
void random_init(void);
