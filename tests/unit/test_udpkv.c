// unit: apps/udpkv/proto.c apps/udpkv/store.c apps/udpkv/service.c
/* Proves, for the key-value store of apps/udpkv, what is answered to every kind of request; and
 * against a simple table, over millions of random operations, that what it returns was stored and
 * is neither deleted, expired nor overwritten, that only evictions lose items, and that its
 * structure stays whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../apps/udpkv/quick.h"
#include "../../apps/udpkv/service.h"
#include "../../apps/udpkv/store.h"

#define SEED 0x123456789abcdef

static void *memory;

static struct kv *make(uint64_t items, size_t value_bytes)
{
    size_t n = kv_bytes(items, value_bytes);
    struct kv *kv;

    assert_true(n > 0);
    memory = aligned_alloc(64, (n + 63) / 64 * 64);
    memset(memory, 0, n);
    kv = kv_init(memory, n, value_bytes, SEED);
    assert_non_null(kv);
    return kv;
}

static void forget(void)
{
    free(memory);
}

/* ---- the structure ---- */

static unsigned units_for(const struct kv_slot *s)
{
    size_t key = (s->key_len + 7) / 8 * 8, value = s->len - KV_HEAD;

    if ((key < 16 ? 16 : key) + value <= KV_BODY)
        return 0;
    return ((s->key_len > KV_KEY_NEAR ? key : 0) + value + KV_UNIT - 1) / KV_UNIT;
}

/* Every slot's home knows it, homes know nobody else; every unit has one owner or is free once. */
static void check_structure(struct kv *kv)
{
    struct kv_store *st = kv_store_of(kv);
    struct kv_slot *slots = st->slots;
    uint64_t items = 0, bits = 0, in_units = 0, n = kv_store_slots(st);
    uint32_t free_units = 0;

    for (uint64_t i = 0; i < n; i++) {
        struct kv_slot *s = &slots[i];

        bits += __builtin_popcount(s->hop);
        if (s->key_len == 0) {
            assert_int_equal(s->quick, 0);
            assert_int_equal(s->nr_units, 0);
            continue;
        }
        items++;
        assert_true(s->dist < KV_WINDOW && s->dist <= i && i - s->dist < st->homes);
        assert_true((s - s->dist)->hop & UINT32_C(1) << s->dist);
        assert_int_equal(s->nr_units, units_for(s));
        for (unsigned u = 0; u < s->nr_units; u++) {
            assert_true(s->unit[u] < st->fresh);
            assert_int_equal(st->owner[s->unit[u]], i);
        }
        in_units += s->nr_units;
    }
    assert_int_equal(items, st->items);
    assert_int_equal(bits, items);
    for (uint32_t u = st->free_head; u != KV_UNIT_NONE; u = st->owner[u] & ~KV_UNIT_FREE) {
        assert_true(u < st->fresh && (st->owner[u] & KV_UNIT_FREE));
        free_units++;
        assert_true(free_units <= st->nr_units);
    }
    assert_int_equal(free_units + st->nr_units - st->fresh, st->free_units);
    assert_int_equal(in_units + st->free_units, st->nr_units);
    assert_int_equal(kv_stats(kv)->in_units, in_units);
}

/* ---- asking ---- */

struct reply {
    int status; /* -1: there was none */
    size_t len;
    uint8_t value[KV_VALUE_MAX];
};

/* How a request is served: the reply elsewhere; in the request's place; and there by quick.h, as
 * main_raw.c does, whose replies have room for KV_QUICK_ROOM at least. */
enum way { APART, IN_PLACE, QUICK, WAYS };

static size_t serve_quick(struct kv *kv, uint8_t *data, size_t len, size_t room, uint32_t now)
{
    struct kv_request r;

    if (kv_is_quick(&kv->store, data, len, &r.home) && kv_quick(&r.home, data, len, now)) {
        kv->stats.hits++;
        return kv_reply_quick(r.home, data, data);
    }
    kv_begin(kv, &r, data, len);
    return kv_handle_other(kv, &r, data, room, now);
}

