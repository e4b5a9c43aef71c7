// unit: kernel/roce/icrc.c kernel/roce/crc_sparse.c kernel/roce/crc_pclmul.c
/*
 * Proves that every implementation of the CRC gives what the definition gives, bit by bit, in
 * pieces of any length and at any alignment, copying or not; that the ICRC is what scapy computes;
 * and that headers come out of the parsers as they went into the builders, whatever the bytes, with
 * lengths that add up, and without a byte read beyond what may be read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "roce/icrc.h"
#include "roce/wire.h"

/* The definition: one bit after the other. */
static uint32_t crc_bits(uint32_t crc, const uint8_t *p, size_t n)
{
    while (n-- > 0) {
        crc ^= *p++;
        for (unsigned i = 0; i < 8; i++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return crc;
}

static void fill(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(rand() >> 7);
}

/* Each piece in memory of exactly its size, so that the sanitizer sees a byte too many. */
static void check_pieces(const struct roce_crc_impl *impl, const uint8_t *data, size_t n,
                         unsigned pieces)
{
    uint32_t want = 0x12345678, got = want;

    want = crc_bits(want, data, n);
    for (size_t at = 0; at < n || pieces > 0;) {
        size_t len = pieces <= 1 ? n - at : (size_t)rand() % (n - at + 1);
        size_t off = (size_t)rand() % 16;
        uint8_t *piece = malloc(off + len + 1), *out = malloc(off + len + 1);

        pieces = pieces > 0 ? pieces - 1 : 0;
        memcpy(piece + off + 1, data + at, len);
        if (rand() % 2) {
            got = impl->update(got, piece + off + 1, len);
        } else {
            memset(out, 0, off + 1);
            got = impl->copy(got, out + off + 1, piece + off + 1, len);
            assert_memory_equal(out + off + 1, data + at, len);
        }
        free(piece);
        free(out);
        at += len;
    }
    assert_int_equal(got, want);
}

static void crc_all(void **state)
{
    static uint8_t data[9000];

    srand(5);
    roce_crc_init();
    for (unsigned i = 0; i < roce_crc_nimpls; i++) {
        const struct roce_crc_impl *impl = roce_crc_impls[i];

        if (impl->usable != NULL && !impl->usable()) {
            print_message("# %s: not on this CPU\n", impl->name);
            continue;
        }
        for (size_t n = 0; n < 700; n++) {
            fill(data, n);
            check_pieces(impl, data, n, 1);
        }
        for (size_t n = 1000; n < 1400; n++) {
            fill(data, n);
            check_pieces(impl, data, n, 1);
        }
        for (unsigned r = 0; r < 300; r++) {
            size_t n = (size_t)rand() % sizeof(data);

            fill(data, n);
            check_pieces(impl, data, n, 1 + (unsigned)rand() % 6);
        }
        assert_int_equal(~impl->update(~0u, "123456789", 9), 0xcbf43926); /* the check value */
    }
}

static uint64_t ticks;

static uint64_t false_clock(void)
{
    /* The n-th pair of readings is n apart: the first implementation always is the fastest. */
    static uint64_t step;

    return ticks += step++;
}

static uint64_t real_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void choice(void **state)
{
    roce_crc_init();
    roce_crc_choose(false_clock);
    assert_string_equal(roce_crc_used->name, "slice16");
    roce_crc_choose(real_clock);
    assert_true(roce_crc_used->usable == NULL || roce_crc_used->usable());
    print_message("# %s\n", roce_crc_used->name);
}

/*
 * Made by python3-scapy 2.5.0, scapy.contrib.roce:
 *   Ether(src="02:00:00:00:00:01",dst="02:00:00:00:00:02")/IP(src="10.0.0.1",dst="10.0.0.2",
 *   flags="DF",id=0,ttl=64)/UDP(sport=49153,dport=4791,chksum=0)/BTH(opcode=0x0c,migreq=1,
 *   dqpn=0x11,psn=0xfffffe,pkey=0xffff)/Raw(RETH 0x7f1234567000, 0x1234, 0x1000)
 */
static const char read_request[] =
    "02000000000202000000000108004500003c00004000401126af0a0000010a000002c00112b7002800000c40ffff"
    "0000001100fffffe00007f1234567000000012340000100060de597d";
/* The same, BTH(opcode=0x11,migreq=1,dqpn=0x123456,psn=5)/AETH(syndrome=0x1f,msn=3). */
static const char acknowledge[] =
    "02000000000202000000000108004500003000004000401126bb0a0000010a000002c00112b7001c00001140ffff"
    "00123456000000051f000003e442496a";
/*
 * IP(src="192.168.7.1",dst="192.168.7.99",flags="DF",id=0x1234,ttl=3,tos=0xb8)/UDP(sport=60000)/
 * BTH(opcode=0x0a,migreq=1,dqpn=0xabcdef,psn=0x800000,ackreq=1,padcount=3,fecn=1)/
 * Raw(RETH 0x1000, 0xdeadbeef, 5, then "hello" and 3 zeros)
 */
static const char write_only[] =
    "020000000002020000000001080045b80044123440000311d508c0a80701c0a80763ea6012b7003000000a70ffff"
    "80abcdef808000000000000000001000deadbeef0000000568656c6c6f0000005b3a4733";

static size_t unhex(uint8_t *out, const char *hex)
{
    size_t n = 0;
    unsigned v;

    for (; hex[2 * n] != '\0'; n++) {
        assert_int_equal(sscanf(hex + 2 * n, "%2x", &v), 1);
        out[n] = (uint8_t)v;
    }
    return n;
}

static void check_vector(const char *hex, struct roce_packet *p)
{
    uint8_t frame[128], build[128];
    size_t n = unhex(frame, hex);
    struct roce_frame f;
    unsigned len;

    assert_true(roce_frame_parse(&f, frame, n, n));
    assert_true(roce_parse(p, f.bth, f.have, f.len));
    assert_true(roce_icrc_good(f.ip, f.len));
    for (size_t i = ROCE_ETH; i < n; i++) { /* each byte counts, but those that routers change */
        size_t at = i - ROCE_ETH;
        bool free = at == 1 || at == 8 || at == 10 || at == 11 || at == 26 || at == 27 || at == 32;

        frame[i] ^= 0x10;
        assert_int_equal(roce_icrc_good(f.ip, f.len), free);
        frame[i] ^= 0x10;
    }
    /* And the same bytes from the builders, but for what they do not set. */
    len = roce_build_front(build, &f.path, f.len);
    len += roce_build_bth(build + len, p->opcode, p->pad, p->qpn, p->ack_req, p->psn);
    if (p->ext == ROCE_EXT_RETH)
        len += roce_build_reth(build + len, p->reth.va, p->reth.rkey, p->reth.len);
    if (p->ext == ROCE_EXT_AETH)
        len += roce_build_aeth(build + len, p->aeth.syndrome, p->aeth.msn);
    memcpy(build + len, frame + len, p->payload_len + p->pad);
    memcpy(build + ROCE_ETH + 4, frame + ROCE_ETH + 4, 2);   /* identification */
    memcpy(build + ROCE_ETH + 10, frame + ROCE_ETH + 10, 2); /* and the checksum with it */
    build[ROCE_FRONT + 4] = frame[ROCE_FRONT + 4];
    roce_icrc_set(build + ROCE_ETH, f.len);
    assert_memory_equal(build, frame, n);
}

static void vectors(void **state)
{
    struct roce_packet p;

    roce_crc_init();
    check_vector(read_request, &p);
    assert_int_equal(p.opcode, ROCE_READ_REQUEST);
    assert_int_equal(p.qpn, 0x11);
    assert_int_equal(p.psn, 0xfffffe);
    assert_true(p.reth.va == 0x7f1234567000);
    assert_int_equal(p.reth.rkey, 0x1234);
    assert_int_equal(p.reth.len, 0x1000);
    assert_int_equal(p.payload_len, 0);
    assert_false(p.ack_req);
    check_vector(acknowledge, &p);
    assert_int_equal(p.opcode, ROCE_ACKNOWLEDGE);
    assert_int_equal(p.aeth.syndrome, ROCE_ACK);
    assert_int_equal(p.aeth.msn, 3);
    check_vector(write_only, &p);
    assert_int_equal(p.opcode, ROCE_WRITE_ONLY);
    assert_true(p.ack_req && p.fecn && !p.becn);
    assert_int_equal(p.pad, 3);
    assert_int_equal(p.payload_len, 5);
    assert_int_equal(p.reth.rkey, 0xdeadbeef);
    assert_int_equal(p.head_len, ROCE_BTH + ROCE_RETH);
}

/* Frames that are not: each is refused for the one thing that is wrong. */
static void refused(void **state)
{
    static const struct {
        unsigned at;
        uint8_t flip;
        bool checksum; /* to be made right again */
    } bad[] = {
        {12, 0x80, false},             /* another ethertype */
        {ROCE_ETH, 0x20, true},        /* IPv6 */
        {ROCE_ETH, 0x03, true},        /* options */
        {ROCE_ETH + 6, 0x20, true},    /* more fragments */
        {ROCE_ETH + 7, 0x01, true},    /* a fragment */
        {ROCE_ETH + 9, 0x17, true},    /* TCP */
        {ROCE_ETH + 3, 0x40, true},    /* longer than the frame */
        {ROCE_ETH + 3, 0x0c, true},    /* another length than UDP's */
        {ROCE_ETH + 11, 0x01, false},  /* the checksum itself */
        {ROCE_ETH + 23, 0x01, false},  /* another port */
        {ROCE_ETH + 25, 0x04, false},  /* UDP's length */
        {ROCE_FRONT + 1, 0x01, false}, /* another transport version */
    };
    uint8_t frame[128];
    size_t n = unhex(frame, acknowledge);
    struct roce_frame f;
    struct roce_packet p;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        frame[bad[i].at] ^= bad[i].flip;
        if (bad[i].checksum) {
            roce_put16(frame + ROCE_ETH + 10, 0);
            roce_put16(frame + ROCE_ETH + 10, roce_ip_checksum(frame + ROCE_ETH));
        }
        if (roce_frame_parse(&f, frame, n, n) && roce_parse(&p, f.bth, f.have, f.len))
            fail_msg("case %zu passes", i);
        n = unhex(frame, acknowledge);
        assert_true(roce_frame_parse(&f, frame, n, n) && roce_parse(&p, f.bth, f.have, f.len));
    }
}

/* Any bytes, of which only some may be read: no more is read, and lengths add up. */
static void any_bytes(void **state)
{
    unsigned parsed = 0;

    srand(9);
    for (unsigned r = 0; r < 60000; r++) {
        size_t len = (size_t)rand() % 100, have = rand() % 4 ? len : (size_t)rand() % (len + 1);
        uint8_t *b = malloc(have + 1), *p8 = b + 1;
        struct roce_packet p;

        fill(p8, have);
        if (have > 1) {
            p8[0] &= 0x1f;
            p8[1] &= 0xf0;
        }
        if (roce_parse(&p, p8, have, len)) {
            parsed++;
            assert_true(p.head_len + p.payload_len + p.pad + ROCE_ICRC == len);
            assert_true(p.head_len <= have);
            assert_true(p.psn <= ROCE_PSN_MASK && p.qpn <= 0xffffff && p.pad <= 3);
        }
        free(b);
    }
    assert_true(parsed > 15000);
    for (unsigned r = 0; r < 60000; r++) {
        size_t len = (size_t)rand() % 120, have = rand() % 4 ? len : (size_t)rand() % (len + 1);
        uint8_t *b = malloc(have + 1), *p8 = b + 1, whole[128];
        size_t n = unhex(whole, rand() % 2 ? read_request : write_only);
        struct roce_frame f;
        struct roce_packet p;

        memcpy(p8, whole, have < n ? have : n);
        if (have > n)
            memset(p8 + n, 0, have - n);
        if (rand() % 4 == 0 && have > 0)
            p8[(size_t)rand() % have] ^= (uint8_t)(1 << rand() % 8);
        if (roce_frame_parse(&f, p8, have, len)) {
            assert_true(f.bth + f.have <= p8 + have && f.have <= f.len);
            assert_true(ROCE_FRONT + f.len <= len);
            if (roce_parse(&p, f.bth, f.have, f.len))
                assert_true(p.head_len + p.payload_len + p.pad + ROCE_ICRC == f.len);
        }
        free(b);
    }
}

static void numbers(void **state)
{
    /* IBTA §9.7.5.2.8, in units of 10 us. */
    static const uint32_t rnr[32] = {65536, 1,    2,    3,     4,     6,     8,     12,
                                     16,    24,   32,   48,    64,    96,    128,   192,
                                     256,   384,  512,  768,   1024,  1536,  2048,  3072,
                                     4096,  6144, 8192, 12288, 16384, 24576, 32768, 49152};

    for (unsigned t = 0; t < 32; t++) {
        assert_true(roce_rnr_ns(roce_rnr(t)) == rnr[t] * 10000ull);
        assert_int_equal(roce_ack_kind(roce_rnr(t)), ROCE_KIND_RNR);
    }
    for (unsigned s = 0; s < 256; s++) {
        enum roce_ack_kind want = s < 0x20                 ? ROCE_KIND_ACK
                                  : s < 0x40               ? ROCE_KIND_RNR
                                  : s >= 0x60 && s <= 0x63 ? ROCE_KIND_NAK
                                                           : ROCE_KIND_RESERVED;
        assert_int_equal(roce_ack_kind((uint8_t)s), want);
    }
    assert_int_equal(roce_psn_diff(0, 0xffffff), 1);
    assert_int_equal(roce_psn_diff(0xffffff, 0), -1);
    assert_int_equal(roce_psn_diff(0x7fffff, 0), 0x7fffff);
    assert_int_equal(roce_psn_diff(0x800000, 0), -0x800000);
    assert_int_equal(roce_psn_add(0xfffffe, 3), 1);
    for (unsigned c = 0; c < 8; c++)
        assert_int_equal(roce_mtu_code(roce_mtu_bytes(c)), c >= 1 && c <= 5 ? c : 0);
    assert_int_equal(roce_mtu_bytes(ROCE_MTU_4096), 4096);
    assert_int_equal(roce_mtu_code(1500), 0);
    assert_int_equal(roce_packets(0, 256), 1);
    assert_int_equal(roce_packets(256, 256), 1);
    assert_int_equal(roce_packets(257, 256), 2);
    assert_int_equal(roce_packets(UINT32_MAX, 256), 1u << 24);
    for (uint32_t n = 0; n < 9; n++)
        assert_int_equal((n + roce_pad(n)) % 4, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_all), cmocka_unit_test(choice),    cmocka_unit_test(vectors),
        cmocka_unit_test(refused), cmocka_unit_test(any_bytes), cmocka_unit_test(numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
