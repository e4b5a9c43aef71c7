// unit: kernel/roce/qp.c kernel/roce/qp_input.c kernel/roce/icrc.c kernel/roce/crc_sparse.c kernel/roce/crc_pclmul.c
/*
 * Proves that the requester (kernel/roce/qp.h) keeps its promises over a network that loses,
 * repeats, delays, reorders and corrupts whole frames, with a responder that is strict
 * (roce_model.h), is not ready now and then, dies, or lies: every request completes once, in order,
 * with a status that is true; every byte read is the one written last; the far memory is, byte for
 * byte, what was written; nothing outside of the buffers is touched (each is an allocation of its
 * own, under ASan); and all this in bounded time. Time is simulated.
 *
 * ROCE_OPS=N sets the number of requests of a case (default 5000: three seconds for all),
 * ROCE_SEED=N makes chance another one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "roce/qp.h"
#include "roce_model.h"

#define USEC       1000ull
#define MSEC       (1000 * USEC)
#define SEC        (1000 * MSEC)
#define MEMORY     (1u << 20)
#define VA         0x7f0000001000ull
#define RKEY       0x1ee7u
#define RING       64u
#define MAX_EVENTS 65536u

struct world {
    const char *name;
    uint32_t mtu, window, max_reads, max_len;
    /* In a million. */
    unsigned loss, dup, reorder, corrupt, rnr, full, lies, deaths;
    bool rxe, acks_all;
    uint8_t retries;
    unsigned ops_divisor;
};

struct event {
    uint64_t at, order;
    bool back;
    size_t len;
    uint8_t *frame;
};

struct op {
    bool write, done;
    uint32_t off, len;
    uint8_t *buf, *want;
};

static const struct world *world;
static struct roce_qp qp;
static struct roce_request ring[RING];
static struct model peer;
static uint8_t *memory, *reference;
static uint64_t now, order;
static struct event events[MAX_EVENTS]; /* a heap */
static unsigned nevents;
static struct op ops[RING];
static uint64_t op_head, op_tail;
static uint64_t failed, corrupted, lost;
static bool dying;

static bool chance(unsigned ppm)
{
    return ppm > 0 && model_random(1000000) < ppm;
}

/* ---- the network ---- */

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void push(struct event e)
{
    unsigned i = nevents++;

    assert_true(nevents < MAX_EVENTS);
    for (; i > 0 && earlier(&e, &events[(i - 1) / 2]); i = (i - 1) / 2)
        events[i] = events[(i - 1) / 2];
    events[i] = e;
}

static struct event pop(void)
{
    struct event top = events[0], e = events[--nevents];
    unsigned i = 0, c;

    while ((c = 2 * i + 1) < nevents) {
        if (c + 1 < nevents && earlier(&events[c + 1], &events[c]))
            c++;
        if (!earlier(&events[c], &e))
            break;
        events[i] = events[c];
        i = c;
    }
    events[i] = e;
    return top;
}

static void carry(bool back, const uint8_t *frame, size_t len)
{
    unsigned copies = chance(world->dup) ? 2 : 1;

    while (copies-- > 0) {
        struct event e = {now + 10 * USEC, order++, back, len, NULL};

        if (chance(world->loss)) {
            lost++;
            continue;
        }
        e.frame = malloc(len);
        memcpy(e.frame, frame, len);
        if (chance(world->reorder)) /* most by a little, some by more than a time-out */
            e.at += model_random(chance(50000) ? 4000 * USEC : 30 * USEC);
        if (chance(world->corrupt)) {
            for (unsigned n = 1 + model_random(3); n > 0; n--)
                e.frame[model_random((unsigned)len)] ^= (uint8_t)(1 << model_random(8));
            corrupted++;
        }
        push(e);
    }
}

static void from_peer(void *ctx, const uint8_t *frame, size_t len)
{
    carry(true, frame, len);
}

/* ---- the requester's owner ---- */

static int send_packet(void *ctx, uint8_t *bth, unsigned bth_len, const void *payload,
                       uint32_t payload_len, unsigned pad)
{
    uint8_t frame[MODEL_FRAME_MAX];
    struct roce_packet p;

    if (chance(world->full))
        return -ENOSPC;
    assert_int_equal(pad, roce_pad(payload_len));
    assert_true((payload == NULL) == (payload_len == 0));
    assert_true(qp.nxt - qp.una < world->window);
    carry(false, frame, model_frame(frame, false, bth, bth_len, payload, payload_len));
    assert_true(roce_parse(&p, frame + ROCE_FRONT, ROCE_HEAD_BYTES - ROCE_FRONT,
                           bth_len + payload_len + pad + ROCE_ICRC));
    memset(bth - ROCE_FRONT, 0xee, ROCE_FRONT + bth_len); /* it is ours */
    return 0;
}

