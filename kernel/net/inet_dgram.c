/*
 * What UDP, raw and ping sockets have in common: the receive queue, names, readiness, options and
 * control messages. Socket operations run in threads and sleep where the man pages say so;
 * dgram_deliver() and dgram_error() run inside lwIP.
 *
 * A received packet waits in the buffer the device wrote, with its IP header in front: sender,
 * destination, TTL and TOS are read from there when somebody asks. A packet that has no such
 * buffer (from ourselves, or reassembled elsewhere) gets one for the header alone, in front of it.
 */
#include "net/inet_dgram.h"

#include "mm/slab.h"
#include "net/ethif.h"
#include "net/plain_msg.h"
#include "sched/clock.h"

#include "lwip/ip.h"
#include "lwip/ip6.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/ip6.h"

#define DGRAM_MAX 65507u

/* ---- The receive queue ---- */

/* Puts the IP header before a packet that has no buffer of ours. */
static struct netbuf *adopt(struct pbuf *p, const u8_t *header)
{
    struct netbuf *b = netbuf_alloc();
    if (b == NULL)
        return NULL;
    size_t hlen = header[0] >> 4 == 6 ? IP6_HLEN : IP_HLEN;
    memcpy((u8_t *)b + NETBUF_HEAD, header, hlen);
    b->data = (uint16_t)(NETBUF_HEAD + hlen);
    b->len = 0;
    b->nbufs = 1;
    b->flags = 0;
    struct pbuf *head = ethif_pbuf(b);
    pbuf_cat(head, p);
    return b;
}

void dgram_deliver(struct dgram_sock *d, struct pbuf *p, uint16_t port, const void *header,
                   const struct netif *netif)
{
    struct socket *s = &d->in.sock;
    struct netbuf *b = (struct netbuf *)p;
    uint32_t charge = netbuf_scarce() ? NETBUF_SIZE * pbuf_clen(p) : DGRAM_CHARGE + p->tot_len;

    if (unlikely(d->rx_shut || d->rx_charge + charge > s->rcvbuf)) {
        net_stats.sock_full++;
        d->drops++;
        pbuf_free(p);
        return;
    }
    if (unlikely(!ethif_is_netbuf(p) || (uintptr_t)header - (uintptr_t)b >= NETBUF_SIZE)) {
        b = adopt(p, header);
        if (b == NULL) {
            net_stats.sock_no_memory++;
            pbuf_free(p);
            return;
        }
        header = (u8_t *)b + NETBUF_HEAD;
    }
    b->l3 = (uint16_t)((uintptr_t)header - (uintptr_t)b);
    b->port = port;
    b->total = charge;
    b->next = NULL;
    dgram_pbuf(b)->if_idx = netif_get_index(netif);
    *d->rx_last = b;
    d->rx_last = &b->next;
    d->rx_charge += charge;
    dgram_wake(d);
}

void dgram_deliver_current(struct dgram_sock *d, struct pbuf *p, uint16_t port)
{
    const void *header = ip_current_is_v6() ? (const void *)ip6_current_header()
                                            : (const void *)ip4_current_header();
    dgram_deliver(d, p, port, header, ip_current_input_netif());
}

void dgram_error(struct dgram_sock *d, int error)
{
    d->in.sock.error = error;
    waitq_wake(&d->in.sock.file.waitq, EPOLLERR | EPOLLIN | EPOLLOUT);
}

/* ---- Receive ---- */

static void packet_addresses(const struct netbuf *b, ip_addr_t *src, ip_addr_t *dst)
{
    const u8_t *h = (const u8_t *)b + b->l3;
    if (h[0] >> 4 == 4) {
        u32_t a;
        memcpy(&a, h + 12, 4);
        ip_addr_set_ip4_u32(src, a);
        if (dst != NULL) {
            memcpy(&a, h + 16, 4);
            ip_addr_set_ip4_u32(dst, a);
        }
        return;
    }
    memset(src, 0, sizeof(*src));
    memcpy(ip_2_ip6(src)->addr, h + 8, 16);
    IP_SET_TYPE(src, IPADDR_TYPE_V6);
    if (ip6_addr_has_scope(ip_2_ip6(src), IP6_UNKNOWN))
        ip6_addr_set_zone(ip_2_ip6(src), ((const struct pbuf *)b->owner)->if_idx);
    if (dst != NULL) {
        memset(dst, 0, sizeof(*dst));
        memcpy(ip_2_ip6(dst)->addr, h + 24, 16);
        IP_SET_TYPE(dst, IPADDR_TYPE_V6);
    }
}

