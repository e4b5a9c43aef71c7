/*
 * AF_UNIX sockets: their life, connections, polling and options. Names are in net/unix_addr.c,
 * messages in net/unix_msg.c. Called by the socket layer; connect and accept sleep.
 */
#include "net/unix.h"

#include "arch/x86_64/uaccess.h"
#include "fs/vfs.h"
#include "lib/init.h"
#include "mm/slab.h"
#include "sched/clock.h"

#include <asm/ioctls.h>
#include <linux/eventpoll.h>
#include <linux/sockios.h>

#define POLL_ALL (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR)

struct unix_stats unix_stats;
struct list unix_all = LIST_INIT(unix_all);

static const struct socket_ops unix_ops;

static struct unix_sock *unix_new(int type, int protocol)
{
    struct unix_sock *u = kzalloc(sizeof(*u));
    if (!u)
        return NULL;
    socket_init(&u->s, &unix_ops, AF_UNIX, type, protocol);
    u->s.peek_off_ok = true;
    u->refs = 1;
    list_init(&u->name_link);
    list_init(&u->clients);
    list_init(&u->client_link);
    list_init(&u->queue);
    list_init(&u->pending);
    list_init(&u->pending_link);
    list_init(&u->inflight_link);
    waitq_init(&u->space);
    waitq_init(&u->receive_wait);
    u->peer_cred = (struct ucred){.pid = 0, .uid = UINT32_MAX, .gid = UINT32_MAX};
    list_push_back(&unix_all, &u->all_link);
    unix_stats.sockets++;
    return u;
}

void unix_put(struct unix_sock *u)
{
    if (--u->refs > 0)
        return;
    assert(u->dead && list_empty(&u->queue) && u->inflight == 0);
    if (u->addr)
        unix_addr_put(u->addr);
    list_remove(&u->all_link);
    unix_stats.sockets--;
    kfree(u);
}

void unix_notify(struct unix_sock *u, uint32_t events, bool all)
{
    if (all)
        waitq_wake_all(&u->s.file.waitq, events);
    else
        waitq_wake(&u->s.file.waitq, events);
    if (unlikely(u->s.file.flags & O_ASYNC))
        file_sigio(&u->s.file, (int)events);
}

int unix_wait(struct waitq *q, uint32_t events, uint64_t deadline)
{
    if (deadline == 0)
        return -EAGAIN;
    int r = waitq_sleep(q, events, deadline);
    return r == -ETIMEDOUT ? -EAGAIN : r;
}

void unix_queue_drained(struct unix_sock *u)
{
    waitq_wake_all(&u->space, EPOLLOUT);
    list_for_each (c, &u->clients, struct unix_sock, client_link) {
        if (unix_writable(c))
            unix_notify(c, EPOLLOUT, true);
    }
}

/* ---- Connecting -------------------------------------------------------------------------- */

static void set_peer(struct unix_sock *u, struct unix_sock *peer)
{
    unix_get(peer);
    u->peer = peer;
    if (unix_is_dgram(u))
        list_push_back(&peer->clients, &u->client_link);
    else
        u->state = UNIX_CONNECTED;
}

void unix_disconnect(struct unix_sock *u)
{
    struct unix_sock *peer = u->peer;
    if (!peer)
        return;
    u->peer = NULL;
    list_remove(&u->client_link);
    /* What is queued belongs to the old conversation, and a peer that was connected back has a
     * right to know that it is over. */
    if (!list_empty(&u->queue)) {
        unix_flush(u);
        unix_queue_drained(u);
    }
    if (peer->peer == u && !peer->dead) {
        peer->s.error = ECONNRESET;
        unix_notify(peer, EPOLLERR, true);
    }
    unix_put(peer);
}

static int unix_connect_dgram(struct unix_sock *u, const struct sock_addr *a)
{
    struct unix_sock *other = NULL;
    if (a->family == AF_UNSPEC && a->len >= sizeof(a->family)) {
        unix_disconnect(u);
        return 0;
    }
    int r = unix_find(a, u->s.type, &other);
    if (r == 0 && u->s.passcred)
        r = unix_autobind(u);
    /* A socket that is connected to another hears that one only. */
    if (r == 0 && other->peer && other->peer != u)
        r = -EPERM;
    if (r == 0 && u->peer != other) {
        unix_disconnect(u);
        set_peer(u, other);
        unix_notify(u, EPOLLOUT, true);
    }
    if (other)
        unix_put(other);
    return r;
}

/* Finds the listener and waits for room in its backlog: it is referenced. */
static int find_listener(struct unix_sock *u, const struct sock_addr *a, uint64_t deadline,
                         struct unix_sock **out)
{
    while (true) {
        struct unix_sock *l;
        int r = unix_find(a, u->s.type, &l);
        if (r < 0)
            return r;
        if (l->state != UNIX_LISTENING || (l->shut & UNIX_SHUT_RCV)) {
            unix_put(l);
            return -ECONNREFUSED;
        }
        if (l->pending_len <= l->backlog) {
            *out = l;
            return 0;
        }
        r = unix_wait(&l->space, EPOLLOUT, deadline);
        unix_put(l);
        if (r < 0)
            return r;
    }
}

