/*
 * The application of tests/fuzz/fuzz_net.c: socket calls, as the system calls' code makes them. A
 * call may be interrupted by further commands (in.may_sleep): see others() in fuzz_net.c.
 */
#include "fuzz_net.h"

#include "fs/iov.h"

#include <linux/tcp.h>

#define DATA_ROOM 70000u

static struct socket *socks[SOCKS];
static uint8_t app_data[DATA_ROOM];

static struct socket **pick(uint8_t c)
{
    return &socks[(c & 15) % SOCKS];
}

void app_open(void)
{
    uint8_t c = in_u8(), kind = in_u8();
    struct socket **s = pick(c), *fresh = NULL;
    int family = kind & 1 ? AF_INET6 : AF_INET, type, protocol = 0;
    if (*s != NULL)
        return;
    switch (kind >> 1 & 3) {
    case 0:
        type = SOCK_STREAM;
        break;
    case 1:
        type = SOCK_DGRAM;
        break;
    case 2:
        type = SOCK_DGRAM;
        protocol = family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
        break;
    default:
        type = SOCK_RAW;
        protocol = kind >> 3;
    }
    int r = type == SOCK_STREAM ? inet_tcp_create(family, &fresh)
                                : inet_dgram_create(family, type, protocol, &fresh);
    if (r == 0) {
        if (kind & 0x80)
            fresh->file.flags |= O_NONBLOCK;
        *s = fresh;
    }
}

/* A reference for the call, as the system calls take one: the socket may be closed meanwhile. */
static struct socket *hold(uint8_t c)
{
    struct socket *s = *pick(c);
    if (s != NULL)
        file_get(&s->file);
    return s;
}

static void bind_or_connect(bool connect)
{
    uint8_t c = in_u8(), addr = in_u8(), port = in_u8();
    struct sock_addr a;
    struct socket *s = hold(c);
    if (s == NULL)
        return;
    pick_addr(&a, addr, port_of[port & 7], s->family);
    if (port & 8)
        a.len = port >> 4;
    in.may_sleep = connect ? port : 0;
    if (connect)
        s->ops->connect(s, &a);
    else
        s->ops->bind(s, &a);
    file_put(&s->file);
}

void app_bind(void)
{
    bind_or_connect(false);
}

void app_connect(void)
{
    bind_or_connect(true);
}

void app_listen(void)
{
    uint8_t c = in_u8();
    struct socket *s = *pick(c);
    if (s != NULL && s->ops->listen != NULL)
        s->ops->listen(s, c >> 4);
}

void app_accept(void)
{
    uint8_t c = in_u8(), to = in_u8();
    struct socket *s = hold(c), *fresh = NULL;
    if (s == NULL)
        return;
    in.may_sleep = c >> 4;
    if (s->ops->accept != NULL && s->ops->accept(s, &fresh, c & 0x80 ? 0 : O_NONBLOCK) == 0) {
        if (*pick(to) == NULL)
            *pick(to) = fresh;
        else
            file_put(&fresh->file);
    }
    file_put(&s->file);
}

/* ---- recvmmsg() and sendmmsg() ---- */

#define MANY      5u
#define MANY_ROOM 2048u

struct many {
    struct mmsghdr u[MANY];
    struct iovec iov[MANY];
    struct sock_addr name[MANY];
};

/* Messages for app_data, most of them plain ones: what is not is up to odd. */
static void make_many(struct many *g, size_t len, uint8_t odd)
{
    for (unsigned i = 0; i < MANY; i++) {
        g->iov[i] = (struct iovec){app_data + i * MANY_ROOM, MIN(len + i, (size_t)MANY_ROOM)};
        g->u[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &g->name[i].bytes,
                                               .msg_namelen = 16,
                                               .msg_iov = &g->iov[i],
                                               .msg_iovlen = 1},
                                   .msg_len = 0xffff};
    }
    struct mmsghdr *u = &g->u[odd % MANY];
    switch (odd >> 4) {
    case 1:
        u->msg_hdr.msg_name = NULL;
        break;
    case 2:
        u->msg_hdr.msg_namelen = odd;
        break;
    case 3:
        u->msg_hdr.msg_iovlen = 0;
        break;
    case 4:
        u->msg_hdr.msg_iov = (struct iovec *)-8l;
        break;
    case 5:
        u->msg_hdr.msg_iov->iov_base = (void *)-1l;
        break;
    case 6:
        u->msg_hdr.msg_iov->iov_len = (size_t)-1;
        break;
    case 7:
        u->msg_hdr.msg_controllen = 1;
        break;
    default:
        break;
    }
}

static void send_many(struct socket *s, const struct sock_addr *to, size_t len, unsigned flags)
{
    struct many g;
    make_many(&g, len, in_u8());
    for (unsigned i = 0; i < MANY; i++)
        g.name[i] = *to;
    unsigned n = s->ops->send_many(s, g.u, MANY, flags & MSG_DONTWAIT);
    assert(n <= MANY);
    for (unsigned i = 0; i < MANY; i++)
        assert(g.u[i].msg_len == (i < n ? g.iov[i].iov_len : 0xffff));
    s->ops->flush(s);
}

static void receive_many(struct socket *s, size_t len, unsigned flags)
{
    struct many g;
    unsigned n = MANY;
    make_many(&g, len, in_u8());
    int r = s->ops->receive_many(s, g.u, MANY, flags & (MSG_DONTWAIT | MSG_PEEK), &n);
    assert(n <= MANY && r <= 0);
    for (unsigned i = 0; i < n; i++)
        assert(g.u[i].msg_len <= g.iov[i].iov_len);
}

