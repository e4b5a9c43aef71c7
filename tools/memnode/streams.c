/* See streams.h. */
#define _GNU_SOURCE
#include "streams.h"

#include "transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    EVENTS = 32,
    BACKLOG = 64,
    READ = 4096,
    HTTP_MAX = 4096,     /* of a request's head */
    UNREAD_MAX = 1 << 20 /* who leaves so much unread is gone */
};

void streams_init(struct streams *s, struct control *c, void (*metrics)(void *, struct strbuf *),
                  void *ctx)
{
    *s = (struct streams){.control = c, .metrics = metrics, .ctx = ctx};
    s->fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->fd < 0)
        die("epoll_create1: %s", strerror(errno));
}

static void watch(struct streams *s, struct stream *c, int op, bool room)
{
    struct epoll_event ev = {.events = EPOLLIN | (room ? EPOLLOUT : 0), .data.u32 = c - s->stream};

    if (epoll_ctl(s->fd, op, c->fd, &ev) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void stream_close(struct stream *c)
{
    close(c->fd);
    free(c->in.s);
    free(c->out.s);
    *c = (struct stream){0};
}

static struct stream *stream_new(struct streams *s, enum stream_kind kind, int fd, uint64_t now)
{
    struct stream *c = NULL, *oldest = NULL;

    for (unsigned i = 0; i < ARRAY_LEN(s->stream) && !c; i++) {
        struct stream *x = &s->stream[i];

        if (x->kind == STREAM_FREE)
            c = x;
        else if (x->kind >= STREAM_CONTROL && (!oldest || x->heard < oldest->heard))
            oldest = x;
    }
    if (!c) {
        c = oldest;
        stream_close(c);
    }
    *c = (struct stream){.kind = kind, .fd = fd, .number = ++s->last_number, .heard = now};
    watch(s, c, EPOLL_CTL_ADD, false);
    return c;
}

uint16_t streams_listen(struct streams *s, enum stream_kind kind, const char *option,
                        uint32_t address, uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(address), .sin_port = htons(port)};
    socklen_t len = sizeof(a);
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
        bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        die("%s: TCP port %u: %s", option, port, strerror(errno));
    stream_new(s, kind, fd, 0);
    return ntohs(a.sin_port);
}

void streams_listen_path(struct streams *s, const char *option, const char *path)
{
    struct sockaddr_un a;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    transport_unix_address(&a, option, path, SOCK_STREAM);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, BACKLOG) < 0)
        die("%s %s: %s", option, path, strerror(errno));
    s->path = xstrdup(path);
    stream_new(s, STREAM_CONTROL_LISTENER, fd, 0);
}

static void accept_all(struct streams *s, enum stream_kind kind, int listener, uint64_t now)
{
    struct sockaddr_storage a;
    struct sockaddr_in *in = (struct sockaddr_in *)&a;
    socklen_t len = sizeof(a);
    struct stream *c;
    int fd;

    while ((fd = accept4(listener, (struct sockaddr *)&a, &len, SOCK_CLOEXEC | SOCK_NONBLOCK)) >=
           0) {
        c = stream_new(s, kind, fd, now);
        c->from.stream = c->number;
        if (a.ss_family == AF_INET) {
            c->from.address = ntohl(in->sin_addr.s_addr);
            c->from.port = ntohs(in->sin_port);
            len = sizeof(a);
            if (getsockname(fd, (struct sockaddr *)&a, &len) == 0)
                c->from.local = ntohl(in->sin_addr.s_addr);
        }
        len = sizeof(a);
    }
}

/* False: it is closed. */
static bool flush(struct streams *s, struct stream *c)
{
    while (c->out_at < c->out.len) {
        ssize_t n = send(c->fd, c->out.s + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN && c->out.len - c->out_at <= UNREAD_MAX) {
            watch(s, c, EPOLL_CTL_MOD, true);
            return true;
        }
        if (n < 0) {
            stream_close(c);
            return false;
        }
        c->out_at += n;
    }
    c->out.len = c->out_at = 0;
    watch(s, c, EPOLL_CTL_MOD, false);
    if (c->closing)
        stream_close(c);
    return c->kind != STREAM_FREE;
}