/* The sender for recvfrom; the common case without detours. */
static __always_inline void name_sender(const struct dgram_sock *d, const struct netbuf *b,
                                        struct sock_addr *a)
{
    const u8_t *h = (const u8_t *)b + b->l3;
    if (likely(d->in.sock.family == AF_INET)) {
        uint32_t ip;
        __builtin_memcpy(&ip, h + 12, 4);
        uint64_t lo = AF_INET | (uint64_t)lwip_htons((uint16_t)b->port) << 16 | (uint64_t)ip << 32;
        uint64_t hi = 0;
        __builtin_memcpy(a->bytes, &lo, 8);
        __builtin_memcpy(a->bytes + 8, &hi, 8);
        a->len = 16;
        return;
    }
    ip_addr_t src;
    packet_addresses(b, &src, NULL);
    inet_addr_export(&d->in, a, &src, (uint16_t)b->port);
}

static void put_int_cmsg(struct sock_msg *m, int level, int type, int v)
{
    socket_put_cmsg(m, level, type, &v, sizeof(v));
}

static bool wants_control(const struct dgram_sock *d)
{
    const struct ip_options *o = &d->in.opt;
    return o->recv_pktinfo | o->recv_ttl | o->recv_tos | o->recv_origdst | o->recv_pktinfo6 |
           o->recv_hoplimit | o->recv_tclass | (d->in.sock.timestamp != SOCKTS_NONE);
}

static void add_control(struct dgram_sock *d, struct netbuf *b, struct sock_msg *m)
{
    const struct ip_options *o = &d->in.opt;
    const u8_t *h = (const u8_t *)b + b->l3;
    bool v6 = h[0] >> 4 == 6;
    u8_t index = dgram_pbuf(b)->if_idx;
    ip_addr_t src, dst;
    packet_addresses(b, &src, &dst);

    if (d->in.sock.timestamp != SOCKTS_NONE)
        socket_put_timestamp(&d->in.sock, m, clock_real_ns());
    if (!v6) {
        if (o->recv_pktinfo) {
            struct in_pktinfo i = {.ipi_ifindex = index};
            struct netif *n = net_by_index(index);
            i.ipi_addr.s_addr = ip_2_ip4(&dst)->addr;
            i.ipi_spec_dst.s_addr =
                ip_addr_ismulticast(&dst) || (n && ip4_addr_isbroadcast(ip_2_ip4(&dst), n))
                    ? (n ? netif_ip4_addr(n)->addr : 0)
                    : ip_2_ip4(&dst)->addr;
            socket_put_cmsg(m, SOL_IP, IP_PKTINFO, &i, sizeof(i));
        }
        if (o->recv_ttl)
            put_int_cmsg(m, SOL_IP, IP_TTL, h[8]);
        if (o->recv_tos)
            socket_put_cmsg(m, SOL_IP, IP_TOS, &h[1], 1);
        if (o->recv_origdst) {
            struct sockaddr_in in = {.sin_family = AF_INET,
                                     .sin_port = lwip_htons(d->in.bind_port)};
            in.sin_addr.s_addr = ip_2_ip4(&dst)->addr;
            socket_put_cmsg(m, SOL_IP, IP_ORIGDSTADDR, &in, sizeof(in));
        }
    }
    if (d->in.sock.family != AF_INET6)
        return;
    if (o->recv_pktinfo6) {
        struct in6_pktinfo i = {.ipi6_ifindex = index};
        if (v6) {
            memcpy(&i.ipi6_addr, h + 24, 16);
        } else {
            u32_t mapped[4] = {0, 0, PP_HTONL(0xffff), ip_2_ip4(&dst)->addr};
            memcpy(&i.ipi6_addr, mapped, 16);
        }
        socket_put_cmsg(m, SOL_IPV6, IPV6_PKTINFO, &i, sizeof(i));
    }
    if (o->recv_hoplimit && v6)
        put_int_cmsg(m, SOL_IPV6, IPV6_HOPLIMIT, h[7]);
    if (o->recv_tclass && v6)
        put_int_cmsg(m, SOL_IPV6, IPV6_TCLASS, (h[0] << 4 | h[1] >> 4) & 0xff);
}

