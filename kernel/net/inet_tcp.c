/*
 * TCP sockets on lwIP's raw API: creation, bind, listen, accept, connect, shutdown, close and
 * readiness. Data is in inet_tcpio.c, options in inet_tcpopt.c. The operations run in threads and
 * sleep where the man pages say so; the callbacks (on_*) run inside lwIP and never sleep.
 *
 * Who owns what: a socket and its PCB point to each other. lwIP may free the PCB in on_error(),
 * after which t->pcb is NULL; the socket lets go of it in tcp_sock_detach() when lwIP is to finish
 * alone (TIME-WAIT, LAST-ACK) and when it is closed. A connection that nobody has accepted yet is a
 * complete socket on its listener's queue, with one reference that accept() takes over.
 */
#include "net/inet_tcp.h"

#include "mm/frame.h"
#include "mm/slab.h"
#include "sched/clock.h"

#define SMALL_MEMORY  (64 * MiB)
#define SMALL_WINDOW  (64 * 1024)
#define MIN_WINDOW    4096u
#define MAX_HALF_OPEN 1024

static const struct socket_ops tcp_ops;

uint32_t tcp_rcvbuf_window(const struct tcp_sock *t)
{
    static uint32_t def;
    if (def == 0)
        def = frame_stats().total * PAGE_SIZE <= SMALL_MEMORY ? SMALL_WINDOW : TCP_WND;
    const struct socket *s = &t->in.sock;
    if (!(s->buf_lock & SOCK_RCVBUF_LOCK))
        return def;
    /* SO_RCVBUF counts what the kernel spends on packets too: half is for data, as in Linux. */
    return MAX(s->rcvbuf / 2, MIN_WINDOW);
}

static struct tcp_sock *new_sock(int family)
{
    struct tcp_sock *t = kzalloc(sizeof(*t));
    if (t == NULL)
        return NULL;
    socket_init(&t->in.sock, &tcp_ops, family, SOCK_STREAM, IPPROTO_TCP);
    inet_sock_init(&t->in, true);
    list_init(&t->accept_queue);
    list_init(&t->defer_queue);
    list_init(&t->accept_link);
    return t;
}

int inet_tcp_create(int family, struct socket **out)
{
    struct tcp_sock *t = new_sock(family);
    if (t == NULL)
        return -ENOMEM;
    *out = &t->in.sock;
    return 0;
}

/* ---- Options that live in the PCB ---- */

void tcp_sock_apply_options(struct tcp_sock *t)
{
    struct tcp_pcb *pcb = t->pcb;
    if (pcb == NULL)
        return;
    pcb->ttl = t->in.opt.ttl < 0 ? TCP_TTL : (u8_t)t->in.opt.ttl;
    pcb->tos = t->in.opt.tos;
    if (t->in.sock.keepalive)
        ip_set_option(pcb, SOF_KEEPALIVE);
    else
        ip_reset_option(pcb, SOF_KEEPALIVE);
    if (t->state == TS_LISTENING)
        return;
    if (t->nodelay)
        tcp_nagle_disable(pcb);
    else
        tcp_nagle_enable(pcb);
    if (t->keep_idle != 0)
        pcb->keep_idle = t->keep_idle * 1000;
    if (t->keep_intvl != 0)
        pcb->keep_intvl = t->keep_intvl * 1000;
    if (t->keep_cnt != 0)
        pcb->keep_cnt = t->keep_cnt;
    if (t->maxseg != 0 && pcb->mss > t->maxseg)
        pcb->mss = t->maxseg; /* of what is sent */
    pcb->user_timeout = t->user_timeout;
    pcb->syn_retries = t->syn_retries;
    if (t->in.sock.keepalive)
        tcp_timer_set(pcb, 1); /* finds out when it is really due */
}

/* ---- Callbacks ---- */

static void wake(struct tcp_sock *t, uint32_t events)
{
    waitq_wake(&t->in.sock.file.waitq, events);
    if (unlikely(t->in.sock.file.flags & O_ASYNC))
        file_sigio(&t->in.sock.file, 0);
}

