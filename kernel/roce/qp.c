/*
 * The requester, first half: connections, posting, what is sent and when, time-outs, and the end.
 * qp.h is the interface and says what holds; docs/roce.md explains.
 */
#include <asm/errno.h>

#include "roce/qp_int.h"

/* At most so many packets of WRITEs go out before the peer is asked to acknowledge. */
#define ACK_EVERY_MAX 64u
#define RTO_LIMIT_NS  (1ull << 40)

/* Sequence numbers begin here, so that una - 2^23 is a number too. */
#define SEQ_BASE ((uint64_t)ROCE_PSN_MASK + 1)

const char *const roce_stat_names[] = {
#define NAME(name, help) #name,
    ROCE_STATS(NAME)
#undef NAME
};
const char *const roce_stat_helps[] = {
#define HELP(name, help) help,
    ROCE_STATS(HELP)
#undef HELP
};
const unsigned roce_nstats = ARRAY_SIZE(roce_stat_names);
_Static_assert(offsetof(struct roce_stats, rtt_log2) ==
                   sizeof(uint64_t) * ARRAY_SIZE(roce_stat_names),
               "counters come first, each with its name");
_Static_assert(offsetof(struct roce_stats, by_rnr) - offsetof(struct roce_stats, by_timeout) ==
                   sizeof(uint64_t) * ROCE_BY_RNR,
               "those by cause lie in the order of the causes");

void roce_init(struct roce_qp *qp, const struct roce_ops *ops, void *ctx, struct roce_request *ring,
               uint32_t n)
{
    assert(n > 0 && (n & (n - 1)) == 0);
    memset(qp, 0, sizeof(*qp));
    qp->ops = ops;
    qp->ctx = ctx;
    qp->ring = ring;
    qp->ring_mask = n - 1;
    qp->state = ROCE_DOWN;
}

static bool attr_good(const struct roce_attr *a)
{
    return roce_mtu_code(a->mtu) != 0 && a->qpn <= 0xffffff && a->peer_qpn <= 0xffffff &&
           a->psn <= ROCE_PSN_MASK && a->window >= 1 && a->window <= ROCE_WINDOW_MAX &&
           a->max_reads >= 1 && a->rto_min_ns <= a->rto_max_ns && a->rto_max_ns >= 1 &&
           a->rto_max_ns <= RTO_LIMIT_NS && a->rto_first_ns >= 1 && a->rto_first_ns <= RTO_LIMIT_NS;
}

int roce_connect(struct roce_qp *qp, const struct roce_attr *attr, uint64_t now)
{
    if (qp->state != ROCE_DOWN)
        return -EBUSY;
    if (!attr_good(attr))
        return -EINVAL;
    assert(qp->head == qp->tail);
    qp->attr = *attr;
    qp->mtu_shift = (uint32_t)__builtin_ctz(attr->mtu);
    /* Two chunks fit the window, so that one is on its way while the other is being answered. */
    qp->chunk = attr->window < 2 ? 1 : 1u << (31 - __builtin_clz(attr->window / 2));
    qp->ack_every = MIN(MAX(attr->window / 2, 1u), ACK_EVERY_MAX);
    qp->next = qp->head;
    qp->una = qp->nxt = qp->sent = qp->posted = SEQ_BASE + attr->psn;
    qp->reads = qp->unasked = 0;
    qp->full = false;
    qp->tries = qp->rnr_tries = 0;
    qp->timer_from = now;
    qp->back_to = qp->mid_read = ROCE_NOWHERE;
    qp->sampling = false;
    roce_rtt_init(&qp->rtt, attr->rto_min_ns, attr->rto_max_ns, attr->rto_first_ns);
    qp->state = ROCE_UP;
    return 0;
}

void roce_complete_head(struct roce_qp *qp, int status, uint8_t syndrome)
{
    /* A copy: the callback may post, into this very place. */
    struct roce_request r = *roce_at(qp, qp->head++);

    if (status == 0)
        qp->stats.completed++;
    else
        qp->stats.failed++;
    qp->ops->complete(qp->ctx, &r, status, syndrome);
}

void roce_fail(struct roce_qp *qp, uint64_t seq, int status, uint8_t syndrome)
{
    qp->state = ROCE_DOWN;
    while (qp->head != qp->tail) {
        const struct roce_request *r = roce_at(qp, qp->head);
        bool it = seq >= r->first && seq < r->end;

        roce_complete_head(qp, it ? status : -ECANCELED, it ? syndrome : 0);
    }
}