/* Waits for a packet: 0 when there is one, 1 at the end of what can come. */
static int wait_packet(struct dgram_sock *d, struct sock_msg *m)
{
    struct socket *s = &d->in.sock;
    bool polled = false;
    uint64_t deadline = 0;

    while (d->rx_first == NULL) {
        if (s->error != 0)
            return socket_take_error(s);
        if (d->rx_shut)
            return 1;
        if (!polled) { /* what is in the ring already needs no sleep; it may be others', though */
            polled = true;
            deadline = socket_deadline(s->rcvtimeo, m->flags, s);
            pollers_run();
            continue;
        }
        if (deadline == 0)
            return -EAGAIN;
        int r = waitq_sleep(&s->file.waitq, EPOLLIN | EPOLLERR, deadline);
        if (r < 0)
            return r == -ETIMEDOUT ? -EAGAIN : r;
    }
    return 0;
}

static ssize_t dgram_recvmsg(struct socket *s, struct sock_msg *m)
{
    struct dgram_sock *d = dgram_of(s);
    if (unlikely(m->flags & (MSG_OOB | MSG_ERRQUEUE)))
        return m->flags & MSG_OOB ? -EOPNOTSUPP : -EAGAIN;
    if (unlikely(s->error != 0))
        return socket_take_error(s);
    if (d->rx_first == NULL) {
        int r = wait_packet(d, m);
        if (r != 0)
            return r == 1 ? 0 : r;
    }
    /* From here on the packet is ours: the copy may sleep. */
    struct netbuf *b;
    if (unlikely(m->flags & MSG_PEEK)) {
        b = d->rx_first;
        pbuf_ref(dgram_pbuf(b));
    } else {
        b = dgram_dequeue(d);
    }
    size_t len = dgram_pbuf(b)->tot_len;
    ssize_t ret = (ssize_t)len;
    if (unlikely(m->it->count < len)) {
        m->rflags |= MSG_TRUNC;
        if (!(m->flags & MSG_TRUNC))
            ret = (ssize_t)m->it->count;
    }
    for (struct pbuf *p = dgram_pbuf(b); p != NULL && m->it->count > 0; p = p->next) {
        if (p->len == 0)
            continue;
        size_t n = MIN((size_t)p->len, m->it->count);
        if (unlikely(copy_to_iter(m->it, p->payload, n) != (ssize_t)n)) {
            ret = -EFAULT;
            break;
        }
    }
    if (m->addr != NULL)
        name_sender(d, b, m->addr);
    if (unlikely(m->control != NULL) && wants_control(d))
        add_control(d, b, m);
    ethif_free_netbuf(b);
    return ret;
}

/* A plain message for a packet that fits it, which is the caller's: 0, or -EFAULT. */
static __always_inline int fill_plain(const struct plain_msg *m, struct mmsghdr *u,
                                      const struct netbuf *b, const struct pbuf *p)
{
    const u8_t *h = (const u8_t *)b + b->l3;
    uint64_t *name = m->name;
    u32_t ip;

    if (unlikely(user_copy(m->base, p->payload, p->len) != 0))
        return -EFAULT;
    if (name != NULL) { /* struct sockaddr_in */
        __builtin_memcpy(&ip, h + 12, 4);
        user_store(AF_INET | (uint64_t)lwip_htons((uint16_t)b->port) << 16 | (uint64_t)ip << 32,
                   &name[0], fault);
        user_store(0ul, &name[1], fault);
        if (unlikely(m->name_len != 16))
            user_store(16, &u->msg_hdr.msg_namelen, fault);
    }
    user_store(0u, &u->msg_hdr.msg_flags, fault);
    user_store(0ul, &u->msg_hdr.msg_controllen, fault);
    user_store((unsigned)p->len, &u->msg_len, fault);
    return 0;
fault:
    return -EFAULT;
}

/* Does a call that has got n messages end when there are no more? */
static __always_inline bool may_end(const struct socket *s, unsigned flags, unsigned n)
{
    return flags & MSG_DONTWAIT || (n > 0 && flags & MSG_WAITFORONE) || file_nonblock(&s->file);
}

