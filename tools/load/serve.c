/* See serve.h. */
#define _GNU_SOURCE
#include "serve.h"

#include "args.h"
#include "delay.h"
#include "options.h"
#include "serve_proto.h"
#include "worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { NR_EVENTS = 256, READ_MAX = 256 << 10, BURST = 64, BACKLOG = 4096, BODY = 64 };
enum { DATAGRAM_BUFFER = 4 << 20 };

#define S UINT64_C(1000000000)

struct options {
    const struct null_proto *proto;
    struct null_options null;
    uint16_t port;
    struct in_addr bind;
    struct delay delay;
    struct stalls stalls;
    unsigned wrong; /* every so many answers are; 0: none */
    bool mute;
    uint64_t seed;
    unsigned body_size;
};

struct client {
    int fd;
    bool listener, udp, closing;
    struct strbuf in, out;
    size_t out_at;
    uint64_t last_due;
    unsigned held; /* answers in the heap */
    bool gone;     /* closed, but held answers still point here */
};

/* An answer that waits for its time. */
struct held {
    uint64_t due, order;
    struct client *client;
    struct sockaddr_in to; /* datagrams */
    char *bytes;
    size_t n;
    bool close;
};

static struct {
    struct options o;
    struct rng rng;
    int epoll;
    struct held *heap; /* heap[0] is due first */
    size_t nr_held, room;
    uint64_t order, answers;
    uint64_t epoch; /* the first request's time; 0: none has come */
    uint8_t *buffer;
} s;

/* ---- held answers ---- */

static bool before(const struct held *a, const struct held *b)
{
    return a->due < b->due || (a->due == b->due && a->order < b->order);
}

static void hold(struct held h)
{
    size_t i = s.nr_held++;

    if (s.nr_held > s.room) {
        s.room = s.room ? 2 * s.room : 1024;
        s.heap = xrealloc(s.heap, s.room * sizeof(h));
    }
    for (; i && before(&h, &s.heap[(i - 1) / 2]); i = (i - 1) / 2)
        s.heap[i] = s.heap[(i - 1) / 2];
    s.heap[i] = h;
}

static struct held release(void)
{
    struct held first = s.heap[0], last = s.heap[--s.nr_held];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < s.nr_held) {
        if (child + 1 < s.nr_held && before(&s.heap[child + 1], &s.heap[child]))
            child++;
        if (!before(&s.heap[child], &last))
            break;
        s.heap[i] = s.heap[child];
        i = child;
    }
    s.heap[i] = last;
    return first;
}

/* ---- clients ---- */

static void client_close(struct client *c)
{
    if (!c->gone)
        close(c->fd);
    c->gone = true;
    if (c->held)
        return;
    free(c->in.s);
    free(c->out.s);
    free(c);
}

/* False if the client is no more. */
static bool client_flush(struct client *c)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    bool waited = c->out_at > 0;

    while (c->out_at < c->out.len) {
        ssize_t n = send(c->fd, c->out.s + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            ev.events |= EPOLLOUT;
            epoll_ctl(s.epoll, EPOLL_CTL_MOD, c->fd, &ev);
            return true;
        }
        if (n < 0) {
            client_close(c);
            return false;
        }
        c->out_at += n;
    }
    c->out.len = c->out_at = 0;
    if (waited)
        epoll_ctl(s.epoll, EPOLL_CTL_MOD, c->fd, &ev);
    if (c->closing && !c->held) {
        client_close(c);
        return false;
    }
    return true;
}

/* ---- answers ---- */

static bool is_wrong(void)
{
    return s.o.wrong && ++s.answers % s.o.wrong == 0;
}

static void answer_later(struct client *c, const struct sockaddr_in *to, struct strbuf *out,
                         bool close)
{
    struct held h = {.due = clock_ns() + delay_next(&s.o.delay, &s.rng),
                     .order = s.order++,
                     .client = c,
                     .close = close,
                     .n = out->len};

    if (to) {
        h.to = *to;
    } else if (h.due < c->last_due) {
        h.due = c->last_due; /* a stream's answers keep their order */
    }
    c->last_due = h.due;
    h.bytes = xmalloc(out->len);
    memcpy(h.bytes, out->s, out->len);
    out->len = 0;
    c->held++;
    hold(h);
}

static void send_due(uint64_t now)
{
    while (s.nr_held && s.heap[0].due <= now) {
        struct held h = release();
        struct client *c = h.client;

        c->held--;
        if (c->gone) {
            client_close(c);
        } else if (c->udp) {
            sendto(c->fd, h.bytes, h.n, 0, (struct sockaddr *)&h.to, sizeof(h.to));
        } else {
            sb_add(&c->out, h.bytes, h.n);
            c->closing |= h.close;
            client_flush(c);
        }
        free(h.bytes);
    }
}

