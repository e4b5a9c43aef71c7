/* See proto.h. Called by service.c for all requests that are not the common GET. */
#include "proto.h"

int kv_request_check(const void *data, size_t len, struct kv_head *h)
{
    bool has_key;

    if (len < KV_HEAD)
        return KV_SILENT;
    *h = kv_head_read(data);
    /* Two servers must not answer each other for ever. */
    if (h->op & KV_REPLY)
        return KV_SILENT;
    if (h->version != KV_VERSION)
        return KV_BAD_VERSION;
    if (h->op < KV_GET || h->op > KV_NOOP)
        return KV_BAD_OP;
    has_key = h->op != KV_NOOP;
    if (h->status != 0 || len != (size_t)KV_HEAD + h->key_len + h->value_len ||
        (h->key_len != 0) != has_key || (h->op != KV_SET && (h->value_len != 0 || h->ttl != 0)))
        return KV_MALFORMED;
    if (h->key_len > KV_KEY_MAX || h->value_len > KV_VALUE_MAX)
        return KV_TOO_LARGE;
    return KV_OK;
}
