// fuzz: kernel/roce/qp.c kernel/roce/qp_input.c
/*
 * A requester (kernel/roce/qp.h) whose peer and network are the fuzzer: any packets, also ones that
 * nearly fit, at any time, between requests, time-outs, a device without room and new connections.
 * After each step the state is consistent; requests complete once, in order; a READ that completes
 * with 0 has had each of its bytes placed once, in order; buffers have exactly their size; no more
 * is on its way than the window and the peer's READs allow.
 *
 * Input: a byte for the attributes, then records of a byte and what it takes:
 *   0-2  READ, WRITE, of the next two bytes' length    3  output, with room for the next byte's
 * packets 4    time goes on, to the deadline or by the next byte    5  a frame of raw bytes
 * (length, bytes) 6    abort, connect    else: a response: opcode, distance of the PSN from una,
 * syndrome, length
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "roce/qp.h"

enum { RING = 8 };

struct op {
    uint32_t len, placed;
    uint8_t *buf;
    bool write;
};

static struct roce_qp qp;
static struct roce_request ring[RING];
static struct op ops[RING];
static uint64_t head, tail, now;
static unsigned room;
static const uint8_t *in;
static size_t left;

static void check(int good)
{
    if (!good)
        abort();
}

static uint8_t byte(void)
{
    if (left == 0)
        return 0;
    left--;
    return *in++;
}

static int send_packet(void *ctx, uint8_t *bth, unsigned bth_len, const void *payload,
                       uint32_t payload_len, unsigned pad)
{
    struct roce_packet p;
    uint8_t sum = 0;

    if (room == 0)
        return -1;
    room--;
    memset(bth - ROCE_FRONT, 0, ROCE_FRONT);
    check(roce_parse(&p, bth, bth_len, bth_len + payload_len + pad + ROCE_ICRC));
    check(p.payload_len == payload_len && p.pad == pad && p.head_len == bth_len);
    check(p.qpn == qp.attr.peer_qpn && payload_len <= qp.attr.mtu);
    check(p.psn == (qp.nxt & ROCE_PSN_MASK));
    for (uint32_t i = 0; i < payload_len; i++)
        sum ^= ((const uint8_t *)payload)[i];
    bth[0] = sum; /* read all of it, for the sanitizer */
    return 0;
}

static bool place(void *ctx, const struct roce_request *r, uint32_t offset, const void *payload,
                  uint32_t len, void *landing)
{
    struct op *o = r->cookie;

    check(!o->write && o->buf == r->buf && o->len == r->len && o->placed == offset);
    memcpy(o->buf + offset, payload, len);
    o->placed += len;
    return landing != NULL;
}

static void complete(void *ctx, const struct roce_request *r, int status, uint8_t syndrome)
{
    struct op *o = &ops[head++ % RING];

    check(r->cookie == o && r->len == o->len && r->write == o->write);
    check(status == 0 || status == -EIO || status == -ETIMEDOUT || status == -ECANCELED);
    check(status != 0 || o->write || o->placed == o->len);
    check(status != -EIO || roce_ack_kind(syndrome) == ROCE_KIND_RNR ||
          roce_ack_kind(syndrome) == ROCE_KIND_NAK);
    free(o->buf);
}

static const struct roce_ops callbacks = {send_packet, place, complete};

static void check_state(void)
{
    uint32_t reads = 0;

    check(qp.head == head && qp.tail == tail && roce_outstanding(&qp) <= RING);
    if (qp.state == ROCE_DOWN) {
        check(head == tail && roce_deadline(&qp) == UINT64_MAX);
        return;
    }
    check(qp.una <= qp.nxt && qp.nxt <= qp.sent && qp.sent <= qp.posted);
    check(qp.sent - qp.una <= qp.attr.window);
    check(qp.head <= qp.next && qp.next <= qp.tail);
    check(head != tail || qp.una == qp.posted);
    for (uint64_t i = qp.head; i != qp.tail; i++) {
        const struct roce_request *r = &ring[i % RING];
        uint64_t seq = r->first;

        if (i == qp.head)
            check(qp.una >= r->first && qp.una < r->end);
        while (!r->write && seq < r->end) {
            uint64_t end = seq + qp.chunk < r->end ? seq + qp.chunk : r->end;

            reads += end > qp.una && end <= qp.nxt;
            seq = end;
        }
    }
    check(qp.reads == reads && reads <= qp.attr.max_reads);
    check(qp.una == qp.sent || roce_deadline(&qp) != UINT64_MAX);
}

static void input(struct roce_packet p, size_t payload_len)
{
    uint8_t *payload = malloc(payload_len ? payload_len : 1);

    memset(payload, p.psn, payload_len);
    if (roce_input(&qp, &p, payload, p.psn & 1 ? payload : NULL, now))
        check(p.psn & 1);
    free(payload);
}

static void raw(void)
{
    size_t n = byte();
    struct roce_frame f;
    struct roce_packet p;
    uint8_t *frame;

    n = n < left ? n : left;
    frame = malloc(n ? n : 1);
    memcpy(frame, in, n);
    in += n, left -= n;
    if (n > ROCE_FRONT && frame[0] & 1) { /* so that the checksum is no wall */
        roce_put16(frame + ROCE_ETH + 10, 0);
        roce_put16(frame + ROCE_ETH + 10, roce_ip_checksum(frame + ROCE_ETH));
    }
    if (roce_frame_parse(&f, frame, n, n) && roce_parse(&p, f.bth, f.have, f.len)) {
        check(p.head_len + p.payload_len + p.pad + ROCE_ICRC == f.len);
        check(f.bth + f.len <= frame + n);
        input(p, p.payload_len);
    }
    if (roce_parse(&p, frame, n, n)) {
        check(p.head_len + p.payload_len + p.pad + ROCE_ICRC == n);
        p.qpn = frame[0] & 2 ? p.qpn : qp.attr.qpn;
        input(p, p.payload_len);
    }
    free(frame);
}

