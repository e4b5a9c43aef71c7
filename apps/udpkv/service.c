/* See service.h. */
#include "quick.h"

/* What kv_handle() is to do. For the common GET it is the request's length, KV_QUICK_MIN to
 * KV_QUICK_MAX. (`quick` in a slot is 0 or in that range, so none of the others compares equal.) */
enum { DO_NOTHING = 1, DO_ERROR, DO_GET, DO_SET, DO_DELETE, DO_NOOP, DO_QUICK_SET };
_Static_assert((int)DO_QUICK_SET < (int)KV_QUICK_MIN, "verdicts are told from lengths");

/* ---- begin ---- */

/* A right SET with a short key and value: false if it is none. */
static inline bool begin_set(struct kv *kv, struct kv_request *r, size_t len)
{
    const uint8_t *p = r->data;
    size_t key_len, value_len;
    uint64_t head;

    if (len < KV_QUICK_MIN)
        return false;
    head = kv_load64(p);
    key_len = head >> 24 & 0xff;
    value_len = head >> 32 & 0xffff;
    if ((head & 0xffffff) != (KV_VERSION | KV_SET << 8) ||
        key_len - KV_QUICK_KEY_MIN > KV_QUICK_KEY_MAX - KV_QUICK_KEY_MIN ||
        value_len > KV_QUICK_VALUE_MAX || len != KV_HEAD + key_len + value_len)
        return false;
    r->key_len = key_len;
    r->value_len = value_len;
    r->ttl = head >> 48;
    r->verdict = DO_QUICK_SET;
    r->home = kv_home(&kv->store, kv_hash_quick(&kv->store, p + KV_HEAD, key_len));
    kv_prefetch(r->home);
    return true;
}

void kv_begin_other(struct kv *kv, struct kv_request *r, const void *data, size_t len)
{
    struct kv_head h;
    int status;

    r->data = data;
    if (begin_set(kv, r, len))
        return;
    status = kv_request_check(r->data, len, &h);
    r->home = kv->store.slots; /* kv_handle() looks at one before it looks at the verdict */
    if (status == KV_SILENT) {
        r->verdict = DO_NOTHING;
        return;
    }
    r->op = h.op;
    r->status = status;
    r->key_len = h.key_len;
    r->value_len = h.value_len;
    r->ttl = h.ttl;
    if (status != KV_OK) {
        r->verdict = DO_ERROR;
        return;
    }
    r->verdict = DO_GET + h.op - KV_GET;
    if (h.op == KV_NOOP)
        return;
    r->home = kv_home(&kv->store, kv_hash(&kv->store, r->data + KV_HEAD, h.key_len));
    kv_prefetch(r->home);
}

void kv_begin(struct kv *kv, struct kv_request *r, const void *data, size_t len)
{
    if (!kv_begin_quick(kv, r, data, len))
        kv_begin_other(kv, r, data, len);
}

/* ---- handle ---- */

/* A reply without a value. The id is read before the head is written, over it perhaps. */
static size_t answer(struct kv *kv, const struct kv_request *r, unsigned op, int status,
                     uint8_t *reply, size_t room)
{
    uint64_t id = kv_load64(r->data + 8);

    if (room < KV_HEAD) {
        kv->stats.unanswered++;
        return 0;
    }
    kv_store64(reply, KV_VERSION | (op | KV_REPLY) << 8 | (unsigned)status << 16);
    kv_store64(reply + 8, id);
    return KV_HEAD;
}

static size_t refuse(struct kv *kv, const struct kv_request *r, uint8_t *reply, size_t room)
{
    switch (r->status) {
    case KV_BAD_VERSION:
        kv->stats.bad_version++;
        break;
    case KV_BAD_OP:
        kv->stats.bad_op++;
        break;
    case KV_TOO_LARGE:
        kv->stats.too_large++;
        break;
    default:
        kv->stats.malformed++;
        break;
    }
    return answer(kv, r, r->op, r->status, reply, room);
}

/* Any item's. */
static size_t reply_value(struct kv *kv, const struct kv_request *r, struct kv_slot *s,
                          uint8_t *reply, size_t room)
{
    uint64_t id = kv_load64(r->data + 8);

    s->age = KV_FRESH;
    kv->stats.hits++;
    if (room < s->len) {
        kv->stats.unanswered++;
        return 0;
    }
    kv_store64(reply, s->reply);
    kv_store64(reply + 8, id);
    kv_value(&kv->store, s, reply + KV_HEAD);
    return s->len;
}

static size_t get(struct kv *kv, const struct kv_request *r, size_t key_len, uint8_t *reply,
                  size_t room, uint32_t now)
{
    struct kv_slot *s = kv_get(&kv->store, r->home, r->data + KV_HEAD, key_len, now);

    if (s)
        return reply_value(kv, r, s, reply, room);
    kv->stats.misses++;
    return answer(kv, r, KV_GET, KV_NOT_FOUND, reply, room);
}

