// unit: kernel/roce/qp.c kernel/roce/qp_input.c
/*
 * The requester's rules, one by one (kernel/roce/qp.h): what acknowledgements, NAKs and "not ready"
 * do, which of them are ignored, when it repeats, waits and gives up.
 */
#include "roce_hand.h"

/* ---- acknowledgements ---- */

static void coalesced(void **state)
{
    for (long i = 0; i < 6; i++)
        post_write(1024 * (i % 2 + 1), i);
    out();
    assert_int_equal(nsent, 9);
    ack(1); /* the first, and half of the second */
    assert_int_equal(ndone, 1);
    ack(1);
    ack(0);
    assert_int_equal(qp.stats.duplicate, 2);
    ack(5);
    assert_int_equal(ndone, 4);
    ack(9); /* never sent */
    ack(0x7fffff);
    assert_int_equal(qp.stats.future, 2);
    assert_int_equal(ndone, 4);
    ack(8);
    assert_int_equal(ndone, 6);
    for (long i = 0; i < 6; i++)
        check_done((unsigned)i, i, 0, ROCE_ACK);
}

static void sequence_nak(void **state)
{
    for (long i = 0; i < 4; i++)
        post_write(1024, i);
    out();
    nak(2, ROCE_NAK_SEQUENCE); /* 0 and 1 were carried out */
    assert_int_equal(ndone, 2);
    out();
    assert_int_equal(nsent, 2);
    check_write(0, ROCE_WRITE_ONLY, 2, 0, 1024, false);
    check_write(1, ROCE_WRITE_ONLY, 3, 0, 1024, true);
    nak(2, ROCE_NAK_SEQUENCE); /* the same one twice */
    nak(1, ROCE_NAK_SEQUENCE); /* an old one */
    nak(4, ROCE_NAK_SEQUENCE); /* of what was never sent */
    out();
    assert_int_equal(nsent, 0);
    assert_int_equal(qp.stats.by_nak, 1);
    assert_int_equal(qp.stats.again, 1);
    assert_int_equal(qp.stats.duplicate, 1);
    assert_int_equal(qp.stats.future, 1);
    ack(3);
    assert_int_equal(ndone, 4);
    assert_int_equal(qp.stats.resent, 2);
}

/* After it has gone back an answer to the first transmission saves the rest of the second. */
static void late_ack(void **state)
{
    for (long i = 0; i < 4; i++)
        post_write(1024, i);
    out();
    now = roce_deadline(&qp);
    roce_timer(&qp, now);
    ack(2);
    assert_int_equal(ndone, 3);
    out();
    assert_int_equal(nsent, 1);
    check_write(0, ROCE_WRITE_ONLY, 3, 0, 1024, true);
}

static void fatal_nak(void **state)
{
    static const uint8_t codes[] = {ROCE_NAK_INVALID, ROCE_NAK_ACCESS, ROCE_NAK_OPERATION};

    for (unsigned c = 0; c < ARRAY_SIZE(codes); c++) {
        set_up_with(attr());
        for (long i = 0; i < 4; i++)
            post_write(2048, i);
        out();
        nak(8, codes[c]); /* of what was never sent */
        nak(0xffffff, codes[c]);
        assert_int_equal(qp.state, ROCE_UP);
        post_again = true; /* twice before it is down, then it is refused */
        nak(5, codes[c]);
        assert_int_equal(qp.state, ROCE_DOWN);
        assert_int_equal(ndone, 6);
        check_done(0, 0, 0, ROCE_ACK);
        check_done(1, 1, 0, ROCE_ACK);
        check_done(2, 2, -EIO, codes[c]);
        check_done(3, 3, -ECANCELED, 0);
        check_done(4, 77, -ECANCELED, 0);
        check_done(5, 77, -ECANCELED, 0);
        assert_int_equal(qp.stats.nak_invalid + qp.stats.nak_access + qp.stats.nak_operation, 1);
        out();
        assert_int_equal(nsent, 0);
        assert_int_equal(roce_write(&qp, VA, RKEY, 1, buf, NULL), -ENOTCONN);
        assert_true(roce_deadline(&qp) == UINT64_MAX);
    }
    /* A READ before it that lacks data is not to blame. */
    set_up_with(attr());
    post_read(2048, 1);
    post_write(100, 2);
    out();
    nak(2, ROCE_NAK_ACCESS);
    check_done(0, 1, -ECANCELED, 0);
    check_done(1, 2, -EIO, ROCE_NAK_ACCESS);
}

