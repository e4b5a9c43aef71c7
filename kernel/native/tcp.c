/*
 * TCP for native programs (include/wherry/tcp.h) on lwIP's raw API: listening, connections, what
 * they receive, their end. lwIP's callbacks (tcp_user_*, on_*) run inside the stack; they only note
 * what has happened, and put the connection into a queue. wherry_tcp_run() takes them from there
 * and calls the program, outside of the stack: so the program may do anything to any connection, a
 * burst of segments is one round, and an answer finds nothing in its way (net/tcp_xmit.c).
 *
 * Bytes that the program does not take at once are copied together behind one another, so that it
 * always sees them in one piece: at most a window, since the peer is not told of room before.
 */
#include "native/tcp.h"

#include "mm/slab.h"
#include "native/native.h"
#include "net/ethif.h"
#include "net/netdev.h"
#include "net/tcp_user.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <asm/errno.h>

#define DEFAULT_MAX   1024u
#define MAX_HALF_OPEN 1024
#define KEPT_MIN      2048u
#define CONTEXT_MAX   (64 * KiB)
#define LINGER_S      10u /* for a peer that does not end its side after we have closed */
#define TICKS_PER_S   (1000u / TCP_SLOW_INTERVAL)
#define TIMERS_NS     NSEC_PER_MSEC /* how often a program that never sleeps has timers looked at */

struct tcp_listener {
    const struct wherry_tcp_service *service;
    struct tcp_pcb_listen *pcb;
    struct tcp_listener *next;
    unsigned connections, max;
};

struct wherry_tcp *tcp_busy;
struct wherry_tcp_stats tcp_stats;

static struct list connections = LIST_INIT(connections);
static struct tcp_listener *listeners;
static struct thread *program;
static struct wherry_tcp *ready, **ready_last = &ready;
static struct timer idle_timer;
static struct poller poller;

void tcp_post(struct wherry_tcp *c, unsigned events)
{
    c->events |= (uint8_t)events;
    if (c->queued)
        return;
    c->queued = true;
    c->next_ready = NULL;
    *ready_last = c;
    ready_last = &c->next_ready;
    if (unlikely(program->state == THREAD_BLOCKED))
        thread_wake(program);
}

/* ---- The end of a connection ---- */

struct tcp_pcb *tcp_detach(struct wherry_tcp *c)
{
    struct tcp_pcb *pcb = c->pcb;

    c->pcb = NULL;
    tcp_arg(pcb, NULL);
    pcb->recv = NULL;
    pcb->sent = NULL;
    pcb->errf = NULL;
    return pcb;
}

/* How many bytes it was. */
static size_t drop_input(struct wherry_tcp *c)
{
    size_t n = c->kept_len;

    while (c->rx != NULL) {
        struct pbuf *p = c->rx;

        c->rx = p->next;
        p->next = NULL;
        n += p->len;
        pbuf_free(p);
    }
    tcp_stats.kept_bytes -= c->kept_len;
    kfree(c->kept);
    c->kept = NULL;
    c->kept_len = c->kept_size = c->kept_off = 0;
    return n;
}

static void count_connection(struct tcp_listener *l, int by)
{
    l->connections += (unsigned)by;
    tcp_stats.connections += (uint64_t)(int64_t)by;
    l->pcb->accept_full = l->connections >= l->max;
}

/* The connection's memory; its PCB is gone. */
static void release(struct wherry_tcp *c)
{
    drop_input(c);
    tcp_drop_output(c);
    list_remove(&c->link);
    count_connection(c->listener, -1);
    c->freed = true;
    if (!c->queued)
        kfree(c);
}

static void reset(struct wherry_tcp *c)
{
    if (c->pcb != NULL)
        tcp_abort(tcp_detach(c));
}

void tcp_out_of_memory(struct wherry_tcp *c)
{
    reset(c);
    tcp_stats.no_memory++;
    c->error = -ENOMEM;
    tcp_post(c, EV_LOST);
}

/* The program has closed it: the FIN goes behind what is to be sent. Then the peer may take its
 * time; if it was first, lwIP needs nobody for the rest. */
static void finish(struct wherry_tcp *c)
{
    size_t dropped = drop_input(c);

    tcp_flush(c);
    if (c->pcb != NULL) {
        tcp_recved(c->pcb, (u32_t)dropped);
        tcp_shutdown(c->pcb, 0, 1);
        c->seen = tcp_ticks;
        if (c->fin)
            tcp_detach(c);
    }
    if (c->pcb == NULL)
        release(c);
}

