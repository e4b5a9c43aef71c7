/* See serve_proto.h. */
#define _GNU_SOURCE
#include "serve_proto.h"

#include "../../apps/udpkv/proto.h"
#include "proto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ARGS_MAX = 4096, REQUEST_MAX = 64 << 20, SCAN_MAX = 1000 };

/* "user000000000042" is key 42. */
static uint64_t key_of(const uint8_t *p, size_t n)
{
    uint64_t key = 0;

    for (size_t i = 0; i < n; i++)
        if (p[i] >= '0' && p[i] <= '9')
            key = key * 10 + p[i] - '0';
    return key;
}

/* Appends a value, one byte of it changed if it is to be wrong. */
static void add_value(struct strbuf *out, size_t size, uint64_t key, uint64_t version, bool wrong)
{
    static uint8_t value[VALUE_MAX];

    value_fill(value, size, key, version);
    value[size - 1] ^= wrong;
    sb_add(out, value, size);
}

/* ---- HTTP ---- */

static ssize_t http(const struct null_options *o, bool udp, const uint8_t *p, size_t n, bool wrong,
                    struct strbuf *out, bool *close)
{
    const uint8_t *end = memmem(p, n, "\r\n\r\n", 4);
    size_t at;

    (void)udp;
    if (!end)
        return n > 65536 ? NULL_BROKEN : 0;
    *close = memmem(p, end - p, "Connection: close", 17) != NULL;
    sb_addf(out, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n%sContent-Length: ",
            *close ? "Connection: close\r\n" : "");
    sb_addf(out, "%zu\r\n\r\n", o->body.size);
    at = out->len;
    sb_add(out, o->body.data, o->body.size);
    if (o->body.size)
        out->s[at] ^= wrong;
    return end + 4 - p;
}

/* ---- DNS ---- */

static void put16(uint8_t *p, unsigned v)
{
    p[0] = v >> 8;
    p[1] = v;
}

static const struct dns_query *asked(const struct null_options *o, const uint8_t *question,
                                     size_t n)
{
    for (size_t i = 0; i < o->queries.n; i++)
        if (o->queries.q[i].len == n && memcmp(o->queries.q[i].question, question, n) == 0)
            return &o->queries.q[i];
    return NULL;
}

static bool dns_message(const struct null_options *o, const uint8_t *p, size_t n, bool wrong,
                        struct strbuf *out)
{
    size_t name = n > DNS_HEADER ? dns_name_len(p, n, DNS_HEADER) : 0, len = name + 4;
    uint8_t head[DNS_HEADER] = {0}, record[12] = {0xc0, DNS_HEADER};
    const struct dns_query *q;
    struct dns_query any = {.expect = DNS_ADDRESS};
    bool with_record;
    uint64_t key;

    if (name == 0 || n < DNS_HEADER + len)
        return false;
    q = asked(o, p + DNS_HEADER, len);
    if (!q) {
        uint32_t address;

        q = &any;
        dns_key_of_question(p + DNS_HEADER, len, &key);
        address = dns_address_of_key(key);
        memcpy(any.address, &address, sizeof(address));
        any.type = p[DNS_HEADER + name] << 8 | p[DNS_HEADER + name + 1];
    }
    with_record = q->expect == DNS_ANY_RECORD || q->expect == DNS_ADDRESS;
    memcpy(head, p, 2);
    put16(head + 2, 0x8180 | (q->expect == DNS_NO_NAME ? DNS_NXDOMAIN : 0));
    put16(head + 4, 1);
    put16(head + 6, with_record && !(wrong && q->expect == DNS_ANY_RECORD));
    if (wrong && !with_record)
        put16(head + 2, 0x8182); /* server failure */
    sb_add(out, head, sizeof(head));
    sb_add(out, p + DNS_HEADER, len);
    if (head[7]) {
        unsigned size = q->type == DNS_AAAA ? 16 : 4;

        put16(record + 2, q->type);
        put16(record + 4, DNS_IN);
        record[9] = 60; /* time to live */
        put16(record + 10, size);
        sb_add(out, record, sizeof(record));
        sb_add(out, q->address, size);
        out->s[out->len - 1] ^= wrong;
    }
    return true;
}

static ssize_t dns(const struct null_options *o, bool udp, const uint8_t *p, size_t n, bool wrong,
                   struct strbuf *out, bool *close)
{
    size_t start = out->len, len = n;

    (void)close;
    if (!udp) {
        if (n < 2)
            return 0;
        len = p[0] << 8 | p[1];
        if (n < 2 + len)
            return 0;
        p += 2;
        sb_add(out, "\0\0", 2);
    }
    if (!dns_message(o, p, len, wrong, out))
        return NULL_BROKEN;
    if (!udp)
        put16((uint8_t *)out->s + start, out->len - start - 2);
    return udp ? len : len + 2;
}

