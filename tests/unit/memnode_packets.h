/*
 * What the tests of the memory node's responder share: a memory, a world for the responder, and
 * packets made and read by offsets, with a CRC a byte at a time, so that nothing of the code under
 * test is in them. Included once by each test.
 */
#pragma once

#include "memnode/responder.h"
#include "roce/icrc.h"
#include "load/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    MEMORY = 1 << 16,
    BASE = 0x40000000, /* the remote address of its first byte */
    KEY = 0x12345678,
    OWNER = 7,
    PEER = 0x0a090002,
    NODE = 0x0a090001,
    QPN = 0xabcde,
    BUF = 4400,
    WAITING = 8192,
};

struct bytes {
    uint8_t b[BUF];
    size_t n;
};

static uint8_t memory[MEMORY], shadow[MEMORY];
static struct bytes *sent; /* what the responder has sent */
static unsigned nr_sent;
static bool no_room, read_only, freed;
static uint32_t stuck; /* the peer that nothing can be sent to */
static struct rng rng;

static inline uint8_t *env_memory(void *ctx, uint32_t owner, uint32_t rkey, uint64_t va, uint64_t n,
                                  unsigned access)
{
    if (freed || owner != OWNER || rkey != KEY || va < BASE || va - BASE > MEMORY ||
        n > MEMORY - (va - BASE) || (read_only && access & NODE_WRITE))
        return NULL;
    assert_true(n > 0);
    return memory + (va - BASE);
}

static inline uint8_t *env_room(void *ctx, const struct responder_qp *qp)
{
    assert_true(nr_sent < WAITING);
    return no_room || qp->spec.peer_qpn == stuck ? NULL : sent[nr_sent].b;
}

static inline void env_send(void *ctx, const struct responder_qp *qp, uint8_t *ip, size_t n)
{
    assert_ptr_equal(ip, sent[nr_sent].b);
    sent[nr_sent++].n = n;
}

static const struct responder_env env = {.memory = env_memory, .room = env_room, .send = env_send};

/* ---- packets, by offsets ---- */

static uint32_t crc_bytes[256];

static inline void crc_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        crc_bytes[i] = i;
        for (int bit = 0; bit < 8; bit++)
            crc_bytes[i] = crc_bytes[i] >> 1 ^ (crc_bytes[i] & 1 ? 0xedb88320 : 0);
    }
}

static inline uint32_t crc_bits(uint32_t crc, uint8_t byte)
{
    return crc >> 8 ^ crc_bytes[(crc ^ byte) & 0xff];
}

static inline uint32_t plain_icrc(const uint8_t *ip, size_t n)
{
    uint32_t crc = ~0u;

    for (int i = 0; i < 8; i++)
        crc = crc_bits(crc, 0xff);
    for (size_t i = 0; i < n - 4; i++) {
        bool masked = i == 1 || i == 8 || i == 10 || i == 11 || i == 26 || i == 27 || i == 32;

        crc = crc_bits(crc, masked ? 0xff : ip[i]);
    }
    return ~crc;
}

static inline void be(uint8_t *p, uint64_t v, int n)
{
    while (n--) {
        p[n] = v;
        v >>= 8;
    }
}