/* The program's wish, carried out as soon as nothing of the connection is in use. */
static void end(struct wherry_tcp *c)
{
    if (c->abort) {
        reset(c);
        release(c);
    } else {
        finish(c);
    }
}

void wherry_tcp_close(struct wherry_tcp *c)
{
    c->closing = true;
    if (c != tcp_busy)
        end(c);
}

void wherry_tcp_abort(struct wherry_tcp *c)
{
    c->abort = true;
    wherry_tcp_close(c);
}

static bool overdue(const struct wherry_tcp *c)
{
    unsigned limit = c->closing ? LINGER_S : c->service->idle;

    return limit != 0 && tcp_ticks - c->seen > limit * TICKS_PER_S;
}

/* Once a second: connections that have been idle for too long. */
static void idle_due(struct timer *t)
{
    tcp_sync_ticks();
    list_for_each_safe (c, &connections, struct wherry_tcp, link) {
        if (c->pcb == NULL || !overdue(c))
            continue;
        tcp_stats.idle++;
        reset(c);
        c->error = -ETIMEDOUT;
        if (c->closing)
            release(c);
        else
            tcp_post(c, EV_LOST);
    }
    net_flush();
    if (!list_empty(&connections))
        timer_set(t, clock_mono_ns() + NSEC_PER_SEC);
}

/* ---- What lwIP tells ---- */

/* Appends to what the program has not taken. False: no memory. */
static bool keep(struct wherry_tcp *c, const uint8_t *data, size_t len)
{
    size_t needed = c->kept_len + len;

    if (c->kept_off + needed > c->kept_size) {
        if (needed > c->kept_size) {
            size_t size = MAX(c->kept_size, KEPT_MIN);
            uint8_t *more;

            while (size < needed)
                size *= 2;
            more = kmalloc(size);
            if (more == NULL)
                return false;
            memcpy(more, c->kept + c->kept_off, c->kept_len);
            kfree(c->kept);
            c->kept = more;
            c->kept_size = (uint32_t)size;
        } else {
            memmove(c->kept, c->kept + c->kept_off, c->kept_len);
        }
        c->kept_off = 0;
    }
    memcpy(c->kept + c->kept_off + c->kept_len, data, len);
    c->kept_len += (uint32_t)len;
    tcp_stats.kept_bytes += len;
    return true;
}

/* Takes the first pbuf of what has come. */
static __always_inline struct pbuf *take(struct wherry_tcp *c)
{
    struct pbuf *p = c->rx;

    c->rx = p->next;
    p->next = NULL;
    return p;
}

static __always_inline void free_received(struct pbuf *p)
{
    if (likely(ethif_is_netbuf(p)))
        ethif_free_netbuf((struct netbuf *)p);
    else
        pbuf_free(p);
}

/* All that has come goes to what is kept. False: no memory for the rest. */
static bool keep_all(struct wherry_tcp *c)
{
    while (c->rx != NULL) {
        struct pbuf *p = c->rx;

        if (!keep(c, p->payload, p->len))
            return false;
        free_received(take(c));
    }
    return true;
}

static err_t input_end(struct wherry_tcp *c, struct tcp_pcb *pcb)
{
    c->fin = true;
    if (c->closing && c != tcp_busy) { /* both sides are done */
        tcp_detach(c);
        release(c);
    } else {
        tcp_post(c, EV_ENDED);
    }
    return ERR_OK;
}

err_t tcp_user_on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    struct wherry_tcp *c = arg;

    if (unlikely(p == NULL))
        return input_end(c, pcb);
    if (unlikely(c->closing)) {
        u32_t n = p->tot_len;

        pbuf_free(p);
        tcp_recved(pcb, n);
        return ERR_OK;
    }
    c->seen = tcp_ticks;
    if (likely(c->rx == NULL))
        c->rx = p;
    else
        c->rx_last->next = p;
    while (unlikely(p->next != NULL))
        p = p->next;
    c->rx_last = p;
    /* A program that sleeps long: the blocks are needed for receiving. */
    if (netbuf_scarce())
        keep_all(c);
    tcp_post(c, EV_DATA);
    return ERR_OK;
}

err_t tcp_user_on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    struct wherry_tcp *c = arg;

    c->seen = tcp_ticks;
    if (unlikely(c->want_room) && pcb->snd_buf >= TCP_SND_BUF / 3) {
        c->want_room = false;
        tcp_post(c, EV_ROOM);
    }
    return ERR_OK;
}

