// unit: tools/memnode/responder.c tools/util.c kernel/roce/icrc.c kernel/roce/crc_sparse.c kernel/roce/crc_pclmul.c
/*
 * Proves the memory node's responder (tools/memnode/responder.h) one packet at a time: random
 * requests, right and wrong, each with what the specification demands for it written down here once
 * more, and every answer compared with that. (test_memnode_net.c: through a bad
 * network.)
 */
#include "memnode_packets.h"

/* ---- one packet at a time ---- */

/* What a responder must remember, and expect. */
struct model {
    uint32_t epsn, msn, mtu;
    bool nak, dead, writing;
    uint64_t va, left;
    struct {
        uint32_t psn, packets, len, rkey;
        uint64_t va;
    } past[128];
    unsigned nr_past, rd_atomic;
};

/* What may be wrong with a request. */
enum wrong {
    RIGHT,
    AHEAD,
    BEHIND,
    BAD_CRC,
    BAD_KEY,
    BAD_RANGE,
    BAD_OPCODE,
    BAD_ORDER,
    BAD_LENGTH,
    BAD_PAD,
    BAD_QPN,
    BAD_PEER,
    BAD_PKEY,
    RESPONSE,
    OTHER_SERVICE,
    NR_WRONGS
};

/* A right request in this state. */
static struct request next_request(const struct model *m, uint32_t qpn)
{
    struct request q = {.psn = m->epsn,
                        .qpn = qpn,
                        .rkey = KEY,
                        .from = PEER,
                        .to = NODE,
                        .pkey = 0xffff,
                        .ack = rng_below(&rng, 2)};

    if (m->writing) {
        q.opcode = m->left > m->mtu ? 0x07 : 0x08;
        fill(&q, m->left > m->mtu ? m->mtu : m->left);
        return q;
    }
    q.reth = true;
    q.len = rng_below(&rng, 8) ? rng_below(&rng, 5 * m->mtu) : rng_below(&rng, 5);
    q.va = BASE + rng_below(&rng, MEMORY - q.len + 1);
    if (rng_below(&rng, 2)) {
        q.opcode = 0x0c;
        return q;
    }
    q.opcode = q.len > m->mtu ? 0x06 : 0x0a;
    fill(&q, q.len > m->mtu ? m->mtu : q.len);
    return q;
}

static void make_wrong(struct request *q, struct model *m, enum wrong wrong)
{
    static const uint8_t unsupported[] = {0, 1, 2, 3, 4, 5, 0x09, 0x0b, 0x13, 0x14, 0x16};
    static const uint8_t others[] = {0x20, 0x2a, 0x64, 0x81};

    switch (wrong) {
    case AHEAD:
        q->psn = psn_add(q->psn, 1 + rng_below(&rng, rng_below(&rng, 4) ? 5 : 0x7ffffe));
        break;
    case BEHIND:
        q->psn = psn_add(q->psn, -1 - (int64_t)rng_below(&rng, 0x7fffff));
        break;
    case BAD_CRC:
        q->spoil = 1u << rng_below(&rng, 32);
        break;
    case BAD_KEY:
        q->rkey ^= 1u << rng_below(&rng, 32);
        break;
    case BAD_RANGE:
        q->va = rng_below(&rng, 2) ? BASE + MEMORY - q->len + 1 : UINT64_MAX - rng_below(&rng, 9);
        break;
    case BAD_OPCODE:
        q->opcode = unsupported[rng_below(&rng, sizeof(unsupported))];
        break;
    case BAD_ORDER: /* the end of nothing, or a beginning in the middle */
        if (m->writing) {
            q->reth = true;
            q->len = q->n;
            q->va = BASE;
            q->opcode = rng_below(&rng, 2) ? 0x0a : 0x0c;
            if (q->opcode == 0x0c)
                q->n = q->pad = 0;
        } else {
            q->reth = false;
            q->opcode = rng_below(&rng, 2) ? 0x07 : 0x08;
            fill(q, m->mtu);
        }
        break;
    case BAD_LENGTH:
        if (q->opcode == 0x0c) {
            fill(q, 4);
        } else if (q->opcode == 0x06 && rng_below(&rng, 2)) { /* the first of one */
            q->len = m->mtu;
            q->va = BASE;
        } else if (q->opcode == 0x0a && m->mtu < 4096 && rng_below(&rng, 2)) { /* too long */
            q->len = m->mtu + 4;
            q->va = BASE;
            fill(q, q->len);
        } else if (q->opcode == 0x0a || q->opcode == 0x08) {
            fill(q, q->n + (q->n == 4096 || (q->n && rng_below(&rng, 2)) ? -1 : 1));
        } else {
            fill(q, q->n - 4);
        }
        break;
    case BAD_PAD:
        q->pad = (q->pad + 1) & 3;
        break;
    case BAD_QPN:
        q->qpn ^= 1u << rng_below(&rng, 24);
        break;
    case BAD_PEER:
        *(rng_below(&rng, 2) ? &q->from : &q->to) ^= 1u << rng_below(&rng, 32);
        break;
    case BAD_PKEY:
        q->pkey ^= 1u << rng_below(&rng, 15);
        break;
    case RESPONSE:
        q->opcode = 0x0d + rng_below(&rng, 6);
        break;
    case OTHER_SERVICE:
        q->opcode = others[rng_below(&rng, sizeof(others))];
        break;
    default:
        break;
    }
}

