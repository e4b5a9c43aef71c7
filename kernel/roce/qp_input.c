/*
 * The requester, second half: what comes in. A response counts only if its PSN is of a packet that
 * was sent and is not acknowledged, and if it is just what belongs in that place; whatever else a
 * network or a peer comes up with is counted and changes nothing (IBTA §9.7.5, §9.9.2).
 */
#include <asm/errno.h>

#include "roce/qp_int.h"

/* Something was acknowledged that had not been. */
static void progressed(struct roce_qp *qp, uint64_t now)
{
    qp->tries = qp->rnr_tries = 0;
    qp->timer_from = now;
    qp->nxt = MAX(qp->nxt, qp->una); /* if it had gone back, and need not have, so far */
    qp->next = MAX(qp->next, qp->head);
    roce_rtt_progress(&qp->rtt);
    if (qp->sampling && qp->una > qp->sample_seq) {
        uint64_t ns = now - qp->sample_at;

        qp->sampling = false;
        roce_rtt_sample(&qp->rtt, ns);
        qp->stats.rtt_log2[roce_rtt_bucket(ns)]++;
    }
}

/* All packets before limit (which has been sent) are acknowledged; READs are not by that: their
 * data is. False: it came to a READ that lacks some. */
static bool acknowledge(struct roce_qp *qp, uint64_t limit, uint64_t now)
{
    uint64_t was = qp->una;

    while (qp->una < limit) {
        const struct roce_request *r = roce_at(qp, qp->head);

        if (!r->write)
            break;
        qp->una = MIN(limit, r->end);
        if (qp->una == r->end)
            roce_complete_head(qp, 0, ROCE_ACK);
    }
    if (qp->una != was)
        progressed(qp, now);
    return qp->una >= limit;
}

/* An answer to what follows a READ that lacks data: in order as they are sent, the READ's responses
 * are lost ("implied NAK"). */
static void gap(struct roce_qp *qp, uint64_t now)
{
    qp->stats.early++;
    roce_go_back_once(qp, ROCE_BY_GAP, now);
}

/* The sequence number nearest to una with this PSN, if it is of a packet that is on its way. */
static bool on_its_way(struct roce_qp *qp, uint32_t psn, uint64_t *seq)
{
    *seq = qp->una + (uint64_t)(int64_t)roce_psn_diff(psn, (uint32_t)qp->una & ROCE_PSN_MASK);
    if (*seq < qp->una)
        qp->stats.duplicate++;
    else if (*seq >= qp->sent)
        qp->stats.future++;
    else
        return true;
    return false;
}

static void not_ready(struct roce_qp *qp, uint8_t syndrome, uint64_t now)
{
    if (qp->state == ROCE_NOT_READY) { /* it is waiting already */
        qp->stats.again++;
        return;
    }
    if (++qp->rnr_tries > qp->attr.rnr_retries && qp->attr.rnr_retries != ROCE_RETRIES_FOREVER) {
        roce_fail(qp, qp->una, -EIO, syndrome);
        return;
    }
    roce_go_back(qp, ROCE_BY_RNR, now);
    qp->state = ROCE_NOT_READY;
    qp->rnr_until = now + roce_rnr_ns(syndrome);
}

static void input_nak(struct roce_qp *qp, uint8_t syndrome, uint64_t seq, uint64_t now)
{
    /* What was before it was carried out; its own packet was not. */
    bool all = acknowledge(qp, seq, now);

    switch (syndrome) {
    case ROCE_NAK_SEQUENCE:
        qp->stats.nak_sequence++;
        roce_go_back_once(qp, ROCE_BY_NAK, now);
        return;
    case ROCE_NAK_INVALID:
        qp->stats.nak_invalid++;
        break;
    case ROCE_NAK_ACCESS:
        qp->stats.nak_access++;
        break;
    case ROCE_NAK_OPERATION:
        qp->stats.nak_operation++;
        break;
    default: /* RNR */
        qp->stats.rnr++;
        if (all)
            not_ready(qp, syndrome, now);
        else
            gap(qp, now);
        return;
    }
    roce_fail(qp, seq, -EIO, syndrome);
}