static int unix_connect_stream(struct unix_sock *u, const struct sock_addr *a)
{
    struct unix_sock *l;
    if (u->s.passcred) {
        int r = unix_autobind(u);
        if (r < 0)
            return r;
    }
    int r = find_listener(u, a, socket_deadline(u->s.sndtimeo, 0, &u->s), &l);
    if (r < 0)
        return r;
    /* The far end, which accept() will hand out. Nothing below sleeps. */
    struct unix_sock *e = NULL;
    if (u->state != UNIX_UNCONNECTED)
        r = u->state == UNIX_CONNECTED ? -EISCONN : -EINVAL;
    else if (!(e = unix_new(u->s.type, u->s.protocol)))
        r = -ENOMEM;
    if (r == 0) {
        e->embryo = true;
        e->addr = l->addr;
        e->addr->refs++;
        e->peer_cred = unix_own_cred(true);
        u->peer_cred = l->peer_cred;
        set_peer(e, u);
        set_peer(u, e);
        list_push_back(&l->pending, &e->pending_link);
        l->pending_len++;
        unix_notify(l, EPOLLIN, false);
    }
    unix_put(l);
    return r;
}

static int unix_connect(struct socket *s, const struct sock_addr *a)
{
    struct unix_sock *u = unix_of(s);
    return unix_is_dgram(u) ? unix_connect_dgram(u, a) : unix_connect_stream(u, a);
}

static int unix_listen(struct socket *s, int backlog)
{
    struct unix_sock *u = unix_of(s);
    if (unix_is_dgram(u))
        return -EOPNOTSUPP;
    if (!u->addr || u->state == UNIX_CONNECTED)
        return -EINVAL;
    u->state = UNIX_LISTENING;
    u->backlog = (unsigned)backlog;
    u->peer_cred = unix_own_cred(true);
    s->listening = true;
    waitq_wake_all(&u->space, EPOLLOUT);
    return 0;
}

static int unix_accept(struct socket *s, struct socket **out, unsigned flags)
{
    struct unix_sock *u = unix_of(s);
    if (unix_is_dgram(u))
        return -EOPNOTSUPP;
    if (u->state != UNIX_LISTENING)
        return -EINVAL;
    uint64_t deadline = socket_deadline(s->rcvtimeo, flags & O_NONBLOCK ? MSG_DONTWAIT : 0, s);
    while (list_empty(&u->pending)) {
        if (u->shut & UNIX_SHUT_RCV)
            return -EINVAL;
        int r = unix_wait(&s->file.waitq, EPOLLIN, deadline);
        if (r < 0 && list_empty(&u->pending))
            return r;
    }
    struct unix_sock *e = list_first(&u->pending, struct unix_sock, pending_link);
    list_remove(&e->pending_link);
    u->pending_len--;
    e->embryo = false;
    waitq_wake_all(&u->space, EPOLLOUT);
    *out = &e->s;
    return 0;
}

static int unix_socketpair(struct socket *a, struct socket *b)
{
    struct unix_sock *ua = unix_of(a), *ub = unix_of(b);
    set_peer(ua, ub);
    set_peer(ub, ua);
    ua->peer_cred = ub->peer_cred = unix_own_cred(true);
    return 0;
}

/* ---- Ending ------------------------------------------------------------------------------ */

static int unix_shutdown(struct socket *s, int how)
{
    struct unix_sock *u = unix_of(s), *peer = u->peer;
    uint8_t mine = (uint8_t)(how + 1), theirs = 0; /* SHUT_RD, _WR, _RDWR to bits */
    u->shut |= mine;
    if (peer && !unix_is_dgram(u)) {
        theirs |= mine & UNIX_SHUT_RCV ? UNIX_SHUT_SND : 0;
        theirs |= mine & UNIX_SHUT_SND ? UNIX_SHUT_RCV : 0;
        peer->shut |= theirs;
        unix_notify(peer, POLL_ALL, true);
    }
    unix_notify(u, POLL_ALL, true);
    waitq_wake_all(&u->space, EPOLLOUT);
    return 0;
}

static void leave_peer(struct unix_sock *u)
{
    struct unix_sock *peer = u->peer;
    if (!peer)
        return;
    u->peer = NULL;
    list_remove(&u->client_link);
    if (!unix_is_dgram(u) && !peer->dead) {
        peer->shut = UNIX_SHUT_BOTH;
        /* What was sent here is lost, and the sender has a right to know. */
        if (!list_empty(&u->queue) || u->embryo)
            peer->s.error = ECONNRESET;
        unix_notify(peer, POLL_ALL, true);
    }
    unix_put(peer);
}

