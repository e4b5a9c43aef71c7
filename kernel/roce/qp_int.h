/*
 * Between the two halves of the requester: qp.c (requests, what goes out, timers) and qp_input.c
 * (what comes in). Others include qp.h.
 */
#pragma once

#include "roce/qp.h"

static inline struct roce_request *roce_at(const struct roce_qp *qp, uint64_t pos)
{
    return &qp->ring[pos & qp->ring_mask];
}

/* Where the chunk ends in which seq, a packet of the READ r, lies. */
static inline uint64_t roce_chunk_end(const struct roce_qp *qp, const struct roce_request *r,
                                      uint64_t seq)
{
    uint64_t end = r->first + ((seq - r->first) | (qp->chunk - 1)) + 1;

    return MIN(end, r->end);
}

static inline bool roce_chunk_start(const struct roce_qp *qp, const struct roce_request *r,
                                    uint64_t seq)
{
    return ((seq - r->first) & (qp->chunk - 1)) == 0;
}

/* Bytes of the packet seq of r, and where they begin in it. */
static inline uint32_t roce_packet_offset(const struct roce_qp *qp, const struct roce_request *r,
                                          uint64_t seq)
{
    return (uint32_t)(seq - r->first) << qp->mtu_shift;
}

static inline uint32_t roce_packet_len(const struct roce_qp *qp, const struct roce_request *r,
                                       uint64_t seq)
{
    return MIN(r->len - roce_packet_offset(qp, r, seq), qp->attr.mtu);
}

/* Everything that is not acknowledged will be sent again. */
void roce_go_back(struct roce_qp *qp, enum roce_cause cause, uint64_t now);
/* The same after an answer that tells of a loss (NAK, gap): once for each loss, as far as can be
 * told, and not for ever. */
void roce_go_back_once(struct roce_qp *qp, enum roce_cause cause, uint64_t now);
/* The QP goes down; the request with packet seq (ROCE_NOWHERE: none) gets this status, all others
 * -ECANCELED. */
void roce_fail(struct roce_qp *qp, uint64_t seq, int status, uint8_t syndrome);
/* The head request is over. */
void roce_complete_head(struct roce_qp *qp, int status, uint8_t syndrome);
