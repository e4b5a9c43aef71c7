/* See session.h. */
#include "roce/session.h"

#include "lib/sha256.h"

#include <asm/errno.h>

#define NSEC_MSEC      1000000ull
#define REPEAT_FIRST   (20 * NSEC_MSEC)
#define REPEAT_MOST    (500 * NSEC_MSEC)
#define DENIALS        3u
#define KEEPALIVE_PART 3u /* of a lease */

/* ---- Requests ---- */

static bool has_session_key(const struct session *s)
{
    return s->state != SESSION_HELLO;
}

static void tag(const struct session *s, bool by_session, const uint8_t *p, size_t n,
                uint8_t out[NODE_TAG])
{
    uint8_t hash[SHA256_BYTES];

    if (by_session)
        hmac_sha256(s->key, NODE_KEY, p, n, hash);
    else
        hmac_sha256(s->secret, s->secret_len, p, n, hash);
    memcpy(out, hash, NODE_TAG);
}

/* The body is in its place. */
static void ask(struct session *s, enum node_type type, size_t body, uint64_t now)
{
    s->length_out = node_head(s->message, type, type <= NODE_LOGIN ? 0 : s->id, ++s->seq, body);
    tag(s, has_session_key(s), s->message, s->length_out - NODE_TAG,
        s->message + s->length_out - NODE_TAG);
    s->tries = 0;
    s->due = now;
}

static uint8_t *body_of(struct session *s)
{
    return s->message + NODE_HEAD;
}

static void ask_hello(struct session *s, uint64_t now)
{
    s->state = SESSION_HELLO;
    for (unsigned i = 0; i < NODE_NONCE; i += 8)
        roce_put64(s->nonce + i, s->random());
    memcpy(body_of(s) + NODE_HELLO_NONCE, s->nonce, NODE_NONCE);
    ask(s, NODE_HELLO, NODE_HELLO_BODY, now);
}

static void ask_login(struct session *s, uint64_t now)
{
    uint8_t text[sizeof(NODE_KEY_LABEL) - 1 + 2 * NODE_NONCE], *b = body_of(s);

    memcpy(text, NODE_KEY_LABEL, sizeof(NODE_KEY_LABEL) - 1);
    memcpy(text + sizeof(NODE_KEY_LABEL) - 1, s->nonce, NODE_NONCE);
    memcpy(text + sizeof(text) - NODE_NONCE, s->node_nonce, NODE_NONCE);
    hmac_sha256(s->secret, s->secret_len, text, sizeof(text), s->key);
    s->state = SESSION_LOGIN;
    memcpy(b + NODE_LOGIN_CLIENT_NONCE, s->nonce, NODE_NONCE);
    memcpy(b + NODE_LOGIN_NODE_NONCE, s->node_nonce, NODE_NONCE);
    roce_put64(b + NODE_LOGIN_RESUME, s->resume);
    memset(b + NODE_LOGIN_NAME, 0, NODE_NAME);
    memcpy(b + NODE_LOGIN_NAME, s->name, strlen(s->name));
    ask(s, NODE_LOGIN, NODE_LOGIN_BODY, now);
}

static void ask_alloc(struct session *s, uint64_t now)
{
    uint8_t *b = body_of(s);

    s->state = SESSION_ALLOC;
    roce_put64(b + NODE_ALLOC_BYTES, s->want);
    roce_put32(b + NODE_ALLOC_ACCESS, NODE_READ | NODE_WRITE);
    memset(b + NODE_ALLOC_REGION, 0, NODE_NAME);
    ask(s, NODE_ALLOC, NODE_ALLOC_BODY, now);
}

static void ask_connect(struct session *s, unsigned i, uint64_t now)
{
    const struct session_qp *qp = &s->qp[i];
    uint8_t *b = body_of(s);

    s->state = SESSION_CONNECT;
    s->connecting = i;
    roce_put32(b + NODE_CONNECT_QPN, qp->qpn);
    roce_put32(b + NODE_CONNECT_PSN, qp->psn);
    roce_put32(b + NODE_CONNECT_ADDRESS, 0); /* where our messages come from */
    roce_put16(b + NODE_CONNECT_PORT, 0);
    roce_put16(b + NODE_CONNECT_MTU, qp->mtu);
    roce_put16(b + NODE_CONNECT_RD_ATOMIC, qp->rd_atomic);
    roce_put16(b + NODE_CONNECT_ZERO, 0);
    ask(s, NODE_CONNECT, NODE_CONNECT_BODY, now);
}

