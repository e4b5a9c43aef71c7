/*
 * The table of the key-value store. Used by service.c, which includes it for the fast path of GET;
 * pure and freestanding, memory is the caller's.
 *
 * Slots. The table is an array of slots of 128 bytes, an aligned pair of cache lines. A key has a
 * home, a slot chosen by its hash. Its item is there or in one of the KV_WINDOW - 1 slots behind
 * it, which of them says the home's bitmap `hop` (as in hopscotch hashing: Herlihy, Shavit and
 * Tzafrir, DISC 2008; but items never move). So a key that is not there, or is at home, costs one
 * slot; and deletion clears a bit: there are no tombstones, and nothing to clean up.
 *
 * A slot holds its item whole if key (rounded up to 8, to 16 at least) and value have together at
 * most KV_BODY bytes. Else the value is in units.
 *
 * Units. The rest of the memory is an array of units of 128 bytes. A value takes as many as it
 * needs, anywhere; their numbers are in the slot. A key of more than KV_KEY_NEAR bytes precedes its
 * value there. One size for all means that every free unit serves every value: nothing can
 * fragment, and what is lost is less than one unit a value. `owner` has a word for each unit: the
 * slot that has it, or, with KV_UNIT_FREE, the next free unit.
 *
 * Eviction. A SET of a new key takes the first free or expired slot of the window; if there is
 * none, it evicts the item that has not been used for longest, by a clock of 8 bits: `age` is 255
 * after each GET or SET, and one less for each eviction in a window that it survives. A SET that
 * needs more units than are free sends a hand around the units: it evicts what has expired or was
 * not used since the hand came around last. What was loses a share of its age with each of its
 * units that the hand passes; after KV_CHANCES units passed so, what comes next is evicted all the
 * same.
 *
 * Work is bounded: GET and DELETE look at KV_WINDOW slots at most (only those whose home is the
 * same); SET at KV_WINDOW more, three times, and at KV_CHANCES and a few times KV_UNITS_MAX units.
 *
 * Time. An item with a time to live of t seconds is found for at least t and less than t + 1 of
 * them.
 */
#pragma once

#include "proto.h"

enum {
    KV_WINDOW = 32, /* bits of hop */
    KV_BODY = 104,
    KV_KEY_SPACE = 16, /* a value in the body begins there, or behind a longer key */
    KV_UNIT = 128,
    KV_UNITS_MAX = 13,
    KV_KEY_NEAR = 48,
    KV_CHANCES = 64,
    KV_FRESH = 255,       /* age after use */
    KV_USED = 128,        /* at least that: since the hand came around */
    KV_QUICK_KEY_MIN = 8, /* what the fast path of GET does: keys of 8 to 16 bytes */
    KV_QUICK_KEY_MAX = 16,
    KV_QUICK_VALUE_MAX = 64,
};

#define KV_FOREVER   UINT32_MAX
#define KV_UNIT_FREE (UINT32_C(1) << 31)
#define KV_UNIT_NONE (KV_UNIT_FREE - 1)

struct kv_slot {
    uint64_t reply;   /* the first half of the head of the reply to its GET */
    uint32_t expires; /* from this second on it is not found */
    uint32_t
        hop; /* bit i: the item in this slot + i has its home here. The place's, not the item's */
    uint8_t quick;   /* fast path: length of the GET request for this key; 0: it is not for the fast
                        path */
    uint8_t key_len; /* 0: the slot is free */
    uint8_t age;
    uint8_t dist; /* slots behind its home */
    uint16_t len; /* of the reply to its GET */
    uint8_t nr_units;
    uint8_t spare;
    union {
        uint8_t body[KV_BODY];
        struct {
            uint8_t near[KV_KEY_NEAR + 4];
            uint32_t unit[KV_UNITS_MAX];
        };
    };
} __attribute__((aligned(128)));
_Static_assert(sizeof(struct kv_slot) == 128, "a slot is a pair of cache lines");
_Static_assert(KV_QUICK_KEY_MAX <= KV_KEY_SPACE && KV_KEY_SPACE + KV_QUICK_VALUE_MAX <= KV_BODY,
               "the fast path copies whole 64 bytes from the body");
_Static_assert((KV_KEY_MAX + 7) / 8 * 8 + KV_VALUE_MAX <= KV_UNITS_MAX * KV_UNIT,
               "the largest item has units enough");

struct kv_store {
    uint64_t seed[2];
    struct kv_slot *slots;
    uint64_t homes; /* slots that can be a home; KV_WINDOW - 1 more follow them */
    uint8_t *units;
    uint32_t *owner;
    uint32_t nr_units, free_units;
    uint32_t fresh;     /* units from here on were never used */
    uint32_t free_head; /* of the list of the others that are free; KV_UNIT_NONE: empty */
    uint32_t hand;
    uint64_t items, evicted, expired;
} __attribute__((aligned(128)));

