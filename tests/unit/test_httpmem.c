// unit: apps/httpmem/http.c apps/httpmem/object.c
/* Proves, for the HTTP server of apps/httpmem, what is made of whole, cut, wrong and pipelined
 * requests, wherever they are cut; that paths are unescaped; and that its answers say what they
 * carry, with the right date. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../../apps/httpmem/http.h"
#include "../../apps/httpmem/object.h"

/* Parses text in memory of exactly its size. */
static size_t parse(const char *text, size_t len, struct http_request *r)
{
    static char path[HTTP_TARGET_MAX + 1];
    uint8_t *copy = malloc(len ? len : 1);
    size_t n;

    memcpy(copy, text, len);
    n = http_parse(copy, len, r);
    if (n != 0 && r->status == 200) {
        memcpy(path, r->path, r->path_len);
        path[r->path_len] = '\0';
        r->path = path;
    }
    free(copy);
    return n;
}

#define OK 200
struct example {
    const char *text;
    unsigned status;
    bool keep, head;
    const char *path;
};

static const struct example examples[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", OK, true, false, "/"},
    {"GET /1k HTTP/1.1\r\nHost: 10.0.0.1:80\r\nUser-Agent: x/1 (y; z)\r\nAccept: */*\r\n\r\n", OK,
     true, false, "/1k"},
    {"HEAD /a/b%20c?d=e&f HTTP/1.1\nHOST:\n\n", OK, true, true, "/a/b%20c"},
    {"\r\n\r\nGET /x HTTP/1.1\r\nhost:a\r\n\r\n", OK, true, false, "/x"},
    {"GET http://h:80/p/q?r HTTP/1.1\r\nHost: a\r\n\r\n", OK, true, false, "/p/q"},
    {"GET HTTP://h HTTP/1.1\r\nHost: a\r\n\r\n", OK, true, false, "/"},
    {"GET http://h?/x HTTP/1.1\r\nHost: a\r\n\r\n", OK, true, false, "/"},
    {"GET http://h/?x%20 HTTP/1.1\r\nHost: a\r\n\r\n", OK, true, false, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, close\r\n\r\n", OK, false, false, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nCONNECTION:\tClose \t\r\n\r\n", OK, false, false, "/"},
    {"GET / HTTP/1.0\r\n\r\n", OK, false, false, "/"},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", OK, true, false, "/"},
    {"GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", OK, false, false, "/"},
    {"GET / HTTP/1.7\r\nHost: a\r\n\r\n", OK, true, false, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", OK, true, false, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX:\x80\xff\tb\r\n\r\n", OK, true, false, "/"},
    {"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", OK, true, false, "/\xc3\xa4"},

    {"GET / HTTP/1.1\r\n\r\n", 400, false, false, NULL},                       /* no Host */
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, false, false, NULL}, /* two */
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/1.1\r\nHost: a\x7f\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/1.1\r\nHost: a\r\n\rx", 400, false, false, NULL},
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, false, false, NULL},
    {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, false, false, NULL},
    {"GET /\r\n\r\n", 400, false, false, NULL}, /* HTTP/0.9 */
    {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400, false, false, NULL},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/11\r\nHost: a\r\n\r\n", 400, false, false, NULL},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, false, false, NULL},
    {"(GET) / HTTP/1.1\r\nHost: a\r\n\r\n", 400, false, false, NULL},
    {"\x16\x03\x01\x02\x00", 400, false, false, NULL}, /* TLS */
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 400, false, false,
     NULL},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 400, false,
     false, NULL},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
     false, false, NULL},
    {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, false, false, NULL},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde", 413, false, false, NULL},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413, false, false,
     NULL},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 405, false, false, NULL},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 405, false, false, NULL},
    {"DELETE /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", 405, false, false, NULL},
    {"POST / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 405, false, false, NULL},
    {"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", 501, false, false, NULL},
    {"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501, false, false, NULL},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, false, false, NULL},
};

static void test_examples(void **state)
{
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const struct example *e = &examples[i];
        size_t len = e->text[0] == '\x16' ? 5 : strlen(e->text);
        struct http_request r;
        size_t n = parse(e->text, len, &r);

        if (n == 0 || r.status != e->status || r.keep != e->keep)
            fail_msg("%s: %zu, status %u, keep %d", e->text, n, r.status, r.keep);
        if (e->status != OK)
            continue;
        assert_int_equal(n, len);
        assert_int_equal(r.head, e->head);
        assert_string_equal(r.path, e->path);
        assert_int_equal(r.escaped, strchr(e->path, '%') != NULL);
    }
}

/* No prefix of a request is taken for a whole one, none of a good one for a wrong one. */
static void test_cut(void **state)
{
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const struct example *e = &examples[i];
        struct http_request r;

        if (e->status != OK)
            continue;
        for (size_t len = 0; len < strlen(e->text); len++)
            assert_int_equal(parse(e->text, len, &r), 0);
    }
}

static void test_pipelined(void **state)
{
    char all[4096] = "";
    size_t at = 0, len, n;
    unsigned seen = 0;
    struct http_request r;

    for (unsigned i = 0; i < 20; i++)
        sprintf(all + strlen(all), "GET /%u HTTP/1.1\r\nHost: a\r\n\r\n", i);
    len = strlen(all);
    for (; at < len; at += n) {
        char wanted[16];

        n = parse(all + at, len - at, &r);
        sprintf(wanted, "/%u", seen++);
        assert_int_equal(r.status, OK);
        assert_string_equal(r.path, wanted);
    }
    assert_int_equal(seen, 20);
}

