/*
 * TCP sockets' data: what lwIP hands up waits as pbufs, in the device's own buffers, for the one
 * copy to the application; what the application sends is copied once, into the packets that the
 * device reads. Threads only but for the callbacks.
 *
 * A copy may sleep, and lwIP runs meanwhile. So no copy happens while lwIP's or the queue's state
 * is half changed: a sender fills a buffer that is its own and then asks lwIP to queue it, having
 * looked again whether the connection is still there; a receiver copies from the head of the queue,
 * to which meanwhile only others' data is appended, and takes off afterwards what was really
 * copied. rx_busy and tx_busy keep a second thread out of the same direction.
 */
#include "net/inet_tcp.h"

#include "net/ethif.h"
#include "net/netbuf.h"
#include "net/tcp_xmit.h"
#include "sched/thread.h"

/* A packet buffer with all its headers (lwIP's, pbuf's, the protocols') fills these whole: four
 * frames, one frame. */
#define PIECE_OVERHEAD (8 + sizeof(struct pbuf) + LWIP_MEM_ALIGN_SIZE(PBUF_TRANSPORT))
#define PIECE_BIG      (16384 - PIECE_OVERHEAD)
#define PIECE_SMALL    (4096 - PIECE_OVERHEAD)
#define COALESCE_MAX   512 /* bytes of a packet that are appended to the one before it */

/* ---- Receive ---- */

void tcp_sock_free_queue(struct tcp_sock *t)
{
    while (t->rx_head != NULL) {
        struct pbuf *p = t->rx_head;
        t->rx_head = p->next;
        p->next = NULL;
        pbuf_free(p);
    }
    t->rx_tail = NULL;
    t->rx_bytes = 0;
}

/* Where a pbuf's block ends, if it is a receive buffer that is ours alone. */
static u8_t *block_end(struct pbuf *p)
{
    if (p->ref != 1 || !ethif_is_netbuf(p))
        return NULL;
    return (u8_t *)((uintptr_t)p & ~(uintptr_t)(NETBUF_SIZE - 1)) + NETBUF_SIZE;
}

/* A slow reader with many small packets would hold a block of 2 KiB for each: small ones go into
 * what is left of the block before. True if p is taken care of. */
static bool coalesce(struct tcp_sock *t, struct pbuf *p)
{
    struct pbuf *tail = t->rx_tail;
    if (p->next != NULL || p->len > COALESCE_MAX)
        return false;
    u8_t *end = block_end(tail), *at = (u8_t *)tail->payload + tail->len;
    if (end == NULL || (size_t)(end - at) < p->len)
        return false;
    memcpy(at, p->payload, p->len);
    tail->len = (u16_t)(tail->len + p->len);
    pbuf_free(p);
    return true;
}

err_t tcp_user_on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    struct tcp_sock *t = arg;
    if (unlikely(p == NULL)) { /* FIN */
        t->rx_eof = true;
        /* In these states there is nothing left to tell us. */
        if (pcb->state == TIME_WAIT || pcb->state == CLOSING)
            tcp_sock_detach(t);
        if (t->parent != NULL && timer_pending(&t->defer_timer))
            tcp_sock_ready(t);
        waitq_wake(&t->in.sock.file.waitq,
                   EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | (t->tx_shut ? EPOLLHUP : 0));
        if (unlikely(t->in.sock.file.flags & O_ASYNC))
            file_sigio(&t->in.sock.file, 0);
        return ERR_OK;
    }
    if (unlikely(t->rx_shut)) { /* acknowledged and forgotten, as in Linux */
        u32_t n = p->tot_len;
        pbuf_free(p);
        tcp_recved(pcb, n);
        return ERR_OK;
    }
    if (unlikely(netbuf_scarce())) {
        /* The blocks are needed for receiving: keep the data elsewhere. */
        struct pbuf *copy = pbuf_clone(PBUF_RAW, PBUF_RAM, p);
        if (copy != NULL) {
            pbuf_free(p);
            p = copy;
        }
    }
    t->rx_bytes += p->tot_len;
    if (likely(t->rx_head == NULL)) {
        t->rx_head = p;
    } else if (coalesce(t, p)) {
        p = NULL;
    } else {
        t->rx_tail->next = p;
    }
    if (p != NULL) {
        while (p->next != NULL)
            p = p->next;
        t->rx_tail = p;
    }
    if (unlikely(t->parent != NULL) && timer_pending(&t->defer_timer))
        tcp_sock_ready(t);
    if (likely(t->rx_bytes >= (uint32_t)t->in.sock.rcvlowat))
        waitq_wake(&t->in.sock.file.waitq, EPOLLIN | EPOLLRDNORM);
    if (unlikely(t->in.sock.file.flags & O_ASYNC))
        file_sigio(&t->in.sock.file, 0);
    return ERR_OK;
}

