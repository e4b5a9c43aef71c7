// unit: tools/memnode/responder.c tools/util.c kernel/roce/icrc.c kernel/roce/crc_sparse.c kernel/roce/crc_pclmul.c
/*
 * Proves that data survive a network that loses, repeats, reorders and spoils packets between a
 * go-back-N requester, which is here, and the memory node's responder (tools/memnode/responder.h):
 * every byte read is compared with what was written. Takes 4 seconds.
 */
#include "memnode_packets.h"

/* ---- through a bad network ---- */

enum { OPS = 16, FLYING = 4096, TARGET = 150 };

struct op {
    bool read;
    uint32_t psn, packets, len, got; /* got: bytes that came */
    uint64_t va;
    uint8_t *data; /* to be written; or what memory must hold */
};

/* A requester that goes back to the first request that is not done (go-back-N). It does not write
 * where a READ is under way. */
struct peer {
    const struct responder_qp *qp;
    uint32_t mtu, first, count; /* its part of memory */
    uint64_t base;
    struct op ops[OPS];
    unsigned oldest, newest; /* ops[oldest % OPS] up to newest */
    uint32_t psn;            /* of the next new request */
    uint32_t unacked;        /* the first PSN that is not done */
    unsigned quiet, done, target;
    uint32_t highest; /* the last PSN ever sent */
};

struct flying {
    struct bytes p;
    unsigned wait;
};

struct net {
    struct flying *to, *from;
    unsigned nr_to, nr_from;
    unsigned loss, dup, late, spoil; /* per cent */
    uint64_t broken;
};

static void fly(struct net *n, struct flying *dir, unsigned *nr, const struct bytes *p)
{
    unsigned copies = 1 + (rng_below(&rng, 100) < n->dup);

    if (rng_below(&rng, 100) < n->loss)
        return;
    while (copies-- && *nr < FLYING) {
        struct flying *f = &dir[(*nr)++];

        f->p = *p;
        f->wait = rng_below(&rng, 100) < n->late ? 1 + rng_below(&rng, 20) : 0;
        if (rng_below(&rng, 100) < n->spoil) {
            unsigned at = 28 + rng_below(&rng, p->n - 28);

            f->p.b[at == 32 ? 33 : at] ^= 1 << rng_below(&rng, 8); /* 32 is in no ICRC */
            n->broken++;
        }
    }
}

/* The packets whose time has come, in order. */
static bool land(struct flying *dir, unsigned *nr, struct bytes *p)
{
    for (unsigned i = 0; i < *nr; i++) {
        if (dir[i].wait)
            continue;
        *p = dir[i].p;
        memmove(&dir[i], &dir[i + 1], (--*nr - i) * sizeof(*dir));
        return true;
    }
    return false;
}

static void post(struct net *n, const struct peer *p, const struct op *o, unsigned from)
{
    static struct request q;
    static struct bytes b;

    for (unsigned i = from; i < (o->read ? from + 1 : o->packets); i++) {
        uint32_t at = i * p->mtu, left = o->len - at;

        q = (struct request){.psn = psn_add(o->psn, i),
                             .qpn = p->qp->qpn,
                             .from = PEER,
                             .to = NODE,
                             .pkey = 0xffff,
                             .rkey = KEY,
                             .va = o->va + (o->read ? at : 0),
                             .len = o->read ? left : o->len,
                             .ack = i == o->packets - 1};
        if (o->read) {
            q.opcode = 0x0c;
            q.reth = true;
        } else {
            q.opcode = o->packets == 1 ? 0x0a : i == 0 ? 0x06 : i < o->packets - 1 ? 0x07 : 0x08;
            q.reth = i == 0;
            q.n = left < p->mtu ? left : p->mtu;
            q.pad = -q.n & 3;
            memcpy(q.payload, o->data + at, q.n);
        }
        build(&b, &q);
        fly(n, n->to, &n->nr_to, &b);
    }
}