static void add_message(struct stream *c, const uint8_t *message, size_t n)
{
    uint8_t prefix[NODE_STREAM_PREFIX];

    if (n == 0) /* no reply */
        return;
    roce_put32(prefix, n);
    sb_add(&c->out, prefix, sizeof(prefix));
    sb_add(&c->out, message, n);
}

/* False: this is not our protocol. */
static bool control_input(struct streams *s, struct stream *c, uint64_t now)
{
    size_t at = 0;

    while (c->in.len - at >= NODE_STREAM_PREFIX) {
        size_t n = roce_get32((uint8_t *)c->in.s + at);

        if (n < NODE_MIN || n > NODE_DATAGRAM_MAX)
            return false;
        if (c->in.len - at - NODE_STREAM_PREFIX < n)
            break;
        at += NODE_STREAM_PREFIX;
        add_message(
            c, s->reply,
            control_request(s->control, &c->from, now, (uint8_t *)c->in.s + at, n, s->reply));
        at += n;
    }
    memmove(c->in.s, c->in.s + at, c->in.len - at);
    c->in.len -= at;
    return true;
}

static bool metrics_input(struct streams *s, struct stream *c)
{
    struct strbuf body = {0};
    const char *status = "200 OK";

    if (!memmem(c->in.s, c->in.len, "\r\n\r\n", 4) && !memmem(c->in.s, c->in.len, "\n\n", 2))
        return c->in.len <= HTTP_MAX;
    if (strncmp(c->in.s, "GET ", 4) != 0)
        status = "405 Method Not Allowed";
    else if (strncmp(c->in.s + 4, "/metrics", 8) != 0 || (c->in.s[12] != ' ' && c->in.s[12] != '?'))
        status = "404 Not Found";
    else
        s->metrics(s->ctx, &body);
    if (!body.len)
        sb_addf(&body, "%s: GET /metrics\n", status);
    sb_addf(&c->out,
            "HTTP/1.0 %s\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %zu\r\n"
            "Connection: close\r\n\r\n",
            status, body.len);
    sb_add(&c->out, body.s, body.len);
    free(body.s);
    c->in.len = 0;
    c->closing = true;
    return true;
}

static void input(struct streams *s, struct stream *c, uint64_t now)
{
    char buffer[READ];
    ssize_t n = recv(c->fd, buffer, sizeof(buffer), 0);
    bool good;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || c->closing) { /* nothing more is expected after an answer by HTTP */
        if (n <= 0)
            stream_close(c);
        return;
    }
    c->heard = now;
    sb_add(&c->in, buffer, n);
    good = c->kind == STREAM_CONTROL ? control_input(s, c, now) : metrics_input(s, c);
    if (good)
        flush(s, c);
    else
        stream_close(c);
}

void streams_work(struct streams *s, uint64_t now)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(s->fd, events, EVENTS, 0);

    for (int i = 0; i < n; i++) {
        struct stream *c = &s->stream[events[i].data.u32];

        if (c->kind == STREAM_CONTROL_LISTENER)
            accept_all(s, STREAM_CONTROL, c->fd, now);
        else if (c->kind == STREAM_METRICS_LISTENER)
            accept_all(s, STREAM_METRICS, c->fd, now);
        else if (c->kind != STREAM_FREE && (!(events[i].events & EPOLLOUT) || flush(s, c)) &&
                 events[i].events & ~EPOLLOUT)
            input(s, c, now);
    }
}

void streams_send(struct streams *s, uint64_t number, const uint8_t *message, size_t n)
{
    for (unsigned i = 0; i < ARRAY_LEN(s->stream); i++) {
        struct stream *c = &s->stream[i];

        if (c->kind == STREAM_CONTROL && c->number == number) {
            add_message(c, message, n);
            flush(s, c);
            return;
        }
    }
}

void streams_close(struct streams *s)
{
    for (unsigned i = 0; i < ARRAY_LEN(s->stream); i++)
        if (s->stream[i].kind != STREAM_FREE)
            stream_close(&s->stream[i]);
    close(s->fd);
    if (s->path)
        unlink(s->path);
    free(s->path);
}
