/* See control.h. */
#include "control.h"

#include <string.h>
#include <stdlib.h>

_Static_assert(NODE_HEAD + NODE_LOGIN_R_BODY + NODE_TAG <= CONTROL_REPLY_MAX &&
                   NODE_HEAD + NODE_KEEPALIVE_R_BODY + NODE_TAG <= CONTROL_REPLY_MAX,
               "the longest replies");

/* What a request is answered from. */
struct request {
    const struct origin *from;
    uint64_t now;
    const uint8_t *body;
    uint8_t *reply; /* its body */
    size_t reply_body;
};

void control_init(struct control *c)
{
    c->sessions = xcalloc(c->limits.clients, sizeof(*c->sessions));
    auth_random(c->boot, sizeof(c->boot));
}

void control_close(struct control *c)
{
    free(c->sessions);
}

/* ---- sessions ---- */

static struct session *session_find(struct control *c, uint64_t id)
{
    for (unsigned i = 0; id && i < c->limits.clients; i++)
        if (c->sessions[i].state != SESSION_FREE && c->sessions[i].id == id)
            return &c->sessions[i];
    return NULL;
}

static struct session *session_new(struct control *c)
{
    struct session *s = NULL;

    for (unsigned i = 0; i < c->limits.clients && !s; i++)
        if (c->sessions[i].state == SESSION_FREE)
            s = &c->sessions[i];
    if (!s)
        return NULL;
    *s = (struct session){.owner = ++c->last_owner};
    do
        auth_random(&s->id, sizeof(s->id));
    while (s->id == 0 || session_find(c, s->id));
    return s;
}

/* With a device the responder has none, and there is nothing to be heard of them. */
static void drop_queue_pairs(struct control *c, const struct session *s)
{
    responder_remove_all(c->responder, s->owner);
    if (c->device)
        c->device->ops->disconnect_all(c->device, s->owner);
}

static void session_lapse(struct control *c, struct session *s)
{
    drop_queue_pairs(c, s);
    s->state = SESSION_LAPSED;
}

static void session_end(struct control *c, struct session *s)
{
    drop_queue_pairs(c, s);
    memory_free_all(c->memory, s->owner);
    s->state = SESSION_FREE;
    c->counts.ended++;
}

uint64_t control_tick(struct control *c, uint64_t now)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < c->limits.clients; i++) {
        struct session *s = &c->sessions[i];
        uint64_t packets, end;

        if (s->state == SESSION_LIVE && now >= s->heard + c->limits.lease_ms) {
            packets = responder_heard(c->responder, s->owner);
            if (packets > s->heard)
                s->heard = packets;
            if (now >= s->heard + c->limits.lease_ms) {
                session_lapse(c, s);
                c->counts.lapsed++;
            }
        }
        end = s->heard + c->limits.lease_ms;
        if (s->state == SESSION_LAPSED) {
            end += c->limits.grace_ms;
            if (now >= end)
                session_end(c, s);
        }
        if (s->state != SESSION_FREE && end < next)
            next = end;
    }
    return next;
}

unsigned control_sessions(const struct control *c, bool lapsed)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->limits.clients; i++)
        n += c->sessions[i].state == SESSION_LIVE ||
             (lapsed && c->sessions[i].state == SESSION_LAPSED);
    return n;
}

void control_drain(struct control *c, uint64_t end)
{
    c->draining = true;
    c->drain_end = end;
}

/* ---- requests of a session ---- */

static unsigned rd_atomic_max(const struct control *c)
{
    return c->device ? c->device->rd_atomic : RESPONDER_RD_ATOMIC;
}

/* The number of a new queue pair. psn: where its own requests would begin, had it any. */
static enum node_status connect_queue_pair(struct control *c, const struct responder_spec *spec,
                                           uint32_t psn, uint32_t *qpn)
{
    const struct responder_qp *qp;

    if (c->device) {
        if (c->device->ops->count(c->device, spec->owner) >= c->limits.qps)
            return NODE_E_LIMIT;
        return c->device->ops->connect(c->device, spec, psn, qpn);
    }
    if (responder_count(c->responder, spec->owner) >= c->limits.qps)
        return NODE_E_LIMIT;
    qp = responder_add(c->responder, spec, auth_random32());
    if (!qp)
        return NODE_E_LIMIT;
    *qpn = qp->qpn;
    return NODE_OK;
}

