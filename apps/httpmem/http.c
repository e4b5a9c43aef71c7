/*
 * Requests: see http.h. One pass over the head. Lines are searched for eight bytes at a time for
 * what ends them or must not be there; of the fields only those are looked at on which depends
 * where a request ends, what is asked, and whether the connection stays.
 *
 * Strict where two readers of one request could disagree (RFC 9112 §11): no blanks before a colon,
 * no folded lines, no control characters, one Host, one length. A line may end without CR (§2.2).
 */
#include "http.h"

#include <string.h>

#define ONES  0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

enum { NAME_OTHER, NAME_HOST, NAME_CONNECTION, NAME_LENGTH, NAME_ENCODING };

struct head {
    const uint8_t *p, *end;
    struct http_request *r;
    unsigned hosts;
    bool content, length, encoding;
    uint64_t content_length;
};

static inline uint64_t load8(const uint8_t *p)
{
    uint64_t w;
    __builtin_memcpy(&w, p, 8);
    return w;
}

static inline uint32_t load4(const uint8_t *p)
{
    uint32_t w;
    __builtin_memcpy(&w, p, 4);
    return w;
}

/* The first byte that is below n (at most 0x80) or DEL; the lowest of the marks is exact. */
static inline const uint8_t *find_below(const uint8_t *p, const uint8_t *end, uint8_t n)
{
    for (; end - p >= 8; p += 8) {
        uint64_t w = load8(p), d = w ^ 0x7f * ONES;
        uint64_t marks = (((w - n * ONES) & ~w) | ((d - ONES) & ~d)) & HIGHS;

        if (marks != 0)
            return p + __builtin_ctzll(marks) / 8;
    }
    while (p < end && *p >= n && *p != 0x7f)
        p++;
    return p;
}

/* The end of a line's text: at CR, LF, or what may not be in it. */
static inline const uint8_t *find_end(const uint8_t *p, const uint8_t *end)
{
    for (;;) {
        p = find_below(p, end, ' ');
        if (__builtin_expect(p == end || *p != '\t', 1))
            return p;
        p++;
    }
}

/* RFC 9110 §5.6.2 */
static const bool token[256] = {
    ['!'] = 1,         ['#' ... '\''] = 1, ['*'] = 1,         ['+'] = 1, ['-'] = 1, ['.'] = 1,
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1,  ['^' ... 'z'] = 1, ['|'] = 1, ['~'] = 1};

static bool fails(struct http_request *r, unsigned status)
{
    r->status = (uint16_t)status;
    r->keep = false;
    return false;
}

/* Goes over the end of a line, at which p is. False: wrong (status says so), or there is no more.
 */
static inline bool line_end(struct head *h)
{
    if (h->p == h->end)
        return false;
    if (*h->p == '\r') {
        h->p++;
        if (h->p == h->end)
            return false;
    }
    if (*h->p != '\n')
        return fails(h->r, 400);
    h->p++;
    return true;
}

static bool same(const uint8_t *p, const char *lower, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = p[i];

        if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != (uint8_t)lower[i])
            return false;
    }
    return true;
}

/* ---- The request line ---- */

static bool other_method(struct head *h)
{
    static const char known[][8] = {"POST",  "PUT",     "DELETE", "OPTIONS",
                                    "TRACE", "CONNECT", "PATCH"};
    const uint8_t *start = h->p;
    size_t len;

    while (h->p < h->end && token[*h->p])
        h->p++;
    if (h->p == h->end)
        return false;
    len = (size_t)(h->p - start);
    if (len == 0 || *h->p != ' ')
        return fails(h->r, 400);
    h->p++;
    h->r->status = 501;
    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (len == strnlen(known[i], sizeof(known[i])) && memcmp(start, known[i], len) == 0)
            h->r->status = 405;
    }
    h->r->keep = false;
    return true;
}

static inline bool method(struct head *h)
{
    if (__builtin_expect(h->end - h->p >= 5, 1)) {
        if (__builtin_expect(load4(h->p) == load4((const uint8_t *)"GET "), 1)) {
            h->p += 4;
            return true;
        }
        if (load4(h->p) == load4((const uint8_t *)"HEAD") && h->p[4] == ' ') {
            h->r->head = true;
            h->p += 5;
            return true;
        }
    }
    return other_method(h);
}