/* Asks from memory of exactly the request's size, into memory of exactly the room's; or in place.
 */
static struct reply ask_raw(struct kv *kv, const void *request, size_t len, size_t room,
                            enum way way, uint32_t now)
{
    bool in_place = way != APART;
    size_t size = in_place && room > len ? room : len;
    uint8_t *data = malloc(size ? size : 1), *out = in_place ? data : malloc(room ? room : 1);
    struct reply reply = {.status = -1};
    struct kv_request r;
    struct kv_head h, asked = {0};
    size_t n;

    memcpy(data, request, len);
    if (len >= KV_HEAD)
        asked = kv_head_read(request);
    if (way == QUICK) {
        n = serve_quick(kv, data, len, room, now);
    } else {
        kv_begin(kv, &r, data, len);
        n = kv_handle(kv, &r, out, room, now);
    }
    if (n) {
        assert_true(n <= room);
        assert_true(kv_reply_check(out, n, &h));
        assert_int_equal(h.id, asked.id);
        assert_int_equal(h.op, asked.op | KV_REPLY);
        reply.status = h.status;
        reply.len = h.value_len;
        memcpy(reply.value, out + KV_HEAD, h.value_len);
        assert_true(reply.len == 0 || (h.op == (KV_GET | KV_REPLY) && h.status == KV_OK));
    }
    if (!in_place) {
        if (len)
            assert_memory_equal(data, request, len); /* only read */
        free(out);
    }
    free(data);
    return reply;
}

static uint64_t next_id;

static struct reply ask(struct kv *kv, enum kv_op op, const void *key, size_t key_len,
                        const void *value, size_t value_len, unsigned ttl, uint32_t now)
{
    uint8_t request[KV_REQUEST_MAX];
    size_t n = kv_request_build(request, op, ++next_id * 0x100000001b3, key, key_len, value,
                                value_len, ttl);

    return ask_raw(kv, request, n, KV_REPLY_MAX, (enum way)(next_id % WAYS), now);
}

static int put(struct kv *kv, const char *key, const char *value, unsigned ttl, uint32_t now)
{
    return ask(kv, KV_SET, key, strlen(key), value, strlen(value), ttl, now).status;
}

static void has(struct kv *kv, const char *key, const char *value, uint32_t now)
{
    struct reply r = ask(kv, KV_GET, key, strlen(key), NULL, 0, 0, now);

    if (!value) {
        assert_int_equal(r.status, KV_NOT_FOUND);
        return;
    }
    assert_int_equal(r.status, KV_OK);
    assert_int_equal(r.len, strlen(value));
    assert_memory_equal(r.value, value, r.len);
}

/* ---- known cases ---- */

static void what_is_stored_is_found_until_deleted(void **state)
{
    struct kv *kv = make(100, 64);

    (void)state;
    has(kv, "k", NULL, 5);
    assert_int_equal(put(kv, "k", "one", 0, 5), KV_OK);
    assert_int_equal(put(kv, "user000000000042", "forty-two", 0, 5), KV_OK);
    has(kv, "k", "one", 5);
    has(kv, "user000000000042", "forty-two", 5);
    has(kv, "user000000000043", NULL, 5);
    assert_int_equal(put(kv, "user000000000042", "", 0, 5), KV_OK);
    has(kv, "user000000000042", "", 4000000000);
    assert_int_equal(ask(kv, KV_DELETE, "k", 1, NULL, 0, 0, 6).status, KV_OK);
    assert_int_equal(ask(kv, KV_DELETE, "k", 1, NULL, 0, 0, 6).status, KV_NOT_FOUND);
    has(kv, "k", NULL, 6);
    assert_int_equal(ask(kv, KV_NOOP, NULL, 0, NULL, 0, 0, 6).status, KV_OK);
    assert_int_equal(kv_stats(kv)->gets, 6);
    assert_int_equal(kv_stats(kv)->hits, 3);
    assert_int_equal(kv_stats(kv)->misses, 3);
    assert_int_equal(kv_stats(kv)->sets, 3);
    assert_int_equal(kv_stats(kv)->deletes, 2);
    assert_int_equal(kv_stats(kv)->noops, 1);
    assert_int_equal(kv_stats(kv)->items, 1);
    check_structure(kv);
    forget();
}