static void on_error(void *arg, err_t err)
{
    struct wherry_tcp *c = arg;

    if (c == NULL)
        return;
    c->pcb = NULL; /* freed */
    if (c->closing && c != tcp_busy) {
        release(c);
        return;
    }
    tcp_stats.lost++;
    c->error = err == ERR_RST ? -ECONNRESET : -ETIMEDOUT;
    tcp_post(c, EV_LOST);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct tcp_listener *l = arg;
    struct wherry_tcp *c = pcb != NULL ? kzalloc(sizeof(*c) + l->service->context) : NULL;

    if (c == NULL) {
        tcp_stats.refused++;
        return ERR_MEM; /* lwIP resets the connection */
    }
    c->pcb = pcb;
    c->listener = l;
    c->service = l->service;
    c->seen = tcp_ticks;
    if (list_empty(&connections))
        timer_set(&idle_timer, clock_mono_ns() + NSEC_PER_SEC);
    list_push_back(&connections, &c->link);
    count_connection(l, 1);
    tcp_stats.accepted++;
    tcp_arg(pcb, c);
    tcp_recv(pcb, tcp_user_on_recv);
    tcp_sent(pcb, tcp_user_on_sent);
    tcp_err(pcb, on_error);
    tcp_nagle_disable(pcb); /* answers are put together here */
    tcp_post(c, EV_OPENED);
    return ERR_OK;
}

/* ---- Calling the program ---- */

/* n bytes are done with: the peer may send as many more. */
static __always_inline void taken(struct wherry_tcp *c, size_t n)
{
    if (n != 0 && likely(c->pcb != NULL))
        tcp_recved(c->pcb, (u32_t)n);
}

static void deliver_kept(struct wherry_tcp *c)
{
    size_t n;

    if (!keep_all(c)) {
        tcp_out_of_memory(c);
        return;
    }
    n = c->service->received(c, c->kept + c->kept_off, c->kept_len);
    if (c->closing)
        return;
    assert(n <= c->kept_len);
    c->kept_off += (uint32_t)n;
    c->kept_len -= (uint32_t)n;
    tcp_stats.kept_bytes -= n;
    if (c->kept_len == 0) {
        kfree(c->kept);
        c->kept = NULL;
        c->kept_off = c->kept_size = 0;
    }
    taken(c, n);
}

/* One segment after the other where the device put them, as long as the program takes all. */
static __always_inline void deliver(struct wherry_tcp *c)
{
    while (likely(c->rx != NULL && c->kept_len == 0)) {
        struct pbuf *p = take(c);
        size_t n = c->service->received(c, p->payload, p->len);
        bool kept = true;

        if (likely(!c->closing)) {
            assert(n <= p->len);
            if (unlikely(n < p->len))
                kept = keep(c, (uint8_t *)p->payload + n, p->len - n);
            taken(c, n);
        }
        free_received(p);
        if (unlikely(!kept))
            tcp_out_of_memory(c);
        if (unlikely(c->closing || !kept))
            return;
        if (unlikely(c->kept_len != 0 && c->rx == NULL))
            return; /* it has just seen them */
    }
    if (unlikely(c->kept_len != 0))
        deliver_kept(c);
}

static void ended(struct wherry_tcp *c)
{
    if (c->service->ended != NULL) {
        c->service->ended(c);
        return;
    }
    if (c->service->closed != NULL)
        c->service->closed(c, 0);
    c->closing = true;
}

static void dispatch(struct wherry_tcp *c)
{
    const struct wherry_tcp_service *s = c->service;
    unsigned events = c->events;

    c->events = 0;
    tcp_busy = c;
    if (unlikely(events & EV_OPENED) && s->opened != NULL)
        s->opened(c);
    if (likely(events & EV_DATA) && !c->closing && !(events & EV_LOST))
        deliver(c);
    if (unlikely(events & (EV_ROOM | EV_ENDED | EV_LOST))) {
        if (events & EV_ROOM && !c->closing && c->pcb != NULL && s->writable != NULL)
            s->writable(c);
        if (events & EV_ENDED && !c->closing && c->pcb != NULL) {
            if (c->want_room || c->events & EV_DATA)
                c->events |= EV_ENDED; /* it is still at what came before */
            else
                ended(c);
        }
        if (events & EV_LOST) {
            if (!c->closing && s->closed != NULL)
                s->closed(c, c->error);
            c->closing = true;
        }
    }
    tcp_busy = NULL;
    if (unlikely(c->closing))
        end(c);
    else
        tcp_flush(c);
}