static void rest(struct session *s, uint64_t now)
{
    s->length_out = 0;
    s->due = now + (uint64_t)s->lease_ms * NSEC_MSEC / KEEPALIVE_PART;
}

/* ---- From outside ---- */

static void begin(struct session *s, uint64_t now)
{
    s->id = 0;
    s->error = 0;
    s->status = NODE_OK;
    ask_hello(s, now);
}

void session_open(struct session *s, uint64_t now)
{
    s->resume = s->length = 0;
    begin(s, now);
}

void session_reopen(struct session *s, uint64_t now)
{
    /* An attempt that came to nothing leaves no number, and the one before it is still wanted. */
    if (s->id != 0)
        s->resume = s->id;
    begin(s, now);
}

static void leave(struct session *s, uint64_t now)
{
    s->state = SESSION_LEAVING;
    ask(s, NODE_BYE, 0, now);
}

void session_close(struct session *s, uint64_t now)
{
    s->closing = true;
    if (s->state == SESSION_DOWN || s->id == 0) {
        s->state = SESSION_IDLE;
        s->length_out = 0;
    } else if (s->state != SESSION_IDLE) {
        leave(s, now);
    }
}

static void down(struct session *s, int error, uint16_t status)
{
    s->state = SESSION_DOWN;
    s->error = error;
    s->status = status;
    s->length_out = 0;
}

size_t session_output(struct session *s, uint64_t now, const uint8_t **datagram)
{
    if (s->state == SESSION_IDLE || s->state == SESSION_DOWN || now < s->due)
        return 0;
    if (s->length_out == 0)
        ask(s, NODE_KEEPALIVE, 0, now);
    if (s->tries++ == SESSION_TRIES) {
        down(s, -ETIMEDOUT, NODE_OK);
        return 0;
    }
    s->due = now + MIN(REPEAT_FIRST << MIN(s->tries, 8u), REPEAT_MOST);
    *datagram = s->message;
    return s->length_out;
}

/* ---- Replies ---- */

static int refused(uint16_t status)
{
    switch (status) {
    case NODE_E_AUTH:
        return -EACCES;
    case NODE_E_VERSION:
        return -EPROTONOSUPPORT;
    case NODE_E_NO_SESSION:
        return -ESTALE;
    case NODE_E_QUOTA:
    case NODE_E_NO_MEMORY:
        return -ENOSPC;
    case NODE_E_LIMIT:
    case NODE_E_DRAINING:
        return -EBUSY;
    default:
        return -EPROTO;
    }
}

static bool connected(struct session_qp *qp, const uint8_t *b)
{
    uint16_t mtu = roce_get16(b + NODE_CONNECT_MTU), rd = roce_get16(b + NODE_CONNECT_RD_ATOMIC);

    if (mtu > qp->mtu || mtu < 256 || mtu & (mtu - 1) || rd == 0 || rd > qp->rd_atomic)
        return false;
    qp->peer_qpn = roce_get32(b + NODE_CONNECT_QPN);
    qp->peer_address = roce_get32(b + NODE_CONNECT_ADDRESS);
    qp->peer_port = roce_get16(b + NODE_CONNECT_PORT);
    qp->mtu = mtu;
    qp->rd_atomic = rd;
    return true;
}

