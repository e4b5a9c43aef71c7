/*
 * Raw UDP: a server that sends every datagram back. A datagram is its number (4 bytes), then bytes
 * that are a function of the request's key; the answer must be the same, whole.
 */
#include "options.h"

#include <string.h>

enum { UDP_MAX = 65507 };

static size_t build(const struct proto_state *s, const struct request *r, uint8_t *out)
{
    size_t n = s->o->size;

    memcpy(out, &r->id, 4);
    value_fill(out + 4, n - 4, r->key, 0);
    return n;
}

static void encode(struct proto_state *s, struct request *r, struct strbuf *out)
{
    uint8_t bytes[UDP_MAX];

    sb_add(out, bytes, build(s, r, bytes));
}

static enum verdict parse(struct proto_state *s, struct request *r, const uint8_t *p, size_t n,
                          bool eof, struct answer *a)
{
    (void)eof;
    *a = (struct answer){.used = n};
    if (n != s->o->size || memcmp(p, &r->id, 4) != 0)
        return ANSWER_WRONG;
    return value_is(p + 4, n - 4, r->key, 0) ? ANSWER_GOOD : ANSWER_WRONG;
}

static bool id(const uint8_t *p, size_t n, uint32_t *id)
{
    if (n < 4)
        return false;
    memcpy(id, p, 4);
    return true;
}

const struct proto proto_udp = {"udp", true, encode, parse, id};