static enum node_status do_connect(struct control *c, struct session *s, struct request *q)
{
    const uint8_t *b = q->body;
    struct responder_spec spec = {
        .owner = s->owner,
        .peer_qpn = roce_get32(b + NODE_CONNECT_QPN),
        .psn = roce_get32(b + NODE_CONNECT_PSN),
        .peer = roce_get32(b + NODE_CONNECT_ADDRESS),
        .peer_port = roce_get16(b + NODE_CONNECT_PORT),
        .mtu = roce_get16(b + NODE_CONNECT_MTU),
        .rd_atomic = roce_get16(b + NODE_CONNECT_RD_ATOMIC),
        .local = c->roce_address ? c->roce_address : q->from->local,
        .local_port = c->roce_port,
    };
    uint32_t psn = auth_random32() & ROCE_PSN_MASK, qpn;
    enum node_status status;
    unsigned mtu_max;

    if (!spec.peer)
        spec.peer = q->from->address;
    if (!spec.peer_port)
        spec.peer_port = ROCE_UDP_PORT;
    mtu_max = c->path_mtu(c->path_ctx, spec.peer);
    if (spec.mtu > mtu_max)
        spec.mtu = mtu_max;
    if (spec.rd_atomic > rd_atomic_max(c))
        spec.rd_atomic = rd_atomic_max(c);
    if (!spec.peer || !spec.local || roce_get16(b + NODE_CONNECT_ZERO) ||
        !responder_spec_good(&spec))
        return NODE_E_MALFORMED;
    status = connect_queue_pair(c, &spec, psn, &qpn);
    if (status != NODE_OK)
        return status;
    roce_put32(q->reply + NODE_CONNECT_QPN, qpn);
    roce_put32(q->reply + NODE_CONNECT_PSN, psn);
    roce_put32(q->reply + NODE_CONNECT_ADDRESS, spec.local);
    roce_put16(q->reply + NODE_CONNECT_PORT, spec.local_port);
    roce_put16(q->reply + NODE_CONNECT_MTU, spec.mtu);
    roce_put16(q->reply + NODE_CONNECT_RD_ATOMIC, spec.rd_atomic);
    roce_put16(q->reply + NODE_CONNECT_ZERO, 0);
    q->reply_body = NODE_CONNECT_BODY;
    return NODE_OK;
}

static enum node_status do_disconnect(struct control *c, struct session *s, struct request *q)
{
    uint32_t qpn = roce_get32(q->body + NODE_DISCONNECT_QPN);
    bool known = c->device ? c->device->ops->disconnect(c->device, s->owner, qpn)
                           : responder_remove(c->responder, s->owner, qpn);

    return known ? NODE_OK : NODE_E_NOT_FOUND;
}

static enum node_status do_alloc(struct control *c, struct session *s, struct request *q)
{
    const uint8_t *region = q->body + NODE_ALLOC_REGION;
    uint32_t access = roce_get32(q->body + NODE_ALLOC_ACCESS);
    char name[NODE_NAME + 1] = {0};
    enum node_status status;
    struct extent *e;
    unsigned extents;

    if (access == 0 || access & ~(uint32_t)(NODE_READ | NODE_WRITE))
        return NODE_E_MALFORMED;
    memcpy(name, region, NODE_NAME);
    if (*name ? !node_name_good(region) : memcmp(region, region + 1, NODE_NAME - 1) != 0)
        return NODE_E_MALFORMED;
    if (c->draining)
        return NODE_E_DRAINING;
    memory_used(c->memory, s->owner, &extents);
    if (extents >= c->limits.extents)
        return NODE_E_LIMIT;
    status = memory_alloc(c->memory, s->owner, *name ? name : NULL,
                          roce_get64(q->body + NODE_ALLOC_BYTES), access, &e);
    if (status != NODE_OK)
        return status;
    roce_put64(q->reply + NODE_ALLOC_R_VA, memory_va(e));
    roce_put64(q->reply + NODE_ALLOC_R_LENGTH, e->length);
    roce_put32(q->reply + NODE_ALLOC_R_RKEY, e->key);
    q->reply_body = NODE_ALLOC_R_BODY;
    return NODE_OK;
}

static enum node_status do_free(struct control *c, struct session *s, struct request *q)
{
    struct extent *e = memory_find(c->memory, s->owner, roce_get32(q->body + NODE_FREE_RKEY));