/* Takes n copied bytes off the head of the queue. */
static void consume(struct tcp_sock *t, u32_t n)
{
    t->rx_bytes -= n;
    while (n > 0) {
        struct pbuf *p = t->rx_head;
        if (n < p->len) {
            p->payload = (u8_t *)p->payload + n;
            p->len = (u16_t)(p->len - n);
            return;
        }
        n -= p->len;
        t->rx_head = p->next;
        if (t->rx_head == NULL)
            t->rx_tail = NULL;
        p->next = NULL;
        pbuf_free(p);
    }
}

/* Copies up to m->it->count bytes of the queue, from off on; without discard they stay in it.
 * Returns what was copied, -EFAULT if the first byte could not be. */
static ssize_t copy_out(struct tcp_sock *t, struct sock_msg *m, u32_t off, bool discard)
{
    ssize_t done = 0;
    struct pbuf *p = t->rx_head;
    while (p != NULL && m->it->count > 0) {
        if (unlikely(off >= p->len)) {
            off -= p->len;
            p = p->next;
            continue;
        }
        size_t n = MIN((size_t)(p->len - off), m->it->count);
        ssize_t got = (ssize_t)n;
        if (unlikely(discard))
            iov_iter_advance(m->it, n);
        else
            got = copy_to_iter(m->it, (u8_t *)p->payload + off, n);
        if (unlikely(got < 0))
            return done > 0 ? done : got;
        done += got;
        if (unlikely((size_t)got < n))
            break;
        off += (u32_t)got;
    }
    return done;
}

static void unlock_direction(struct tcp_sock *t, bool *busy, uint32_t event)
{
    *busy = false;
    if (unlikely(t->kept_out)) {
        t->kept_out = false;
        waitq_wake(&t->in.sock.file.waitq, event);
    }
}

/* One thread at a time copies. */
static int lock_direction(struct tcp_sock *t, bool *busy, uint32_t event, uint64_t timeo,
                          const struct sock_msg *m)
{
    if (likely(!*busy)) {
        *busy = true;
        return 0;
    }
    uint64_t deadline = socket_deadline(timeo, m->flags, &t->in.sock);
    if (deadline == 0)
        return -EAGAIN;
    t->kept_out = true;
    int r = wait_event(&t->in.sock.file.waitq, event, deadline, !*busy);
    if (r < 0)
        return r == -ETIMEDOUT ? -EAGAIN : r;
    *busy = true;
    return 0;
}