static size_t set(struct kv *kv, const struct kv_request *r, uint8_t *reply, size_t room,
                  uint32_t now)
{
    const uint8_t *key = r->data + KV_HEAD;
    int status =
        kv_set(&kv->store, r->home, key, r->key_len, key + r->key_len, r->value_len, r->ttl, now);

    kv->stats.sets++;
    kv->stats.no_room += status == KV_NO_ROOM;
    return answer(kv, r, KV_SET, status, reply, room);
}

/* A SET with a short key and value. Most overwrite an item that has those, too, and it can stay
 * where it is. */
static size_t set_quick(struct kv *kv, const struct kv_request *r, uint8_t *reply, size_t room,
                        uint32_t now)
{
    const uint8_t *key = r->data + KV_HEAD, *value = key + r->key_len;
    struct kv_slot *s = r->home;
    uint32_t hop = s->hop;
    size_t n = r->value_len;

    for (; hop; hop &= hop - 1) {
        s = r->home + __builtin_ctz(hop);
        if (kv_key_is_quick(s, key, r->key_len))
            break;
    }
    if (!hop || !s->quick)
        return set(kv, r, reply, room, now);
    kv_describe(s, n, r->ttl, now);
    if (n == KV_QUICK_VALUE_MAX)
        kv_copy64(s->body + KV_KEY_SPACE, value);
    else
        kv_copy(s->body + KV_KEY_SPACE, value, n);
    kv->stats.sets++;
    return answer(kv, r, KV_SET, KV_OK, reply, room);
}

static size_t handle_other(struct kv *kv, struct kv_request *r, uint8_t *reply, size_t room,
                           uint32_t now)
{
    int status;

    if (r->verdict == DO_QUICK_SET)
        return set_quick(kv, r, reply, room, now);
    switch (r->verdict) {
    case DO_NOTHING:
        kv->stats.ignored++;
        return 0;
    case DO_ERROR:
        return refuse(kv, r, reply, room);
    case DO_GET:
        return get(kv, r, r->key_len, reply, room, now);
    case DO_SET:
        return set(kv, r, reply, room, now);
    case DO_DELETE:
        kv->stats.deletes++;
        status = kv_delete(&kv->store, r->home, r->data + KV_HEAD, r->key_len, now);
        return answer(kv, r, KV_DELETE, status, reply, room);
    default: /* DO_NOOP */
        kv->stats.noops++;
        return answer(kv, r, KV_NOOP, KV_OK, reply, room);
    }
}

/* A common GET whose item is not at home, or is large, has expired, or is not there. */
static size_t handle_away(struct kv *kv, struct kv_request *r, uint8_t *reply, size_t room,
                          uint32_t now)
{
    size_t key_len = r->verdict - KV_HEAD;

    for (uint32_t hop = r->home->hop; hop; hop &= hop - 1) {
        struct kv_slot *s = r->home + __builtin_ctz(hop);

        if (!kv_key_is_quick(s, r->data + KV_HEAD, key_len))
            continue;
        if (now >= s->expires || room < KV_QUICK_ROOM)
            break;
        if (s->quick) {
            kv->stats.hits++;
            return kv_reply_quick(s, r->data, reply);
        }
        return reply_value(kv, r, s, reply, room);
    }
    return get(kv, r, key_len, reply, room, now);
}

size_t kv_handle_other(struct kv *kv, struct kv_request *r, void *reply, size_t room, uint32_t now)
{
    return r->verdict >= KV_QUICK_MIN ? handle_away(kv, r, reply, room, now)
                                      : handle_other(kv, r, reply, room, now);
}

size_t kv_handle(struct kv *kv, struct kv_request *r, void *reply, size_t room, uint32_t now)
{
    if (kv_is_here(r->home, r->data, r->verdict, now) && kv_likely(room >= KV_QUICK_ROOM)) {
        kv->stats.hits++;
        return kv_reply_quick(r->home, r->data, reply);
    }
    return kv_handle_other(kv, r, reply, room, now);
}

/* ---- the whole ---- */

size_t kv_bytes(uint64_t items, size_t value_bytes)
{
    size_t n = kv_store_bytes(items, value_bytes);

    return n ? KV_ALIGN + offsetof(struct kv, store) + n : 0;
}

struct kv *kv_init(void *mem, size_t bytes, size_t value_bytes, uint64_t seed)
{
    size_t skip = -(uintptr_t)mem % KV_ALIGN, head = skip + offsetof(struct kv, store);
    struct kv *kv = (struct kv *)((uint8_t *)mem + skip);

    if (bytes < head || !kv_store_init(&kv->store, bytes - head, value_bytes, seed))
        return NULL;
    return kv;
}

const struct kv_stats *kv_stats(const struct kv *kv)
{
    struct kv_stats *s =
        (struct kv_stats *)&kv->stats; /* in the caller's memory, which is not const */

    s->gets = s->hits + s->misses;
    s->evicted = kv->store.evicted;
    s->expired = kv->store.expired;
    s->items = kv->store.items;
    s->slots = kv_store_slots(&kv->store);
    s->units = kv->store.nr_units;
    s->in_units = kv->store.nr_units - kv->store.free_units;
    return s;
}

struct kv_store *kv_store_of(struct kv *kv)
{
    return &kv->store;
}
