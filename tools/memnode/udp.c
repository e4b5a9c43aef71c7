/*
 * RoCEv2 over a UDP socket of this host: no privileges, no device. See transport.h; called by
 * node.c.
 *
 * The ICRC covers the IP header, which a socket does not show. Ours has identification 0 and DF:
 * that is what Linux sends from a socket that is not connected and has IP_PMTUDISC_DO (RFC 6864
 * §4.1 leaves the field free then). A client is supposed to do the same; wire.h says who does not.
 * The local address, which it covers too, is known by IP_PKTINFO, and the UDP checksum is left out
 * (SO_NO_CHECK), as RoCEv2 does.
 */
#define _GNU_SOURCE
#include "transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SEND_MAX = 128, SOCKET_BUFFER = 8 << 20 };

struct message {
    struct sockaddr_in peer;
    struct iovec iov;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in_pktinfo))];
    uint8_t data[TRANSPORT_PACKET];
};

struct udp {
    struct transport t;
    int fd;
    uint16_t port;
    struct message in[TRANSPORT_BURST], out[SEND_MAX];
    struct mmsghdr in_headers[TRANSPORT_BURST], out_headers[SEND_MAX];
    unsigned first_out, nr_out; /* a ring */
    bool watching;              /* for room in the socket */
};

/* The transport's descriptor is an epoll set, so that nobody else need know what it waits for. */
static void watch(struct udp *u, bool room)
{
    struct epoll_event ev = {.events = EPOLLIN | (room ? EPOLLOUT : 0)};

    if (room == u->watching)
        return;
    u->watching = room;
    if (epoll_ctl(u->t.fd, EPOLL_CTL_MOD, u->fd, &ev) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void header_init(struct mmsghdr *h, struct message *m)
{
    m->iov = (struct iovec){m->data + ROCE_FRONT, TRANSPORT_PACKET - ROCE_FRONT};
    *h = (struct mmsghdr){.msg_hdr = {.msg_name = &m->peer,
                                      .msg_namelen = sizeof(m->peer),
                                      .msg_iov = &m->iov,
                                      .msg_iovlen = 1,
                                      .msg_control = m->control,
                                      .msg_controllen = sizeof(m->control)}};
}

static const struct in_pktinfo *packet_info(struct msghdr *h)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
            return (const struct in_pktinfo *)CMSG_DATA(c);
    return NULL;
}

static unsigned udp_receive(struct transport *t, struct packet *burst)
{
    struct udp *u = (struct udp *)t;
    unsigned nr = 0;
    int n;

    for (unsigned i = 0; i < TRANSPORT_BURST; i++)
        header_init(&u->in_headers[i], &u->in[i]);
    n = recvmmsg(u->fd, u->in_headers, TRANSPORT_BURST, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        struct msghdr *h = &u->in_headers[i].msg_hdr;
        const struct in_pktinfo *info = packet_info(h);
        size_t len = u->in_headers[i].msg_len;
        struct roce_path path = {.ttl = 64};
        uint8_t *ip = u->in[i].data + ROCE_ETH;

        if (h->msg_flags & MSG_TRUNC || !info) {
            t->counts.lost_in++;
            continue;
        }
        path.src_ip = ntohl(u->in[i].peer.sin_addr.s_addr);
        path.src_port = ntohs(u->in[i].peer.sin_port);
        path.dst_ip = ntohl(info->ipi_addr.s_addr);
        roce_build_ip_udp(ip, &path, len);
        roce_put16(ip + ROCE_IP4 + 2, u->port);
        burst[nr++] = (struct packet){u->in[i].data, ROCE_FRONT + len, 0};
        t->counts.packets_in++;
        t->counts.bytes_in += len;
    }
    return nr;
}

static void udp_flush(struct transport *t)
{
    struct udp *u = (struct udp *)t;

    while (u->nr_out) {
        unsigned whole = SEND_MAX - u->first_out;
        int n = sendmmsg(u->fd, u->out_headers + u->first_out,
                         u->nr_out < whole ? u->nr_out : whole, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;    /* the rest next time */
        if (n <= 0) { /* one that is too long, or to nowhere */
            t->counts.lost_out++;
            t->counts.packets_out--;
            n = 1;
        }
        u->first_out = (u->first_out + n) % SEND_MAX;
        u->nr_out -= n;
    }
    watch(u, u->nr_out > 0);
}

static uint8_t *udp_room(struct transport *t, unsigned link)
{
    struct udp *u = (struct udp *)t;

    (void)link;
    if (u->nr_out == SEND_MAX)
        udp_flush(t);
    return u->nr_out == SEND_MAX ? NULL : u->out[(u->first_out + u->nr_out) % SEND_MAX].data;
}

static void udp_send(struct transport *t, unsigned link, size_t len)
{
    struct udp *u = (struct udp *)t;
    unsigned i = (u->first_out + u->nr_out++) % SEND_MAX;
    struct message *m = &u->out[i];
    uint8_t *ip = m->data + ROCE_ETH;
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(roce_get32(ip + 12))};
    struct cmsghdr *c;

    (void)link;
    header_init(&u->out_headers[i], m);
    m->iov.iov_len = len - ROCE_FRONT;
    m->peer = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(roce_get32(ip + 16)),
                                   .sin_port = htons(roce_get16(ip + ROCE_IP4 + 2))};
    c = CMSG_FIRSTHDR(&u->out_headers[i].msg_hdr);
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(info));
    memcpy(CMSG_DATA(c), &info, sizeof(info));
    t->counts.packets_out++;
    t->counts.bytes_out += len - ROCE_FRONT;
}

