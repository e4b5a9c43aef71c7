// unit: tools/load/proto_http.c tools/load/proto_dns.c tools/load/proto_redis.c tools/load/proto_memcached.c tools/load/proto_udp.c tools/load/proto_udpkv.c tools/load/serve_proto.c tools/load/dns_queries.c tools/load/value.c tools/load/keys.c tools/load/sha256.c tools/util.c -lm
/* Proves, for every protocol of the load generator, that an answer is judged the same wherever the
 * network splits it, that the null server's answers are good, and that wrong content, errors and
 * broken answers are told apart. */
#define _GNU_SOURCE
#include "../../apps/udpkv/proto.h"
#include "load/options.h"
#include "load/serve_proto.h"
#include "load/sha256.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct load_options base(const struct proto *p)
{
    return (struct load_options){.proto = p,
                                 .target_text = "host:1",
                                 .path = "/file",
                                 .keepalive = true,
                                 .expect_size = -1,
                                 .keys = 1000,
                                 .sizes = {100},
                                 .list_length = 20,
                                 .size = 64};
}

/* Judges an answer in memory of exactly its size, so that a sanitizer sees a byte read too many. */
static enum verdict judge_exactly(struct proto_state *s, struct request r, const void *p, size_t n,
                                  bool eof, struct answer *a)
{
    uint8_t *copy = malloc(n ? n : 1);
    enum verdict v;

    memcpy(copy, p, n);
    v = s->o->proto->parse(s, &r, copy, n, eof, a);
    free(copy);
    return v;
}

/* Every part of a stream's answer asks for more, never for more than there is to come; the whole,
 * and the whole with another behind it, are judged as expected. */
static void judged_at_every_split(struct proto_state *s, struct request *r, const void *bytes,
                                  size_t n, enum verdict expected)
{
    struct answer a;
    char *twice = malloc(2 * n);

    for (size_t i = 0; i < n; i++) {
        assert_int_equal(judge_exactly(s, *r, bytes, i, false, &a), ANSWER_MORE);
        assert_in_range(a.want, i + 1, n);
    }
    assert_int_equal(judge_exactly(s, *r, bytes, n, false, &a), expected);
    if (expected != ANSWER_BROKEN)
        assert_int_equal(a.used, n);
    memcpy(twice, bytes, n);
    memcpy(twice + n, bytes, n);
    assert_int_equal(judge_exactly(s, *r, twice, 2 * n, false, &a), expected);
    if (expected != ANSWER_BROKEN)
        assert_int_equal(a.used, n);
    free(twice);
}

static void judged(struct proto_state *s, struct request *r, const char *text, enum verdict v)
{
    judged_at_every_split(s, r, text, strlen(text), v);
}

static void broken(struct proto_state *s, struct request *r, const char *text)
{
    struct answer a;

    assert_int_equal(judge_exactly(s, *r, text, strlen(text), false, &a), ANSWER_BROKEN);
}

static void forget(struct proto_state *s)
{
    free(s->reference.s);
    free(s->scratch.s);
}

/* Encodes a step, lets the null server answer it, and returns the answer. */
static struct strbuf ask_null(struct proto_state *s, const char *name, struct request *r,
                              bool wrong)
{
    struct null_options null = {.sizes = s->o->sizes, .list_length = 20, .keys = 1000};
    const struct null_proto *p = null_proto(name);
    struct strbuf request = {0}, answer = {0};
    uint8_t body[64];
    bool close = false, udp = s->o->proto->datagram;

    value_fill(body, sizeof(body), 0, 0);
    null.body = (struct blob){body, sizeof(body), false};
    s->o->proto->encode(s, r, &request);
    for (size_t n = 0; !udp && n < request.len; n++)
        assert_int_equal(p->answer(&null, false, (uint8_t *)request.s, n, wrong, &answer, &close) <=
                                 0
                             ? (answer.len = 0)
                             : 1,
                         0);
    assert_int_equal(
        p->answer(&null, udp, (uint8_t *)request.s, request.len, wrong, &answer, &close),
        request.len);
    free(request.s);
    return answer;
}