static void items_live_as_long_as_they_were_given(void **state)
{
    struct kv *kv = make(100, 64);
    char large[301];

    (void)state;
    memset(large, 'x', 300);
    large[300] = '\0';
    assert_int_equal(put(kv, "user000000000001", "v", 10, 1000), KV_OK);
    assert_int_equal(put(kv, "large", large, 10, 1000), KV_OK);
    has(kv, "user000000000001", "v", 1010);
    has(kv, "large", large, 1010);
    has(kv, "user000000000001", NULL, 1011);
    has(kv, "user000000000001", NULL, 1010); /* it is gone */
    assert_int_equal(ask(kv, KV_DELETE, "large", 5, NULL, 0, 0, 1011).status, KV_NOT_FOUND);
    assert_int_equal(kv_stats(kv)->expired, 2);
    assert_int_equal(kv_stats(kv)->items, 0);
    assert_int_equal(kv_stats(kv)->in_units, 0);
    assert_int_equal(put(kv, "k", "v", 65535, UINT32_MAX - 10), KV_OK); /* the clock ends before */
    has(kv, "k", "v", UINT32_MAX - 2);
    assert_int_equal(put(kv, "k", "w", 0, 5), KV_OK); /* for ever again */
    has(kv, "k", "w", UINT32_MAX - 1);
    check_structure(kv);
    forget();
}

static void every_length_of_key_and_value(void **state)
{
    struct kv *kv = make(300, 1408);
    uint8_t key[KV_KEY_MAX], value[KV_VALUE_MAX];

    (void)state;
    for (size_t k = 1; k <= KV_KEY_MAX; k++) {
        for (size_t i = 0; i < k; i++)
            key[i] = k * 31 + i * 7;
        for (size_t v = 0; v <= KV_VALUE_MAX; v += v < 140 ? 1 : 67) {
            struct reply r;

            for (size_t i = 0; i < v; i++)
                value[i] = k + v + i * i;
            assert_int_equal(ask(kv, KV_SET, key, k, value, v, 0, 1).status, KV_OK);
            r = ask(kv, KV_GET, key, k, NULL, 0, 0, 1);
            assert_int_equal(r.status, KV_OK);
            assert_int_equal(r.len, v);
            assert_memory_equal(r.value, value, v);
            r = ask(kv, KV_GET, key, k, NULL, 0, 0, 1); /* once in place, once not */
            assert_int_equal(r.len, v);
            assert_memory_equal(r.value, value, v);
        }
        assert_int_equal(kv_stats(kv)->items, k);
    }
    assert_int_equal(kv_stats(kv)->evicted, 0);
    check_structure(kv);
    forget();
}

/* Keys that are the same but for one byte or their length are different, wherever it is. */
static void keys_are_compared_whole(void **state)
{
    struct kv *kv = make(2000, 200);
    uint8_t key[KV_KEY_MAX] = {0}, value[200] = {0};

    (void)state;
    for (int large = 0; large < 2; large++)
        for (size_t n = 1; n <= KV_KEY_MAX; n += n < 70 ? 1 : 13) {
            assert_int_equal(ask(kv, KV_SET, key, n, value, large ? 200 : 5, 0, 1).status, KV_OK);
            for (size_t i = 0; i < n; i++) {
                key[i] ^= 0x10;
                assert_int_equal(ask(kv, KV_GET, key, n, NULL, 0, 0, 1).status, KV_NOT_FOUND);
                key[i] ^= 0x10;
            }
            if (n < KV_KEY_MAX)
                assert_int_equal(ask(kv, KV_GET, key, n + 1, NULL, 0, 0, 1).status, KV_NOT_FOUND);
            assert_int_equal(ask(kv, KV_GET, key, n, NULL, 0, 0, 1).status, KV_OK);
            assert_int_equal(ask(kv, KV_DELETE, key, n, NULL, 0, 0, 1).status, KV_OK);
        }
    assert_int_equal(kv_stats(kv)->items, 0);
    check_structure(kv);
    forget();
}

