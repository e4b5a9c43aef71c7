/* See session.h. */
#define _GNU_SOURCE
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    RETRY_MS = 10, /* between two tries to open a connection */
    TRIES = 100,   /* of a datagram, beyond the first */
};

/* ---- requests ---- */

struct request *session_request(struct session *s, uint64_t intended)
{
    struct request *r = s->pool;

    if (r)
        s->pool = r->next;
    else
        r = xmalloc(sizeof(*r));
    *r = (struct request){.intended = intended, .sent = intended, .older = s->newest};
    *(s->newest ? &s->newest->newer : &s->oldest) = r;
    s->newest = r;
    r->recorded = intended >= s->window && intended < s->end;
    s->w->tally.sent += r->recorded;
    return r;
}

void session_forget(struct session *s, struct request *r)
{
    *(r->older ? &r->older->newer : &s->oldest) = r->newer;
    *(r->newer ? &r->newer->older : &s->newest) = r->older;
    r->next = s->pool;
    s->pool = r;
}

static void finish(struct session *s, struct request *r, bool answered, bool good, enum error e,
                   uint64_t now)
{
    struct tally *t = &s->w->tally;

    workload_done(&s->workload, r, good);
    if (good) {
        tally_in_time(t, (int64_t)(now - s->window), (int64_t)(s->end - s->window));
        s->w->ended = now;
    } else if (s->run->stop_at_error) {
        atomic_store(&s->run->stop, true);
    }
    if (r->recorded) {
        t->answered += answered;
        if (good) {
            t->good++;
            t->op[r->op].good++;
            hist_add(&t->latency, now - r->intended);
            hist_add(&t->service, now - r->sent);
            hist_add(&t->op[r->op].latency, now - r->intended);
        } else {
            t->errors[e]++;
        }
    }
    session_forget(s, r);
}

void session_fail(struct session *s, struct request *r, enum error e)
{
    if (r->recorded && !r->conn)
        s->w->tally.unsent++;
    finish(s, r, false, false, e, 0);
}

struct request *session_queue_pop(struct session *s)
{
    struct request *r = s->queue;

    if (r) {
        s->queue = r->next;
        s->queue_len--;
    }
    return r;
}

void session_queue_push(struct session *s, struct request *r)
{
    r->next = NULL;
    *(s->queue ? &s->queue_tail->next : &s->queue) = r;
    s->queue_tail = r;
    s->queue_len++;
}

/* One request less to send; false if none is left. */
bool session_take_budget(struct session *s)
{
    uint_fast64_t left = atomic_load(&s->run->budget);

    while (left && !atomic_compare_exchange_weak(&s->run->budget, &left, left - 1))
        ;
    return left > 0;
}

/* ---- connections ---- */

/* Puts a connection into the list that its state asks for. */
void session_place(struct session *s, struct conn *c)
{
    struct conn_list *to = &s->busy;

    if (c->state == CONN_CLOSED)
        to = &s->closed;
    else if (c->state == CONN_UP && !c->last && c->under_way == 0)
        to = &s->idle;
    else if (c->state == CONN_UP && !c->last && c->under_way < s->run->pipeline)
        to = &s->partial;
    /* Datagrams take turns on all sockets; streams on those used last, so that an open loop opens
     * no more than it needs. */
    if (c->list != to || to == &s->closed || s->proto->datagram)
        conn_list_move(c, to, to == &s->idle && !s->proto->datagram && s->run->open);
}

void session_drop(struct session *s, struct conn *c, enum error e)
{
    s->connecting -= c->state == CONN_CONNECTING;
    conn_close(c);
    while (c->head)
        session_fail(s, conn_pop(c), e);
    session_place(s, c);
}

/* Opens, or begins to. What fails costs one request its chance. */
static void open_failed(struct session *s, struct conn *c, enum error e, uint64_t now)
{
    struct request *r = NULL;

    c->retry_at = now + RETRY_MS * MS;
    if (c->state != CONN_CLOSED) {
        if (!c->head)
            r = s->run->open ? session_queue_pop(s) : NULL;
        session_drop(s, c, e);
    } else if (s->run->open) {
        r = session_queue_pop(s);
    }
    session_place(s, c);
    if (s->start && !s->run->open && !s->per_request && !s->exhausted && now < s->end &&
        session_take_budget(s)) {
        r = session_request(s, now);
        workload_next(&s->workload, r);
    }
    if (r)
        session_fail(s, r, e);
}

