// unit: kernel/roce/qp.c kernel/roce/qp_input.c
/*
 * The requester's rules, one by one (kernel/roce/qp.h): what goes out for a request, what READs
 * take and refuse, and how it ends and begins anew. What acknowledgements and time do:
 * test_roce_answers.c. The same under load and chance: test_roce_net.c.
 */
#include "roce_hand.h"

/* ---- what goes out ---- */

static void write_packets(void **state)
{
    post_write(2 * 1024 + 5, 1);
    post_write(1024, 2);
    assert_int_equal(nsent, 0); /* posting does not send */
    out();
    assert_int_equal(nsent, 4);
    check_write(0, ROCE_WRITE_FIRST, 0, 0, 1024, false);
    assert_true(sent[0].p.reth.va == VA);
    assert_int_equal(sent[0].p.reth.len, 2 * 1024 + 5);
    assert_int_equal(sent[0].p.reth.rkey, RKEY);
    check_write(1, ROCE_WRITE_MIDDLE, 1, 1024, 1024, false);
    check_write(2, ROCE_WRITE_LAST, 2, 2048, 5, false);
    assert_int_equal(sent[2].pad, 3);
    check_write(3, ROCE_WRITE_ONLY, 3, 0, 1024, true); /* the last of the batch asks */
    ack(3);
    assert_int_equal(ndone, 2);
    check_done(0, 1, 0, ROCE_ACK);
    check_done(1, 2, 0, ROCE_ACK);
    assert_true(roce_deadline(&qp) == UINT64_MAX);
}

/* The peer is asked at half of the window, and when it is full. */
static void asks_and_window(void **state)
{
    post_write(40 * 1024, 1);
    out();
    assert_int_equal(nsent, 16);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(sent[i].p.ack_req, i == 7 || i == 15);
    ack(16); /* posted, but not sent */
    ack(39);
    assert_int_equal(qp.stats.future, 2);
    ack(7);
    assert_int_equal(ndone, 0);
    out();
    assert_int_equal(nsent, 8);
    check_write(0, ROCE_WRITE_MIDDLE, 16, 16 * 1024, 1024, false);
    check_write(7, ROCE_WRITE_MIDDLE, 23, 23 * 1024, 1024, true);
}

/* A WRITE that a READ follows is not asked about: the response tells. */
static void implied_ack(void **state)
{
    post_write(1500, 1);
    post_read(1000, 2);
    out();
    assert_int_equal(nsent, 3);
    assert_false(sent[0].p.ack_req || sent[1].p.ack_req);
    check_read(2, 2, 0, 1000);
    response(ROCE_READ_ONLY, 2, 0x5a, 1000);
    assert_int_equal(ndone, 2);
    check_done(0, 1, 0, ROCE_ACK);
    check_done(1, 2, 0, ROCE_ACK);
    assert_int_equal(buf[0], 0x5a);
    assert_int_equal(buf[999], 0x5a);
    assert_int_equal(buf[1000], (uint8_t)(1000 * 31 + 3));
}

/* Large READs are asked for in chunks of half the window; as many at a time as the peer allows. */
static void chunks(void **state)
{
    struct roce_attr a = attr();

    post_read(20 * 1024 + 1, 1);
    out();
    assert_int_equal(nsent, 2);
    check_read(0, 0, 0, 8 * 1024);
    check_read(1, 8, 8 * 1024, 8 * 1024);
    for (unsigned i = 0; i < 8; i++)
        response(i == 0   ? ROCE_READ_FIRST
                 : i == 7 ? ROCE_READ_LAST
                          : ROCE_READ_MIDDLE,
                 i, (uint8_t)i, 1024);
    out();
    assert_int_equal(nsent, 1);
    check_read(0, 16, 16 * 1024, 4 * 1024 + 1);
    assert_int_equal(buf[7 * 1024 + 5], 7);

    a.max_reads = 2;
    set_up_with(a);
    for (long i = 0; i < 5; i++)
        post_read(100, i);
    post_write(100, 5);
    out();
    assert_int_equal(nsent, 2);
    response(ROCE_READ_ONLY, 0, 1, 100);
    out();
    assert_int_equal(nsent, 1);
    check_read(0, 2, 0, 100);
}

