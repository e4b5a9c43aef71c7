// fuzz: kernel/net/netcore.c kernel/net/nettimer.c kernel/net/netdev.c kernel/net/ethif.c kernel/net/lwip_mem.c kernel/net/ip4_fast.c kernel/net/udp_flow.c kernel/net/inet_addr.c kernel/net/inet_dgram.c kernel/net/inet_udp.c kernel/net/inet_raw.c kernel/net/inet_icmp.c kernel/net/inet_opt.c kernel/net/inet_ioctl.c kernel/net/inet_tcp.c kernel/net/inet_tcpio.c kernel/net/inet_tcpopt.c kernel/net/socket.c kernel/net/sockopt.c kernel/sched/timer.c kernel/fs/iov.c tests/fuzz/net_host.c tests/fuzz/net_frames.c
/*
 * The whole network stack, from the device's buffers to the socket calls, under a hostile network
 * and a busy application: no memory error, no failed assertion, and in the end, when all sockets
 * are closed and the interface is gone, as many allocations as at the start.
 *
 * Input: a byte of mode (bit 0 DHCP, bit 1 the peer answers by itself, bit 2 wait for all timers at
 * the end, bits 3-7 what the device can do), then commands of a byte and its operands (enum
 * command). Frames get right lengths and checksums unless an operand says otherwise, and TCP
 * segments numbers near those that are expected, so that most input comes far. Where the kernel may
 * sleep (a copy of application memory, a blocking call), further commands run in the middle of the
 * call.
 */
#include "net_host.h"

#include "fs/iov.h"
#include "net/netbuf.h"
#include "sched/clock.h"

#include <linux/if_ether.h>
#include <linux/tcp.h>

#include "lwip/dhcp.h"
#include "lwip/priv/tcp_priv.h"

#define SOCKS     12u
#define MAX_DEPTH 3u
#define DATA_ROOM 70000u
#define STEPS_MAX 2000u

enum command {
    C_RAW_FRAME,
    C_TCP_SEGMENT,
    C_TCP_SYN,
    C_UDP,
    C_FRAGMENT4,
    C_FRAGMENT6,
    C_ICMP_ERROR,
    C_ARP,
    C_ND,
    C_ANSWER,
    C_TIME,
    C_SOCKET,
    C_BIND,
    C_LISTEN,
    C_ACCEPT,
    C_CONNECT,
    C_SEND,
    C_RECEIVE,
    C_CLOSE,
    C_SHUTDOWN,
    C_SETSOCKOPT,
    C_GETSOCKOPT,
    C_DEVICE,
    C_FAIL,
    C_ADDRESS,
    C_GROUP_QUERY,
    C_EXTENSIONS,
    C_ECHO,
    C_POLL,
    C_POLL_SOCKET,
    C_BAD_FRAME,
    C_SEND_BIG,
    COMMANDS,
};

static struct {
    const uint8_t *p;
    size_t left;
    unsigned depth, steps;
    bool answers;
    uint8_t may_sleep; /* of the call under way: bits of copies and sleeps in which others run */
} in;

static struct socket *socks[SOCKS];
static struct wire frame;
static uint8_t app_data[DATA_ROOM];
static struct netif *eth;

static void step(void);

static uint8_t u8(void)
{
    return in.left ? (in.left--, *in.p++) : 0;
}

static uint16_t u16(void)
{
    uint16_t hi = u8();
    return (uint16_t)(hi << 8 | u8());
}

/* n bytes: as many as there are in the input, then a pattern. */
static void put_input(struct wire *f, size_t n)
{
    size_t k = MIN(n, in.left);
    wire_put(f, in.p, k);
    in.p += k;
    in.left -= k;
    while (k++ < n)
        wire_put8(f, (uint8_t)k);
}

static void put_pattern(struct wire *f, size_t n)
{
    while (n-- > 0)
        wire_put8(f, (uint8_t)n);
}

/* ---- Addresses ---- */

static const uint8_t peer_ip6[16] = {0xfd, [15] = 1}, our_ip6[16] = {0xfd, [15] = 2};
static const uint16_t port_of[8] = {80, 53, 1000, 7000, 68, 0, 40000, 1};

static uint32_t pick_ip4(uint8_t c)
{
    static const uint32_t some[8] = {PEER_IP4,   OUR_IP4,    0x0300000a, 0xff00000a,
                                     0xffffffff, 0x010000e0, 0x0100007f, 0x08080808};
    return (c & 7) == 7 && c & 8 ? (uint32_t)c << 24 | 0x0000000a : some[c & 7];
}