static int dgram_receive_many(struct socket *s, struct mmsghdr *u, unsigned n, unsigned flags,
                              unsigned *done)
{
    struct dgram_sock *d = dgram_of(s);
    unsigned i = 0;
    int r = 0;

    if (unlikely(flags & ~(unsigned)(MSG_DONTWAIT | MSG_WAITFORONE)))
        n = 0;
    while (i < n) {
        struct plain_msg m;
        struct netbuf *b;
        struct pbuf *p;

        if (unlikely(!plain_msg_load(&m, &u[i].msg_hdr)))
            break;
        if (unlikely(d->rx_first == NULL)) {
            pollers_run();
            if (d->rx_first == NULL) {
                if (may_end(s, flags, i) && s->error == 0 && !d->rx_shut)
                    r = -EAGAIN;
                break;
            }
        }
        b = d->rx_first;
        p = dgram_pbuf(b);
        if (unlikely(p->next != NULL || p->tot_len > m.len || s->error != 0 ||
                     (m.name != NULL && (s->family != AF_INET || (int)m.name_len < 16))))
            break;
        dgram_dequeue(d);
        r = fill_plain(&m, &u[i], b, p);
        ethif_free_netbuf(b);
        if (unlikely(r < 0))
            break;
        i++;
    }
    socket_stats.receives += i;
    *done = i;
    return r;
}

/* ---- Send ---- */

struct pbuf *dgram_fill(struct sock_msg *m, size_t len, pbuf_layer layer, int *err)
{
    struct pbuf *p = pbuf_alloc(layer, (u16_t)len, PBUF_RAM);
    if (unlikely(p == NULL)) {
        *err = -ENOBUFS;
        return NULL;
    }
    if (len > 0 && unlikely(copy_from_iter(m->it, p->payload, len) != (ssize_t)len)) {
        pbuf_free(p);
        *err = -EFAULT;
        return NULL;
    }
    return p;
}

static int parse_control(const struct sock_msg *m, struct dgram_dest *to)
{
    for (struct cmsghdr *c = socket_cmsg_next(m, NULL); c != NULL; c = socket_cmsg_next(m, c)) {
        size_t len = c->cmsg_len - sizeof(*c);
        int v = 0;
        if (len >= sizeof(v))
            memcpy(&v, CMSG_DATA(c), sizeof(v));
        if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo i;
            if (len < sizeof(i))
                return -EINVAL;
            memcpy(&i, CMSG_DATA(c), sizeof(i));
            if (i.ipi_ifindex != 0 && (to->netif = net_by_index((unsigned)i.ipi_ifindex)) == NULL)
                return -ENODEV;
            if (i.ipi_spec_dst.s_addr != 0)
                ip_addr_set_ip4_u32_val(to->src, i.ipi_spec_dst.s_addr);
        } else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo i;
            u32_t w[4];
            if (len < sizeof(i))
                return -EINVAL;
            memcpy(&i, CMSG_DATA(c), sizeof(i));
            memcpy(w, &i.ipi6_addr, sizeof(w));
            if (i.ipi6_ifindex != 0 && (to->netif = net_by_index((unsigned)i.ipi6_ifindex)) == NULL)
                return -ENODEV;
            if (w[0] == 0 && w[1] == 0 && w[2] == PP_HTONL(0xffff)) {
                ip_addr_set_ip4_u32_val(to->src, w[3]);
            } else if ((w[0] | w[1] | w[2] | w[3]) != 0) {
                memset(&to->src, 0, sizeof(to->src));
                memcpy(ip_2_ip6(&to->src)->addr, w, sizeof(w));
                IP_SET_TYPE_VAL(to->src, IPADDR_TYPE_V6);
            }
        } else if ((c->cmsg_level == SOL_IP && c->cmsg_type == IP_TTL) ||
                   (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
            if (len < sizeof(v) || v < 0 || v > 255)
                return -EINVAL;
            to->ttl = (uint8_t)v;
        } else if ((c->cmsg_level == SOL_IP && c->cmsg_type == IP_TOS) ||
                   (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_TCLASS)) {
            if (len < sizeof(v))
                v = len >= 1 ? *(uint8_t *)CMSG_DATA(c) : 0;
            to->tos = (uint8_t)v;
        } else if (c->cmsg_level == SOL_IP || c->cmsg_level == SOL_IPV6 ||
                   c->cmsg_level == SOL_UDP) {
            return -EINVAL;
        }
    }
    return 0;
}