void tcp_sock_detach(struct tcp_sock *t)
{
    struct tcp_pcb *pcb = t->pcb;
    if (pcb == NULL)
        return;
    t->pcb = NULL;
    t->state = TS_DONE;
    tcp_arg(pcb, NULL);
    pcb->recv = NULL;
    pcb->sent = NULL;
    pcb->errf = NULL;
}

static void on_error(void *arg, err_t err)
{
    struct tcp_sock *t = arg;
    if (t == NULL)
        return;
    t->pcb = NULL; /* freed */
    if (t->state == TS_CONNECTING) {
        t->state = TS_IDLE;
        t->in.sock.error = err == ERR_RST ? ECONNREFUSED : -inet_errno(err);
    } else {
        t->state = TS_DONE;
        if (err != ERR_CLSD) /* that is an orderly end */
            t->in.sock.error = err == ERR_RST && t->rx_eof && t->tx_shut ? EPIPE : -inet_errno(err);
        t->rx_eof = true;
    }
    if (t->parent != NULL && !list_empty(&t->accept_link) && timer_pending(&t->defer_timer))
        tcp_sock_ready(t); /* let accept() find out */
    wake(t, EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM | EPOLLERR | EPOLLHUP | EPOLLRDHUP);
}

static void take_pcb(struct tcp_sock *t, struct tcp_pcb *pcb)
{
    t->pcb = pcb;
    tcp_arg(pcb, t);
    tcp_recv(pcb, tcp_user_on_recv);
    tcp_sent(pcb, tcp_user_on_sent);
    tcp_err(pcb, on_error);
}

static void remember_names(struct tcp_sock *t)
{
    t->local_ip = t->pcb->local_ip;
    t->remote_ip = t->pcb->remote_ip;
    t->local_port = t->pcb->local_port;
    t->remote_port = t->pcb->remote_port;
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct tcp_sock *t = arg;
    if (t == NULL)
        return ERR_OK; /* closed between the two SYNs of a simultaneous open */
    t->state = TS_CONNECTED;
    remember_names(t);
    tcp_sock_apply_options(t);
    wake(t, EPOLLOUT | EPOLLWRNORM);
    return ERR_OK;
}

/* A deferred connection is ready for accept(): it has sent something, failed, or waited enough. */
void tcp_sock_ready(struct tcp_sock *t)
{
    struct tcp_sock *l = t->parent;
    timer_cancel(&t->defer_timer);
    list_remove(&t->accept_link);
    list_push_back(&l->accept_queue, &t->accept_link);
    wake(l, EPOLLIN | EPOLLRDNORM);
}

static void defer_over(struct timer *timer)
{
    tcp_sock_ready(container_of(timer, struct tcp_sock, defer_timer));
}

static void inherit(struct tcp_sock *c, const struct tcp_sock *l)
{
    struct socket *s = &c->in.sock;
    const struct socket *from = &l->in.sock;
    s->rcvtimeo = from->rcvtimeo;
    s->sndtimeo = from->sndtimeo;
    s->reuseaddr = from->reuseaddr;
    s->reuseport = from->reuseport;
    s->keepalive = from->keepalive;
    s->oobinline = from->oobinline;
    s->dontroute = from->dontroute;
    s->timestamp = from->timestamp;
    s->buf_lock = from->buf_lock;
    s->sndbuf = from->sndbuf;
    s->rcvbuf = from->rcvbuf;
    s->priority = from->priority;
    s->mark = from->mark;
    s->rcvlowat = from->rcvlowat;
    s->linger = from->linger;
    c->in.opt = l->in.opt;
    c->in.device = l->in.device;
    c->nodelay = l->nodelay;
    c->cork = l->cork;
    c->maxseg = l->maxseg;
    c->keep_idle = l->keep_idle;
    c->keep_intvl = l->keep_intvl;
    c->keep_cnt = l->keep_cnt;
    c->user_timeout = l->user_timeout;
}

