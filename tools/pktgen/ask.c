/* See ask.h. Fields are little-endian, as this machine is. */
#include "ask.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format's fields are copied");

#define KEY_PREFIX "user" /* with 12 digits: 16 bytes; as `wherry load` has it */

const char *const kv_status_names[NR_KV_STATUSES] = {
    [KV_OK] = "OK",
    [KV_NOT_FOUND] = "NOT_FOUND",
    [KV_MALFORMED] = "MALFORMED",
    [KV_TOO_LARGE] = "TOO_LARGE",
    [KV_NO_ROOM] = "NO_ROOM",
    [KV_BAD_VERSION] = "BAD_VERSION",
    [KV_BAD_OP] = "BAD_OP",
};

size_t kv_write(uint8_t *p, unsigned op, uint64_t id, const void *key, size_t key_len,
                size_t value_len)
{
    uint16_t len = value_len;

    memset(p, 0, KV_HEAD);
    p[0] = KV_VERSION;
    p[KV_AT_OP] = op;
    p[KV_AT_KEY_LEN] = key_len;
    memcpy(p + KV_AT_VALUE_LEN, &len, 2);
    memcpy(p + KV_AT_ID, &id, 8);
    memcpy(p + KV_HEAD, key, key_len);
    return KV_HEAD + key_len + value_len;
}

size_t ask_key(uint8_t out[KEY_TEXT], uint64_t key)
{
    key_text((char *)out, KEY_PREFIX, key);
    return strlen((char *)out);
}

size_t ask_write(const struct ask *a, const struct flight *e, uint8_t *p)
{
    uint8_t key[KEY_TEXT];
    size_t key_len, len;

    if (e->op == OP_REQUEST && a->echo) {
        memcpy(p, &e->id, ECHO_HEAD);
        value_fill(p + ECHO_HEAD, a->echo_len - ECHO_HEAD, e->key, 0);
        return a->echo_len;
    }
    if (e->op == OP_REQUEST)
        return kv_write(p, KV_NOOP, e->id, "", 0, 0);
    key_len = ask_key(key, e->key);
    if (e->op == OP_READ)
        return kv_write(p, KV_GET, e->id, key, key_len, 0);
    len = value_size(&a->sizes, e->key);
    value_fill(p + KV_HEAD + key_len, len, e->key, e->version);
    return kv_write(p, KV_SET, e->id, key, key_len, len);
}

bool ask_id(const struct ask *a, const uint8_t *p, size_t n, uint64_t *id)
{
    size_t at = a->echo ? 0 : KV_AT_ID;

    if (n < (a->echo ? ECHO_HEAD : KV_HEAD))
        return false;
    memcpy(id, p + at, 8);
    return true;
}

static unsigned reply_op(const struct flight *e)
{
    return KV_REPLY | (e->op == OP_REQUEST ? KV_NOOP : e->op == OP_READ ? KV_GET : KV_SET);
}

bool ask_good(const struct ask *a, const struct flight *e, const uint8_t *p, size_t n,
              struct why *why)
{
    uint16_t len, ttl;

    if (a->echo) {
        if (n != a->echo_len)
            return because(why, "an echo of %zu bytes, not %u", n, a->echo_len);
        if (!value_is(p + ECHO_HEAD, n - ECHO_HEAD, e->key, 0))
            return because(why, "an echo with other bytes");
        return true;
    }
    memcpy(&len, p + KV_AT_VALUE_LEN, 2);
    memcpy(&ttl, p + KV_AT_TTL, 2);
    if (p[0] != KV_VERSION)
        return because(why, "a reply of version %u", p[0]);
    if (p[KV_AT_OP] != reply_op(e))
        return because(why, "op 0x%02x in reply to 0x%02x", p[KV_AT_OP], reply_op(e) & ~KV_REPLY);
    if (p[KV_AT_STATUS] != KV_OK)
        return because(why, "status %s for key %llu",
                       p[KV_AT_STATUS] < NR_KV_STATUSES ? kv_status_names[p[KV_AT_STATUS]] : "?",
                       (unsigned long long)e->key);
    if (p[KV_AT_KEY_LEN] || ttl || n != (size_t)KV_HEAD + len)
        return because(why, "lengths: key %u, value %u, time %u, datagram %zu", p[KV_AT_KEY_LEN],
                       len, ttl, n);
    if (e->op != OP_READ)
        return len == 0 || because(why, "a value of %u bytes that nobody asked for", len);
    if (len != value_size(&a->sizes, e->key))
        return because(why, "a value of %u bytes, not %u", len, value_size(&a->sizes, e->key));
    return value_good(p + KV_HEAD, len, e->key) ||
           because(why, "other bytes than key %llu has", (unsigned long long)e->key);
}
