/*
 * The raw network interface without calls: loops over the NIC's own rings into which the compiler
 * builds what is to be done with each packet, so that a packet needs no place in memory but its
 * frame between the ring it comes from and the ring it goes to.
 *
 *     WHERRY_INLINE bool answer(struct wherry_packet *p, void *arg) {...}
 *
 *     n = wherry_netq_serve(&q, p, 32, answer, &state);
 *
 * or, to look at all packets that came before the first is answered,
 *
 *     WHERRY_INLINE void look(struct wherry_packet *p, void *arg) {...}
 *
 *     n = wherry_netq_rx_each(&q, p, 32, look, &state);
 *     wherry_netq_tx_each(&q, p, n, answer, &state);
 *
 * Registers are what these loops lack. Keep what an answer changes in a local variable whose
 * address goes nowhere else, and what it reads, the queue too, in static ones: their addresses are
 * in the instructions. Declare what is called seldom with WHERRY_SELDOM.
 *
 * What is called so must not use wherry_netq_alloc(), _free() or _tx(): the loop has its hands in
 * the pool and the rings.
 *
 * They do the same as wherry_netq_rx() and wherry_netq_tx() (netdev.h), which are made of them.
 * What is here are the usual cases: a split virtqueue (virtio 1.2 §2.7) that is full, whose buffers
 * come back in order (kernel/drivers/virtio/virtq.h has the conditions), and frames that are what
 * is steered for without any oddity. The first that is not so ends the run, and the functions of
 * the kernel that are declared here go on.
 */
#pragma once

#include <wherry/netdev.h>
#include <wherry/words.h>

#define WHERRY_RUN_HEADER 12u /* struct virtio_net_hdr_v1, in front of a frame */

/* Bytes of the headers of a steered frame. */
#define WHERRY_STEERED_HEAD 42u

/* A ring of so many places, and where its parts are: descriptors, two words each (address; length
 * and flags); completions, one word (descriptor; length << 32); the kernel's slots, two words (the
 * block). */
#define WHERRY_RING_SIZE 256u
#define WHERRY_RING_USED (16 * WHERRY_RING_SIZE + 2 * WHERRY_RING_SIZE + 8 + 4)
#define WHERRY_RING_SLOT (16 * WHERRY_RING_SIZE + 10 * WHERRY_RING_SIZE + 16)

/* Places pos to end of a ring: completed buffers, each at its own place. */
struct wherry_run {
    uint8_t *ring;
    uint64_t
        *spare;    /* free blocks, one for each place of the run (received); room for them (sent) */
    uint64_t phys; /* from a block (received) or a frame (sent) to what a descriptor has */
    uint32_t first, pos, end;
    uint32_t blocks; /* taken from spare, or put there; from its begin on */
    uint32_t done,
        dropped;    /* of the packets to send: looked at; without a length, not to be sent */
    uint64_t bytes; /* of frames */
};

/* Keeps the compiler from making a pointer of its own of each address that depends on v. */
#define WHERRY_OPAQUE(v) __asm__("" : "+r"(v))

/* First octets of addresses that no sender can have: this network, loopback, multicast, reserved
 * (RFC 6890). */
static const uint8_t wherry_nobody[256] = {[0] = 1, [127] = 1, [224 ... 255] = 1};

void wherry_netq_rx_begin(struct wherry_netq *q, struct wherry_run *r, unsigned max);
/* Takes care of what was not for q. True: wherry_netq_rx_rest() may have more. */
bool wherry_netq_rx_end(struct wherry_netq *q, const struct wherry_run *r,
                        const struct wherry_packet *others, unsigned n);
unsigned wherry_netq_rx_rest(struct wherry_netq *q, struct wherry_packet *p, unsigned max);
void wherry_netq_tx_begin(struct wherry_netq *q, struct wherry_run *r, unsigned max);
/* Queues those of the n packets that are not done yet behind the run's, frees what is dropped or
 * finds no room, and notifies the device. How many were sent in all. */
unsigned wherry_netq_tx_end(struct wherry_netq *q, const struct wherry_run *r,
                            struct wherry_packet *p, unsigned n);
/* Takes the frame at r->pos, which is not as usual, out of the ring. True: it is for q, and its
 * length is then without padding. */