static void bad_requests_are_answered_or_ignored(void **state)
{
    struct kv *kv = make(100, 64);
    const struct kv_stats *st = kv_stats(kv);
    struct kv_head get = {.version = 1, .op = KV_GET, .key_len = 4, .id = 77}, h;
    uint8_t p[3000] = {0};

    (void)state;
#define STATUS(len)                                                                                \
    (kv_head_write(p, h), ask_raw(kv, p, len, KV_REPLY_MAX, (enum way)(len % WAYS), 1).status)
    h = get;
    assert_int_equal(STATUS(20), KV_NOT_FOUND);
    for (size_t n = 0; n < 16; n++)
        assert_int_equal(STATUS(n), -1);
    assert_int_equal(STATUS(16), KV_MALFORMED);
    assert_int_equal(STATUS(19), KV_MALFORMED);
    assert_int_equal(STATUS(21), KV_MALFORMED);
    h.op |= KV_REPLY;
    assert_int_equal(STATUS(20), -1);
    assert_int_equal(kv_stats(kv)->ignored, 17);
    h = get, h.version = 2;
    assert_int_equal(STATUS(20), KV_BAD_VERSION);
    h = get, h.op = 0;
    assert_int_equal(STATUS(20), KV_BAD_OP);
    h = get, h.op = 5;
    assert_int_equal(STATUS(20), KV_BAD_OP);
    h = get, h.status = 1;
    assert_int_equal(STATUS(20), KV_MALFORMED);
    h = get, h.ttl = 1;
    assert_int_equal(STATUS(20), KV_MALFORMED);
    h = get, h.value_len = 4;
    assert_int_equal(STATUS(24), KV_MALFORMED);
    h = get, h.key_len = 0;
    assert_int_equal(STATUS(16), KV_MALFORMED);
    h = get, h.op = KV_NOOP;
    assert_int_equal(STATUS(20), KV_MALFORMED);
    h = get, h.op = KV_DELETE, h.ttl = 9;
    assert_int_equal(STATUS(20), KV_MALFORMED);
    h = get, h.op = KV_SET, h.value_len = 5;
    assert_int_equal(STATUS(24), KV_MALFORMED);
    assert_int_equal(STATUS(25), KV_OK);
    h.value_len = 1409;
    assert_int_equal(STATUS(20 + 1409), KV_TOO_LARGE);
    h.value_len = 65535;
    assert_int_equal(STATUS(3000), KV_MALFORMED);
    h = get, h.key_len = 251;
    assert_int_equal(STATUS(16 + 251), KV_TOO_LARGE);
    assert_int_equal(st->malformed, 11);
    assert_int_equal(st->too_large, 2);
    assert_int_equal(st->bad_op, 2);
    assert_int_equal(st->bad_version, 1);
#undef STATUS
    check_structure(kv);
    forget();
}

static void a_reply_never_leaves_its_room(void **state)
{
    struct kv *kv = make(100, 500);
    uint8_t request[KV_REQUEST_MAX], value[500] = {7};
    static const size_t sizes[] = {0, 1, 64, 65, 88, 89, 500};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t v = sizes[i], n;

        assert_int_equal(ask(kv, KV_SET, "user000000000001", 16, value, v, 0, 1).status, KV_OK);
        n = kv_request_build(request, KV_GET, 1, "user000000000001", 16, NULL, 0, 0);
        for (size_t room = 0; room < 600; room++) { /* the allocation's end is watched */
            struct reply r = ask_raw(kv, request, n, room, APART, 1);

            assert_int_equal(r.status, room < KV_HEAD + v ? -1 : KV_OK);
            for (enum way way = IN_PLACE; way < WAYS; way++) {
                if (room >= (way == QUICK ? (size_t)KV_QUICK_ROOM : n))
                    assert_int_equal(ask_raw(kv, request, n, room, way, 1).status,
                                     room < KV_HEAD + v ? -1 : KV_OK);
            }
        }
    }
    assert_true(kv_stats(kv)->unanswered > 0);
    forget();
}

