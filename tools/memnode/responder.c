/* See responder.h. */
#include "responder.h"

#include "../../kernel/roce/icrc.h"
#include "../util.h"

#include <stdlib.h>
#include <string.h>

const char *const responder_count_names[NR_RESPONDER_COUNTS] = {
#define X(name, help) #name,
    RESPONDER_COUNTS(X)
#undef X
};
const char *const responder_count_helps[NR_RESPONDER_COUNTS] = {
#define X(name, help) help,
    RESPONDER_COUNTS(X)
#undef X
};
const char *const responder_drop_names[NR_RESPONDER_DROPS] = {
#define X(name, help) #name,
    RESPONDER_DROPS(X)
#undef X
};
const char *const responder_drop_helps[NR_RESPONDER_DROPS] = {
#define X(name, help) help,
    RESPONDER_DROPS(X)
#undef X
};

enum {
    SLOT_BITS = 10,     /* of a queue pair's number; the others are random */
    SERVICE_SHIFT = 5,  /* the opcode's bits above are the transport service (IBTA §9.2.1) */
    PKEY_MASK = 0x7fff, /* without the bit of full membership (§10.9.3) */
    PSN_HALF = 1 << 23,
    ATOMIC_ACKNOWLEDGE = 0x12, /* the last of the responses */
};
_Static_assert(1 << SLOT_BITS == RESPONDER_QPS, "slots are a number's low bits");

/* ---- queue pairs ---- */

void responder_init(struct responder *r, const struct responder_env *env)
{
    *r = (struct responder){.env = *env};
}

static void qp_free(struct responder *r, struct responder_qp *qp)
{
    struct responder_qp *before = NULL;

    if (qp->active) {
        for (struct responder_qp *q = r->first_active; q != qp; q = q->next)
            before = q;
        *(before ? &before->next : &r->first_active) = qp->next;
        if (r->last_active == qp)
            r->last_active = before;
        r->nr_active--;
    }
    for (unsigned i = 0; i < NR_RESPONDER_COUNTS; i++)
        r->count[i] += qp->count[i];
    r->qps[qp->qpn % RESPONDER_QPS] = NULL;
    r->nr_qps--;
    free(qp->past);
    free(qp->jobs);
    free(qp);
}

void responder_close(struct responder *r)
{
    for (unsigned i = 0; i < RESPONDER_QPS; i++)
        if (r->qps[i])
            qp_free(r, r->qps[i]);
}

bool responder_spec_good(const struct responder_spec *s)
{
    return roce_mtu_code(s->mtu) && s->rd_atomic >= 1 && s->rd_atomic <= RESPONDER_RD_ATOMIC &&
           s->peer_qpn <= ROCE_PSN_MASK && s->psn <= ROCE_PSN_MASK;
}

const struct responder_qp *responder_add(struct responder *r, const struct responder_spec *spec,
                                         uint32_t random)
{
    unsigned slot = 0, high = random % ((1 << (24 - SLOT_BITS)) - 2) + 1; /* not 0, not all ones */
    struct responder_qp *qp;

    while (slot < RESPONDER_QPS && r->qps[slot])
        slot++;
    if (slot == RESPONDER_QPS)
        return NULL;
    qp = xcalloc(1, sizeof(*qp));
    qp->spec = *spec;
    qp->qpn = high << SLOT_BITS | slot;
    qp->epsn = spec->psn;
    qp->past = xcalloc(spec->rd_atomic, sizeof(*qp->past));
    /* All READs that may be under way, an acknowledgement behind each, and a NAK. */
    qp->room_jobs = 2 * spec->rd_atomic + 2;
    qp->jobs = xcalloc(qp->room_jobs, sizeof(*qp->jobs));
    r->qps[slot] = qp;
    r->nr_qps++;
    return qp;
}

bool responder_remove(struct responder *r, uint32_t owner, uint32_t qpn)
{
    struct responder_qp *qp = r->qps[qpn % RESPONDER_QPS];

    if (!qp || qp->qpn != qpn || qp->spec.owner != owner)
        return false;
    qp_free(r, qp);
    return true;
}