static void nothing(void)
{
    assert_int_equal(nr_sent, 0);
}

static void one(uint32_t psn, int syndrome, uint32_t msn)
{
    struct answer a;

    assert_int_equal(nr_sent, 1);
    a = parse(&sent[0]);
    assert_int_equal(a.opcode, 0x11);
    assert_int_equal(a.psn, psn);
    assert_int_equal(a.syndrome, syndrome);
    assert_int_equal(a.msn, msn & 0xffffff);
    assert_int_equal(a.n, 0);
}

static void responses(const struct model *m, uint32_t psn, uint64_t va, uint32_t len)
{
    unsigned n = len ? (len + m->mtu - 1) / m->mtu : 1;

    assert_int_equal(nr_sent, n);
    for (unsigned i = 0; i < n; i++) {
        struct answer a = parse(&sent[i]);
        size_t want = i < n - 1 ? m->mtu : len - i * m->mtu;

        assert_int_equal(a.opcode, n == 1 ? 0x10 : i == 0 ? 0x0d : i == n - 1 ? 0x0f : 0x0e);
        assert_int_equal(a.psn, psn_add(psn, i));
        if (a.opcode != 0x0e) {
            assert_int_equal(a.syndrome, 0x1f);
            assert_int_equal(a.msn, m->msn & 0xffffff);
        }
        assert_int_equal(a.n, want);
        if (want)
            assert_memory_equal(a.payload, shadow + (va - BASE) + i * m->mtu, want);
    }
}

/* A READ's PSN behind the expected one: is it a past READ, or the end of one? */
static bool replayable(const struct model *m, const struct request *q)
{
    unsigned from = m->nr_past > m->rd_atomic ? m->nr_past - m->rd_atomic : 0;

    if (q->opcode != 0x0c || q->n || q->pad)
        return false;
    for (unsigned i = from; i < m->nr_past; i++) {
        uint32_t at = (q->psn - m->past[i % 128].psn) & 0xffffff;
        uint64_t skip = (uint64_t)at * m->mtu;

        if (at < m->past[i % 128].packets)
            return q->rkey == m->past[i % 128].rkey && q->va == m->past[i % 128].va + skip &&
                   q->len + skip <= m->past[i % 128].len && (q->len || !m->past[i % 128].len);
    }
    return false;
}