    if (!e || memory_va(e) != roce_get64(q->body + NODE_FREE_VA))
        return NODE_E_NOT_FOUND;
    memory_free(c->memory, e);
    return NODE_OK;
}

static size_t lease_body(const struct control *c, const struct session *s, uint64_t now, uint8_t *b)
{
    uint64_t left = c->draining && c->drain_end > now ? c->drain_end - now : 0;

    roce_put32(b + NODE_KEEPALIVE_R_LEASE, c->limits.lease_ms);
    roce_put32(b + NODE_KEEPALIVE_R_DRAIN, left > UINT32_MAX ? UINT32_MAX : left);
    roce_put64(b + NODE_KEEPALIVE_R_QUOTA, c->memory->quota);
    roce_put64(b + NODE_KEEPALIVE_R_USED, memory_used(c->memory, s->owner, NULL));
    roce_put64(b + NODE_KEEPALIVE_R_FREE, memory_largest(c->memory));
    return NODE_KEEPALIVE_R_BODY;
}

static enum node_status do_keepalive(struct control *c, struct session *s, struct request *q)
{
    q->reply_body = lease_body(c, s, q->now, q->reply);
    return NODE_OK;
}

static enum node_status do_bye(struct control *c, struct session *s, struct request *q)
{
    (void)q;
    session_end(c, s);
    return NODE_OK;
}

static const struct {
    size_t body;
    enum node_status (*carry_out)(struct control *c, struct session *s, struct request *q);
} requests[NODE_TYPES] = {
    [NODE_CONNECT] = {NODE_CONNECT_BODY, do_connect},
    [NODE_DISCONNECT] = {NODE_DISCONNECT_BODY, do_disconnect},
    [NODE_ALLOC] = {NODE_ALLOC_BODY, do_alloc},
    [NODE_FREE] = {NODE_FREE_BODY, do_free},
    [NODE_KEEPALIVE] = {0, do_keepalive},
    [NODE_BYE] = {0, do_bye},
};

/* ---- replies ---- */

/* Makes a reply to message of what stands behind the header already. */
static size_t reply(struct control *c, const uint8_t *message, uint64_t session,
                    enum node_status status, size_t body, const uint8_t *key, size_t key_len,
                    uint8_t *out)
{
    size_t n = node_head(out, message[NODE_AT_TYPE] | NODE_REPLY, session,
                         roce_get32(message + NODE_AT_SEQ), body);

    roce_put16(out + NODE_AT_STATUS, status);
    roce_put16(out + NODE_AT_FLAGS, c->draining ? NODE_DRAINING : 0);
    auth_sign(out, n, key, key_len);
    if (status != NODE_OK)
        c->counts.errors++;
    return n;
}

/* One that a client can read who has no session. */
static size_t early(struct control *c, const uint8_t *message, enum node_status status,
                    uint8_t *out)
{
    return reply(c, message, roce_get64(message + NODE_AT_SESSION), status, 0, c->secret,
                 c->secret_len, out);
}

static size_t keep(struct session *s, const uint8_t *out, size_t n)
{
    s->reply_len = n <= sizeof(s->reply) ? n : 0;
    memcpy(s->reply, out, s->reply_len);
    return n;
}

static size_t repeat(struct control *c, const struct session *s, uint8_t *out)
{
    c->counts.repeated++;
    memcpy(out, s->reply, s->reply_len);
    return s->reply_len;
}

/* ---- the way in ---- */

/* The node's nonce for a client's: nothing need be remembered until the client has shown that it
 * knows the secret, and what one address was given is of no use to another. */
static void cookie(const struct control *c, const struct origin *from, uint64_t slot,
                   const uint8_t *nonce, uint8_t out[NODE_NONCE])
{
    uint8_t hash[AUTH_HASH];

    auth_hmac(hash, c->boot, sizeof(c->boot),
              (struct auth_part[]){{nonce, NODE_NONCE},
                                   {&slot, sizeof(slot)},
                                   {&from->address, sizeof(from->address)}},
              3);
    memcpy(out, hash, NODE_NONCE);
}

static bool cookie_good(const struct control *c, const struct origin *from, uint64_t now,
                        const uint8_t *nonce, const uint8_t *given)
{
    uint8_t ours[NODE_NONCE];
    uint64_t slot = now / CONTROL_COOKIE_MS;

    for (unsigned i = 0; i < 2; i++) {
        cookie(c, from, slot - i, nonce, ours);
        if (auth_equal(ours, given, NODE_NONCE))
            return true;
    }
    return false;
}