/* The path of "http://host/path" (RFC 9112 §3.2.2), which may be empty: "/" then. */
static bool absolute_form(struct http_request *r)
{
    static const char root[1 + HTTP_PATH_SLACK] = "/";
    size_t i = 7;

    if (r->path_len < 7 || !same((const uint8_t *)r->path, "http://", 7))
        return false;
    while (i < r->path_len && r->path[i] != '/' && r->path[i] != '?')
        i++;
    if (i < r->path_len && r->path[i] == '/') {
        r->path += i;
        r->path_len -= i;
    } else {
        r->path = root;
        r->path_len = 1;
    }
    return true;
}

/* The marks of bytes that are c. */
static inline uint64_t equal(uint64_t w, uint8_t c)
{
    uint64_t d = w ^ c * ONES;

    return (d - ONES) & ~d & HIGHS;
}

/* Does the path have a '%' or a '?'? Those of what follows it within eight bytes may count. */
static inline bool is_special(const struct http_request *r, const uint8_t *end)
{
    const uint8_t *p = (const uint8_t *)r->path, *last = p + r->path_len;

    for (; p < last && end - p >= 8; p += 8) {
        uint64_t w = load8(p);

        if ((equal(w, '%') | equal(w, '?')) != 0)
            return true;
    }
    return p < last;
}

static inline bool target(struct head *h)
{
    struct http_request *r = h->r;
    const char *query;

    r->path = (const char *)h->p;
    h->p = find_below(h->p, h->end, '!');
    r->path_len = (size_t)(h->p - (const uint8_t *)r->path);
    if (r->path_len > HTTP_TARGET_MAX)
        return fails(r, 414);
    if (h->p == h->end)
        return false;
    if (*h->p != ' ' || r->path_len == 0)
        return fails(r, 400);
    h->p++;
    if (__builtin_expect(r->path[0] != '/', 0)) {
        if (!absolute_form(r) && r->status == 200)
            return fails(r, 400);
        if (r->path_len == 1)
            return true;
    }
    if (__builtin_expect(!is_special(r, h->end), 1))
        return true;
    query = memchr(r->path, '?', r->path_len);
    if (query != NULL)
        r->path_len = (size_t)(query - r->path);
    r->escaped = memchr(r->path, '%', r->path_len) != NULL;
    return true;
}

static inline bool version(struct head *h)
{
    static const uint8_t name[8] = "HTTP/1.1";
    size_t n = (size_t)(h->end - h->p);

    if (__builtin_expect(n < 8, 0)) {
        if (memcmp(h->p, name, n < 5 ? n : 5) != 0)
            return fails(h->r, 400);
        return false;
    }
    if (__builtin_expect(load8(h->p) != load8(name), 0)) {
        if (memcmp(h->p, name, 5) != 0 || h->p[5] < '0' || h->p[5] > '9' || h->p[6] != '.' ||
            h->p[7] < '0' || h->p[7] > '9')
            return fails(h->r, 400);
        if (h->p[5] != '1')
            return fails(h->r, 505);
        h->r->old = h->p[7] == '0';
        if (h->r->old)
            h->r->keep = false;
    }
    h->p += 8;
    return line_end(h);
}

/* ---- Fields ---- */

static inline unsigned name_of(const uint8_t *p, size_t len)
{
    switch (len) {
    case 4:
        return (load4(p) | 0x20202020) == 0x74736f68 ? NAME_HOST : NAME_OTHER;
    case 10:
        return same(p, "connection", 10) ? NAME_CONNECTION : NAME_OTHER;
    case 14:
        return same(p, "content-length", 14) ? NAME_LENGTH : NAME_OTHER;
    case 17:
        return same(p, "transfer-encoding", 17) ? NAME_ENCODING : NAME_OTHER;
    default:
        return NAME_OTHER;
    }
}

