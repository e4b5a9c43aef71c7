/*
 * For the tests of the requester that play the peer by hand (test_roce.c, test_roce_answers.c): a
 * QP, what it sends and completes, and answers to it. Numbers of packets count from the first one's
 * PSN.
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "roce/qp.h"

#define USEC  1000ull
#define MSEC  (1000 * USEC)
#define VA    0x10000000ull
#define RKEY  0xabcd1234u
#define PSN0  0xfffff0u /* the PSNs wrap soon */
#define RING  16u
#define BYTES (256u << 10)

struct sent {
    struct roce_packet p;
    const uint8_t *payload;
    uint32_t len;
    unsigned pad;
    bool repeated; /* as the QP says */
};

struct done {
    void *cookie;
    int status;
    uint8_t syndrome;
};

static struct roce_qp qp;
static struct roce_request ring[RING];
static struct sent sent[512];
static unsigned nsent, room; /* room: packets that send takes */
static struct done done[64];
static unsigned ndone;
static uint8_t *buf;
static uint64_t now;
static unsigned landed_at;
static bool take, post_again;

static inline int send_packet(void *ctx, uint8_t *bth, unsigned bth_len, const void *payload,
                              uint32_t payload_len, unsigned pad)
{
    struct sent *s = &sent[nsent];

    assert_ptr_equal(ctx, &qp);
    if (room == 0)
        return -ENOSPC;
    room--;
    assert_true(roce_parse(&s->p, bth, bth_len, bth_len + payload_len + pad + ROCE_ICRC));
    assert_int_equal(s->p.payload_len, payload_len);
    assert_int_equal(s->p.pad, pad);
    assert_int_equal(s->p.qpn, 0x222);
    s->payload = payload;
    s->len = payload_len;
    s->pad = pad;
    s->repeated = roce_repeats(&qp);
    nsent++;
    return 0;
}

static inline bool place(void *ctx, const struct roce_request *r, uint32_t offset,
                         const void *payload, uint32_t len, void *landing)
{
    assert_true(offset + len <= r->len);
    if (landing != NULL && take) {
        landed_at = offset;
        return true;
    }
    memcpy(r->buf + offset, payload, len);
    return false;
}

static inline void complete(void *ctx, const struct roce_request *r, int status, uint8_t syndrome)
{
    done[ndone++] = (struct done){r->cookie, status, syndrome};
    if (post_again && roce_write(&qp, VA, RKEY, 100, buf, (void *)77) != 0)
        assert_int_equal(qp.state, ROCE_DOWN);
}

static const struct roce_ops ops = {send_packet, place, complete};
static const struct roce_ops plain = {send_packet, NULL, complete};

static struct roce_attr attr(void)
{
    return (struct roce_attr){.qpn = 0x111,
                              .peer_qpn = 0x222,
                              .psn = PSN0,
                              .mtu = 1024,
                              .window = 16,
                              .max_reads = 4,
                              .retries = 3,
                              .rnr_retries = 2,
                              .rto_min_ns = 100 * USEC,
                              .rto_max_ns = 50 * MSEC,
                              .rto_first_ns = 5 * MSEC};
}

static inline void set_up_with(struct roce_attr a)
{
    free(buf);
    buf = calloc(1, BYTES);
    for (unsigned i = 0; i < BYTES; i++)
        buf[i] = (uint8_t)(i * 31 + (i >> 8));
    nsent = ndone = 0;
    room = ARRAY_SIZE(sent);
    now = 1000 * MSEC;
    take = post_again = false;
    roce_init(&qp, &ops, &qp, ring, RING);
    assert_int_equal(roce_connect(&qp, &a, now), 0);
}

static inline int set_up(void **state)
{
    set_up_with(attr());
    return 0;
}

static inline int tear_down(void **state)
{
    free(buf);
    buf = NULL;
    return 0;
}

static uint32_t psn(unsigned n)
{
    return roce_psn_add(PSN0, n);
}

static inline void out(void)
{
    nsent = 0;
    roce_output(&qp, now);
}

static inline bool input(uint8_t opcode, unsigned n, uint8_t syndrome, const void *payload,
                         uint32_t len, void *landing)
{
    struct roce_packet p = {.opcode = opcode,
                            .pad = (uint8_t)roce_pad(len),
                            .pkey = ROCE_PKEY,
                            .qpn = 0x111,
                            .psn = psn(n),
                            .ext = roce_extension(opcode),
                            .aeth = {syndrome, 1},
                            .payload_len = len};
    uint8_t *exact = malloc(len ? len : 1);
    bool taken;

    if (payload != NULL)
        memcpy(exact, payload, len);
    taken = roce_input(&qp, &p, exact, landing, now);
    free(exact);
    return taken;
}

static inline void ack(unsigned n)
{
    input(ROCE_ACKNOWLEDGE, n, ROCE_ACK, NULL, 0, NULL);
}

static inline void nak(unsigned n, uint8_t syndrome)
{
    input(ROCE_ACKNOWLEDGE, n, syndrome, NULL, 0, NULL);
}

static uint8_t page[4096];

static inline void response(uint8_t opcode, unsigned n, uint8_t fill, uint32_t len)
{
    memset(page, fill, sizeof(page));
    input(opcode, n, ROCE_ACK, page, len, NULL);
}

static inline void check_done(unsigned i, long cookie, int status, uint8_t syndrome)
{
    assert_true(i < ndone);
    assert_int_equal((long)done[i].cookie, cookie);
    assert_int_equal(done[i].status, status);
    assert_int_equal(done[i].syndrome, syndrome);
}

static inline void post_write(uint32_t len, long cookie)
{
    assert_int_equal(roce_write(&qp, VA, RKEY, len, buf, (void *)cookie), 0);
}

static inline void post_read(uint32_t len, long cookie)
{
    assert_int_equal(roce_read(&qp, VA, RKEY, len, buf, (void *)cookie), 0);
}

static inline void check_write(unsigned i, uint8_t opcode, unsigned n, uint32_t off, uint32_t len,
                               bool ask)
{
    assert_true(i < nsent);
    assert_int_equal(sent[i].p.opcode, opcode);
    assert_int_equal(sent[i].p.psn, psn(n));
    assert_ptr_equal(sent[i].payload, buf + off);
    assert_int_equal(sent[i].len, len);
    assert_int_equal(sent[i].p.ack_req, ask);
}

static inline void check_read(unsigned i, unsigned n, uint32_t off, uint32_t len)
{
    assert_true(i < nsent);
    assert_int_equal(sent[i].p.opcode, ROCE_READ_REQUEST);
    assert_int_equal(sent[i].p.psn, psn(n));
    assert_int_equal(sent[i].len, 0);
    assert_true(sent[i].p.reth.va == VA + off);
    assert_int_equal(sent[i].p.reth.rkey, RKEY);
    assert_int_equal(sent[i].p.reth.len, len);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
