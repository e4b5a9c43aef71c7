/* See store.h. */
#include "store.h"

#define HASH_STEP UINT64_C(0x9e3779b97f4a7c15) /* 2^64 / golden ratio: bits without a pattern */

enum {
    ITEMS_MAX = 1 << 29, /* slot numbers stay below KV_UNIT_FREE */
    /* Slots an item: 5 to 2. Four of five items are then at home, and a window of 32 without a free
     * slot is rarer than one in ten million items (linear probing; Pittel 1987). */
    SLOTS_OF = 5,
    SLOTS_TO = 2,
    ALIGN = 128,
};

static size_t round8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* ---- bytes ---- */

void kv_copy(uint8_t *to, const uint8_t *from, size_t n)
{
    for (; n >= 64; n -= 64, to += 64, from += 64)
        kv_copy64(to, from);
    if (n & 32) {
        kv_copy16(to, from);
        kv_copy16(to + 16, from + 16);
        to += 32, from += 32;
    }
    if (n & 16) {
        kv_copy16(to, from);
        to += 16, from += 16;
    }
    if (n & 8) {
        __builtin_memcpy(to, from, 8);
        to += 8, from += 8;
    }
    if (n & 4) {
        __builtin_memcpy(to, from, 4);
        to += 4, from += 4;
    }
    if (n & 2) {
        __builtin_memcpy(to, from, 2);
        to += 2, from += 2;
    }
    if (n & 1)
        *to = *from;
}

static bool equal(const uint8_t *a, const uint8_t *b, size_t n)
{
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8)
            if (kv_load64(a + i) != kv_load64(b + i))
                return false;
        return kv_load64(a + n - 8) == kv_load64(b + n - 8);
    }
    if (n >= 4)
        return kv_load32(a) == kv_load32(b) && kv_load32(a + n - 4) == kv_load32(b + n - 4);
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

uint64_t kv_hash(const struct kv_store *st, const uint8_t *key, size_t n)
{
    uint64_t h = 0, a = 0;

    if (n >= KV_QUICK_KEY_MIN && n <= KV_QUICK_KEY_MAX)
        return kv_hash_quick(st, key, n);
    if (n < 8) {
        if (n >= 4)
            a = kv_load32(key) | (uint64_t)kv_load32(key + n - 4) << 32;
        else if (n > 0)
            a = key[0] | (uint64_t)key[n / 2] << 8 | (uint64_t)key[n - 1] << 16;
        return kv_mix(a ^ st->seed[0], (n * HASH_STEP) ^ st->seed[1]);
    }
    for (size_t i = 0; i + 16 < n; i += 16)
        h = kv_mix(kv_load64(key + i) ^ st->seed[0] ^ h, kv_load64(key + i + 8) ^ st->seed[1]);
    return kv_mix(kv_load64(key + n - 16) ^ st->seed[0] ^ h, kv_load64(key + n - 8) ^ st->seed[1]);
}

/* ---- where an item's bytes are ---- */

/* Where the value begins in the body, or behind the key in the units. */
static size_t value_at(size_t key_len)
{
    return key_len <= KV_KEY_SPACE ? KV_KEY_SPACE : round8(key_len);
}

static bool key_is_far(const struct kv_slot *s)
{
    return s->nr_units && s->key_len > KV_KEY_NEAR;
}

/* Units an item needs; 0: it fits into its slot. */
static unsigned units_of(size_t key_len, size_t value_len)
{
    size_t n = value_len;

    if (value_at(key_len) + value_len <= KV_BODY)
        return 0;
    if (key_len > KV_KEY_NEAR)
        n += round8(key_len);
    return (n + KV_UNIT - 1) / KV_UNIT;
}

static uint8_t *unit(const struct kv_store *st, const struct kv_slot *s, size_t i)
{
    return st->units + (size_t)s->unit[i] * KV_UNIT;
}

/* Bytes of an item's units, from `at` on, one piece of a unit after the other. */
static void units_write(const struct kv_store *st, const struct kv_slot *s, size_t at,
                        const uint8_t *from, size_t n)
{
    for (; at % KV_UNIT == 0 && n >= KV_UNIT; at += KV_UNIT, from += KV_UNIT, n -= KV_UNIT) {
        uint8_t *to = unit(st, s, at / KV_UNIT);

        kv_copy64(to, from);
        kv_copy64(to + 64, from + 64);
    }
    while (n) {
        size_t off = at % KV_UNIT, part = KV_UNIT - off < n ? KV_UNIT - off : n;

        kv_copy(unit(st, s, at / KV_UNIT) + off, from, part);
        at += part, from += part, n -= part;
    }
}