static void limits(void **state)
{
    struct roce_attr a = attr();

    assert_int_equal(roce_read(&qp, VA, RKEY, 0, buf, NULL), -EINVAL);
    assert_int_equal(roce_write(&qp, VA, RKEY, 0x80000001u, buf, NULL), -EINVAL);
    for (unsigned i = 0; i < RING; i++)
        assert_int_equal(roce_read(&qp, VA, RKEY, 0x80000000u, buf, NULL), 0);
    assert_int_equal(roce_read(&qp, VA, RKEY, 1, buf, NULL), -EAGAIN);
    assert_int_equal(roce_connect(&qp, &a, now), -EBUSY);
    roce_abort(&qp);
    assert_int_equal(ndone, RING);
    a.mtu = 256; /* 2 GiB would be half of all PSNs */
    assert_int_equal(roce_connect(&qp, &a, now), 0);
    assert_int_equal(roce_read(&qp, VA, RKEY, 0x80000000u, buf, NULL), -EINVAL);
    assert_int_equal(roce_read(&qp, VA, RKEY, 0x40000000u, buf, NULL), 0);
    roce_abort(&qp);

#define REFUSED(field, value)                                                                      \
    do {                                                                                           \
        a = attr();                                                                                \
        a.field = value;                                                                           \
        assert_int_equal(roce_connect(&qp, &a, now), -EINVAL);                                     \
    } while (0)
    REFUSED(mtu, 1500);
    REFUSED(window, 0);
    REFUSED(window, ROCE_WINDOW_MAX + 1);
    REFUSED(max_reads, 0);
    REFUSED(psn, 1u << 24);
    REFUSED(qpn, 1u << 24);
    REFUSED(peer_qpn, 1u << 24);
    REFUSED(rto_min_ns, 51 * MSEC);
    REFUSED(rto_max_ns, 0);
    REFUSED(rto_first_ns, 0);
}

/* No room in the device: it goes on where it was, with the same packet. */
static void no_room(void **state)
{
    room = 2;
    post_write(4 * 1024, 1);
    out();
    assert_int_equal(nsent, 2);
    assert_true(qp.full);
    room = 10;
    out();
    assert_int_equal(nsent, 2);
    check_write(0, ROCE_WRITE_MIDDLE, 2, 2048, 1024, false);
    check_write(1, ROCE_WRITE_LAST, 3, 3072, 1024, true);
    assert_false(qp.full);
    assert_int_equal(qp.stats.resent, 0);
}

/* ---- READs ---- */

static void lost_response(void **state)
{
    post_read(6 * 1024 + 10, 1);
    post_write(100, 2);
    out();
    assert_int_equal(nsent, 2);
    response(ROCE_READ_FIRST, 0, 1, 1024);
    response(ROCE_READ_MIDDLE, 1, 2, 1024);
    response(ROCE_READ_MIDDLE, 3, 9, 1024); /* 2 is lost */
    assert_int_equal(qp.stats.by_gap, 1);
    response(ROCE_READ_MIDDLE, 4, 9, 1024);
    response(ROCE_READ_MIDDLE, 5, 9, 1024);
    response(ROCE_READ_LAST, 6, 9, 10);
    ack(7);
    assert_int_equal(qp.stats.by_gap, 1); /* for all of them */
    assert_int_equal(qp.stats.early, 5);
    out();
    assert_int_equal(nsent, 2);
    check_read(0, 2, 2 * 1024, 4 * 1024 + 10); /* the rest, and what came after */
    check_write(1, ROCE_WRITE_ONLY, 7, 0, 100, true);
    now += 20 * USEC;
    response(ROCE_READ_FIRST, 2, 3, 1024); /* the specification's way */
    response(ROCE_READ_MIDDLE, 3, 4, 1024);
    response(ROCE_READ_MIDDLE, 4, 5, 1024);
    response(ROCE_READ_FIRST, 5, 6, 1024); /* not there */
    assert_int_equal(qp.stats.bad_opcode, 1);
    response(ROCE_READ_MIDDLE, 5, 6, 1024);
    assert_int_equal(ndone, 0);
    response(ROCE_READ_LAST, 6, 7, 10);
    assert_int_equal(ndone, 1);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(buf[1024 * i], i + 1);
    assert_int_equal(buf[6 * 1024 + 9], 7);
    assert_int_equal(buf[6 * 1024 + 10], (uint8_t)((6 * 1024 + 10) * 31 + 24));
    ack(7);
    assert_int_equal(ndone, 2);
}

