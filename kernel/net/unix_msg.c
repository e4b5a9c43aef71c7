/*
 * AF_UNIX messages: sending and receiving. A message is one block: what it needs to be
 * delivered, and the data. A send copies the data first, which may sleep, and then finds the
 * receiver and queues in one go. A datagram is taken off the queue before it is copied out; a
 * stream's bytes are copied from the queue, and `receiving` keeps other readers away meanwhile.
 * Called by the socket layer; may sleep.
 */
#include "net/unix.h"

#include "mm/slab.h"
#include "sched/clock.h"

#include <linux/eventpoll.h>

#define MSG_BLOCK_MAX (32 * KiB) /* larger data is not asked for in one physical piece */
#define STREAM_CHUNK  (MSG_BLOCK_MAX - sizeof(struct unix_msg))
#define DGRAM_RESERVE 32u /* of the send buffer, not usable for one datagram; as Linux */

/* ---- Messages ---------------------------------------------------------------------------- */

/* Charged to the sender at once. */
static struct unix_msg *msg_new(struct unix_sock *from, size_t len)
{
    bool apart = sizeof(struct unix_msg) + len > MSG_BLOCK_MAX;
    struct unix_msg *msg = kmalloc(sizeof(*msg) + (apart ? 0 : len));
    if (!msg)
        return NULL;
    *msg = (struct unix_msg){
        .refs = 1,
        .len = (uint32_t)len,
        .charge = (uint32_t)(sizeof(*msg) + len),
        .from = from,
        .vmalloced = apart,
        .data = apart ? vmalloc(len) : (char *)(msg + 1),
    };
    list_init(&msg->link);
    if (!msg->data) {
        kfree(msg);
        return NULL;
    }
    unix_get(from);
    from->sent += msg->charge;
    unix_stats.messages++;
    return msg;
}

static void take_fds(struct unix_msg *msg, struct unix_fds **out)
{
    *out = msg->fds;
    msg->fds = NULL;
    if (*out)
        unix_inflight_remove(*out);
}

void unix_msg_put(struct unix_msg *msg)
{
    if (--msg->refs > 0)
        return;
    struct unix_sock *from = msg->from;
    struct unix_fds *fds;
    take_fds(msg, &fds);
    from->sent -= msg->charge;
    if (!from->dead && unix_writable(from))
        unix_notify(from, EPOLLOUT, true);
    unix_put(from);
    if (msg->vmalloced)
        vfree(msg->data);
    kfree(msg);
    unix_stats.messages--;
    unix_fds_free(fds);
}

void unix_flush(struct unix_sock *u)
{
    while (!list_empty(&u->queue)) {
        struct unix_msg *msg = list_first(&u->queue, struct unix_msg, link);
        list_remove(&msg->link);
        u->queue_len--;
        unix_msg_put(msg);
    }
}

size_t unix_queued_bytes(const struct unix_sock *u)
{
    size_t n = 0;
    list_for_each (msg, &u->queue, struct unix_msg, link) {
        n += msg->len - msg->off;
        if (unix_is_dgram(u)) /* the next datagram's size */
            break;
    }
    return n;
}

static void enqueue(struct unix_sock *to, struct unix_msg *msg)
{
    if (unlikely(to->s.timestamp != SOCKTS_NONE))
        msg->stamp = clock_real_ns();
    list_push_back(&to->queue, &msg->link);
    to->queue_len++;
    /* One datagram is one reader's; how many share a stream's bytes nobody knows. */
    unix_notify(to, EPOLLIN, to->s.type == SOCK_STREAM);
}

/* ---- Sending ----------------------------------------------------------------------------- */

/* Waits until the send buffer has room: 0, the pending error, -EPIPE, -EAGAIN, -ERESTARTSYS. */
static int wait_sndbuf(struct unix_sock *u, uint64_t deadline)
{
    while (true) {
        int r = socket_take_error(&u->s);
        if (r < 0)
            return r;
        if (u->shut & UNIX_SHUT_SND)
            return -EPIPE;
        if (u->sent < u->s.sndbuf)
            return 0;
        r = unix_wait(&u->s.file.waitq, EPOLLOUT | EPOLLHUP | EPOLLERR, deadline);
        if (r < 0)
            return r;
    }
}