bool session_open(struct session *s, struct conn *c, uint64_t now)
{
    enum error e;

    /* Ports in use by others are no reason to give up on this one. */
    if (!conn_open(c, s->o, s->next_source++, s->epoll, &e)) {
        open_failed(s, c, e, now);
        return false;
    }
    s->connecting += c->state == CONN_CONNECTING;
    session_place(s, c);
    return true;
}

static void send_datagram(struct session *s, struct conn *c, struct request *r)
{
    ssize_t n;

    conn_put_slot(c, r, s->proto == &proto_dns_udp ? 16 : 32);
    c->out.len = 0;
    s->proto->encode(&s->proto_state, r, &c->out);
    /* One that the socket does not take is lost, as on the wire: it will time out. */
    n = send(c->fd, c->out.s, c->out.len, MSG_NOSIGNAL);
    if (n > 0 && s->window_state == 1)
        s->w->tally.bytes_out += n;
    c->out.len = 0;
}

/* Puts a request on a connection; bytes of streams go out with the next flush. */
static void assign(struct session *s, struct conn *c, struct request *r, uint64_t now)
{
    if (r->step == 0)
        r->sent = now;
    if (s->proto->datagram) {
        send_datagram(s, c, r);
    } else {
        conn_push(c, r);
        s->proto->encode(&s->proto_state, r, &c->out);
        if (!c->dirty) {
            c->dirty = true;
            s->dirty[s->nr_dirty++] = c;
        }
    }
    session_place(s, c);
}

bool session_repeat(struct session *s, struct request *r, uint64_t now)
{
    struct conn *c = r->conn;

    if (r->tries == TRIES)
        return false;
    r->tries++;
    conn_take_slot(c, r->id);
    /* The list is in order of intended times. */
    if (r->newer) {
        *(r->older ? &r->older->newer : &s->oldest) = r->newer;
        r->newer->older = r->older;
        r->older = s->newest;
        r->newer = NULL;
        s->newest->newer = r;
        s->newest = r;
    }
    r->intended = now;
    assign(s, c, r, now);
    return true;
}

void session_flush(struct session *s)
{
    for (unsigned i = 0; i < s->nr_dirty; i++) {
        struct conn *c = s->dirty[i];
        enum error e;
        ssize_t n;

        c->dirty = false;
        n = conn_flush(c, s->epoll, &e);
        if (n < 0)
            session_drop(s, c, e);
        else if (s->window_state == 1)
            s->w->tally.bytes_out += n;
    }
    s->nr_dirty = 0;
}

/* A connection that takes another request now, or NULL. */
struct conn *session_pick(struct session *s, uint64_t now)
{
    struct conn *c;

    if (s->per_request) {
        c = s->closed.head;
        /* The list is in order of closing, hence of the times to retry. */
        return c && c->retry_at <= now ? c : NULL;
    }
    return s->idle.head ? s->idle.head : s->partial.head;
}

/* Opens connections: all in a closed loop, as many as requests wait in an open one. */
void session_open_more(struct session *s, uint64_t now)
{
    while (!s->per_request && s->closed.head && s->closed.head->retry_at <= now &&
           (!s->run->open || s->connecting < s->queue_len))
        if (!session_open(s, s->closed.head, now) && s->run->open && !s->queue)
            break;
}

/* A connection for each request: it is opened with the request on it. */
void session_start(struct session *s, struct conn *c, struct request *r, uint64_t now)
{
    enum error e;

    if (!s->per_request) {
        assign(s, c, r, now);
        return;
    }
    r->sent = now;
    if (!conn_open(c, s->o, s->next_source++, s->epoll, &e)) {
        c->retry_at = now + RETRY_MS * MS;
        session_place(s, c);
        session_fail(s, r, e);
        return;
    }
    s->connecting += c->state == CONN_CONNECTING;
    assign(s, c, r, now);
}

/* ---- answers ---- */

/* Returns whether the connection goes on. */
static bool judge(struct session *s, struct conn *c, enum verdict v, const struct answer *a,
                  uint64_t now)
{
    struct request *r = conn_pop(c);

    c->want = 0;
    c->last |= a->close || s->per_request;
    if (v == ANSWER_BROKEN) {
        finish(s, r, true, false, ERROR_PROTOCOL, now);
        session_drop(s, c, ERROR_PROTOCOL);
        return false;
    }
    if (v == ANSWER_NEXT) {
        r->step++;
        assign(s, c, r, now);
    } else {
        finish(s, r, true, v == ANSWER_GOOD, ERROR_WRONG, now);
    }
    if (c->last) {
        session_drop(s, c, ERROR_CLOSED);
        return false;
    }
    session_place(s, c);
    return true;
}

/* Judges all whole answers at p; the rest stays in c->in. Returns whether the connection goes on.
 */