bool wherry_netq_odd(const struct wherry_netq *q, struct wherry_run *r, struct wherry_packet *p);

/*
 * Does an IP header without options have a good checksum? Its words add up to a multiple of 65535
 * then (RFC 1071 §1), and so does their sum as 64-bit words with the carries added. One that
 * divides without remainder becomes its quotient when it is multiplied by the divisor's inverse
 * (mod 2^64); others become larger than any quotient (H. S. Warren, Hacker's Delight, 2nd ed.,
 * §10-17). In assembly for the chain of carries, and to have the constants where they need no
 * registers.
 */
static const uint64_t wherry_65535[2] = {0xfffefffefffeffff, UINT64_MAX / 65535};
WHERRY_INLINE bool wherry_sum_good(uint64_t sum)
{
    bool bad;

    __asm__("imulq %[inverse], %[sum]\n\t"
            "cmpq %[most], %[sum]"
            : [sum] "+r"(sum), "=@cca"(bad)
            : [inverse] "m"(wherry_65535[0]), [most] "m"(wherry_65535[1]));
    return !bad;
}

WHERRY_INLINE bool wherry_ip_good(const uint8_t *ip)
{
    uint64_t sum = wherry_get32(ip + 16);

    __asm__("addq %[a], %[sum]\n\t"
            "adcq %[b], %[sum]\n\t"
            "adcq $0, %[sum]"
            : [sum] "+r"(sum)
            : [a] "m"(*(const uint64_t(*))ip), [b] "m"(*(const uint64_t(*))(ip + 8))
            : "cc");
    return wherry_sum_good(sum);
}

/* The sum, with carries, of sum and the n 64-bit words at p; n > 0. */
WHERRY_INLINE uint64_t wherry_sum_words(const uint8_t *p, size_t n, uint64_t sum)
{
    __asm__("clc\n"
            "1: adcq (%[p]), %[sum]\n\t"
            "leaq 8(%[p]), %[p]\n\t" /* neither lea nor dec touches the carry */
            "decq %[n]\n\t"
            "jnz 1b\n\t"
            "adcq $0, %[sum]"
            : [p] "+r"(p), [sum] "+r"(sum), [n] "+r"(n)
            :
            : "memory", "cc");
    return sum;
}

/*
 * Does the UDP checksum of a frame with data bytes of UDP payload hold, if there is one? Its UDP
 * length is right, or another test will say so.
 *
 * The pseudo header's addresses and the datagram lie side by side, 16 bytes and the payload from
 * octet 26 on. The last 8 octets of the frame are shifted until only those remain that no whole
 * word in front of them has: of the 64 bits 8 * data % 64 are new, or all if that is 0. The words
 * in front, (data + 15) / 8 of them, are a chain of additions that is entered at the right place:
 * the processor has the carry, and nothing else is counted. A longer datagram's other words are
 * added first.
 */