static void stream_requests(struct client *c)
{
    struct strbuf held = {0};
    size_t at = 0;

    while (at < c->in.len) {
        bool close = false, later = s.o.delay.kind != DELAY_NONE;
        ssize_t n = s.o.proto->answer(&s.o.null, false, (uint8_t *)c->in.s + at, c->in.len - at,
                                      false, &held, &close);

        if (n == 0)
            break;
        if (n > 0 && is_wrong()) { /* counted only once the request is whole */
            held.len = 0;
            s.o.proto->answer(&s.o.null, false, (uint8_t *)c->in.s + at, c->in.len - at, true,
                              &held, &close);
        }
        if (n == NULL_BROKEN) {
            free(held.s);
            client_close(c);
            return;
        }
        at += n;
        if (s.o.mute) {
            held.len = 0;
        } else if (later) {
            answer_later(c, NULL, &held, close);
        } else {
            sb_add(&c->out, held.s, held.len);
            held.len = 0;
            c->closing |= close;
        }
    }
    free(held.s);
    memmove(c->in.s, c->in.s + at, c->in.len - at);
    c->in.len -= at;
    client_flush(c);
}

static void stream_read(struct client *c)
{
    ssize_t n = recv(c->fd, s.buffer, READ_MAX, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_close(c);
        return;
    }
    sb_add(&c->in, s.buffer, n);
    stream_requests(c);
}

static void datagrams_read(struct client *c)
{
    static struct strbuf out;

    for (int i = 0; i < BURST; i++) {
        struct sockaddr_in from;
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(c->fd, s.buffer, READ_MAX, 0, (struct sockaddr *)&from, &len);
        bool close;

        if (n < 0)
            return;
        out.len = 0;
        if (s.o.mute ||
            s.o.proto->answer(&s.o.null, true, s.buffer, n, is_wrong(), &out, &close) <= 0)
            continue;
        if (s.o.delay.kind != DELAY_NONE)
            answer_later(c, &from, &out, false);
        else
            sendto(c->fd, out.s, out.len, 0, (struct sockaddr *)&from, len);
    }
}

/* ---- sockets ---- */

static void watch(struct client *c)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

    if (epoll_ctl(s.epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        die("epoll_ctl: %m");
}

static void accept_all(struct client *listener)
{
    int one = 1, fd;

    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *c = xcalloc(1, sizeof(*c));

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        c->fd = fd;
        watch(c);
    }
}