/* rdma_rxe goes on with MIDDLE or LAST when a READ is asked for again from its middle. */
static void rxe_replay(void **state)
{
    post_read(3 * 1024, 1);
    out();
    response(ROCE_READ_FIRST, 0, 1, 1024);
    now = roce_deadline(&qp);
    roce_timer(&qp, now);
    out();
    check_read(0, 1, 1024, 2048);
    response(ROCE_READ_MIDDLE, 1, 2, 1024);
    now = roce_deadline(&qp);
    roce_timer(&qp, now);
    out();
    check_read(0, 2, 2048, 1024);
    response(ROCE_READ_LAST, 2, 3, 1024);
    assert_int_equal(ndone, 1);
    check_done(0, 1, 0, ROCE_ACK);
}

/* What does not belong in its place changes nothing. */
static void wrong_responses(void **state)
{
    uint8_t *before = malloc(BYTES);
    struct roce_packet padded = {.opcode = ROCE_READ_FIRST,
                                 .pad = 1,
                                 .pkey = ROCE_PKEY,
                                 .qpn = 0x111,
                                 .psn = PSN0,
                                 .aeth = {ROCE_ACK, 1},
                                 .payload_len = 1024};

    post_read(2 * 1024 + 8, 1);
    post_write(10, 2);
    post_read(5, 3);
    out();
    memcpy(before, buf, BYTES);
    memset(page, 0xee, sizeof(page));
    response(ROCE_READ_MIDDLE, 0, 9, 1024); /* FIRST belongs here */
    response(ROCE_READ_LAST, 0, 9, 1024);
    response(ROCE_READ_ONLY, 0, 9, 1024);
    response(ROCE_READ_FIRST, 1, 9, 1024); /* MIDDLE */
    response(ROCE_READ_LAST, 1, 9, 1024);
    response(ROCE_READ_MIDDLE, 2, 9, 8);   /* LAST */
    response(ROCE_READ_ONLY, 3, 9, 10);    /* a WRITE's */
    response(ROCE_READ_FIRST, 4, 9, 1024); /* ONLY */
    response(0x12, 0, 9, 8);               /* atomics */
    response(ROCE_WRITE_ONLY, 0, 9, 1024);
    response(ROCE_READ_REQUEST, 0, 9, 0);
    assert_int_equal(qp.stats.bad_opcode, 11);
    response(ROCE_READ_FIRST, 0, 9, 1023);
    response(ROCE_READ_FIRST, 0, 9, 1028);
    response(ROCE_READ_FIRST, 0, 9, 0);
    response(ROCE_READ_FIRST, 0, 9, 4096);
    response(ROCE_READ_LAST, 2, 9, 1024);
    response(ROCE_READ_LAST, 2, 9, 4);
    response(ROCE_READ_ONLY, 4, 9, 6);
    assert_int_equal(qp.stats.bad_length, 7);
    roce_input(&qp, &padded, page, NULL, now);
    assert_int_equal(qp.stats.bad_length, 8);
    input(ROCE_READ_FIRST, 0, ROCE_NAK_ACCESS, page, 1024, NULL);
    input(ROCE_READ_FIRST, 0, 0x45, page, 1024, NULL);
    assert_int_equal(qp.stats.reserved, 2);
    response(ROCE_READ_ONLY, 5, 9, 5); /* never sent */
    response(ROCE_READ_ONLY, 0x400000, 9, 5);
    assert_int_equal(qp.stats.future, 2);
    response(ROCE_READ_ONLY, 0xffffff, 9, 5); /* before the first */
    assert_int_equal(qp.stats.duplicate, 1);
    assert_memory_equal(buf, before, BYTES);
    assert_int_equal(ndone, 0);
    assert_int_equal(qp.stats.by_gap, 0);
    free(before);
}

