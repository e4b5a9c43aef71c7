// unit: tools/memnode/control.c tools/memnode/memory.c tools/memnode/responder.c tools/memnode/auth.c tools/util.c kernel/roce/icrc.c kernel/roce/crc_sparse.c kernel/roce/crc_pclmul.c -lnettle
/*
 * Proves what a test from outside (tests/tool/memnode.t) cannot see quickly: HMAC against the
 * published vectors, leases to the millisecond, how long a nonce is good, sequence numbers that
 * wrap, and the memory allocator against a model, with random sizes and owners.
 */
#include "memnode/control.h"
#include "load/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- HMAC ---- */

/* RFC 4231, test cases 1, 2 and 6. */
static void hmac_is_rfc_4231s(void **state)
{
    static const struct {
        uint8_t byte;
        size_t key_len;
        const char *key, *data, *start;
    } cases[] = {
        {0x0b, 20, NULL, "Hi There", "\xb0\x34\x4c\x61\xd8\xdb\x38\x53"},
        {0, 4, "Jefe", "what do ya want for nothing?", "\x5b\xdc\xc1\x46\xbf\x60\x75\x4e"},
        {0xaa, 131, NULL, "Test Using Larger Than Block-Size Key - Hash Key First",
         "\x60\xe4\x31\x59\x1e\xe0\xb6\x7f"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *d = cases[i].data;
        size_t n = strlen(d);
        uint8_t key[131], out[AUTH_HASH];

        memset(key, cases[i].byte, sizeof(key));
        if (cases[i].key)
            memcpy(key, cases[i].key, cases[i].key_len);
        auth_hmac(out, key, cases[i].key_len,
                  (struct auth_part[]){{d, n / 2}, {d + n / 2, n - n / 2}}, 2);
        assert_memory_equal(out, cases[i].start, 8);
    }
}

/* ---- sessions ---- */

static struct control c;
static struct memory memory;
static struct responder responder;
static uint8_t out[NODE_STREAM_MAX];
static const struct origin from = {.address = 0x7f000002, .port = 9, .local = 0x7f000001};

static unsigned mtu_1024(void *ctx, uint32_t address)
{
    return 1024;
}

static uint8_t *nowhere(void *ctx, uint32_t owner, uint32_t rkey, uint64_t va, uint64_t n,
                        unsigned access)
{
    return NULL;
}

static int open_node(void **state)
{
    struct region_spec spec = {.name = "r", .size = 1 << 20};
    struct responder_env env = {.memory = nowhere};
    struct why why;

    memset(&memory, 0, sizeof(memory));
    assert_true(memory_add(&memory, &spec, &why));
    responder_init(&responder, &env);
    c = (struct control){.limits = {2, 4, 8, 1000, 500},
                         .secret = "xyzzy",
                         .secret_len = 5,
                         .memory = &memory,
                         .responder = &responder,
                         .path_mtu = mtu_1024};
    control_init(&c);
    return 0;
}

static int close_node(void **state)
{
    responder_close(&responder);
    control_close(&c);
    memory_close(&memory);
    return 0;
}

struct client {
    uint64_t id;
    uint32_t seq;
    uint8_t key[AUTH_HASH], nonces[2 * NODE_NONCE];
    uint8_t login[256];
    size_t login_len;
};

static int status(size_t n)
{
    if (n == 0)
        return -1;
    assert_true(node_well_formed(out, n));
    return roce_get16(out + NODE_AT_STATUS);
}

static void hello(struct client *x, uint64_t now)
{
    uint8_t m[NODE_HEAD + NODE_HELLO_BODY + NODE_TAG];

    auth_random(x->nonces, NODE_NONCE);
    node_head(m, NODE_HELLO, 0, ++x->seq, NODE_HELLO_BODY);
    memcpy(m + NODE_HEAD, x->nonces, NODE_NONCE);
    auth_sign(m, sizeof(m), "xyzzy", 5);
    assert_int_equal(status(control_request(&c, &from, now, m, sizeof(m), out)), NODE_OK);
    memcpy(x->nonces + NODE_NONCE, out + NODE_HEAD, NODE_NONCE);
    auth_session_key(x->key, "xyzzy", 5, x->nonces, x->nonces + NODE_NONCE);
}

static int login(struct client *x, uint64_t now, uint64_t resume)
{
    int s;

    x->login_len = node_head(x->login, NODE_LOGIN, 0, ++x->seq, NODE_LOGIN_BODY);
    memset(x->login + NODE_HEAD, 0, NODE_LOGIN_BODY);
    memcpy(x->login + NODE_HEAD, x->nonces, sizeof(x->nonces));
    roce_put64(x->login + NODE_HEAD + NODE_LOGIN_RESUME, resume);
    strcpy((char *)x->login + NODE_HEAD + NODE_LOGIN_NAME, "unit");
    auth_sign(x->login, x->login_len, x->key, AUTH_HASH);
    s = status(control_request(&c, &from, now, x->login, x->login_len, out));
    if (s == NODE_OK)
        x->id = roce_get64(out + NODE_AT_SESSION);
    return s;
}

static int ask(struct client *x, uint64_t now, unsigned type, const void *body, size_t n)
{
    uint8_t m[256];
    size_t len = node_head(m, type, x->id, x->seq, n);

    if (n)
        memcpy(m + NODE_HEAD, body, n);
    auth_sign(m, len, x->key, AUTH_HASH);
    return status(control_request(&c, &from, now, m, len, out));
}

static int ask_new(struct client *x, uint64_t now, unsigned type, const void *body, size_t n)
{
    x->seq++;
    return ask(x, now, type, body, n);
}

static int alloc(struct client *x, uint64_t now, uint64_t bytes)
{
    uint8_t b[NODE_ALLOC_BODY] = {0};

    roce_put64(b + NODE_ALLOC_BYTES, bytes);
    roce_put32(b + NODE_ALLOC_ACCESS, NODE_READ);
    return ask_new(x, now, NODE_ALLOC, b, sizeof(b));
}

static void a_lease_ends_to_the_millisecond(void **state)
{
    struct client x = {0};

    hello(&x, 5000);
    assert_int_equal(login(&x, 5000, 0), NODE_OK);
    assert_int_equal(alloc(&x, 5000, 100), NODE_OK);
    assert_int_equal(control_tick(&c, 5999), 6000);
    assert_int_equal(ask_new(&x, 5999, NODE_KEEPALIVE, NULL, 0), NODE_OK);
    assert_int_equal(control_tick(&c, 6998), 6999);
    assert_int_equal(control_tick(&c, 6999), 7499);
    assert_int_equal(ask_new(&x, 7000, NODE_KEEPALIVE, NULL, 0), NODE_E_NO_SESSION);
    hello(&x, 7400);
    assert_int_equal(login(&x, 7498, x.id), NODE_OK);
    assert_int_equal(roce_get64(out + NODE_HEAD + NODE_LOGIN_R_USED), 4096);
    control_tick(&c, 8498);
    control_tick(&c, 8997);
    assert_int_equal(memory.nr_extents, 1);
    assert_int_equal(control_tick(&c, 8998), UINT64_MAX);
    assert_int_equal(memory.nr_extents, 0);
    hello(&x, 9000);
    assert_int_equal(login(&x, 9000, x.id), NODE_E_NO_SESSION);
}

static void a_nonce_is_good_for_ten_to_twenty_seconds(void **state)
{
    struct client x = {0}, y = {0};

    hello(&x, 10000);
    assert_int_equal(login(&x, 29999, 0), NODE_OK);
    hello(&y, 10000);
    assert_int_equal(login(&y, 30000, 0), NODE_E_AUTH);
    hello(&y, 19999);
    y.nonces[NODE_NONCE]++; /* one that the node has not given */
    auth_session_key(y.key, "xyzzy", 5, y.nonces, y.nonces + NODE_NONCE);
    assert_int_equal(login(&y, 19999, 0), NODE_E_AUTH);
}

/* A repeated LOGIN makes no second session; one that the session has gone on from is not answered.
 */
static void requests_are_done_once(void **state)
{
    struct client x = {0};
    uint8_t first[CONTROL_REPLY_MAX];
    size_t n;

    x.seq = 0xfffffff0;
    hello(&x, 0);
    assert_int_equal(login(&x, 0, 0), NODE_OK);
    n = control_request(&c, &from, 1, x.login, x.login_len, out);
    assert_int_equal(status(n), NODE_OK);
    assert_int_equal(roce_get64(out + NODE_AT_SESSION), x.id);
    assert_int_equal(control_sessions(&c, true), 1);
    for (unsigned i = 0; i < 8; i++) { /* across the wrap */
        x.seq += 3;
        assert_int_equal(alloc(&x, 2, 1), NODE_OK);
        memcpy(first, out, sizeof(first));
        x.seq--;
        assert_int_equal(alloc(&x, 2, 1), NODE_OK); /* the same number again */
        assert_memory_equal(first, out, NODE_HEAD + NODE_ALLOC_R_BODY + NODE_TAG);
        assert_int_equal(memory.nr_extents, i + 1);
        x.seq--;
        assert_int_equal(ask(&x, 2, NODE_KEEPALIVE, NULL, 0), -1); /* an older one */
        x.seq++;
    }
    assert_int_equal(alloc(&x, 2, 1), NODE_E_LIMIT);
    assert_int_equal(control_request(&c, &from, 3, x.login, x.login_len, out), 0);
}

static void queue_pairs_belong_to_their_session(void **state)
{
    struct client x = {0}, y = {0}, z = {0};
    uint8_t b[NODE_CONNECT_BODY] = {0}, qpn[NODE_DISCONNECT_BODY];

    hello(&x, 0);
    hello(&y, 0);
    hello(&z, 0);
    assert_int_equal(login(&x, 0, 0), NODE_OK);
    assert_int_equal(login(&y, 0, 0), NODE_OK);
    assert_int_equal(login(&z, 0, 0), NODE_E_LIMIT);
    roce_put32(b + NODE_CONNECT_QPN, 17);
    roce_put16(b + NODE_CONNECT_MTU, 4096);
    roce_put16(b + NODE_CONNECT_RD_ATOMIC, 1000);
    assert_int_equal(ask_new(&x, 0, NODE_CONNECT, b, sizeof(b)), NODE_OK);
    assert_int_equal(roce_get16(out + NODE_HEAD + NODE_CONNECT_MTU), 1024);
    assert_int_equal(roce_get16(out + NODE_HEAD + NODE_CONNECT_RD_ATOMIC), RESPONDER_RD_ATOMIC);
    assert_int_equal(roce_get32(out + NODE_HEAD + NODE_CONNECT_ADDRESS), from.local);
    memcpy(qpn, out + NODE_HEAD + NODE_CONNECT_QPN, 4);
    assert_int_equal(ask_new(&y, 0, NODE_DISCONNECT, qpn, 4), NODE_E_NOT_FOUND);
    assert_int_equal(ask_new(&x, 0, NODE_DISCONNECT, qpn, 4), NODE_OK);
    assert_int_equal(ask_new(&x, 0, NODE_CONNECT, b, sizeof(b)), NODE_OK);
    roce_put16(b + NODE_CONNECT_MTU, 1000);
    assert_int_equal(ask_new(&x, 0, NODE_CONNECT, b, sizeof(b)), NODE_E_MALFORMED);
    roce_put16(b + NODE_CONNECT_MTU, 1024);
    roce_put32(b + NODE_CONNECT_QPN, 1 << 24);
    assert_int_equal(ask_new(&x, 0, NODE_CONNECT, b, sizeof(b)), NODE_E_MALFORMED);
    assert_int_equal(responder_count(&responder, 1), 1);
    hello(&x, 0);
    assert_int_equal(login(&x, 0, x.id), NODE_OK); /* who resumes starts without */
    assert_int_equal(responder_count(&responder, 1), 0);
    assert_int_equal(ask_new(&x, 0, NODE_BYE, NULL, 0), NODE_OK);
    assert_int_equal(ask_new(&x, 0, NODE_KEEPALIVE, NULL, 0), NODE_E_NO_SESSION);
    assert_int_equal(login(&z, 0, 0), NODE_OK);
}

/* ---- a device instead of the responder ---- */

static struct {
    struct device d;
    struct responder_spec spec; /* of the newest queue pair */
    uint32_t psn;
    unsigned qps, open; /* how many there are */
    bool refuse;
} fake;

static enum node_status fake_connect(struct device *d, const struct responder_spec *spec,
                                     uint32_t psn, uint32_t *qpn)
{
    fake.spec = *spec;
    fake.psn = psn;
    *qpn = 100 + fake.qps++;
    return NODE_OK;
}

static bool fake_disconnect(struct device *d, uint32_t owner, uint32_t qpn)
{
    if (owner != fake.spec.owner || qpn != 99 + fake.qps)
        return false;
    fake.qps--;
    return true;
}

static void fake_disconnect_all(struct device *d, uint32_t owner)
{
    if (owner == fake.spec.owner)
        fake.qps = 0;
}

static unsigned fake_count(const struct device *d, uint32_t owner)
{
    return owner == fake.spec.owner ? fake.qps : 0;
}

static bool fake_open(struct device *d, struct extent *e, void *at)
{
    if (fake.refuse)
        return false;
    memset(at, 7, e->length);
    e->key = 0x1000 + ++fake.open;
    e->handle = at;
    return true;
}

static void fake_close(struct device *d, struct extent *e)
{
    assert_int_equal(fake.qps, 0); /* before: what they may reach is there */
    assert_int_equal(*(uint8_t *)e->handle, 7);
    fake.open--;
}

static void a_device_has_queue_pairs_and_keys(void **state)
{
    static const struct device_ops ops = {
        .connect = fake_connect,
        .disconnect = fake_disconnect,
        .disconnect_all = fake_disconnect_all,
        .count = fake_count,
        .open = fake_open,
        .close = fake_close,
    };
    uint8_t b[NODE_CONNECT_BODY] = {0}, qpn[4], alloc[NODE_ALLOC_BODY] = {0},
            given[NODE_FREE_BODY] = {0};
    struct client x = {.seq = 1};

    memset(&fake, 0, sizeof(fake));
    fake.d = (struct device){.ops = &ops, .name = "fake", .rd_atomic = 16};
    c.device = memory.device = &fake.d;
    hello(&x, 0);
    assert_int_equal(login(&x, 0, 0), NODE_OK);
    assert_int_equal(roce_get16(out + NODE_HEAD + NODE_LOGIN_R_RD_ATOMIC), 16);
    roce_put64(alloc + NODE_ALLOC_BYTES, 5000);
    roce_put32(alloc + NODE_ALLOC_ACCESS, NODE_READ | NODE_WRITE);
    fake.refuse = true;
    assert_int_equal(ask_new(&x, 0, NODE_ALLOC, alloc, sizeof(alloc)), NODE_E_NO_MEMORY);
    assert_int_equal(memory_largest(&memory), 1 << 20);
    assert_int_equal(memory.nr_extents, 0);
    fake.refuse = false;
    assert_int_equal(ask_new(&x, 0, NODE_ALLOC, alloc, sizeof(alloc)), NODE_OK);
    assert_int_equal(roce_get32(out + NODE_HEAD + NODE_ALLOC_R_RKEY), 0x1001);
    memcpy(given + NODE_FREE_VA, out + NODE_HEAD + NODE_ALLOC_R_VA, 8);
    roce_put32(given + NODE_FREE_RKEY, 0x1002);
    assert_int_equal(ask_new(&x, 0, NODE_FREE, given, sizeof(given)), NODE_E_NOT_FOUND);
    roce_put32(given + NODE_FREE_RKEY, 0x1001);
    assert_int_equal(ask_new(&x, 0, NODE_FREE, given, sizeof(given)), NODE_OK);
    assert_int_equal(fake.open, 0);
    assert_int_equal(ask_new(&x, 0, NODE_ALLOC, alloc, sizeof(alloc)), NODE_OK);

    roce_put32(b + NODE_CONNECT_QPN, 17);
    roce_put32(b + NODE_CONNECT_PSN, 0xabcdef);
    roce_put16(b + NODE_CONNECT_MTU, 4096);
    roce_put16(b + NODE_CONNECT_RD_ATOMIC, 64);
    for (unsigned i = 0; i < c.limits.qps; i++) {
        assert_int_equal(ask_new(&x, 0, NODE_CONNECT, b, sizeof(b)), NODE_OK);
        assert_int_equal(roce_get32(out + NODE_HEAD + NODE_CONNECT_QPN), 100 + i);
        assert_int_equal(roce_get32(out + NODE_HEAD + NODE_CONNECT_PSN), fake.psn);
        assert_int_equal(roce_get16(out + NODE_HEAD + NODE_CONNECT_RD_ATOMIC), 16);
        assert_int_equal(fake.spec.peer_qpn, 17);
        assert_int_equal(fake.spec.psn, 0xabcdef);
        assert_int_equal(fake.spec.peer, from.address);
        assert_int_equal(fake.spec.mtu, 1024);
    }
    assert_int_equal(ask_new(&x, 0, NODE_CONNECT, b, sizeof(b)), NODE_E_LIMIT);
    assert_int_equal(responder.nr_qps, 0);
    roce_put32(qpn, 17);
    assert_int_equal(ask_new(&x, 0, NODE_DISCONNECT, qpn, 4), NODE_E_NOT_FOUND);
    roce_put32(qpn, 103);
    assert_int_equal(ask_new(&x, 0, NODE_DISCONNECT, qpn, 4), NODE_OK);
    assert_int_equal(fake.qps, 3);
    control_tick(&c, 1000); /* the lease is over; the memory stays */
    assert_int_equal(fake.qps, 0);
    assert_int_equal(fake.open, 1);
    control_tick(&c, 1500);
    assert_int_equal(fake.open, 0);
    hello(&x, 1500);
    assert_int_equal(login(&x, 1500, 0), NODE_OK);
    assert_int_equal(ask_new(&x, 1500, NODE_ALLOC, alloc, sizeof(alloc)), NODE_OK);
    memory_close(&memory);
    assert_int_equal(fake.open, 0);
}

/* ---- memory ---- */

enum { REGION = 4 << 20, HELD = 64 };

static void extents_never_overlap_and_are_always_zero(void **state)
{
    struct region_spec specs[] = {{.name = "a", .size = REGION, .quota = REGION / 2},
                                  {.name = "b", .size = REGION / 4}};
    struct extent *held[HELD] = {0};
    static struct memory m;
    struct why why;
    struct rng rng;
    uint64_t held_bytes[4] = {0}, refused[NODE_STATUSES] = {0};

    rng_seed(&rng, 1, 0);
    m.quota = REGION / 2 + REGION / 8;
    assert_true(memory_add(&m, &specs[0], &why) && memory_add(&m, &specs[1], &why));
    assert_false(memory_add(&m, &specs[1], &why));
    for (unsigned step = 0; step < 6000; step++) {
        unsigned i = rng_below(&rng, HELD), owner = i % 4;
        uint64_t bytes =
            1 + (rng_below(&rng, 6) ? rng_below(&rng, 60000) : rng_below(&rng, REGION / 2));
        struct extent *e = held[i];
        enum node_status s;

        if (e) {
            uint8_t *p = memory_at(&m, owner, e->rkey, memory_va(e), e->length, NODE_WRITE);

            assert_non_null(p);
            assert_int_equal(p[0], i); /* nobody else wrote there */
            assert_int_equal(p[e->length - 1], i);
            held_bytes[owner] -= e->length;
            memory_free(&m, e);
            held[i] = NULL;
            continue;
        }
        s = memory_alloc(&m, owner, rng_below(&rng, 2) ? NULL : "a", bytes, NODE_READ | NODE_WRITE,
                         &e);
        refused[s]++;
        if (s != NODE_OK)
            continue;
        held[i] = e;
        held_bytes[owner] += e->length;
        assert_true(e->length >= bytes && e->length < bytes + NODE_GRAIN);
        assert_true(held_bytes[owner] <= m.quota);
        assert_int_equal(memory_used(&m, owner, NULL), held_bytes[owner]);
        uint8_t *p = memory_at(&m, owner, e->rkey, memory_va(e), e->length, NODE_READ);
        uint64_t va = memory_va(e);

        for (uint64_t at = 0; at < e->length; at += 97)
            assert_int_equal(p[at], 0);
        memset(p, i, e->length);
        assert_null(memory_at(&m, owner + 1, e->rkey, va, 1, NODE_READ));
        assert_null(memory_at(&m, owner, e->rkey ^ 0x1000, va, 1, NODE_READ));
        assert_null(memory_at(&m, owner, e->rkey, va - 1, 1, NODE_READ));
        assert_null(memory_at(&m, owner, e->rkey, va, e->length + 1, NODE_READ));
        assert_null(memory_at(&m, owner, e->rkey, va + e->length, 1, NODE_READ));
        assert_null(memory_at(&m, owner, e->rkey, va + 1, UINT64_MAX, NODE_READ));
        assert_null(memory_at(&m, owner, e->rkey, UINT64_MAX, 2, NODE_READ));
    }
    assert_true(refused[NODE_OK] > 500 && refused[NODE_E_QUOTA] > 50 &&
                refused[NODE_E_NO_MEMORY] > 50);
    for (unsigned owner = 0; owner < 4; owner++)
        memory_free_all(&m, owner);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(m.regions[i].nr_pieces, 1);
        assert_int_equal(m.regions[i].pieces[0].length, m.regions[i].spec.size);
        assert_int_equal(m.regions[i].used, 0);
    }
    memory_close(&m);
}

