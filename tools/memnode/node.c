/* See node.h. */
#define _GNU_SOURCE
#include "node.h"

#include "../../kernel/roce/icrc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    ROUNDS = 16,  /* bursts before the loop looks after the others */
    BUDGET = 256, /* packets sent between two bursts that come */
    EVENTS = 8,
    NS_PER_MS = 1000000,
};

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

/* ---- the responder's world ---- */

static uint8_t *env_memory(void *ctx, uint32_t owner, uint32_t rkey, uint64_t va, uint64_t n,
                           unsigned access)
{
    return memory_at(&((struct node *)ctx)->memory, owner, rkey, va, n, access);
}

static uint8_t *env_room(void *ctx, const struct responder_qp *qp)
{
    return net_room(ctx, qp->spec.peer);
}

static void env_send(void *ctx, const struct responder_qp *qp, uint8_t *ip, size_t n)
{
    net_send(ctx, qp->spec.peer, ip, n);
}

static void env_before_write(void *ctx, const uint8_t *at, size_t n)
{
    fault_before_write(&((struct node *)ctx)->fault, at, n);
}

static const uint8_t *env_source(void *ctx, const uint8_t *at, size_t n)
{
    return fault_source(&((struct node *)ctx)->fault, at, n);
}

static bool env_forge(void *ctx, uint8_t *payload, size_t n)
{
    return fault_forge(&((struct node *)ctx)->fault, payload, n);
}

static unsigned path_mtu(void *ctx, uint32_t address)
{
    struct node *n = ctx;
    unsigned ip = n->transport->ops->path_mtu(n->transport, address), mtu = n->o->mtu;

    while (mtu >= ROCE_MTU_MIN && mtu + TRANSPORT_HEADERS > ip)
        mtu /= 2;
    return mtu >= ROCE_MTU_MIN ? mtu : 0;
}

/* ---- control datagrams over a socket ---- */

static int open_udp(const struct memnode_options *o, uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(o->listen), .sin_port = htons(port)};
    int yes = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &yes, sizeof(yes)) < 0 ||
        bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        die("control on UDP port %u: %s", port, strerror(errno));
    return fd;
}

union pktinfo_room {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

static void send_control(struct node *n, const struct origin *to, const uint8_t *message,
                         size_t len)
{
    struct sockaddr_in peer = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(to->address), .sin_port = htons(to->port)};
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(to->local)};
    struct iovec iov = {(void *)message, len};
    union pktinfo_room control = {0};
    struct msghdr h = {.msg_name = &peer,
                       .msg_namelen = sizeof(peer),
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);

    if (n->udp < 0) {
        net_send_control(n, to, message, len);
        return;
    }
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(info));
    memcpy(CMSG_DATA(c), &info, sizeof(info));
    if (sendmsg(n->udp, &h, MSG_DONTWAIT) < 0)
        n->net_count[NET_no_room]++; /* the client asks again */
}

static void udp_input(struct node *n)
{
    uint8_t message[NODE_DATAGRAM_MAX];
    struct sockaddr_in peer;
    struct iovec iov = {message, sizeof(message)};
    union pktinfo_room control;
    struct msghdr h = {.msg_name = &peer, .msg_iov = &iov, .msg_iovlen = 1};
    struct origin from = {0};
    ssize_t got;
    size_t len;

    for (unsigned i = 0; i < ROUNDS; i++) {
        h.msg_namelen = sizeof(peer);
        h.msg_control = &control;
        h.msg_controllen = sizeof(control);
        got = recvmsg(n->udp, &h, MSG_DONTWAIT);
        if (got < 0)
            return;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c))
            if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
                from.local = ntohl(((struct in_pktinfo *)CMSG_DATA(c))->ipi_spec_dst.s_addr);
        from.address = ntohl(peer.sin_addr.s_addr);
        from.port = ntohs(peer.sin_port);
        n->net_count[NET_control]++;
        len = h.msg_flags & MSG_TRUNC
                  ? 0
                  : control_request(&n->control, &from, n->now, message, got, n->reply);
        if (len)
            send_control(n, &from, n->reply, len);
    }
}

/* ---- the end ---- */