static void units_read(const struct kv_store *st, const struct kv_slot *s, size_t at, uint8_t *to,
                       size_t n)
{
    for (; at % KV_UNIT == 0 && n >= KV_UNIT; at += KV_UNIT, to += KV_UNIT, n -= KV_UNIT) {
        const uint8_t *from = unit(st, s, at / KV_UNIT);

        kv_copy64(to, from);
        kv_copy64(to + 64, from + 64);
    }
    while (n) {
        size_t off = at % KV_UNIT, part = KV_UNIT - off < n ? KV_UNIT - off : n;

        kv_copy(to, unit(st, s, at / KV_UNIT) + off, part);
        at += part, to += part, n -= part;
    }
}

static bool key_is(const struct kv_store *st, const struct kv_slot *s, const uint8_t *key, size_t n)
{
    if (s->key_len != n)
        return false;
    if (!key_is_far(s))
        return equal(s->body, key, n);
    if (n <= KV_UNIT)
        return equal(unit(st, s, 0), key, n);
    return equal(unit(st, s, 0), key, KV_UNIT) && equal(unit(st, s, 1), key + KV_UNIT, n - KV_UNIT);
}

/* ---- units ---- */

static void release_units(struct kv_store *st, struct kv_slot *s)
{
    for (unsigned i = 0; i < s->nr_units; i++) {
        st->owner[s->unit[i]] = KV_UNIT_FREE | st->free_head;
        st->free_head = s->unit[i];
    }
    st->free_units += s->nr_units;
    s->nr_units = 0;
}

static void drop(struct kv_store *st, struct kv_slot *s)
{
    release_units(st, s);
    (s - s->dist)->hop &= ~(UINT32_C(1) << s->dist);
    s->key_len = 0;
    s->quick = 0;
    st->items--;
}

static bool has_expired(const struct kv_slot *s, uint32_t now)
{
    return now >= s->expires;
}

/* Frees units until there are n, of which the store has as many at least. Since fewer than n are
 * free, the hand soon finds one in use, and all that it finds but KV_CHANCES are freed. */
static void reclaim(struct kv_store *st, unsigned n, uint32_t now)
{
    unsigned chances = KV_CHANCES;

    while (st->free_units < n) {
        uint32_t owner = st->owner[st->hand];
        struct kv_slot *s;

        if (++st->hand >= st->fresh)
            st->hand = 0;
        if (owner & KV_UNIT_FREE)
            continue;
        s = st->slots + owner;
        if (has_expired(s, now)) {
            st->expired++;
        } else if (s->age >= KV_USED && chances) {
            chances--;
            s->age -= (KV_FRESH + 1 - KV_USED) / s->nr_units;
            continue;
        } else {
            st->evicted++;
        }
        drop(st, s);
    }
}

static void take_units(struct kv_store *st, struct kv_slot *s, unsigned n, uint32_t now)
{
    if (st->free_units < n)
        reclaim(st, n, now);
    for (unsigned i = 0; i < n; i++) {
        uint32_t u = st->free_head;

        if (u != KV_UNIT_NONE)
            st->free_head = st->owner[u] & ~KV_UNIT_FREE;
        else
            u = st->fresh++;
        st->owner[u] = s - st->slots;
        s->unit[i] = u;
    }
    st->free_units -= n;
    s->nr_units = n;
}

/* ---- items ---- */

struct kv_slot *kv_find(const struct kv_store *st, struct kv_slot *home, const uint8_t *key,
                        size_t key_len)
{
    for (uint32_t hop = home->hop; hop; hop &= hop - 1) {
        struct kv_slot *s = home + __builtin_ctz(hop);

        if (key_is(st, s, key, key_len))
            return s;
    }
    return NULL;
}

struct kv_slot *kv_get(struct kv_store *st, struct kv_slot *home, const uint8_t *key,
                       size_t key_len, uint32_t now)
{
    struct kv_slot *s = kv_find(st, home, key, key_len);

    if (!s)
        return NULL;
    if (has_expired(s, now)) {
        st->expired++;
        drop(st, s);
        return NULL;
    }
    s->age = KV_FRESH;
    return s;
}

void kv_value(const struct kv_store *st, const struct kv_slot *s, uint8_t *out)
{
    size_t n = s->len - KV_HEAD;

    if (s->nr_units)
        units_read(st, s, key_is_far(s) ? round8(s->key_len) : 0, out, n);
    else
        kv_copy(out, s->body + value_at(s->key_len), n);
}

/* A free slot of the window. */
static struct kv_slot *place(struct kv_store *st, struct kv_slot *home, uint32_t now)
{
    struct kv_slot *end = home + KV_WINDOW, *victim = home, *s;

    for (s = home; s < end; s++) {
        if (s->key_len == 0)
            return s;
        if (has_expired(s, now)) {
            st->expired++;
            drop(st, s);
            return s;
        }
    }
    for (s = home; s < end; s++) {
        if (s->age < victim->age)
            victim = s;
    }
    for (s = home; s < end; s++)
        s->age -= s->age > 0;
    st->evicted++;
    drop(st, victim);
    return victim;
}

