/*
 * live: the requester itself (kernel/roce), built for the host, against rdma_rxe at the other end
 * of a socket with QEMU's framing (a length of 4 bytes, then a frame). Random READs and WRITEs of
 * all lengths and alignments, up to several chunks, over a network that loses PPM of a million
 * packets each way; every byte that is read is compared with what was written last. client.py has
 * connected the queue pair and starts this:
 *
 *     live FD OPERATIONS SEED PPM MTU WINDOW READS QPN NODE_QPN PSN VA BYTES RKEY IP NODE_IP MAC
 * NODE_MAC
 *
 * FD is the socket, addresses are hexadecimal. Prints what was done and ends with 0 if all is
 * right.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "roce/icrc.h"
#include "roce/qp.h"

enum { RING = 16, FRAME_MAX = 9216, LARGEST = 300000, ARGS = 18 };

struct op {
    bool busy, write;
    uint32_t off, len;
    uint8_t *buf, *want;
};

static int fd;
static struct roce_qp qp;
static struct roce_request ring[RING];
static struct op ops[RING]; /* completed in order: a ring, too */
static unsigned long head, tail, wrong, reads, writes, bytes;
static uint8_t *reference; /* what the node's memory holds, once all that is posted has been done */
static uint32_t memory, rkey, loss;
static uint64_t va, seed;
static struct roce_path path;

static void fail(const char *what)
{
    printf("live: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint32_t below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % n);
}

static uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- frames ---- */

static void send_frame(uint8_t *frame, size_t len)
{
    uint8_t out[4 + FRAME_MAX];

    roce_put32(out, (uint32_t)len);
    memcpy(out + 4, frame, len);
    len += 4;
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, out + done, len - done);

        if (n <= 0)
            fail("write");
        done += (size_t)n;
    }
}

static int send_packet(void *ctx, uint8_t *bth, unsigned bth_len, const void *payload,
                       uint32_t payload_len, unsigned pad)
{
    uint8_t frame[FRAME_MAX] = {0};
    size_t len = bth_len + payload_len + pad + ROCE_ICRC;

    if (below(1000000) < loss)
        return 0;
    roce_build_front(frame, &path, len);
    memcpy(frame + ROCE_FRONT, bth, bth_len);
    if (payload_len)
        memcpy(frame + ROCE_FRONT + bth_len, payload, payload_len);
    roce_icrc_set(frame + ROCE_ETH, len);
    send_frame(frame, ROCE_FRONT + len);
    return 0;
}

/* Linux asks for our address again and again. */
static void answer_arp(uint8_t *f, size_t len)
{
    if (len < 42 || roce_get16(f + 12) != 0x806 || roce_get16(f + 20) != 1 ||
        roce_get32(f + 38) != path.src_ip)
        return;
    memcpy(f + 32, f + 22, 10); /* the asker is the target now */
    memcpy(f, f + 32, 6);
    memcpy(f + 6, path.src_mac, 6);
    memcpy(f + 22, path.src_mac, 6);
    roce_put32(f + 28, path.src_ip);
    roce_put16(f + 20, 2);
    send_frame(f, len);
}

static void frame_came(uint8_t *frame, size_t len)
{
    struct roce_frame f;
    struct roce_packet p;

    if (!roce_frame_parse(&f, frame, len, len)) {
        answer_arp(frame, len);
        return;
    }
    if (below(1000000) < loss || !roce_parse(&p, f.bth, f.have, f.len) || p.qpn != qp.attr.qpn)
        return;
    if (!roce_icrc_good(f.ip, f.len)) {
        printf("live: a packet with a wrong ICRC\n");
        wrong++;
        return;
    }
    roce_input(&qp, &p, f.bth + p.head_len, NULL, clock_ns());
}

static void receive(int wait_ms)
{
    static uint8_t in[1 << 18];
    static size_t have;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t at = 0;
    ssize_t n;

    if (poll(&p, 1, wait_ms) <= 0)
        return;
    n = read(fd, in + have, sizeof(in) - have);
    if (n <= 0)
        fail("read");
    have += (size_t)n;
    while (have - at >= 4 && have - at - 4 >= roce_get32(in + at)) {
        frame_came(in + at + 4, roce_get32(in + at));
        at += 4 + roce_get32(in + at);
    }
    memmove(in, in + at, have - at);
    have -= at;
}

/* ---- operations ---- */

static void complete(void *ctx, const struct roce_request *r, int status, uint8_t syndrome)
{
    struct op *o = &ops[head++ % RING];

    if (status != 0 || r->cookie != o) {
        printf("live: %s of %u bytes at %u: status %d, syndrome %#x\n", o->write ? "WRITE" : "READ",
               o->len, o->off, status, syndrome);
        wrong++;
    } else if (!o->write && memcmp(o->buf, o->want, o->len) != 0) {
        printf("live: READ of %u bytes at %u: not what was written\n", o->len, o->off);
        wrong++;
    }
    bytes += o->len;
    *(o->write ? &writes : &reads) += 1;
    free(o->buf);
    free(o->want);
    o->busy = false;
}