/* The answers to q must be those that the specification says; the model goes on. */
static void judge(struct model *m, const struct request *q, enum wrong wrong)
{
    int32_t ahead = (int32_t)((q->psn - m->epsn) << 8) >> 8;
    bool data = q->opcode >= 0x06 && q->opcode <= 0x0a && q->opcode != 0x09;
    unsigned packets;

    if (m->dead || wrong == BAD_CRC || wrong == BAD_QPN || wrong == BAD_PEER || wrong == BAD_PKEY ||
        wrong == RESPONSE || wrong == OTHER_SERVICE) {
        nothing();
        return;
    }
    if (ahead > 0) {
        if (m->nak)
            nothing();
        else
            one(m->epsn, 0x60, m->msn);
        m->nak = true;
        return;
    }
    if (ahead < 0) {
        if (data)
            one(psn_add(m->epsn, -1), 0x1f, m->msn);
        else if (replayable(m, q))
            responses(m, q->psn, q->va, q->len);
        else
            nothing();
        return;
    }
    m->nak = false;
    if (wrong == BAD_OPCODE || wrong == BAD_ORDER || wrong == BAD_LENGTH || wrong == BAD_PAD) {
        one(q->psn, 0x61, m->msn);
        m->dead = true;
        return;
    }
    if ((wrong == BAD_KEY || wrong == BAD_RANGE) && q->reth && q->len) {
        one(q->psn, 0x62, m->msn);
        m->dead = true;
        return;
    }
    if (q->opcode == 0x0c) {
        packets = q->len ? (q->len + m->mtu - 1) / m->mtu : 1;
        m->msn++;
        responses(m, q->psn, q->va, q->len);
        m->past[m->nr_past % 128].psn = q->psn;
        m->past[m->nr_past % 128].packets = packets;
        m->past[m->nr_past % 128].va = q->va;
        m->past[m->nr_past % 128].rkey = q->rkey;
        m->past[m->nr_past++ % 128].len = q->len;
        m->epsn = psn_add(m->epsn, packets);
        return;
    }
    if (q->reth) {
        m->va = q->va;
        m->left = q->len;
    }
    if (q->n)
        memcpy(shadow + (m->va - BASE), q->payload, q->n);
    m->va += q->n;
    m->left -= q->n;
    m->writing = q->opcode == 0x06 || q->opcode == 0x07;
    m->msn += !m->writing;
    m->epsn = psn_add(m->epsn, 1);
    if (q->ack)
        one(q->psn, 0x1f, m->msn);
    else
        nothing();
}

static void every_request_gets_what_the_specification_says(void **state)
{
    static const unsigned mtus[] = {256, 512, 1024, 2048, 4096};
    static unsigned seen[NR_WRONGS];

    for (unsigned round = 0; round < 500; round++) {
        struct model m = {.mtu = mtus[round % 5], .rd_atomic = 1 + round % 16};
        const struct responder_qp *qp;
        struct responder r;

        rng_seed(&rng, round, 1);
        m.epsn = round % 3 ? rng_below(&rng, 1 << 24) : 0xfffff0 + rng_below(&rng, 16);
        responder_init(&r, &env);
        qp = add(&r, m.mtu, m.rd_atomic, m.epsn, QPN);
        fill_memory();
        for (unsigned step = 0; step < 150; step++) {
            struct request q = next_request(&m, qp->qpn);
            enum wrong wrong = rng_below(&rng, 3) ? RIGHT : rng_below(&rng, NR_WRONGS);
            struct bytes p;

            /* Few of those that end it. */
            if (wrong >= BAD_KEY && wrong <= BAD_PAD && rng_below(&rng, 5))
                wrong = RIGHT;
            if (m.nr_past && !m.writing && rng_below(&rng, 6) == 0) { /* an old READ, or a part */
                unsigned at =
                    (m.nr_past - 1 - rng_below(&rng, m.nr_past < 20 ? m.nr_past : 20)) % 128;
                unsigned skip = rng_below(&rng, m.past[at].packets);

                q.opcode = 0x0c;
                q.n = q.pad = 0;
                q.psn = psn_add(m.past[at].psn, skip);
                q.va = m.past[at].va + skip * m.mtu;
                q.rkey = m.past[at].rkey;
                q.len = m.past[at].len - (m.past[at].len ? skip * m.mtu : 0);
                if (rng_below(&rng, 5) == 0)
                    q.va++;
                else if (rng_below(&rng, 5) == 0)
                    q.len++;
                wrong = BEHIND;
            } else {
                make_wrong(&q, &m, wrong);
            }
            if ((wrong == BAD_KEY || wrong == BAD_RANGE) && !q.reth)
                wrong = RIGHT;
            seen[wrong]++;
            nr_sent = 0;
            build(&p, &q);
            deliver(&r, &p);
            assert_false(responder_run(&r, 1000));
            judge(&m, &q, wrong);
            if (m.dead && step > 20)
                break;
        }
        assert_memory_equal(memory, shadow, MEMORY);
        responder_close(&r);
    }
    for (unsigned i = 0; i < NR_WRONGS; i++)
        assert_true(seen[i] > 30);
}

/* ---- smaller things ---- */

static void send_one(struct responder *r, const struct responder_qp *qp, unsigned opcode,
                     uint32_t psn, uint32_t len)
{
    static struct request q;
    static struct bytes b;

    q = (struct request){.opcode = opcode,
                         .psn = psn,
                         .qpn = qp->qpn,
                         .from = PEER,
                         .to = NODE,
                         .pkey = 0xffff,
                         .reth = true,
                         .rkey = KEY,
                         .va = BASE,
                         .len = len,
                         .ack = true};
    if (opcode == 0x0a || opcode == 0x06)
        fill(&q, opcode == 0x06 ? 4096 : len);
    build(&b, &q);
    deliver(r, &b);
}