static bool place(void *ctx, const struct roce_request *r, uint32_t offset, const void *payload,
                  uint32_t len, void *landing)
{
    struct op *o = r->cookie;

    assert_false(o->write || o->done);
    assert_true(len > 0 && offset <= o->len && len <= o->len - offset);
    memcpy(r->buf + offset, payload, len);
    if (landing == NULL || len < 256)
        return false;
    free(landing);
    return true;
}

static void complete(void *ctx, const struct roce_request *r, int status, uint8_t syndrome)
{
    struct op *o = &ops[op_head++ % RING];

    assert_ptr_equal(r->cookie, o); /* in order, each once */
    assert_false(o->done);
    o->done = true;
    if (status != 0) {
        assert_true(status == -ECANCELED || status == -ETIMEDOUT || status == -EIO);
        assert_true(dying || world->lies > 0);
        failed++;
    } else if (!o->write && world->lies == 0) {
        if (memcmp(o->buf, o->want, o->len) != 0)
            fail_msg("%s: a READ of %u bytes came with wrong ones", world->name, o->len);
    }
    free(o->buf);
    free(o->want);
}

static const struct roce_ops owner = {send_packet, place, complete};

static bool overlaps(uint32_t off, uint32_t len)
{
    for (uint64_t i = op_head; i != op_tail; i++) {
        const struct op *o = &ops[i % RING];

        if (!o->write && off < o->off + o->len && o->off < off + len)
            return true;
    }
    return false;
}

static void post_one(void)
{
    struct op o = {.write = model_random(2)};
    uint32_t limit = model_random(4) ? 4096 : world->max_len;

    o.len = model_random(3) == 0 ? 4096 : 1 + model_random(limit);
    if (o.len > world->max_len)
        o.len = world->max_len;
    /* Mostly within a few pages, so that requests meet. */
    o.off = model_random(model_random(2) ? 40000 : MEMORY - o.len + 1);
    if (o.len == 4096)
        o.off &= ~4095u;
    if (o.off > MEMORY - o.len)
        o.off = MEMORY - o.len;
    if (o.write && overlaps(o.off, o.len))
        o.write = false; /* what is being read is not written: qp.h */
    o.buf = malloc(o.len);
    if (o.write) {
        for (uint32_t i = 0; i < o.len; i++)
            o.buf[i] = (uint8_t)(i * 7 + order + (i >> 8));
        memcpy(reference + o.off, o.buf, o.len);
    } else {
        memset(o.buf, 0xdd, o.len);
        o.want = malloc(o.len);
        memcpy(o.want, reference + o.off, o.len);
    }
    ops[op_tail % RING] = o;
    assert_int_equal(o.write ? roce_write(&qp, VA + o.off, RKEY, o.len, o.buf, &ops[op_tail % RING])
                             : roce_read(&qp, VA + o.off, RKEY, o.len, o.buf, &ops[op_tail % RING]),
                     0);
    op_tail++;
}

/* A frame the responder never sent, near enough to what it could have: whatever is allowed in
 * there is up to chance. */
static void lie(void)
{
    static const uint8_t opcodes[] = {ROCE_ACKNOWLEDGE,  ROCE_ACKNOWLEDGE, ROCE_READ_FIRST,
                                      ROCE_READ_MIDDLE,  ROCE_READ_LAST,   ROCE_READ_ONLY,
                                      ROCE_READ_REQUEST, ROCE_WRITE_ONLY,  0x12,
                                      ROCE_CNP};
    static const uint8_t syndromes[] = {0x1f, 0x00, 0x60, 0x60, 0x21, 0x3f, 0x44, 0x64, 0x9f, 0xff};
    static const uint8_t fatal[] = {ROCE_NAK_INVALID, ROCE_NAK_ACCESS, ROCE_NAK_OPERATION};
    uint8_t junk[ROCE_MTU_MAX] = {0}, opcode = opcodes[model_random(sizeof(opcodes))];
    uint8_t syndrome = syndromes[model_random(sizeof(syndromes))];
    uint32_t len = 0, psn = (uint32_t)qp.una + model_random(3 * world->window) - world->window;

    if (model_random(500) == 0)
        syndrome = fatal[model_random(3)];
    if (model_random(2))
        psn = (uint32_t)qp.una + model_random(2);
    if (opcode != ROCE_ACKNOWLEDGE)
        len = model_random(2) ? world->mtu : model_random(ROCE_MTU_MAX + 1);
    peer.msn += model_random(5);
    model_respond(&peer, opcode, psn & ROCE_PSN_MASK, syndrome, junk, len);
}