/* The source address for a destination on an interface; NULL if there is none. */
static const ip_addr_t *choose_source(struct netif *netif, const ip_addr_t *dst)
{
    if (IP_IS_V4(dst)) {
        if (ip4_addr_isloopback(ip_2_ip4(dst)))
            return netif_ip_addr4(net_lo);
        return ip4_addr_isany_val(*netif_ip4_addr(netif)) && !net_is_lo(netif)
                   ? NULL
                   : netif_ip_addr4(netif);
    }
    return ip6_select_source_address(netif, ip_2_ip6(dst));
}

int dgram_route(struct dgram_sock *d, const struct sock_msg *m, struct dgram_dest *to)
{
    const struct ip_options *o = &d->in.opt;
    int r;
    if (m->addr != NULL && m->addr->len != 0) {
        r = inet_addr_import(&d->in, m->addr, &to->ip, &to->port, false);
        if (r < 0)
            return r;
        if (ip_addr_isany(&to->ip))
            ip_addr_set_loopback(IP_IS_V6_VAL(to->ip), &to->ip);
    } else if (d->connected) {
        to->ip = d->remote_ip;
        to->port = d->remote_port;
    } else {
        return -EDESTADDRREQ;
    }
    bool multicast = ip_addr_ismulticast(&to->ip);
    u8_t type = IP_GET_TYPE(&to->ip);
    to->netif = NULL;
    to->tos = o->tos;
    if (multicast)
        to->ttl = o->mcast_ttl < 0 ? 1 : (uint8_t)o->mcast_ttl;
    else
        to->ttl = o->ttl < 0 ? IP_DEFAULT_TTL : (uint8_t)o->ttl;
    memset(&to->src, 0, sizeof(to->src));
    IP_SET_TYPE_VAL(to->src, type);
    if (unlikely(m->control_len > 0) && m->control != NULL) {
        r = parse_control(m, to);
        if (r < 0)
            return r;
    }
    if (ip_addr_isany_val(to->src) && IP_GET_TYPE(&d->in.bind_ip) == type &&
        !ip_addr_ismulticast(&d->in.bind_ip))
        to->src = d->in.bind_ip;
    if (to->netif == NULL && d->in.device != 0)
        to->netif = net_by_index(d->in.device);
    if (to->netif == NULL && multicast && o->mcast_if != 0)
        to->netif = net_by_index(o->mcast_if);
    if (to->netif == NULL && o->unicast_if != 0 && !multicast)
        to->netif = net_by_index(o->unicast_if);
    if (to->netif == NULL)
        to->netif = ip_route(&to->src, &to->ip);
    if (to->netif == NULL || !netif_is_up(to->netif))
        return -ENETUNREACH;
    if (IP_IS_V4_VAL(to->ip) && !d->in.sock.broadcast &&
        ip4_addr_isbroadcast(ip_2_ip4(&to->ip), to->netif))
        return -EACCES;
    if (ip_addr_isany_val(to->src)) {
        const ip_addr_t *src = choose_source(to->netif, &to->ip);
        if (src == NULL)
            return -ENETUNREACH;
        to->src = *src;
    } else if (IP_GET_TYPE(&to->src) != type) {
        return -EINVAL;
    }
    return 0;
}

static ssize_t dgram_sendmsg(struct socket *s, struct sock_msg *m)
{
    struct dgram_sock *d = dgram_of(s);
    if (unlikely(m->flags & (MSG_OOB | MSG_ZEROCOPY)))
        return -EOPNOTSUPP;
    if (unlikely(s->error != 0))
        return socket_take_error(s);
    if (unlikely(d->tx_shut))
        return -EPIPE;
    if (unlikely(m->it->count > DGRAM_MAX))
        return -EMSGSIZE;
    ssize_t r = d->kind == DGRAM_UDP ? udp_sock_send(d, m) : raw_sock_send(d, m);
    if (likely(!(m->flags & (MSG_MORE | MSG_BATCH))))
        net_flush();
    return r;
}

static unsigned dgram_send_many(struct socket *s, struct mmsghdr *u, unsigned n, unsigned flags)
{
    struct dgram_sock *d = dgram_of(s);
    bool usual = !(flags & ~(unsigned)(MSG_DONTWAIT | MSG_NOSIGNAL));

    return likely(usual && d->kind == DGRAM_UDP) ? udp_flow_send_many(d, u, n) : 0;
}