/* GET, a target of that many bytes, and fields of that many. */
static size_t sized(char *to, size_t target, size_t fields)
{
    char *p = to + sprintf(to, "GET /");

    memset(p, 'a', target - 1);
    p += target - 1;
    p += sprintf(p, " HTTP/1.1\r\nHost: a\r\nX: ");
    memset(p, 'b', fields);
    p += fields;
    p += sprintf(p, "\r\n\r\n");
    return (size_t)(p - to);
}

static void test_limits(void **state)
{
    static char text[3 * HTTP_HEAD_MAX];
    struct http_request r;
    size_t len = sized(text, HTTP_TARGET_MAX, 10), more;

    assert_int_equal(parse(text, len, &r), len);
    assert_int_equal(r.status, OK);
    len = sized(text, HTTP_TARGET_MAX + 1, 10);
    parse(text, len, &r);
    assert_int_equal(r.status, 414);
    assert_true(parse(text, HTTP_TARGET_MAX + 100, &r) != 0); /* without its end */
    assert_int_equal(r.status, 414);

    len = sized(text, 2, 10);
    more = HTTP_HEAD_MAX - len + 10;
    len = sized(text, 2, more);
    assert_int_equal(len, HTTP_HEAD_MAX);
    assert_int_equal(parse(text, len, &r), len);
    assert_int_equal(r.status, OK);
    assert_int_equal(parse(text, len - 1, &r), 0);
    len = sized(text, 2, more + 1);
    assert_true(parse(text, len, &r) != 0);
    assert_int_equal(r.status, 431);
    assert_true(parse(text, HTTP_HEAD_MAX, &r) != 0);
    assert_int_equal(r.status, 431);
    memset(text, '\n', sizeof(text)); /* nothing but empty lines */
    assert_true(parse(text, HTTP_HEAD_MAX, &r) != 0);
    assert_int_equal(r.status, 431);
}

static void test_unescape(void **state)
{
    char to[32];

    assert_int_equal(http_unescape(to, "/a%20b%2Fc%e4", 13), 7);
    assert_memory_equal(to, "/a b/c\xe4", 7);
    assert_int_equal(http_unescape(to, "", 0), 0);
    assert_int_equal(http_unescape(to, "/%2", 3), -1);
    assert_int_equal(http_unescape(to, "/%", 2), -1);
    assert_int_equal(http_unescape(to, "/%0g", 4), -1);
    assert_int_equal(http_unescape(to, "/%00", 4), -1);
}

static void test_date(void **state)
{
    /* The epoch, RFC 9110's example, leap days, a century that has none, the end of this format. */
    static const uint64_t times[] = {0,          784111777,  951782400,  951868800,   1709164799,
                                     1709251199, 4107542400, 4107456000, 253402300799};
    char wanted[64], date[HTTP_DATE_LEN];

    for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]) + 100000; i++) {
        bool given = i < sizeof(times) / sizeof(times[0]);
        time_t t = given ? (time_t)times[i] : (time_t)i * 86400 * 7 + i;
        struct tm tm;

        gmtime_r(&t, &tm);
        strftime(wanted, sizeof(wanted), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        http_date(date, (uint64_t)t);
        assert_memory_equal(date, wanted, HTTP_DATE_LEN);
    }
}

static void test_object(void **state)
{
    static const char body[] = "some text";
    static const unsigned statuses[] = {200, 400, 404, 405, 413, 414, 431, 501, 505};

    for (unsigned i = 0; i < sizeof(statuses) / sizeof(statuses[0]) * 2; i++) {
        bool follows = i % 2;
        unsigned status = statuses[i / 2];
        size_t len = sizeof(body) - 1, bytes = http_object_bytes(follows ? len : 0);
        char *memory = malloc(bytes), wanted[512];
        struct http_object o;

        assert_true(strcmp(http_reason(status), "Unknown") != 0);
        http_object_make(&o, memory, status, "text/plain", body, len, follows);
        http_object_date(&o, 784111777);
        for (unsigned c = 0; c < HTTP_CONNECTIONS; c++) {
            int n =
                sprintf(wanted,
                        "HTTP/1.1 %u %s\r\nServer: wherry\r\nContent-Type: text/plain\r\n"
                        "Content-Length: 9\r\n%s%sDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
                        status, http_reason(status), status == 405 ? "Allow: GET, HEAD\r\n" : "",
                        c == HTTP_CLOSES  ? "Connection: close\r\n"
                        : c == HTTP_KEEPS ? "Connection: keep-alive\r\n"
                                          : "");
            assert_int_equal(o.head_len[c], n);
            assert_memory_equal(o.head[c], wanted, (size_t)n);
        }
        assert_memory_equal(o.body, body, len);
        if (follows)
            assert_ptr_equal(o.body, o.head[HTTP_STAYS] + o.head_len[HTTP_STAYS]);
        free(memory);
    }
    assert_string_equal(http_type("/a/index.html", 13), "text/html");
    assert_string_equal(http_type("/a.tar", 6), "application/octet-stream");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),  cmocka_unit_test(test_cut),
        cmocka_unit_test(test_pipelined), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_unescape),  cmocka_unit_test(test_date),
        cmocka_unit_test(test_object),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
