/*
 * The requester of a reliable connection (IBTA vol. 1 §9.7): a state machine that turns "read these
 * bytes from there" and "write these there" into packets, and packets that come in into data and
 * completions, over a network that loses, repeats, reorders and delays, and a peer that may lie.
 *
 * No I/O, no clock, no memory of its own, no sleeping: the owner (the kernel's far memory; on the
 * host the tests) gives packets, the time in nanoseconds and an array for the requests, and gets
 * packets to send, bytes to place and completions by callbacks. All calls for a QP come one at a
 * time. docs/roce.md has the algorithms, what of the specification is implemented, and why.
 *
 *     roce_init(), roce_connect()
 *     roce_read(), roce_write() ...          then roce_output()
 *     a packet came: roce_input()            after the last of a batch, roce_output()
 *     at roce_deadline(): roce_timer()       then roce_output()
 *     the send callback had no room before, and has now: roce_output()
 *
 * What holds:
 *  - Every request that was accepted completes exactly once, in the order of posting.
 *  - Only bytes of a READ's buffer are ever placed, each first once; and all of them before it
 *    completes with 0. What a peer sends decides the values of these bytes and nothing else.
 *  - A request's buffer is the QP's until its completion. The data of a WRITE may still lie in the
 *    device's queue then (a retransmission, overtaken by the acknowledgement): send() copies what
 *    roce_repeats(), or the packet that goes out has other bytes and a wrong ICRC. Nobody takes it.
 *  - The peer carries out requests in the order of posting. A READ sees what WRITEs before it
 * wrote. It may also see what WRITEs after it wrote, since a repeated READ reads the memory anew
 * (IBTA §9.7.5.1 has it so): who minds does not post a WRITE of what is still being read.
 *  - From within complete() roce_read() and roce_write() may be called, from other callbacks
 *    nothing. They do not send: roce_output() does.
 */
#pragma once

#include "lib/base.h"
#include "roce/rtt.h"
#include "roce/wire.h"

/* A request. Callbacks may read what was posted. */
struct roce_request {
    uint64_t first, end; /* its packets, as sequence numbers that do not wrap: [first, end) */
    uint64_t va;         /* the peer's */
    uint8_t *buf;        /* of a WRITE it is only read */
    void *cookie;
    uint32_t rkey, len;
    bool write;
};

struct roce_ops {
    /*
     * Sends a packet: transport headers of bth_len bytes at bth (before which ROCE_FRONT bytes may
     * be written, for those who put the rest of the frame there), payload_len bytes at payload
     * (NULL if there are none), pad bytes of 0, ICRC. bth is gone after the call, payload stays. 0;
     * any other: no room, the same packet will be offered again by the next roce_output().
     */
    int (*send)(void *ctx, uint8_t *bth, unsigned bth_len, const void *payload,
                uint32_t payload_len, unsigned pad);
    /*
     * Puts len bytes that came for a READ into its buffer, at offset. True: not copied, the memory
     * that the packet landed in (see roce_input()) was taken in its place and is the owner's now.
     * NULL: they are copied to buf + offset.
     */
    bool (*place)(void *ctx, const struct roce_request *r, uint32_t offset, const void *payload,
                  uint32_t len, void *landing);
    /*
     * A request is over. 0: it was carried out. -EIO: the peer refused it, by this syndrome.
     * -ETIMEDOUT: there was no answer to it, or never a useful one. -ECANCELED: another one failed,
     * or the QP was aborted; a WRITE may or may not have been carried out.
     */
    void (*complete)(void *ctx, const struct roce_request *r, int status, uint8_t syndrome);
};

#define ROCE_RETRIES_FOREVER 255u
#define ROCE_WINDOW_MAX      (1u << 20)
#define ROCE_LEN_MAX         (1u << 31) /* IBTA §9.7.7 */
/* All that is posted is compared by PSNs of 24 bits; one request may have half of what can be told
 * apart. */
#define ROCE_REQUEST_PACKETS (1u << 22)

struct roce_attr {
    uint32_t qpn, peer_qpn;
    uint32_t psn; /* the first request's: best random (a stranger must guess it) */
    uint32_t mtu; /* 256, 512, 1024, 2048 or 4096 */
    /* Packets between the oldest that is not acknowledged and the newest, responses to READs
     * included. */
    uint32_t window;
    uint32_t max_reads;  /* READ requests the peer keeps: its max_dest_rd_atomic; at least 1 */
    uint8_t retries;     /* repetitions without progress until it gives up */
    uint8_t rnr_retries; /* of those that were asked for by "not ready"; both: _FOREVER */
    uint64_t rto_min_ns, rto_max_ns, rto_first_ns; /* the last before the RTT was measured */
};

/* Why packets were sent again. */
enum roce_cause { ROCE_BY_TIMEOUT, ROCE_BY_NAK, ROCE_BY_GAP, ROCE_BY_RNR, NR_ROCE_CAUSES };