static bool answers(struct session *s, struct conn *c, const uint8_t *p, size_t n, bool eof,
                    uint64_t now)
{
    bool own = p == (uint8_t *)c->in.s;
    size_t at = 0;

    while (c->head && (at < n || eof) && n - at >= (eof ? 1 : c->want)) {
        struct answer a;
        enum verdict v = s->proto->parse(&s->proto_state, c->head, p + at, n - at, eof, &a);

        if (v == ANSWER_MORE) {
            c->want = a.want;
            break;
        }
        if (!judge(s, c, v, &a, now))
            return false;
        at += a.used;
    }
    if (!c->head && at < n) {
        s->w->tally.stray++;
        session_drop(s, c, ERROR_PROTOCOL);
        return false;
    }
    if (own) {
        memmove(c->in.s, p + at, n - at);
        c->in.len = n - at;
    } else if (at < n) {
        c->in.len = 0;
        sb_add(&c->in, p + at, n - at);
    }
    return true;
}

/* Reads into the thread's buffer, or behind what the connection has of an answer. */
static void receive(struct session *s, struct conn *c)
{
    for (;;) {
        bool own = c->in.len > 0;
        size_t room = SCRATCH;
        uint8_t *to = s->scratch;
        ssize_t n;
        uint64_t now;

        if (own) {
            if (c->want > c->in.len && c->want - c->in.len > room)
                room = c->want - c->in.len;
            if (c->in.cap < c->in.len + room) {
                c->in.cap = c->in.len + room;
                c->in.s = xrealloc(c->in.s, c->in.cap);
            }
            to = (uint8_t *)c->in.s + c->in.len;
        }
        n = recv(c->fd, to, room, 0);
        now = clock_ns();
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno != EAGAIN)
                session_drop(s, c, conn_error(errno));
            return;
        }
        if (n == 0) {
            if (!c->head || !c->in.len || answers(s, c, (uint8_t *)c->in.s, c->in.len, true, now))
                session_drop(s, c, ERROR_CLOSED);
            return;
        }
        if (s->window_state == 1)
            s->w->tally.bytes_in += n;
        if (own ? !answers(s, c, (uint8_t *)c->in.s, c->in.len + n, false, now)
                : !answers(s, c, to, n, false, now))
            return;
        if ((size_t)n < room)
            return;
    }
}

/* The peer's port is closed: all that was sent there is lost. */
static void datagrams_refused(struct session *s, struct conn *c)
{
    for (unsigned i = 0; i < c->nr_slots; i++) {
        struct request *r = c->slots[i];

        if (r) {
            conn_take_slot(c, r->id);
            session_fail(s, r, ERROR_REFUSED);
        }
    }
    session_place(s, c);
}

static void receive_datagrams(struct session *s, struct conn *c)
{
    for (int i = 0; i < BURST; i++) {
        ssize_t n = recv(c->fd, s->scratch, SCRATCH, 0);
        uint64_t now = clock_ns();
        struct request *r = NULL;
        struct answer a;
        enum verdict v;
        uint32_t id;

        if (n < 0) {
            if (errno == ECONNREFUSED)
                datagrams_refused(s, c);
            return;
        }
        if (s->window_state == 1)
            s->w->tally.bytes_in += n;
        if (s->proto->id(s->scratch, n, &id))
            r = conn_take_slot(c, id);
        if (!r) {
            s->w->tally.stray++;
            continue;
        }
        v = s->proto->parse(&s->proto_state, r, s->scratch, n, true, &a);
        if (v == ANSWER_NEXT) {
            r->step++;
            assign(s, c, r, now);
            continue;
        }
        finish(s, r, true, v == ANSWER_GOOD, v == ANSWER_BROKEN ? ERROR_PROTOCOL : ERROR_WRONG,
               now);
        session_place(s, c);
    }
}

void session_event(struct session *s, struct conn *c, uint32_t events)
{
    enum error e;

    if (c->state == CONN_CLOSED)
        return;
    if (c->state == CONN_CONNECTING) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        if (!conn_connected(c, &e)) {
            open_failed(s, c, e, clock_ns());
            return;
        }
        s->connecting--;
        session_place(s, c);
        events &= ~(EPOLLERR | EPOLLHUP);
    }
    if (events & EPOLLOUT && !s->proto->datagram) {
        ssize_t n = conn_flush(c, s->epoll, &e);

        if (n < 0) {
            session_drop(s, c, e);
            return;
        }
        if (s->window_state == 1)
            s->w->tally.bytes_out += n;
    }
    if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        return;
    if (s->proto->datagram)
        receive_datagrams(s, c);
    else
        receive(s, c);
}