static const uint8_t *pick_ip6(uint8_t c)
{
    static uint8_t a[16];
    static const uint8_t some[8][16] = {
        {0xfd, [15] = 1},    {0xfd, [15] = 2}, {0xfe, 0x80, [15] = 1}, {0},
        {0xff, 2, [15] = 1}, {[15] = 1},       {0xfd, [15] = 9},       {0xff, 2, [13] = 1, 0xff},
    };
    memcpy(a, some[c & 7], 16);
    if ((c & 15) == 8)
        memcpy(a, netif_ip6_addr(eth, 0)->addr, 16);
    else if ((c & 15) == 10)
        memcpy(a + 8, (const uint8_t *)netif_ip6_addr(eth, 0)->addr + 8, 8);
    else if ((c & 15) == 15)
        a[15] = (uint8_t)(c >> 4);
    return a;
}

static void pick_addr(struct sock_addr *a, uint8_t c, uint16_t port, int family)
{
    memset(a, 0, sizeof(*a));
    if (c & 0x80)
        family = family == AF_INET ? AF_INET6 : AF_INET;
    if (c & 0x40)
        family = AF_UNSPEC;
    if (family != AF_INET6) {
        struct sockaddr_in s = {.sin_family = (uint16_t)family, .sin_port = lwip_htons(port)};
        s.sin_addr.s_addr = c & 0x20 ? 0 : pick_ip4(c & 15);
        memcpy(a->bytes, &s, sizeof(s));
        a->len = sizeof(s);
    } else {
        struct sockaddr_in6 s = {.sin6_family = AF_INET6, .sin6_port = lwip_htons(port)};
        if (!(c & 0x20))
            memcpy(&s.sin6_addr, pick_ip6(c & 15), 16);
        if (c & 0x10) {
            uint32_t mapped[4] = {0, 0, PP_HTONL(0xffff), pick_ip4(c & 15)};
            memcpy(&s.sin6_addr, mapped, 16);
        }
        memcpy(a->bytes, &s, sizeof(s));
        a->len = sizeof(s);
    }
}

/* ---- Frames ---- */

static void receive(void)
{
    uint8_t layout = u8();
    host_receive(frame.data, frame.len, layout);
    if (!(layout & 0x40))
        host_poll();
}

static void begin(bool v6, uint8_t src, uint8_t dst, uint8_t proto)
{
    uint8_t s6[16], d6[16];
    if (v6) {
        memcpy(s6, pick_ip6(src), 16);
        memcpy(d6, pick_ip6(dst), 16);
        wire_ip6(&frame, s6, d6, proto);
    } else {
        wire_ip4(&frame, pick_ip4(src), pick_ip4(dst), proto);
    }
}

static struct tcp_pcb *pick_pcb(uint8_t c)
{
    struct tcp_pcb *p = c & 0x80 && tcp_tw_pcbs != NULL ? tcp_tw_pcbs : tcp_active_pcbs;
    for (unsigned i = c & 7; p != NULL && p->next != NULL && i > 0; i--)
        p = p->next;
    return p;
}

static void tcp_segment(void)
{
    uint8_t which = u8(), flags = u8(), seq = u8(), ack = u8(), shape = u8();
    struct tcp_pcb *p = pick_pcb(which);
    if (p == NULL)
        return;
    u32_t s = p->rcv_nxt, a = p->snd_nxt;
    if (seq & 0x80)
        s += (u32_t)(int8_t)(seq << 1) * (shape & 1 ? 700u : 1u);
    if (ack & 0x80)
        a = ack & 0x40 ? p->lastack + (ack & 0x3f) : a + (u32_t)(int8_t)(ack << 2);
    if (p->state == SYN_SENT && !(ack & 0x80))
        a = p->snd_nxt;
    if (IP_IS_V6(&p->remote_ip))
        wire_ip6(&frame, ip_2_ip6(&p->remote_ip)->addr, ip_2_ip6(&p->local_ip)->addr, 6);
    else
        wire_ip4(&frame, ip_2_ip4(&p->remote_ip)->addr, ip_2_ip4(&p->local_ip)->addr, 6);
    unsigned options = (shape >> 1 & 3) * 4u * (1u + (shape >> 6));
    wire_put16(&frame, p->remote_port);
    wire_put16(&frame, p->local_port);
    wire_put32(&frame, s);
    wire_put32(&frame, a);
    wire_put8(&frame, (uint8_t)((5 + options / 4) << 4));
    wire_put8(&frame, flags);
    wire_put16(&frame, shape & 8 ? u16() : 8000);
    wire_put32(&frame, 0);
    put_input(&frame, options);
    if (shape & 0x10)
        put_pattern(&frame, shape & 0x20 ? u16() : u8());
    wire_repair(&frame);
    receive();
}