static void null_is_good(const struct load_options *o, const char *name, enum op op)
{
    struct proto_state s = {.o = o};
    struct request r = {.op = op, .key = 42, .version = 100, .count = 5, .id = 0x1234};

    for (int step = 0; step < 2; step++) {
        struct strbuf good = ask_null(&s, name, &r, false), wrong;
        enum verdict v = judge_exactly(&s, r, good.s, good.len, true, &(struct answer){0});

        assert_true(v == ANSWER_GOOD || v == ANSWER_NEXT);
        if (!o->proto->datagram)
            judged_at_every_split(&s, &r, good.s, good.len, v);
        if (op != OP_INSERT && op != OP_FILL) {
            wrong = ask_null(&s, name, &r, true);
            assert_int_equal(judge_exactly(&s, r, wrong.s, wrong.len, true, &(struct answer){0}),
                             ANSWER_WRONG);
            free(wrong.s);
        }
        free(good.s);
        if (v == ANSWER_GOOD)
            break;
        r.step++;
    }
    forget(&s);
}

static void null_servers_answers_are_good_and_its_mistakes_seen(void **state)
{
    static const enum op ops[] = {OP_READ,   OP_UPDATE, OP_RMW, OP_FILL,
                                  OP_INSERT, OP_LRANGE, OP_SCAN};
    struct load_options o = base(&proto_redis);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        o.workload = ops[i] == OP_LRANGE ? WORKLOAD_LRANGE : WORKLOAD_YCSB_E;
        null_is_good(&o, "redis", ops[i]);
    }
    o.workload = WORKLOAD_LRANGE;
    null_is_good(&o, "redis", OP_FILL);
    o.workload = WORKLOAD_YCSB_A;
    for (int binary = 0; binary < 2; binary++) {
        o.proto = binary ? &proto_memcached_binary : &proto_memcached_ascii;
        for (size_t i = 0; i < 4; i++)
            null_is_good(&o, "memcached", ops[i]);
    }
    o.proto = &proto_udp;
    null_is_good(&o, "udp", OP_REQUEST);
    o.proto = &proto_udpkv;
    for (size_t i = 0; i < 4; i++)
        null_is_good(&o, "udpkv", ops[i]);
    o.proto = &proto_dns_udp;
    null_is_good(&o, "dns", OP_REQUEST);
    o.proto = &proto_dns_tcp;
    null_is_good(&o, "dns", OP_REQUEST);
    o.proto = &proto_http;
    null_is_good(&o, "http", OP_REQUEST);
    o.keepalive = false;
    null_is_good(&o, "http", OP_REQUEST);
}