static uint8_t quick_of(size_t key_len, size_t value_len)
{
    return key_len >= KV_QUICK_KEY_MIN && key_len <= KV_QUICK_KEY_MAX &&
                   value_len <= KV_QUICK_VALUE_MAX
               ? KV_HEAD + key_len
               : 0;
}

int kv_set(struct kv_store *st, struct kv_slot *home, const uint8_t *key, size_t key_len,
           const uint8_t *value, size_t value_len, unsigned ttl, uint32_t now)
{
    unsigned units = units_of(key_len, value_len);
    struct kv_slot *s;

    if (units > st->nr_units)
        return KV_NO_ROOM;
    s = kv_find(st, home, key, key_len);
    if (s) {
        if (s->nr_units != units)
            release_units(st, s);
    } else {
        s = place(st, home, now);
        s->dist = s - home;
        s->key_len = key_len;
        home->hop |= UINT32_C(1) << s->dist;
        st->items++;
    }
    kv_describe(s, value_len, ttl, now);
    s->quick = quick_of(key_len, value_len);
    if (units == 0) {
        kv_copy(s->body, key, key_len);
        kv_copy(s->body + value_at(key_len), value, value_len);
        return KV_OK;
    }
    if (s->nr_units != units)
        take_units(st, s, units, now);
    if (key_len <= KV_KEY_NEAR) {
        kv_copy(s->near, key, key_len);
        units_write(st, s, 0, value, value_len);
    } else {
        units_write(st, s, 0, key, key_len);
        units_write(st, s, round8(key_len), value, value_len);
    }
    return KV_OK;
}

int kv_delete(struct kv_store *st, struct kv_slot *home, const uint8_t *key, size_t key_len,
              uint32_t now)
{
    struct kv_slot *s = kv_find(st, home, key, key_len);
    bool expired;

    if (!s)
        return KV_NOT_FOUND;
    expired = has_expired(s, now);
    st->expired += expired;
    drop(st, s);
    return expired ? KV_NOT_FOUND : KV_OK;
}

/* ---- memory ---- */

struct layout {
    uint64_t homes, units;
    size_t owner_at, units_at, bytes; /* from the store's begin */
};

/* Units an item of these values is given. A key of 16 bytes is assumed: of larger ones that do not
 * fit beside the value there are fewer. */
static unsigned units_per_item(size_t value_bytes)
{
    if (value_bytes > KV_VALUE_MAX)
        value_bytes = KV_VALUE_MAX;
    return units_of(KV_KEY_SPACE, value_bytes);
}

static struct layout lay_out(uint64_t items, size_t value_bytes)
{
    struct layout l = {.homes = (items * SLOTS_OF + SLOTS_TO - 1) / SLOTS_TO,
                       .units = items * units_per_item(value_bytes)};

    /* Some values may be larger than is usual. */
    if (value_bytes && l.units < items / 16 + KV_UNITS_MAX)
        l.units = items / 16 + KV_UNITS_MAX;
    l.owner_at = sizeof(struct kv_store) + (l.homes + KV_WINDOW - 1) * sizeof(struct kv_slot);
    l.units_at = l.owner_at + (l.units * 4 + ALIGN - 1) / ALIGN * ALIGN;
    l.bytes = l.units_at + l.units * KV_UNIT;
    return l;
}

size_t kv_store_bytes(uint64_t items, size_t value_bytes)
{
    uint64_t most =
        ITEMS_MAX / (value_bytes && units_per_item(value_bytes) ? units_per_item(value_bytes) : 1);

    return items <= most ? lay_out(items, value_bytes).bytes : 0;
}

bool kv_store_init(struct kv_store *st, size_t bytes, size_t value_bytes, uint64_t seed)
{
    uint64_t items = 0;
    struct layout l;

    /* The most items whose store is not larger, bit by bit. */
    for (uint64_t bit = ITEMS_MAX; bit; bit >>= 1) {
        size_t n = kv_store_bytes(items + bit, value_bytes);

        if (n && n <= bytes)
            items += bit;
    }
    if (items == 0)
        return false;
    l = lay_out(items, value_bytes);
    st->slots = (struct kv_slot *)(st + 1);
    st->homes = l.homes;
    /* Neither may be 0 for all seeds: keys with zeros are common. */
    st->seed[0] = kv_mix(seed ^ HASH_STEP, UINT64_C(0xd1342543de82ef95));
    st->seed[1] = kv_mix(st->seed[0] ^ HASH_STEP, UINT64_C(0xaf251af3b0f025b5)) | 1;
    st->owner = (uint32_t *)((uint8_t *)st + l.owner_at);
    st->units = (uint8_t *)st + l.units_at;
    st->nr_units = st->free_units = l.units;
    st->free_head = KV_UNIT_NONE;
    return true;
}

uint64_t kv_store_slots(const struct kv_store *st)
{
    return st->homes + KV_WINDOW - 1;
}