/* ---- Redis ---- */

struct words_in {
    const uint8_t *p[ARGS_MAX];
    size_t len[ARGS_MAX];
    unsigned n;
};

static ssize_t line_number(const uint8_t *p, size_t n, size_t at, char type, long *v)
{
    const uint8_t *end;
    char text[16];
    size_t len;

    if (at >= n)
        return 0;
    end = memchr(p + at, '\n', n - at < 16 ? n - at : 16);
    if (!end)
        return n - at < 16 ? 0 : NULL_BROKEN;
    len = end - p - at;
    if (p[at] != type || len < 3)
        return NULL_BROKEN;
    memcpy(text, p + at + 1, len - 1);
    text[len - 1] = '\0';
    *v = strtol(text, NULL, 10);
    return *v < 0 || *v > REQUEST_MAX ? NULL_BROKEN : end + 1 - p;
}

static ssize_t words_read(struct words_in *w, const uint8_t *p, size_t n)
{
    long count, len;
    ssize_t at = line_number(p, n, 0, '*', &count);

    if (at <= 0)
        return at;
    if (count < 1 || count > ARGS_MAX)
        return NULL_BROKEN;
    for (w->n = 0; w->n < count; w->n++) {
        at = line_number(p, n, at, '$', &len);
        if (at <= 0)
            return at;
        if (n - at < (size_t)len + 2)
            return 0;
        w->p[w->n] = p + at;
        w->len[w->n] = len;
        at += len + 2;
    }
    return at;
}

static bool word_is(const struct words_in *w, unsigned i, const char *s)
{
    return i < w->n && w->len[i] == strlen(s) &&
           strncasecmp((const char *)w->p[i], s, w->len[i]) == 0;
}

static void add_bulk(const struct null_options *o, struct strbuf *out, uint64_t key,
                     uint64_t version, bool wrong)
{
    size_t size = value_size(&o->sizes, key);

    sb_addf(out, "$%zu\r\n", size);
    add_value(out, size, key, version, wrong);
    sb_add(out, "\r\n", 2);
}

/* Scans see the keys that were there at first, and those of inserts up to the highest. */
static uint64_t scan_end;

static void scan(const struct null_options *o, const struct words_in *w, bool wrong,
                 struct strbuf *out)
{
    uint64_t key = key_of(w->p[2], w->len[2]), n = key_of(w->p[6], w->len[6]);
    uint64_t end = scan_end > o->keys ? scan_end : o->keys, left = key < end ? end - key : 0;

    if (n > left)
        n = left;
    if (n > SCAN_MAX)
        n = SCAN_MAX;
    sb_addf(out, "*%llu\r\n", (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++)
        sb_addf(out, "$16\r\nuser%012llu\r\n", (unsigned long long)(key + i + (wrong && i == 0)));
}

static ssize_t redis(const struct null_options *o, bool udp, const uint8_t *p, size_t n, bool wrong,
                     struct strbuf *out, bool *close)
{
    static struct words_in w;
    ssize_t used = words_read(&w, p, n);