/* A READ that is repeated reads anew, and may see what was written after it (qp.h). */
static bool is_being_read(uint32_t off, uint32_t len)
{
    for (unsigned i = 0; i < RING; i++)
        if (ops[i].busy && !ops[i].write && off < ops[i].off + ops[i].len && ops[i].off < off + len)
            return true;
    return false;
}

static uint32_t length(void)
{
    switch (below(8)) {
    case 0:
        return 1 + below(LARGEST);
    case 1:
    case 2:
        return 1 + below(9);
    case 3:
    case 4:
        return qp.attr.mtu * (1 + below(4)) + below(5) - 2;
    default:
        return 1 + below(20000);
    }
}

static bool post(bool write, uint32_t off, uint32_t len)
{
    struct op *o = &ops[tail % RING];
    int r;

    if (roce_room(&qp) == 0 || (write && is_being_read(off, len)))
        return false;
    *o = (struct op){true, write, off, len, malloc(len), write ? NULL : malloc(len)};
    if (write) {
        for (uint32_t i = 0; i < len; i++)
            o->buf[i] = (uint8_t)below(256);
        memcpy(reference + off, o->buf, len);
        r = roce_write(&qp, va + off, rkey, len, o->buf, o);
    } else {
        memset(o->buf, 0xee, len);
        memcpy(o->want, reference + off, len);
        r = roce_read(&qp, va + off, rkey, len, o->buf, o);
    }
    if (r != 0)
        fail("post");
    tail++;
    return true;
}

static void turn(uint64_t end)
{
    uint64_t now = clock_ns(), due = roce_deadline(&qp);

    if (now > end) {
        printf("live: not done in time\n");
        exit(1);
    }
    roce_output(&qp, now);
    receive(due <= now ? 0 : 1);
    now = clock_ns();
    if (roce_deadline(&qp) <= now)
        roce_timer(&qp, now);
}

int main(int argc, char **argv)
{
    static const struct roce_ops roce = {send_packet, NULL, complete};
    uint64_t a[ARGS] = {0}, end;
    struct roce_attr attr = {.retries = 20,
                             .rnr_retries = ROCE_RETRIES_FOREVER,
                             .rto_min_ns = 2000000,
                             .rto_max_ns = 500000000,
                             .rto_first_ns = 50000000};

    if (argc != ARGS)
        return 2;
    for (int i = 1; i < ARGS; i++)
        a[i] = strtoull(argv[i], NULL, i < 13 ? 0 : 16);
    end = clock_ns() + (30 + a[2] / 10) * 1000000000u;
    fd = (int)a[1], seed = a[3], loss = (uint32_t)a[4];
    attr.mtu = (uint32_t)a[5], attr.window = (uint32_t)a[6], attr.max_reads = (uint32_t)a[7];
    attr.qpn = (uint32_t)a[8], attr.peer_qpn = (uint32_t)a[9], attr.psn = (uint32_t)a[10];
    va = a[11], memory = (uint32_t)a[12], rkey = (uint32_t)a[13];
    path = (struct roce_path){
        .src_ip = (uint32_t)a[14], .dst_ip = (uint32_t)a[15], .src_port = 0xc123, .ttl = 64};
    for (int i = 0; i < 6; i++) {
        path.src_mac[i] = (uint8_t)(a[16] >> (40 - 8 * i));
        path.dst_mac[i] = (uint8_t)(a[17] >> (40 - 8 * i));
    }
    roce_crc_init();
    reference = calloc(1, memory);
    roce_init(&qp, &roce, NULL, ring, RING);
    if (roce_connect(&qp, &attr, clock_ns()) != 0)
        return 2;
    for (unsigned long i = 0; i < a[2] && wrong == 0;) {
        uint32_t len = length(), off = below(memory - len + 1);

        i += post(below(2), off, len);
        turn(end);
    }
    while (wrong == 0 && !post(false, 0, memory)) /* all of it, in the end */
        turn(end);
    while (wrong == 0 && roce_outstanding(&qp) > 0)
        turn(end);
    printf("live: %lu READs, %lu WRITEs, %lu bytes, %lu packets sent again, %lu NAKs, %lu strange: "
           "%lu wrong\n",
           reads, writes, bytes, (unsigned long)qp.stats.resent,
           (unsigned long)qp.stats.nak_sequence,
           (unsigned long)(qp.stats.bad_opcode + qp.stats.bad_length + qp.stats.future +
                           qp.stats.reserved + qp.stats.bad_qp),
           wrong);
    return wrong != 0;
}
