/*
 * DNS (RFC 1035) over UDP, and over TCP with its two bytes of length (RFC 7766). An answer is good
 * if it is one to the question asked, each of its records is well formed, and it holds what the
 * query file expects (dns_queries.h): by default no error and at least one record of the asked
 * type.
 */
#include "options.h"

#include <string.h>

enum { FLAGS_RD = 0x01, FLAGS_QR = 0x80, FLAGS_TC = 0x02, TYPE_ANY = 255 };

static unsigned get16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static struct dns_query query_of(const struct proto_state *s, const struct request *r,
                                 uint8_t buffer[DNS_NAME_MAX + 4])
{
    struct dns_query q;

    if (s->o->queries.n)
        return s->o->queries.q[r->key % s->o->queries.n];
    dns_query_of_key(&q, buffer, r->key);
    return q;
}

static void encode_message(struct proto_state *s, struct request *r, struct strbuf *out, bool tcp)
{
    uint8_t buffer[DNS_NAME_MAX + 4], head[2 + DNS_HEADER] = {0};
    struct dns_query q = query_of(s, r, buffer);
    unsigned len = DNS_HEADER + q.len;

    head[0] = len >> 8;
    head[1] = len;
    head[2] = r->id >> 8;
    head[3] = r->id;
    head[4] = FLAGS_RD;
    head[7] = 1; /* one question */
    sb_add(out, tcp ? head : head + 2, tcp ? sizeof(head) : DNS_HEADER);
    sb_add(out, q.question, q.len);
}

static bool same_question(const uint8_t *p, size_t n, const struct dns_query *q)
{
    if (n < DNS_HEADER + (size_t)q->len || get16(p + 4) != 1)
        return false;
    for (unsigned i = 0; i < q->len; i++) { /* names compare without case */
        uint8_t a = p[DNS_HEADER + i], b = q->question[i];
        if (a != b && ((a ^ b) != 0x20 || (a | 0x20) < 'a' || (a | 0x20) > 'z'))
            return false;
    }
    return true;
}

/* Walks all records of the message; what it found in the answer section of the asked type. */
static bool walk(const uint8_t *p, size_t n, const struct dns_query *q, unsigned *records,
                 bool *expected)
{
    unsigned answers = get16(p + 6), all = answers + get16(p + 8) + get16(p + 10);
    size_t at = DNS_HEADER + q->len;

    *records = 0;
    *expected = false;
    for (unsigned i = 0; i < all; i++) {
        size_t name = dns_name_len(p, n, at), len;
        unsigned type;

        if (name == 0 || n - at - name < 10)
            return false;
        at += name;
        type = get16(p + at);
        len = get16(p + at + 8);
        at += 10;
        if (len > n - at)
            return false;
        if (i < answers && (type == q->type || q->type == TYPE_ANY)) {
            size_t size = type == DNS_A ? 4 : 16;
            ++*records;
            if (q->expect == DNS_ADDRESS && len == size && memcmp(p + at, q->address, len) == 0)
                *expected = true;
        }
        at += len;
    }
    return at == n;
}

static enum verdict judge(struct proto_state *s, struct request *r, const uint8_t *p, size_t n)
{
    uint8_t buffer[DNS_NAME_MAX + 4];
    struct dns_query q = query_of(s, r, buffer);
    unsigned rcode, records;
    bool expected, good = false;

    if (n < DNS_HEADER)
        return ANSWER_BROKEN;
    if (get16(p) != (r->id & 0xffff) || !(p[2] & FLAGS_QR) || p[2] & FLAGS_TC ||
        !same_question(p, n, &q) || !walk(p, n, &q, &records, &expected))
        return ANSWER_WRONG;
    rcode = p[3] & 0xf;
    switch ((enum dns_expect)q.expect) {
    case DNS_ANY_RECORD:
        good = rcode == DNS_NOERROR && records > 0;
        break;
    case DNS_ADDRESS:
        good = rcode == DNS_NOERROR && expected;
        break;
    case DNS_NO_NAME:
        good = rcode == DNS_NXDOMAIN;
        break;
    case DNS_NO_DATA:
        good = rcode == DNS_NOERROR && records == 0;
        break;
    }
    return good ? ANSWER_GOOD : ANSWER_WRONG;
}

static void encode_udp(struct proto_state *s, struct request *r, struct strbuf *out)
{
    encode_message(s, r, out, false);
}

static enum verdict parse_udp(struct proto_state *s, struct request *r, const uint8_t *p, size_t n,
                              bool eof, struct answer *a)
{
    (void)eof;
    *a = (struct answer){.used = n};
    return judge(s, r, p, n);
}

static bool id(const uint8_t *p, size_t n, uint32_t *id)
{
    if (n < 2)
        return false;
    *id = get16(p);
    return true;
}

static void encode_tcp(struct proto_state *s, struct request *r, struct strbuf *out)
{
    r->id = (uint16_t)keys_hash(r->key ^ r->version);
    encode_message(s, r, out, true);
}

static enum verdict parse_tcp(struct proto_state *s, struct request *r, const uint8_t *p, size_t n,
                              bool eof, struct answer *a)
{
    (void)eof;
    *a = (struct answer){.want = 2};
    if (n < 2)
        return ANSWER_MORE;
    a->want = a->used = 2 + get16(p);
    if (n < a->used)
        return ANSWER_MORE;
    return judge(s, r, p + 2, a->used - 2);
}

const struct proto proto_dns_udp = {"dns", true, encode_udp, parse_udp, id};
const struct proto proto_dns_tcp = {"dns", false, encode_tcp, parse_tcp, NULL};
