/* See conn.h. */
#define _GNU_SOURCE
#include "conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAM_BUFFER = 4 << 20 };

void conn_list_move(struct conn *c, struct conn_list *to, bool front)
{
    struct conn_list *from = c->list;

    if (from) {
        *(c->prev ? &c->prev->next : &from->head) = c->next;
        *(c->next ? &c->next->prev : &from->tail) = c->prev;
        from->n--;
    }
    c->list = to;
    if (!to)
        return;
    c->prev = front ? NULL : to->tail;
    c->next = front ? to->head : NULL;
    *(c->prev ? &c->prev->next : &to->head) = c;
    *(c->next ? &c->next->prev : &to->tail) = c;
    to->n++;
}

enum error conn_error(int err)
{
    switch (err) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EACCES:
    case EPERM:
        return ERROR_REFUSED;
    case EADDRNOTAVAIL:
    case EADDRINUSE:
    case EAGAIN: /* of connect(): no port left (tcp_v4_connect) */
    case EMFILE:
    case ENFILE:
        return ERROR_PORTS;
    case ETIMEDOUT:
        return ERROR_TIMEOUT;
    default:
        return ERROR_RESET;
    }
}

static void set(int fd, int level, int option, int value)
{
    /* Each only makes the socket better. */
    setsockopt(fd, level, option, &value, sizeof(value));
}

static bool bind_source(int fd, const struct load_options *o, unsigned source)
{
    struct sockaddr_in a = {.sin_family = AF_INET};

    if (o->nr_sources == 0)
        return true;
    a.sin_addr = o->sources[source % o->nr_sources];
    /* The port is chosen by connect(), which knows the peer: a port can then serve every pair of
     * addresses, and not only one socket of this host. */
    set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    return bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

bool conn_open(struct conn *c, const struct load_options *o, unsigned source, int epoll,
               enum error *e)
{
    bool datagram = o->proto->datagram;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

    c->fd =
        socket(AF_INET, (datagram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        *e = conn_error(errno);
        return false;
    }
    if (datagram) {
        set(c->fd, SOL_SOCKET, SO_RCVBUF, DATAGRAM_BUFFER);
        set(c->fd, SOL_SOCKET, SO_SNDBUF, DATAGRAM_BUFFER);
    } else {
        set(c->fd, IPPROTO_TCP, TCP_NODELAY, 1);
        if (o->linger0) {
            struct linger l = {.l_onoff = 1};
            setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
        }
    }
    c->state = CONN_UP;
    if (!bind_source(c->fd, o, source))
        goto fail;
    if (connect(c->fd, (const struct sockaddr *)&o->target, sizeof(o->target)) < 0) {
        if (errno != EINPROGRESS)
            goto fail;
        c->state = CONN_CONNECTING;
        ev.events |= EPOLLOUT;
    }
    c->waits_out = c->state == CONN_CONNECTING;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        goto fail;
    return true;
fail:
    *e = conn_error(errno);
    conn_close(c);
    return false;
}

bool conn_connected(struct conn *c, enum error *e)
{
    int err = 0;
    socklen_t len = sizeof(err);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    if (err) {
        *e = conn_error(err);
        return false;
    }
    c->state = CONN_UP;
    return true;
}

void conn_close(struct conn *c)
{
    close(c->fd);
    c->fd = -1;
    c->state = CONN_CLOSED;
    c->waits_out = c->last = false;
    c->in.len = c->out.len = c->out_at = c->want = 0;
}

static void wait_out(struct conn *c, int epoll, bool wait)
{
    struct epoll_event ev = {.events = EPOLLIN | (wait ? EPOLLOUT : 0), .data.ptr = c};

    if (c->waits_out == wait)
        return;
    c->waits_out = wait;
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

ssize_t conn_flush(struct conn *c, int epoll, enum error *e)
{
    ssize_t sent = 0;

    if (c->state != CONN_UP)
        return 0;
    while (c->out_at < c->out.len) {
        ssize_t n = send(c->fd, c->out.s + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            *e = conn_error(errno);
            return -1;
        }
        c->out_at += n;
        sent += n;
    }
    if (c->out_at == c->out.len)
        c->out_at = c->out.len = 0;
    wait_out(c, epoll, c->out.len > 0);
    return sent;
}

void conn_push(struct conn *c, struct request *r)
{
    r->conn = c;
    r->next = NULL;
    *(c->tail ? &c->tail->next : &c->head) = r;
    c->tail = r;
    c->under_way++;
}

struct request *conn_pop(struct conn *c)
{
    struct request *r = c->head;

    c->head = r->next;
    if (!c->head)
        c->tail = NULL;
    c->under_way--;
    return r;
}

void conn_put_slot(struct conn *c, struct request *r, unsigned id_bits)
{
    uint32_t mask = id_bits == 32 ? UINT32_MAX : (1u << id_bits) - 1;

    do
        r->id = c->next_id++ & mask;
    while (c->slots[r->id & (c->nr_slots - 1)]);
    c->slots[r->id & (c->nr_slots - 1)] = r;
    r->conn = c;
    c->under_way++;
}

struct request *conn_take_slot(struct conn *c, uint32_t id)
{
    struct request **slot = &c->slots[id & (c->nr_slots - 1)], *r = *slot;

    if (!r || r->id != id)
        return NULL;
    *slot = NULL;
    c->under_way--;
    return r;
}