static void count_accepting(struct tcp_sock *l, int by)
{
    l->accept_len += (unsigned)by;
    if (l->pcb != NULL)
        ((struct tcp_pcb_listen *)l->pcb)->accept_full = l->accept_len > l->backlog;
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct tcp_sock *l = arg;
    if (l == NULL || pcb == NULL) { /* lwIP had no memory for the connection */
        net_stats.sock_no_memory++;
        return ERR_VAL;
    }
    struct tcp_sock *c = new_sock(l->in.sock.family);
    if (c == NULL) {
        net_stats.sock_no_memory++;
        return ERR_MEM; /* lwIP resets the connection */
    }
    inherit(c, l);
    c->state = TS_CONNECTED;
    take_pcb(c, pcb);
    remember_names(c);
    tcp_sock_apply_options(c);
    c->parent = l;
    count_accepting(l, 1);
    if (unlikely(l->accept_len > l->backlog))
        net_stats.accept_overflow++;
    timer_init(&c->defer_timer, defer_over);
    if (l->defer_accept != 0 &&
        timer_set(&c->defer_timer, clock_mono_ns() + l->defer_accept * NSEC_PER_SEC) == 0) {
        list_push_back(&l->defer_queue, &c->accept_link);
    } else {
        list_push_back(&l->accept_queue, &c->accept_link);
        wake(l, EPOLLIN | EPOLLRDNORM);
    }
    return ERR_OK;
}

/* ---- Operations ---- */

static int tcp_bind_op(struct socket *s, const struct sock_addr *a)
{
    struct tcp_sock *t = tcp_of(s);
    ip_addr_t ip;
    uint16_t port;
    int r = inet_addr_import(&t->in, a, &ip, &port, true);
    if (r < 0)
        return r;
    if (t->state != TS_IDLE || t->in.bind_port != 0)
        return -EINVAL;
    return inet_bind(&t->in, &ip, port);
}

/* A PCB for connect or listen, with the socket's local address. */
static int make_pcb(struct tcp_sock *t, u8_t type, const ip_addr_t *local)
{
    struct tcp_pcb *pcb = tcp_new_ip_type(type);
    if (pcb == NULL)
        return -ENOBUFS;
    pcb->snd_buf = tcp_sndbuf_size(t);
    tcp_set_window(pcb, tcp_rcvbuf_window(t));
    if (t->in.device != 0)
        pcb->netif_idx = t->in.device;
    tcp_bind_unchecked(pcb, local, t->in.bind_port);
    t->pcb = pcb;
    return 0;
}

static int tcp_listen_op(struct socket *s, int backlog)
{
    struct tcp_sock *t = tcp_of(s);
    int r;
    if (t->state == TS_LISTENING) {
        t->backlog = (unsigned)backlog;
        count_accepting(t, 0);
        return 0;
    }
    if (t->state != TS_IDLE)
        return -EINVAL;
    if (t->in.bind_port == 0) {
        ip_addr_t any = {0};
        IP_SET_TYPE_VAL(any, inet_ip_type(&t->in));
        r = inet_bind(&t->in, &any, 0);
    } else {
        r = inet_listen_check(&t->in);
    }
    if (r < 0)
        return r;
    r = make_pcb(t, IP_GET_TYPE(&t->in.bind_ip), &t->in.bind_ip);
    if (r < 0)
        return r;
    err_t err;
    struct tcp_pcb *lpcb = tcp_listen_with_backlog_and_err(t->pcb, MAX_HALF_OPEN, &err);
    if (lpcb == NULL) {
        tcp_abort(t->pcb);
        t->pcb = NULL;
        return inet_errno(err);
    }
    t->pcb = lpcb;
    t->state = TS_LISTENING;
    t->backlog = (unsigned)backlog;
    s->listening = true;
    tcp_arg(lpcb, t);
    tcp_accept(lpcb, on_accept);
    tcp_sock_apply_options(t);
    return 0;
}