#define WHERRY_CHAIN 16u /* words in the chain */
#ifdef __PIC__           /* tests, and programs for Linux that use this */
#define WHERRY_CHAIN_JUMP "leaq 3f(%%rip), %[at]\n\tjmp *(%[at], %[n], 8)\n"
#define WHERRY_CHAIN_DATA ".data.rel.ro, \"aw\""
#else
#define WHERRY_CHAIN_JUMP "jmp *3f(, %[n], 8)\n"
#define WHERRY_CHAIN_DATA ".rodata"
#endif
#define WHERRY_CHAIN_WORD(i) ".L" #i "_%=: adcq 26 + 8 * (" #i " - 1)(%[f]), %[sum]\n\t"
WHERRY_INLINE bool wherry_udp_good(const uint8_t *f, size_t data)
{
    uint64_t sum = wherry_get16(f + 38), last = wherry_get64(f + 34 + data);
    size_t n = (data + 15) / 8;
    const void *at;
    uint32_t bits;

    __asm__("imull $-8, %k[data], %[bits]" : [bits] "=r"(bits) : [data] "r"(data) : "cc");
    last >>= bits % 64;
    WHERRY_OPAQUE(n);
    if (!wherry_likely(n <= WHERRY_CHAIN)) {
        sum = wherry_sum_words(f + 26 + 8 * WHERRY_CHAIN, n - WHERRY_CHAIN, sum);
        n = WHERRY_CHAIN;
    }
    __asm__("addq %[last], %[sum]\n\t"
            "adcq $17 << 8, %[sum]\n\t" /* the protocol */
            WHERRY_CHAIN_JUMP
                /* clang-format off */
            WHERRY_CHAIN_WORD(16) WHERRY_CHAIN_WORD(15) WHERRY_CHAIN_WORD(14) WHERRY_CHAIN_WORD(13)
            WHERRY_CHAIN_WORD(12) WHERRY_CHAIN_WORD(11) WHERRY_CHAIN_WORD(10) WHERRY_CHAIN_WORD(9)
            WHERRY_CHAIN_WORD(8) WHERRY_CHAIN_WORD(7) WHERRY_CHAIN_WORD(6) WHERRY_CHAIN_WORD(5)
            WHERRY_CHAIN_WORD(4) WHERRY_CHAIN_WORD(3) WHERRY_CHAIN_WORD(2) WHERRY_CHAIN_WORD(1)
            /* clang-format on */
            "adcq $0, %[sum]\n"
            ".pushsection " WHERRY_CHAIN_DATA "\n"
            ".balign 8\n"
            "3: .quad 0, .L1_%=, .L2_%=, .L3_%=, .L4_%=, .L5_%=, .L6_%=, .L7_%=, .L8_%=, .L9_%=\n"
            ".quad .L10_%=, .L11_%=, .L12_%=, .L13_%=, .L14_%=, .L15_%=, .L16_%=\n"
            ".popsection"
            : [sum] "+&r"(sum), [at] "=&r"(at)
            : [last] "r"(last), [n] "r"(n), [f] "r"(f)
            : "memory", "cc");
    return wherry_sum_good(sum) || wherry_get16(f + 40) == 0;
}

/* Octets 10 to 17 of a frame with data bytes of UDP payload, as they are to be: anything, IPv4, no
 * options and TOS 0, total length. In the place of the first two is the UDP length. */
static const uint64_t wherry_kind[2] = {(1ull << 48) + 1, ((WHERRY_STEERED_HEAD - 34ull) << 48) +
                                                              0x080045000000 + WHERRY_STEERED_HEAD -
                                                              14};

/* v & mask, with the constant in the instruction and not in a register. */
#define wherry_masked(v, mask)                                                                     \
    __extension__({                                                                                \
        uint32_t v_ = (v);                                                                         \
                                                                                                   \
        __asm__("andl %1, %0" : "+r"(v_) : "i"(mask) : "cc");                                      \
        v_;                                                                                        \
    })

/*
 * The usual frame that is steered to q, with data bytes of UDP payload and these flags: Ethernet
 * II, IPv4 without options, TOS 0, not a fragment, of just the frame's length, from somebody, with
 * good checksums. The first of these three leaves the UDP checksum and the flags out.
 */
WHERRY_INLINE bool wherry_usual_head(const struct wherry_netq *q, const uint8_t *f, uint64_t data)
{
    uint64_t kind = wherry_lengths(data, wherry_kind);
    uint32_t from = wherry_get32(f + 26);

    return wherry_get16(f + 38) == (uint16_t)kind && (kind ^ wherry_get64(f + 10)) >> 16 == 0 &&
           wherry_masked(wherry_get32(f + 20), 0xff00ffbf) == 17u << 24 &&
           ((wherry_get64(f + 30) ^ q->to) & q->to_mask) == 0 && from != q->ip &&
           !wherry_nobody[(uint8_t)from] && wherry_ip_good(f + 14);
}

WHERRY_INLINE bool wherry_usual(const struct wherry_netq *q, const uint8_t *f, uint64_t data,
                                unsigned flags)
{
    return wherry_usual_head(q, f, data) && (wherry_likely(flags != 0) || wherry_udp_good(f, data));
}

/* What the device says of a frame. */
WHERRY_INLINE uint8_t wherry_run_flags(const uint8_t *f)
{
    return f[-12] & (WHERRY_CSUM_TODO | WHERRY_CSUM_OK);
}

/* The same of a packet whose flags have not been looked at. */
WHERRY_INLINE bool wherry_usual_came(const struct wherry_netq *q, struct wherry_packet *p,
                                     uint64_t data)
{
    if (!wherry_likely(wherry_usual_head(q, p->data, data)))
        return false;
    p->flags = wherry_run_flags(p->data);
    return wherry_likely(p->flags != 0) || wherry_udp_good(p->data, data);
}

