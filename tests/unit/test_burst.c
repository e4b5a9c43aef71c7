// unit: kernel/net/netdev.c
/*
 * The arithmetic of the raw path's loops (include/wherry/burst.h, inet.h) against plain second
 * implementations of the same, over millions of random inputs: checksums; what a usual frame is, of
 * which kernel/net/raw.c's match() must say the same; and the answers that are made in a frame.
 * Each frame ends where its allocation ends, so that AddressSanitizer sees a look behind it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* match() is wanted here. */
#include "../../kernel/net/raw.c"

#include <wherry/inet.h>

#define HERE   0x0200630au /* 10.99.0.2 */
#define PORT_  7777
#define HEAD   12u /* what lies in front of a frame */
#define LONG   1514u
#define ROUNDS 500000

struct thread *current_thread;

struct netbuf *netbuf_host_alloc(void)
{
    return NULL;
}
void netbuf_host_free(struct netbuf *b)
{
}
void *kzalloc(size_t size)
{
    return calloc(1, size);
}
void poller_register(struct poller *p)
{
}
void haltpoll_enable(void)
{
}
void thread_wake(struct thread *t)
{
}
bool thread_block(uint64_t deadline)
{
    return true;
}

/* ---- Random input, and sums done plainly ---- */

static uint64_t state = 88172645463325252u;

