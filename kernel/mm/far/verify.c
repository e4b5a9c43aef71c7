/* See verify.h. */
#include "mm/far/verify.h"

uint64_t far_key[PAGE_SIZE / sizeof(uint64_t)];

struct far_tag far_tag_of(const void *page)
{
    const uint64_t *m = page, *k = far_key;
    unsigned __int128 sum = 0;

#pragma GCC unroll 8
    for (unsigned i = 0; i < PAGE_SIZE / sizeof(*m); i += 2)
        sum += (unsigned __int128)(m[i] + k[i]) * (m[i + 1] + k[i + 1]);
    return (struct far_tag){.lo = (uint64_t)sum, .hi = (uint64_t)(sum >> 64)};
}