static void drain(struct node *n)
{
    uint8_t message[CONTROL_REPLY_MAX];

    if (n->control.draining) {
        n->stop = true;
        return;
    }
    control_drain(&n->control, n->now + (uint64_t)(n->o->drain_s * 1000));
    for (unsigned i = 0; i < n->control.limits.clients; i++) {
        const struct session *s = &n->control.sessions[i];
        size_t len;

        if (s->state != SESSION_LIVE)
            continue;
        len = control_notice(&n->control, s, n->now, message);
        if (s->from.stream)
            streams_send(&n->streams, s->from.stream, message, len);
        else if (s->from.address)
            send_control(n, &s->from, message, len);
    }
    n->transport->ops->flush(n->transport);
}

static void print_stats(struct node *n)
{
    struct strbuf b = {0};

    stats_json(n, &b);
    printf("%s\n", b.s);
    fflush(stdout);
    free(b.s);
}

static void signal_input(struct node *n)
{
    struct signalfd_siginfo s;

    while (read(n->signals, &s, sizeof(s)) == sizeof(s)) {
        if (s.ssi_signo == SIGUSR1)
            print_stats(n);
        else
            drain(n);
    }
}

/* ---- the loop ---- */

static void add_fd(struct node *n, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

    if (fd >= 0 && epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

/* Packets in, packets out. True: there was something to do. */
static bool work(struct node *n)
{
    struct transport *t = n->transport;
    struct packet burst[TRANSPORT_BURST];
    bool ever = false;

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t sent = t->counts.packets_out;
        unsigned got = t->ops->receive(t, burst);

        for (unsigned i = 0; i < got; i++)
            net_input(n, &burst[i]);
        responder_run(&n->responder, BUDGET);
        t->ops->flush(t);
        if (got == 0 && t->counts.packets_out == sent)
            break;
        ever = true;
    }
    return ever;
}

/* ns until something is due, which nothing that comes will tell; 0: at once. */
static uint64_t sleep_ns(struct node *n, uint64_t now)
{
    uint64_t due = control_tick(&n->control, n->now), other;

    due = due > UINT64_MAX / NS_PER_MS ? UINT64_MAX : due * NS_PER_MS;
    if (n->control.draining && n->control.drain_end * NS_PER_MS < due)
        due = n->control.drain_end * NS_PER_MS;
    other = n->transport->ops->deadline ? n->transport->ops->deadline(n->transport) : UINT64_MAX;
    if (other < due)
        due = other;
    return due == UINT64_MAX ? due : due > now ? due - now : 0;
}

void node_run(struct node *n)
{
    uint64_t busy = 0; /* when there was something to do last */

    while (!n->stop) {
        struct epoll_event events[EVENTS];
        struct timespec limit = {0};
        uint64_t now = now_ns(), sleep;
        int got;

        n->now = n->responder.now = now / NS_PER_MS;
        if (work(n))
            busy = now;
        sleep = sleep_ns(n, now);
        if (n->transport->fd < 0 || busy == now || now - busy < n->o->poll_us * UINT64_C(1000))
            sleep = 0;
        limit.tv_sec = sleep / 1000000000;
        limit.tv_nsec = sleep % 1000000000;
        got = epoll_pwait2(n->epoll, events, EVENTS, sleep == UINT64_MAX ? NULL : &limit, NULL);
        if (got < 0 && errno != EINTR)
            die("epoll_pwait2: %s", strerror(errno));
        for (int i = 0; i < got; i++) {
            if (events[i].data.fd == n->signals)
                signal_input(n);
            else if (events[i].data.fd == n->streams.fd)
                streams_work(&n->streams, n->now);
            else if (events[i].data.fd == n->udp)
                udp_input(n);
        }
        if (n->control.draining &&
            (n->now >= n->control.drain_end || control_sessions(&n->control, true) == 0))
            n->stop = true;
    }
    print_stats(n);
}

/* ---- start ---- */

static struct transport *open_transport(struct node *n, const struct memnode_options *o, int argc,
                                        char **argv)
{
    switch (o->transport) {
    case OVER_STREAM:
        return transport_stream(o->path);
    case OVER_DGRAM:
        return transport_dgram(o->path);
    case OVER_VHOST:
        return transport_vhost(o->path, o->huge_pages, argc, argv);
    case OVER_VERBS:
        return transport_verbs(o->device, o->device_port, o->listen, &n->device);
    default:
        return transport_udp(o->listen, o->port);
    }
}

static void add_regions(struct node *n)
{
    struct why why;

    n->memory.quota = n->o->quota;
    for (unsigned i = 0; i < n->o->nr_regions; i++)
        if (!memory_add(&n->memory, &n->o->regions[i], &why))
            die("--region: %s", why.text);
}

static void open_signals(struct node *n)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
        (n->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        die("signalfd: %s", strerror(errno));
}

static char *address_text(uint32_t address)
{
    struct in_addr a = {htonl(address)};

    return inet_ntoa(a);
}

/* What others need to know to find it, for those who start it. */
static void announce(const struct node *n)
{
    const struct memnode_options *o = n->o;
    char *size = human_size(memory_total(&n->memory));

    if (n->streams.path)
        printf("listening: control %s", n->streams.path);
    else
        printf("listening: control %s:%u", address_text(o->control_address), n->control_port);
    printf(", roce %s:%u",
           address_text(n->control.roce_address ? n->control.roce_address : o->listen), o->port);
    if (n->device)
        printf(", device %s", n->device->name);
    else if (o->transport != OVER_UDP)
        printf(", frames %s", o->path);
    printf(", memory %s\n", size);
    fflush(stdout);
    free(size);
}

void node_open(struct node *n, const struct memnode_options *o, int argc, char **argv)
{
    struct responder_env env = {.ctx = n, .memory = env_memory, .room = env_room, .send = env_send};

    *n = (struct node){.o = o, .udp = -1, .started = now_ns()};
    roce_crc_init();
    roce_crc_choose(now_ns);
    open_signals(n);
    n->transport = open_transport(n, o, argc, argv);
    n->memory.device = n->device;
    add_regions(n);
    if (o->faults) {
        fault_init(&n->fault, &o->fault, o->seed, &n->memory);
        n->transport = transport_faulty(n->transport, &n->fault);
        if (o->fault.stale > 0) {
            env.before_write = env_before_write;
            env.source = env_source;
        }
        if (o->fault.forge > 0)
            env.forge = env_forge;
    }
    responder_init(&n->responder, &env);
    n->control =
        (struct control){.limits = o->limits,
                         .memory = &n->memory,
                         .responder = &n->responder,
                         .device = n->device,
                         .path_mtu = path_mtu,
                         .path_ctx = n,
                         .roce_address = n->transport->ethernet ? o->ip : n->transport->address,
                         .roce_port = o->port,
                         .stats = stats_message,
                         .stats_ctx = n};
    if (!o->key && !n->transport->ethernet && o->listen >> 24 != IN_LOOPBACKNET)
        warn("no --key: whoever reaches this host gets memory of it");
    if (o->key)
        n->control.secret_len = memnode_read_key(o->key, n->control.secret);
    control_init(&n->control);
    streams_init(&n->streams, &n->control, stats_metrics, n);
    n->control_port = o->control_port;
    if (o->control_path)
        streams_listen_path(&n->streams, "--control", o->control_path);
    else
        n->control_port = streams_listen(&n->streams, STREAM_CONTROL_LISTENER, "--control",
                                         o->control_address, o->control_port);
    if (o->metrics_port >= 0)
        streams_listen(&n->streams, STREAM_METRICS_LISTENER, "--metrics", o->metrics_address,
                       o->metrics_port);
    if (!n->transport->ethernet)
        n->udp = open_udp(o, n->control_port);
    n->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (n->epoll < 0)
        die("epoll_create1: %s", strerror(errno));
    add_fd(n, n->signals);
    add_fd(n, n->transport->fd);
    add_fd(n, n->streams.fd);
    add_fd(n, n->udp);
    announce(n);
}

void node_close(struct node *n)
{
    streams_close(&n->streams);
    memory_close(&n->memory); /* before a device that it may be registered with */
    n->transport->ops->close(n->transport);
    responder_close(&n->responder);
    control_close(&n->control);
    if (n->o->faults)
        fault_close(&n->fault);
    if (n->udp >= 0)
        close(n->udp);
    close(n->signals);
    close(n->epoll);
}