/* at: 8 times a place of the ring. */
WHERRY_INLINE uint64_t *wherry_run_desc(const struct wherry_run *r, uint64_t at)
{
    return (uint64_t *)(r->ring + 2 * at);
}

WHERRY_INLINE uint64_t *wherry_run_slot(const struct wherry_run *r, uint64_t at)
{
    return (uint64_t *)(r->ring + WHERRY_RING_SLOT + 2 * at);
}

/* One that was received. False if it is not as usual; else the bytes behind its headers, if it is a
 * steered one, in *data. */
WHERRY_INLINE bool wherry_run_came(const struct wherry_run *r, uint64_t at, uint64_t *data)
{
    uint64_t e =
        __atomic_load_n((const uint64_t *)(r->ring + WHERRY_RING_USED + at), __ATOMIC_RELAXED);

    /* Both words at once: the length, and far above it what is wrong with the place. */
    e = (e << 3 | e >> 61) - at;
    e = e >> 35 | e << 29;
    e -= WHERRY_RUN_HEADER + WHERRY_STEERED_HEAD;
    WHERRY_OPAQUE(e);
    *data = e;
    return e <= WHERRY_BUF_ROOM - WHERRY_STEERED_HEAD;
}

/* Has what was sent at a place gone out? In assembly for a product that is read from memory, which
 * no compiler makes of eight times something. */
WHERRY_INLINE bool wherry_run_gone(const struct wherry_run *r, uint64_t at)
{
    uint32_t e;

    __asm__("imull $8, %[used], %[e]"
            : [e] "=r"(e)
            : [used] "m"(*(const volatile uint32_t *)(r->ring + WHERRY_RING_USED + at))
            : "cc");
    return e == (uint32_t)at;
}

/* The place where something was received gets another block. */
WHERRY_INLINE void wherry_run_refill(const struct wherry_run *r, uint64_t at, uint64_t block)
{
    *wherry_run_slot(r, at) = block;
    *wherry_run_desc(r, at) = block + r->phys;
}

/* The block at at takes the place of that which has gone out from to, and the other way about. The
 * device reads both from where its header begins. */
WHERRY_INLINE uint64_t wherry_run_swap(const struct wherry_run *r, uint64_t at,
                                       const struct wherry_run *t, uint64_t to)
{
    uint64_t block = *wherry_run_slot(r, at), old = *wherry_run_slot(t, to);

    wherry_run_refill(r, at, old);
    *wherry_run_slot(t, to) = block;
    *wherry_run_desc(t, to) = block + r->phys;
    return block;
}

/* A frame in the block of a place goes out. */
WHERRY_INLINE void wherry_run_put(const struct wherry_run *r, uint64_t at,
                                  const struct wherry_packet *p)
{
    wherry_run_desc(r, at)[1] = (uint64_t)p->len + WHERRY_RUN_HEADER;
    /* §5.1.6: flags, nothing to segment; csum_start, csum_offset; no num_buffers */
    wherry_put64(p->data - 12, p->flags & WHERRY_CSUM_TODO);
    wherry_put32(p->data - 6, p->csum_start | (uint32_t)p->csum_off << 16);
    wherry_put16(p->data - 2, 0);
}

/* All of a packet that has come but its flags. */
WHERRY_INLINE void wherry_run_packet(struct wherry_packet *p, uint64_t block, uint64_t data)
{
    uint8_t *f = (uint8_t *)block + WHERRY_BUF_START;

    if (data > WHERRY_BUF_ROOM - WHERRY_STEERED_HEAD)
        __builtin_unreachable(); /* wherry_run_came() has said so */
    WHERRY_OPAQUE(f);
    p->data = f;
    p->len = (uint16_t)(data + WHERRY_STEERED_HEAD);
    p->csum_start = wherry_get16(f - 6);
    p->csum_off = wherry_get16(f - 4);
}