/* A device with a raw user is polled by that one, who hands over what is the stack's. */
static __always_inline void poll_devices(void)
{
    list_for_each (d, &netdev_list, struct netdev, link) {
        if (d->steered == NULL && d->interrupt != NULL && !netdev_rx_idle(d))
            d->interrupt(d);
    }
}

/* For one that never sleeps: nobody else would. */
static __always_inline void run_timers(void)
{
    static uint64_t next;
    uint64_t now = clock_mono_ns();

    if (unlikely(now >= next)) {
        next = now + TIMERS_NS;
        timer_run(now);
    }
}

bool wherry_tcp_run(void)
{
    struct wherry_tcp *c;
    bool any;

    assert(tcp_busy == NULL);
    poll_devices();
    run_timers();
    c = ready;
    ready = NULL;
    ready_last = &ready;
    any = c != NULL;
    while (c != NULL) {
        struct wherry_tcp *next = c->next_ready;

        c->queued = false;
        if (unlikely(c->freed))
            kfree(c);
        else
            dispatch(c);
        c = next;
    }
    net_flush();
    return any;
}

void wherry_tcp_wait(uint64_t deadline)
{
    if (ready == NULL)
        thread_block(deadline);
}

/* What was sent outside of wherry_tcp_run() leaves, and who goes to sleep over something that has
 * happened wakes again. */
static bool poll_queue(struct poller *p)
{
    net_flush();
    if (ready != NULL)
        thread_wake(program);
    return false;
}

static bool arm_queue(struct poller *p)
{
    return true;
}

static bool haltpoll_queue(const struct poller *p)
{
    return true;
}

/* ---- The program's other calls ---- */

int wherry_tcp_listen(const struct wherry_tcp_service *s)
{
    struct tcp_listener *l;
    struct tcp_pcb *pcb, *lpcb;
    err_t err;

    if (s->port == 0 || s->received == NULL || s->context > CONTEXT_MAX)
        return -EINVAL;
    for (l = listeners; l != NULL; l = l->next) {
        if (l->service->port == s->port)
            return -EADDRINUSE;
    }
    l = kzalloc(sizeof(*l));
    pcb = l != NULL ? tcp_new_ip_type(IPADDR_TYPE_ANY) : NULL;
    if (pcb == NULL) {
        kfree(l);
        return -ENOMEM;
    }
    tcp_set_window(pcb, WHERRY_TCP_WINDOW);
    tcp_bind_unchecked(pcb, IP_ANY_TYPE, s->port);
    lpcb = tcp_listen_with_backlog_and_err(pcb, MAX_HALF_OPEN, &err);
    if (lpcb == NULL) {
        tcp_abort(pcb);
        kfree(l);
        return -ENOMEM;
    }
    l->service = s;
    l->pcb = (struct tcp_pcb_listen *)lpcb;
    l->max = s->max != 0 ? s->max : DEFAULT_MAX;
    l->next = listeners;
    listeners = l;
    tcp_arg(lpcb, l);
    tcp_accept(lpcb, on_accept);
    return 0;
}

void wherry_tcp_resume(struct wherry_tcp *c)
{
    if (c->kept_len != 0)
        tcp_post(c, EV_DATA);
}

void *wherry_tcp_context(struct wherry_tcp *c)
{
    return c->context;
}

void wherry_tcp_peer(const struct wherry_tcp *c, char *to, size_t size)
{
    char ip[IPADDR_STRLEN_MAX];

    if (c->pcb == NULL) {
        strlcpy(to, "?", size);
        return;
    }
    ipaddr_ntoa_r(&c->pcb->remote_ip, ip, sizeof(ip));
    ksnprintf(to, size, IP_IS_V6(&c->pcb->remote_ip) ? "[%s]:%u" : "%s:%u", ip,
              c->pcb->remote_port);
}

void wherry_tcp_stats(struct wherry_tcp_stats *stats)
{
    *stats = tcp_stats;
}

void native_net_start(void)
{
    program = current();
    timer_init(&idle_timer, idle_due);
    poller = (struct poller){.poll = poll_queue, .arm = arm_queue, .idle = haltpoll_queue};
    poller_register(&poller);
}
