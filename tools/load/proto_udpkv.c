/*
 * Wherry's own key-value store over UDP (docs/udpkv.md, apps/udpkv). Records are userN; read is
 * GET, update and insert are SET, rmw is GET, then SET. A datagram's id has the request's number
 * and a check of what it was about.
 */
#include "../../apps/udpkv/proto.h"
#include "options.h"

#include <string.h>

static bool is_set(const struct request *r)
{
    return r->op == OP_UPDATE || r->op == OP_INSERT || r->op == OP_FILL ||
           (r->op == OP_RMW && r->step == 1);
}

static uint64_t id_of(const struct request *r)
{
    return r->id | (keys_hash(r->key ^ r->version) + r->step) << 32;
}

static void encode(struct proto_state *s, struct request *r, struct strbuf *out)
{
    uint8_t bytes[KV_REQUEST_MAX], value[KV_VALUE_MAX];
    size_t size = is_set(r) ? value_size(&s->o->sizes, r->key) : 0;
    char key[KEY_TEXT];

    key_text(key, "user", r->key);
    if (size > KV_VALUE_MAX)
        size = KV_VALUE_MAX;
    value_fill(value, size, r->key, r->version);
    sb_add(out, bytes,
           kv_request_build(bytes, is_set(r) ? KV_SET : KV_GET, id_of(r), key, strlen(key), value,
                            size, 0));
}

static enum verdict parse(struct proto_state *s, struct request *r, const uint8_t *p, size_t n,
                          bool eof, struct answer *a)
{
    bool set = is_set(r);
    struct kv_head h;

    (void)eof;
    *a = (struct answer){.used = n};
    if (!kv_reply_check(p, n, &h))
        return ANSWER_BROKEN;
    if (h.id != id_of(r) || h.op != ((set ? KV_SET : KV_GET) | KV_REPLY) || h.status != KV_OK)
        return ANSWER_WRONG;
    if (set)
        return h.value_len == 0 ? ANSWER_GOOD : ANSWER_WRONG;
    if (h.value_len != value_size(&s->o->sizes, r->key) ||
        !value_good(p + KV_HEAD, h.value_len, r->key))
        return ANSWER_WRONG;
    return r->op == OP_RMW ? ANSWER_NEXT : ANSWER_GOOD;
}

static bool id(const uint8_t *p, size_t n, uint32_t *id)
{
    if (n < KV_HEAD)
        return false;
    memcpy(id, p + 8, 4);
    return true;
}

const struct proto proto_udpkv = {"udpkv", true, encode, parse, id};