/* wherry_netq_rx(); each() is called for each packet when it has been taken. */
WHERRY_INLINE unsigned wherry_netq_rx_each(struct wherry_netq *q, struct wherry_packet *p,
                                           unsigned max,
                                           void (*each)(struct wherry_packet *p, void *arg),
                                           void *arg)
{
    struct wherry_packet *others = p + max, *at = p;
    struct wherry_run shared;
    uint64_t *spare;
    bool odd;

    wherry_netq_rx_begin(q, &shared, max);
    spare = shared.spare;
    do {
        struct wherry_run r =
            shared; /* in registers: nobody else can see it, and nobody is called */
        uint64_t pos = 8 * (uint64_t)r.pos, end = 8 * (uint64_t)r.end;

        for (odd = false; pos != end; pos += 8) {
            struct wherry_packet c;
            uint64_t data;

            WHERRY_OPAQUE(pos);
            if (!wherry_run_came(&r, pos, &data))
                break;
            wherry_run_packet(&c, *wherry_run_slot(&r, pos), data);
            odd = !wherry_usual_came(q, &c, data);
            if (!wherry_likely(!odd))
                break;
            wherry_run_refill(&r, pos, *spare++);
            r.bytes += c.len;
            at->data = c.data;
            at->len = c.len;
            at->flags = c.flags;
            wherry_put32((uint8_t *)&at->csum_start, wherry_get32(c.data - 6));
            each(at++, arg);
        }
        shared.bytes = r.bytes;
        shared.pos = (uint32_t)(pos / 8);
        shared.blocks = shared.pos - shared.first;
        if (odd) {
            spare++; /* the odd one takes it */
            if (wherry_netq_odd(q, &shared, at))
                each(at++, arg);
            else
                *--others = *at;
        }
    } while (odd);
    if (wherry_netq_rx_end(q, &shared, others, (unsigned)(p + max - others))) {
        for (unsigned n = wherry_netq_rx_rest(q, at, (unsigned)(p + max - at)); n > 0; n--)
            each(at++, arg);
    }
    return (unsigned)(at - p);
}

/*
 * Sends up to n packets, each when make() has made it, which says false of one that is not to be
 * sent. All of p is taken: what is not sent, or finds no room in the ring (tx_refused), is freed.
 * Notifies the device once. How many were sent.
 */
WHERRY_INLINE unsigned wherry_netq_tx_each(struct wherry_netq *q, struct wherry_packet *p,
                                           unsigned n,
                                           bool (*make)(struct wherry_packet *p, void *arg),
                                           void *arg)
{
    struct wherry_packet *at = p, *end;
    struct wherry_run shared, r;
    uint64_t pos;

    wherry_netq_tx_begin(q, &shared, n);
    r = shared;
    pos = 8 * (uint64_t)r.pos;
    for (end = p + (r.end - r.pos); at != end; at++) {
        struct wherry_packet c = *at;

        WHERRY_OPAQUE(pos);
        if (!wherry_run_gone(&r, pos))
            break;
        if (!wherry_likely(make(&c, arg))) {
            at->len = 0;
            r.dropped++;
            continue;
        }
        *r.spare++ = *wherry_run_slot(&r, pos);
        *wherry_run_slot(&r, pos) = (uintptr_t)c.data & -(uint64_t)WHERRY_BUF_SIZE;
        *wherry_run_desc(&r, pos) = (uintptr_t)c.data + r.phys;
        wherry_run_put(&r, pos, &c);
        r.bytes += c.len;
        pos += 8;
    }
    shared.dropped = r.dropped;
    shared.bytes = r.bytes;
    shared.pos = (uint32_t)(pos / 8);
    shared.blocks = shared.pos - shared.first;
    shared.done = (uint32_t)(at - p);
    for (end = p + n; at != end; at++) {
        if (!make(at, arg)) {
            at->len = 0;
            shared.dropped++;
        }
    }
    return wherry_netq_tx_end(q, &shared, p, n);
}

/* A run that came, and one of those that have gone out. True: it ended at a packet that is not as
 * usual. */