static void unix_release(struct socket *s)
{
    struct unix_sock *u = unix_of(s);
    u->dead = true;
    u->shut = UNIX_SHUT_BOTH;
    unix_unbind(u);
    leave_peer(u);
    while (!list_empty(&u->pending)) {
        struct unix_sock *e = list_first(&u->pending, struct unix_sock, pending_link);
        list_remove(&e->pending_link);
        file_put(&e->s.file);
    }
    u->pending_len = 0;
    u->state = UNIX_UNCONNECTED;
    unix_flush(u);
    /* Whoever waits for room here finds a dead socket; connected ones learn it when they send. */
    unix_queue_drained(u);
    unix_put(u);
    if (unix_stats.inflight > 0)
        unix_gc();
}

/* ---- State ------------------------------------------------------------------------------- */

/* A connected datagram socket can be written to when its peer's queue has room, which does not
 * matter between two that are connected to each other: their send buffers bound the queue. */
static bool peer_has_room(const struct unix_sock *u)
{
    const struct unix_sock *p = u->peer;
    return !p || unix_is_dgram(u) == false || p->peer == u || p->dead || !unix_queue_full(p);
}

static uint32_t unix_poll(struct socket *s)
{
    struct unix_sock *u = unix_of(s);
    uint32_t events = 0;
    if (s->error)
        events |= EPOLLERR;
    if (u->shut == UNIX_SHUT_BOTH)
        events |= EPOLLHUP;
    if (u->shut & UNIX_SHUT_RCV)
        events |= EPOLLRDHUP | EPOLLIN;
    if (!list_empty(&u->queue) || !list_empty(&u->pending))
        events |= EPOLLIN;
    if (!unix_is_dgram(u) && u->state == UNIX_UNCONNECTED)
        events |= EPOLLHUP;
    if (unix_writable(u) && peer_has_room(u))
        events |= EPOLLOUT | EPOLLWRBAND;
    return events;
}

static int unix_getname(struct socket *s, struct sock_addr *a, bool peer)
{
    struct unix_sock *u = unix_of(s);
    if (peer) {
        u = u->peer;
        if (!u)
            return -ENOTCONN;
    }
    unix_name(u, a);
    return 0;
}

static int unix_getsockopt(struct socket *s, int level, int name, void *val, unsigned *len)
{
    if (level != SOL_SOCKET)
        return -EOPNOTSUPP;
    if (name != SO_PEERCRED)
        return -ENOPROTOOPT;
    *len = MIN(*len, (unsigned)sizeof(struct ucred));
    memcpy(val, &unix_of(s)->peer_cred, *len);
    return 0;
}

static int unix_setsockopt(struct socket *s, int level, int name, const void *val, unsigned len)
{
    return level == SOL_SOCKET ? -ENOPROTOOPT : -EOPNOTSUPP;
}

/* SIOCUNIXFILE: an O_PATH descriptor of the file a socket is bound to. */
static long open_node(struct unix_sock *u)
{
    struct file *f;
    if (!u->addr)
        return -ENOENT;
    if (!u->node)
        return -EOPNOTSUPP;
    int r = vfs_open_node(u->node, O_PATH, &f);
    if (r < 0)
        return r;
    r = fd_install(f, 0, O_CLOEXEC);
    if (r < 0)
        file_put(f);
    return r;
}

static long unix_ioctl(struct socket *s, unsigned cmd, uint64_t arg)
{
    struct unix_sock *u = unix_of(s);
    size_t n;
    switch (cmd) {
    case SIOCINQ:
        if (u->state == UNIX_LISTENING)
            return -EINVAL;
        n = unix_queued_bytes(u);
        break;
    case SIOCOUTQ:
        n = u->sent;
        break;
    case SIOCUNIXFILE:
        return open_node(u);
    default:
        return -ENOTTY;
    }
    return put_user((int)MIN(n, (size_t)INT32_MAX), (int *)arg);
}

static const struct socket_ops unix_ops = {
    .bind = unix_bind,
    .connect = unix_connect,
    .listen = unix_listen,
    .accept = unix_accept,
    .getname = unix_getname,
    .sendmsg = unix_sendmsg,
    .recvmsg = unix_recvmsg,
    .shutdown = unix_shutdown,
    .setsockopt = unix_setsockopt,
    .getsockopt = unix_getsockopt,
    .socketpair = unix_socketpair,
    .ioctl = unix_ioctl,
    .poll = unix_poll,
    .release = unix_release,
};

static int unix_create(int type, int protocol, struct socket **out)
{
    if (protocol != 0 && protocol != AF_UNIX)
        return -EPROTONOSUPPORT;
    if (type == SOCK_RAW) /* as Linux, for BSD's sake */
        type = SOCK_DGRAM;
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return -ESOCKTNOSUPPORT;
    struct unix_sock *u = unix_new(type, 0);
    if (!u)
        return -ENOMEM;
    *out = &u->s;
    return 0;
}

static struct socket_family unix_family = {.family = AF_UNIX, .create = unix_create};

static int unix_init(void)
{
    socket_family_register(&unix_family);
    return 0;
}
INIT(INIT_FS, unix_init);