/* ---- memory ---- */

static void as_many_items_as_were_asked_for_fit(void **state)
{
    static const size_t sizes[] = {0, 64, 89, 1024, 1408};
    char key[32];
    uint8_t value[KV_VALUE_MAX] = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint64_t items = sizes[i] > 100 ? 20000 : 200000;
        struct kv *kv = make(items, sizes[i]);

        for (uint64_t k = 0; k < items; k++) {
            snprintf(key, sizeof(key), "user%012llu", (unsigned long long)k);
            assert_int_equal(ask(kv, KV_SET, key, 16, value, sizes[i], 0, 1).status, KV_OK);
        }
        assert_int_equal(kv_stats(kv)->items, items);
        assert_int_equal(kv_stats(kv)->evicted, 0);
        check_structure(kv);
        forget();
    }
}

/* Keys with little in them must not meet in few places: no evictions, and most are at home. */
static void keys_spread_over_the_table(void **state)
{
    enum { ITEMS = 100000 };

    (void)state;
    for (int kind = 0; kind < 6; kind++) {
        struct kv *kv = make(ITEMS, 0);
        struct kv_slot *slots = kv_store_of(kv)->slots;
        uint64_t home = 0;

        for (uint64_t k = 0; k < ITEMS; k++) {
            uint8_t key[40] = {0};
            uint64_t big = __builtin_bswap64(k);
            size_t n = 16;

            if (kind == 0)
                memcpy(key, &k, 8); /* low end, then zeros */
            else if (kind == 1)
                memcpy(key + 8, &k, 8);
            else if (kind == 2)
                memcpy(key + 8, &big, 8);
            else if (kind == 3)
                memcpy(key, &k, n = 4);
            else if (kind == 4)
                n = 40, memcpy(key + 12, &k, 8);
            else
                n = 8, memcpy(key, &big, 8);
            assert_int_equal(ask(kv, KV_SET, key, n, NULL, 0, 0, 1).status, KV_OK);
        }
        for (uint64_t i = 0; i < kv_store_slots(kv_store_of(kv)); i++)
            home += slots[i].key_len && slots[i].dist == 0;
        assert_int_equal(kv_stats(kv)->evicted, 0);
        assert_true(home > ITEMS * 7 / 10);
        forget();
    }
}

static void sizes_of_memory(void **state)
{
    void *mem = aligned_alloc(64, 1 << 20);

    (void)state;
    assert_int_equal(kv_bytes(UINT64_MAX, 64), 0);
    assert_int_equal(kv_bytes(UINT64_C(1) << 30, 64), 0);
    assert_int_equal(kv_bytes(UINT64_C(1) << 29, 1408), 0);
    assert_true(kv_bytes(UINT64_C(1) << 29, 64) > UINT64_C(1) << 37);
    for (size_t v = 0; v <= 1408; v += 64) {
        uint64_t slots = 0;

        memset(mem, 0, 1 << 20);
        assert_null(kv_init(mem, 100, v, 1));
        assert_null(kv_init(mem, kv_bytes(1, v) - 256, v, 1));
        for (uint64_t items = 1; items < 200; items += 7) {
            struct kv *kv;

            memset(mem, 0, kv_bytes(items, v));
            kv = kv_init((uint8_t *)mem + 64, kv_bytes(items, v), v, 1);
            assert_non_null(kv);
            assert_true(kv_stats(kv)->slots > slots && kv_stats(kv)->slots >= items * 5 / 2);
            slots = kv_stats(kv)->slots;
        }
    }
    free(mem);
}