static ssize_t receive(struct tcp_sock *t, struct sock_msg *m)
{
    struct socket *s = &t->in.sock;
    size_t wanted = m->it->count;
    size_t enough = m->flags & MSG_WAITALL ? wanted : MIN(wanted, (size_t)s->rcvlowat);
    size_t done = 0;
    bool peek = m->flags & MSG_PEEK, polled = false;
    uint64_t deadline = 0;
    bool have_deadline = false;

    for (;;) {
        u32_t fresh = t->rx_bytes - (peek ? (u32_t)done : 0);
        if (fresh > 0 && m->it->count > 0) {
            ssize_t n = copy_out(t, m, peek ? (u32_t)done : 0, m->flags & MSG_TRUNC);
            if (n < 0)
                return done > 0 ? (ssize_t)done : n;
            done += (size_t)n;
            if (!peek) {
                consume(t, (u32_t)n);
                if (likely(t->pcb != NULL))
                    tcp_recved(t->pcb, (u32_t)n);
            }
        }
        if (done >= enough && (done > 0 || wanted == 0))
            return (ssize_t)done;
        if (t->rx_eof || t->rx_shut || t->state != TS_CONNECTED) {
            if (done > 0)
                return (ssize_t)done;
            if (s->error != 0)
                return socket_take_error(s);
            return t->rx_eof || t->rx_shut || t->state == TS_DONE ? 0 : -ENOTCONN;
        }
        if (s->error != 0)
            return done > 0 ? (ssize_t)done : socket_take_error(s);
        if (!polled) {
            polled = true;
            if (pollers_run())
                continue;
        }
        if (!have_deadline) {
            deadline = socket_deadline(s->rcvtimeo, m->flags, s);
            have_deadline = true;
        }
        if (deadline == 0)
            return done > 0 ? (ssize_t)done : -EAGAIN;
        int r = waitq_sleep(&s->file.waitq, EPOLLIN | EPOLLERR | EPOLLHUP, deadline);
        if (r < 0)
            return done > 0 ? (ssize_t)done : r == -ETIMEDOUT ? -EAGAIN : r;
    }
}

/* What nearly every receive is: all there is lies in one buffer, and there is room for it. */
static __always_inline bool is_simple(const struct tcp_sock *t, const struct sock_msg *m)
{
    const struct pbuf *p = t->rx_head;
    return p != NULL && p->next == NULL && !t->rx_busy && t->state == TS_CONNECTED &&
           p->len <= m->it->count && !(m->flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL)) &&
           p->len >= (size_t)t->in.sock.rcvlowat;
}

static ssize_t receive_simple(struct tcp_sock *t, struct sock_msg *m)
{
    struct pbuf *p = t->rx_head;
    t->rx_busy = true;
    ssize_t n = copy_to_iter(m->it, p->payload, p->len); /* may sleep; p may grow meanwhile */
    unlock_direction(t, &t->rx_busy, EPOLLIN);
    if (unlikely(n < 0))
        return n;
    if (likely((size_t)n == p->len && p->next == NULL)) {
        t->rx_head = t->rx_tail = NULL;
        t->rx_bytes = 0;
        if (likely(ethif_is_netbuf(p)))
            ethif_free_netbuf((struct netbuf *)p);
        else
            pbuf_free(p);
    } else {
        consume(t, (u32_t)n);
    }
    if (likely(t->pcb != NULL))
        tcp_recved(t->pcb, (u32_t)n);
    if (m->addr != NULL)
        m->addr->len = 0;
    net_flush();
    return n;
}

ssize_t tcp_sock_recvmsg(struct socket *s, struct sock_msg *m)
{
    struct tcp_sock *t = tcp_of(s);
    if (likely(is_simple(t, m)))
        return receive_simple(t, m);
    if (unlikely(m->flags & (MSG_OOB | MSG_ERRQUEUE)))
        return m->flags & MSG_OOB ? -EINVAL : -EAGAIN;
    if (unlikely(t->state == TS_LISTENING || (t->state == TS_IDLE && s->error == 0)))
        return -ENOTCONN;
    if (unlikely(t->state == TS_CONNECTING)) {
        uint64_t deadline = socket_deadline(s->rcvtimeo, m->flags, s);
        if (deadline == 0)
            return -EAGAIN;
        int r =
            wait_event(&s->file.waitq, EPOLLOUT | EPOLLERR, deadline, t->state != TS_CONNECTING);
        if (r < 0)
            return r == -ETIMEDOUT ? -EAGAIN : r;
    }
    int r = lock_direction(t, &t->rx_busy, EPOLLIN, s->rcvtimeo, m);
    if (unlikely(r < 0))
        return r;
    ssize_t n = receive(t, m);
    unlock_direction(t, &t->rx_busy, EPOLLIN);
    if (m->addr != NULL)
        m->addr->len = 0; /* connected sockets do not name the sender */
    net_flush();
    return n;
}

/* ---- Send ---- */