/* As the host's routes say. */
static unsigned udp_path_mtu(struct transport *t, uint32_t address)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(address), .sin_port = htons(ROCE_UDP_PORT)};
    int mtu = 0, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(mtu);

    (void)t;
    if (fd < 0)
        return 0;
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
        getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &len) < 0)
        mtu = 0;
    close(fd);
    return mtu;
}

static void udp_close(struct transport *t)
{
    struct udp *u = (struct udp *)t;

    udp_flush(t);
    close(u->fd);
    close(t->fd);
    free(u);
}

static const struct transport_ops udp_ops = {
    .name = "udp",
    .receive = udp_receive,
    .room = udp_room,
    .send = udp_send,
    .flush = udp_flush,
    .path_mtu = udp_path_mtu,
    .close = udp_close,
};

static void option(int fd, int level, int name, int value)
{
    if (setsockopt(fd, level, name, &value, sizeof(value)) < 0)
        die("setsockopt %d, %d: %s", level, name, strerror(errno));
}

struct transport *transport_udp(uint32_t listen, uint16_t port)
{
    struct udp *u = xcalloc(1, sizeof(*u));
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(listen), .sin_port = htons(port)};
    struct epoll_event ev = {.events = EPOLLIN};
    int large = SOCKET_BUFFER;

    u->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    u->t.fd = epoll_create1(EPOLL_CLOEXEC);
    if (u->fd < 0 || u->t.fd < 0)
        die("socket: %s", strerror(errno));
    option(u->fd, IPPROTO_IP, IP_PKTINFO, 1);
    option(u->fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
    option(u->fd, SOL_SOCKET, SO_NO_CHECK, 1);
    /* As large as the host allows: the first is for those who may ignore its limits. */
    if (setsockopt(u->fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large)) < 0)
        option(u->fd, SOL_SOCKET, SO_RCVBUF, large);
    if (setsockopt(u->fd, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large)) < 0)
        option(u->fd, SOL_SOCKET, SO_SNDBUF, large);
    if (bind(u->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        die("RoCE on UDP port %u: %s%s", port, strerror(errno),
            errno == EADDRINUSE ? " (another node, or the kernel's own rdma_rxe?)" : "");
    if (epoll_ctl(u->t.fd, EPOLL_CTL_ADD, u->fd, &ev) < 0)
        die("epoll_ctl: %s", strerror(errno));
    u->t.ops = &udp_ops;
    u->t.address = listen == INADDR_ANY ? 0 : listen;
    u->port = port;
    return &u->t;
}