static void deliver(struct event *e)
{
    struct roce_frame f;
    struct roce_packet p;

    if (e->back && roce_frame_parse(&f, e->frame, e->len, e->len) &&
        roce_parse(&p, f.bth, f.have, f.len) && roce_icrc_good(f.ip, f.len)) {
        /* Half of the packets have landed in a page of their own. */
        uint8_t *landing = model_random(2) && p.payload_len > 0 ? malloc(p.payload_len) : NULL;

        if (landing != NULL)
            memcpy(landing, f.bth + p.head_len, p.payload_len);
        if (!roce_input(&qp, &p, landing != NULL ? landing : f.bth + p.head_len, landing, now))
            free(landing);
    } else if (!e->back) {
        model_input(&peer, e->frame, e->len);
    }
    free(e->frame);
}

static void connect_both(void)
{
    static uint32_t qpn = 0x100;
    struct roce_attr a = {
        .qpn = qpn++,
        .peer_qpn = qpn++,
        .psn = model_random(2) ? ROCE_PSN_MASK - model_random(2000) : model_random(1u << 24),
        .mtu = world->mtu,
        .window = world->window,
        .max_reads = world->max_reads,
        .retries = world->retries,
        .rnr_retries = 100,
        .rto_min_ns = 30 * USEC,
        .rto_max_ns = 20 * MSEC,
        .rto_first_ns = MSEC,
    };

    assert_int_equal(roce_connect(&qp, &a, now), 0);
    peer = (struct model){
        .qpn = a.peer_qpn,
        .peer_qpn = a.qpn,
        .epsn = a.psn,
        .mtu = world->mtu,
        .max_reads = world->max_reads,
        .rkey = RKEY,
        .va = VA,
        .memory = memory,
        .size = MEMORY,
        .rxe = world->rxe,
        .acks_all = world->acks_all,
        .rnr_ppm = world->rnr,
        .rnr_timer = 3,
        .oldest = &qp.una,
        .out = from_peer,
    };
    dying = false;
}

/* After a failure: a new connection, and what the peer has is what counts. Frames of the old one
 * are still on their way. */
static void reconnect(void)
{
    assert_int_equal(op_head, op_tail);
    memcpy(reference, memory, MEMORY);
    connect_both();
}

static void step(uint64_t todo)
{
    uint64_t deadline;

    if (qp.state == ROCE_DOWN)
        reconnect();
    if (model_random(3) != 0)
        for (unsigned n = model_random(8); n > 0 && roce_room(&qp) > 0 && op_tail < todo; n--)
            post_one();
    if (chance(world->lies))
        lie();
    if (chance(world->deaths)) {
        dying = true;
        if (model_random(2))
            peer.dead = true; /* time-out */
        else
            roce_abort(&qp);
    }
    roce_output(&qp, now);
    deadline = roce_deadline(&qp);
    if (qp.full)
        deadline = MIN(deadline, now + USEC);
    if (op_head == op_tail)
        deadline = MIN(deadline, now + 5 * USEC); /* something is posted then */
    if (nevents > 0)
        deadline = MIN(deadline, events[0].at);
    assert_true(deadline != UINT64_MAX); /* it waits for something */
    now = MAX(now, deadline);
    while (nevents > 0 && events[0].at <= now) {
        struct event e = pop();

        deliver(&e);
    }
    roce_timer(&qp, now);
    if (peer.broken != NULL && world->lies == 0)
        fail_msg("%s: the responder complains: %s", world->name, peer.broken);
}