/* What comes twice is placed once. */
static void duplicates(void **state)
{
    post_read(2048, 1);
    out();
    response(ROCE_READ_FIRST, 0, 1, 1024);
    response(ROCE_READ_FIRST, 0, 2, 1024);
    assert_int_equal(buf[0], 1);
    response(ROCE_READ_LAST, 1, 3, 1024);
    response(ROCE_READ_LAST, 1, 4, 1024);
    assert_int_equal(buf[1024], 3);
    assert_int_equal(ndone, 1);
    assert_int_equal(qp.stats.duplicate, 2);
    assert_int_equal(qp.stats.placed_bytes, 2048);
}

/* At MTU 4096 a page's memory is taken instead of copied from. */
static void landing(void **state)
{
    struct roce_attr a = attr();

    a.mtu = 4096;
    set_up_with(a);
    post_read(8192, 1);
    out();
    take = true;
    assert_true(input(ROCE_READ_FIRST, 0, ROCE_ACK, page, 4096, page));
    assert_int_equal(landed_at, 0);
    assert_false(input(ROCE_READ_FIRST, 0, ROCE_ACK, page, 4096, page)); /* a duplicate's is not */
    assert_false(input(ROCE_READ_LAST, 1, ROCE_ACK, page, 4095, page));
    take = false;
    assert_false(input(ROCE_READ_LAST, 1, ROCE_ACK, page, 4096, page));
    assert_int_equal(ndone, 1);
    assert_int_equal(qp.stats.landed, 1);

    roce_init(&qp, &plain, &qp, ring, RING); /* without place(): copied */
    assert_int_equal(roce_connect(&qp, &a, now), 0);
    post_read(100, 2);
    out();
    response(ROCE_READ_ONLY, 0, 0x77, 100);
    assert_int_equal(ndone, 2);
    assert_int_equal(buf[99], 0x77);
}

/* What is in the device's queue for the second time may be acknowledged before it leaves, hence
 * send() is told which packets those are, and which behind them are not. */