static void not_ready(void **state)
{
    for (long i = 0; i < 3; i++)
        post_write(1024, i);
    out();
    nak(1, roce_rnr(14)); /* 1.28 ms */
    nak(1, roce_rnr(14)); /* again */
    assert_int_equal(ndone, 1);
    assert_int_equal(qp.state, ROCE_NOT_READY);
    out();
    assert_int_equal(nsent, 0);
    assert_true(roce_deadline(&qp) == now + 1280 * USEC);
    now += 1280 * USEC - 1;
    roce_timer(&qp, now);
    out();
    assert_int_equal(nsent, 0);
    now++;
    roce_timer(&qp, now);
    out();
    assert_int_equal(nsent, 2);
    check_write(0, ROCE_WRITE_ONLY, 1, 0, 1024, false);
    ack(1); /* progress: the count begins anew */
    for (unsigned i = 0; i < 2; i++) {
        nak(2, roce_rnr(1));
        now = roce_deadline(&qp);
        roce_timer(&qp, now);
        out();
        assert_int_equal(nsent, 1);
    }
    nak(2, roce_rnr(1)); /* once too often */
    assert_int_equal(ndone, 3);
    check_done(1, 1, 0, ROCE_ACK);
    check_done(2, 2, -EIO, roce_rnr(1));
    assert_int_equal(qp.stats.rnr, 5);
    assert_int_equal(qp.stats.by_rnr, 3);
}

/* That a request behind a READ is not taken now does not make the READ's lost data wait. */
static void not_ready_behind_gap(void **state)
{
    post_read(100, 1);
    post_write(100, 2);
    out();
    nak(1, roce_rnr(14));
    assert_int_equal(qp.state, ROCE_UP);
    out();
    assert_int_equal(nsent, 2);
    response(ROCE_READ_ONLY, 0, 1, 100);
    nak(1, roce_rnr(14));
    assert_int_equal(qp.state, ROCE_NOT_READY);
    assert_int_equal(ndone, 1);
}

static void reserved(void **state)
{
    post_write(1024, 1);
    out();
    for (unsigned s = 0; s < 256; s++) {
        enum roce_ack_kind k = roce_ack_kind((uint8_t)s);

        if (k == ROCE_KIND_RESERVED)
            nak(0, (uint8_t)s);
    }
    assert_int_equal(qp.stats.reserved, 32 + 28 + 128);
    assert_int_equal(ndone, 0);
    assert_int_equal(qp.state, ROCE_UP);
    nak(0, 0x03); /* an ACK with credits */
    assert_int_equal(ndone, 1);
}

static void other_qp(void **state)
{
    struct roce_packet p = {.opcode = ROCE_ACKNOWLEDGE,
                            .pkey = ROCE_PKEY,
                            .qpn = 0x112,
                            .psn = PSN0,
                            .aeth = {ROCE_ACK, 1}};

    post_write(10, 1);
    out();
    roce_input(&qp, &p, NULL, NULL, now);
    p.qpn = 0x111;
    p.pkey = 0x8001;
    roce_input(&qp, &p, NULL, NULL, now);
    assert_int_equal(qp.stats.bad_qp, 2);
    assert_int_equal(ndone, 0);
    p.pkey = 0x7fff; /* a limited member of the same */
    p.opcode = ROCE_CNP;
    roce_input(&qp, &p, NULL, NULL, now);
    assert_int_equal(qp.stats.congestion, 1);
    p.opcode = ROCE_ACKNOWLEDGE;
    roce_input(&qp, &p, NULL, NULL, now);
    assert_int_equal(ndone, 1);
}

/* ---- time ---- */

static uint64_t rto(void)
{
    return roce_deadline(&qp) - now;
}