void app_send(bool big)
{
    uint8_t c = in_u8(), flags = in_u8(), addr = in_u8();
    size_t n = big ? in_u16() : in_u8();
    struct socket *s = hold(c);
    uint8_t control[64];
    struct sock_addr a;
    if (s == NULL)
        return;
    pick_addr(&a, addr, port_of[flags >> 5], s->family);
    struct iovec iov[2] = {{app_data, n}, {app_data, 0}};
    if (flags & 0x10) {
        iov[0].iov_len = n / 3;
        iov[1].iov_len = n - n / 3;
    }
    struct iov_iter it;
    iov_iter_init(&it, iov, flags & 0x10 ? 2 : 1, n, false);
    struct sock_msg m = {.it = &it, .addr = flags & 1 ? &a : NULL};
    if (flags & 2) {
        struct cmsghdr *h = (struct cmsghdr *)control;
        memset(control, 0, sizeof(control));
        h->cmsg_len = CMSG_LEN(sizeof(struct in6_pktinfo));
        h->cmsg_level = in_u8() & 1 ? SOL_IP : SOL_IPV6;
        h->cmsg_type = in_u8();
        for (unsigned i = 0; i < sizeof(struct in6_pktinfo); i++)
            ((uint8_t *)CMSG_DATA(h))[i] = in_u8();
        m.control = control;
        m.control_len = CMSG_SPACE(sizeof(struct in6_pktinfo));
    }
    m.flags = (flags & 4 ? MSG_MORE : 0) | (flags & 8 ? 0 : MSG_DONTWAIT);
    in.may_sleep = c >> 4;
    memset(app_data, c, n);
    if (c & 0x80 && s->ops->send_many != NULL)
        send_many(s, &a, n, m.flags);
    else
        s->ops->sendmsg(s, &m);
    file_put(&s->file);
}

void app_receive(void)
{
    uint8_t c = in_u8(), flags = in_u8(), size = in_u8();
    struct socket *s = hold(c);
    uint8_t control[256];
    struct sock_addr a;
    if (s == NULL)
        return;
    size_t n = size & 0x80 ? (size_t)(size & 0x7f) * 512 : size;
    struct iovec iov = {app_data, n};
    struct iov_iter it;
    iov_iter_init(&it, &iov, 1, n, false);
    struct sock_msg m = {.it = &it, .addr = flags & 1 ? &a : NULL};
    if (flags & 2) {
        m.control = control;
        m.control_room = flags & 4 ? 24 : sizeof(control);
    }
    m.flags = (flags & 8 ? MSG_PEEK : 0) | (flags & 16 ? MSG_TRUNC : 0) |
              (flags & 32 ? MSG_WAITALL : 0) | (flags & 64 ? 0 : MSG_DONTWAIT);
    in.may_sleep = c >> 4;
    if (flags & 128 && s->ops->receive_many != NULL)
        receive_many(s, n, m.flags);
    else
        s->ops->recvmsg(s, &m);
    file_put(&s->file);
}

void app_shutdown(void)
{
    uint8_t c = in_u8();
    struct socket *s = hold(c);
    if (s == NULL)
        return;
    s->ops->shutdown(s, (c >> 4) % 3);
    file_put(&s->file);
}

void app_close(uint8_t c)
{
    struct socket *s = *pick(c);
    if (s == NULL)
        return;
    *pick(c) = NULL;
    in.may_sleep = c >> 4;
    file_put(&s->file);
}

static int pick_level(uint8_t c)
{
    static const int levels[8] = {SOL_SOCKET, SOL_IP,  SOL_IPV6,   SOL_TCP,
                                  SOL_UDP,    SOL_RAW, SOL_ICMPV6, 0};
    return levels[c & 7];
}

void app_set_option(void)
{
    uint8_t c = in_u8(), level = in_u8(), name = in_u8(), len = in_u8() % 65, val[64];
    struct socket *s = hold(c);
    if (s == NULL)
        return;
    for (unsigned i = 0; i < sizeof(val); i++)
        val[i] = i < len ? in_u8() : 0;
    if (level & 8) { /* a group, most of the time */
        uint32_t group = pick_ip4(5);
        memcpy(val, &group, 4);
    } else if (level & 16) {
        memcpy(val, pick_ip6(7), 16);
    }
    in.may_sleep = 0;
    int r = s->ops->setsockopt(s, pick_level(level), name, val, len);
    if (r == -ENOPROTOOPT && pick_level(level) == SOL_SOCKET)
        socket_generic_setsockopt(s, name, val, len);
    file_put(&s->file);
}

void app_get_option(void)
{
    uint8_t c = in_u8(), level = in_u8(), name = in_u8(), val[512];
    unsigned len = in_u8() * 2u;
    struct socket *s = hold(c);
    struct sock_addr a;
    if (s == NULL)
        return;
    s->ops->getsockopt(s, pick_level(level), name, val, &len);
    s->ops->getname(s, &a, level & 0x80);
    file_put(&s->file);
}

void app_poll(void)
{
    static const unsigned commands[4] = {FIONREAD, SIOCOUTQ, SIOCATMARK, SIOCGIFCONF};
    uint8_t c = in_u8();
    struct socket *s = hold(c);
    uint8_t out[256] = {0};
    if (s == NULL)
        return;
    s->ops->poll(s);
    if (c & 0x10)
        s->ops->ioctl(s, commands[c >> 5 & 3], (uint64_t)out);
    file_put(&s->file);
}