void responder_remove_all(struct responder *r, uint32_t owner)
{
    for (unsigned i = 0; i < RESPONDER_QPS; i++)
        if (r->qps[i] && r->qps[i]->spec.owner == owner)
            qp_free(r, r->qps[i]);
}

unsigned responder_count(const struct responder *r, uint32_t owner)
{
    unsigned n = 0;

    for (unsigned i = 0; i < RESPONDER_QPS; i++)
        n += r->qps[i] && r->qps[i]->spec.owner == owner;
    return n;
}

uint64_t responder_heard(const struct responder *r, uint32_t owner)
{
    uint64_t last = 0;

    for (unsigned i = 0; i < RESPONDER_QPS; i++)
        if (r->qps[i] && r->qps[i]->spec.owner == owner && r->qps[i]->heard > last)
            last = r->qps[i]->heard;
    return last;
}

void responder_total(const struct responder *r, uint64_t count[NR_RESPONDER_COUNTS])
{
    memcpy(count, r->count, sizeof(r->count));
    for (unsigned i = 0; i < RESPONDER_QPS; i++)
        for (unsigned j = 0; r->qps[i] && j < NR_RESPONDER_COUNTS; j++)
            count[j] += r->qps[i]->count[j];
}

/* ---- jobs ---- */

static struct responder_job *job_at(const struct responder_qp *qp, unsigned i)
{
    return &qp->jobs[(qp->first_job + i) % qp->room_jobs];
}

static void activate(struct responder *r, struct responder_qp *qp)
{
    if (qp->active)
        return;
    qp->active = true;
    qp->next = NULL;
    *(r->first_active ? &r->last_active->next : &r->first_active) = qp;
    r->last_active = qp;
    r->nr_active++;
}

/* The first of the list leaves it; if it has jobs still, it becomes the last. */
static void end_turn(struct responder *r)
{
    struct responder_qp *qp = r->first_active;

    r->first_active = qp->next;
    r->nr_active--;
    qp->active = false;
    if (!r->first_active)
        r->last_active = NULL;
    if (qp->nr_jobs)
        activate(r, qp);
}

/* The last place is a NAK's, which ends what may come. */
static struct responder_job *job_add(struct responder *r, struct responder_qp *qp, bool nak)
{
    if (qp->nr_jobs + !nak >= qp->room_jobs)
        return NULL;
    activate(r, qp);
    return job_at(qp, qp->nr_jobs++);
}

/* Acknowledges all that has been executed. */
static void acknowledge(struct responder *r, struct responder_qp *qp)
{
    struct responder_job *j = qp->nr_jobs ? job_at(qp, qp->nr_jobs - 1) : NULL;

    if (!j || j->read || j->syndrome != ROCE_ACK)
        j = job_add(r, qp, false);
    if (!j) {
        qp->count[COUNT_full]++; /* the packet's sender will ask again */
        return;
    }
    *j = (struct responder_job){
        .syndrome = ROCE_ACK, .psn = roce_psn_add(qp->epsn, -1), .msn = qp->msn};
}

/* psn: of the packet that is to blame, or missing. An acknowledgement before it goes without
 * saying (§9.7.5.1.1: a NAK acknowledges what is before its PSN). */
static void refuse(struct responder *r, struct responder_qp *qp, enum roce_syndrome syndrome,
                   uint32_t psn)
{
    struct responder_job *j = qp->nr_jobs ? job_at(qp, qp->nr_jobs - 1) : NULL;

    if (!j || j->read)
        j = job_add(r, qp, true);
    if (j)
        *j = (struct responder_job){.syndrome = syndrome, .psn = psn, .msn = qp->msn};
    if (syndrome == ROCE_NAK_SEQUENCE) {
        qp->nak_sent = true;
        return;
    }
    qp->error = true;
    qp->writing = false;
}

/* ---- packets that come ---- */

