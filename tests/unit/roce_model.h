/*
 * A model of the responder of a reliable connection, for the tests of the requester: strict, after
 * IBTA vol. 1 §9.7, and independent of kernel/roce but for the formats. It takes and gives whole
 * Ethernet frames. What a right requester never does is noted in `broken`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "roce/icrc.h"
#include "roce/wire.h"

#define MODEL_READS_MAX 64u
#define MODEL_FRAME_MAX (ROCE_HEAD_BYTES + ROCE_MTU_MAX + 3 + ROCE_ICRC)

struct model {
    /* The connection. */
    uint32_t qpn, peer_qpn, epsn, msn, mtu, max_reads, rkey;
    uint64_t va; /* of memory[0] */
    uint8_t *memory;
    size_t size;
    /* How it behaves where the specification leaves a choice. */
    bool rxe;         /* a READ repeated from its middle goes on with MIDDLE, LAST */
    bool acks_all;    /* acknowledges without being asked, too */
    unsigned rnr_ppm; /* of new requests */
    unsigned rnr_timer;
    /* The requester's oldest packet that is not acknowledged: no READ may come while max_reads are
     * not over. NULL: not checked. */
    const uint64_t *oldest;
    /* State. */
    bool told, dead; /* has sent a NAK for the expected PSN; is in the error state */
    struct {
        bool active;
        uint64_t va;
        uint32_t left;
    } write;
    struct {
        bool used;
        uint32_t psn, n, len;
        uint64_t va;
    } reads[MODEL_READS_MAX];
    unsigned next_read;
    const char *broken;
    uint64_t executed_writes, executed_reads, rnrs, duplicates, gaps;
    void (*out)(void *ctx, const uint8_t *frame, size_t len);
    void *ctx;
};

static uint64_t model_seed = 88172645463325252ull; /* not 0 */

/* Marsaglia's xorshift64. */
static inline unsigned model_random(unsigned n)
{
    model_seed ^= model_seed << 13;
    model_seed ^= model_seed >> 7;
    model_seed ^= model_seed << 17;
    return (unsigned)((model_seed >> 16) % n);
}