static void acknowledgements_of_a_batch_are_one(void **state)
{
    struct responder r;
    const struct responder_qp *qp;
    struct answer a;

    responder_init(&r, &env);
    qp = add(&r, 1024, 4, 100, QPN);
    nr_sent = 0;
    for (unsigned i = 0; i < 50; i++)
        send_one(&r, qp, 0x0a, 100 + i, 64);
    assert_false(responder_run(&r, 100));
    one(149, 0x1f, 50);
    nr_sent = 0;
    send_one(&r, qp, 0x0a, 150, 64);
    send_one(&r, qp, 0x0c, 151, 64); /* a response acknowledges what is before it, but is not it */
    send_one(&r, qp, 0x0a, 152, 64);
    assert_false(responder_run(&r, 100));
    a = parse(&sent[nr_sent - 1]);
    assert_int_equal(nr_sent, 3);
    assert_int_equal(a.psn, 152);
    assert_int_equal(a.msn, 53);
    nr_sent = 0;
    send_one(&r, qp, 0x0a, 153, 64);
    send_one(&r, qp, 0x0a, 155, 64); /* a NAK acknowledges what is before it as well */
    assert_false(responder_run(&r, 100));
    one(154, 0x60, 54);
    responder_close(&r);
}

/* A long READ takes turns with another queue pair's short one. */
static void a_long_read_does_not_hold_up_others(void **state)
{
    struct responder r;
    const struct responder_qp *longer, *shorter;
    unsigned at = 0;

    responder_init(&r, &env);
    longer = add(&r, 256, 4, 0, QPN);
    shorter = add(&r, 256, 4, 0, QPN + 1);
    nr_sent = 0;
    send_one(&r, longer, 0x0c, 0, MEMORY);
    send_one(&r, shorter, 0x0c, 0, 100);
    assert_false(responder_run(&r, 1000));
    assert_int_equal(nr_sent, MEMORY / 256 + 1);
    while (parse(&sent[at]).qpn != QPN + 1)
        at++;
    assert_int_equal(at, RESPONDER_TURN);
    responder_close(&r);
}

/* Nor does one whose peer takes nothing, for as long as that lasts. */
static void a_peer_that_takes_nothing_holds_up_nobody(void **state)
{
    struct responder r;
    const struct responder_qp *a, *b;

    responder_init(&r, &env);
    a = add(&r, 256, 4, 0, QPN);
    b = add(&r, 256, 4, 0, QPN + 1);
    nr_sent = 0;
    stuck = QPN;
    send_one(&r, a, 0x0c, 0, 1000);
    send_one(&r, b, 0x0c, 0, MEMORY);
    assert_true(responder_run(&r, 1000));
    assert_int_equal(nr_sent, MEMORY / 256);
    stuck = 0;
    assert_false(responder_run(&r, 1000));
    assert_int_equal(nr_sent, MEMORY / 256 + 4);
    responder_close(&r);
}

static void more_than_2_gib_is_no_request(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct responder r;
        const struct responder_qp *qp;

        responder_init(&r, &env);
        qp = add(&r, 4096, 4, 9, QPN);
        nr_sent = 0;
        send_one(&r, qp, i ? 0x0c : 0x06, 9, (1u << 31) + 1);
        assert_false(responder_run(&r, 10));
        one(9, 0x61, 0);
        responder_close(&r);
    }
}

static void memory_that_goes_away_ends_a_read_with_a_nak(void **state)
{
    struct responder r;
    const struct responder_qp *qp;
    struct answer a;

    responder_init(&r, &env);
    qp = add(&r, 256, 4, 10, QPN);
    nr_sent = 0;
    send_one(&r, qp, 0x0c, 10, 2560);
    send_one(&r, qp, 0x0c, 20, 10);
    assert_true(responder_run(&r, 3));
    freed = true;
    assert_false(responder_run(&r, 100));
    freed = false;
    assert_int_equal(nr_sent, 4);
    a = parse(&sent[3]);
    assert_int_equal(a.psn, 13);
    assert_int_equal(a.syndrome, 0x62);
    send_one(&r, qp, 0x0c, 21, 10);
    assert_false(responder_run(&r, 100));
    assert_int_equal(nr_sent, 4);
    responder_close(&r);
}

