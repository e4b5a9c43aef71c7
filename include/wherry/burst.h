/*
 * The raw network interface without calls: loops over the NIC's own rings into which the compiler
 * builds what is to be done with each packet, so that a packet needs no place in memory but its
 * frame between the ring it comes from and the ring it goes to.
 *
 *     static void look(struct wherry_packet *p, unsigned i, void *arg) {...}
 *     static bool answer(struct wherry_packet *p, unsigned i, void *arg) {...}
 *
 *     n = wherry_netq_rx_each(&q, p, 32, look, &state);
 *     wherry_netq_tx_each(&q, p, n, answer, &state);
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

/* For the loops' bodies: what they do is known, and the loops keep their state in registers, only
 * if all of it is one function. */
#define WHERRY_INLINE    static inline __attribute__((always_inline))
#define wherry_likely(x) __builtin_expect(!!(x), 1)

#define WHERRY_RUN_HEADER  12u /* struct virtio_net_hdr_v1, in front of a frame */
#define WHERRY_RUN_FOREIGN 1u  /* set in a slot's cookie: not a raw user's block */

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

WHERRY_INLINE uint16_t wherry_get16(const uint8_t *p)
{
    uint16_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

WHERRY_INLINE uint32_t wherry_get32(const uint8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

WHERRY_INLINE uint64_t wherry_get64(const uint8_t *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

WHERRY_INLINE void wherry_put16(uint8_t *p, uint16_t v)
{
    __builtin_memcpy(p, &v, sizeof(v));
}

WHERRY_INLINE void wherry_put32(uint8_t *p, uint32_t v)
{
    __builtin_memcpy(p, &v, sizeof(v));
}

WHERRY_INLINE void wherry_put64(uint8_t *p, uint64_t v)
{
    __builtin_memcpy(p, &v, sizeof(v));
}

/* With the carry added. */
WHERRY_INLINE uint64_t wherry_add(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? sum + 1 : sum;
}

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

WHERRY_INLINE bool wherry_ip_good(const uint8_t *ip, uint64_t dst)
{
    uint64_t sum = wherry_get64(ip);

    __asm__("addq %[b], %[sum]\n\t"
            "adcq %[dst], %[sum]\n\t"
            "adcq $0, %[sum]"
            : [sum] "+r"(sum)
            : [b] "m"(*(const uint64_t(*))(ip + 8)), [dst] "r"(dst)
            : "cc");
    return wherry_sum_good(sum);
}

/*
 * Does the UDP checksum of a frame of len bytes hold, if there is one? Its UDP length is right, or
 * another test will say so. The pseudo header's addresses and the datagram lie side by side: they
 * are added two words at a time (neither lea nor dec touches the carry), the last one after the
 * bytes before it have been shifted out.
 */
WHERRY_INLINE bool wherry_udp_good(const uint8_t *frame, size_t len)
{
    const uint8_t *p;
    size_t n, bits;
    uint64_t sum;

    WHERRY_OPAQUE(frame); /* seldom wanted: nothing is to be kept at hand for it */
    WHERRY_OPAQUE(len);
    if (wherry_get16(frame + 40) == 0)
        return true;
    p = frame + 26;
    n = (len - 26) / 16;
    bits = (len - 26) % 8 * 8;
    sum = (17u << 8) + wherry_get16(frame + 38);
    __asm__("clc\n"
            "1: adcq (%[p]), %[sum]\n\t"
            "adcq 8(%[p]), %[sum]\n\t"
            "leaq 16(%[p]), %[p]\n\t"
            "decq %[n]\n\t"
            "jnz 1b\n\t"
            "adcq $0, %[sum]"
            : [p] "+r"(p), [sum] "+r"(sum), [n] "+r"(n)
            :
            : "memory", "cc");
    if ((len - 26) & 8)
        sum = wherry_add(sum, wherry_get64(p));
    if (bits != 0)
        sum = wherry_add(sum, wherry_get64(frame + len - 8) >> (64 - bits));
    return wherry_sum_good(sum);
}

/*
 * The usual frame that is steered to q, of len bytes with these flags: Ethernet II, IPv4 without
 * options, TOS 0, not a fragment, of just the frame's length, from somebody, with good checksums.
 */
WHERRY_INLINE bool wherry_usual(const struct wherry_netq *q, const uint8_t *f, uint64_t len,
                                unsigned flags)
{
    uint32_t from = wherry_get32(f + 26);

    return wherry_get32(f + 12) == 0x00450008u && (wherry_get16(f + 20) & 0xffbfu) == 0 &&
           f[23] == 17 && ((wherry_get64(f + 30) ^ q->to) & q->to_mask) == 0 &&
           wherry_get16(f + 16) == __builtin_bswap16((uint16_t)(len - 14)) &&
           wherry_get16(f + 38) == __builtin_bswap16((uint16_t)(len - 34)) &&
           from != wherry_get32(f + 30) && !wherry_nobody[(uint8_t)from] &&
           wherry_ip_good(f + 14, q->ip) && (wherry_likely(flags != 0) || wherry_udp_good(f, len));
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

/* One that was received. False if it is not as usual; else the frame's length in *len. */
WHERRY_INLINE bool wherry_run_came(const struct wherry_run *r, uint64_t at, uint64_t *len)
{
    uint64_t e =
        __atomic_load_n((const uint64_t *)(r->ring + WHERRY_RING_USED + at), __ATOMIC_RELAXED);

    *len = (e >> 32) - WHERRY_RUN_HEADER;
    return (uint32_t)(e * 8) == (uint32_t)at &&
           *len - WHERRY_STEERED_HEAD <= WHERRY_BUF_ROOM - WHERRY_STEERED_HEAD;
}

/* Has what was sent at a place gone out, and was it a block of ours? */
WHERRY_INLINE bool wherry_run_gone(const struct wherry_run *r, uint64_t at)
{
    uint32_t e =
        __atomic_load_n((const uint32_t *)(r->ring + WHERRY_RING_USED + at), __ATOMIC_RELAXED);

    return e * 8 == (uint32_t)at && !(*wherry_run_slot(r, at) & WHERRY_RUN_FOREIGN);
}

/* The place where something was received gets another block. */
WHERRY_INLINE void wherry_run_refill(const struct wherry_run *r, uint64_t at, uint64_t block)
{
    *wherry_run_slot(r, at) = block;
    *wherry_run_desc(r, at) = block + r->phys;
}

/* The block at at takes the place of that which has gone out from to, and the other way about. */
WHERRY_INLINE uint64_t wherry_run_swap(const struct wherry_run *r, uint64_t at,
                                       const struct wherry_run *t, uint64_t to)
{
    uint64_t block = *wherry_run_slot(r, at), old = *wherry_run_slot(t, to);

    wherry_run_refill(r, at, old);
    *wherry_run_slot(t, to) = block;
    return block;
}

/* A frame in the block of a place goes out. */
WHERRY_INLINE void wherry_run_put(const struct wherry_run *r, uint64_t at,
                                  const struct wherry_packet *p)
{
    uint64_t *desc = wherry_run_desc(r, at);

    desc[0] = (uintptr_t)p->data + r->phys;
    desc[1] = (uint64_t)p->len + WHERRY_RUN_HEADER;
    /* §5.1.6: flags, nothing to segment; csum_start, csum_offset; no num_buffers */
    wherry_put64(p->data - 12, p->flags & WHERRY_CSUM_TODO);
    wherry_put32(p->data - 6, p->csum_start | (uint32_t)p->csum_off << 16);
    wherry_put16(p->data - 2, 0);
}

WHERRY_INLINE struct wherry_packet wherry_run_packet(uint64_t block, uint64_t len)
{
    uint8_t *f = (uint8_t *)block + WHERRY_BUF_START;

    return (struct wherry_packet){.data = f,
                                  .len = (uint16_t)len,
                                  .flags = f[-12] & (WHERRY_CSUM_TODO | WHERRY_CSUM_OK),
                                  .csum_start = wherry_get16(f - 6),
                                  .csum_off = wherry_get16(f - 4)};
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
            uint64_t len;

            WHERRY_OPAQUE(pos);
            if (!wherry_run_came(&r, pos, &len))
                break;
            c = wherry_run_packet(*wherry_run_slot(&r, pos), len);
            odd = !wherry_usual(q, c.data, len, c.flags);
            if (!wherry_likely(!odd))
                break;
            wherry_run_refill(&r, pos, *spare++);
            r.bytes += len;
            at->data = c.data;
            at->len = (uint16_t)len;
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

/*
 * Both at once, for services that answer each packet when they have it: takes up to max packets,
 * and those that answer() makes an answer of, in place, go back. The block that has gone out takes
 * the place of the one that came in. Where a look ahead helps, to have memory fetched, use the two
 * above. p: room for max. How many came.
 */
WHERRY_INLINE unsigned wherry_netq_serve(struct wherry_netq *q, struct wherry_packet *p,
                                         unsigned max,
                                         bool (*answer)(struct wherry_packet *p, void *arg),
                                         void *arg)
{
    struct wherry_run came, gone;
    unsigned n;
    bool odd = false, for_us = false;

    wherry_netq_rx_begin(q, &came, max);
    wherry_netq_tx_begin(q, &gone, came.end - came.pos);
    {
        struct wherry_run r = came, t = gone;
        uint64_t pos = 8 * (uint64_t)r.pos, tpos = 8 * (uint64_t)t.pos;
        /* Each that came needs one that has gone; others are left for the next call. */
        uint64_t end = pos + 8 * (uint64_t)(t.end - t.pos);

        for (; pos != end; pos += 8) {
            struct wherry_packet c;
            uint64_t len;

            WHERRY_OPAQUE(pos);
            WHERRY_OPAQUE(tpos);
            if (!wherry_run_came(&r, pos, &len) || !wherry_run_gone(&t, tpos))
                break;
            /* At once, while the places are at hand; the device sees nothing of it yet. */
            c = wherry_run_packet(wherry_run_swap(&r, pos, &t, tpos), len);
            odd = !wherry_usual(q, c.data, len, c.flags);
            if (!wherry_likely(!odd)) {
                WHERRY_OPAQUE(pos); /* or else the addresses above are kept for this */
                WHERRY_OPAQUE(tpos);
                wherry_run_swap(&r, pos, &t, tpos);
                break;
            }
            r.bytes += len;
            if (!wherry_likely(answer(&c, arg))) {
                WHERRY_OPAQUE(pos);
                WHERRY_OPAQUE(tpos);
                wherry_run_swap(&r, pos, &t, tpos);
                continue;
            }
            WHERRY_OPAQUE(tpos);
            wherry_run_put(&t, tpos, &c);
            t.bytes += c.len;
            tpos += 8;
        }
        came.pos = (uint32_t)(pos / 8);
        came.bytes = r.bytes;
        gone.pos = (uint32_t)(tpos / 8);
        gone.bytes = t.bytes;
    }
    n = came.pos - came.first;
    if (gone.pos != gone.first)
        wherry_netq_tx_end(q, &gone, p, 0);
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