static void without_units_large_values_have_no_room(void **state)
{
    struct kv *kv = make(10, 0);
    char large[101];

    (void)state;
    memset(large, 'x', 100);
    large[100] = '\0';
    assert_int_equal(put(kv, "k", "small", 0, 1), KV_OK);
    assert_int_equal(put(kv, "k", large, 0, 1), KV_NO_ROOM);
    has(kv, "k", "small", 1);
    assert_int_equal(kv_stats(kv)->no_room, 1);
    assert_int_equal(kv_stats(kv)->units, 0);
    forget();
}

/* ---- eviction ---- */

static void a_full_window_loses_what_was_not_used_for_longest(void **state)
{
    struct kv *kv = make(1, 0); /* three homes: all windows are nearly the same */
    char key[32];
    int lost = 0;

    (void)state;
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "filler%010d", i);
        assert_int_equal(put(kv, "precious-precious", "p", 0, 1), KV_OK);
        assert_int_equal(put(kv, "used", "u", 0, 1), KV_OK);
        assert_int_equal(put(kv, key, "v", 0, 1), KV_OK);
        has(kv, "precious-precious", "p", 1);
        has(kv, "used", "u", 1);
    }
    assert_true(kv_stats(kv)->evicted > 400);
    for (int i = 480; i < 500; i++) { /* the newest are there, the oldest are not */
        snprintf(key, sizeof(key), "filler%010d", i);
        lost += ask(kv, KV_GET, key, strlen(key), NULL, 0, 0, 1).status != KV_OK;
    }
    assert_int_equal(lost, 0);
    has(kv, "filler0000000000", NULL, 1);
    check_structure(kv);
    forget();
}

static void expired_items_go_first(void **state)
{
    struct kv *kv = make(1, 0);
    char key[32];
    uint64_t items;

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "%d", i);
        assert_int_equal(put(kv, key, "v", i % 2 ? 0 : 5, 1), KV_OK);
    }
    items = kv_stats(kv)->evicted;
    for (int i = 100; i < 110; i++) {
        snprintf(key, sizeof(key), "%d", i);
        assert_int_equal(put(kv, key, "v", 0, 10), KV_OK);
    }
    assert_int_equal(kv_stats(kv)->evicted, items);
    assert_true(kv_stats(kv)->expired >= 9);
    forget();
}

/* Large values in a small memory: each is stored, and what is used in between stays (a clock is no
 * exact order: it may be lost once in a hundred times). */
static void units_are_taken_from_what_is_not_used(void **state)
{
    struct kv *kv = make(64, 1024);
    char key[32];
    uint8_t value[KV_VALUE_MAX], hot[1024];
    int lost = 0;

    (void)state;
    memset(hot, 'h', sizeof(hot));
    assert_int_equal(ask(kv, KV_SET, "hot", 3, hot, sizeof(hot), 0, 1).status, KV_OK);
    for (int i = 0; i < 20000; i++) {
        size_t n = 100 + i * 7919 % (KV_VALUE_MAX - 99);
        struct reply r;

        snprintf(key, sizeof(key), "cold%d", i);
        memset(value, i, n);
        assert_int_equal(ask(kv, KV_SET, key, strlen(key), value, n, 0, 1).status, KV_OK);
        r = ask(kv, KV_GET, key, strlen(key), NULL, 0, 0, 1);
        assert_true(r.status == KV_OK && r.len == n && memcmp(r.value, value, n) == 0);
        r = ask(kv, KV_GET, "hot", 3, NULL, 0, 0, 1);
        if (r.status != KV_OK) {
            lost++;
            assert_int_equal(ask(kv, KV_SET, "hot", 3, hot, sizeof(hot), 0, 1).status, KV_OK);
            continue;
        }
        assert_true(r.len == sizeof(hot) && memcmp(r.value, hot, r.len) == 0);
        if (i % 1000 == 0)
            check_structure(kv);
    }
    assert_true(lost < 200);
    assert_true(kv_stats(kv)->evicted > 15000);
    assert_true(kv_stats(kv)->in_units > kv_stats(kv)->units * 9 / 10);
    forget();
}