/* What would be right at this PSN, and then something of it not. */
static void response(uint8_t kind)
{
    static const uint8_t opcodes[] = {ROCE_ACKNOWLEDGE, ROCE_READ_FIRST, ROCE_READ_MIDDLE,
                                      ROCE_READ_LAST, ROCE_READ_ONLY};
    struct roce_packet p = {.qpn = qp.attr.qpn, .pkey = ROCE_PKEY};
    uint8_t off = byte();
    uint64_t seq = qp.una + (uint64_t)(int64_t)(int8_t)off;
    uint8_t syndrome;

    p.psn = (uint32_t)seq & ROCE_PSN_MASK;
    p.opcode = kind & 0x80 ? opcodes[(kind >> 3) % 5] : ROCE_ACKNOWLEDGE;
    p.payload_len = p.opcode == ROCE_ACKNOWLEDGE ? 0 : qp.attr.mtu;
    for (uint64_t i = head; !(kind & 0x40) && i != tail; i++) {
        const struct roce_request *r = &ring[i % RING];
        uint64_t at = seq - r->first, bytes = at << qp.mtu_shift;
        bool first, last;

        if (seq < r->first || seq >= r->end)
            continue;
        if (r->write) {
            p.opcode = ROCE_ACKNOWLEDGE;
            p.payload_len = 0;
            break;
        }
        first = at % qp.chunk == 0 || (kind & 0x20 && seq == qp.mid_read);
        last = (at + 1) % qp.chunk == 0 || seq + 1 == r->end;
        p.opcode = first  ? last ? ROCE_READ_ONLY : ROCE_READ_FIRST
                   : last ? ROCE_READ_LAST
                          : ROCE_READ_MIDDLE;
        p.payload_len = r->len - bytes < qp.attr.mtu ? (uint32_t)(r->len - bytes) : qp.attr.mtu;
    }
    syndrome = byte();
    p.aeth.syndrome = syndrome & 0x80 ? syndrome ^ 0x80 : ROCE_ACK;
    if (kind & 0x10)
        p.payload_len ^= byte();
    p.pad = (uint8_t)roce_pad(p.payload_len);
    p.ext = roce_extension(p.opcode);
    input(p, p.payload_len);
}

static void post(bool write)
{
    struct op *o = &ops[tail % RING];
    uint32_t len = byte();
    int err;

    len |= (uint32_t)byte() << 8;
    if (len & 1)
        len >>= 5;
    if (roce_room(&qp) == 0 || qp.state == ROCE_DOWN || len == 0) {
        err =
            write ? roce_write(&qp, 0, 0, len, NULL, NULL) : roce_read(&qp, 0, 0, len, NULL, NULL);
        check(err == -EAGAIN || err == -ENOTCONN || err == -EINVAL);
        return;
    }
    *o = (struct op){.len = len, .buf = malloc(len), .write = write};
    memset(o->buf, 1, len);
    err = write ? roce_write(&qp, tail << 20, 5, len, o->buf, o)
                : roce_read(&qp, tail << 20, 5, len, o->buf, o);
    check(err == 0);
    tail++;
}

static void connect_again(uint8_t v)
{
    struct roce_attr a = {.qpn = 7u + v,
                          .peer_qpn = 9,
                          .psn = v & 1 ? ROCE_PSN_MASK - v : v,
                          .mtu = 256u << v % 5,
                          .window = 1u + (v >> 1) % 70,
                          .max_reads = 1u + (v >> 3) % 5,
                          .retries = (v & 6) == 6 ? ROCE_RETRIES_FOREVER : v & 3,
                          .rnr_retries = v >> 5 & 3,
                          .rto_min_ns = v,
                          .rto_max_ns = 1000u + v * 1000u,
                          .rto_first_ns = 500};

    bool down = qp.state == ROCE_DOWN;

    check(roce_connect(&qp, &a, now) == (down ? 0 : -EBUSY));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    in = data;
    left = size;
    head = tail = 0;
    now = 1000000;
    roce_init(&qp, &callbacks, NULL, ring, RING);
    connect_again(byte());
    check(qp.state == ROCE_UP);
    while (left > 0) {
        uint8_t b = byte();

        switch (b & 7) {
        case 0:
        case 1:
        case 2:
            post(b & 8);
            break;
        case 3:
            room = byte();
            roce_output(&qp, now);
            break;
        case 4:
            if (b & 8 && roce_deadline(&qp) != UINT64_MAX)
                now = MAX(now, roce_deadline(&qp));
            else
                now += (uint64_t)byte() << (b >> 4);
            roce_timer(&qp, now);
            break;
        case 5:
            raw();
            break;
        case 6:
            if (b & 8)
                roce_abort(&qp);
            connect_again(byte());
            break;
        default:
            response(b);
        }
        check_state();
    }
    roce_abort(&qp);
    check(head == tail);
    check(qp.stats.completed + qp.stats.failed == tail);
    return 0;
}