static int tcp_accept_op(struct socket *s, struct socket **out, unsigned flags)
{
    struct tcp_sock *t = tcp_of(s);
    if (t->state != TS_LISTENING)
        return -EINVAL;
    if (list_empty(&t->accept_queue)) {
        pollers_run();
        uint64_t deadline = socket_deadline(s->rcvtimeo, flags & O_NONBLOCK ? MSG_DONTWAIT : 0, s);
        if (list_empty(&t->accept_queue) && deadline == 0)
            return -EAGAIN;
        int r = wait_event(&s->file.waitq, EPOLLIN, deadline,
                           !list_empty(&t->accept_queue) || t->state != TS_LISTENING);
        if (r == -ETIMEDOUT)
            return -EAGAIN;
        if (r < 0)
            return r;
        if (t->state != TS_LISTENING)
            return -EINVAL;
    }
    struct tcp_sock *c = list_first(&t->accept_queue, struct tcp_sock, accept_link);
    list_remove(&c->accept_link);
    c->parent = NULL;
    count_accepting(t, -1);
    *out = &c->in.sock;
    return 0;
}

static int start_connect(struct tcp_sock *t, const ip_addr_t *ip, uint16_t port)
{
    ip_addr_t local = t->in.bind_ip, remote = *ip;
    u8_t type = IP_GET_TYPE(ip);

    /* 0.0.0.0 and :: mean this machine. */
    if (ip_addr_isany(ip)) {
        if (type == IPADDR_TYPE_V4)
            ip_addr_set_loopback(false, &remote);
        else
            ip_addr_set_loopback(true, &remote);
    }
    if (ip_addr_ismulticast(&remote))
        return -ENETUNREACH;
    if (t->in.bind_port == 0 || ip_addr_isany(&local) || IP_IS_ANY_TYPE_VAL(local)) {
        memset(&local, 0, sizeof(local));
        IP_SET_TYPE_VAL(local, type);
    } else if (IP_GET_TYPE(&local) != type) {
        return -EAFNOSUPPORT;
    }
    int r;
    if (t->in.bind_port == 0 && (r = inet_bind(&t->in, &local, 0)) < 0)
        return r == -EADDRINUSE ? -EADDRNOTAVAIL : r;
    r = make_pcb(t, type, &local);
    if (r < 0)
        return r;
    struct netif *out = ip_route(&local, &remote);
    const ip_addr_t *src =
        ip_addr_isany(&local) && out != NULL ? ip_netif_get_local_ip(out, &remote) : &local;
    if (src != NULL && tcp_pcb_find(src, t->in.bind_port, &remote, port, NETIF_NO_INDEX) != NULL) {
        tcp_abort(t->pcb);
        t->pcb = NULL;
        return -EADDRNOTAVAIL;
    }
    take_pcb(t, t->pcb);
    tcp_sock_apply_options(t);
    t->state = TS_CONNECTING;
    t->connect_reported = false;
    err_t err = tcp_connect(t->pcb, &remote, port, on_connected);
    if (err != ERR_OK) {
        t->state = TS_IDLE;
        if (t->pcb != NULL) {
            tcp_err(t->pcb, NULL);
            tcp_abort(t->pcb);
            t->pcb = NULL;
        }
        return inet_errno(err);
    }
    net_flush();
    return 0;
}

static int tcp_disconnect(struct tcp_sock *t)
{
    struct tcp_pcb *pcb = t->pcb;
    if (t->state == TS_LISTENING)
        return -EINVAL;
    if (t->rx_busy || t->tx_busy)
        return -EBUSY; /* another thread copies from the queue that is to be dropped */
    if (pcb != NULL) {
        tcp_sock_detach(t);
        tcp_abort(pcb);
    }
    t->state = TS_IDLE;
    t->rx_eof = t->rx_shut = t->tx_shut = false;
    t->in.sock.error = 0;
    tcp_sock_free_queue(t);
    net_flush();
    return 0;
}