static void words_of_regions(void **state)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t size, quota;
    } cases[] = {
        {"a=1K", true, 1024, 0},
        {"a=2M,quota=1M", true, 2 << 20, 1 << 20},
        {"a.b-c_D9=3G", true, 3ull << 30, 0},
        {"a=7", true, 7, 0},
        {"a", false, 0, 0},
        {"a=", false, 0, 0},
        {"=1M", false, 0, 0},
        {"a=1MB", false, 0, 0},
        {"a=-1", false, 0, 0},
        {"a=1M,", false, 0, 0},
        {"a=1M,file=", false, 0, 0},
        {"a=1M,quota=x", false, 0, 0},
        {"a=18446744073709551616", false, 0, 0},
        {"a=99999999999T", false, 0, 0},
        {"a\"b=1M", false, 0, 0},
        {"abcdefghijklmnopqrstuvwxyz1234567=1M", false, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct region_spec s;
        struct why why;

        assert_int_equal(region_parse(&s, cases[i].text, &why), cases[i].good);
        if (!cases[i].good)
            continue;
        assert_int_equal(s.size, cases[i].size);
        assert_int_equal(s.quota, cases[i].quota);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmac_is_rfc_4231s),
        cmocka_unit_test_setup_teardown(a_lease_ends_to_the_millisecond, open_node, close_node),
        cmocka_unit_test_setup_teardown(a_nonce_is_good_for_ten_to_twenty_seconds, open_node,
                                        close_node),
        cmocka_unit_test_setup_teardown(requests_are_done_once, open_node, close_node),
        cmocka_unit_test_setup_teardown(queue_pairs_belong_to_their_session, open_node, close_node),
        cmocka_unit_test_setup_teardown(a_device_has_queue_pairs_and_keys, open_node, close_node),
        cmocka_unit_test(extents_never_overlap_and_are_always_zero),
        cmocka_unit_test(words_of_regions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