static void http_bodies_in_every_form(void **state)
{
    struct load_options o = base(&proto_http);
    struct proto_state s = {.o = &o};
    struct request r = {.op = OP_REQUEST};
    struct answer a;
    static const char closing[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n";
    static const char until_end[] = "HTTP/1.0 200 OK\r\n\r\nhello";

    (void)state;
    o.expect_body = (struct blob){"hello", 5, false};
    o.expect_file = true;
    judged(&s, &r, "HTTP/1.1 200 OK\r\ncontent-LENGTH:  5 \r\n\r\nhello", ANSWER_GOOD);
    judged(&s, &r, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellO", ANSWER_WRONG);
    judged(&s, &r, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell", ANSWER_WRONG);
    judged(&s, &r, "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello", ANSWER_WRONG);
    judged(&s, &r, "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", ANSWER_WRONG);
    judged(&s, &r,
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
           "chunked\r\n\r\n2;x=y\r\nhe\r\n03\r\nllo\r\n0\r\n\r\n",
           ANSWER_GOOD);
    judged(&s, &r,
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\nA: "
           "b\r\n\r\n",
           ANSWER_GOOD);
    for (size_t i = 0; i < sizeof(until_end); i++)
        assert_int_equal(judge_exactly(&s, r, until_end, i, false, &a), ANSWER_MORE);
    assert_int_equal(judge_exactly(&s, r, until_end, sizeof(until_end) - 1, true, &a), ANSWER_GOOD);
    assert_true(a.close);
    judge_exactly(&s, r, closing, sizeof(closing) - 1, false, &a);
    assert_true(a.close);
    broken(&s, &r, "SSH-2.0-OpenSSH");
    broken(&s, &r, "HTTP/1.1 20x OK\r\nContent-Length: 5\r\n\r\nhello");
    broken(&s, &r, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello");
    broken(&s, &r, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nhello");
    broken(&s, &r, "HTTP/1.1 200 OK\r\nno colon\r\n\r\n");
    broken(&s, &r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n");
    broken(&s, &r, "HTTP/1.1 100 Continue\r\n\r\n");
    forget(&s);
}

static void http_hash_size_and_the_first_body(void **state)
{
    static const char hello[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                      jello[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\njello";
    struct load_options o = base(&proto_http);
    struct proto_state s = {.o = &o};
    struct request r = {.op = OP_REQUEST};

    (void)state;
    judged(&s, &r, hello, ANSWER_GOOD);
    judged(&s, &r, jello, ANSWER_WRONG);
    forget(&s);
    s = (struct proto_state){.o = &o};
    o.expect_sha = true;
    sha256(o.sha, "jello", 5);
    judged(&s, &r, hello, ANSWER_WRONG);
    judged(&s, &r, jello, ANSWER_GOOD);
    judged(&s, &r, hello, ANSWER_WRONG);
    forget(&s);
    s = (struct proto_state){.o = &o};
    o.expect_sha = false;
    o.expect_size = 5;
    judged(&s, &r, hello, ANSWER_GOOD);
    judged(&s, &r, jello, ANSWER_GOOD);
    o.expect_size = 6;
    judged(&s, &r, hello, ANSWER_WRONG);
    forget(&s);
}

static void sha256_has_the_standards_values(void **state)
{
    static const struct {
        const char *text, *hex;
    } known[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    uint8_t got[32];
    char hex[65];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        sha256(got, known[i].text, strlen(known[i].text));
        for (int b = 0; b < 32; b++)
            snprintf(hex + 2 * b, 3, "%02x", got[b]);
        assert_string_equal(hex, known[i].hex);
    }
}

static void redis_errors_misses_and_nonsense(void **state)
{
    struct load_options o = base(&proto_redis);
    struct proto_state s = {.o = &o};
    struct request get = {.op = OP_READ, .key = 1}, set = {.op = OP_UPDATE, .key = 1},
                   scan = {.op = OP_SCAN, .key = 0, .count = 2, .version = 2};

    (void)state;
    o.workload = WORKLOAD_GET;
    judged(&s, &get, "$-1\r\n", ANSWER_WRONG);
    judged(&s, &get, "-ERR no\r\n", ANSWER_WRONG);
    judged(&s, &get, "$5\r\nhello\r\n", ANSWER_WRONG);
    judged(&s, &get, "+OK\r\n", ANSWER_WRONG);
    judged(&s, &get, "*2\r\n$1\r\nx\r\n*1\r\n:5\r\n", ANSWER_WRONG); /* stays in step */
    judged(&s, &set, "+OK\r\n", ANSWER_GOOD);
    judged(&s, &set, "-OOM command not allowed\r\n", ANSWER_WRONG);
    judged(&s, &scan, "*2\r\n$16\r\nuser000000000000\r\n$16\r\nuser000000000001\r\n", ANSWER_NEXT);
    judged(&s, &scan, "*2\r\n$16\r\nuser000000000000\r\n$16\r\nuser000000000002\r\n", ANSWER_WRONG);
    judged(&s, &scan, "*1\r\n$16\r\nuser000000000000\r\n", ANSWER_WRONG); /* two were there */
    judged(&s, &scan, "*0\r\n", ANSWER_WRONG);
    broken(&s, &get, "HTTP/1.1 400 Bad Request\r\n");
    broken(&s, &get, "$5\r\nhelloXY");
    broken(&s, &get, "$x\r\n");
    broken(&s, &get, "$-2\r\n");
    broken(&s, &get, "$99999999999\r\n");
    broken(&s, &get, "+OK\n");
    forget(&s);
}

static void memcached_errors_misses_and_nonsense(void **state)
{
    struct load_options o = base(&proto_memcached_ascii);
    struct proto_state s = {.o = &o};
    struct request get = {.op = OP_READ, .key = 1}, set = {.op = OP_UPDATE, .key = 1};
    uint8_t miss[33] = {0x81, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9};
    struct answer a;

    (void)state;
    o.sizes.size = 5;
    judged(&s, &get, "END\r\n", ANSWER_WRONG);
    judged(&s, &get, "SERVER_ERROR out of memory\r\n", ANSWER_WRONG);
    judged(&s, &get, "VALUE user000000000001 0 5\r\nhello\r\nEND\r\n", ANSWER_WRONG);
    judged(&s, &get, "VALUE other 0 5 77\r\nhello\r\nEND\r\n", ANSWER_WRONG);
    judged(&s, &set, "STORED\r\n", ANSWER_GOOD);
    judged(&s, &set, "NOT_STORED\r\n", ANSWER_WRONG);
    broken(&s, &set, "END\r\n");
    broken(&s, &get, "STORED\r\n");
    broken(&s, &get, "VALUE user000000000001 0\r\n");
    broken(&s, &get, "VALUE k 0 99999999999\r\n");
    broken(&s, &get, "VALUE k 0 1\r\nxxxxxxxxxx");
    o.proto = &proto_memcached_binary;
    {
        struct strbuf b = {0};

        proto_memcached_binary.encode(&s, &get, &b);
        memcpy(miss + 12, b.s + 12, 4);
        free(b.s);
    }
    judged_at_every_split(&s, &get, miss, sizeof(miss), ANSWER_WRONG);
    miss[12] ^= 1; /* of another request */
    assert_int_equal(judge_exactly(&s, get, miss, sizeof(miss), false, &a), ANSWER_BROKEN);
    broken(&s, &get, "END\r\n");
    forget(&s);
}

/* What the null server says to a line of a query file, with changes. */
static enum verdict dns_with(const char *line, const char *answer_line, int at, uint8_t change)
{
    struct load_options o = base(&proto_dns_udp);
    struct null_options null = {0};
    struct dns_query asked, served;
    struct proto_state s = {.o = &o};
    struct request r = {.op = OP_REQUEST, .id = 77};
    struct strbuf request = {0}, answer = {0};
    struct why w;
    enum verdict v;
    bool close;

    assert_true(dns_query_parse(&asked, line, &w));
    assert_true(dns_query_parse(&served, answer_line, &w));
    o.queries = (struct dns_queries){&asked, 1};
    null.queries = (struct dns_queries){&served, 1};
    proto_dns_udp.encode(&s, &r, &request);
    assert_true(null_proto("dns")->answer(&null, true, (uint8_t *)request.s, request.len, false,
                                          &answer, &close) > 0);
    if (at < 0)
        answer.len += at; /* cut off */
    else
        answer.s[at] ^= change;
    v = judge_exactly(&s, r, answer.s, answer.len, true, &(struct answer){0});
    free(asked.question);
    free(served.question);
    free(request.s);
    free(answer.s);
    return v;
}

static void dns_answers_are_judged_by_content(void **state)
{
    (void)state;
    assert_int_equal(dns_with("a.b A 192.0.2.1", "a.b A 192.0.2.1", 0, 0), ANSWER_GOOD);
    assert_int_equal(dns_with("a.b A 192.0.2.1", "a.b A 192.0.2.2", 0, 0), ANSWER_WRONG);
    assert_int_equal(dns_with("a.b A", "a.b A 192.0.2.2", 0, 0), ANSWER_GOOD);
    assert_int_equal(dns_with("a.b AAAA ::1", "a.b AAAA ::1", 0, 0), ANSWER_GOOD);
    assert_int_equal(dns_with("a.b A", "a.b A NXDOMAIN", 0, 0), ANSWER_WRONG);
    assert_int_equal(dns_with("a.b A NXDOMAIN", "a.b A NXDOMAIN", 0, 0), ANSWER_GOOD);
    assert_int_equal(dns_with("a.b A NODATA", "a.b A NODATA", 0, 0), ANSWER_GOOD);
    assert_int_equal(dns_with("a.b A NODATA", "a.b A 192.0.2.1", 0, 0), ANSWER_WRONG);
    assert_int_equal(dns_with("a.b A", "a.b A", 1, 1), ANSWER_WRONG);     /* id */
    assert_int_equal(dns_with("a.b A", "a.b A", 2, 0x80), ANSWER_WRONG);  /* a question */
    assert_int_equal(dns_with("a.b A", "a.b A", 2, 0x02), ANSWER_WRONG);  /* truncated */
    assert_int_equal(dns_with("a.b A", "a.b A", 3, 0x02), ANSWER_WRONG);  /* server failure */
    assert_int_equal(dns_with("a.b A", "a.b A", 13, 0x20), ANSWER_GOOD);  /* case of the name */
    assert_int_equal(dns_with("a.b A", "a.b A", 13, 0x01), ANSWER_WRONG); /* another name */
    assert_int_equal(dns_with("a.b A", "a.b A", 18, 0x01), ANSWER_WRONG); /* another type */
    assert_int_equal(dns_with("a.b A", "a.b A", 7, 0x02), ANSWER_WRONG);  /* a record too few */
    assert_int_equal(dns_with("a.b A", "a.b A", -1, 0), ANSWER_WRONG);    /* cut off */
    assert_int_equal(dns_with("a.b A", "a.b A", -30, 0), ANSWER_BROKEN);
}

static void query_lines_that_are_wrong_are_refused(void **state)
{
    static const char *const lines[] = {"name",        "a..b A",     "a.b NOTYPE",
                                        "a.b A 1.2.3", "a.b MX ::1", "a.b A 192.0.2.1 more"};
    struct dns_query q;
    struct why w;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_false(dns_query_parse(&q, lines[i], &w));
    assert_true(dns_query_parse(&q, ". NS", &w));
    assert_int_equal(q.len, 5);
    free(q.question);
    assert_true(dns_query_parse(&q, "www.example.com. type65", &w));
    assert_int_equal(q.type, 65);
    free(q.question);
}

static void udp_echo_is_compared_whole(void **state)
{
    struct load_options o = base(&proto_udp);
    struct proto_state s = {.o = &o};
    struct request r = {.op = OP_REQUEST, .key = 99, .id = 5};
    struct strbuf b = {0};
    struct answer a;
    uint32_t id;

    (void)state;
    proto_udp.encode(&s, &r, &b);
    assert_int_equal(b.len, 64);
    assert_true(proto_udp.id((uint8_t *)b.s, b.len, &id));
    assert_int_equal(id, 5);
    for (size_t i = 0; i < b.len; i++) {
        b.s[i] ^= 1;
        assert_int_equal(judge_exactly(&s, r, b.s, b.len, true, &a), ANSWER_WRONG);
        b.s[i] ^= 1;
        assert_int_equal(judge_exactly(&s, r, b.s, i, true, &a), ANSWER_WRONG);
    }
    assert_int_equal(judge_exactly(&s, r, b.s, b.len, true, &a), ANSWER_GOOD);
    free(b.s);
}

/* What the null server says to a read, with one byte changed. */
static void udpkv_replies_are_judged_whole(void **state)
{
    struct load_options o = base(&proto_udpkv);
    struct proto_state s = {.o = &o};
    struct request get = {.op = OP_READ, .key = 7, .version = 9, .id = 0x12345678};
    struct strbuf b = ask_null(&s, "udpkv", &get, false);
    struct answer a;
    uint32_t id;

    (void)state;
    assert_int_equal(b.len, KV_HEAD + 100);
    assert_true(proto_udpkv.id((uint8_t *)b.s, b.len, &id));
    assert_int_equal(id, get.id);
    assert_false(proto_udpkv.id((uint8_t *)b.s, 15, &id));
    for (size_t i = 0; i < b.len; i++) {
        enum verdict v;

        b.s[i] ^= 1;
        v = judge_exactly(&s, get, b.s, b.len, true, &a);
        assert_true(v == ANSWER_WRONG || v == ANSWER_BROKEN);
        b.s[i] ^= 1;
        assert_int_equal(judge_exactly(&s, get, b.s, i, true, &a), ANSWER_BROKEN);
    }
    assert_int_equal(judge_exactly(&s, get, b.s, b.len, true, &a), ANSWER_GOOD);
    o.sizes.size = 99; /* another length than was asked for */
    assert_int_equal(judge_exactly(&s, get, b.s, b.len, true, &a), ANSWER_WRONG);
    free(b.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_servers_answers_are_good_and_its_mistakes_seen),
        cmocka_unit_test(http_bodies_in_every_form),
        cmocka_unit_test(http_hash_size_and_the_first_body),
        cmocka_unit_test(sha256_has_the_standards_values),
        cmocka_unit_test(redis_errors_misses_and_nonsense),
        cmocka_unit_test(memcached_errors_misses_and_nonsense),
        cmocka_unit_test(dns_answers_are_judged_by_content),
        cmocka_unit_test(query_lines_that_are_wrong_are_refused),
        cmocka_unit_test(udp_echo_is_compared_whole),
        cmocka_unit_test(udpkv_replies_are_judged_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