static void input_ack(struct roce_qp *qp, const struct roce_packet *p, uint64_t now)
{
    uint64_t seq;

    switch (roce_ack_kind(p->aeth.syndrome)) {
    case ROCE_KIND_RESERVED:
        qp->stats.reserved++;
        return;
    case ROCE_KIND_ACK:
        if (on_its_way(qp, p->psn, &seq) && !acknowledge(qp, seq + 1, now))
            gap(qp, now);
        return;
    case ROCE_KIND_RNR:
    case ROCE_KIND_NAK:
        if (on_its_way(qp, p->psn, &seq))
            input_nak(qp, p->aeth.syndrome, seq, now);
        return;
    }
}

/* Is p what a READ that was asked for in chunks has at seq? Responses to a READ that is asked for
 * again from the middle begin anew with FIRST (the specification) or go on with MIDDLE (rdma_rxe).
 */
static bool fits(struct roce_qp *qp, const struct roce_request *r, uint64_t seq,
                 const struct roce_packet *p)
{
    bool start = roce_chunk_start(qp, r, seq), last = seq + 1 == roce_chunk_end(qp, r, seq);
    bool first = p->opcode == ROCE_READ_FIRST || p->opcode == ROCE_READ_ONLY;
    bool ends = p->opcode == ROCE_READ_LAST || p->opcode == ROCE_READ_ONLY;
    uint32_t len = roce_packet_len(qp, r, seq);

    if (ends != last || (first ? !start && seq != qp->mid_read : start)) {
        qp->stats.bad_opcode++;
        return false;
    }
    if (p->payload_len != len || p->pad != roce_pad(len)) {
        qp->stats.bad_length++;
        return false;
    }
    if (p->opcode != ROCE_READ_MIDDLE && roce_ack_kind(p->aeth.syndrome) != ROCE_KIND_ACK) {
        qp->stats.reserved++;
        return false;
    }
    return true;
}

static bool place(struct roce_qp *qp, const struct roce_request *r, uint64_t seq,
                  const void *payload, void *landing)
{
    uint32_t offset = roce_packet_offset(qp, r, seq), len = roce_packet_len(qp, r, seq);

    qp->stats.placed_bytes += len;
    if (qp->ops->place == NULL) {
        memcpy(r->buf + offset, payload, len);
        return false;
    }
    if (!qp->ops->place(qp->ctx, r, offset, payload, len, landing))
        return false;
    qp->stats.landed++;
    return true;
}

static bool input_read(struct roce_qp *qp, const struct roce_packet *p, const void *payload,
                       void *landing, uint64_t now)
{
    const struct roce_request *r;
    uint64_t seq, pos = qp->head;
    bool taken;

    if (!on_its_way(qp, p->psn, &seq))
        return false;
    while (seq >= (r = roce_at(qp, pos))->end)
        pos++;
    if (r->write) {
        qp->stats.bad_opcode++;
        return false;
    }
    if (!fits(qp, r, seq, p))
        return false;
    if (!acknowledge(qp, seq, now)) {
        gap(qp, now);
        return false;
    }
    taken = place(qp, r, seq, payload, landing);
    qp->una = seq + 1;
    if (qp->una == roce_chunk_end(qp, r, seq) && qp->una <= qp->nxt)
        qp->reads--;
    if (qp->una == r->end)
        roce_complete_head(qp, 0, ROCE_ACK);
    progressed(qp, now);
    return taken;
}

bool roce_input(struct roce_qp *qp, const struct roce_packet *p, const void *payload, void *landing,
                uint64_t now)
{
    qp->stats.rx_packets++;
    qp->stats.rx_bytes += p->payload_len;
    if (qp->state == ROCE_DOWN || p->qpn != qp->attr.qpn || (p->pkey | 0x8000) != ROCE_PKEY) {
        qp->stats.bad_qp++;
        return false;
    }
    switch (p->opcode) {
    case ROCE_ACKNOWLEDGE:
        input_ack(qp, p, now);
        return false;
    case ROCE_READ_FIRST:
    case ROCE_READ_MIDDLE:
    case ROCE_READ_LAST:
    case ROCE_READ_ONLY:
        return input_read(qp, p, payload, landing, now);
    case ROCE_CNP:
        qp->stats.congestion++;
        return false;
    default:
        qp->stats.bad_opcode++;
        return false;
    }
}