static void dgram_flush(struct socket *s)
{
    net_flush();
}

/* ---- Names ---- */

static int dgram_bind(struct socket *s, const struct sock_addr *a)
{
    struct dgram_sock *d = dgram_of(s);
    ip_addr_t ip;
    uint16_t port;
    int r = inet_addr_import(&d->in, a, &ip, &port, true);
    if (r < 0)
        return r;
    if (d->kind == DGRAM_RAW) {
        if (!ip_addr_isany(&ip) && !IP_IS_ANY_TYPE_VAL(ip) && !inet_is_local(&ip) &&
            !ip_addr_ismulticast(&ip))
            return -EADDRNOTAVAIL;
        d->in.bind_ip = ip;
        raw_bind(d->raw, &ip);
        return 0;
    }
    if (d->in.bind_port != 0)
        return -EINVAL;
    r = inet_bind(&d->in, &ip, port);
    return r < 0 ? r : udp_sock_bound(d);
}

static int dgram_connect(struct socket *s, const struct sock_addr *a)
{
    struct dgram_sock *d = dgram_of(s);
    if (a->len < sizeof(a->family))
        return -EINVAL;
    if (a->family == AF_UNSPEC) {
        d->connected = false;
        if (d->local_chosen) {
            d->local_chosen = false;
            memset(&d->in.bind_ip, 0, sizeof(d->in.bind_ip));
            IP_SET_TYPE_VAL(d->in.bind_ip, inet_ip_type(&d->in));
        }
        return d->in.bind_port != 0 || d->kind != DGRAM_UDP ? udp_sock_bound(d) : 0;
    }
    struct sock_addr copy = *a;
    struct sock_msg m = {.addr = &copy};
    struct dgram_dest to;
    bool was = d->connected;
    if (d->local_chosen) { /* connected anew: choose anew */
        memset(&d->in.bind_ip, 0, sizeof(d->in.bind_ip));
        IP_SET_TYPE_VAL(d->in.bind_ip, inet_ip_type(&d->in));
    }
    int r = dgram_route(d, &m, &to);
    if (r < 0) {
        d->connected = was;
        return r;
    }
    if (d->in.bind_port == 0 && d->kind != DGRAM_RAW) {
        ip_addr_t any = {0};
        IP_SET_TYPE_VAL(any, inet_ip_type(&d->in));
        r = inet_bind(&d->in, &any, 0);
        if (r < 0)
            return r == -EADDRINUSE ? -EAGAIN : r;
    }
    if (ip_addr_isany(&d->in.bind_ip) || IP_IS_ANY_TYPE_VAL(d->in.bind_ip)) {
        d->in.bind_ip = to.src;
        d->local_chosen = true;
    }
    d->remote_ip = to.ip;
    d->remote_port = to.port;
    d->connected = true;
    return udp_sock_bound(d);
}

static int dgram_getname(struct socket *s, struct sock_addr *a, bool peer)
{
    struct dgram_sock *d = dgram_of(s);
    if (peer) {
        if (!d->connected)
            return -ENOTCONN;
        inet_addr_export(&d->in, a, &d->remote_ip, d->remote_port);
    } else {
        inet_addr_export(&d->in, a, &d->in.bind_ip,
                         d->kind == DGRAM_RAW ? (uint16_t)s->protocol : d->in.bind_port);
    }
    return 0;
}

static int dgram_shutdown(struct socket *s, int how)
{
    struct dgram_sock *d = dgram_of(s);
    if (how != SHUT_WR)
        d->rx_shut = true;
    if (how != SHUT_RD)
        d->tx_shut = true;
    waitq_wake(&s->file.waitq, s->ops->poll(s));
    return d->connected ? 0 : -ENOTCONN;
}

/* ---- The rest ---- */

static uint32_t dgram_poll(struct socket *s)
{
    struct dgram_sock *d = dgram_of(s);
    uint32_t e = EPOLLOUT | EPOLLWRNORM;
    if (d->rx_first != NULL)
        e |= EPOLLIN | EPOLLRDNORM;
    if (unlikely(d->rx_shut))
        e |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | (d->tx_shut ? EPOLLHUP : 0);
    if (unlikely(s->error != 0))
        e |= EPOLLERR;
    return e;
}

