/*
 * The fast path of the service: a GET whose key has 8 to 16 bytes, of a value of up to 64. Here,
 * and inline, for front ends into whose loops it is to be built; service.h is for all others.
 */
#pragma once

#include "service.h"
#include "store.h"

#define kv_likely(x) __builtin_expect(!!(x), 1)

enum {
    KV_ALIGN = 128,
    KV_QUICK_MIN = KV_HEAD + KV_QUICK_KEY_MIN, /* of the request */
    KV_QUICK_MAX = KV_HEAD + KV_QUICK_KEY_MAX,
    KV_QUICK_ROOM = KV_HEAD + KV_QUICK_VALUE_MAX, /* for the reply */
};

struct kv {
    struct kv_stats stats;
    struct kv_store store; /* last: slots and units follow it */
} __attribute__((aligned(128)));

/* What kv_begin() and kv_handle() do if the following say no. */
void kv_begin_other(struct kv *kv, struct kv_request *r, const void *data, size_t len);
size_t kv_handle_other(struct kv *kv, struct kv_request *r, void *reply, size_t room, uint32_t now);

/* Is it a GET that is for the fast path? Then *home is where its key belongs. A right one has just
 * one head, but for its id, at each length. */
static inline bool kv_is_quick(const struct kv_store *st, const uint8_t *p, size_t len,
                               struct kv_slot **home)
{
    if (!kv_likely(len - KV_QUICK_MIN <= KV_QUICK_MAX - KV_QUICK_MIN &&
                   kv_load64(p) == ((len << 24) + (KV_VERSION | KV_GET << 8) - (KV_HEAD << 24))))
        return false;
    *home = kv_home(st, kv_hash_quick(st, p + KV_HEAD, len - KV_HEAD));
    __asm__("" : "+r"(*home)); /* or else it is made anew of its sum for each use */
    return true;
}

/* The length of the reply. out has KV_QUICK_ROOM, and may be p. The caller counts the hit. */
static inline size_t kv_reply_quick(struct kv_slot *s, const uint8_t *p, uint8_t *out)
{
    s->age = KV_FRESH;
    kv_store64(out, s->reply);
    if (out != p)
        kv_store64(out + 8, kv_load64(p + 8));
    /* As much as the longest value of the fast path, whatever this one's length: no loop. */
    kv_copy64(out + KV_HEAD, s->body + KV_KEY_SPACE);
    return s->len;
}

/* Is the item of such a GET, of len bytes at p, in the slot s, small, and not expired?
 * One comparison tells that length and slot are for the fast path: the slot has the request's
 * length in `quick`. */
static inline bool kv_is_here(const struct kv_slot *s, const uint8_t *p, size_t len, uint32_t now)
{
    return kv_likely(s->quick == (uint8_t)len && kv_load64(s->body) == kv_load64(p + KV_HEAD) &&
                     kv_load64(s->body + len - KV_HEAD - 8) == kv_load64(p + len - 8) &&
                     now < s->expires);
}

/* Is it in the slot *s, its home, or behind it? Then *s is where. */
static inline bool kv_quick(struct kv_slot **s, const uint8_t *p, size_t len, uint32_t now)
{
    struct kv_slot *home = *s;

    if (kv_is_here(home, p, len, now))
        return true;
    for (uint32_t hop = home->hop & ~UINT32_C(1); hop; hop &= hop - 1) {
        *s = home + __builtin_ctz(hop);
        if (kv_is_here(*s, p, len, now))
            return true;
    }
    return false;
}

static inline bool kv_begin_quick(struct kv *kv, struct kv_request *r, const void *data, size_t len)
{
    if (!kv_likely(kv_is_quick(&kv->store, data, len, &r->home)))
        return false;
    kv_prefetch(r->home);
    r->data = data;
    r->verdict = len;
    return true;
}
