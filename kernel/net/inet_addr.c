/*
 * Internet addresses between the application and lwIP, and the table of local ports with Linux's
 * rules of who may share one. Called by the socket operations; never sleeps.
 */
#include "net/inet.h"

#include "lib/random.h"

#include "lwip/priv/tcp_priv.h"

#define PORT_BUCKETS   256u
#define EPHEMERAL_LOW  32768u /* net.ipv4.ip_local_port_range */
#define EPHEMERAL_HIGH 60999u

static struct list ports[2][PORT_BUCKETS]; /* [is_tcp][port % PORT_BUCKETS] */
static bool ports_ready;

/* ---- Addresses ---- */

u8_t inet_ip_type(const struct inet_sock *s)
{
    if (s->sock.family == AF_INET)
        return IPADDR_TYPE_V4;
    return s->opt.v6only ? IPADDR_TYPE_V6 : IPADDR_TYPE_ANY;
}

int inet_addr_import(const struct inet_sock *s, const struct sock_addr *a, ip_addr_t *ip,
                     uint16_t *port, bool for_bind)
{
    if (s->sock.family == AF_INET) {
        struct sockaddr_in in;
        if (a->len < sizeof(in))
            return -EINVAL;
        memcpy(&in, a->bytes, sizeof(in));
        /* Linux takes AF_UNSPEC for AF_INET when binding to the wildcard. */
        if (in.sin_family != AF_INET &&
            !(for_bind && in.sin_family == AF_UNSPEC && in.sin_addr.s_addr == 0))
            return -EAFNOSUPPORT;
        ip_addr_set_ip4_u32(ip, in.sin_addr.s_addr);
        *port = lwip_htons(in.sin_port);
        return 0;
    }
    struct sockaddr_in6 in6;
    if (a->len < offsetof(struct sockaddr_in6, sin6_scope_id))
        return -EINVAL;
    memset(&in6, 0, sizeof(in6));
    memcpy(&in6, a->bytes, MIN((size_t)a->len, sizeof(in6)));
    if (in6.sin6_family == AF_INET && !for_bind && !s->opt.v6only) {
        struct sockaddr_in in;
        memcpy(&in, a->bytes, sizeof(in));
        ip_addr_set_ip4_u32(ip, in.sin_addr.s_addr);
        *port = lwip_htons(in.sin_port);
        return 0;
    }
    if (in6.sin6_family != AF_INET6)
        return -EAFNOSUPPORT;
    *port = lwip_htons(in6.sin6_port);
    u32_t w[4];
    memcpy(w, &in6.sin6_addr, sizeof(w));
    if (w[0] == 0 && w[1] == 0 && w[2] == PP_HTONL(0xffff)) {
        if (s->opt.v6only)
            return for_bind ? -EINVAL : -ENETUNREACH;
        ip_addr_set_ip4_u32(ip, w[3]);
        return 0;
    }
    memset(ip, 0, sizeof(*ip));
    memcpy(ip_2_ip6(ip)->addr, w, sizeof(w));
    IP_SET_TYPE(ip,
                for_bind && (w[0] | w[1] | w[2] | w[3]) == 0 ? inet_ip_type(s) : IPADDR_TYPE_V6);
    if (ip6_addr_has_scope(ip_2_ip6(ip), IP6_UNKNOWN))
        ip6_addr_set_zone(ip_2_ip6(ip), (u8_t)in6.sin6_scope_id);
    return 0;
}

void inet_addr_export(const struct inet_sock *s, struct sock_addr *a, const ip_addr_t *ip,
                      uint16_t port)
{
    if (s->sock.family == AF_INET) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = lwip_htons(port)};
        if (IP_IS_V4(ip))
            in.sin_addr.s_addr = ip_2_ip4(ip)->addr;
        memcpy(a->bytes, &in, sizeof(in));
        a->len = sizeof(in);
        return;
    }
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = lwip_htons(port)};
    u32_t w[4] = {0};
    if (IP_IS_V4(ip)) {
        w[2] = PP_HTONL(0xffff);
        w[3] = ip_2_ip4(ip)->addr;
    } else {
        memcpy(w, ip_2_ip6(ip)->addr, sizeof(w));
        in6.sin6_scope_id = ip6_addr_zone(ip_2_ip6(ip));
    }
    memcpy(&in6.sin6_addr, w, sizeof(w));
    memcpy(a->bytes, &in6, sizeof(in6));
    a->len = sizeof(in6);
}

int inet_errno(err_t e)
{
    switch (e) {
    case ERR_OK:
        return 0;
    case ERR_MEM:
    case ERR_BUF:
        return -ENOBUFS;
    case ERR_TIMEOUT:
        return -ETIMEDOUT;
    case ERR_RTE:
        return -ENETUNREACH;
    case ERR_USE:
        return -EADDRINUSE;
    case ERR_ISCONN:
        return -EISCONN;
    case ERR_CONN:
    case ERR_CLSD:
        return -ENOTCONN;
    case ERR_ABRT:
        return -ECONNABORTED;
    case ERR_RST:
        return -ECONNRESET;
    case ERR_IF:
        return -ENETDOWN;
    default:
        return -EINVAL;
    }
}