static void tcp_syn(void)
{
    uint8_t c = u8(), src = u8(), options = u8() % 11;
    begin(c & 1, src & 15, c & 2 ? src >> 4 : (c & 1 ? 1 : 1), 6);
    wire_put16(&frame, (uint16_t)(5000 + (c >> 5)));
    wire_put16(&frame, port_of[c >> 2 & 7]);
    wire_put32(&frame, 0x1000);
    wire_put32(&frame, 0);
    wire_put8(&frame, (uint8_t)((5 + options) << 4));
    wire_put8(&frame, 2);
    wire_put16(&frame, 8000);
    wire_put32(&frame, 0);
    put_input(&frame, options * 4u);
    wire_repair(&frame);
    receive();
}

static void udp(void)
{
    uint8_t c = u8(), addrs = u8();
    begin(c & 1, addrs & 15, addrs >> 4, 17);
    wire_put16(&frame, port_of[c >> 4 & 3]);
    wire_put16(&frame, port_of[c >> 1 & 7]);
    wire_put32(&frame, 0);
    put_pattern(&frame, c & 0x80 ? u16() % 20000u : u8());
    wire_repair(&frame);
    if (c & 0x40 && frame.len > 60)
        frame.data[ETH_HLEN + 20 + 6] = frame.data[ETH_HLEN + 20 + 7] = 0; /* no checksum */
    receive();
}

static void fragment4(void)
{
    uint8_t c = u8(), id = u8();
    uint16_t off = u16();
    begin(false, c & 3, 1, c & 4 ? 17 : c & 8 ? 6 : 1);
    frame.data[ETH_HLEN + 4] = 7;
    frame.data[ETH_HLEN + 5] = id & 3;
    frame.data[ETH_HLEN + 6] = (uint8_t)(off >> 8 & 0x3f);
    frame.data[ETH_HLEN + 7] = (uint8_t)off;
    if (id & 0x80)
        put_input(&frame, u8());
    put_pattern(&frame, (id & 0x40 ? u16() & 0xfff8u : (u8() & 31u) * 8) + (id >> 2 & 7));
    wire_repair(&frame);
    receive();
}

static void fragment6(void)
{
    static const uint8_t protos[4] = {58, 17, 6, 60};
    uint8_t c = u8(), id = u8();
    uint16_t off = u16();
    begin(true, c & 3, 1, c & 4 ? 0 : 44);
    if (c & 4) { /* behind a hop-by-hop header */
        wire_put32(&frame, 0x2c000104);
        wire_put32(&frame, 0);
    }
    wire_put8(&frame, protos[c >> 3 & 3]);
    wire_put8(&frame, 0);
    wire_put16(&frame, off);
    wire_put32(&frame, id & 3);
    if (id & 0x80)
        put_input(&frame, u8());
    put_pattern(&frame, (id & 0x40 ? u16() & 0xfff8u : (u8() & 31u) * 8) + (id >> 2 & 7));
    wire_repair(&frame);
    receive();
}

static const struct host_sent *pick_sent(uint8_t c)
{
    unsigned n = MIN(host_sent_count, HOST_SENT);
    return n == 0 ? NULL : &host_sent[(host_sent_count - 1 - c % n) % HOST_SENT];
}

static void icmp_error(void)
{
    uint8_t c = u8(), type = u8(), code = u8();
    uint16_t mtu = u16();
    const struct host_sent *s = pick_sent(c);
    if (s == NULL || s->len < ETH_HLEN + 20)
        return;
    const uint8_t *ip = s->data + ETH_HLEN;
    size_t quote = MIN(s->len - ETH_HLEN, c & 0x80 ? u8() : 576u);
    uint32_t src = 0;
    if (ip[0] >> 4 == 6) {
        wire_ip6(&frame, peer_ip6, s->len >= 54 ? ip + 8 : our_ip6, 58);
        wire_put8(&frame, type);
    } else {
        memcpy(&src, ip + 12, 4);
        wire_ip4(&frame, PEER_IP4, src, 1);
        wire_put8(&frame, type & 0x80 ? type : (type & 1 ? 3 : type & 2 ? 11 : 12));
    }
    wire_put8(&frame, code);
    wire_put16(&frame, 0);
    wire_put16(&frame, 0);
    wire_put16(&frame, mtu);
    wire_put(&frame, ip, quote);
    wire_repair(&frame);
    receive();
}