/* A reply to the request under way, of the length that its type has. */
static void answered(struct session *s, const uint8_t *p, uint64_t now)
{
    const uint8_t *b = p + NODE_HEAD;
    uint64_t used;

    switch (s->state) {
    case SESSION_HELLO:
        memcpy(s->node_nonce, b + NODE_HELLO_NONCE, NODE_NONCE);
        ask_login(s, now);
        break;
    case SESSION_LOGIN:
        s->id = roce_get64(p + NODE_AT_SESSION);
        s->lease_ms = MAX(roce_get32(b + NODE_LOGIN_R_LEASE), 100u);
        used = roce_get64(b + NODE_LOGIN_R_USED);
        if (roce_get32(b + NODE_LOGIN_R_MAX_QPS) < SESSION_QPS)
            down(s, -EBUSY, NODE_E_LIMIT);
        else if (used < s->length)
            down(s, -ESTALE, NODE_OK);
        else if (s->length > 0)
            ask_connect(s, 0, now);
        else if (used > 0) /* memory that we never heard of, as its reply was lost */
            leave(s, now);
        else
            ask_alloc(s, now);
        break;
    case SESSION_ALLOC:
        s->va = roce_get64(b + NODE_ALLOC_R_VA);
        s->length = roce_get64(b + NODE_ALLOC_R_LENGTH);
        s->rkey = roce_get32(b + NODE_ALLOC_R_RKEY);
        if (s->length < s->want)
            down(s, -EPROTO, NODE_OK);
        else
            ask_connect(s, 0, now);
        break;
    case SESSION_CONNECT:
        if (!connected(&s->qp[s->connecting], b)) {
            down(s, -EPROTO, NODE_OK);
        } else if (s->connecting + 1 < SESSION_QPS) {
            ask_connect(s, s->connecting + 1, now);
        } else {
            s->state = SESSION_READY;
            rest(s, now);
        }
        break;
    case SESSION_READY:
        rest(s, now);
        break;
    case SESSION_LEAVING:
        if (!s->closing)
            session_open(s, now);
        else
            s->state = SESSION_IDLE;
        break;
    default:
        break;
    }
}

static const size_t reply_body[] = {
    [SESSION_HELLO] = NODE_HELLO_BODY,       [SESSION_LOGIN] = NODE_LOGIN_R_BODY,
    [SESSION_ALLOC] = NODE_ALLOC_R_BODY,     [SESSION_CONNECT] = NODE_CONNECT_BODY,
    [SESSION_READY] = NODE_KEEPALIVE_R_BODY, [SESSION_LEAVING] = 0,
};

static bool signed_by(const struct session *s, bool by_session, const uint8_t *p, size_t n)
{
    uint8_t ours[NODE_TAG], bad = 0;

    tag(s, by_session, p, n - NODE_TAG, ours);
    for (unsigned i = 0; i < NODE_TAG; i++)
        bad |= ours[i] ^ p[n - NODE_TAG + i];
    return bad == 0;
}

/* An early refusal is signed, but what it answers was not looked at that closely: a request that
 * was changed on its way, by chance or by somebody who has no secret, is refused in the node's
 * name. */
static bool fits_request(const struct session *s, const uint8_t *p, uint16_t status)
{
    if (status == NODE_E_NO_SESSION)
        return roce_get64(p + NODE_AT_SESSION) == roce_get64(s->message + NODE_AT_SESSION);
    if (status == NODE_E_VERSION)
        return p[NODE_AT_VERSION] != NODE_VERSION;
    return status != NODE_E_AUTH || s->state == SESSION_LOGIN;
}

bool session_input(struct session *s, const uint8_t *p, size_t n, uint64_t now)
{
    uint16_t status;
    bool early;

    if (s->state == SESSION_IDLE || s->state == SESSION_DOWN || !node_well_formed(p, n))
        return false;
    if (s->length_out == 0 || p[NODE_AT_TYPE] != (s->message[NODE_AT_TYPE] | NODE_REPLY) ||
        roce_get32(p + NODE_AT_SEQ) != s->seq)
        return false;
    status = roce_get16(p + NODE_AT_STATUS);
    early = node_status_is_early(status);
    if (!signed_by(s, has_session_key(s) && !early, p, n)) {
        if (status == NODE_E_AUTH && s->id == 0 && s->resume == 0 && ++s->denials == DENIALS)
            down(s, -EACCES, status);
        return s->state == SESSION_DOWN;
    }
    if (!fits_request(s, p, status))
        return false;
    if (status == NODE_E_NO_SESSION && s->closing) /* it has left, and the reply was lost */
        s->state = SESSION_IDLE;
    else if (status == NODE_E_NO_SESSION && s->length == 0)
        session_open(s, now);
    else if (status == NODE_E_NO_SESSION && s->state != SESSION_LOGIN)
        down(s, -ETIMEDOUT, status); /* its lease has ended: its memory may be there still */
    else if (status == NODE_E_AUTH)  /* the node's nonce is too old by now */
        ask_hello(s, now);
    else if (status != NODE_OK || p[NODE_AT_VERSION] != NODE_VERSION)
        down(s, refused(status), status);
    else if (n != NODE_MIN + reply_body[s->state])
        down(s, -EPROTO, NODE_OK);
    else
        answered(s, p, now);
    return true;
}