void roce_abort(struct roce_qp *qp)
{
    roce_fail(qp, ROCE_NOWHERE, 0, 0);
}

static int post(struct roce_qp *qp, uint64_t va, uint32_t rkey, uint32_t len, uint8_t *buf,
                void *cookie, bool write)
{
    uint32_t packets;

    if (qp->state == ROCE_DOWN)
        return -ENOTCONN;
    if (len == 0 || len > ROCE_LEN_MAX)
        return -EINVAL;
    packets = roce_packets(len, qp->attr.mtu);
    if (packets > ROCE_REQUEST_PACKETS)
        return -EINVAL;
    if (roce_room(qp) == 0)
        return -EAGAIN;
    *roce_at(qp, qp->tail++) = (struct roce_request){
        .first = qp->posted,
        .end = qp->posted + packets,
        .va = va,
        .buf = buf,
        .cookie = cookie,
        .rkey = rkey,
        .len = len,
        .write = write,
    };
    qp->posted += packets;
    return 0;
}

int roce_read(struct roce_qp *qp, uint64_t va, uint32_t rkey, uint32_t len, void *buf, void *cookie)
{
    int err = post(qp, va, rkey, len, buf, cookie, false);

    qp->stats.posted_reads += err == 0;
    return err;
}

int roce_write(struct roce_qp *qp, uint64_t va, uint32_t rkey, uint32_t len, const void *buf,
               void *cookie)
{
    int err = post(qp, va, rkey, len, (uint8_t *)buf, cookie, true);

    qp->stats.posted_writes += err == 0;
    return err;
}

/* ---- output ---- */

/* What is to be sent at seq, if it may be sent now: how many packets (of responses, if it is a
 * READ) that takes, and the request. 0: nothing. */
static uint32_t sendable(const struct roce_qp *qp, uint64_t pos, uint64_t seq,
                         const struct roce_request **request)
{
    const struct roce_request *r;
    uint64_t n = 1;

    if (seq == qp->posted)
        return 0;
    r = roce_at(qp, pos);
    if (seq == r->end)
        r = roce_at(qp, pos + 1);
    if (!r->write) {
        if (qp->reads >= qp->attr.max_reads)
            return 0;
        n = roce_chunk_end(qp, r, seq) - seq;
    }
    if (seq + n - qp->una > qp->attr.window)
        return 0;
    *request = r;
    return (uint32_t)n;
}

/* Is the packet of a WRITE that goes out now to be acknowledged? If nothing that will be answered
 * goes out behind it, or often enough for the window to move on before it is full. */
static bool ask(const struct roce_qp *qp)
{
    const struct roce_request *after;

    return qp->unasked + 1 >= qp->ack_every || sendable(qp, qp->next, qp->nxt + 1, &after) == 0;
}

static int send_write(struct roce_qp *qp, const struct roce_request *r, uint8_t *bth, bool ack)
{
    uint32_t offset = roce_packet_offset(qp, r, qp->nxt), len = roce_packet_len(qp, r, qp->nxt);
    bool first = qp->nxt == r->first, last = qp->nxt + 1 == r->end;
    uint8_t opcode = first  ? last ? ROCE_WRITE_ONLY : ROCE_WRITE_FIRST
                     : last ? ROCE_WRITE_LAST
                            : ROCE_WRITE_MIDDLE;
    unsigned n = roce_build_bth(bth, opcode, roce_pad(len), qp->attr.peer_qpn, ack,
                                (uint32_t)qp->nxt & ROCE_PSN_MASK);

    if (first)
        n += roce_build_reth(bth + n, r->va, r->rkey, r->len);
    if (qp->ops->send(qp->ctx, bth, n, r->buf + offset, len, roce_pad(len)) != 0)
        return -ENOSPC;
    qp->stats.tx_bytes += len;
    qp->unasked = ack ? 0 : qp->unasked + 1;
    return 0;
}

/* Asks for n packets from nxt on. The address and length of a repeated READ are those of what is
 * missing, up to the end of the chunk: never of more than the first one, which the peer keeps to
 * compare (IBTA §9.7.5.1.3). */
