// unit: kernel/roce/session.c kernel/lib/sha256.c tools/memnode/control.c tools/memnode/memory.c tools/memnode/responder.c tools/memnode/auth.c tools/util.c kernel/roce/icrc.c kernel/roce/crc_sparse.c kernel/roce/crc_pclmul.c -lnettle
/*
 * The kernel's client of a memory node against the node itself (tools/memnode/control.c, another
 * implementation of protocol and HMAC), over a network that loses, repeats and damages datagrams or
 * is gone for a while: it gets there, keeps its memory as long as the node does, never takes
 * another for its own, and believes nothing that is not signed.
 */
#include "memnode/control.h"

#include "load/rng.h"
#include "roce/icrc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Both sides call it a session. */
#define session       client
#define session_state client_state
#include "roce/session.h"
#undef session
#undef session_state

#define LEASE_MS 1000
#define GRACE_MS 60000
#define WANT     (256u << 10)
#define STEP_NS  5000000ull
#define SECOND   1000000000ull

static struct control node;
static struct memory memory;
static struct responder responder;
static struct rng rng;
static uint64_t now;
static const struct origin from = {.address = 0x0a580002, .port = 9, .local = 0x0a580001};

static struct {
    double loss, twice, damage;
    bool cut;
    uint64_t delivered;
} wire;

static unsigned mtu_4096(void *ctx, uint32_t address)
{
    return 4096;
}

static uint8_t *nowhere(void *ctx, uint32_t owner, uint32_t rkey, uint64_t va, uint64_t n,
                        unsigned access)
{
    return NULL;
}

static uint64_t random_number(void)
{
    return rng_next(&rng);
}

static bool chance(double p)
{
    return rng_unit(&rng) < p;
}

static int open_node(void **state)
{
    struct region_spec spec = {.name = "r", .size = 1 << 20};
    struct responder_env env = {.memory = nowhere};
    struct why why;

    rng_seed(&rng, 11, 0);
    now = 77 * SECOND;
    memset(&wire, 0, sizeof(wire));
    memset(&memory, 0, sizeof(memory));
    assert_true(memory_add(&memory, &spec, &why));
    responder_init(&responder, &env);
    node = (struct control){.limits = {4, 8, 8, LEASE_MS, GRACE_MS},
                            .secret = "xyzzy",
                            .secret_len = 5,
                            .memory = &memory,
                            .responder = &responder,
                            .path_mtu = mtu_4096,
                            .roce_port = ROCE_UDP_PORT};
    control_init(&node);
    return 0;
}

static int close_node(void **state)
{
    responder_close(&responder);
    control_close(&node);
    memory_close(&memory);
    return 0;
}

static struct client make(const char *secret)
{
    struct client c = {.want = WANT, .random = random_number, .name = "test"};

    c.secret_len = strlen(secret);
    memcpy(c.secret, secret, c.secret_len);
    for (unsigned i = 0; i < SESSION_QPS; i++)
        c.qp[i] = (struct session_qp){.qpn = 100 + i, .psn = 7, .mtu = 4096, .rd_atomic = 16};
    return c;
}

/* A reply may come, damaged, twice, or not at all. */
static void deliver(struct client *c, const uint8_t *reply, size_t n)
{
    uint8_t copy[NODE_DATAGRAM_MAX];

    do {
        memcpy(copy, reply, n);
        if (chance(wire.damage))
            copy[rng_below(&rng, n)] ^= (uint8_t)(1 + rng_below(&rng, 255));
        if (!wire.cut && !chance(wire.loss)) {
            session_input(c, copy, n, now);
            wire.delivered++;
        }
    } while (chance(wire.twice));
}