/* ---- the model ---- */

enum { KEYS = 400 };

struct model {
    bool there;
    uint32_t expires; /* the last second it must be found in; UINT32_MAX: for ever */
    uint32_t version;
    size_t len;
};

static uint64_t rng = 88172645463325252;

static uint32_t below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (rng >> 32) % n;
}

static size_t model_key(unsigned i, uint8_t *key)
{
    static const uint8_t lens[] = {1,  2,  3,  5,  8,  11,  16,  16,  16,  16, 17,
                                   24, 24, 33, 48, 49, 100, 104, 128, 129, 250};
    size_t n = lens[i % sizeof(lens)];

    memset(key, 'k', n);
    key[n - 1] = i;
    if (n > 1)
        key[n / 2 - (n == 2)] = i >> 8 ? 'A' + (i >> 8) : 'k';
    return n;
}

static void model_value(unsigned i, uint32_t version, size_t n, uint8_t *value)
{
    uint64_t x = (uint64_t)i << 32 | version;

    for (size_t at = 0; at < n; at += 8) {
        x = x * 6364136223846793005 + 1442695040888963407;
        memcpy(value + at, &x, n - at < 8 ? n - at : 8);
    }
}

static size_t model_len(void)
{
    switch (below(5)) {
    case 0:
        return below(KV_VALUE_MAX + 1);
    case 1:
        return 80 + below(30);
    case 2:
        return 64;
    default:
        return below(90);
    }
}

/* The item in the table, untouched. */
static struct kv_slot *peek(struct kv *kv, unsigned i)
{
    struct kv_store *st = kv_store_of(kv);
    uint8_t key[KV_KEY_MAX];
    size_t n = model_key(i, key);

    return kv_find(st, kv_home(st, kv_hash(st, key, n)), key, n);
}

static void model_run(uint64_t items, size_t value_bytes, unsigned keys, unsigned ops)
{
    struct kv *kv = make(items, value_bytes);
    struct model m[KEYS] = {0};
    uint32_t now = 100, version = 0;
    uint64_t hits = 0, lost = 0;
    uint8_t key[KV_KEY_MAX], value[KV_VALUE_MAX];

    for (unsigned op = 0; op < ops; op++) {
        unsigned i = below(4) ? below(keys) : below(keys / 8 + 1), what = below(100);
        size_t n = model_key(i, key);
        uint64_t evicted = kv_stats(kv)->evicted;
        struct reply r;

        if (below(50) == 0)
            now += below(3);
        if (m[i].there && now > m[i].expires)
            m[i].there = false;
        if (what < 45) {
            r = ask(kv, KV_GET, key, n, NULL, 0, 0, now);
            assert_int_equal(r.status, m[i].there ? KV_OK : KV_NOT_FOUND);
            if (m[i].there) {
                model_value(i, m[i].version, m[i].len, value);
                assert_int_equal(r.len, m[i].len);
                assert_memory_equal(r.value, value, r.len);
                hits++;
            }
        } else if (what < 85) {
            unsigned ttl = below(3) ? 0 : 1 + below(20);

            m[i] = (struct model){.there = true,
                                  .len = model_len(),
                                  .version = ++version,
                                  .expires = ttl ? now + ttl : UINT32_MAX};
            model_value(i, version, m[i].len, value);
            assert_int_equal(ask(kv, KV_SET, key, n, value, m[i].len, ttl, now).status, KV_OK);
            assert_non_null(peek(kv, i));
        } else {
            r = ask(kv, KV_DELETE, key, n, NULL, 0, 0, now);
            assert_int_equal(r.status, m[i].there ? KV_OK : KV_NOT_FOUND);
            m[i].there = false;
        }
        /* Exactly those that the store says it evicted are gone. */
        evicted = kv_stats(kv)->evicted - evicted;
        for (unsigned k = 0; evicted && k < keys; k++) {
            if (m[k].there && now <= m[k].expires && !peek(kv, k)) {
                m[k].there = false;
                evicted--;
                lost++;
            }
        }
        assert_int_equal(evicted, 0);
        if (op % 65536 == 0)
            check_structure(kv);
    }
    for (unsigned i = 0; i < keys; i++)
        if (m[i].there && now <= m[i].expires)
            assert_non_null(peek(kv, i));
    check_structure(kv);
    assert_int_equal(kv_stats(kv)->hits, hits);
    print_message("# %u operations: %llu hits, %llu evicted, %llu expired, %u of %u units in use\n",
                  ops, (unsigned long long)hits, (unsigned long long)lost,
                  (unsigned long long)kv_stats(kv)->expired, (unsigned)kv_stats(kv)->in_units,
                  (unsigned)kv_stats(kv)->units);
    if (items >= keys && value_bytes == KV_VALUE_MAX)
        assert_int_equal(lost, 0);
    forget();
}