static int tcp_connect_op(struct socket *s, const struct sock_addr *a)
{
    struct tcp_sock *t = tcp_of(s);
    ip_addr_t ip;
    uint16_t port;
    int r;

    if (a->len < sizeof(a->family))
        return -EINVAL;
    if (a->family == AF_UNSPEC)
        return tcp_disconnect(t);
    switch (t->state) {
    case TS_LISTENING:
    case TS_DONE:
        return -EISCONN;
    case TS_CONNECTED:
        if (t->connect_reported || t->parent != NULL)
            return -EISCONN;
        t->connect_reported = true;
        return 0;
    case TS_CONNECTING:
        if (file_nonblock(&s->file))
            return -EALREADY;
        break;
    case TS_IDLE:
        if (s->error != 0)
            return socket_take_error(s);
        r = inet_addr_import(&t->in, a, &ip, &port, false);
        if (r == 0)
            r = start_connect(t, &ip, port);
        if (r < 0)
            return r;
        break;
    }
    uint64_t deadline = socket_deadline(s->sndtimeo, 0, s);
    /* Even when loopback answered at once: as in Linux, where it never does so early. */
    if (deadline == 0)
        return -EINPROGRESS;
    r = wait_event(&s->file.waitq, EPOLLOUT | EPOLLERR, deadline, t->state != TS_CONNECTING);
    if (r == -ETIMEDOUT)
        return -EINPROGRESS;
    if (r < 0)
        return r;
    t->connect_reported = true;
    return socket_take_error(s);
}

static int tcp_getname(struct socket *s, struct sock_addr *a, bool peer)
{
    struct tcp_sock *t = tcp_of(s);
    if (peer) {
        if (t->state != TS_CONNECTED && t->state != TS_DONE)
            return -ENOTCONN;
        inet_addr_export(&t->in, a, &t->remote_ip, t->remote_port);
    } else if (t->state == TS_CONNECTED || t->state == TS_DONE) {
        inet_addr_export(&t->in, a, &t->local_ip, t->local_port);
    } else if (t->state == TS_CONNECTING) {
        inet_addr_export(&t->in, a, &t->pcb->local_ip, t->pcb->local_port);
    } else {
        inet_addr_export(&t->in, a, &t->in.bind_ip, t->in.bind_port);
    }
    return 0;
}

/* Ends listening; connections nobody took are reset. */
static void stop_listening(struct tcp_sock *t)
{
    struct tcp_pcb *lpcb = t->pcb;
    t->pcb = NULL;
    t->state = TS_IDLE;
    t->in.sock.listening = false;
    tcp_arg(lpcb, NULL);
    tcp_close(lpcb);
    list_splice_back(&t->accept_queue, &t->defer_queue);
    struct tcp_sock *c;
    while ((c = list_first(&t->accept_queue, struct tcp_sock, accept_link)) != NULL) {
        list_remove(&c->accept_link);
        timer_cancel(&c->defer_timer);
        c->in.sock.linger.onoff = 1; /* reset rather than close */
        c->in.sock.linger.seconds = 0;
        file_put(&c->in.sock.file);
    }
    t->accept_len = 0;
}

static int tcp_shutdown_op(struct socket *s, int how)
{
    struct tcp_sock *t = tcp_of(s);
    uint32_t events = 0;

    if (t->state == TS_LISTENING) {
        if (how != SHUT_WR) {
            stop_listening(t);
            wake(t, EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLRDHUP);
        }
        return 0;
    }
    if (t->state == TS_CONNECTING && how != SHUT_RD) {
        struct tcp_pcb *pcb = t->pcb;
        tcp_sock_detach(t);
        tcp_abort(pcb);
        t->state = TS_IDLE;
        wake(t, EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLRDHUP);
        return 0;
    }
    if (t->state != TS_CONNECTED)
        return -ENOTCONN;
    if (how != SHUT_WR && !t->rx_shut) {
        t->rx_shut = true;
        events |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
    }
    if (how != SHUT_RD && !t->tx_shut) {
        t->tx_shut = true;
        events |= EPOLLOUT | EPOLLWRNORM;
        tcp_sock_push(t);
        tcp_shutdown(t->pcb, 0, 1);
        if (t->pcb != NULL && t->pcb->state == LAST_ACK)
            tcp_sock_detach(t);
    }
    if ((t->rx_shut || t->rx_eof) && t->tx_shut)
        events |= EPOLLHUP;
    net_flush();
    wake(t, events);
    return 0;
}