static int send_read(struct roce_qp *qp, const struct roce_request *r, uint8_t *bth, uint32_t n)
{
    uint32_t offset = roce_packet_offset(qp, r, qp->nxt);
    uint64_t len = MIN((uint64_t)n << qp->mtu_shift, (uint64_t)r->len - offset);
    unsigned bytes = roce_build_bth(bth, ROCE_READ_REQUEST, 0, qp->attr.peer_qpn, false,
                                    (uint32_t)qp->nxt & ROCE_PSN_MASK);

    bytes += roce_build_reth(bth + bytes, r->va + offset, r->rkey, (uint32_t)len);
    if (qp->ops->send(qp->ctx, bth, bytes, NULL, 0, 0) != 0)
        return -ENOSPC;
    if (!roce_chunk_start(qp, r, qp->nxt))
        qp->mid_read = qp->nxt;
    qp->reads++;
    qp->unasked = 0; /* the response acknowledges what was before */
    return 0;
}

/* The packet at nxt has gone out, and the peer will answer it or not. */
static void was_sent(struct roce_qp *qp, uint32_t n, bool answered, uint64_t now)
{
    bool fresh = !roce_repeats(qp);

    if (qp->sent == qp->una) /* nothing was on its way */
        qp->timer_from = now;
    /* Karn: what is sent again is not timed. */
    if (fresh && answered && !qp->sampling) {
        qp->sampling = true;
        qp->sample_seq = qp->nxt;
        qp->sample_at = now;
    }
    qp->stats.tx_packets++;
    qp->stats.resent += !fresh;
    qp->nxt += n;
    qp->sent = MAX(qp->sent, qp->nxt);
}

void roce_output(struct roce_qp *qp, uint64_t now)
{
    uint8_t head[ROCE_HEAD_BYTES], *bth = head + ROCE_FRONT;
    const struct roce_request *r;
    uint32_t n;

    qp->full = false;
    if (qp->state != ROCE_UP)
        return;
    while ((n = sendable(qp, qp->next, qp->nxt, &r)) != 0) {
        bool answered = true;
        int err;

        if (qp->nxt == roce_at(qp, qp->next)->end)
            qp->next++;
        if (r->write) {
            answered = ask(qp);
            err = send_write(qp, r, bth, answered);
        } else {
            err = send_read(qp, r, bth, n);
        }
        if (err < 0) {
            qp->full = true;
            qp->stats.send_full++;
            return;
        }
        was_sent(qp, n, answered, now);
    }
}

/* ---- going back, and time ---- */

void roce_go_back(struct roce_qp *qp, enum roce_cause cause, uint64_t now)
{
    qp->nxt = qp->una;
    qp->next = qp->head;
    qp->reads = qp->unasked = 0;
    qp->sampling = false;
    qp->timer_from = now;
    qp->back_to = qp->una;
    qp->back_at = now;
    (&qp->stats.by_timeout)[cause]++;
}

static bool gives_up(unsigned *tries, uint8_t limit)
{
    return ++*tries > limit && limit != ROCE_RETRIES_FOREVER;
}

void roce_go_back_once(struct roce_qp *qp, enum roce_cause cause, uint64_t now)
{
    /* All that was behind the lost packet tells of it. What was sent after going back cannot have
     * been answered before half of a round trip, if it is as it was. */
    if (qp->back_to == qp->una && now - qp->back_at <= roce_rtt_srtt(&qp->rtt) / 2) {
        qp->stats.again++;
        return;
    }
    if (gives_up(&qp->tries, qp->attr.retries))
        roce_fail(qp, qp->una, -ETIMEDOUT, 0);
    else
        roce_go_back(qp, cause, now);
}

uint64_t roce_deadline(const struct roce_qp *qp)
{
    if (qp->state == ROCE_NOT_READY)
        return qp->rnr_until;
    if (qp->state == ROCE_DOWN || qp->una == qp->sent)
        return UINT64_MAX;
    return qp->timer_from + roce_rtt_rto(&qp->rtt);
}

void roce_timer(struct roce_qp *qp, uint64_t now)
{
    if (qp->state == ROCE_DOWN || now < roce_deadline(qp))
        return;
    if (qp->state == ROCE_NOT_READY) {
        qp->state = ROCE_UP;
        qp->timer_from = now;
        return;
    }
    roce_rtt_expired(&qp->rtt);
    if (gives_up(&qp->tries, qp->attr.retries))
        roce_fail(qp, qp->una, -ETIMEDOUT, 0);
    else
        roce_go_back(qp, ROCE_BY_TIMEOUT, now);
}
