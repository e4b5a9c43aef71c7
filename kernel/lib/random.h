/*
 * Cryptographic random numbers: ChaCha20 (RFC 8439 §2.3) with fast key erasure. Any context.
 */
#pragma once

#include "lib/base.h"

void random_bytes(void *buf, size_t n);
uint64_t random_u64(void);
/* Mixes entropy into the key; never makes it worse. */
void random_add_entropy(const void *data, size_t n);
/* The same with what nobody else can know, as from a device for that. */
void random_seed(const void *data, size_t n);
/* Has there been enough of that for a key? */
bool random_is_seeded(void);
/* Seeds from the CPU's generator and the clock; once at boot. */
void random_init(void);