/* ---- Local ports ---- */

static struct list *bucket(bool tcp, uint16_t port)
{
    return &ports[tcp][port % PORT_BUCKETS];
}

void inet_sock_init(struct inet_sock *s, bool is_tcp)
{
    if (!ports_ready) {
        for (unsigned i = 0; i < PORT_BUCKETS; i++) {
            list_init(&ports[0][i]);
            list_init(&ports[1][i]);
        }
        ports_ready = true;
    }
    s->is_tcp = is_tcp;
    s->bind_port = 0;
    s->device = 0;
    list_init(&s->bind_link);
    memset(&s->bind_ip, 0, sizeof(s->bind_ip));
    IP_SET_TYPE_VAL(s->bind_ip, inet_ip_type(s));
    s->opt = (struct ip_options){.ttl = -1,
                                 .mcast_ttl = -1,
                                 .mcast_loop = true,
                                 .mcast_all = true,
                                 .mtu_discover = IP_PMTUDISC_WANT};
}

/* Could one packet be for both? */
static bool overlap(const ip_addr_t *a, const ip_addr_t *b)
{
    if (IP_IS_ANY_TYPE_VAL(*a) || IP_IS_ANY_TYPE_VAL(*b))
        return true; /* a dual-stack wildcard; it is never anything else */
    if (IP_GET_TYPE(a) != IP_GET_TYPE(b))
        return false;
    return ip_addr_isany(a) || ip_addr_isany(b) || ip_addr_cmp(a, b);
}

static bool shares(const struct inet_sock *a, const struct inet_sock *b)
{
    if (a->sock.reuseport && b->sock.reuseport)
        return true;
    return a->sock.reuseaddr && b->sock.reuseaddr &&
           (!a->is_tcp || (!a->sock.listening && !b->sock.listening));
}

/* The socket that keeps s from the address; NULL if none. */
static const struct inet_sock *conflict(const struct inet_sock *s, const ip_addr_t *ip,
                                        uint16_t port, bool exclusive)
{
    list_for_each (o, bucket(s->is_tcp, port), struct inet_sock, bind_link) {
        if (o == s || o->bind_port != port || !overlap(&o->bind_ip, ip))
            continue;
        if (o->device != 0 && s->device != 0 && o->device != s->device)
            continue;
        if (exclusive || !shares(s, o))
            return o;
    }
    return NULL;
}

/* Does a connection, or what is left of one, use the port? A slow question, asked only by those who
 * bind to a fixed port without SO_REUSEADDR. */
static bool connection_on(const ip_addr_t *ip, uint16_t port)
{
    struct tcp_pcb *lists[] = {tcp_active_pcbs, tcp_tw_pcbs};
    for (unsigned i = 0; i < ARRAY_SIZE(lists); i++) {
        for (struct tcp_pcb *p = lists[i]; p != NULL; p = p->next) {
            if (p->local_port == port && overlap(&p->local_ip, ip))
                return true;
        }
    }
    return false;
}

static uint16_t free_port(struct inet_sock *s, const ip_addr_t *ip)
{
    unsigned range = EPHEMERAL_HIGH - EPHEMERAL_LOW + 1;
    unsigned start = (unsigned)(random_u64() % range);
    for (unsigned i = 0; i < range; i++) {
        uint16_t port = (uint16_t)(EPHEMERAL_LOW + (start + i) % range);
        if (conflict(s, ip, port, true) == NULL)
            return port;
    }
    return 0;
}

int inet_bind(struct inet_sock *s, const ip_addr_t *ip, uint16_t port)
{
    bool multicast = ip_addr_ismulticast(ip);
    if (!IP_IS_ANY_TYPE_VAL(*ip) && !ip_addr_isany(ip) && !s->opt.freebind && !s->opt.transparent &&
        !inet_is_local(ip) && !(multicast && !s->is_tcp) &&
        !(IP_IS_V4(ip) && ip4_addr_isbroadcast(ip_2_ip4(ip), netif_default) && !s->is_tcp))
        return -EADDRNOTAVAIL;
    if (port == 0) {
        port = free_port(s, ip);
        if (port == 0)
            return -EADDRINUSE;
    } else if (conflict(s, ip, port, false) != NULL ||
               (s->is_tcp && !s->sock.reuseaddr && connection_on(ip, port))) {
        return -EADDRINUSE;
    }
    s->bind_ip = *ip;
    s->bind_port = port;
    list_remove(&s->bind_link);
    list_push_back(bucket(s->is_tcp, port), &s->bind_link);
    return 0;
}

void inet_unbind(struct inet_sock *s)
{
    list_remove(&s->bind_link);
    s->bind_port = 0;
}

int inet_listen_check(const struct inet_sock *s)
{
    list_for_each (o, bucket(true, s->bind_port), struct inet_sock, bind_link) {
        if (o != s && o->bind_port == s->bind_port && o->sock.listening &&
            overlap(&o->bind_ip, &s->bind_ip) && !(o->sock.reuseport && s->sock.reuseport) &&
            (o->device == 0 || s->device == 0 || o->device == s->device))
            return -EADDRINUSE;
    }
    return 0;
}