/* From requester to responder, or back. */
static inline struct roce_path model_path(bool back)
{
    struct roce_path a = {
        {2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, 0x0a000001, 0x0a000002, 49152, 0, 64};
    struct roce_path b = {
        {2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 1}, 0x0a000002, 0x0a000001, 50000, 0, 64};

    return back ? b : a;
}

/* Builds a frame around transport headers and payload; its length. */
static inline size_t model_frame(uint8_t *frame, bool back, const uint8_t *head, size_t head_len,
                                 const void *payload, uint32_t len)
{
    struct roce_path path = model_path(back);
    unsigned pad = roce_pad(len);
    size_t transport = head_len + len + pad + ROCE_ICRC;

    roce_build_front(frame, &path, transport);
    memcpy(frame + ROCE_FRONT, head, head_len);
    if (len > 0)
        memcpy(frame + ROCE_FRONT + head_len, payload, len);
    memset(frame + ROCE_FRONT + head_len + len, 0, pad);
    roce_icrc_set(frame + ROCE_ETH, transport);
    return ROCE_FRONT + transport;
}

/* A response to the requester's QP. */
static inline void model_respond(struct model *m, uint8_t opcode, uint32_t psn, uint8_t syndrome,
                                 const void *payload, uint32_t len)
{
    uint8_t frame[MODEL_FRAME_MAX], head[ROCE_TRANSPORT_HEAD];
    unsigned n = roce_build_bth(head, opcode, roce_pad(len), m->peer_qpn, false, psn);

    if (roce_extension(opcode) == ROCE_EXT_AETH)
        n += roce_build_aeth(head + n, syndrome, m->msn);
    m->out(m->ctx, frame, model_frame(frame, true, head, n, payload, len));
}

static inline void model_nak(struct model *m, uint8_t syndrome)
{
    model_respond(m, ROCE_ACKNOWLEDGE, m->epsn, syndrome, NULL, 0);
    m->dead = syndrome == ROCE_NAK_ACCESS || syndrome == ROCE_NAK_INVALID ||
              syndrome == ROCE_NAK_OPERATION;
}

static inline bool model_in_range(const struct model *m, uint64_t va, uint32_t len, uint32_t rkey)
{
    return rkey == m->rkey && va >= m->va && va - m->va <= m->size && len <= m->size - (va - m->va);
}

static inline void model_stream(struct model *m, uint32_t psn, uint64_t va, uint32_t len,
                                bool middle)
{
    uint32_t n = roce_packets(len, m->mtu);

    for (uint32_t i = 0; i < n; i++) {
        uint32_t part = len < m->mtu ? len : m->mtu;
        bool first = i == 0 && !middle, last = i + 1 == n;
        uint8_t opcode = first  ? last ? ROCE_READ_ONLY : ROCE_READ_FIRST
                         : last ? ROCE_READ_LAST
                                : ROCE_READ_MIDDLE;

        model_respond(m, opcode, roce_psn_add(psn, i), ROCE_ACK, m->memory + (va - m->va), part);
        va += part;
        len -= part;
    }
}

static inline void model_read(struct model *m, const struct roce_packet *p)
{
    uint32_t n = roce_packets(p->reth.len, m->mtu);

    if (!model_in_range(m, p->reth.va, p->reth.len, p->reth.rkey)) {
        model_nak(m, ROCE_NAK_ACCESS);
        return;
    }
    if (m->oldest != NULL && m->reads[m->next_read].used &&
        roce_psn_diff(roce_psn_add(m->reads[m->next_read].psn, m->reads[m->next_read].n),
                      (uint32_t)*m->oldest & ROCE_PSN_MASK) > 0)
        m->broken = "more READs at a time than were allowed";
    m->reads[m->next_read].used = true;
    m->reads[m->next_read].psn = p->psn;
    m->reads[m->next_read].n = n;
    m->reads[m->next_read].va = p->reth.va;
    m->reads[m->next_read].len = p->reth.len;
    m->next_read = (m->next_read + 1) % m->max_reads;
    m->epsn = roce_psn_add(m->epsn, n);
    m->msn++;
    m->executed_reads++;
    model_stream(m, p->psn, p->reth.va, p->reth.len, false);
}

/* §9.7.5.1.3: a repeated READ is carried out again if it is the same or a tail of it. */
static inline void model_read_again(struct model *m, const struct roce_packet *p)
{
    for (unsigned i = 0; i < m->max_reads; i++) {
        uint32_t off = (p->psn - m->reads[i].psn) & ROCE_PSN_MASK;

        if (!m->reads[i].used || off >= m->reads[i].n)
            continue;
        if (p->reth.va != m->reads[i].va + (uint64_t)off * m->mtu || p->reth.rkey != m->rkey ||
            p->reth.len > m->reads[i].len - off * m->mtu) {
            m->broken = "a repeated READ asks for something else";
            return;
        }
        model_stream(m, p->psn, p->reth.va, p->reth.len, m->rxe && off > 0);
        return;
    }
    /* Too old: dropped. */
}

static inline bool model_is_write(uint8_t opcode)
{
    return opcode == ROCE_WRITE_FIRST || opcode == ROCE_WRITE_MIDDLE || opcode == ROCE_WRITE_LAST ||
           opcode == ROCE_WRITE_ONLY;
}

static inline void model_write(struct model *m, const struct roce_packet *p, const uint8_t *payload)
{
    bool starts = p->opcode == ROCE_WRITE_FIRST || p->opcode == ROCE_WRITE_ONLY;
    bool ends = p->opcode == ROCE_WRITE_LAST || p->opcode == ROCE_WRITE_ONLY;

    if (starts == m->write.active) {
        m->broken = "opcodes of a WRITE in the wrong order";
        model_nak(m, ROCE_NAK_INVALID);
        return;
    }
    if (starts) {
        if (!model_in_range(m, p->reth.va, p->reth.len, p->reth.rkey)) {
            model_nak(m, ROCE_NAK_ACCESS);
            return;
        }
        m->write.va = p->reth.va;
        m->write.left = p->reth.len;
    }
    if (p->payload_len != (ends ? m->write.left : m->mtu) || m->write.left < p->payload_len ||
        p->payload_len > m->mtu || p->pad != roce_pad(p->payload_len)) {
        m->broken = "a WRITE's packet has the wrong length";
        model_nak(m, ROCE_NAK_INVALID);
        return;
    }
    memcpy(m->memory + (m->write.va - m->va), payload, p->payload_len);
    m->write.va += p->payload_len;
    m->write.left -= p->payload_len;
    m->write.active = !ends;
    m->epsn = roce_psn_add(m->epsn, 1);
    if (ends) {
        m->msn++;
        m->executed_writes++;
    }
    if (p->ack_req || (m->acks_all && model_random(3) == 0))
        model_respond(m, ROCE_ACKNOWLEDGE, p->psn, ROCE_ACK, NULL, 0);
}

static inline void model_input(struct model *m, const uint8_t *frame, size_t len)
{
    struct roce_frame f;
    struct roce_packet p;
    int32_t d;

    if (!roce_frame_parse(&f, frame, len, len) || !roce_parse(&p, f.bth, f.have, f.len) ||
        !roce_icrc_good(f.ip, f.len) || p.qpn != m->qpn || m->dead)
        return;
    d = roce_psn_diff(p.psn, m->epsn);
    if (d > 0) {
        m->gaps++;
        if (!m->told)
            model_nak(m, ROCE_NAK_SEQUENCE);
        m->told = true;
        return;
    }
    if (d < 0) {
        m->duplicates++;
        if (p.opcode == ROCE_READ_REQUEST)
            model_read_again(m, &p);
        else /* with the newest PSN that was carried out */
            model_respond(m, ROCE_ACKNOWLEDGE, roce_psn_add(m->epsn, ROCE_PSN_MASK), ROCE_ACK, NULL,
                          0);
        return;
    }
    m->told = false;
    if (model_random(1000000) < m->rnr_ppm) {
        m->rnrs++;
        m->told = true; /* and is silent until that one comes again */
        model_nak(m, roce_rnr(m->rnr_timer));
        return;
    }
    if (p.opcode == ROCE_READ_REQUEST && !m->write.active && p.payload_len == 0) {
        model_read(m, &p);
    } else if (model_is_write(p.opcode)) {
        model_write(m, &p, f.bth + p.head_len);
    } else {
        m->broken = "an opcode that is no request, or a READ within a WRITE";
        model_nak(m, ROCE_NAK_INVALID);
    }
}