/* Counters: name, what it counts. */
/* clang-format off */
#define ROCE_STATS(X)                                                                              \
    X(posted_reads, "READs accepted")                                                              \
    X(posted_writes, "WRITEs accepted")                                                            \
    X(completed, "requests completed with 0")                                                      \
    X(failed, "requests completed with an error")                                                  \
    X(tx_packets, "packets sent")                                                                  \
    X(tx_bytes, "bytes of payload sent")                                                           \
    X(rx_packets, "packets given to roce_input()")                                                 \
    X(rx_bytes, "bytes of payload in these")                                                       \
    X(placed_bytes, "bytes of READs placed, each once")                                            \
    X(landed, "packets whose memory was taken instead of copied from")                             \
    X(send_full, "times that send() had no room")                                                  \
    X(resent, "packets sent again")                                                                \
    X(by_timeout, "times it went back: time-out")                                                  \
    X(by_nak, "times it went back: NAK")                                                           \
    X(by_gap, "times it went back: a later answer came first")                                     \
    X(by_rnr, "times it went back: the peer was not ready")                                        \
    X(nak_sequence, "NAKs: PSN sequence error")                                                    \
    X(nak_invalid, "NAKs: invalid request")                                                        \
    X(nak_access, "NAKs: remote access error")                                                     \
    X(nak_operation, "NAKs: remote operational error")                                             \
    X(rnr, "NAKs: receiver not ready")                                                             \
    X(duplicate, "answers to what had been answered")                                              \
    X(early, "answers that came before what they follow")                                          \
    X(again, "reasons to go back that it had just gone back for")                                  \
    X(future, "answers to what was never sent")                                                    \
    X(reserved, "answers with a reserved syndrome")                                                \
    X(bad_opcode, "packets that are no answer, or none in this place")                             \
    X(bad_length, "READ responses of a wrong length")                                              \
    X(bad_qp, "packets for another QP or partition, or while down")                                \
    X(congestion, "congestion notifications")
/* clang-format on */

struct roce_stats {
#define ROCE_STAT_FIELD(name, help) uint64_t name;
    ROCE_STATS(ROCE_STAT_FIELD)
#undef ROCE_STAT_FIELD
    uint64_t rtt_log2[ROCE_RTT_BUCKETS]; /* [i]: samples of 2^i ns to 2^(i+1) - 1 */
};

/* The counters' names and what they count, in the order of the struct (all before rtt_log2). */
extern const char *const roce_stat_names[], *const roce_stat_helps[];
extern const unsigned roce_nstats;

#define ROCE_NOWHERE UINT64_MAX

enum roce_state { ROCE_DOWN, ROCE_UP, ROCE_NOT_READY /* waits out an RNR NAK */ };

struct roce_qp {
    const struct roce_ops *ops;
    void *ctx;
    struct roce_request *ring;
    uint32_t ring_mask;
    struct roce_attr attr;
    uint32_t mtu_shift, chunk; /* READs are asked for in chunks of so many packets, a power of 2 */
    uint32_t ack_every;
    enum roce_state state;
    /* Requests, by position that does not wrap: [head, tail) are not complete, next is the one that
     * the next packet to send is of. */
    uint64_t head, next, tail;
    /* Packets, by sequence number; the PSN is its low 24 bits. una: the oldest that is not
     * acknowledged; nxt: the next to send; sent: one more than the newest ever sent; posted: one
     * more than the last that is posted. una <= nxt <= sent <= posted. */
    uint64_t una, nxt, sent, posted;
    uint32_t reads;   /* chunks of READs in [una, nxt) */
    uint32_t unasked; /* packets of WRITEs sent since the peer was last asked to acknowledge */
    bool full;        /* send had no room */
    unsigned tries, rnr_tries; /* repetitions since the last progress */
    uint64_t timer_from;       /* since when there was no progress */
    uint64_t rnr_until;
    uint64_t back_to, back_at; /* where to and when it went back last; ROCE_NOWHERE: never */
    uint64_t mid_read; /* where a READ was last asked for again from the middle of a chunk */
    struct roce_rtt rtt;
    uint64_t sample_seq, sample_at; /* a packet whose answer will be timed */
    bool sampling;
    struct roce_stats stats;
};

/* ring: n requests, a power of 2; it stays the QP's. The QP is down. */
void roce_init(struct roce_qp *qp, const struct roce_ops *ops, void *ctx, struct roce_request *ring,
               uint32_t n);
/* Brings it up, with the peer ready to receive. Also again, when it is down (with new numbers and
 * PSN, so that the old connection's packets are not mistaken). -EINVAL: no such attributes; -EBUSY:
 * it is up. */
int roce_connect(struct roce_qp *qp, const struct roce_attr *attr, uint64_t now);
/* Takes it down: all requests complete with -ECANCELED. */
void roce_abort(struct roce_qp *qp);

/* Posts a request. 0; -EAGAIN: there is no room (some must complete before); -ENOTCONN: down;
 * -EINVAL: len is 0, more than ROCE_LEN_MAX, or more than ROCE_REQUEST_PACKETS packets. */
int roce_read(struct roce_qp *qp, uint64_t va, uint32_t rkey, uint32_t len, void *buf,
              void *cookie);
int roce_write(struct roce_qp *qp, uint64_t va, uint32_t rkey, uint32_t len, const void *buf,
               void *cookie);

/* Sends what may be sent now. */
void roce_output(struct roce_qp *qp, uint64_t now);

/*
 * A packet came whose ICRC is right and which is from the peer's address. Its payload lies at
 * payload (p->payload_len bytes). landing: if the payload has a page of its own, whatever tells
 * place() which; NULL: it has not, and place() has to copy. True: place() took the landing.
 */
bool roce_input(struct roce_qp *qp, const struct roce_packet *p, const void *payload, void *landing,
                uint64_t now);

/* For send(): the packet that goes out has been sent before. */
static inline bool roce_repeats(const struct roce_qp *qp)
{
    return qp->nxt < qp->sent;
}

/* When roce_timer() is to be called, at the latest; UINT64_MAX: need not be. May be called at any
 * other time as well. */
uint64_t roce_deadline(const struct roce_qp *qp);
void roce_timer(struct roce_qp *qp, uint64_t now);

/* Requests that are not complete; room for more. */
static inline uint32_t roce_outstanding(const struct roce_qp *qp)
{
    return (uint32_t)(qp->tail - qp->head);
}

static inline uint32_t roce_room(const struct roce_qp *qp)
{
    return qp->ring_mask + 1 - roce_outstanding(qp);
}