static uint64_t rnd64(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static unsigned rnd(unsigned n)
{
    return (unsigned)((rnd64() >> 20) % n);
}

/* Random bytes, or those of which sums are zero or carry always. */
static void fill(uint8_t *p, size_t n)
{
    unsigned kind = rnd(8);

    for (size_t i = 0; i < n; i++)
        p[i] = kind == 0 ? 0xff : kind == 1 ? 0 : (uint8_t)rnd64();
}

static unsigned be16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static void put_be16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* RFC 1071, a byte at a time. */
static unsigned plain_sum(const uint8_t *p, size_t n, unsigned sum)
{
    for (size_t i = 0; i < n; i++)
        sum += i % 2 ? p[i] : (unsigned)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static unsigned pseudo_sum(const uint8_t *f, unsigned udp_len)
{
    return plain_sum(f + 26, 8, 17 + udp_len);
}

static unsigned udp_sum(const uint8_t *f, unsigned udp_len)
{
    return plain_sum(f + 34, udp_len, pseudo_sum(f, udp_len));
}

static void sum_ip(uint8_t *f)
{
    put_be16(f + 24, 0);
    put_be16(f + 24, ~plain_sum(f + 14, 20, 0) & 0xffff);
}

/* 0 means that there is none: then it is 0xffff (RFC 768). */
static void sum_udp(uint8_t *f, unsigned udp_len)
{
    unsigned sum;

    put_be16(f + 40, 0);
    sum = ~udp_sum(f, udp_len) & 0xffff;
    put_be16(f + 40, sum ? sum : 0xffff);
}

/* ---- Frames ---- */

static uint8_t *frame_new(unsigned len)
{
    uint8_t *p = malloc(HEAD + len);

    assert_non_null(p);
    memset(p, 0, HEAD);
    return p + HEAD;
}

static void frame_free(uint8_t *f)
{
    free(f - HEAD);
}

static struct netdev dev = {.mac = {2, 0x57, 10, 99, 0, 2}, .ip4 = HERE};

static struct wherry_netq open_queue(bool csum)
{
    static const struct netdev_ops ops = {.rx_raw = (void *)open_queue};
    struct wherry_netq q;

    if (dev.ops == NULL) {
        dev.ops = &ops;
        netdev_register(&dev);
    }
    dev.features = csum ? NETDEV_TX_CSUM : 0;
    free(dev.raw);
    dev.raw = NULL;
    assert_int_equal(wherry_netq_open(&q, 0), 0);
    assert_int_equal(wherry_netq_steer(&q, PORT_), 0);
    return q;
}

static void close_queue(void)
{
    free(dev.raw);
    dev.raw = NULL;
}

/* A right one for the queue, of len bytes. */
static uint8_t *good_frame(unsigned len)
{
    uint8_t *f = frame_new(len);
    uint32_t here = HERE;

    fill(f, len);
    memcpy(f + 12, "\x08\x00\x45", 4);
    put_be16(f + 16, len - 14);
    put_be16(f + 20, rnd(2) ? 0x4000 : 0);
    f[23] = 17;
    f[26] = (uint8_t)(1 + rnd(126)); /* neither 0 nor 127 nor 224 and more */
    memcpy(f + 30, &here, 4);
    if (memcmp(f + 26, &here, 4) == 0)
        f[29]++;
    put_be16(f + 36, PORT_);
    put_be16(f + 38, len - 34);
    sum_ip(f);
    if (rnd(4))
        sum_udp(f, len - 34);
    else
        put_be16(f + 40, 0);
    return f;
}

/* ---- Checksums ---- */

static void a_sum_is_good_if_65535_divides_it(void **s)
{
    for (unsigned i = 0; i < 4 * ROUNDS; i++) {
        uint64_t v = rnd64() >> rnd(64);

        if (i % 2)
            v = v / 65535 * 65535 + (i % 4 == 1 ? 0 : rnd(3));
        assert_int_equal(wherry_sum_good(v), v % 65535 == 0);
    }
    for (uint64_t v = 0; v < 200000; v++) {
        assert_int_equal(wherry_sum_good(v), v % 65535 == 0);
        assert_int_equal(wherry_sum_good(~v), ~v % 65535 == 0);
    }
}

static void lengths_stand_backwards_where_they_belong(void **s)
{
    for (uint64_t n = 0; n <= LONG; n++) {
        uint8_t kind[8], reply[8];

        wherry_put64(kind, wherry_lengths(n, wherry_kind));
        assert_int_equal(be16(kind), n + 8);
        assert_memory_equal(kind + 2, "\x08\0\x45\0", 4);
        assert_int_equal(be16(kind + 6), n + 28);
        wherry_put64(reply, wherry_lengths(n, wherry_reply));
        assert_memory_equal(reply, "\x45\0", 2);
        assert_int_equal(be16(reply + 2), n + 28);
        assert_memory_equal(reply + 4, "\0\0", 2);
        assert_int_equal(be16(reply + 6), n + 8);
    }
}

static void ip_headers_are_judged_right(void **s)
{
    unsigned good = 0, sum_good;

    for (unsigned i = 0; i < 2 * ROUNDS; i++) {
        uint8_t *f = frame_new(34); /* the header is the end of the memory */
        fill(f, 34);
        if (rnd(2))
            sum_ip(f);
        if (rnd(4) == 0)
            f[14 + rnd(20)] ^= (uint8_t)(1u << rnd(8));
        sum_good = plain_sum(f + 14, 20, 0);
        /* All of it zero has a sum of 0, which no real header has. */
        assert_int_equal(wherry_ip_good(f + 14), sum_good == 0xffff || sum_good == 0);
        good += sum_good == 0xffff;
        frame_free(f);
    }
    assert_in_range(good, ROUNDS / 2, 2 * ROUNDS - ROUNDS / 4);
}

/* Whatever len is to be said: frames of len bytes whose UDP length says so. */
static void judge_udp(unsigned len, unsigned good[2])
{
    uint8_t *f = frame_new(len);
    unsigned kind = rnd(8), sum;

    fill(f, len);
    put_be16(f + 38, len - 34);
    if (kind < 4)
        sum_udp(f, len - 34);
    else if (kind == 4)
        put_be16(f + 40, 0);
    else if (kind == 5)
        put_be16(f + 40, 0xffff);
    if (kind == 3) { /* one bit, the last byte's as often as any other's */
        unsigned at = rnd(2) ? len - 1 : 26 + rnd(len - 26);

        if (at != 38 && at != 39)
            f[at] ^= (uint8_t)(1u << rnd(8));
    }
    sum = udp_sum(f, len - 34);
    assert_int_equal(wherry_udp_good(f, len - 42), be16(f + 40) == 0 || sum == 0xffff);
    good[be16(f + 40) == 0 || sum == 0xffff]++;
    frame_free(f);
}

static void udp_checksums_are_judged_right_at_each_length(void **s)
{
    unsigned good[2] = {0, 0};

    for (unsigned len = 42; len <= LONG; len++) {
        for (unsigned i = 0; i < 60; i++)
            judge_udp(len, good);
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        judge_udp(42 + rnd(64), good);
    assert_true(good[0] > ROUNDS / 4 && good[1] > ROUNDS / 4);
}

/* Frames whose UDP checksum comes out as 0, which is sent as 0xffff. */
static void a_checksum_of_zero_is_good_as_ffff(void **s)
{
    for (unsigned len = 44; len <= 300; len++) {
        uint8_t *f = good_frame(len);

        put_be16(f + 40, 0);
        put_be16(f + 42, 0);
        put_be16(f + 42, ~udp_sum(f, len - 34) & 0xffff);
        assert_int_equal(udp_sum(f, len - 34), 0xffff);
        put_be16(f + 40, 0xffff);
        assert_true(wherry_udp_good(f, len - 42));
        frame_free(f);
    }
}

/* ---- Completions ---- */

/* One of any content says what a plain look at its two words says. */
static void completions_are_believed_only_of_their_place(void **s)
{
    static union {
        uint8_t bytes[WHERRY_RING_SLOT + 16 * WHERRY_RING_SIZE];
        uint64_t word;
    } ring;
    struct wherry_run r = {.ring = ring.bytes};
    unsigned came = 0, gone = 0;

    for (unsigned i = 0; i < 8 * ROUNDS; i++) {
        uint32_t place = rnd(WHERRY_RING_SIZE), id = place, len = WHERRY_RUN_HEADER + rnd(2100);
        uint8_t *e = ring.bytes + WHERRY_RING_USED + 8 * place;
        bool good = len >= WHERRY_RUN_HEADER + 42 && len <= WHERRY_RUN_HEADER + WHERRY_BUF_ROOM;
        uint64_t data;

        if (rnd(4) == 0)
            id ^= rnd(2) ? 1u << rnd(32) : (uint32_t)rnd64();
        if (rnd(4) == 0) {
            len ^= rnd(2) ? 1u << rnd(32) : (uint32_t)rnd64();
            good = len >= WHERRY_RUN_HEADER + 42 && len <= WHERRY_RUN_HEADER + WHERRY_BUF_ROOM;
        }
        memcpy(e, &id, 4);
        memcpy(e + 4, &len, 4);
        good = good && id == place;
        assert_int_equal(wherry_run_came(&r, 8 * place, &data), good);
        if (good)
            assert_int_equal(data, len - WHERRY_RUN_HEADER - 42);
        /* The three highest bits of what went out are not looked at. */
        assert_int_equal(wherry_run_gone(&r, 8 * place), (id & 0x1fffffff) == place);
        came += good;
        gone += id == place;
    }
    assert_true(came > 4 * ROUNDS && came < 6 * ROUNDS && gone > 5 * ROUNDS && gone < 7 * ROUNDS);
}

/* ---- What is the user's ---- */

/* All that wherry_netq_steer() promises, and no padding, TOS 0. */
static bool plain_usual(const uint8_t *f, unsigned len, unsigned flags)
{
    uint32_t here = HERE;

    if (be16(f + 12) != 0x0800 || f[14] != 0x45 || f[15] != 0 || be16(f + 16) != len - 14)
        return false;
    if ((be16(f + 20) != 0 && be16(f + 20) != 0x4000) || f[23] != 17 ||
        plain_sum(f + 14, 20, 0) != 0xffff)
        return false;
    if (memcmp(f + 30, &here, 4) != 0 || memcmp(f + 26, &here, 4) == 0 || f[26] == 0 ||
        f[26] == 127 || f[26] >= 224)
        return false;
    if (be16(f + 36) != PORT_ || be16(f + 38) != len - 34)
        return false;
    return flags != 0 || be16(f + 40) == 0 || udp_sum(f, len - 34) == 0xffff;
}

/* Breaks something, and mends the checksums as often as not. */
static void spoil(uint8_t *f, unsigned len)
{
    static const uint32_t nobody[] = {0, 0x7f, 0xe0, 0xff, 0xffffffff, 0xdf, 0x7e, 0x80, HERE};
    unsigned at = 12 + rnd(32), more = rnd(20);

    switch (rnd(6)) {
    case 0:
        memcpy(f + 26, &nobody[rnd(ARRAY_SIZE(nobody))], 4);
        break;
    case 1: /* both, perhaps beyond the frame */
        put_be16(f + 16, len - 14 + more);
        put_be16(f + 38, len - 34 + more);
        break;
    case 2: /* one of them */
        put_be16(f + (rnd(2) ? 16 : 38), len - 34 + 20 * rnd(2) + rnd(5) - 2);
        break;
    case 3: /* fragments, and the bit that is none */
        put_be16(f + 20, 1u << rnd(16));
        break;
    default:
        f[at < len ? at : len - 1] ^= (uint8_t)(1u << rnd(8));
        break;
    }
    if (rnd(4) != 0)
        sum_ip(f);
    if (rnd(4) != 0 && be16(f + 40) != 0)
        sum_udp(f, len - 34);
}

static void the_usual_is_what_it_is_said_to_be_and_matches(void **s)
{
    struct wherry_netq q = open_queue(true);
    unsigned counts[2] = {0, 0};

    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned len = rnd(4) ? 42 + rnd(80) : 42 + rnd(LONG - 41), flags = rnd(2) ? 0 : rnd(4);
        uint8_t *f = good_frame(len);
        struct wherry_packet p = {.data = f, .len = (uint16_t)len, .flags = (uint8_t)flags};
        bool usual;

        if (rnd(3))
            spoil(f, len);
        usual = wherry_usual(&q, f, len - 42, flags);
        assert_int_equal(usual, plain_usual(f, len, flags));
        if (usual) {
            assert_true(match(&q, &p));
            assert_int_equal(p.len, len);
        }
        counts[usual]++;
        frame_free(f);
    }
    assert_true(counts[0] > ROUNDS / 4 && counts[1] > ROUNDS / 4);
    close_queue();
}

/* What match() takes beyond that: TOS and padding, and nothing else. */
static void a_match_without_its_oddities_is_usual(void **s)
{
    struct wherry_netq q = open_queue(true);
    unsigned odd = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned len = 42 + rnd(80), padding = rnd(3) ? 0 : rnd(20), flags = rnd(2) ? 0 : rnd(4);
        uint8_t *whole = good_frame(len), *f = frame_new(len + padding);
        struct wherry_packet p = {
            .data = f, .len = (uint16_t)(len + padding), .flags = (uint8_t)flags};

        memcpy(f, whole, len);
        fill(f + len, padding);
        if (rnd(2))
            spoil(f, len);
        if (rnd(4) == 0) {
            f[15] = (uint8_t)rnd64();
            sum_ip(f);
        }
        if (match(&q, &p)) {
            assert_in_range(p.len, 42, len + padding);
            odd += p.len != len + padding || f[15] != 0;
            f[15] = 0;
            sum_ip(f);
            assert_true(plain_usual(f, p.len, flags));
            assert_true(wherry_usual(&q, f, p.len - 42u, flags));
        } else if (f[15] == 0 && be16(f + 16) + 14u <= len + padding && be16(f + 16) >= 28) {
            assert_false(plain_usual(f, be16(f + 16) + 14u, flags));
        }
        frame_free(whole);
        frame_free(f);
    }
    assert_true(odd > ROUNDS / 20);
    close_queue();
}

/* ---- Answers ---- */

/* Ethernet, IP and UDP of an answer to asked come from where it went, and go where it came from. */
static void ends_are_turned(const uint8_t *f, const uint8_t *asked)
{
    assert_memory_equal(f, asked + 6, 6);
    assert_memory_equal(f + 6, dev.mac, 6);
    assert_memory_equal(f + 12, "\x08\0", 2);
    assert_memory_equal(f + 26, asked + 30, 4);
    assert_memory_equal(f + 30, asked + 26, 4);
    assert_memory_equal(f + 34, asked + 36, 2);
    assert_memory_equal(f + 36, asked + 34, 2);
}

static void a_turned_packet_is_the_same_the_other_way(void **s)
{
    struct wherry_netq q = open_queue(true);

    for (unsigned i = 0; i < ROUNDS / 2; i++) {
        unsigned len = 42 + rnd(100);
        uint8_t *f = good_frame(len), *asked = frame_new(len);
        struct wherry_packet p = {.data = f, .len = (uint16_t)len};

        memcpy(asked, f, len);
        wherry_udp_turn(&q, &p);
        ends_are_turned(f, asked);
        assert_memory_equal(f + 14, asked + 14, 12);
        assert_memory_equal(f + 38, asked + 38, len - 38);
        assert_ptr_equal(p.data, f);
        assert_int_equal(p.len, len);
        assert_int_equal(p.flags, 0);
        assert_int_equal(p.csum_start, 34);
        assert_int_equal(p.csum_off, 6);
        assert_int_equal(plain_sum(f + 14, 20, 0), 0xffff);
        if (be16(f + 40) != 0)
            assert_int_equal(udp_sum(f, len - 34), 0xffff);
        frame_free(f);
        frame_free(asked);
    }
    close_queue();
}

static void judge_answer(const struct wherry_netq *q, unsigned was, unsigned len)
{
    unsigned room = MAX(was, 42 + len);
    uint8_t *f = good_frame(room), *asked = frame_new(room);
    struct wherry_packet p = {.data = f, .len = (uint16_t)was, .flags = (uint8_t)rnd(4)};

    fill(f + 26, 4); /* any sender, for the sums; and such that the last addition carries, or not */
    if (rnd(4) == 0) {
        uint32_t from =
            -wherry_get32(f + 30) - __builtin_bswap16((uint16_t)(len + 8)) - rnd(0x2000);

        memcpy(f + 26, &from, 4);
    }
    memcpy(asked, f, room);
    wherry_udp_answer(q, &p, len);
    ends_are_turned(f, asked);
    assert_int_equal(p.len, 42 + len);
    assert_ptr_equal(wherry_udp_data(&p), f + 42);
    assert_int_equal(wherry_udp_len(&p), len);
    assert_memory_equal(f + 42, asked + 42, room - 42);
    assert_memory_equal(f + 14, "\x45\0", 2);
    assert_int_equal(be16(f + 16), 28 + len);
    assert_memory_equal(f + 18, "\0\0\x40\0\x40\x11", 6); /* id 0, do not fragment, TTL 64, UDP */
    assert_int_equal(plain_sum(f + 14, 20, 0), 0xffff);
    assert_int_equal(be16(f + 38), 8 + len);
    if (!q->tx_csum) {
        assert_int_equal(p.flags, 0);
        assert_int_equal(be16(f + 40), 0);
    } else { /* the device goes on with the pseudo header's sum (virtio 1.2 §5.1.6.2) */
        assert_int_equal(p.flags, WHERRY_CSUM_TODO);
        assert_int_equal(p.csum_start, 34);
        assert_int_equal(p.csum_off, 6);
        assert_int_equal(be16(f + 40) % 0xffff, pseudo_sum(f, 8 + len) % 0xffff);
        put_be16(f + 40, ~plain_sum(f + 34, 8 + len, 0) & 0xffff);
        assert_int_equal(udp_sum(f, 8 + len), 0xffff);
        assert_true(wherry_udp_good(f, len));
    }
    assert_true(wherry_ip_good(f + 14));
    frame_free(f);
    frame_free(asked);
}

static void an_answer_has_right_headers_at_each_length(void **s)
{
    for (unsigned csum = 0; csum < 2; csum++) {
        struct wherry_netq q = open_queue(csum);

        for (unsigned len = 0; len <= LONG - 42; len++) {
            for (unsigned i = 0; i < 20; i++)
                judge_answer(&q, 42 + rnd(LONG - 41), len);
        }
        for (unsigned i = 0; i < ROUNDS / 2; i++)
            judge_answer(&q, 42 + rnd(80), rnd(100));
        close_queue();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sum_is_good_if_65535_divides_it),
        cmocka_unit_test(lengths_stand_backwards_where_they_belong),
        cmocka_unit_test(ip_headers_are_judged_right),
        cmocka_unit_test(udp_checksums_are_judged_right_at_each_length),
        cmocka_unit_test(a_checksum_of_zero_is_good_as_ffff),
        cmocka_unit_test(completions_are_believed_only_of_their_place),
        cmocka_unit_test(the_usual_is_what_it_is_said_to_be_and_matches),
        cmocka_unit_test(a_match_without_its_oddities_is_usual),
        cmocka_unit_test(a_turned_packet_is_the_same_the_other_way),
        cmocka_unit_test(an_answer_has_right_headers_at_each_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