err_t tcp_user_on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    struct tcp_sock *t = arg;
    if (unlikely(t->want_write) && pcb->snd_buf >= tcp_sndbuf_size(t) / 3) {
        t->want_write = false;
        waitq_wake(&t->in.sock.file.waitq, EPOLLOUT | EPOLLWRNORM);
        if (t->in.sock.file.flags & O_ASYNC)
            file_sigio(&t->in.sock.file, 0);
    }
    return ERR_OK;
}

void tcp_sock_push(struct tcp_sock *t)
{
    if (t->pcb != NULL && t->state == TS_CONNECTED)
        tcp_output(t->pcb);
}

/* A buffer chain for n bytes: at most what one segment may consist of. May be shorter; NULL without
 * memory. */
static struct pbuf *alloc_chain(size_t n)
{
    struct pbuf *head = NULL, *p;
    unsigned pieces = 0;
    size_t got = 0;
    while (got < n && pieces < TCP_SEG_PBUFS - 2) {
        size_t want = MIN(n - got, PIECE_BIG);
        pbuf_layer layer = head == NULL ? PBUF_TRANSPORT : PBUF_RAW;
        p = pbuf_alloc(layer, (u16_t)want, PBUF_RAM);
        if (p == NULL && want > PIECE_SMALL) { /* fragmented memory: smaller pieces */
            want = PIECE_SMALL;
            p = pbuf_alloc(layer, (u16_t)want, PBUF_RAM);
        }
        if (p == NULL)
            break;
        if (head == NULL)
            head = p;
        else
            pbuf_cat(head, p);
        got += want;
        pieces++;
    }
    return head;
}

/* Fills a chain from the application; cuts it to what could be copied. -EFAULT if nothing was. */
static ssize_t fill_chain(struct pbuf *head, struct iov_iter *it)
{
    ssize_t done = 0;
    for (struct pbuf *p = head; p != NULL; p = p->next) {
        ssize_t n = copy_from_iter(it, p->payload, p->len);
        if (unlikely(n < (ssize_t)p->len)) {
            if (n > 0)
                done += n;
            if (done == 0)
                return n < 0 ? n : -EFAULT;
            pbuf_realloc(head, (u16_t)done);
            return done;
        }
        done += n;
    }
    return done;
}

static bool has_room(const struct tcp_sock *t)
{
    return t->pcb->snd_buf > 0 && t->pcb->snd_queuelen + TCP_SEG_PBUFS <= TCP_SND_QUEUELEN;
}

/* Why nothing can be sent: 0 if it can. */
static ssize_t cannot_send(struct tcp_sock *t)
{
    struct socket *s = &t->in.sock;
    if (s->error != 0)
        return socket_take_error(s);
    if (t->tx_shut || t->state != TS_CONNECTED)
        return -EPIPE;
    return 0;
}

static ssize_t wait_room(struct tcp_sock *t, struct sock_msg *m)
{
    struct socket *s = &t->in.sock;
    uint64_t deadline = socket_deadline(s->sndtimeo, m->flags, s);
    t->want_write = true;
    if (deadline == 0)
        return -EAGAIN;
    int r = wait_event(&s->file.waitq, EPOLLOUT | EPOLLERR | EPOLLHUP, deadline,
                       t->state != TS_CONNECTED || s->error != 0 || t->tx_shut || has_room(t));
    return r == -ETIMEDOUT ? -EAGAIN : r;
}

/* Sends now, unless more follows and no full segment is waiting. */
static void output(struct tcp_sock *t, bool more)
{
    struct tcp_pcb *pcb = t->pcb;
    if (likely(!more)) {
        tcp_output(pcb);
    } else if (pcb->unsent != NULL && (pcb->unsent->next != NULL || pcb->unsent->len >= pcb->mss)) {
        tcp_output(pcb);
    } else {
        /* Corked data goes after 200 ms in any case (tcp(7)). */
        tcp_set_flags(pcb, TF_NAGLEMEMERR);
        tcp_timer_arm(pcb, 2);
    }
}