static size_t hello(struct control *c, const struct origin *from, uint64_t now, const uint8_t *m,
                    size_t n, uint8_t *out)
{
    if (n != NODE_HEAD + NODE_HELLO_BODY + NODE_TAG) {
        c->counts.no_message++;
        return 0;
    }
    if (!auth_verify(m, n, c->secret, c->secret_len)) {
        c->counts.bad_tag++;
        return early(c, m, NODE_E_AUTH, out);
    }
    cookie(c, from, now / CONTROL_COOKIE_MS, m + NODE_HEAD + NODE_HELLO_NONCE,
           out + NODE_HEAD + NODE_HELLO_NONCE);
    return reply(c, m, 0, NODE_OK, NODE_HELLO_BODY, c->secret, c->secret_len, out);
}

static size_t welcome(const struct control *c, const struct session *s, uint8_t *b)
{
    unsigned extents;

    roce_put32(b + NODE_LOGIN_R_LEASE, c->limits.lease_ms);
    roce_put32(b + NODE_LOGIN_R_GRACE, c->limits.grace_ms);
    roce_put64(b + NODE_LOGIN_R_QUOTA, c->memory->quota);
    roce_put64(b + NODE_LOGIN_R_USED, memory_used(c->memory, s->owner, &extents));
    roce_put32(b + NODE_LOGIN_R_EXTENTS, extents);
    roce_put32(b + NODE_LOGIN_R_MAX_EXTENTS, c->limits.extents);
    roce_put32(b + NODE_LOGIN_R_MAX_QPS, c->limits.qps);
    roce_put16(b + NODE_LOGIN_R_MTU, c->path_mtu(c->path_ctx, s->from.address));
    roce_put16(b + NODE_LOGIN_R_RD_ATOMIC, rd_atomic_max(c));
    return NODE_LOGIN_R_BODY;
}

/* The session of an earlier copy of this LOGIN. */
static struct session *session_of_login(struct control *c, const uint8_t *nonces)
{
    for (unsigned i = 0; i < c->limits.clients; i++)
        if (c->sessions[i].state != SESSION_FREE &&
            memcmp(c->sessions[i].client_nonce, nonces, NODE_NONCE) == 0 &&
            memcmp(c->sessions[i].node_nonce, nonces + NODE_NONCE, NODE_NONCE) == 0)
            return &c->sessions[i];
    return NULL;
}

static size_t login(struct control *c, const struct origin *from, uint64_t now, const uint8_t *m,
                    size_t n, uint8_t *out)
{
    const uint8_t *b = m + NODE_HEAD, *nonces = b + NODE_LOGIN_CLIENT_NONCE;
    uint32_t seq = roce_get32(m + NODE_AT_SEQ);
    uint64_t resume;
    uint8_t key[AUTH_HASH];
    struct session *s;

    if (n != NODE_HEAD + NODE_LOGIN_BODY + NODE_TAG) {
        c->counts.no_message++;
        return 0;
    }
    auth_session_key(key, c->secret, c->secret_len, nonces, nonces + NODE_NONCE);
    if (!auth_verify(m, n, key, sizeof(key))) {
        c->counts.bad_tag++;
        return early(c, m, NODE_E_AUTH, out);
    }
    s = session_of_login(c, nonces);
    if (s)
        return seq == s->seq ? repeat(c, s, out) : 0;
    if (!cookie_good(c, from, now, nonces, nonces + NODE_NONCE))
        return early(c, m, NODE_E_AUTH, out);
    if (!node_name_good(b + NODE_LOGIN_NAME))
        return reply(c, m, 0, NODE_E_MALFORMED, 0, key, sizeof(key), out);
    resume = roce_get64(b + NODE_LOGIN_RESUME);
    if (resume) {
        s = session_find(c, resume);
        if (!s)
            return early(c, m, NODE_E_NO_SESSION, out);
        session_lapse(c, s); /* whoever resumes has lost its queue pairs */
        c->counts.resumed++;
    } else {
        if (c->draining)
            return reply(c, m, 0, NODE_E_DRAINING, 0, key, sizeof(key), out);
        s = session_new(c);
        if (!s)
            return reply(c, m, 0, NODE_E_LIMIT, 0, key, sizeof(key), out);
    }
    s->state = SESSION_LIVE;
    memcpy(s->key, key, sizeof(key));
    memcpy(s->client_nonce, nonces, NODE_NONCE);
    memcpy(s->node_nonce, nonces + NODE_NONCE, NODE_NONCE);
    memcpy(s->name, b + NODE_LOGIN_NAME, NODE_NAME);
    s->seq = seq;
    s->heard = now;
    s->from = *from;
    c->counts.logins++;
    return keep(
        s, out,
        reply(c, m, s->id, NODE_OK, welcome(c, s, out + NODE_HEAD), s->key, sizeof(s->key), out));
}