/* A message with the next len bytes of the application: 0 or -errno. */
static int msg_import(struct unix_sock *u, struct sock_msg *m, size_t len, uint64_t deadline,
                      struct unix_msg **out)
{
    int r = wait_sndbuf(u, deadline);
    if (r < 0)
        return r;
    struct unix_msg *msg = msg_new(u, len);
    if (!msg)
        return -ENOBUFS;
    if (len > 0 && copy_from_iter(m->it, msg->data, len) != (ssize_t)len) {
        unix_msg_put(msg);
        return -EFAULT;
    }
    *out = msg;
    return 0;
}

static void attach(struct unix_msg *msg, struct unix_scm *scm)
{
    msg->cred = scm->cred;
    msg->fds = scm->fds;
    scm->fds = NULL;
    if (msg->fds)
        unix_inflight_add(msg->fds);
}

static ssize_t send_stream(struct unix_sock *u, struct sock_msg *m, struct unix_scm *scm)
{
    size_t total = m->it->count, sent = 0;
    int r = 0;
    if (m->addr && m->addr->len > 0)
        return u->state == UNIX_CONNECTED ? -EISCONN : -EOPNOTSUPP;
    if (!u->peer)
        return -ENOTCONN;
    if (u->shut & UNIX_SHUT_SND)
        return -EPIPE;
    uint64_t deadline = socket_deadline(u->s.sndtimeo, m->flags, &u->s);
    while (sent < total) {
        struct unix_msg *msg;
        /* Two messages fit the buffer, so that reader and writer overlap. */
        size_t len = MIN(MIN(total - sent, STREAM_CHUNK), (size_t)u->s.sndbuf / 2);
        r = msg_import(u, m, len, deadline, &msg);
        if (r < 0)
            break;
        struct unix_sock *peer = u->peer;
        if (!peer || peer->dead || (peer->shut & UNIX_SHUT_RCV)) {
            unix_msg_put(msg);
            r = -EPIPE;
            break;
        }
        attach(msg, scm); /* descriptors go with the first bytes */
        enqueue(peer, msg);
        sent += len;
    }
    return sent > 0 ? (ssize_t)sent : r;
}

/* The receiver of a datagram, referenced. */
static int find_receiver(struct unix_sock *u, const struct sock_msg *m, struct unix_sock **out)
{
    if (m->addr && m->addr->len > 0 && unix_is_dgram(u))
        return unix_find(m->addr, u->s.type, out);
    if (!u->peer)
        return -ENOTCONN;
    unix_get(u->peer);
    *out = u->peer;
    return 0;
}

/* Whether msg may be queued at `to` now: 0, -EAGAIN if the queue is full, or why never. */
static int check_receiver(struct unix_sock *u, struct unix_sock *to)
{
    if (to->dead) {
        if (!unix_is_dgram(u))
            return -EPIPE;
        if (u->peer == to)
            unix_disconnect(u);
        return -ECONNREFUSED;
    }
    if (unix_is_dgram(u) && to->peer && to->peer != u)
        return -EPERM;
    if (to->shut & UNIX_SHUT_RCV)
        return -EPIPE;
    return to != u && to->peer != u && unix_queue_full(to) ? -EAGAIN : 0;
}

/* Finds the receiver, waits for room in its queue, and queues. */
static int post(struct unix_sock *u, const struct sock_msg *m, struct unix_msg *msg,
                struct unix_scm *scm, uint64_t deadline)
{
    while (true) {
        struct unix_sock *to;
        int r = find_receiver(u, m, &to);
        if (r < 0)
            return r;
        r = check_receiver(u, to);
        if (r == 0) {
            attach(msg, scm);
            enqueue(to, msg);
        } else if (r == -EAGAIN) {
            r = unix_wait(&to->space, EPOLLOUT, deadline);
            unix_put(to);
            if (r < 0)
                return r;
            continue;
        }
        unix_put(to);
        return r;
    }
}

static ssize_t send_datagram(struct unix_sock *u, struct sock_msg *m, struct unix_scm *scm)
{
    size_t len = m->it->count;
    struct unix_msg *msg;
    if (u->s.type == SOCK_SEQPACKET && u->state != UNIX_CONNECTED)
        return -ENOTCONN;
    if (!u->peer && !(m->addr && m->addr->len > 0))
        return -ENOTCONN;
    if (u->s.passcred) {
        int r = unix_autobind(u);
        if (r < 0)
            return r;
    }
    if (len > u->s.sndbuf - DGRAM_RESERVE)
        return -EMSGSIZE;
    uint64_t deadline = socket_deadline(u->s.sndtimeo, m->flags, &u->s);
    int r = msg_import(u, m, len, deadline, &msg);
    if (r < 0)
        return r;
    r = post(u, m, msg, scm, deadline);
    if (r < 0) {
        unix_msg_put(msg);
        return r;
    }
    return (ssize_t)len;
}