static void run_world(void **state)
{
    uint64_t todo = getenv("ROCE_OPS") ? strtoull(getenv("ROCE_OPS"), NULL, 0) : 5000, from, last;
    uint64_t writes = 0, reads = 0, resent, steps = 0;

    world = *state;
    todo /= world->ops_divisor ? world->ops_divisor : 1;
    if (getenv("ROCE_SEED"))
        model_seed = strtoull(getenv("ROCE_SEED"), NULL, 0) * 2 + 1;
    roce_crc_init();
    roce_init(&qp, &owner, NULL, ring, RING);
    memory = calloc(1, MEMORY);
    reference = calloc(1, MEMORY);
    op_head = op_tail = failed = corrupted = lost = 0;
    now = from = SEC;
    connect_both();
    last = op_head;
    while (op_head < todo) {
        step(todo);
        /* Bounded: something completes at least every so often, in events and in time. */
        if (op_head != last) {
            last = op_head;
            from = now;
            steps = 0;
        }
        if (++steps > 3000000 || now - from > 60 * SEC)
            fail_msg("%s: stuck at request %lu, una %lu nxt %lu sent %lu posted %lu", world->name,
                     (unsigned long)op_head, (unsigned long)qp.una, (unsigned long)qp.nxt,
                     (unsigned long)qp.sent, (unsigned long)qp.posted);
    }
    for (; nevents > 0;)
        free(pop().frame);
    if (world->lies == 0) {
        if (qp.state == ROCE_DOWN)
            memcpy(reference, memory, MEMORY);
        assert_memory_equal(memory, reference, MEMORY);
    }
    if (world->deaths == 0 && world->lies == 0)
        assert_int_equal(failed, 0);
    writes = qp.stats.posted_writes;
    reads = qp.stats.posted_reads;
    resent = qp.stats.resent;
    assert_int_equal(writes + reads, todo);
    assert_int_equal(qp.stats.completed + qp.stats.failed, todo);
    assert_int_equal(qp.stats.failed, failed);
    if (world->loss + world->reorder + world->corrupt + world->rnr + world->lies + world->deaths +
            world->dup ==
        0)
        assert_int_equal(resent, 0);
    print_message("# %s: %lu requests, %lu packets, %lu again (time-out %lu, NAK %lu, gap %lu, RNR "
                  "%lu), %lu failed, lost %lu, %.1f s\n",
                  world->name, (unsigned long)todo, (unsigned long)qp.stats.tx_packets,
                  (unsigned long)resent, (unsigned long)qp.stats.by_timeout,
                  (unsigned long)qp.stats.by_nak, (unsigned long)qp.stats.by_gap,
                  (unsigned long)qp.stats.by_rnr, (unsigned long)failed, (unsigned long)lost,
                  (double)(now - SEC) / 1e9);
    free(memory);
    free(reference);
}

static struct world worlds[] = {
    {"quiet", .mtu = 4096, .window = 64, .max_reads = 16, .max_len = 40000, .retries = 7},
    {"quiet, MTU 256", .mtu = 256, .window = 32, .max_reads = 4, .max_len = 20000, .retries = 7,
     .full = 100000, .ops_divisor = 2},
    {"one at a time", .mtu = 1024, .window = 1, .max_reads = 1, .max_len = 9000, .retries = 20,
     .loss = 20000, .dup = 10000},
    {"loss 1 %", .mtu = 4096, .window = 64, .max_reads = 16, .max_len = 40000, .retries = 7,
     .loss = 10000, .full = 10000},
    {"loss 10 %", .mtu = 1024, .window = 32, .max_reads = 4, .max_len = 20000, .retries = 30,
     .loss = 100000, .rxe = true},
    {"loss 30 %", .mtu = 512, .window = 16, .max_reads = 3, .max_len = 9000, .retries = 100,
     .loss = 300000, .ops_divisor = 4},
    {"duplicates", .mtu = 1024, .window = 64, .max_reads = 8, .max_len = 20000, .retries = 7,
     .dup = 300000, .acks_all = true},
    {"order", .mtu = 1024, .window = 64, .max_reads = 8, .max_len = 20000, .retries = 50,
     .reorder = 50000, .acks_all = true},
    {"order, rxe", .mtu = 2048, .window = 20, .max_reads = 2, .max_len = 20000, .retries = 50,
     .reorder = 200000, .rxe = true},
    {"corruption", .mtu = 4096, .window = 32, .max_reads = 8, .max_len = 20000, .retries = 20,
     .corrupt = 50000},
    {"not ready", .mtu = 1024, .window = 32, .max_reads = 8, .max_len = 20000, .retries = 7,
     .rnr = 30000},
    {"everything", .mtu = 1024, .window = 48, .max_reads = 5, .max_len = 30000, .retries = 60,
     .loss = 30000, .dup = 30000, .reorder = 30000, .corrupt = 30000, .rnr = 10000, .full = 50000,
     .acks_all = true},
    {"everything, rxe", .mtu = 256, .window = 200, .max_reads = 16, .max_len = 30000, .retries = 60,
     .loss = 20000, .dup = 20000, .reorder = 20000, .corrupt = 20000, .rnr = 10000, .full = 20000,
     .rxe = true, .ops_divisor = 4},
    {"deaths", .mtu = 4096, .window = 32, .max_reads = 8, .max_len = 20000, .retries = 8,
     .loss = 10000, .dup = 50000, .reorder = 50000, .deaths = 300},
    {"lies", .mtu = 1024, .window = 32, .max_reads = 8, .max_len = 20000, .retries = 30,
     .loss = 10000, .reorder = 20000, .lies = 300000},
};

int main(void)
{
    struct CMUnitTest tests[ARRAY_SIZE(worlds)];

    for (unsigned i = 0; i < ARRAY_SIZE(worlds); i++)
        tests[i] = (struct CMUnitTest){worlds[i].name, run_world, NULL, NULL, &worlds[i]};
    return _cmocka_run_group_tests("roce over hostile networks", tests, ARRAY_SIZE(tests), NULL,
                                   NULL);
}