static ssize_t send_data(struct tcp_sock *t, struct sock_msg *m)
{
    ssize_t done = 0, r;
    bool more = t->cork || (m->flags & MSG_MORE);
    while (m->it->count > 0) {
        r = cannot_send(t);
        if (unlikely(r != 0))
            return done > 0 ? done : r;
        if (unlikely(!has_room(t))) {
            tcp_output(t->pcb);
            net_flush();
            r = wait_room(t, m);
            if (r < 0)
                return done > 0 ? done : r;
            continue;
        }
        size_t n = MIN(MIN(m->it->count, (size_t)t->pcb->snd_buf), (size_t)tcp_seg_max(t->pcb));
        struct pbuf *p = alloc_chain(n);
        if (unlikely(p == NULL))
            return done > 0 ? done : -ENOBUFS;
        r = fill_chain(p, m->it); /* may sleep: everything may have changed */
        if (unlikely(r < 0)) {
            pbuf_free(p);
            return done > 0 ? done : r;
        }
        ssize_t gone = cannot_send(t);
        if (unlikely(gone != 0)) {
            pbuf_free(p);
            return done > 0 ? done : gone;
        }
        bool last = m->it->count == 0;
        if (unlikely(tcp_write_pbuf(t->pcb, p, last && !more ? 0 : TCP_WRITE_FLAG_MORE) !=
                     ERR_OK)) {
            pbuf_free(p);
            return done > 0 ? done : -ENOBUFS;
        }
        done += r;
        if (last || t->pcb->unsent->next != NULL)
            output(t, more || !last);
    }
    return done;
}

/* What nearly every send is: a message that fits into one segment, with nothing in its way. */
static __always_inline bool is_small(const struct tcp_sock *t, const struct sock_msg *m)
{
    return t->state == TS_CONNECTED && !t->tx_busy && !t->tx_shut && !t->cork &&
           t->in.sock.error == 0 && !(m->flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL)) &&
           m->it->count - 1 < t->pcb->mss && m->it->count <= t->pcb->snd_buf && has_room(t);
}

static ssize_t send_small(struct tcp_sock *t, struct sock_msg *m)
{
    size_t len = m->it->count;
    struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)len, PBUF_RAM);
    if (unlikely(p == NULL))
        return -ENOBUFS;
    t->tx_busy = true;
    ssize_t n = copy_from_iter(m->it, p->payload, len); /* may sleep: everything may have changed */
    unlock_direction(t, &t->tx_busy, EPOLLOUT);
    ssize_t gone = n < 0 ? n : cannot_send(t);
    if (unlikely(gone != 0)) {
        pbuf_free(p);
        return gone;
    }
    if (unlikely((size_t)n < len))
        pbuf_realloc(p, (u16_t)n);
    if (unlikely(!tcp_xmit_now(t->pcb, p))) {
        if (unlikely(tcp_write_pbuf(t->pcb, p, 0) != ERR_OK)) {
            pbuf_free(p);
            return -ENOBUFS;
        }
        tcp_output(t->pcb);
    }
    net_flush();
    return n;
}

ssize_t tcp_sock_sendmsg(struct socket *s, struct sock_msg *m)
{
    struct tcp_sock *t = tcp_of(s);
    if (likely(is_small(t, m)))
        return send_small(t, m);
    if (unlikely(m->flags & (MSG_OOB | MSG_FASTOPEN | MSG_ZEROCOPY)))
        return -EOPNOTSUPP; /* CAVEATS: no urgent data, no TCP Fast Open */
    if (unlikely(t->state == TS_CONNECTING)) {
        uint64_t deadline = socket_deadline(s->sndtimeo, m->flags, s);
        if (deadline == 0)
            return -EAGAIN;
        int w =
            wait_event(&s->file.waitq, EPOLLOUT | EPOLLERR, deadline, t->state != TS_CONNECTING);
        if (w < 0)
            return w == -ETIMEDOUT ? -EAGAIN : w;
    }
    int r = lock_direction(t, &t->tx_busy, EPOLLOUT, s->sndtimeo, m);
    if (unlikely(r < 0))
        return r;
    ssize_t n = m->it->count == 0 ? cannot_send(t) : send_data(t, m);
    unlock_direction(t, &t->tx_busy, EPOLLOUT);
    if (likely(!(m->flags & MSG_MORE)))
        net_flush();
    return n;
}