static void new_op(struct net *n, struct peer *p)
{
    struct op *o = &p->ops[p->newest % OPS];
    uint32_t at;

    free(o->data);
    *o = (struct op){.read = rng_below(&rng, 2), .psn = p->psn};
    o->len = rng_below(&rng, 4) ? 1 + rng_below(&rng, 3 * p->mtu) : rng_below(&rng, 4);
    if (o->len > p->count / 2)
        o->len = p->count / 2;
    at = rng_below(&rng, p->count - o->len + 1);
    if (!o->read) /* not where a READ is under way */
        for (unsigned i = p->oldest; i < p->newest; i++) {
            const struct op *x = &p->ops[i % OPS];

            if (x->read && x->va < p->base + at + o->len && p->base + at < x->va + x->len)
                return;
        }
    o->va = p->base + at;
    o->packets = o->len ? (o->len + p->mtu - 1) / p->mtu : 1;
    o->data = malloc(o->len ? o->len : 1);
    if (o->read)
        memcpy(o->data, shadow + (o->va - BASE), o->len);
    else
        for (uint32_t i = 0; i < o->len; i++)
            shadow[o->va - BASE + i] = o->data[i] = rng_next(&rng);
    p->psn = psn_add(p->psn, o->packets);
    p->highest = psn_add(p->psn, -1);
    p->newest++;
    post(n, p, o, 0);
}

static void retire(struct peer *p)
{
    while (p->oldest < p->newest) {
        const struct op *o = &p->ops[p->oldest % OPS];
        int32_t over = (int32_t)((p->unacked - psn_add(o->psn, o->packets)) << 8) >> 8;

        if (over < 0)
            return;
        p->oldest++;
        p->done++;
    }
}

static void go_back(struct net *n, struct peer *p)
{
    for (unsigned i = p->oldest; i < p->newest; i++) {
        const struct op *o = &p->ops[i % OPS];
        int32_t from = (int32_t)((p->unacked - o->psn) << 8) >> 8;

        post(n, p, o, from > 0 ? from : 0);
    }
    p->quiet = 0;
}

static void take_answer(struct net *n, struct peer *p, const struct bytes *b)
{
    struct answer a = parse(b);
    int32_t at = (int32_t)((a.psn - p->unacked) << 8) >> 8;

    /* Nothing of the future is ever acknowledged. */
    assert_true((int32_t)((a.psn - p->highest) << 8) >> 8 <= (a.syndrome == 0x60));
    if (a.opcode == 0x11) {
        assert_true(a.syndrome == 0x1f || a.syndrome == 0x60);
        if (a.syndrome == 0x1f)
            at++;
        if (at < 0 || p->oldest == p->newest)
            return;
        /* It may acknowledge WRITEs, up to a READ that is not done. */
        for (unsigned i = p->oldest; i < p->newest && at > 0; i++) {
            const struct op *o = &p->ops[i % OPS];
            uint32_t end = psn_add(o->psn, o->packets), skip = (end - p->unacked) & 0xffffff;

            if (o->read && ((p->unacked - o->psn) & 0xffffff) < o->packets)
                break;
            if ((int32_t)skip > at)
                skip = at;
            p->unacked = psn_add(p->unacked, skip);
            at -= skip;
        }
        retire(p);
        if (a.syndrome == 0x60)
            go_back(n, p);
        return;
    }
    for (unsigned i = p->oldest; i < p->newest; i++) {
        struct op *o = &p->ops[i % OPS];
        uint32_t nr = (a.psn - o->psn) & 0xffffff;
        size_t want;

        if (!o->read || nr >= o->packets)
            continue;
        /* Whole, the right bytes, whenever it comes. */
        want = nr < o->packets - 1 ? p->mtu : o->len - nr * p->mtu;
        assert_int_equal(a.n, want);
        if (want)
            assert_memory_equal(a.payload, o->data + nr * p->mtu, want);
        /* It acknowledges the WRITEs before, and itself if nothing of a READ is missing before. */
        for (unsigned j = p->oldest; j < i; j++)
            if (p->ops[j % OPS].read)
                return;
        if (at < 0 || (nr && at > 0))
            return;
        p->unacked = psn_add(a.psn, 1);
        p->quiet = 0;
        retire(p);
        return;
    }
}