/* Time goes on until the client is in that state or the limit is over. */
static bool run(struct client *c, enum client_state until, uint64_t limit)
{
    for (uint64_t end = now + limit; now < end; now += STEP_NS) {
        static uint8_t out[NODE_STREAM_MAX];
        const uint8_t *datagram;
        size_t n = session_output(c, now, &datagram);

        control_tick(&node, now / 1000000);
        if (n > 0 && !wire.cut && !chance(wire.loss)) {
            do {
                size_t reply = control_request(&node, &from, now / 1000000, datagram, n, out);

                if (reply > 0)
                    deliver(c, out, reply);
            } while (chance(wire.twice) && c->length_out > 0);
        }
        if (c->state == until)
            return true;
    }
    return false;
}

/* As node.c does it: whoever does not answer is asked for again. */
static bool run_again(struct client *c, uint64_t limit)
{
    for (uint64_t end = now + limit; now < end;) {
        if (run(c, SESSION_READY, STEP_NS))
            return true;
        if (c->state == SESSION_DOWN && c->error != -ETIMEDOUT)
            return false;
        if (c->state == SESSION_DOWN)
            session_reopen(c, now);
    }
    return false;
}

/* What the node keeps for it. */
static struct extent *memory_of(const struct client *c)
{
    for (unsigned i = 0; i < node.limits.clients; i++)
        if (node.sessions[i].id == c->id && node.sessions[i].state == SESSION_LIVE)
            return memory_find(&memory, node.sessions[i].owner, c->rkey);
    return NULL;
}

static void gets_memory_and_connections(void **state)
{
    struct client c = make("xyzzy");
    struct extent *e;

    session_open(&c, now);
    assert_true(run(&c, SESSION_READY, 2 * SECOND));
    assert_int_equal(c.length, WANT);
    e = memory_of(&c);
    assert_non_null(e);
    assert_int_equal(memory_va(e), c.va);
    for (unsigned i = 0; i < SESSION_QPS; i++) {
        assert_int_equal(c.qp[i].mtu, 4096);
        assert_int_equal(c.qp[i].peer_port, ROCE_UDP_PORT);
        for (unsigned k = 0; k < i; k++)
            assert_int_not_equal(c.qp[i].peer_qpn, c.qp[k].peer_qpn);
    }
    /* It is heard of for as long as it runs. */
    assert_false(run(&c, SESSION_DOWN, 100 * SECOND));
    assert_int_equal(node.counts.lapsed, 0);
    assert_int_equal(node.counts.logins, 1);
}

static void gets_there_over_a_bad_network(void **state)
{
    for (unsigned i = 0; i < 200; i++) {
        struct client c = make("xyzzy");

        (void)close_node(state);
        (void)open_node(state);
        rng_seed(&rng, 1000 + i, 0);
        wire.loss = 0.3;
        wire.twice = 0.3;
        wire.damage = 0.3;
        session_open(&c, now);
        if (!run_again(&c, 60 * SECOND))
            fail_msg("seed %u: state %d, error %d, status %u", i, c.state, c.error, c.status);
        assert_non_null(memory_of(&c));
        assert_int_equal(c.length, WANT);
    }
}

/* Through many attempts that come to nothing, the memory that is wanted remains the same. */
static void resumes_after_a_long_silence(void **state)
{
    struct client c = make("xyzzy");
    uint32_t rkey;

    session_open(&c, now);
    assert_true(run(&c, SESSION_READY, 2 * SECOND));
    rkey = c.rkey;
    wire.cut = true;
    assert_true(run(&c, SESSION_DOWN, 30 * SECOND));
    session_reopen(&c, now);
    assert_true(run(&c, SESSION_DOWN, 30 * SECOND));
    session_reopen(&c, now);
    assert_false(run(&c, SESSION_READY, SECOND));
    wire.cut = false;
    assert_true(run_again(&c, 5 * SECOND));
    assert_int_equal(c.rkey, rkey);
    assert_int_equal(node.counts.resumed, 1);
    assert_non_null(memory_of(&c));
    assert_int_equal(memory_used(&memory, node.sessions[0].owner, NULL), WANT);
}