static void arp(void)
{
    uint8_t c = u8(), addrs = u8();
    uint32_t from = pick_ip4(addrs & 15), to = pick_ip4(addrs >> 4);
    frame.len = 0;
    wire_put(&frame, c & 1 ? host_dev.mac : (const uint8_t[]){255, 255, 255, 255, 255, 255}, 6);
    wire_put(&frame, peer_mac, 6);
    wire_put16(&frame, ETH_P_ARP);
    wire_put32(&frame, 0x00010800);
    wire_put16(&frame, 0x0604);
    wire_put16(&frame, c >> 1 & 3);
    wire_put(&frame, peer_mac, 6);
    frame.data[frame.len - 1] = c >> 4;
    wire_put(&frame, &from, 4);
    wire_put(&frame, host_dev.mac, 6);
    wire_put(&frame, &to, 4);
    if (c & 8)
        frame.len -= u8() % 28;
    receive();
}

static void nd(void)
{
    uint8_t c = u8(), addrs = u8(), options = u8();
    begin(true, addrs & 15, addrs >> 4, 58);
    wire_put8(&frame, (uint8_t)(130 + (c & 15)));
    wire_put8(&frame, 0);
    wire_put16(&frame, 0);
    put_input(&frame, 4);
    if (c & 0x10)
        wire_put(&frame, pick_ip6(u8()), 16);
    if (c & 0x20)
        wire_put(&frame, pick_ip6(u8()), 16);
    put_input(&frame, options);
    wire_repair(&frame);
    receive();
}

static void group_query(void)
{
    uint8_t c = u8();
    if (c & 1) {
        begin(true, 2, c & 2 ? 4 : 1, 58);
        wire_put32(&frame, 0x82000000);
        wire_put32(&frame, 0x03e80000);
        put_input(&frame, 16);
    } else {
        begin(false, 0, 5, 2);
        wire_put8(&frame, (uint8_t)(0x11 + (c >> 2 & 7)));
        put_input(&frame, 7 + (c >> 5) * 4u);
    }
    wire_repair(&frame);
    receive();
}

/* IPv6 with extension headers, IPv4 with options, before something or nothing. */
static void extensions(void)
{
    static const uint8_t headers[8] = {0, 43, 60, 44, 59, 58, 17, 6};
    uint8_t c = u8(), n = u8();
    if (c & 1) {
        uint8_t next = headers[c >> 1 & 7];
        begin(true, c >> 4 & 3, c & 0x40 ? 4 : 1, next);
        for (unsigned i = 0; i < (n & 3); i++) {
            uint8_t b = u8();
            wire_put8(&frame, headers[b & 7]);
            wire_put8(&frame, b >> 6);
            put_input(&frame, 6 + 8u * (b >> 6));
        }
    } else {
        begin(false, c >> 4 & 3, 1, c & 2 ? 17 : c & 4 ? 6 : 1);
        frame.data[ETH_HLEN] = (uint8_t)(0x45 + (n & 7));
        put_input(&frame, (n & 7) * 4u);
    }
    put_input(&frame, n >> 3);
    wire_repair(&frame);
    receive();
}

static void echo(void)
{
    uint8_t c = u8();
    begin(c & 1, c >> 4, c & 2 ? 4 : 1, c & 1 ? 58 : 1);
    wire_put8(&frame, c & 1 ? (c & 4 ? 129 : 128) : (c & 4 ? 0 : 8));
    wire_put8(&frame, 0);
    wire_put16(&frame, 0);
    wire_put32(&frame, (uint32_t)u16() << 16);
    put_pattern(&frame, c & 8 ? u16() % 9000u : u8());
    wire_repair(&frame);
    receive();
}

static void raw_frame(bool repair)
{
    uint8_t c = u8();
    frame.len = 0;
    put_input(&frame, c & 0x80 ? u16() % 2000u : u8());
    if (frame.len >= ETH_HLEN && c & 1)
        memcpy(frame.data, host_dev.mac, 6);
    if (repair)
        wire_repair(&frame);
    receive();
}