static void open_socket(bool udp)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(s.o.port), .sin_addr = s.o.bind};
    socklen_t len = sizeof(a);
    struct client *c = xcalloc(1, sizeof(*c));
    int one = 1, buffer = DATAGRAM_BUFFER;

    c->udp = udp;
    c->listener = !udp;
    c->fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket: %m");
    if (udp) {
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
        setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    } else {
        setsockopt(c->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    }
    if (bind(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0 || (!udp && listen(c->fd, BACKLOG) < 0))
        die("%s port %u of %s: %m", udp ? "UDP" : "TCP", s.o.port, inet_ntoa(s.o.bind));
    getsockname(c->fd, (struct sockaddr *)&a, &len);
    s.o.port = ntohs(a.sin_port); /* the second socket gets the first one's */
    watch(c);
}

/* ---- the loop ---- */

static void stall(void)
{
    uint64_t end = s.epoch ? stalls_end(&s.o.stalls, clock_ns() - s.epoch) : 0;
    struct timespec t;

    if (!end)
        return;
    end += s.epoch;
    t = (struct timespec){.tv_sec = end / S, .tv_nsec = end % S};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static void serve(void)
{
    struct epoll_event ev[NR_EVENTS];

    for (;;) {
        struct timespec t, *wait = NULL;
        uint64_t now = clock_ns();
        int n;

        if (s.nr_held) {
            uint64_t ns = s.heap[0].due > now ? s.heap[0].due - now : 0;

            t = (struct timespec){.tv_sec = ns / S, .tv_nsec = ns % S};
            wait = &t;
        }
        n = epoll_pwait2(s.epoll, ev, NR_EVENTS, wait, NULL);
        if (n < 0 && errno != EINTR)
            die("epoll_pwait2: %m");
        stall();
        send_due(clock_ns());
        for (int i = 0; i < n; i++) {
            struct client *c = ev[i].data.ptr;

            if (c->listener) {
                accept_all(c);
                continue;
            }
            if (!s.epoch)
                s.epoch = clock_ns();
            if (c->udp)
                datagrams_read(c);
            else if (!(ev[i].events & EPOLLOUT) || client_flush(c))
                stream_read(c);
        }
    }
}

/* ---- options ---- */

static void set_port(void *p, const char *n, const char *v)
{
    ((struct options *)p)->port = arg_number(n, v, 0, 65535);
}

static void set_bind(void *p, const char *n, const char *v)
{
    if (inet_pton(AF_INET, v, &((struct options *)p)->bind) != 1)
        die("--%s %s: not an IPv4 address", n, v);
}

static void set_delay(void *p, const char *n, const char *v)
{
    struct why w;

    if (!delay_parse(&((struct options *)p)->delay, v, &w))
        die("--%s %s", n, w.text);
}

static void set_stall(void *p, const char *n, const char *v)
{
    struct why w;

    if (!stalls_parse(&((struct options *)p)->stalls, v, &w))
        die("--%s %s", n, w.text);
}

static void set_wrong(void *p, const char *n, const char *v)
{
    ((struct options *)p)->wrong = arg_number(n, v, 1, 1000000000);
}

static void set_mute(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    ((struct options *)p)->mute = true;
}

static void set_file(void *p, const char *n, const char *v)
{
    struct why w;

    if (!blob_map(&((struct options *)p)->null.body, v, &w))
        die("--%s: %s", n, w.text);
    ((struct options *)p)->body_size = 0;
}

static void set_body_size(void *p, const char *n, const char *v)
{
    ((struct options *)p)->body_size = arg_number(n, v, 1, ANSWER_MAX);
}

static void set_queries(void *p, const char *n, const char *v)
{
    (void)n;
    dns_queries_read(&((struct options *)p)->null.queries, v);
}

static void set_value_size(void *p, const char *n, const char *v)
{
    ((struct options *)p)->null.sizes.size = arg_number(n, v, 1, VALUE_MAX);
}

static void set_value_dist(void *p, const char *n, const char *v)
{
    static const char *const names[] = {"six", NULL};

    arg_one_of(n, v, names);
    ((struct options *)p)->null.sizes.size = 0;
}

static void set_list_length(void *p, const char *n, const char *v)
{
    ((struct options *)p)->null.list_length = arg_number(n, v, 1, 4000);
}

static void set_keys(void *p, const char *n, const char *v)
{
    ((struct options *)p)->null.keys = arg_number(n, v, 1, 100000000000);
}

static void set_seed(void *p, const char *n, const char *v)
{
    ((struct options *)p)->seed = arg_number(n, v, 0, UINT64_MAX);
}

static const struct arg table[] = {
    {"port", "P", "port to listen on (default 0: any; it is printed)", set_port},
    {"bind", "A", "address to listen on (default 127.0.0.1)", set_bind},
    {"delay", "DIST",
     "time before an answer, in us: fixed:US, uniform:FROM-TO, exp:MEAN, or two:A,B,SHARE\n"
     "(B for that share of answers, else A)",
     set_delay},
    {"stall", "AT:LEN,...", "do nothing for LEN ms, AT ms after the first request", set_stall},
    {"wrong", "N", "every Nth answer has wrong content", set_wrong},
    {"mute", NULL, "take requests, never answer", set_mute},
    {"file", "FILE", "http: the body (default 64 bytes)", set_file},
    {"body-size", "BYTES", "http: size of the body", set_body_size},
    {"queries", "FILE", "dns: answer these as they expect (linear search: keep it small)",
     set_queries},
    {"value-size", "BYTES", "redis, memcached, udpkv: as of wherry load (default 100)",
     set_value_size},
    {"value-dist", "six", "as of wherry load", set_value_dist},
    {"list-length", "N", "as of wherry load (default 200)", set_list_length},
    {"keys", "N", "redis: where scans end (default 10000)", set_keys},
    {"seed", "N", "of random delays (default 1)", set_seed},
};

static void help(void)
{
    printf("Usage: wherry load serve http|dns|redis|memcached|udp|udpkv [options]\n\n"
           "A server that does the least work, and prints \"listening on ADDRESS:PORT\" when it "
           "does.\nIt ends by a signal.\n\n");
    args_help(table, ARRAY_LEN(table));
}

int serve_main(int argc, char **argv)
{
    struct rlimit l;
    int words;

    s.o = (struct options){
        .null = {.sizes = {100}, .list_length = 200, .keys = 10000},
        .bind.s_addr = htonl(INADDR_LOOPBACK),
        .seed = 1,
        .body_size = BODY,
    };
    words = args_parse(table, ARRAY_LEN(table), &s.o, argc, argv);
    if (words < 0) {
        help();
        return 0;
    }
    s.o.proto = words == 1 ? null_proto(argv[0]) : NULL;
    if (!s.o.proto)
        die("write wherry load serve http|dns|redis|memcached|udp|udpkv [options]");
    if (s.o.body_size) {
        s.o.null.body = (struct blob){xmalloc(s.o.body_size), s.o.body_size, false};
        value_fill(s.o.null.body.data, s.o.body_size, 0, 0);
    }
    if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
    prctl(PR_SET_TIMERSLACK, 1);
    signal(SIGPIPE, SIG_IGN);
    rng_seed(&s.rng, s.o.seed, 0);
    s.buffer = xmalloc(READ_MAX);
    s.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s.epoll < 0)
        die("epoll_create1: %m");
    if (s.o.proto->tcp)
        open_socket(false);
    if (s.o.proto->udp)
        open_socket(true);
    printf("listening on %s:%u\n", inet_ntoa(s.o.bind), s.o.port);
    fflush(stdout);
    serve();
    return 0;
}