static size_t in_session(struct control *c, const struct origin *from, uint64_t now,
                         const uint8_t *m, size_t n, uint8_t *out)
{
    struct session *s = session_find(c, roce_get64(m + NODE_AT_SESSION));
    struct request q = {from, now, m + NODE_HEAD, out + NODE_HEAD, 0};
    uint32_t seq = roce_get32(m + NODE_AT_SEQ);
    uint8_t type = m[NODE_AT_TYPE];
    enum node_status status;
    uint8_t key[AUTH_HASH];
    uint64_t id;

    if (!s || s->state != SESSION_LIVE)
        return early(c, m, NODE_E_NO_SESSION, out);
    if (!auth_verify(m, n, s->key, sizeof(s->key))) {
        c->counts.bad_tag++;
        return 0;
    }
    if (seq != s->seq && (int32_t)(seq - s->seq) < 0) {
        c->counts.old++;
        return 0;
    }
    s->heard = now;
    s->from = *from;
    if (seq == s->seq)
        return repeat(c, s, out);
    s->seq = seq;
    c->counts.requests++;
    /* BYE makes the session forget them. */
    memcpy(key, s->key, sizeof(key));
    id = s->id;
    if (type >= NODE_TYPES || !requests[type].carry_out)
        status = NODE_E_TYPE;
    else if (n != NODE_HEAD + requests[type].body + NODE_TAG)
        status = NODE_E_MALFORMED;
    else
        status = requests[type].carry_out(c, s, &q);
    return keep(
        s, out,
        reply(c, m, id, status, status == NODE_OK ? q.reply_body : 0, key, sizeof(key), out));
}

/* Of nobody's session, so that it is answered when there is no room for one more, too. */
static size_t stats(struct control *c, const struct origin *from, const uint8_t *m, size_t n,
                    uint8_t *out)
{
    size_t body = 0;

    if (n != NODE_MIN) {
        c->counts.no_message++;
        return 0;
    }
    if (!auth_verify(m, n, c->secret, c->secret_len)) {
        c->counts.bad_tag++;
        return early(c, m, NODE_E_AUTH, out);
    }
    if (from->stream)
        body = c->stats(c->stats_ctx, (char *)out + NODE_HEAD, NODE_STREAM_MAX - NODE_MIN);
    return reply(c, m, 0, body ? NODE_OK : NODE_E_CARRIER, body, c->secret, c->secret_len, out);
}

size_t control_request(struct control *c, const struct origin *from, uint64_t now,
                       const uint8_t *message, size_t n, uint8_t *out)
{
    if (!node_well_formed(message, n) || message[NODE_AT_TYPE] & NODE_REPLY) {
        c->counts.no_message++;
        return 0;
    }
    if (message[NODE_AT_VERSION] != NODE_VERSION)
        return early(c, message, NODE_E_VERSION, out);
    if (roce_get64(message + NODE_AT_SESSION))
        return in_session(c, from, now, message, n, out);
    if (message[NODE_AT_TYPE] == NODE_HELLO)
        return hello(c, from, now, message, n, out);
    if (message[NODE_AT_TYPE] == NODE_LOGIN)
        return login(c, from, now, message, n, out);
    if (message[NODE_AT_TYPE] == NODE_STATS)
        return stats(c, from, message, n, out);
    c->counts.no_message++;
    return 0;
}

size_t control_notice(struct control *c, const struct session *s, uint64_t now,
                      uint8_t out[CONTROL_REPLY_MAX])
{
    size_t n = node_head(out, NODE_NOTICE, s->id, 0, lease_body(c, s, now, out + NODE_HEAD));

    roce_put16(out + NODE_AT_FLAGS, c->draining ? NODE_DRAINING : 0);
    auth_sign(out, n, s->key, sizeof(s->key));
    return n;
}
