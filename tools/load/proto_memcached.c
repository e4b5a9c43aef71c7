/*
 * memcached's two protocols (doc/protocol.txt of memcached; the binary one of its wiki). Records
 * are userN; read is get, update and insert are set, rmw is get, then set.
 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_LEN = 2048 };

static bool is_set(const struct request *r)
{
    return r->op == OP_UPDATE || r->op == OP_INSERT || r->op == OP_FILL ||
           (r->op == OP_RMW && r->step == 1);
}

/* What a step that went well, or did not, means for the request. */
static enum verdict outcome(const struct request *r, bool good)
{
    if (!good)
        return ANSWER_WRONG;
    return r->op == OP_RMW && r->step == 0 ? ANSWER_NEXT : ANSWER_GOOD;
}

static const void *value_of(struct proto_state *s, const struct request *r, size_t size)
{
    if (s->scratch.cap < size) {
        s->scratch.s = xrealloc(s->scratch.s, size);
        s->scratch.cap = size;
    }
    value_fill(s->scratch.s, size, r->key, r->version);
    return s->scratch.s;
}

static bool good_value(const struct proto_state *s, const struct request *r, const uint8_t *p,
                       size_t n)
{
    return n == value_size(&s->o->sizes, r->key) && value_good(p, n, r->key);
}

/* ---- ASCII ---- */

static void encode_ascii(struct proto_state *s, struct request *r, struct strbuf *out)
{
    char key[KEY_TEXT];

    key_text(key, "user", r->key);
    if (is_set(r)) {
        size_t size = value_size(&s->o->sizes, r->key);
        sb_addf(out, "set %s 0 0 %zu\r\n", key, size);
        sb_add(out, value_of(s, r, size), size);
        sb_add(out, "\r\n", 2);
        return;
    }
    sb_addf(out, "get %s\r\n", key);
}

/* The line at p + at, without its end; NULL if it is not complete. */
static const uint8_t *line_end(const uint8_t *p, size_t n, size_t at)
{
    size_t left = n - at;
    const uint8_t *end =
        left ? memchr(p + at, '\n', left < LINE_MAX_LEN ? left : LINE_MAX_LEN) : NULL;

    return end;
}

/* "VALUE KEY FLAGS BYTES [CAS]", DATA, "END". */
static enum verdict parse_value(struct proto_state *s, struct request *r, const uint8_t *p,
                                size_t n, size_t head, struct answer *a)
{
    char line[128], key[128], mine[KEY_TEXT];
    unsigned long flags;
    size_t size, len = head - 2 < sizeof(line) - 1 ? head - 2 : sizeof(line) - 1;

    memcpy(line, p, len);
    line[len] = '\0';
    if (sscanf(line, "VALUE %127s %lu %zu", key, &flags, &size) != 3 || size > ANSWER_MAX)
        return ANSWER_BROKEN;
    a->want = a->used = head + size + 2 + 5;
    if (n < a->want)
        return ANSWER_MORE;
    if (memcmp(p + head + size, "\r\nEND\r\n", 7) != 0)
        return ANSWER_BROKEN;
    key_text(mine, "user", r->key);
    return outcome(r, strcmp(mine, key) == 0 && good_value(s, r, p + head, size));
}

static bool line_is(const uint8_t *p, size_t n, const char *s)
{
    return n == strlen(s) && memcmp(p, s, n) == 0;
}

static bool starts(const uint8_t *p, size_t n, const char *s)
{
    return n >= strlen(s) && memcmp(p, s, strlen(s)) == 0;
}

static enum verdict parse_ascii(struct proto_state *s, struct request *r, const uint8_t *p,
                                size_t n, bool eof, struct answer *a)
{
    const uint8_t *end = line_end(p, n, 0);
    size_t len;

    (void)eof;
    *a = (struct answer){.want = n + 1};
    if (!end)
        return n < LINE_MAX_LEN ? ANSWER_MORE : ANSWER_BROKEN;
    a->used = end + 1 - p;
    if (a->used < 2 || end[-1] != '\r')
        return ANSWER_BROKEN;
    len = a->used - 2;
    if (starts(p, len, "ERROR") || starts(p, len, "SERVER_ERROR") || starts(p, len, "CLIENT_ERROR"))
        return ANSWER_WRONG;
    if (is_set(r)) {
        if (line_is(p, len, "STORED"))
            return outcome(r, true);
        return line_is(p, len, "NOT_STORED") ? ANSWER_WRONG : ANSWER_BROKEN;
    }
    if (line_is(p, len, "END")) /* a miss */
        return ANSWER_WRONG;
    return starts(p, len, "VALUE ") ? parse_value(s, r, p, n, a->used, a) : ANSWER_BROKEN;
}

/* ---- binary ---- */

enum {
    BIN_HEAD = 24,
    BIN_REQUEST = 0x80,
    BIN_ANSWER = 0x81,
    BIN_GET = 0x00,
    BIN_SET = 0x01,
    BIN_SET_EXTRAS = 8, /* flags, expiry */
};

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = v >> (24 - 8 * i);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

/* The answer carries it back. */
static uint32_t opaque(const struct request *r)
{
    return keys_hash(r->key ^ r->version) + r->step;
}

static void encode_binary(struct proto_state *s, struct request *r, struct strbuf *out)
{
    bool set = is_set(r);
    size_t size = set ? value_size(&s->o->sizes, r->key) : 0;
    uint8_t head[BIN_HEAD + BIN_SET_EXTRAS] = {BIN_REQUEST, set ? BIN_SET : BIN_GET};
    char key[KEY_TEXT];
    size_t extras = set ? BIN_SET_EXTRAS : 0, len;

    key_text(key, "user", r->key);
    len = strlen(key);
    head[3] = len;
    head[4] = extras;
    put32(head + 8, extras + len + size);
    put32(head + 12, opaque(r));
    sb_add(out, head, BIN_HEAD + extras);
    sb_add(out, key, len);
    if (set)
        sb_add(out, value_of(s, r, size), size);
}

static enum verdict parse_binary(struct proto_state *s, struct request *r, const uint8_t *p,
                                 size_t n, bool eof, struct answer *a)
{
    bool set = is_set(r);
    uint32_t body, skip;
    unsigned status;

    (void)eof;
    *a = (struct answer){.want = BIN_HEAD};
    if (n < BIN_HEAD)
        return n && p[0] != BIN_ANSWER ? ANSWER_BROKEN : ANSWER_MORE;
    body = get32(p + 8);
    skip = p[4] + (p[2] << 8 | p[3]); /* extras and key */
    if (p[0] != BIN_ANSWER || body > ANSWER_MAX || skip > body)
        return ANSWER_BROKEN;
    a->want = a->used = BIN_HEAD + body;
    if (n < a->used)
        return ANSWER_MORE;
    if (p[1] != (set ? BIN_SET : BIN_GET) || get32(p + 12) != opaque(r))
        return ANSWER_BROKEN;
    status = p[6] << 8 | p[7];
    return outcome(r, status == 0 && (set || good_value(s, r, p + BIN_HEAD + skip, body - skip)));
}

const struct proto proto_memcached_ascii = {"memcached", false, encode_ascii, parse_ascii, NULL};
const struct proto proto_memcached_binary = {"memcached", false, encode_binary, parse_binary, NULL};
