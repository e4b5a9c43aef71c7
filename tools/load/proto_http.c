/*
 * HTTP/1.1 (RFC 9112): GET of one path. The body of an answer may have a length, come in chunks, or
 * last until the connection ends. A good answer has status 200 and the expected body: the file
 * given, or the size, or the hash; where nothing but the status is known beforehand, the first good
 * body is what all others must be.
 */
#define _GNU_SOURCE
#include "options.h"
#include "sha256.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_MAX = 64 << 10 };

static void encode(struct proto_state *s, struct request *r, struct strbuf *out)
{
    (void)r;
    sb_addf(out, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", s->o->path, s->o->target_text,
            s->o->keepalive ? "" : "Connection: close\r\n");
}

/* Where the body is. */
struct head {
    size_t len;
    unsigned status;
    bool chunked, close, have_length;
    uint64_t length;
};

static bool name_is(const char *line, size_t n, const char *name)
{
    return n == strlen(name) && strncasecmp(line, name, n) == 0;
}

/* Whether a comma-separated list has this word. */
static bool has_word(const char *s, size_t n, const char *word)
{
    size_t len = strlen(word);

    while (n) {
        size_t skip = 0, end;

        while (skip < n && strchr(" \t,", s[skip]) && s[skip])
            skip++;
        s += skip;
        n -= skip;
        for (end = 0; end < n && s[end] != ',' && s[end] != ' ' && s[end] != '\t'; end++)
            ;
        if (end == len && strncasecmp(s, word, len) == 0)
            return true;
        s += end;
        n -= end;
    }
    return false;
}

static bool number(const char *s, size_t n, int base, uint64_t *out)
{
    char text[20], *end;

    if (n == 0 || n >= sizeof(text) || strchr("+- \t", *s))
        return false;
    memcpy(text, s, n);
    text[n] = '\0';
    *out = strtoull(text, &end, base);
    return *end == '\0';
}

static bool field(struct head *h, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n), *value;
    size_t len;

    if (!colon || colon == line)
        return false;
    value = colon + 1;
    len = line + n - value;
    while (len && (*value == ' ' || *value == '\t')) {
        value++;
        len--;
    }
    while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        len--;
    n = colon - line;
    if (name_is(line, n, "Content-Length")) {
        h->have_length = true;
        return number(value, len, 10, &h->length) && h->length <= ANSWER_MAX;
    }
    if (name_is(line, n, "Transfer-Encoding"))
        h->chunked = has_word(value, len, "chunked");
    else if (name_is(line, n, "Connection"))
        h->close |= has_word(value, len, "close");
    return true;
}

static enum verdict parse_head(struct head *h, const char *p, size_t n, struct answer *a)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4), *line, *eol;
    uint64_t status;

    *h = (struct head){0};
    a->want = n + 1;
    if (n && memcmp(p, "HTTP/1.", n < 7 ? n : 7) != 0)
        return ANSWER_BROKEN;
    if (!end)
        return n < HEAD_MAX ? ANSWER_MORE : ANSWER_BROKEN;
    h->len = end + 4 - p;
    if (h->len < 16 || p[8] != ' ' || !number(p + 9, 3, 10, &status) || status < 100)
        return ANSWER_BROKEN;
    h->status = status;
    h->close = p[7] == '0';
    for (line = memmem(p, h->len, "\r\n", 2) + 2; line < end; line = eol + 2) {
        eol = memmem(line, p + h->len - line, "\r\n", 2);
        if (!field(h, line, eol - line))
            return ANSWER_BROKEN;
    }
    return ANSWER_GOOD;
}

/* Collects the chunks at p into out. */
static enum verdict dechunk(struct strbuf *out, const char *p, size_t n, size_t at,
                            struct answer *a)
{
    out->len = 0;
    for (;;) {
        const char *eol = memmem(p + at, n - at, "\r\n", 2);
        uint64_t len;
        size_t digits;

        a->want = n + 1;
        if (!eol)
            return n - at < 1024 ? ANSWER_MORE : ANSWER_BROKEN;
        for (digits = 0; p + at + digits < eol && p[at + digits] != ';'; digits++)
            ;
        if (!number(p + at, digits, 16, &len) || len > ANSWER_MAX || out->len + len > ANSWER_MAX)
            return ANSWER_BROKEN;
        at = eol + 2 - p;
        if (len == 0)
            break;
        a->want = at + len + 2;
        if (n < a->want)
            return ANSWER_MORE;
        if (memcmp(p + at + len, "\r\n", 2) != 0)
            return ANSWER_BROKEN;
        sb_add(out, p + at, len);
        at += len + 2;
    }
    for (;;) { /* trailers, and the empty line */
        const char *eol = memmem(p + at, n - at, "\r\n", 2);

        a->want = n + 1;
        if (!eol)
            return n - at < HEAD_MAX ? ANSWER_MORE : ANSWER_BROKEN;
        a->used = eol + 2 - p;
        if (eol == p + at)
            return ANSWER_GOOD;
        at = a->used;
    }
}

/* The first body of a thread is checked against all that is known of it, the others against it. */
static bool good_body(struct proto_state *s, const void *body, size_t n)
{
    const struct load_options *o = s->o;
    uint8_t sha[32];

    if (s->have_reference)
        return n == s->reference.len && (n == 0 || memcmp(body, s->reference.s, n) == 0);
    if (o->expect_file)
        return n == o->expect_body.size && (n == 0 || memcmp(body, o->expect_body.data, n) == 0);
    if (o->expect_size >= 0 && n != (uint64_t)o->expect_size)
        return false;
    if (o->expect_sha) {
        sha256(sha, body, n);
        if (memcmp(sha, o->sha, sizeof(sha)) != 0)
            return false;
    } else if (o->expect_size >= 0) {
        return true; /* asked to check no more than that */
    }
    sb_add(&s->reference, body, n);
    s->have_reference = true;
    return true;
}

static enum verdict parse(struct proto_state *s, struct request *r, const uint8_t *bytes, size_t n,
                          bool eof, struct answer *a)
{
    const char *p = (const char *)bytes, *body;
    enum verdict v;
    struct head h;
    size_t len;

    (void)r;
    *a = (struct answer){0};
    v = parse_head(&h, p, n, a);
    if (v != ANSWER_GOOD)
        return v;
    if (h.status < 200) /* 100 Continue and its like: nobody asked for them */
        return ANSWER_BROKEN;
    a->close = h.close;
    body = p + h.len;
    if (h.status == 204 || h.status == 304) {
        len = 0;
        a->used = h.len;
    } else if (h.chunked) {
        v = dechunk(&s->scratch, p, n, h.len, a);
        if (v != ANSWER_GOOD)
            return v;
        body = s->scratch.s;
        len = s->scratch.len;
    } else if (h.have_length) {
        len = h.length;
        a->want = a->used = h.len + len;
        if (n < a->used)
            return ANSWER_MORE;
    } else { /* until the connection ends */
        a->want = n + 1;
        a->close = true;
        if (!eof)
            return n < ANSWER_MAX ? ANSWER_MORE : ANSWER_BROKEN;
        len = n - h.len;
        a->used = n;
    }
    return h.status == 200 && good_body(s, body, len) ? ANSWER_GOOD : ANSWER_WRONG;
}

const struct proto proto_http = {"http", false, encode, parse, NULL};