static void timeouts(void **state)
{
    post_write(1024, 1);
    post_write(1024, 2);
    out();
    assert_true(rto() == 5 * MSEC);
    now += 5 * MSEC - 1;
    roce_timer(&qp, now);
    out();
    assert_int_equal(nsent, 0);
    now++;
    roce_timer(&qp, now);
    out();
    assert_int_equal(nsent, 2);
    assert_true(rto() == 10 * MSEC); /* doubles */
    now += 10 * MSEC;
    roce_timer(&qp, now);
    out();
    assert_true(rto() == 20 * MSEC);
    ack(0); /* progress: the tries begin anew; not the time-out (Karn) */
    assert_true(rto() == 20 * MSEC);
    for (unsigned i = 0; i < 3; i++) {
        now = roce_deadline(&qp);
        roce_timer(&qp, now);
        out();
        assert_int_equal(nsent, 1);
    }
    assert_true(rto() == 50 * MSEC); /* the limit */
    assert_int_equal(ndone, 1);
    post_write(100, 3);
    now = roce_deadline(&qp);
    roce_timer(&qp, now);
    assert_int_equal(ndone, 3);
    check_done(1, 2, -ETIMEDOUT, 0);
    check_done(2, 3, -ECANCELED, 0);
    assert_int_equal(qp.state, ROCE_DOWN);
    assert_int_equal(qp.stats.by_timeout, 5);
}

/* RFC 6298 §2, in numbers; and what was sent twice is not measured. */
static void round_trips(void **state)
{
    post_write(10, 1);
    out();
    now += 800 * USEC;
    ack(0);
    post_write(10, 2);
    out();
    assert_true(rto() == 800 * USEC + 4 * 400 * USEC);
    now += 400 * USEC; /* rttvar = 3/4 * 400 + 1/4 * 400, srtt = 7/8 * 800 + 1/8 * 400 */
    response(ROCE_READ_ONLY, 1, 0, 10);
    ack(1);
    post_read(10, 3);
    out();
    assert_true(rto() == 750 * USEC + 4 * 400 * USEC);
    now = roce_deadline(&qp);
    roce_timer(&qp, now);
    out();
    now += 10 * USEC;
    response(ROCE_READ_ONLY, 2, 0, 10); /* to which of the two? */
    post_write(10, 4);
    out();
    assert_true(rto() == 2 * (750 + 1600) * USEC);
    assert_int_equal(qp.stats.rtt_log2[18] + qp.stats.rtt_log2[19], 2);
    now += 50 * USEC;
    ack(3);
    for (long i = 0; i < 60; i++) {
        post_write(10, 5);
        out();
        now += 20 * USEC;
        ack(4 + (unsigned)i);
    }
    post_write(10, 6);
    out();
    assert_true(rto() == 100 * USEC); /* the minimum */
}

/* READs that are answered piece by piece are in time as long as pieces come. */
static void slow_stream(void **state)
{
    post_read(8 * 1024, 1);
    out();
    for (unsigned i = 0; i < 8; i++) {
        now += 4 * MSEC;
        roce_timer(&qp, now);
        response(i == 0 ? ROCE_READ_FIRST : i == 7 ? ROCE_READ_LAST : ROCE_READ_MIDDLE, i, 1, 1024);
    }
    assert_int_equal(ndone, 1);
    assert_int_equal(qp.stats.by_timeout, 0);
}

/* A peer that answers, but never with what is missing, is given up too. */
static void useless_answers(void **state)
{
    post_read(1024, 1);
    post_write(1024, 2);
    out();
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(ndone, 0);
        ack(1);
        now += 4 * MSEC; /* more than half of an unmeasured round trip, less than the time-out */
        out();
    }
    assert_int_equal(ndone, 2);
    check_done(0, 1, -ETIMEDOUT, 0);
    check_done(1, 2, -ECANCELED, 0);
    assert_int_equal(qp.stats.by_gap, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(coalesced), TEST(sequence_nak),         TEST(late_ack),    TEST(fatal_nak),
        TEST(not_ready), TEST(not_ready_behind_gap), TEST(reserved),    TEST(other_qp),
        TEST(timeouts),  TEST(round_trips),          TEST(slow_stream), TEST(useless_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