static void forgotten_memory_is_not_taken_for_kept(void **state)
{
    struct client c = make("xyzzy");

    session_open(&c, now);
    assert_true(run(&c, SESSION_READY, 2 * SECOND));
    wire.cut = true;
    assert_true(run(&c, SESSION_DOWN, 30 * SECOND));
    for (uint64_t end = now + (uint64_t)(LEASE_MS + GRACE_MS) * 1000000; now < end;
         now += 100 * STEP_NS)
        control_tick(&node, now / 1000000);
    wire.cut = false;
    session_reopen(&c, now);
    assert_false(run_again(&c, 20 * SECOND));
    assert_int_equal(c.state, SESSION_DOWN);
    assert_int_equal(c.error, -ESTALE);
}

static void the_key_must_be_right(void **state)
{
    struct client c = make("plugh");
    uint64_t start = now;

    session_open(&c, now);
    assert_true(run(&c, SESSION_DOWN, 20 * SECOND));
    assert_int_equal(c.error, -EACCES);
    assert_true(now - start < SECOND); /* the user waits for it */
    assert_int_equal(node.counts.logins, 0);
}

/* Once it has had memory, nobody without the key can make it give up. */
static void refusals_of_strangers_end_nothing(void **state)
{
    struct client c = make("xyzzy");
    uint8_t forged[NODE_MIN] = {0};

    session_open(&c, now);
    assert_true(run(&c, SESSION_READY, 2 * SECOND));
    session_reopen(&c, now);
    for (unsigned i = 0; i < 1000; i++) {
        (void)node_head(forged, NODE_HELLO | NODE_REPLY, 0, c.seq, 0);
        roce_put16(forged + NODE_AT_STATUS, NODE_E_AUTH);
        session_input(&c, forged, sizeof(forged), now);
    }
    assert_true(run_again(&c, 5 * SECOND));
}

static void too_much_is_refused(void **state)
{
    struct client c = make("xyzzy");

    c.want = 64ull << 20;
    session_open(&c, now);
    assert_true(run(&c, SESSION_DOWN, 5 * SECOND));
    assert_int_equal(c.error, -ENOSPC);
    assert_int_equal(c.status, NODE_E_NO_MEMORY);
}

/* By its own word, over any network: the node has its memory back long before the lease is over. */
static void leaves(void **state)
{
    for (unsigned i = 0; i < 50; i++) {
        struct client c = make("xyzzy");

        (void)close_node(state);
        (void)open_node(state);
        rng_seed(&rng, 5000 + i, 0);
        session_open(&c, now);
        assert_true(run(&c, SESSION_READY, 2 * SECOND));
        wire.loss = 0.2;
        wire.twice = 0.2;
        session_close(&c, now);
        assert_true(run(&c, SESSION_IDLE, 20 * SECOND));
        assert_int_equal(memory_used(&memory, node.sessions[0].owner, NULL), 0);
        assert_false(run(&c, SESSION_HELLO, SECOND)); /* and does not come back */
    }
}

static void leaves_before_it_has_come(void **state)
{
    struct client c = make("xyzzy");

    session_open(&c, now);
    session_close(&c, now);
    assert_int_equal(c.state, SESSION_IDLE);
    assert_int_equal(session_deadline(&c), UINT64_MAX);
}

#define NODE_TEST(f) cmocka_unit_test_setup_teardown(f, open_node, close_node)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NODE_TEST(gets_memory_and_connections),  NODE_TEST(gets_there_over_a_bad_network),
        NODE_TEST(resumes_after_a_long_silence), NODE_TEST(forgotten_memory_is_not_taken_for_kept),
        NODE_TEST(the_key_must_be_right),        NODE_TEST(refusals_of_strangers_end_nothing),
        NODE_TEST(too_much_is_refused),          NODE_TEST(leaves),
        NODE_TEST(leaves_before_it_has_come)};

    roce_crc_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