static void take_write(struct responder *r, struct responder_qp *qp, const struct roce_packet *p,
                       const uint8_t *payload)
{
    bool first = p->opcode == ROCE_WRITE_FIRST || p->opcode == ROCE_WRITE_ONLY;
    bool last = p->opcode == ROCE_WRITE_LAST || p->opcode == ROCE_WRITE_ONLY;
    uint32_t n = p->payload_len, mtu = qp->spec.mtu, rkey = p->reth.rkey;
    uint64_t va = p->reth.va, left = p->reth.len;
    uint8_t *to;

    if (!first) {
        rkey = qp->write_rkey;
        va = qp->write_va;
        left = qp->write_left;
    }
    /* A middle packet is full and others follow; a last one holds the rest (§9.7.4.1.6). */
    if (first == qp->writing || left > RESPONDER_LENGTH_MAX || p->pad != roce_pad(n) ||
        (last ? n != left || n > mtu : n != mtu || left <= mtu)) {
        refuse(r, qp, ROCE_NAK_INVALID, p->psn);
        return;
    }
    if (left) { /* of all that is to come, so that no part is written of what may not be */
        to = r->env.memory(r->env.ctx, qp->spec.owner, rkey, va, left, NODE_WRITE);
        if (!to) {
            refuse(r, qp, ROCE_NAK_ACCESS, p->psn);
            return;
        }
        if (r->env.before_write)
            r->env.before_write(r->env.ctx, to, n);
        memcpy(to, payload, n);
    }
    qp->writing = !last;
    qp->write_rkey = rkey;
    qp->write_va = va + n;
    qp->write_left = left - n;
    qp->epsn = roce_psn_add(qp->epsn, 1);
    qp->count[COUNT_write_bytes] += n;
    if (last) {
        qp->msn++;
        qp->count[COUNT_writes]++;
    }
    if (p->ack_req)
        acknowledge(r, qp);
}

static bool job_add_read(struct responder *r, struct responder_qp *qp, const struct roce_packet *p)
{
    struct responder_job *j = job_add(r, qp, false);

    if (!j) {
        qp->count[COUNT_full]++;
        return false;
    }
    *j = (struct responder_job){.read = true,
                                .psn = p->psn,
                                .msn = qp->msn,
                                .rkey = p->reth.rkey,
                                .va = p->reth.va,
                                .left = p->reth.len};
    return true;
}

static void take_read(struct responder *r, struct responder_qp *qp, const struct roce_packet *p)
{
    uint32_t len = p->reth.len, packets = roce_packets(len, qp->spec.mtu);

    if (qp->writing || p->payload_len || p->pad || len > RESPONDER_LENGTH_MAX ||
        packets >= PSN_HALF) {
        refuse(r, qp, ROCE_NAK_INVALID, p->psn);
        return;
    }
    if (len &&
        !r->env.memory(r->env.ctx, qp->spec.owner, p->reth.rkey, p->reth.va, len, NODE_READ)) {
        refuse(r, qp, ROCE_NAK_ACCESS, p->psn);
        return;
    }
    qp->msn++; /* already now, and in the responses (C9-148) */
    if (!job_add_read(r, qp, p)) {
        qp->msn--;
        return;
    }
    qp->past[qp->nr_past++ % qp->spec.rd_atomic] = (struct responder_past_read){
        .psn = p->psn, .packets = packets, .rkey = p->reth.rkey, .len = len, .va = p->reth.va};
    qp->epsn = roce_psn_add(qp->epsn, packets);
    qp->count[COUNT_reads]++;
}

/* Is it one of the last READs, or the end of one from some packet on? */
static bool is_past_read(const struct responder_qp *qp, const struct roce_packet *p)
{
    for (unsigned i = 0; i < qp->spec.rd_atomic && i < qp->nr_past; i++) {
        const struct responder_past_read *past = &qp->past[i];
        int32_t at = roce_psn_diff(p->psn, past->psn);
        uint64_t skip = (uint64_t)at * qp->spec.mtu;

        if (at < 0 || (uint32_t)at >= past->packets)
            continue;
        return p->reth.rkey == past->rkey && p->reth.va == past->va + skip &&
               p->reth.len <= past->len - skip && (p->reth.len > 0 || past->len == 0);
    }
    return false;
}