static void data_survives_a_bad_network(void **state)
{
    static const unsigned mtus[] = {256, 1024, 4096};
    struct net n = {0};
    static struct bytes b;

    n.to = calloc(FLYING, sizeof(*n.to));
    n.from = calloc(FLYING, sizeof(*n.from));
    for (unsigned round = 0; round < 12; round++) {
        struct peer peers[3] = {0};
        struct responder r;
        unsigned steps = 0;
        uint64_t count[NR_RESPONDER_COUNTS];

        rng_seed(&rng, round, 2);
        n.nr_to = n.nr_from = 0;
        n.loss = round % 4 * 7;
        n.dup = round / 2 % 3 * 7;
        n.late = round / 3 * 9;
        n.spoil = round % 3 * 4;
        responder_init(&r, &env);
        fill_memory();
        for (unsigned i = 0; i < 3; i++) {
            struct peer *p = &peers[i];

            p->mtu = mtus[(round + i) % 3];
            p->psn = p->unacked = i ? 0xfffff0 : rng_below(&rng, 1 << 24);
            p->qp = add(&r, p->mtu, OPS, p->psn, QPN + i);
            p->count = MEMORY / 3;
            p->base = BASE + i * (MEMORY / 3);
            p->target = TARGET;
        }
        while (peers[0].done < TARGET || peers[1].done < TARGET || peers[2].done < TARGET) {
            assert_true(++steps < 400000);
            for (unsigned i = 0; i < 3; i++) {
                struct peer *p = &peers[i];

                while (p->newest - p->oldest < OPS && p->newest < p->target && rng_below(&rng, 3))
                    new_op(&n, p);
                if (p->oldest < p->newest && ++p->quiet > 60)
                    go_back(&n, p);
            }
            for (unsigned k = rng_below(&rng, 8); k && land(n.to, &n.nr_to, &b); k--)
                deliver(&r, &b);
            /* A transport without room, now and then; a budget that does not do. */
            no_room = rng_below(&rng, 5) == 0;
            nr_sent = 0;
            responder_run(&r, rng_below(&rng, 12));
            for (unsigned i = 0; i < nr_sent; i++)
                fly(&n, n.from, &n.nr_from, &sent[i]);
            while (land(n.from, &n.nr_from, &b)) {
                uint32_t crc;

                memcpy(&crc, b.b + b.n - 4, 4);
                if (crc != plain_icrc(b.b, b.n))
                    continue;
                take_answer(&n, &peers[parse(&b).qpn - QPN], &b);
            }
            for (unsigned i = 0; i < n.nr_to; i++)
                n.to[i].wait -= n.to[i].wait > 0;
            for (unsigned i = 0; i < n.nr_from; i++)
                n.from[i].wait -= n.from[i].wait > 0;
        }
        no_room = false;
        assert_memory_equal(memory, shadow, MEMORY);
        responder_total(&r, count);
        assert_int_equal(count[COUNT_nak_invalid] + count[COUNT_nak_access], 0);
        if (n.loss && n.dup)
            assert_true(count[COUNT_nak_sequence] > 10 && count[COUNT_duplicate_writes] > 10 &&
                        count[COUNT_duplicate_reads] > 10);
        responder_close(&r);
        for (unsigned i = 0; i < 3; i++)
            for (unsigned j = 0; j < OPS; j++)
                free(peers[i].ops[j].data);
    }
    assert_true(n.broken > 100);
    free(n.to);
    free(n.from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_survives_a_bad_network),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