static void repetitions(void **state)
{
    post_write(4 * 1024, 1);
    out();
    for (unsigned i = 0; i < 4; i++)
        assert_false(sent[i].repeated);
    nak(2, ROCE_NAK_SEQUENCE);
    post_write(2 * 1024, 2);
    out();
    assert_int_equal(nsent, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_true(sent[i].repeated == (i < 2));
    ack(5);
    assert_int_equal(ndone, 2);
}

/* ---- ends and beginnings ---- */

static void again(void **state)
{
    struct roce_attr a = attr();

    post_write(1024, 1);
    post_read(2048, 2);
    out();
    response(ROCE_READ_FIRST, 1, 1, 1024);
    roce_abort(&qp);
    assert_int_equal(ndone, 2);
    check_done(0, 1, 0, ROCE_ACK);
    check_done(1, 2, -ECANCELED, 0);
    ack(0);
    assert_int_equal(qp.stats.bad_qp, 1);
    a.psn = psn(100);
    assert_int_equal(roce_connect(&qp, &a, now), 0);
    post_write(1024, 3);
    out();
    assert_int_equal(nsent, 1);
    check_write(0, ROCE_WRITE_ONLY, 100, 0, 1024, true);
    ack(1); /* of the old one */
    assert_int_equal(ndone, 2);
    ack(100);
    assert_int_equal(ndone, 3);
}

/* Posting from within a completion, with the ring full. */
static void post_within(void **state)
{
    for (long i = 0; i < RING; i++)
        post_write(1024, i);
    out();
    post_again = true;
    ack(RING - 1);
    assert_int_equal(ndone, RING);
    post_again = false;
    out();
    assert_int_equal(nsent, RING);
    assert_int_equal(sent[0].len, 100);
    assert_int_equal(sent[0].p.psn, psn(RING));
    ack(2 * RING - 1);
    assert_int_equal(ndone, 2 * RING);
    check_done(2 * RING - 1, 77, 0, ROCE_ACK);
}

static uint64_t streamed;

static bool count(void *ctx, const struct roce_request *r, uint32_t offset, const void *payload,
                  uint32_t len, void *l)
{
    assert_true(offset == streamed);
    streamed += len;
    return false;
}

/* 2 GiB at the largest MTU: half a million packets, and the PSNs go on. */
static void largest(void **state)
{
    static const struct roce_ops counting = {send_packet, count, complete};
    struct roce_attr a = attr();
    unsigned seq = 0;

    a.mtu = 4096;
    a.window = 512;
    roce_init(&qp, &counting, &qp, ring, RING);
    assert_int_equal(roce_connect(&qp, &a, now), 0);
    assert_int_equal(roce_read(&qp, VA, RKEY, 0x80000000u, NULL, (void *)1), 0);
    streamed = 0;
    while (ndone == 0) {
        room = 10;
        out();
        assert_true(nsent > 0);
        for (unsigned i = 0; i < nsent; i++) {
            struct roce_packet p = {.pkey = ROCE_PKEY, .qpn = 0x111, .payload_len = 4096};
            unsigned n = sent[i].p.reth.len / 4096;

            assert_int_equal(sent[i].p.psn, psn(seq));
            assert_true(sent[i].p.reth.va == VA + streamed);
            for (unsigned k = 0; k < n; k++) {
                p.opcode = k == 0       ? ROCE_READ_FIRST
                           : k + 1 == n ? ROCE_READ_LAST
                                        : ROCE_READ_MIDDLE;
                p.psn = psn(seq++);
                roce_input(&qp, &p, page, NULL, now);
            }
        }
    }
    assert_true(streamed == 0x80000000u);
    check_done(0, 1, 0, ROCE_ACK);
    assert_int_equal(qp.stats.resent, 0);
}

/* The doubled timeout shrinks again although nothing is measured, but not by the first answer. */
static void backs_off_and_on(void **state)
{
    struct roce_rtt r;

    roce_rtt_init(&r, 1000, 1000000, 500);
    roce_rtt_sample(&r, 100);
    for (unsigned i = 0; i < 4; i++)
        roce_rtt_expired(&r);
    assert_int_equal(roce_rtt_rto(&r), 16000);
    roce_rtt_progress(&r);
    assert_int_equal(roce_rtt_rto(&r), 16000);
    roce_rtt_progress(&r);
    assert_int_equal(roce_rtt_rto(&r), 8000);
    roce_rtt_expired(&r);
    roce_rtt_progress(&r);
    assert_int_equal(roce_rtt_rto(&r), 16000);
    for (unsigned i = 0; i < 9; i++)
        roce_rtt_progress(&r);
    assert_int_equal(roce_rtt_rto(&r), 1000);
}

static void names(void **state)
{
    assert_string_equal(roce_stat_names[0], "posted_reads");
    assert_string_equal(roce_stat_names[roce_nstats - 1], "congestion");
    assert_string_equal(roce_stat_helps[roce_nstats - 1], "congestion notifications");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(write_packets),   TEST(asks_and_window), TEST(implied_ack),      TEST(chunks),
        TEST(limits),          TEST(no_room),         TEST(lost_response),    TEST(rxe_replay),
        TEST(wrong_responses), TEST(duplicates),      TEST(landing),          TEST(again),
        TEST(post_within),     TEST(largest),         TEST(backs_off_and_on), TEST(names),
        TEST(repetitions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
