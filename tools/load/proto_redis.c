/*
 * RESP2, the Redis protocol.
 *   read, update, insert  GET and SET of userN (all of a YCSB record's fields are one value)
 *   rmw                   GET, then SET
 *   scan                  ZRANGEBYLEX on the sorted set `index`, which holds the keys in their
 *                         order, then MGET of them; inserts of YCSB E add to both
 *   lrange                LRANGE listN, all of it
 *   fill                  what a workload reads: SET (with ZADD), or DEL and RPUSH of a whole list
 */
#include "options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests ---- */

static void array(struct strbuf *out, unsigned n)
{
    sb_addf(out, "*%u\r\n", n);
}

static void bulk(struct strbuf *out, const char *s)
{
    sb_addf(out, "$%zu\r\n%s\r\n", strlen(s), s);
}

static void bulk_key(struct strbuf *out, const char *prefix, uint64_t key)
{
    char text[KEY_TEXT];

    key_text(text, prefix, key);
    bulk(out, text);
}

static void bulk_value(struct strbuf *out, struct strbuf *scratch, size_t size, uint64_t key,
                       uint64_t version)
{
    if (scratch->cap < size) {
        scratch->s = xrealloc(scratch->s, size);
        scratch->cap = size;
    }
    value_fill(scratch->s, size, key, version);
    sb_addf(out, "$%zu\r\n", size);
    sb_add(out, scratch->s, size);
    sb_add(out, "\r\n", 2);
}

static void encode_set(struct proto_state *s, struct request *r, struct strbuf *out)
{
    array(out, 3);
    bulk(out, "SET");
    bulk_key(out, "user", r->key);
    bulk_value(out, &s->scratch, value_size(&s->o->sizes, r->key), r->key, r->version);
}

static void encode_zadd(struct request *r, struct strbuf *out)
{
    array(out, 4);
    bulk(out, "ZADD");
    bulk(out, "index");
    bulk(out, "0");
    bulk_key(out, "user", r->key);
}

static void encode_scan(struct request *r, struct strbuf *out)
{
    char text[KEY_TEXT + 1] = "[", count[16];

    if (r->step == 1) {
        array(out, 1 + r->count);
        bulk(out, "MGET");
        for (unsigned i = 0; i < r->count; i++)
            bulk_key(out, "user", r->key + i);
        return;
    }
    array(out, 7);
    bulk(out, "ZRANGEBYLEX");
    bulk(out, "index");
    key_text(text + 1, "user", r->key);
    bulk(out, text);
    bulk(out, "+");
    bulk(out, "LIMIT");
    bulk(out, "0");
    snprintf(count, sizeof(count), "%u", r->count);
    bulk(out, count);
}

static void encode_list(struct proto_state *s, struct request *r, struct strbuf *out)
{
    unsigned n = s->o->list_length;

    if (r->step == 0) {
        array(out, 2);
        bulk(out, "DEL");
        bulk_key(out, "list", r->key);
        return;
    }
    array(out, 2 + n);
    bulk(out, "RPUSH");
    bulk_key(out, "list", r->key);
    for (unsigned i = 0; i < n; i++)
        bulk_value(out, &s->scratch, value_size(&s->o->sizes, r->key), r->key, i);
}

static void encode(struct proto_state *s, struct request *r, struct strbuf *out)
{
    char last[16];

    switch (r->op) {
    case OP_LRANGE:
        array(out, 4);
        bulk(out, "LRANGE");
        bulk_key(out, "list", r->key);
        bulk(out, "0");
        snprintf(last, sizeof(last), "%u", s->o->list_length - 1);
        bulk(out, last);
        return;
    case OP_SCAN:
        encode_scan(r, out);
        return;
    case OP_FILL:
        if (s->o->workload == WORKLOAD_LRANGE) {
            encode_list(s, r, out);
            return;
        }
        __attribute__((fallthrough));
    case OP_INSERT:
        if (r->step == 0)
            encode_set(s, r, out);
        else
            encode_zadd(r, out);
        return;
    case OP_UPDATE:
        encode_set(s, r, out);
        return;
    case OP_RMW:
        if (r->step == 1) {
            encode_set(s, r, out);
            return;
        }
        break;
    default:
        break;
    }
    array(out, 2);
    bulk(out, "GET");
    bulk_key(out, "user", r->key);
}

/* ---- answers ---- */

/* One element: its type, its number (length, count or value), the text of a line. */
struct element {
    char type;
    long long number;
    const uint8_t *data; /* of a bulk string; of a line */
    size_t len;
};

enum { LINE_MAX_LEN = 4096 };

/* Reads the element at *at, moves *at behind it. Elements of an array follow it. */
static enum verdict element(const uint8_t *p, size_t n, size_t *at, struct element *e, size_t *want)
{
    const uint8_t *s = p + *at, *end = NULL;
    size_t left = n - *at;
    char number[24];
    char *stop;

    *want = *at + left + 1;
    if (left)
        end = memchr(s, '\n', left < LINE_MAX_LEN ? left : LINE_MAX_LEN);
    if (!end)
        return left < LINE_MAX_LEN ? ANSWER_MORE : ANSWER_BROKEN;
    if (end - s < 2 || end[-1] != '\r')
        return ANSWER_BROKEN;
    *e = (struct element){.type = *s, .data = s + 1, .len = end - s - 2};
    *at += end + 1 - s;
    if (*s == '+' || *s == '-')
        return ANSWER_GOOD;
    if ((*s != ':' && *s != '$' && *s != '*') || e->len < 1 || e->len >= sizeof(number))
        return ANSWER_BROKEN;
    memcpy(number, e->data, e->len);
    number[e->len] = '\0';
    e->number = strtoll(number, &stop, 10);
    if (*stop)
        return ANSWER_BROKEN;
    if (*s == ':')
        return ANSWER_GOOD;
    if (e->number < -1 || e->number > ANSWER_MAX)
        return ANSWER_BROKEN;
    if (*s == '*' || e->number < 0)
        return ANSWER_GOOD;
    e->data = p + *at;
    e->len = e->number;
    *want = *at + e->len + 2;
    if (n < *want)
        return ANSWER_MORE;
    if (memcmp(e->data + e->len, "\r\n", 2) != 0)
        return ANSWER_BROKEN;
    *at = *want;
    return ANSWER_GOOD;
}

