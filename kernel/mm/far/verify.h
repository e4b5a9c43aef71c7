/*
 * Is a page that came back what was sent? A tag of 128 bits a slot stays here, made with a key that
 * nobody else ever learns: a universal hash, NH of 64-bit words (T. Krovetz, "Message
 * authentication on 64-bit architectures", SAC 2006; J. Black et al., CRYPTO '99). Who sees neither
 * key nor tags, since both never leave, finds another page with the same tag with a probability of
 * 2^-64 an attempt, whatever they know of the pages. A page of an earlier time or of another slot
 * is another page, so that stale, torn, swapped and forged ones are told alike. Pure.
 */
#pragma once

#include "mm/layout.h"

struct far_tag {
    uint64_t lo, hi;
};

/* A page of random bytes, once, before the first tag. */
extern uint64_t far_key[PAGE_SIZE / sizeof(uint64_t)];

struct far_tag far_tag_of(const void *page);

static inline bool far_tag_equal(struct far_tag a, struct far_tag b)
{
    return ((a.lo ^ b.lo) | (a.hi ^ b.hi)) == 0;
}