ssize_t unix_sendmsg(struct socket *s, struct sock_msg *m)
{
    struct unix_sock *u = unix_of(s);
    struct unix_scm scm;
    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    ssize_t r = unix_scm_parse(m, &scm);
    if (r < 0)
        return r;
    r = s->type == SOCK_STREAM ? send_stream(u, m, &scm) : send_datagram(u, m, &scm);
    unix_fds_free(scm.fds);
    return r;
}

/* A sender without a name leaves the address empty. */
static void put_sender(const struct unix_msg *msg, struct sock_msg *m)
{
    if (m->addr && msg->from->addr)
        unix_name(msg->from, m->addr);
}

/* ---- Receiving datagrams ----------------------------------------------------------------- */

/* The message to receive; a peek with an offset skips over those that lie before it. */
static struct unix_msg *first_datagram(struct unix_sock *u, bool peek, size_t *skip)
{
    list_for_each (msg, &u->queue, struct unix_msg, link) {
        if (!peek || *skip == 0 || *skip < msg->len)
            return msg;
        *skip -= msg->len;
    }
    return NULL;
}

/* Waits for one: 0 and *out referenced (NULL: shut down), or -errno. */
static int take_datagram(struct unix_sock *u, const struct sock_msg *m, size_t *skip,
                         struct unix_msg **out)
{
    bool peek = m->flags & MSG_PEEK;
    uint64_t deadline = socket_deadline(u->s.rcvtimeo, m->flags, &u->s);
    size_t offset = *skip;
    while (true) {
        int r = socket_take_error(&u->s);
        if (r < 0)
            return r;
        *skip = offset;
        struct unix_msg *msg = first_datagram(u, peek, skip);
        if (msg) {
            *out = msg;
            if (peek) {
                msg->refs++;
                return 0;
            }
            list_remove(&msg->link);
            bool was_full = unix_queue_full(u);
            u->queue_len--;
            if (was_full)
                unix_queue_drained(u);
            return 0;
        }
        if (u->shut & UNIX_SHUT_RCV) {
            *out = NULL;
            return 0;
        }
        r = unix_wait(&u->s.file.waitq, EPOLLIN | EPOLLHUP | EPOLLERR, deadline);
        if (r < 0)
            return r;
    }
}

/* SO_PEEK_OFF moves on with what is peeked, and back with what is received. */
static void move_peek_off(struct socket *s, bool peek, size_t n)
{
    if (s->peek_off < 0)
        return;
    if (peek)
        s->peek_off += (int)n;
    else
        s->peek_off = MAX(s->peek_off - (int)n, 0);
}

static ssize_t receive_datagram(struct unix_sock *u, struct sock_msg *m)
{
    bool peek = m->flags & MSG_PEEK;
    size_t skip = peek && u->s.peek_off > 0 ? (size_t)u->s.peek_off : 0;
    struct unix_msg *msg;
    struct unix_fds *fds = NULL;
    if (u->s.type == SOCK_SEQPACKET && u->state != UNIX_CONNECTED)
        return -ENOTCONN;
    int r = take_datagram(u, m, &skip, &msg);
    if (r < 0 || !msg)
        return r;
    put_sender(msg, m);
    size_t left = msg->len - skip, n = MIN(left, m->it->count);
    if (n < left)
        m->rflags |= MSG_TRUNC;
    ssize_t done = n > 0 ? copy_to_iter(m->it, msg->data + skip, n) : 0;
    if (done == (ssize_t)n) {
        if (msg->stamp)
            socket_put_timestamp(&u->s, m, msg->stamp);
        if (!peek)
            take_fds(msg, &fds);
        else if (msg->fds)
            fds = unix_fds_dup(msg->fds);
        unix_scm_deliver(u, m, fds, &msg->cred);
        move_peek_off(&u->s, peek, peek ? n : msg->len);
        done = (ssize_t)(m->flags & MSG_TRUNC ? left : n);
    } else {
        done = -EFAULT;
    }
    unix_msg_put(msg);
    return done;
}

/* ---- Receiving a stream ------------------------------------------------------------------ */

static void stream_lock(struct unix_sock *u)
{
    while (unlikely(u->receiving))
        waitq_sleep_uninterruptible(&u->receive_wait, EPOLLIN, WAIT_FOREVER);
    u->receiving = true;
}

static void stream_unlock(struct unix_sock *u)
{
    u->receiving = false;
    waitq_wake(&u->receive_wait, EPOLLIN);
}