static void answer(uint8_t age, uint8_t choice)
{
    const struct host_sent *s = pick_sent(age);
    if (s != NULL && wire_answer(&frame, s->data, s->len, choice)) {
        host_receive(frame.data, frame.len, 1);
        host_poll();
    }
}

/* ---- Socket calls ---- */

static struct socket **pick(uint8_t c)
{
    return &socks[(c & 15) % SOCKS];
}

static void open_socket(void)
{
    uint8_t c = u8(), kind = u8();
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
    uint8_t c = u8(), addr = u8(), port = u8();
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

static void accept_socket(void)
{
    uint8_t c = u8(), to = u8();
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

static void send_data(bool big)
{
    uint8_t c = u8(), flags = u8(), addr = u8();
    size_t n = big ? u16() : u8();
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
        h->cmsg_level = u8() & 1 ? SOL_IP : SOL_IPV6;
        h->cmsg_type = u8();
        for (unsigned i = 0; i < sizeof(struct in6_pktinfo); i++)
            ((uint8_t *)CMSG_DATA(h))[i] = u8();
        m.control = control;
        m.control_len = CMSG_SPACE(sizeof(struct in6_pktinfo));
    }
    m.flags = (flags & 4 ? MSG_MORE : 0) | (flags & 8 ? 0 : MSG_DONTWAIT);
    in.may_sleep = c >> 4;
    memset(app_data, c, n);
    s->ops->sendmsg(s, &m);
    file_put(&s->file);
}

static void receive_data(void)
{
    uint8_t c = u8(), flags = u8(), size = u8();
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
    s->ops->recvmsg(s, &m);
    file_put(&s->file);
}

static void close_socket(uint8_t c)
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

static void set_option(void)
{
    uint8_t c = u8(), level = u8(), name = u8(), len = u8() % 65, val[64];
    struct socket *s = hold(c);
    if (s == NULL)
        return;
    for (unsigned i = 0; i < sizeof(val); i++)
        val[i] = i < len ? u8() : 0;
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

static void get_option(void)
{
    uint8_t c = u8(), level = u8(), name = u8(), val[512];
    unsigned len = u8() * 2u;
    struct socket *s = hold(c);
    struct sock_addr a;
    if (s == NULL)
        return;
    s->ops->getsockopt(s, pick_level(level), name, val, &len);
    s->ops->getname(s, &a, level & 0x80);
    file_put(&s->file);
}

static void poll_socket(void)
{
    static const unsigned commands[4] = {FIONREAD, SIOCOUTQ, SIOCATMARK, SIOCGIFCONF};
    uint8_t c = u8();
    struct socket *s = hold(c);
    uint8_t out[256] = {0};
    if (s == NULL)
        return;
    s->ops->poll(s);
    if (c & 0x10)
        s->ops->ioctl(s, commands[c >> 5 & 3], (uint64_t)out);
    file_put(&s->file);
}

/* ---- Everything else ---- */

static void device(void)
{
    uint8_t c = u8();
    host_tx_hold = c & 1;
    host_tx_full = (c & 6) == 6;
    host_tx_complete(c >> 4);
    if (c & 8) {
        host_link = !host_link;
        host_dev.link_changed(&host_dev);
    }
}

static void change_address(void)
{
    uint8_t c = u8();
    ip4_addr_t ip = {c & 1 ? OUR_IP4 : 0x0500000a}, mask = {MASK_IP4}, gw = {PEER_IP4};
    switch (c >> 1 & 7) {
    case 0:
        netif_set_addr(eth, &ip, &mask, &gw);
        break;
    case 1:
        netif_set_down(eth);
        netif_set_up(eth);
        break;
    case 2:
        netif_ip6_addr_set_state(eth, (s8_t)(c >> 4 & 3),
                                 c & 0x80 ? IP6_ADDR_INVALID : IP6_ADDR_TENTATIVE);
        break;
    case 3:
        if (netif_dhcp_data(eth) == NULL)
            dhcp_start(eth);
        break;
    case 4:
        if (netif_dhcp_data(eth) != NULL)
            dhcp_release_and_stop(eth);
        break;
    case 5:
        if (netif_dhcp_data(eth) != NULL)
            dhcp_renew(eth);
        break;
    default:
        host_fault = true;
    }
    net_timers_start();
    net_flush();
}

static void pass_time(void)
{
    uint8_t c = u8();
    clock_advance((uint64_t)(c & 0x7f) * (c & 0x80 ? NSEC_PER_SEC / 2 : 5 * NSEC_PER_MSEC));
}

static void step(void)
{
    unsigned sent = host_sent_count;
    in.depth++;
    in.steps++;
    switch (u8() % COMMANDS) {
    case C_RAW_FRAME:
        raw_frame(true);
        break;
    case C_BAD_FRAME:
        raw_frame(false);
        break;
    case C_TCP_SEGMENT:
        tcp_segment();
        break;
    case C_TCP_SYN:
        tcp_syn();
        break;
    case C_UDP:
        udp();
        break;
    case C_FRAGMENT4:
        fragment4();
        break;
    case C_FRAGMENT6:
        fragment6();
        break;
    case C_ICMP_ERROR:
        icmp_error();
        break;
    case C_ARP:
        arp();
        break;
    case C_ND:
        nd();
        break;
    case C_ANSWER: {
        uint8_t c = u8();
        answer(c & 7, u8());
        break;
    }
    case C_TIME:
        pass_time();
        break;
    case C_SOCKET:
        open_socket();
        break;
    case C_BIND:
        bind_or_connect(false);
        break;
    case C_LISTEN: {
        uint8_t c = u8();
        struct socket *s = *pick(c);
        if (s != NULL && s->ops->listen != NULL)
            s->ops->listen(s, c >> 4);
        break;
    }
    case C_ACCEPT:
        accept_socket();
        break;
    case C_CONNECT:
        bind_or_connect(true);
        break;
    case C_SEND:
        send_data(false);
        break;
    case C_SEND_BIG:
        send_data(true);
        break;
    case C_RECEIVE:
        receive_data();
        break;
    case C_CLOSE:
        close_socket(u8());
        break;
    case C_SHUTDOWN: {
        uint8_t c = u8();
        struct socket *s = hold(c);
        if (s != NULL) {
            s->ops->shutdown(s, (c >> 4) % 3);
            file_put(&s->file);
        }
        break;
    }
    case C_SETSOCKOPT:
        set_option();
        break;
    case C_GETSOCKOPT:
        get_option();
        break;
    case C_DEVICE:
        device();
        break;
    case C_FAIL:
        host_fail_in = u8();
        break;
    case C_ADDRESS:
        change_address();
        break;
    case C_GROUP_QUERY:
        group_query();
        break;
    case C_EXTENSIONS:
        extensions();
        break;
    case C_ECHO:
        echo();
        break;
    case C_POLL_SOCKET:
        poll_socket();
        break;
    default:
        host_poll();
        net_flush();
    }
    if (in.answers && in.depth == 1) {
        for (unsigned i = 0; i < 4 && sent != host_sent_count; i++) {
            sent = host_sent_count;
            answer(0, 0);
        }
    }
    in.depth--;
}

/* The call under way sleeps: others run. */
static bool others(bool copying)
{
    uint8_t mask = in.may_sleep;
    if (copying && !(mask & 1))
        return true;
    if (in.left == 0 || in.depth >= MAX_DEPTH || in.steps > STEPS_MAX)
        return false;
    unsigned n = 1 + (mask >> 1 & 1);
    in.may_sleep = 0;
    while (n-- > 0 && in.left > 0)
        step();
    if (!copying)
        clock_advance(NSEC_PER_MSEC);
    in.may_sleep = mask;
    return !(mask & 4) || copying;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    static unsigned before;
    host_stack_base = __builtin_frame_address(0);
    if (!ready) {
        ready = true;
        host_sleep = others;
        host_init();
        eth = host_attach(false); /* what is made once, is made now */
        host_detach();
        before = host_allocs;
    }
    if (size < 2 || size > 8192)
        return 0;
    memset(&in, 0, sizeof(in));
    host_forget_all();
    in.p = data;
    in.left = size;
    uint8_t mode = u8();
    host_dev.features = mode >> 3;
    in.answers = mode & 2;
    eth = host_attach(mode & 1);
    while (in.left > 0 && in.steps < STEPS_MAX)
        step();
    host_fail_in = 0;
    for (unsigned i = 0; i < SOCKS; i++)
        close_socket((uint8_t)i);
    if (mode & 4) {
        host_tx_hold = host_tx_full = false;
        clock_advance(130 * NSEC_PER_SEC);
    }
    host_detach();
    if (host_allocs != before) {
        host_leaks();
        panic("%u allocations left over", host_allocs - before);
    }
    return 0;
}