static inline uint64_t from_be(const uint8_t *p, int n)
{
    uint64_t v = 0;

    for (int i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

struct request {
    unsigned opcode, pad;
    uint32_t psn, qpn;
    bool ack, reth;
    uint64_t va;
    uint32_t rkey, len;
    uint8_t payload[4096];
    size_t n;
    uint32_t from, to;
    uint16_t pkey;
    uint32_t spoil; /* XORed to the ICRC */
};

static inline void build(struct bytes *out, const struct request *q)
{
    uint8_t *p = out->b, *t = p + 28;
    size_t head = 12 + (q->reth ? 16 : 0), len = head + q->n + q->pad + 4;

    memset(p, 0, 28 + len);
    be(p, 0x4500, 2);
    be(p + 2, 28 + len, 2);
    be(p + 6, 0x4000, 2);
    p[8] = 64;
    p[9] = 17;
    be(p + 12, q->from, 4);
    be(p + 16, q->to, 4);
    be(p + 20, 50000, 2);
    be(p + 22, 4791, 2);
    be(p + 24, 8 + len, 2);
    t[0] = q->opcode;
    t[1] = 0x40 | q->pad << 4;
    be(t + 2, q->pkey, 2);
    be(t + 5, q->qpn, 3);
    t[8] = q->ack << 7;
    be(t + 9, q->psn, 3);
    if (q->reth) {
        be(t + 12, q->va, 8);
        be(t + 20, q->rkey, 4);
        be(t + 24, q->len, 4);
    }
    memcpy(t + head, q->payload, q->n);
    out->n = 28 + len;
    uint32_t crc = plain_icrc(p, out->n) ^ q->spoil;
    memcpy(p + out->n - 4, &crc, 4); /* little-endian, as this machine */
}

static inline enum responder_drop deliver(struct responder *r, const struct bytes *p)
{
    uint8_t *exact = malloc(p->n); /* so that a read beyond it is seen */
    enum responder_drop why;

    memcpy(exact, p->b, p->n);
    why = responder_input(r, exact, p->n - 28);
    free(exact);
    return why;
}

struct answer {
    unsigned opcode;
    uint32_t psn, qpn;
    int syndrome; /* -1: has none */
    uint32_t msn;
    const uint8_t *payload;
    size_t n;
};

/* Everything about it that does not depend on the request is checked at once. */
static inline struct answer parse(const struct bytes *p)
{
    const uint8_t *t = p->b + 28;
    struct answer a = {
        .opcode = t[0], .psn = from_be(t + 9, 3), .qpn = from_be(t + 5, 3), .syndrome = -1};
    size_t head = 12;
    uint32_t crc;
    unsigned pad = t[1] >> 4 & 3;

    memcpy(&crc, p->b + p->n - 4, 4);
    assert_int_equal(crc, plain_icrc(p->b, p->n));
    assert_int_equal(from_be(p->b, 2), 0x4500);
    assert_int_equal(from_be(p->b + 2, 2), p->n);
    assert_int_equal(from_be(p->b + 4, 4), 0x4000); /* identification 0, DF */
    assert_int_equal(from_be(p->b + 12, 4), NODE);
    assert_int_equal(from_be(p->b + 16, 4), PEER);
    assert_int_equal(from_be(p->b + 22, 2), 4791);
    assert_int_equal(from_be(p->b + 24, 2), p->n - 20);
    assert_int_equal(from_be(p->b + 26, 2), 0);
    assert_int_equal(t[1] & 0xcf, 0x40);
    assert_int_equal(from_be(t + 2, 2), 0xffff);
    assert_in_range(from_be(t + 4, 4), QPN, QPN + 2);
    assert_int_equal(t[8], 0);
    if (a.opcode != 0x0e) {
        a.syndrome = t[12];
        a.msn = from_be(t + 13, 3);
        head = 16;
    }
    a.payload = t + head;
    a.n = p->n - 28 - head - pad - 4;
    assert_int_equal((a.n + pad) % 4, 0);
    for (unsigned i = 0; i < pad; i++)
        assert_int_equal(a.payload[a.n + i], 0);
    return a;
}

static inline const struct responder_qp *add(struct responder *r, unsigned mtu, unsigned rd_atomic,
                                             uint32_t psn, uint32_t peer_qpn)
{
    struct responder_spec s = {.owner = OWNER,
                               .peer_qpn = peer_qpn,
                               .psn = psn,
                               .peer = PEER,
                               .local = NODE,
                               .peer_port = 4791,
                               .local_port = 4791,
                               .mtu = mtu,
                               .rd_atomic = rd_atomic};
    const struct responder_qp *qp;

    assert_true(responder_spec_good(&s));
    qp = responder_add(r, &s, rng_next(&rng));
    assert_non_null(qp);
    assert_in_range(qp->qpn, 2, 0xfffffe);
    return qp;
}

static inline void fill_memory(void)
{
    for (unsigned i = 0; i < MEMORY; i += 8) {
        uint64_t x = rng_next(&rng);

        memcpy(memory + i, &x, 8);
    }
    memcpy(shadow, memory, MEMORY);
}

/* ---- numbers ---- */

static inline uint32_t psn_add(uint32_t a, int64_t n)
{
    return (a + n) & 0xffffff;
}

static inline void fill(struct request *q, size_t n)
{
    q->n = n;
    q->pad = -n & 3;
    for (size_t i = 0; i < n; i++)
        q->payload[i] = rng_next(&rng);
}

static inline int setup(void **state)
{
    crc_init();
    roce_crc_init();
    sent = calloc(WAITING, sizeof(*sent));
    return 0;
}

static inline int teardown(void **state)
{
    free(sent);
    return 0;
}