static long dgram_ioctl(struct socket *s, unsigned cmd, uint64_t arg)
{
    struct dgram_sock *d = dgram_of(s);
    switch (cmd) {
    case FIONREAD: /* the next datagram's size */
        return put_user(d->rx_first != NULL ? (int)dgram_pbuf(d->rx_first)->tot_len : 0,
                        (int *)arg);
    case SIOCOUTQ: /* what was sent is with the device */
        return put_user(0, (int *)arg);
    default:
        return inet_ioctl(cmd, arg);
    }
}

static int dgram_setsockopt(struct socket *s, int level, int name, const void *val, unsigned len)
{
    struct dgram_sock *d = dgram_of(s);
    udp_flow_forget(&d->flow);
    if (level == SOL_SOCKET) {
        if (name != SO_BINDTODEVICE)
            return -ENOPROTOOPT;
        int r = inet_set_device(&d->in, val, len);
        if (r == 0 && d->udp != NULL)
            d->udp->netif_idx = d->in.device;
        if (r == 0 && d->raw != NULL)
            d->raw->netif_idx = d->in.device;
        return r;
    }
    if (d->kind != DGRAM_UDP) {
        int r = raw_sock_setopt(d, level, name, val, len);
        if (r != -ENOPROTOOPT)
            return r;
    }
    int r = inet_setsockopt(&d->in, level, name, val, len);
    if (d->kind == DGRAM_UDP)
        udp_sock_options(d);
    return r;
}

static int dgram_getsockopt(struct socket *s, int level, int name, void *val, unsigned *len)
{
    struct dgram_sock *d = dgram_of(s);
    if (level == SOL_SOCKET)
        return name == SO_BINDTODEVICE ? inet_get_device(&d->in, val, len) : -ENOPROTOOPT;
    if (d->kind != DGRAM_UDP) {
        int r = raw_sock_getopt(d, level, name, val, len);
        if (r != -ENOPROTOOPT)
            return r;
    }
    return inet_getsockopt(&d->in, level, name, val, len);
}

static void dgram_release(struct socket *s)
{
    struct dgram_sock *d = dgram_of(s);
    inet_leave_groups(&d->in);
    if (d->udp != NULL)
        udp_remove(d->udp);
    if (d->raw != NULL)
        raw_sock_close(d);
    inet_unbind(&d->in);
    while (d->rx_first != NULL)
        pbuf_free(dgram_pbuf(dgram_dequeue(d)));
    if (d->corked != NULL)
        pbuf_free(d->corked);
    kfree(d);
}

const struct socket_ops dgram_ops = {
    .bind = dgram_bind,
    .connect = dgram_connect,
    .getname = dgram_getname,
    .sendmsg = dgram_sendmsg,
    .recvmsg = dgram_recvmsg,
    .receive_many = dgram_receive_many,
    .send_many = dgram_send_many,
    .flush = dgram_flush,
    .shutdown = dgram_shutdown,
    .setsockopt = dgram_setsockopt,
    .getsockopt = dgram_getsockopt,
    .ioctl = dgram_ioctl,
    .poll = dgram_poll,
    .release = dgram_release,
};

int inet_dgram_create(int family, int type, int protocol, struct socket **out)
{
    bool icmp = protocol == (family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
    enum dgram_kind kind = type == SOCK_RAW ? DGRAM_RAW : icmp ? DGRAM_PING : DGRAM_UDP;
    if (type == SOCK_DGRAM && kind == DGRAM_UDP && protocol != 0 && protocol != IPPROTO_UDP)
        return -EPROTONOSUPPORT;
    if (type == SOCK_RAW && (protocol <= 0 || protocol > 255))
        return -EPROTONOSUPPORT;
    struct dgram_sock *d = kzalloc(sizeof(*d));
    if (d == NULL)
        return -ENOMEM;
    socket_init(&d->in.sock, &dgram_ops, family, type, kind == DGRAM_UDP ? IPPROTO_UDP : protocol);
    inet_sock_init(&d->in, false);
    d->kind = kind;
    d->rx_last = &d->rx_first;
    d->checksum_off = -1;
    list_init(&d->all_link);
    int r = kind == DGRAM_UDP ? udp_sock_open(d) : raw_sock_open(d);
    if (r < 0) {
        kfree(d);
        return r;
    }
    *out = &d->in.sock;
    return 0;
}