/* ---- words ---- */

static inline uint64_t kv_load64(const void *p)
{
    uint64_t v;

    __builtin_memcpy(&v, p, 8);
    return v;
}

static inline uint32_t kv_load32(const void *p)
{
    uint32_t v;

    __builtin_memcpy(&v, p, 4);
    return v;
}

static inline void kv_store64(void *p, uint64_t v)
{
    __builtin_memcpy(p, &v, 8);
}

/* Without a call or a loop. A kernel has no vector registers to use: two instructions for 8 bytes.
 */
static inline void kv_copy16(uint8_t *to, const uint8_t *from)
{
#ifdef __SSE2__
    typedef uint64_t pair __attribute__((vector_size(16), aligned(1), may_alias));

    *(pair *)to = *(const pair *)from;
#else
    kv_store64(to, kv_load64(from));
    kv_store64(to + 8, kv_load64(from + 8));
#endif
}

static inline void kv_copy64(uint8_t *to, const uint8_t *from)
{
    kv_copy16(to, from);
    kv_copy16(to + 16, from + 16);
    kv_copy16(to + 32, from + 32);
    kv_copy16(to + 48, from + 48);
}

/* Any number of bytes, which do not overlap. */
void kv_copy(uint8_t *to, const uint8_t *from, size_t n);

/* ---- hash ---- */

/* Both halves of the product of 64 by 64 bits, folded. */
static inline uint64_t kv_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Of 8 to 16 bytes: the first 8 and the last 8, which may overlap. */
static inline uint64_t kv_hash_quick(const struct kv_store *st, const uint8_t *key, size_t n)
{
    return kv_mix(kv_load64(key) ^ st->seed[0], kv_load64(key + n - 8) ^ st->seed[1]);
}

/* Of any key; the same as above for its lengths. */
uint64_t kv_hash(const struct kv_store *st, const uint8_t *key, size_t n);

static inline struct kv_slot *kv_home(const struct kv_store *st, uint64_t hash)
{
    return st->slots + (uint64_t)((unsigned __int128)hash * st->homes >> 64);
}

static inline void kv_prefetch(const struct kv_slot *s)
{
    __builtin_prefetch(s);
    __builtin_prefetch((const uint8_t *)s + 64);
}

/* ---- items ---- */

/* Is this the item of the key of 8 to 16 bytes? */
static inline bool kv_key_is_quick(const struct kv_slot *s, const uint8_t *key, size_t n)
{
    return s->key_len == n && kv_load64(s->body) == kv_load64(key) &&
           kv_load64(s->body + n - 8) == kv_load64(key + n - 8);
}

static inline uint32_t kv_expiry(unsigned ttl, uint32_t now)
{
    uint64_t at = (uint64_t)now + ttl + 1;

    if (ttl == 0)
        return KV_FOREVER;
    return at < KV_FOREVER ? at : KV_FOREVER - 1;
}

/* What a slot has to say of a value that is set now, but for where it is. */
static inline void kv_describe(struct kv_slot *s, size_t value_len, unsigned ttl, uint32_t now)
{
    s->age = KV_FRESH;
    s->expires = kv_expiry(ttl, now);
    s->len = KV_HEAD + value_len;
    s->reply = KV_VERSION | (KV_GET | KV_REPLY) << 8 | (uint64_t)value_len << 32;
}

/* ---- the table ---- */

/* Bytes of a store with room for that many items with values of that size; 0: too many. */
size_t kv_store_bytes(uint64_t items, size_t value_bytes);
/* The struct itself begins those bytes, zeroed. False: too few for one item. */
bool kv_store_init(struct kv_store *st, size_t bytes, size_t value_bytes, uint64_t seed);
uint64_t kv_store_slots(const struct kv_store *st);

/* The item, or NULL; it may have expired. home is the key's, of all of these. */
struct kv_slot *kv_find(const struct kv_store *st, struct kv_slot *home, const uint8_t *key,
                        size_t key_len);
/* The item, used now, or NULL. */
struct kv_slot *kv_get(struct kv_store *st, struct kv_slot *home, const uint8_t *key,
                       size_t key_len, uint32_t now);
/* Copies the item's value, s->len - KV_HEAD bytes. */
void kv_value(const struct kv_store *st, const struct kv_slot *s, uint8_t *out);
/* KV_OK or KV_NO_ROOM; then nothing has changed. */
int kv_set(struct kv_store *st, struct kv_slot *home, const uint8_t *key, size_t key_len,
           const uint8_t *value, size_t value_len, unsigned ttl, uint32_t now);
/* KV_OK or KV_NOT_FOUND. */
int kv_delete(struct kv_store *st, struct kv_slot *home, const uint8_t *key, size_t key_len,
              uint32_t now);