uint32_t tcp_sock_poll(struct socket *s)
{
    struct tcp_sock *t = tcp_of(s);
    uint32_t e = 0;

    if (t->state == TS_CONNECTED && likely(s->error == 0)) {
        if (t->rx_bytes >= (uint32_t)s->rcvlowat)
            e = EPOLLIN | EPOLLRDNORM;
        if (unlikely(t->rx_eof || t->rx_shut))
            e |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
        if (unlikely(t->tx_shut))
            e |= (e & EPOLLRDHUP ? EPOLLHUP : 0) | EPOLLOUT | EPOLLWRNORM;
        else if (likely(t->pcb->snd_buf >= tcp_sndbuf_size(t) / 3))
            e |= EPOLLOUT | EPOLLWRNORM;
        else
            t->want_write = true;
        return e;
    }
    if (s->error != 0)
        e |= EPOLLERR;
    switch (t->state) {
    case TS_LISTENING:
        if (!list_empty(&t->accept_queue))
            e |= EPOLLIN | EPOLLRDNORM;
        break;
    case TS_CONNECTING:
        break;
    case TS_IDLE:
        e |= EPOLLOUT | EPOLLWRNORM | EPOLLHUP;
        if (s->error != 0)
            e |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
        break;
    case TS_DONE:
        e |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLOUT | EPOLLWRNORM | EPOLLHUP;
        break;
    case TS_CONNECTED: /* with an error of another kind (ICMP) */
        e |= EPOLLIN | EPOLLOUT;
        break;
    }
    return e;
}

static long tcp_ioctl(struct socket *s, unsigned cmd, uint64_t arg)
{
    struct tcp_sock *t = tcp_of(s);
    switch (cmd) {
    case FIONREAD: /* = SIOCINQ */
        if (t->state == TS_LISTENING)
            return -EINVAL;
        return put_user((int)t->rx_bytes, (int *)arg);
    case SIOCOUTQ: {
        if (t->state == TS_LISTENING)
            return -EINVAL;
        uint32_t n = t->state == TS_CONNECTED ? t->pcb->snd_lbb - t->pcb->lastack : 0;
        return put_user((int)n, (int *)arg);
    }
    case SIOCATMARK:
        return put_user(0, (int *)arg);
    default:
        return inet_ioctl(cmd, arg);
    }
}

/* SO_LINGER: waits until the peer has everything, or the time is over. */
static void linger(struct tcp_sock *t)
{
    uint64_t deadline = clock_mono_ns() + (uint64_t)t->in.sock.linger.seconds * NSEC_PER_SEC;
    while (t->pcb != NULL && (t->pcb->unsent != NULL || t->pcb->unacked != NULL)) {
        t->want_write = true;
        if (waitq_sleep(&t->in.sock.file.waitq, EPOLLOUT | EPOLLERR | EPOLLHUP, deadline) != 0)
            break;
    }
}

static void tcp_release(struct socket *s)
{
    struct tcp_sock *t = tcp_of(s);
    struct tcp_pcb *pcb;

    if (t->state == TS_LISTENING)
        stop_listening(t);
    if (t->pcb != NULL) {
        bool hard = s->linger.onoff && s->linger.seconds == 0;
        if (s->linger.onoff && !hard && t->state == TS_CONNECTED && t->rx_bytes == 0) {
            tcp_sock_push(t);
            if (!t->tx_shut) {
                t->tx_shut = true;
                tcp_shutdown(t->pcb, 0, 1);
            }
            net_flush();
            linger(t);
        }
        pcb = t->pcb;
        if (pcb != NULL) {
            tcp_sock_push(t);
            tcp_sock_detach(t);
            if (hard)
                tcp_abort(pcb);
            else
                tcp_close(pcb);
        }
        net_flush();
    }
    tcp_sock_free_queue(t);
    inet_unbind(&t->in);
    kfree(t);
}

static const struct socket_ops tcp_ops = {
    .bind = tcp_bind_op,
    .connect = tcp_connect_op,
    .listen = tcp_listen_op,
    .accept = tcp_accept_op,
    .getname = tcp_getname,
    .sendmsg = tcp_sock_sendmsg,
    .recvmsg = tcp_sock_recvmsg,
    .shutdown = tcp_shutdown_op,
    .setsockopt = tcp_sock_setsockopt,
    .getsockopt = tcp_sock_getsockopt,
    .ioctl = tcp_ioctl,
    .poll = tcp_sock_poll,
    .release = tcp_release,
};