/* The state of one receive. */
struct stream {
    struct unix_sock *u;
    struct sock_msg *m;
    bool peek;
    size_t skip; /* bytes that a peek is to pass over */
    size_t done;
    bool begun; /* a message was taken from: its sender's credentials hold for all */
    struct ucred cred;
    struct unix_fds *fds;
};

/* Does msg belong to the same receive as what is there already? Not if it has other credentials
 * and the receiver asked for them. */
static bool joins(struct stream *st, const struct unix_msg *msg)
{
    if (!st->begun) {
        st->begun = true;
        st->cred = msg->cred;
        put_sender(msg, st->m);
        return true;
    }
    return !st->u->s.passcred || memcmp(&st->cred, &msg->cred, sizeof(st->cred)) == 0;
}

enum step { STEP_MORE, STEP_STOP, STEP_FAULT };

/* Takes what is wanted and available of one message. */
static enum step take_from(struct stream *st, struct unix_msg *msg)
{
    size_t left = msg->len - msg->off - st->skip, n = MIN(left, st->m->it->count);
    ssize_t copied = copy_to_iter(st->m->it, msg->data + msg->off + st->skip, n);
    if (copied < 0)
        return STEP_FAULT;
    st->done += (size_t)copied;
    bool had_fds = msg->fds;
    if (st->peek) {
        st->skip = 0;
        if (had_fds)
            st->fds = unix_fds_dup(msg->fds);
    } else {
        msg->off += (uint32_t)copied;
        if (had_fds)
            take_fds(msg, &st->fds);
        if (msg->off == msg->len) {
            list_remove(&msg->link);
            st->u->queue_len--;
            unix_msg_put(msg);
        }
    }
    /* Descriptors mark the end: bytes after them belong to what comes next. */
    return (size_t)copied < n || had_fds ? STEP_STOP : STEP_MORE;
}

/* Takes from the queue until nothing is wanted or there. The lock is held. */
static enum step take_queued(struct stream *st)
{
    enum step step = STEP_MORE;
    list_for_each_safe (msg, &st->u->queue, struct unix_msg, link) {
        if (st->m->it->count == 0)
            return STEP_STOP;
        size_t left = msg->len - msg->off;
        if (st->skip >= left) {
            st->skip -= left;
            continue;
        }
        if (!joins(st, msg))
            return STEP_STOP;
        /* The copy may sleep, and more may be queued behind the last: look for it anew. */
        bool last = &msg_next->link == &st->u->queue;
        step = take_from(st, msg);
        if (step != STEP_MORE || last)
            break;
    }
    return step;
}

static ssize_t receive_stream(struct unix_sock *u, struct sock_msg *m)
{
    struct stream st = {.u = u, .m = m, .peek = m->flags & MSG_PEEK};
    size_t target =
        m->flags & MSG_WAITALL ? m->it->count : MIN((size_t)u->s.rcvlowat, m->it->count);
    int r = 0;
    if (u->state != UNIX_CONNECTED)
        return -EINVAL;
    uint64_t deadline = socket_deadline(u->s.rcvtimeo, m->flags, &u->s);
    stream_lock(u);
    while (true) {
        size_t before = st.done;
        if (st.peek)
            st.skip = (u->s.peek_off > 0 ? (size_t)u->s.peek_off : 0) + st.done;
        enum step step = take_queued(&st);
        if (step == STEP_FAULT)
            r = -EFAULT;
        if (step != STEP_MORE || (st.done >= target && st.done > 0) || m->it->count == 0)
            break;
        /* More may have come while a copy slept. */
        if (st.done > before && !list_empty(&u->queue))
            continue;
        r = socket_take_error(&u->s);
        if (r < 0 || (u->shut & UNIX_SHUT_RCV))
            break;
        stream_unlock(u);
        r = unix_wait(&u->s.file.waitq, EPOLLIN | EPOLLHUP | EPOLLERR, deadline);
        stream_lock(u);
        if (r < 0)
            break;
    }
    stream_unlock(u);
    if (st.done > 0 || st.begun) {
        move_peek_off(&u->s, st.peek, st.done);
        unix_scm_deliver(u, m, st.fds, &st.cred);
    }
    return st.done > 0 ? (ssize_t)st.done : r;
}

ssize_t unix_recvmsg(struct socket *s, struct sock_msg *m)
{
    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    return s->type == SOCK_STREAM ? receive_stream(unix_of(s), m) : receive_datagram(unix_of(s), m);
}