/* "close", "keep-alive" among the words between commas. */
static void connection(struct http_request *r, const uint8_t *p, size_t len)
{
    while (len > 0) {
        size_t n = 0;

        while (n < len && p[n] != ',' && p[n] != ' ' && p[n] != '\t')
            n++;
        if (n == 5 && same(p, "close", 5)) {
            r->keep = false;
            return;
        }
        if (n == 10 && r->old && r->status == 200 && same(p, "keep-alive", 10))
            r->keep = true;
        n += n < len;
        p += n;
        len -= n;
    }
}

static bool content_length(struct head *h, const uint8_t *p, size_t len)
{
    uint64_t v = 0;

    if (len == 0 || len > 18)
        return fails(h->r, 400);
    for (size_t i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9')
            return fails(h->r, 400);
        v = v * 10 + (uint64_t)(p[i] - '0');
    }
    if (h->length && v != h->content_length)
        return fails(h->r, 400);
    h->length = true;
    h->content_length = v;
    return true;
}

static bool meaning(struct head *h, unsigned name, const uint8_t *p, size_t len)
{
    switch (name) {
    case NAME_HOST:
        h->hosts++;
        return true;
    case NAME_CONNECTION:
        connection(h->r, p, len);
        return true;
    case NAME_LENGTH:
        return content_length(h, p, len);
    default:
        h->encoding = true;
        return true;
    }
}

/* One field line. */
static inline bool field(struct head *h)
{
    const uint8_t *start = h->p, *value, *last;
    unsigned name;

    while (h->p < h->end && token[*h->p])
        h->p++;
    if (h->p == h->end)
        return false;
    if (*h->p != ':' || h->p == start)
        return fails(h->r, 400);
    name = name_of(start, (size_t)(h->p - start));
    value = h->p + 1;
    h->p = last = find_end(value, h->end);
    if (!line_end(h))
        return false;
    if (name == NAME_OTHER)
        return true;
    while (value < last && (*value == ' ' || *value == '\t'))
        value++;
    while (value < last && (last[-1] == ' ' || last[-1] == '\t'))
        last--;
    return meaning(h, name, value, (size_t)(last - value));
}

/* What the fields make of the request as a whole. */
static bool consistent(struct head *h)
{
    if (h->hosts > 1 || (h->hosts == 0 && !h->r->old) || (h->encoding && (h->length || h->r->old)))
        return fails(h->r, 400);
    if ((h->encoding || h->content_length != 0) && h->r->status == 200)
        return fails(h->r, 413); /* content nobody reads, in front of the next request */
    return true;
}

/* True: a whole head; else r->status says what is wrong, or it is 200 and there is no end yet. */
static bool parse(struct head *h)
{
    while (h->p < h->end && (*h->p == '\r' || *h->p == '\n')) /* §2.2 */
        h->p++;
    if (!method(h) || !target(h) || !version(h))
        return false;
    for (;;) {
        if (h->p == h->end)
            return false;
        if (*h->p == '\r' || *h->p == '\n')
            return line_end(h) && consistent(h);
        if (!field(h))
            return false;
    }
}

size_t http_parse(const uint8_t *data, size_t len, struct http_request *r)
{
    struct head h = {.p = data, .end = data + len, .r = r};

    *r = (struct http_request){.status = 200, .keep = true};
    if (__builtin_expect(parse(&h), 1)) {
        size_t n = (size_t)(h.p - data);

        if (n > HTTP_HEAD_MAX)
            fails(r, 431);
        return n;
    }
    if (r->status != 200 && r->status != 405 && r->status != 501)
        return len; /* wrong beyond repair */
    if (len < HTTP_HEAD_MAX)
        return 0;
    fails(r, 431);
    return len;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long http_unescape(char *to, const char *path, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        int c = (uint8_t)path[i];

        if (c == '%') {
            if (len - i < 3 || hex(path[i + 1]) < 0 || hex(path[i + 2]) < 0)
                return -1;
            c = hex(path[i + 1]) << 4 | hex(path[i + 2]);
            i += 2;
        }
        if (c == 0)
            return -1;
        to[n++] = (char)c;
    }
    return (long)n;
}