/* Will a response with that PSN leave anyhow? */
static bool is_pending(const struct responder_qp *qp, uint32_t psn)
{
    for (unsigned i = 0; i < qp->nr_jobs; i++) {
        const struct responder_job *j = job_at(qp, i);
        int32_t at = roce_psn_diff(psn, j->psn);

        if (j->read && at >= 0 && (uint32_t)at < roce_packets(j->left, qp->spec.mtu))
            return true;
    }
    return false;
}

static void take_duplicate(struct responder *r, struct responder_qp *qp,
                           const struct roce_packet *p)
{
    if (p->opcode != ROCE_READ_REQUEST) {
        qp->count[COUNT_duplicate_writes]++;
        acknowledge(r, qp);
    } else if (p->payload_len || p->pad || !is_past_read(qp, p) || is_pending(qp, p->psn) ||
               /* Of memory that was freed since, a straggler must not break the queue pair. */
               (p->reth.len && !r->env.memory(r->env.ctx, qp->spec.owner, p->reth.rkey, p->reth.va,
                                              p->reth.len, NODE_READ))) {
        qp->count[COUNT_not_replayed]++;
    } else if (job_add_read(r, qp, p)) {
        qp->count[COUNT_duplicate_reads]++;
    }
}

static void take(struct responder *r, struct responder_qp *qp, const struct roce_packet *p,
                 const uint8_t *payload)
{
    int32_t ahead = roce_psn_diff(p->psn, qp->epsn);

    qp->count[COUNT_packets_in]++;
    qp->heard = r->now;
    if (ahead > 0) {
        qp->count[COUNT_out_of_sequence]++;
        if (!qp->nak_sent)
            refuse(r, qp, ROCE_NAK_SEQUENCE, qp->epsn);
        return;
    }
    if (ahead < 0) {
        if (p->ext != ROCE_EXT_UNKNOWN)
            take_duplicate(r, qp, p);
        return;
    }
    qp->nak_sent = false;
    if (p->opcode == ROCE_READ_REQUEST)
        take_read(r, qp, p);
    else if (p->ext == ROCE_EXT_UNKNOWN)
        refuse(r, qp, ROCE_NAK_INVALID, p->psn);
    else
        take_write(r, qp, p, payload);
}

enum responder_drop responder_input(struct responder *r, const uint8_t *ip, size_t transport_len)
{
    const uint8_t *bth = ip + ROCE_IP4 + ROCE_UDP;
    enum responder_drop why = RESPONDER_TAKEN;
    struct responder_qp *qp = NULL;
    struct roce_packet p;

    if (!roce_parse(&p, bth, transport_len, transport_len))
        why = DROP_malformed;
    else if (!roce_icrc_good(ip, transport_len))
        why = DROP_bad_icrc;
    else if (p.opcode >> SERVICE_SHIFT)
        why = DROP_service;
    else if (!(qp = r->qps[p.qpn % RESPONDER_QPS]) || qp->qpn != p.qpn)
        why = DROP_no_qp;
    else if (roce_get32(ip + 12) != qp->spec.peer || roce_get32(ip + 16) != qp->spec.local)
        why = DROP_not_peer;
    else if ((p.pkey & PKEY_MASK) != (ROCE_PKEY & PKEY_MASK))
        why = DROP_partition;
    else if (p.opcode >= ROCE_READ_FIRST && p.opcode <= ATOMIC_ACKNOWLEDGE)
        why = DROP_not_request;
    else if (qp->error)
        why = DROP_in_error;
    if (why != RESPONDER_TAKEN)
        r->dropped[why]++;
    else
        take(r, qp, &p, bth + p.head_len);
    return why;
}

/* ---- packets that leave ---- */