static void permission_counts(void **state)
{
    struct responder r;
    const struct responder_qp *qp;

    responder_init(&r, &env);
    qp = add(&r, 1024, 4, 5, QPN);
    read_only = true;
    nr_sent = 0;
    send_one(&r, qp, 0x0c, 5, 10);
    assert_false(responder_run(&r, 10));
    assert_int_equal(parse(&sent[0]).opcode, 0x10);
    nr_sent = 0;
    send_one(&r, qp, 0x0a, 6, 10);
    assert_false(responder_run(&r, 10));
    one(6, 0x62, 1);
    read_only = false;
    responder_close(&r);
}

/* A READ that is asked for again before it was answered is answered once. */
static void a_pending_read_is_not_replayed(void **state)
{
    struct responder r;
    const struct responder_qp *qp;

    responder_init(&r, &env);
    qp = add(&r, 256, 4, 0, QPN);
    nr_sent = 0;
    send_one(&r, qp, 0x0c, 0, 2560);
    send_one(&r, qp, 0x0c, 0, 2560);
    assert_false(responder_run(&r, 100));
    assert_int_equal(nr_sent, 10);
    send_one(&r, qp, 0x0c, 0, 2560);
    assert_false(responder_run(&r, 100));
    assert_int_equal(nr_sent, 20);
    responder_close(&r);
}

/* Who asks for more than was agreed is not answered, and nothing overflows. */
static void too_many_reads_are_dropped(void **state)
{
    struct responder r;
    const struct responder_qp *qp;
    uint64_t count[NR_RESPONDER_COUNTS];

    responder_init(&r, &env);
    qp = add(&r, 256, 2, 0, QPN);
    nr_sent = 0;
    for (uint32_t i = 0; i < 100; i++)
        send_one(&r, qp, 0x0c, i, 100);
    assert_false(responder_run(&r, 1000));
    responder_total(&r, count);
    assert_int_equal(nr_sent, qp->nr_past + 1); /* and one NAK for what followed */
    assert_in_range(qp->nr_past, 2, 8);
    assert_true(count[COUNT_full] > 0);
    responder_close(&r);
}

static void queue_pairs_come_and_go(void **state)
{
    const struct responder_qp *qps[RESPONDER_QPS];
    struct responder_spec bad = {.mtu = 1000, .rd_atomic = 1};
    struct responder r;

    responder_init(&r, &env);
    for (unsigned i = 0; i < RESPONDER_QPS; i++)
        qps[i] = add(&r, 1024, 1, 0, QPN);
    assert_null(responder_add(&r, &qps[0]->spec, 1));
    nr_sent = 0;
    for (unsigned i = 0; i < 9; i++)
        send_one(&r, qps[i], 0x0c, 0, 4);
    /* Out of the middle, the front and the end of those that have something to send. */
    assert_true(responder_remove(&r, OWNER, qps[4]->qpn));
    assert_true(responder_remove(&r, OWNER, qps[0]->qpn));
    assert_true(responder_remove(&r, OWNER, qps[8]->qpn));
    assert_false(responder_remove(&r, OWNER + 1, qps[5]->qpn));
    assert_false(responder_remove(&r, OWNER, qps[5]->qpn ^ 0x400));
    send_one(&r, qps[9], 0x0c, 0, 4);
    assert_false(responder_run(&r, 100));
    assert_int_equal(nr_sent, 7);
    assert_int_equal(responder_count(&r, OWNER), RESPONDER_QPS - 3);
    responder_remove_all(&r, OWNER);
    assert_int_equal(r.nr_qps, 0);
    assert_false(responder_spec_good(&bad));
    bad.mtu = 1024;
    bad.rd_atomic = 0;
    assert_false(responder_spec_good(&bad));
    responder_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_gets_what_the_specification_says),
        cmocka_unit_test(acknowledgements_of_a_batch_are_one),
        cmocka_unit_test(a_long_read_does_not_hold_up_others),
        cmocka_unit_test(a_peer_that_takes_nothing_holds_up_nobody),
        cmocka_unit_test(more_than_2_gib_is_no_request),
        cmocka_unit_test(memory_that_goes_away_ends_a_read_with_a_nak),
        cmocka_unit_test(permission_counts),
        cmocka_unit_test(a_pending_read_is_not_replayed),
        cmocka_unit_test(too_many_reads_are_dropped),
        cmocka_unit_test(queue_pairs_come_and_go),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
