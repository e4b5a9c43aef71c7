// unit: tools/pktgen/frame.c tools/pktgen/flight.c tools/pktgen/ask.c tools/pktgen/bad.c tools/load/value.c tools/util.c -lm
/* Proves the pure parts of wherry-pktgen: frames and their checksums, the table of requests under
 * way, what is a right answer, and that bad frames are bad. */
#define _GNU_SOURCE
#include "../../tools/pktgen/ask.h"
#include "../../tools/pktgen/bad.h"
#include "../../tools/pktgen/flight.h"
#include "../../tools/pktgen/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct ends ends = {
    .from_mac = {0x56, 0x48, 0x4f, 0x53, 0x54, 0},
    .to_mac = {0x02, 0x57, 0x0a, 0x4d, 0, 2},
    .from = 0x0a4d0001,
    .to = 0x0a4d0002,
    .from_port = 20000,
    .to_port = 7777,
};

/* ---- frames ---- */

/* As RFC 1071 says it, a byte at a time. */
static uint16_t plain_sum(const uint8_t *p, size_t n, uint32_t sum)
{
    for (size_t i = 0; i < n; i++)
        sum += i % 2 ? p[i] : p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

static void the_sum_is_rfc_1071s(void **state)
{
    static const uint8_t header[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                                     0x00, 0x00, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
    struct rng r;
    uint8_t bytes[300];

    (void)state;
    assert_int_equal(__builtin_bswap16(sum_finish(sum_bytes(0, header, sizeof(header)))), 0xb861);
    rng_seed(&r, 1, 0);
    for (size_t n = 0; n < sizeof(bytes); n++) {
        for (size_t i = 0; i < n; i++)
            bytes[i] = n % 7 == 0 ? 0xff : rng_next(&r);
        assert_int_equal(__builtin_bswap16(sum_finish(sum_bytes(0, bytes, n))),
                         plain_sum(bytes, n, 0));
    }
}

static void a_frame_reads_back_as_it_was_written(void **state)
{
    static uint8_t f[FRAME_MAX];
    struct frame got;

    (void)state;
    for (size_t n = 0; n <= FRAME_MAX - FRAME_HEAD; n++) {
        memset(f + FRAME_HEAD, n, n);
        assert_int_equal(frame_udp(f, &ends, 7, n), FRAME_HEAD + n);
        assert_int_equal(frame_parse(f, FRAME_HEAD + n, &got), FRAME_UDP);
        assert_int_equal(got.len, n);
        assert_ptr_equal(got.payload, f + FRAME_HEAD);
        assert_int_equal(got.from, ends.from);
        assert_int_equal(got.to, ends.to);
        assert_int_equal(got.from_port, ends.from_port);
        assert_int_equal(got.to_port, ends.to_port);
        assert_memory_equal(got.to_mac, ends.to_mac, MAC_LEN);
        assert_memory_equal(got.from_mac, ends.from_mac, MAC_LEN);
        assert_int_equal(plain_sum(f + AT_IP, IP_LEN, 0), 0);
        /* The pseudo header: addresses, protocol, length. */
        assert_int_equal(plain_sum(f + AT_IP_SRC, 8 + UDP_LEN + n, PROTO_UDP + UDP_LEN + n), 0);
    }
}

/* What a device makes of it (virtio 1.2 §5.1.6.2): the sum from the UDP header on, in its place. */
static void a_part_of_a_sum_is_made_whole_by_a_device(void **state)
{
    uint8_t f[FRAME_MAX];
    struct frame got;
    struct rng r;

    (void)state;
    rng_seed(&r, 1, 0);
    for (size_t n = 0; n <= FRAME_MAX - FRAME_HEAD; n++) {
        struct ends e = ends;
        uint32_t addresses = 0;

        e.from = rng_next(&r);
        for (size_t i = 0; i < n; i++)
            f[FRAME_HEAD + i] = n % 5 ? rng_next(&r) : 0xff;
        frame_udp(f, &e, 7, n);
        frame_part_sum_udp(f);
        for (size_t i = 0; i < 8; i += 2)
            addresses += get16(f + AT_IP_SRC + i);
        assert_int_equal(get16(f + AT_UDP_SUM) % 0xffff,
                         (addresses + PROTO_UDP + UDP_LEN + n) % 0xffff);
        put16(f + AT_UDP_SUM, plain_sum(f + AT_UDP, UDP_LEN + n, 0));
        if (get16(f + AT_UDP_SUM) == 0)
            put16(f + AT_UDP_SUM, 0xffff);
        assert_int_equal(frame_parse(f, FRAME_HEAD + n, &got), FRAME_UDP);
        assert_int_equal(plain_sum(f + AT_IP, IP_LEN, 0), 0);
    }
}

static void a_changed_bit_is_seen(void **state)
{
    uint8_t f[FRAME_HEAD + 33];
    struct frame got;

    (void)state;
    memset(f + FRAME_HEAD, 0x33, 33);
    frame_udp(f, &ends, 7, 33);
    for (size_t bit = 8 * ETH_LEN; bit < 8 * sizeof(f); bit++) {
        f[bit / 8] ^= 1 << bit % 8;
        assert_int_not_equal(frame_parse(f, sizeof(f), &got), FRAME_UDP);
        f[bit / 8] ^= 1 << bit % 8;
    }
    assert_int_equal(frame_parse(f, sizeof(f), &got), FRAME_UDP);
}

static void a_frame_cut_off_is_no_datagram(void **state)
{
    uint8_t whole[FRAME_HEAD + 20];
    struct frame got;

    (void)state;
    memset(whole, 0, sizeof(whole));
    frame_udp(whole, &ends, 7, 20);
    for (size_t n = 0; n < sizeof(whole); n++) {
        uint8_t *part = malloc(n ? n : 1); /* AddressSanitizer looks on */
        memcpy(part, whole, n);
        assert_int_equal(frame_parse(part, n, &got), FRAME_SHORT);
        free(part);
    }
}

static void arp_reads_back_as_it_was_written(void **state)
{
    uint8_t f[FRAME_MAX];
    struct frame got;
    size_t n;

    (void)state;
    n = frame_arp(f, ARP_REQUEST, ends.from_mac, ends.from, NULL, ends.to);
    assert_int_equal(frame_parse(f, n, &got), FRAME_ARP);
    assert_int_equal(got.op, ARP_REQUEST);
    assert_int_equal(got.from, ends.from);
    assert_int_equal(got.to, ends.to);
    assert_int_equal(f[0], 0xff);
    n = frame_arp(f, ARP_REPLY, ends.from_mac, ends.from, ends.to_mac, ends.to);
    assert_int_equal(frame_parse(f, n, &got), FRAME_ARP);
    assert_memory_equal(f, ends.to_mac, MAC_LEN);
    assert_memory_equal(got.from_mac, ends.from_mac, MAC_LEN);
    assert_int_equal(frame_parse(f, n - 1, &got), FRAME_SHORT);
    f[AT_IP + 4] = 5; /* an address length that is none */
    assert_int_equal(frame_parse(f, n, &got), FRAME_OTHER);
}

/* ---- requests under way ---- */

static void what_became_of_a_request_is_known(void **state)
{
    struct flights t;
    struct flight *a, *b, *found;
    uint64_t first;

    (void)state;
    flights_init(&t, 2, 0);
    assert_null(flights_oldest(&t));
    a = flights_add(&t);
    b = flights_add(&t);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(flights_add(&t));
    first = a->id;
    assert_int_equal(flights_find(&t, a->id, &found), FLIGHT_LIVE);
    assert_ptr_equal(found, a);
    assert_ptr_equal(flights_oldest(&t), a);
    flights_end(&t, a, FLIGHT_ANSWERED);
    assert_int_equal(flights_find(&t, first, &found), FLIGHT_ANSWERED);
    flights_end(&t, b, FLIGHT_TIMED_OUT);
    assert_int_equal(flights_find(&t, b->id, &found), FLIGHT_TIMED_OUT);
    assert_null(flights_oldest(&t));
    a = flights_add(&t); /* its slot again, under another identifier */
    assert_int_not_equal(a->id, first);
    assert_int_equal(flights_find(&t, first, &found), FLIGHT_UNUSED);
    assert_int_equal(flights_find(&t, UINT64_MAX, &found), FLIGHT_UNUSED);
    assert_int_equal(flights_find(&t, 0, &found), FLIGHT_UNUSED);
    flights_free(&t);
}

static void identifiers_of_another_run_are_unknown(void **state)
{
    struct flights t;
    struct flight *found;
    uint64_t id[300];

    (void)state;
    for (unsigned run = 0; run < 200; run++) {
        flights_init(&t, 1, run);
        id[run] = flights_add(&t)->id;
        assert_true(id[run] < FLIGHT_ID_LIMIT);
        for (unsigned other = 0; other < run; other++)
            assert_int_equal(flights_find(&t, id[other], &found), FLIGHT_UNUSED);
        flights_free(&t);
    }
}

static void a_million_random_requests_behave_as_a_list_does(void **state)
{
    enum { CAPACITY = 37 };
    struct flight *live[CAPACITY], *found;
    struct flights t;
    unsigned n = 0;
    struct rng r;

    (void)state;
    rng_seed(&r, 1, 0);
    flights_init(&t, CAPACITY, 3);
    for (int i = 0; i < 1000000; i++) {
        assert_int_equal(t.live, n);
        if (n < CAPACITY && rng_below(&r, 2)) {
            live[n] = flights_add(&t);
            assert_non_null(live[n]);
            n++;
        } else if (n) {
            unsigned k = rng_below(&r, n);
            uint64_t id = live[k]->id;

            assert_ptr_equal(flights_oldest(&t), live[0]);
            assert_int_equal(flights_find(&t, id, &found), FLIGHT_LIVE);
            assert_ptr_equal(found, live[k]);
            flights_end(&t, live[k], FLIGHT_ANSWERED);
            assert_int_equal(flights_find(&t, id, &found), FLIGHT_ANSWERED);
            memmove(live + k, live + k + 1, (--n - k) * sizeof(live[0]));
        }
    }
    flights_free(&t);
}

/* ---- questions and answers ---- */

/* What a right server answers to the request in p. */
static size_t serve(uint8_t *p, const struct flight *e, const struct ask *a)
{
    uint16_t len = e->op == OP_READ ? value_size(&a->sizes, e->key) : 0;

    if (a->echo)
        return a->echo_len;
    p[KV_AT_OP] |= KV_REPLY;
    p[KV_AT_KEY_LEN] = 0;
    memcpy(p + KV_AT_VALUE_LEN, &len, 2);
    if (len)
        value_fill(p + KV_HEAD, len, e->key, 77);
    return KV_HEAD + len;
}

static void a_request_is_what_the_format_says(void **state)
{
    struct ask a = {.sizes.size = 64};
    struct flight e = {.id = 0x1122334455667788, .op = OP_READ, .key = 42, .version = 9};
    uint8_t p[PAYLOAD_MAX];
    static const uint8_t get[] =
        "\1\1\0\x10\0\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11user000000000042";

    (void)state;
    assert_int_equal(ask_write(&a, &e, p), sizeof(get) - 1);
    assert_memory_equal(p, get, sizeof(get) - 1);
    e.op = OP_UPDATE;
    assert_int_equal(ask_write(&a, &e, p), KV_HEAD + 16 + 64);
    assert_int_equal(p[KV_AT_OP], KV_SET);
    assert_int_equal(p[KV_AT_VALUE_LEN], 64);
    assert_true(value_is(p + KV_HEAD + 16, 64, 42, 9));
    e.op = OP_REQUEST;
    assert_int_equal(ask_write(&a, &e, p), KV_HEAD);
    assert_int_equal(p[KV_AT_OP], KV_NOOP);
    a = (struct ask){.echo = true, .echo_len = 22};
    assert_int_equal(ask_write(&a, &e, p), 22);
    assert_memory_equal(p, &e.id, 8);
}

static void only_the_right_answer_is_right(void **state)
{
    static const uint8_t ops[] = {OP_READ, OP_UPDATE, OP_FILL, OP_REQUEST};
    struct why why;

    (void)state;
    for (unsigned echo = 0; echo < 2; echo++) {
        for (size_t k = 0; k < ARRAY_LEN(ops); k++) {
            struct ask a = {.echo = echo, .echo_len = 30, .sizes.size = 64};
            struct flight e = {.id = 99, .op = echo ? OP_REQUEST : ops[k], .key = 5, .version = 1};
            uint8_t p[PAYLOAD_MAX];
            size_t n;
            uint64_t id;

            ask_write(&a, &e, p);
            n = serve(p, &e, &a);
            assert_true(ask_id(&a, p, n, &id));
            assert_int_equal(id, 99);
            assert_true(ask_good(&a, &e, p, n, &why));
            for (size_t i = 0; i < n; i++) {
                if (echo ? i < 8 : i >= KV_AT_ID && i < KV_HEAD)
                    continue; /* the identifier: then it is another request's */
                p[i] ^= 0x41;
                assert_false(ask_good(&a, &e, p, n, &why));
                p[i] ^= 0x41;
            }
            assert_false(ask_good(&a, &e, p, n + 1, &why));
            if (n > KV_HEAD)
                assert_false(ask_good(&a, &e, p, n - 1, &why));
            else
                assert_false(ask_id(&a, p, n - 1, &id));
        }
    }
}

/* ---- bad frames ---- */

static void bad_frames_are_bad_where_they_say_so(void **state)
{
    static const uint8_t nothing_asked[NR_FRAME_KINDS] = {[FRAME_UDP] = 1};
    struct bad b = {.keys = 1000};

    (void)state;
    rng_seed(&b.rng, 1, 0);
    for (unsigned kind = 0; kind < bad_kinds(); kind++) {
        const char *name = bad_kind_name(kind);
        bool kv = strncmp(name, "kv_", 3) == 0;
        bool odd = !strcmp(name, "vlan") || !strcmp(name, "no_udp_sum") ||
                   !strcmp(name, "ip_options") || !strcmp(name, "padded") || !strcmp(name, "jumbo");

        for (int i = 0; i < 2000; i++) {
            uint8_t *f = malloc(BAD_FRAME_MAX); /* AddressSanitizer looks on */
            size_t n;
            struct frame got = {0};
            enum frame_kind is;
            bool for_it;

            b.echo = !kv && i % 2;
            n = bad_frame_of(&b, &ends, kind, f);
            assert_in_range(n, 1, BAD_FRAME_MAX);
            is = frame_parse(f, n, &got);
            for_it = nothing_asked[is] && got.to == ends.to && got.to_port == ends.to_port &&
                     got.from != 0 && memcmp(got.to_mac, ends.to_mac, MAC_LEN) == 0 &&
                     got.from == ends.from;
            if (kv || (odd && strcmp(name, "vlan") != 0))
                assert_true(for_it);
            else
                assert_false(for_it);
            free(f);
        }
    }
}

static void answers_to_bad_frames_are_judged_by_their_kind(void **state)
{
    struct bad b = {.keys = 10};
    uint8_t f[BAD_FRAME_MAX], reply[KV_HEAD];
    struct why why;
    uint64_t id;

    (void)state;
    rng_seed(&b.rng, 1, 0);
    for (unsigned kind = 0; kind < bad_kinds(); kind++) {
        unsigned allowed = 0;

        if (strncmp(bad_kind_name(kind), "kv_", 3) != 0)
            continue;
        bad_frame_of(&b, &ends, kind, f);
        memcpy(&id, f + FRAME_HEAD + KV_AT_ID, 8);
        assert_true(bad_is_id(id));
        for (unsigned status = 0; status < 256; status++) {
            kv_write(reply, KV_REPLY | KV_SET, id, "", 0, 0);
            reply[KV_AT_STATUS] = status;
            if (bad_answer_allowed(&b, id, reply, KV_HEAD, &why)) {
                assert_in_range(status, KV_MALFORMED, KV_BAD_OP);
                allowed++;
            }
        }
        if (!strcmp(bad_kind_name(kind), "kv_is_reply") || !strcmp(bad_kind_name(kind), "kv_short"))
            assert_int_equal(allowed, 0);
        else
            assert_in_range(allowed, 1, 2);
    }
    assert_false(bad_is_id(5));
    assert_false(bad_is_id(UINT64_MAX)); /* no such kind */
    b.echo = true;
    for (int i = 0; i < 1000; i++)
        bad_frame(&b, &ends, f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_rfc_1071s),
        cmocka_unit_test(a_frame_reads_back_as_it_was_written),
        cmocka_unit_test(a_part_of_a_sum_is_made_whole_by_a_device),
        cmocka_unit_test(a_changed_bit_is_seen),
        cmocka_unit_test(a_frame_cut_off_is_no_datagram),
        cmocka_unit_test(arp_reads_back_as_it_was_written),
        cmocka_unit_test(what_became_of_a_request_is_known),
        cmocka_unit_test(identifiers_of_another_run_are_unknown),
        cmocka_unit_test(a_million_random_requests_behave_as_a_list_does),
        cmocka_unit_test(a_request_is_what_the_format_says),
        cmocka_unit_test(only_the_right_answer_is_right),
        cmocka_unit_test(bad_frames_are_bad_where_they_say_so),
        cmocka_unit_test(answers_to_bad_frames_are_judged_by_their_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