static void send(struct responder *r, struct responder_qp *qp, uint8_t *ip, enum roce_opcode opcode,
                 uint32_t psn, uint32_t msn, uint8_t syndrome, const uint8_t *payload, size_t n)
{
    static const uint8_t zeros[4];
    struct roce_path path = {.src_ip = qp->spec.local,
                             .dst_ip = qp->spec.peer,
                             .src_port = qp->spec.local_port,
                             .ttl = RESPONDER_TTL};
    bool aeth = roce_extension(opcode) == ROCE_EXT_AETH;
    size_t head = ROCE_BTH + (aeth ? ROCE_AETH : 0), pad = roce_pad(n);
    uint8_t *udp = ip + ROCE_IP4, *bth = udp + ROCE_UDP, *data = bth + head;
    uint32_t crc;

    roce_build_ip_udp(ip, &path, head + n + pad + ROCE_ICRC);
    roce_put16(udp + 2, qp->spec.peer_port);
    roce_build_bth(bth, opcode, pad, qp->spec.peer_qpn, false, psn);
    if (aeth)
        roce_build_aeth(bth + ROCE_BTH, syndrome, msn);
    crc = roce_icrc_head(ip, ROCE_IP4 + ROCE_UDP + head);
    if (n && payload) {
        uint32_t before = crc;

        crc = roce_crc_copy(crc, data, payload, n);
        if (r->env.forge && r->env.forge(r->env.ctx, data, n))
            crc = roce_crc(before, data, n);
    }
    memset(data + n, 0, pad);
    crc = roce_crc(crc, zeros, pad);
    roce_icrc_put(data + n + pad, crc);
    qp->count[COUNT_packets_out]++;
    r->env.send(r->env.ctx, qp, ip, ROCE_IP4 + ROCE_UDP + head + n + pad + ROCE_ICRC);
}

/* The next response of a READ. False: its memory is gone. */
static bool run_read(struct responder *r, struct responder_qp *qp, struct responder_job *j,
                     uint8_t *room)
{
    uint32_t n = j->left < qp->spec.mtu ? j->left : qp->spec.mtu;
    bool last = n == j->left, first = !j->started;
    const uint8_t *from = NULL;

    if (n) {
        from = r->env.memory(r->env.ctx, qp->spec.owner, j->rkey, j->va, n, NODE_READ);
        if (!from)
            return false;
        if (r->env.source)
            from = r->env.source(r->env.ctx, from, n);
    }
    send(r, qp, room,
         first  ? last ? ROCE_READ_ONLY : ROCE_READ_FIRST
         : last ? ROCE_READ_LAST
                : ROCE_READ_MIDDLE,
         j->psn, j->msn, ROCE_ACK, from, n);
    qp->count[COUNT_read_bytes] += n;
    j->started = true;
    j->psn = roce_psn_add(j->psn, 1);
    j->va += n;
    j->left -= n;
    return true;
}

static void run_acknowledgement(struct responder *r, struct responder_qp *qp,
                                const struct responder_job *j, uint8_t *room)
{
    qp->count[j->syndrome == ROCE_NAK_SEQUENCE  ? COUNT_nak_sequence
              : j->syndrome == ROCE_NAK_INVALID ? COUNT_nak_invalid
              : j->syndrome == ROCE_NAK_ACCESS  ? COUNT_nak_access
                                                : COUNT_acks]++;
    send(r, qp, room, ROCE_ACKNOWLEDGE, j->psn, j->msn, j->syndrome, NULL, 0);
}

bool responder_run(struct responder *r, unsigned budget)
{
    struct responder_qp *qp;
    unsigned turn = 0, stuck = 0; /* stuck: queue pairs one after the other without room */

    while ((qp = r->first_active) && budget > 0 && stuck < r->nr_active) {
        struct responder_job *j = job_at(qp, 0);
        uint8_t *room = r->env.room(r->env.ctx, qp);
        bool done = true;

        if (!room) {
            stuck++;
            turn = 0;
            end_turn(r);
            continue;
        }
        stuck = 0;
        budget--;
        if (!j->read) {
            run_acknowledgement(r, qp, j, room);
        } else if (run_read(r, qp, j, room)) {
            done = j->left == 0;
        } else { /* nothing after this one may be answered */
            qp->nr_jobs = 0;
            refuse(r, qp, ROCE_NAK_ACCESS, j->psn);
            continue;
        }
        if (done) {
            qp->first_job = (qp->first_job + 1) % qp->room_jobs;
            qp->nr_jobs--;
        }
        if (qp->nr_jobs == 0 || ++turn == RESPONDER_TURN) {
            turn = 0;
            end_turn(r);
        }
    }
    return qp != NULL;
}
