/*
 * What a store holds: the bytes of a value are a function of its key and a version, so that an
 * answer's content is checked whole without remembering what was written. Values of 24 bytes and
 * more start with key, version and a check of both; any version of the right key is good, since
 * several connections write at once. Smaller values have version 0 only. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VALUE_HEAD = 24, VALUE_MAX = 1 << 20 };

/* A value's size is a function of its key. */
struct value_sizes {
    uint32_t size; /* 0: 4, 8, 16, 32, 64 and 128 KiB equally */
};

uint32_t value_size(const struct value_sizes *s, uint64_t key);
void value_fill(void *out, size_t size, uint64_t key, uint64_t version);
bool value_good(const void *data, size_t size, uint64_t key);
/* Exactly this version. */
bool value_is(const void *data, size_t size, uint64_t key, uint64_t version);