WHERRY_INLINE bool wherry_serve_run(struct wherry_netq *q, struct wherry_run *came,
                                    struct wherry_packet *p,
                                    void (*peek)(const uint8_t *frame, void *arg),
                                    bool (*answer)(struct wherry_packet *p, void *arg), void *arg)
{
    struct wherry_run gone, r = *came, t;
    uint64_t pos, tpos, end;
    bool odd = false;

    wherry_netq_tx_begin(q, &gone, r.end - r.pos);
    t = gone;
    pos = 8 * (uint64_t)r.pos;
    tpos = 8 * (uint64_t)t.pos;
    /* Each that came needs one that has gone; others are left for the next call. */
    end = pos + 8 * (uint64_t)(t.end - t.pos);
    for (uint64_t at = pos; peek != NULL && at != end; at += 8)
        peek((const uint8_t *)*wherry_run_slot(&r, at) + WHERRY_BUF_START, arg);
    for (; pos != end; pos += 8) {
        struct wherry_packet c;
        uint8_t *frame;
        uint64_t data;

        WHERRY_OPAQUE(pos);
        WHERRY_OPAQUE(tpos);
        if (!wherry_run_came(&r, pos, &data) || !wherry_run_gone(&t, tpos))
            break;
        /* At once, while the places are at hand; the device sees nothing of it yet. */
        wherry_run_packet(&c, wherry_run_swap(&r, pos, &t, tpos), data);
        frame = c.data;
        if (!wherry_likely(wherry_usual_came(q, &c, data))) {
            WHERRY_OPAQUE(pos); /* or else the addresses above are kept for this */
            WHERRY_OPAQUE(tpos);
            wherry_run_swap(&r, pos, &t, tpos);
            odd = true;
            break;
        }
        came->bytes += data; /* in memory: registers are dearer. Headers are added in the end */
        if (!wherry_likely(answer(&c, arg))) {
            WHERRY_OPAQUE(pos);
            WHERRY_OPAQUE(tpos);
            wherry_run_swap(&r, pos, &t, tpos);
            continue;
        }
        WHERRY_OPAQUE(tpos);
        if (c.data != frame) /* answer() has moved it */
            *wherry_run_desc(&t, tpos) = (uintptr_t)c.data + t.phys;
        wherry_run_put(&t, tpos, &c);
        gone.bytes += (uint64_t)c.len - WHERRY_STEERED_HEAD;
        tpos += 8;
    }
    came->pos = (uint32_t)(pos / 8);
    came->bytes += (came->pos - came->first) * (uint64_t)WHERRY_STEERED_HEAD;
    gone.pos = (uint32_t)(tpos / 8);
    gone.bytes += (gone.pos - gone.first) * (uint64_t)WHERRY_STEERED_HEAD;
    if (gone.pos != gone.first)
        wherry_netq_tx_end(q, &gone, p, 0);
    return odd;
}

/*
 * Both at once, for services that answer each packet when they have it: takes up to max packets,
 * and those that answer() makes an answer of, in place, go back. The block that has gone out takes
 * the place of the one that came in. p: room for max. How many came.
 *
 * Before, peek() sees what is probably there, to have memory fetched that answer() will want. It
 * may be anything: nothing has been checked, not even that there is a frame. The whole block may
 * be read.
 */
WHERRY_INLINE unsigned wherry_netq_serve_ahead(struct wherry_netq *q, struct wherry_packet *p,
                                               unsigned max,
                                               void (*peek)(const uint8_t *frame, void *arg),
                                               bool (*answer)(struct wherry_packet *p, void *arg),
                                               void *arg)
{
    struct wherry_run came;
    unsigned n;
    bool odd = false, for_us = false;

    wherry_netq_rx_begin(q, &came, max);
    if (wherry_likely(came.pos != came.end))
        odd = wherry_serve_run(q, &came, p, peek, answer, arg);
    n = came.pos - came.first;
    if (odd) {
        for_us = wherry_netq_odd(q, &came, p);
        n += for_us;
    }
    if (wherry_netq_rx_end(q, &came, p, odd && !for_us))
        n = max = wherry_netq_rx_rest(q, p, max);
    else
        max = for_us;
    if (max > 0)
        wherry_netq_tx_each(q, p, max, answer, arg);
    return n;
}

/* The same where nothing is to be fetched. */
WHERRY_INLINE unsigned wherry_netq_serve(struct wherry_netq *q, struct wherry_packet *p,
                                         unsigned max,
                                         bool (*answer)(struct wherry_packet *p, void *arg),
                                         void *arg)
{
    return wherry_netq_serve_ahead(q, p, max, NULL, answer, arg);
}