/* Where a reply ends, whatever it is. */
static enum verdict frame(const uint8_t *p, size_t n, struct answer *a)
{
    unsigned long long pending = 1;
    size_t at = 0;

    while (pending) {
        struct element e;
        enum verdict v = element(p, n, &at, &e, &a->want);

        if (v != ANSWER_GOOD)
            return v;
        pending--;
        if (e.type == '*' && e.number > 0)
            pending += e.number;
        if (at > ANSWER_MAX || pending > ANSWER_MAX)
            return ANSWER_BROKEN;
    }
    a->used = at;
    return ANSWER_GOOD;
}

/* The next element of a whole reply. */
static struct element next(const uint8_t *p, size_t n, size_t *at)
{
    struct element e = {0};
    size_t want;

    if (*at >= n || element(p, n, at, &e, &want) != ANSWER_GOOD)
        e.type = 0;
    return e;
}

static bool good_value(const struct proto_state *s, const struct element *e, uint64_t key)
{
    return e->type == '$' && e->number >= 0 && e->len == value_size(&s->o->sizes, key) &&
           value_good(e->data, e->len, key);
}

static bool good_ok(const struct element *e)
{
    return e->type == '+' && e->len == 2 && memcmp(e->data, "OK", 2) == 0;
}

static enum verdict good_if(bool good)
{
    return good ? ANSWER_GOOD : ANSWER_WRONG;
}

static enum verdict next_if(bool good)
{
    return good ? ANSWER_NEXT : ANSWER_WRONG;
}

static bool check_list(const struct proto_state *s, uint64_t key, const uint8_t *p, size_t n)
{
    size_t at = 0;
    struct element e = next(p, n, &at);

    if (e.type != '*' || e.number != s->o->list_length)
        return false;
    for (unsigned i = 0; i < s->o->list_length; i++) {
        e = next(p, n, &at);
        if (e.type != '$' || e.number < 0 || e.len != value_size(&s->o->sizes, key) ||
            !value_is(e.data, e.len, key, i))
            return false;
    }
    return true;
}

/* The keys from r->key on, without a gap as far as they were known before the scan; r->version is
 * the number of keys then. Of what others insert meanwhile, in any order, a scan may see some: it
 * goes on with those up to the first gap. */
static enum verdict check_scan_keys(struct request *r, const uint8_t *p, size_t n)
{
    size_t at = 0;
    struct element e = next(p, n, &at);
    uint64_t known = r->version > r->key ? r->version - r->key : 0, good = 0;
    long long members = e.number;
    char text[KEY_TEXT];

    if (known > r->count)
        known = r->count;
    if (e.type != '*' || members < 1 || members > r->count)
        return ANSWER_WRONG;
    for (long long i = 0; i < members; i++) {
        key_text(text, "user", r->key + good);
        e = next(p, n, &at);
        if (e.type != '$' || e.number != (long long)strlen(text))
            return ANSWER_WRONG;
        good += memcmp(e.data, text, e.len) == 0;
    }
    if (good < known || good < 1)
        return ANSWER_WRONG;
    r->count = good;
    return ANSWER_NEXT;
}

static bool check_scan_values(const struct proto_state *s, const struct request *r,
                              const uint8_t *p, size_t n)
{
    size_t at = 0;
    struct element e = next(p, n, &at);

    if (e.type != '*' || e.number != r->count)
        return false;
    for (unsigned i = 0; i < r->count; i++) {
        e = next(p, n, &at);
        if (!good_value(s, &e, r->key + i))
            return false;
    }
    return true;
}

static enum verdict judge(struct proto_state *s, struct request *r, const uint8_t *p, size_t n)
{
    size_t at = 0;
    struct element e = next(p, n, &at);

    switch (r->op) {
    case OP_UPDATE:
        return good_if(good_ok(&e));
    case OP_FILL:
        if (s->o->workload == WORKLOAD_LRANGE)
            return r->step == 0 ? next_if(e.type == ':')
                                : good_if(e.type == ':' && e.number == s->o->list_length);
        __attribute__((fallthrough));
    case OP_INSERT:
        if (r->step == 1)
            return good_if(e.type == ':');
        return s->o->workload == WORKLOAD_YCSB_E ? next_if(good_ok(&e)) : good_if(good_ok(&e));
    case OP_RMW:
        return r->step == 0 ? next_if(good_value(s, &e, r->key)) : good_if(good_ok(&e));
    case OP_LRANGE:
        return good_if(check_list(s, r->key, p, n));
    case OP_SCAN:
        return r->step == 0 ? check_scan_keys(r, p, n) : good_if(check_scan_values(s, r, p, n));
    default:
        return good_if(good_value(s, &e, r->key));
    }
}

static enum verdict parse(struct proto_state *s, struct request *r, const uint8_t *p, size_t n,
                          bool eof, struct answer *a)
{
    enum verdict v;

    (void)eof;
    *a = (struct answer){.want = 1};
    v = frame(p, n, a);
    return v == ANSWER_GOOD ? judge(s, r, p, a->used) : v;
}

const struct proto proto_redis = {"redis", false, encode, parse, NULL};