static void random_operations_with_room_for_all(void **state)
{
    (void)state;
    model_run(2 * KEYS, KV_VALUE_MAX, KEYS, 1500000);
}

static void random_operations_in_a_full_table(void **state)
{
    (void)state;
    model_run(30, KV_VALUE_MAX, KEYS, 1000000);
}

static void random_operations_with_few_units(void **state)
{
    (void)state;
    model_run(KEYS, 64, KEYS, 1000000);
    model_run(1, 1, 100, 500000);
}

/* Small items with keys of 8 to 16 bytes, at home and behind it. */
static void the_fast_path_finds_each_small_item_and_says_that_it_was_used(void **state)
{
    struct kv *kv = make(KEYS, 0);
    unsigned away = 0;

    (void)state;
    for (uint64_t i = 0; i < KEYS; i++)
        assert_int_equal(ask(kv, KV_SET, &i, 8, &i, 8, 0, 1).status, KV_OK);
    for (uint64_t i = 0; i < KEYS; i++) {
        uint8_t data[KV_REQUEST_MAX];
        size_t len = kv_request_build(data, KV_GET, i, &i, 8, NULL, 0, 0);
        struct kv_slot *s;

        assert_true(kv_is_quick(&kv->store, data, len, &s));
        s->age = 0;
        assert_true(kv_quick(&s, data, len, 2));
        assert_int_equal(kv_load64(s->body), i);
        away += s->dist > 0;
        s->age = 0;
        assert_int_equal(kv_reply_quick(s, data, data), KV_HEAD + 8);
        assert_int_equal(kv_load64(data + KV_HEAD), i);
        assert_int_equal(s->age, KV_FRESH);
    }
    assert_in_range(away, 1, KEYS / 2);
    forget();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_is_found_until_deleted),
        cmocka_unit_test(items_live_as_long_as_they_were_given),
        cmocka_unit_test(every_length_of_key_and_value),
        cmocka_unit_test(keys_are_compared_whole),
        cmocka_unit_test(bad_requests_are_answered_or_ignored),
        cmocka_unit_test(a_reply_never_leaves_its_room),
        cmocka_unit_test(as_many_items_as_were_asked_for_fit),
        cmocka_unit_test(keys_spread_over_the_table),
        cmocka_unit_test(sizes_of_memory),
        cmocka_unit_test(without_units_large_values_have_no_room),
        cmocka_unit_test(a_full_window_loses_what_was_not_used_for_longest),
        cmocka_unit_test(expired_items_go_first),
        cmocka_unit_test(units_are_taken_from_what_is_not_used),
        cmocka_unit_test(the_fast_path_finds_each_small_item_and_says_that_it_was_used),
        cmocka_unit_test(random_operations_with_room_for_all),
        cmocka_unit_test(random_operations_in_a_full_table),
        cmocka_unit_test(random_operations_with_few_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
