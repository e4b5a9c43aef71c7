/*
 * The wire format of the UDP key-value store, version 1 (docs/udpkv.md): one request a datagram,
 * one reply a datagram, little-endian. Both sides use this header; what clients need is inline, so
 * that they link with nothing. Freestanding and pure: no memory, no I/O, no floating point.
 *
 *     0  version        1
 *     1  op             1 GET, 2 SET, 3 DELETE, 4 NOOP; replies have bit 7 set as well
 *     2  status         0 in requests
 *     3  key length     1..250; 0 in NOOP and in replies
 *     4  value length   0..1408
 *     6  time to live   of SET, in seconds, 0: for ever; else 0
 *     8  id             the client's, comes back unchanged
 *    16  key, then value; the datagram ends there
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "heads are read and written as they are");

enum {
    KV_VERSION = 1,
    KV_PORT = 7777,
    KV_HEAD = 16,
    KV_KEY_MAX = 250,
    KV_VALUE_MAX = 1408,
    KV_REQUEST_MAX = KV_HEAD + KV_KEY_MAX + KV_VALUE_MAX,
    KV_REPLY_MAX = KV_HEAD + KV_VALUE_MAX,
};

enum kv_op { KV_GET = 1, KV_SET, KV_DELETE, KV_NOOP, KV_REPLY = 0x80 };

enum kv_status {
    KV_OK,
    KV_NOT_FOUND,
    KV_MALFORMED,
    KV_TOO_LARGE,
    KV_NO_ROOM,
    KV_BAD_VERSION,
    KV_BAD_OP,
    NR_KV_STATUS,
    KV_SILENT = -1, /* not a status: there is to be no answer */
};

struct kv_head {
    uint8_t version, op, status, key_len;
    uint16_t value_len, ttl;
    uint64_t id;
};
_Static_assert(sizeof(struct kv_head) == KV_HEAD, "the head is the wire's");

static inline struct kv_head kv_head_read(const void *p)
{
    struct kv_head h;

    __builtin_memcpy(&h, p, sizeof(h));
    return h;
}

static inline void kv_head_write(void *p, struct kv_head h)
{
    __builtin_memcpy(p, &h, sizeof(h));
}

/* ---- a server's side (proto.c) ---- */

/* What is to be answered to these bytes: KV_OK if they are a request that can be carried out, else
 * the status of the error, or KV_SILENT. *h is the head, but for KV_SILENT. */
int kv_request_check(const void *data, size_t len, struct kv_head *h);

/* ---- a client's side ---- */

/* Writes a request; out has room for KV_REQUEST_MAX. Returns its length. */
static inline size_t kv_request_build(void *out, enum kv_op op, uint64_t id, const void *key,
                                      size_t key_len, const void *value, size_t value_len,
                                      unsigned ttl)
{
    uint8_t *p = out;

    kv_head_write(p, (struct kv_head){.version = KV_VERSION,
                                      .op = op,
                                      .key_len = key_len,
                                      .value_len = value_len,
                                      .ttl = ttl,
                                      .id = id});
    if (key_len)
        __builtin_memcpy(p + KV_HEAD, key, key_len);
    if (value_len)
        __builtin_memcpy(p + KV_HEAD + key_len, value, value_len);
    return KV_HEAD + key_len + value_len;
}

/* Are these bytes a whole reply of this version? Its value, if any, is at data + KV_HEAD. */
static inline bool kv_reply_check(const void *data, size_t len, struct kv_head *h)
{
    if (len < KV_HEAD)
        return false;
    *h = kv_head_read(data);
    return h->version == KV_VERSION && (h->op & KV_REPLY) && h->status < NR_KV_STATUS &&
           h->key_len == 0 && h->ttl == 0 && h->value_len <= KV_VALUE_MAX &&
           len == KV_HEAD + (size_t)h->value_len;
}