    (void)udp;
    (void)close;
    if (used <= 0)
        return used;
    if (word_is(&w, 0, "GET") && w.n == 2) {
        add_bulk(o, out, key_of(w.p[1], w.len[1]), 0, wrong);
    } else if (word_is(&w, 0, "SET") && w.n == 3) {
        sb_addf(out, wrong ? "-OOM out of memory\r\n" : "+OK\r\n");
    } else if (word_is(&w, 0, "LRANGE") && w.n == 4) {
        sb_addf(out, "*%u\r\n", o->list_length);
        for (unsigned i = 0; i < o->list_length; i++)
            add_bulk(o, out, key_of(w.p[1], w.len[1]), i, wrong && i == 0);
    } else if (word_is(&w, 0, "RPUSH")) {
        sb_addf(out, ":%u\r\n", w.n - 2);
    } else if (word_is(&w, 0, "ZADD") && w.n == 4) {
        uint64_t key = key_of(w.p[3], w.len[3]);

        if (key >= scan_end)
            scan_end = key + 1;
        sb_addf(out, ":1\r\n");
    } else if (word_is(&w, 0, "DEL")) {
        sb_addf(out, ":1\r\n");
    } else if (word_is(&w, 0, "ZRANGEBYLEX") && w.n == 7) {
        scan(o, &w, wrong, out);
    } else if (word_is(&w, 0, "MGET")) {
        sb_addf(out, "*%u\r\n", w.n - 1);
        for (unsigned i = 1; i < w.n; i++)
            add_bulk(o, out, key_of(w.p[i], w.len[i]), 0, wrong && i == 1);
    } else if (word_is(&w, 0, "PING")) {
        sb_addf(out, "+PONG\r\n");
    } else {
        sb_addf(out, "-ERR unknown command\r\n");
    }
    return used;
}

/* ---- memcached ---- */

static ssize_t memcached_binary(const struct null_options *o, const uint8_t *p, size_t n,
                                bool wrong, struct strbuf *out)
{
    enum { HEAD = 24, GET = 0, SET = 1, UNKNOWN = 0x81, NO_MEMORY = 0x82 };
    uint8_t head[HEAD + 4] = {0x81};
    size_t body, key_len, value = 0, extras = 0;
    uint64_t key;

    if (n < HEAD)
        return 0;
    body = (size_t)p[8] << 24 | p[9] << 16 | p[10] << 8 | p[11];
    key_len = p[2] << 8 | p[3];
    if (body > REQUEST_MAX || p[4] + key_len > body)
        return NULL_BROKEN;
    if (n < HEAD + body)
        return 0;
    key = key_of(p + HEAD + p[4], key_len);
    head[1] = p[1];
    memcpy(head + 12, p + 12, 4); /* opaque */
    if (p[1] == GET) {
        extras = 4; /* flags */
        value = value_size(&o->sizes, key);
    } else if (p[1] != SET || wrong) {
        head[7] = p[1] == SET ? NO_MEMORY : UNKNOWN;
    }
    head[4] = extras;
    for (int i = 0; i < 4; i++)
        head[8 + i] = (extras + value) >> (24 - 8 * i);
    sb_add(out, head, HEAD + extras);
    if (p[1] == GET)
        add_value(out, value, key, 0, wrong);
    return HEAD + body;
}

static ssize_t memcached(const struct null_options *o, bool udp, const uint8_t *p, size_t n,
                         bool wrong, struct strbuf *out, bool *close)
{
    const uint8_t *end;
    char line[256], key[128];
    size_t len, size;

    (void)udp;
    (void)close;
    if (n == 0)
        return 0;
    if (p[0] == 0x80)
        return memcached_binary(o, p, n, wrong, out);
    end = memchr(p, '\n', n < sizeof(line) - 1 ? n : sizeof(line) - 1);
    if (!end)
        return n < sizeof(line) - 1 ? 0 : NULL_BROKEN;
    len = end + 1 - p;
    memcpy(line, p, len);
    line[len] = '\0';
    if (sscanf(line, "get %127s", key) == 1) {
        uint64_t k = key_of((uint8_t *)key, strlen(key));

        size = value_size(&o->sizes, k);
        sb_addf(out, "VALUE %s 0 %zu\r\n", key, size);
        add_value(out, size, k, 0, wrong);
        sb_addf(out, "\r\nEND\r\n");
        return len;
    }
    if (sscanf(line, "set %127s %*u %*u %zu", key, &size) != 2 || size > REQUEST_MAX)
        return NULL_BROKEN;
    if (n < len + size + 2)
        return 0;
    sb_addf(out, wrong ? "SERVER_ERROR out of memory storing object\r\n" : "STORED\r\n");
    return len + size + 2;
}

/* ---- UDP ---- */

static ssize_t echo(const struct null_options *o, bool udp, const uint8_t *p, size_t n, bool wrong,
                    struct strbuf *out, bool *close)
{
    (void)o;
    (void)udp;
    (void)close;
    sb_add(out, p, n);
    if (n > 4)
        out->s[out->len - 1] ^= wrong;
    return n;
}

static ssize_t udpkv(const struct null_options *o, bool udp, const uint8_t *p, size_t n, bool wrong,
                     struct strbuf *out, bool *close)
{
    struct kv_head h;
    uint64_t key;

    (void)udp;
    (void)close;
    if (n < KV_HEAD)
        return NULL_BROKEN;
    h = kv_head_read(p);
    if ((h.op & KV_REPLY) || n != (size_t)KV_HEAD + h.key_len + h.value_len)
        return NULL_BROKEN;
    key = key_of(p + KV_HEAD, h.key_len);
    h.value_len = h.op == KV_GET ? value_size(&o->sizes, key) : 0;
    if (h.value_len > KV_VALUE_MAX)
        h.value_len = KV_VALUE_MAX;
    h.status = h.op != KV_GET && wrong ? KV_NO_ROOM : KV_OK;
    h.op |= KV_REPLY;
    h.key_len = 0;
    h.ttl = 0;
    sb_add(out, &h, sizeof(h));
    if (h.value_len)
        add_value(out, h.value_len, key, 0, wrong);
    return n;
}

const struct null_proto *null_proto(const char *name)
{
    static const struct null_proto protos[] = {
        {"http", true, false, http},   {"dns", true, true, dns},
        {"redis", true, false, redis}, {"memcached", true, false, memcached},
        {"udp", false, true, echo},    {"udpkv", false, true, udpkv},
    };

    for (size_t i = 0; i < ARRAY_LEN(protos); i++)
        if (strcmp(protos[i].name, name) == 0)
            return &protos[i];
    return NULL;
}
