/* See value.h. */
#include "value.h"

#include "rng.h"

#include <string.h>

uint32_t value_size(const struct value_sizes *s, uint64_t key)
{
    if (s->size)
        return s->size;
    return UINT32_C(4096) << (((splitmix64(&key) >> 32) * 6) >> 32);
}

/* The bytes behind the head: a Weyl sequence, mixed a little, is fast and has no repeats. */
static inline uint64_t word(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    return (z ^ z >> 29) * 0xbf58476d1ce4e5b9;
}

static uint64_t start(size_t size, uint64_t key, uint64_t version)
{
    uint64_t a = key, b = (size < VALUE_HEAD ? 0 : version) ^ 0x5bd1e9955bd1e995;

    return splitmix64(&a) ^ splitmix64(&b);
}

void value_fill(void *out, size_t size, uint64_t key, uint64_t version)
{
    uint64_t state = start(size, key, version), w;
    uint8_t *p = out;

    if (size >= VALUE_HEAD) {
        memcpy(p, &key, 8);
        memcpy(p + 8, &version, 8);
        memcpy(p + 16, &state, 8);
        p += VALUE_HEAD;
        size -= VALUE_HEAD;
    }
    for (; size >= 8; p += 8, size -= 8) {
        w = word(&state);
        memcpy(p, &w, 8);
    }
    w = word(&state);
    memcpy(p, &w, size);
}

bool value_is(const void *data, size_t size, uint64_t key, uint64_t version)
{
    uint64_t state = start(size, key, version), w, got;
    const uint8_t *p = data;

    if (size >= VALUE_HEAD) {
        if (memcmp(p, &key, 8) != 0 || memcmp(p + 8, &version, 8) != 0 ||
            memcmp(p + 16, &state, 8) != 0)
            return false;
        p += VALUE_HEAD;
        size -= VALUE_HEAD;
    }
    for (; size >= 8; p += 8, size -= 8) {
        w = word(&state);
        memcpy(&got, p, 8);
        if (got != w)
            return false;
    }
    w = word(&state);
    return memcmp(p, &w, size) == 0;
}

bool value_good(const void *data, size_t size, uint64_t key)
{
    uint64_t version = 0;

    if (size >= VALUE_HEAD)
        memcpy(&version, (const uint8_t *)data + 8, 8);
    return value_is(data, size, key, version);
}
