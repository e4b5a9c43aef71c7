/*
 * AF_NETLINK, family NETLINK_ROUTE: what getifaddrs(), getaddrinfo(), if_nameindex() and name
 * servers ask for: dumps and single answers of links, addresses, routes and neighbours
 * (rtnetlink(7)). Requests that change something are refused: the command line configures the
 * network. Groups may be joined. A request is answered at once, into the socket's queue; so nothing
 * here waits but a reader. Called by the socket layer.
 */
#include "net/net.h"
#include "net/inet.h"

#include "lib/init.h"
#include "mm/slab.h"
#include "net/netdev.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "lwip/etharp.h"
#include "lwip/nd6.h"

#define PART_ROOM 4096u         /* bytes of one datagram of an answer */
#define QUEUE_MAX (256u * 1024) /* of answers nobody has read */
#define SEND_MAX  (64u * 1024)

struct nl_datagram {
    struct list link;
    uint32_t len;
    uint8_t data[PART_ROOM];
};

struct netlink_sock {
    struct socket sock;
    struct list queue;
    uint32_t queued;
    uint32_t portid, groups;
    bool no_enobufs;
};

static uint32_t next_portid = 1;

static struct netlink_sock *nl_of(struct socket *s)
{
    return container_of(s, struct netlink_sock, sock);
}

/* ---- Building answers ---- */

struct answer {
    struct netlink_sock *to;
    const struct nlmsghdr *request;
    struct nl_datagram *d; /* being filled */
    struct nlmsghdr *msg;  /* the message being built */
    bool dump;
    int error;
    struct list done;
};

static void answer_flush(struct answer *a)
{
    if (a->d != NULL && a->d->len > 0) {
        list_push_back(&a->done, &a->d->link);
        a->d = NULL;
    }
}

/* Room for n bytes at the end of the current message. */
static void *put(struct answer *a, size_t n)
{
    size_t space = NLMSG_ALIGN(n);
    if (a->error != 0)
        return NULL;
    if (a->d->len + space > PART_ROOM) {
        a->error = -EMSGSIZE; /* no single message of ours is that long */
        return NULL;
    }
    void *p = a->d->data + a->d->len;
    memset(p, 0, space);
    a->d->len += (uint32_t)space;
    return p;
}

static void *begin(struct answer *a, uint16_t type, size_t body)
{
    if (a->error != 0)
        return NULL;
    if (a->d != NULL && a->d->len > PART_ROOM / 2)
        answer_flush(a);
    if (a->d == NULL) {
        a->d = kmalloc(sizeof(*a->d));
        if (a->d == NULL) {
            a->error = -ENOBUFS;
            return NULL;
        }
        a->d->len = 0;
    }
    a->msg = put(a, sizeof(*a->msg));
    if (a->msg == NULL)
        return NULL;
    a->msg->nlmsg_type = type;
    a->msg->nlmsg_flags = a->dump ? NLM_F_MULTI : 0;
    a->msg->nlmsg_seq = a->request->nlmsg_seq;
    a->msg->nlmsg_pid = a->to->portid;
    return put(a, body);
}

static void attr(struct answer *a, uint16_t type, const void *data, size_t len)
{
    struct rtattr *r = put(a, RTA_LENGTH(len));
    if (r == NULL)
        return;
    r->rta_type = type;
    r->rta_len = (uint16_t)RTA_LENGTH(len);
    memcpy(RTA_DATA(r), data, len);
}

static void attr_u32(struct answer *a, uint16_t type, uint32_t v)
{
    attr(a, type, &v, sizeof(v));
}

static void end(struct answer *a)
{
    if (a->error == 0)
        a->msg->nlmsg_len = (uint32_t)(a->d->data + a->d->len - (uint8_t *)a->msg);
}

/* ---- Links, addresses, routes, neighbours ---- */

static void put_link(struct answer *a, struct netif *n)
{
    struct netdev *d = net_netdev(n);
    static const uint8_t no_mac[6], broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    char name[16];
    struct ifinfomsg *i = begin(a, RTM_NEWLINK, sizeof(*i));
    if (i == NULL)
        return;
    net_ifname(n, name);
    i->ifi_type = d != NULL ? ARPHRD_ETHER : ARPHRD_LOOPBACK;
    i->ifi_index = (int)net_index(n);
    i->ifi_flags = d != NULL ? IFF_BROADCAST | IFF_MULTICAST : IFF_LOOPBACK;
    if (netif_is_up(n))
        i->ifi_flags |= IFF_UP | (netif_is_link_up(n) ? IFF_RUNNING | IFF_LOWER_UP : 0);
    attr(a, IFLA_IFNAME, name, strlen(name) + 1);
    attr_u32(a, IFLA_TXQLEN, 1000);
    uint8_t state = !netif_is_up(n) ? IF_OPER_DOWN : d != NULL ? IF_OPER_UP : IF_OPER_UNKNOWN;
    attr(a, IFLA_OPERSTATE, &state, 1);
    attr_u32(a, IFLA_MTU, n->mtu);
    attr(a, IFLA_ADDRESS, d != NULL ? d->mac : no_mac, 6);
    attr(a, IFLA_BROADCAST, d != NULL ? broadcast : no_mac, 6);
    if (d != NULL) {
        struct rtnl_link_stats64 s = {.rx_packets = d->stats.rx_packets,
                                      .tx_packets = d->stats.tx_packets,
                                      .rx_bytes = d->stats.rx_bytes,
                                      .tx_bytes = d->stats.tx_bytes,
                                      .rx_errors = d->stats.rx_bad,
                                      .rx_dropped = d->stats.rx_no_buffer,
                                      .tx_dropped = d->stats.tx_full};
        attr(a, IFLA_STATS64, &s, sizeof(s));
    }
    end(a);
}

static uint8_t prefix_of(uint32_t be_mask)
{
    return (uint8_t)__builtin_popcount(be_mask);
}

static void put_addr4(struct answer *a, struct netif *n)
{
    uint32_t ip = netif_ip4_addr(n)->addr, mask = netif_ip4_netmask(n)->addr, bc = ip | ~mask;
    char name[16];
    if (ip == 0)
        return;
    struct ifaddrmsg *m = begin(a, RTM_NEWADDR, sizeof(*m));
    if (m == NULL)
        return;
    net_ifname(n, name);
    m->ifa_family = AF_INET;
    m->ifa_prefixlen = prefix_of(mask);
    m->ifa_flags = IFA_F_PERMANENT;
    m->ifa_scope = net_is_lo(n) ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
    m->ifa_index = net_index(n);
    attr_u32(a, IFA_ADDRESS, ip);
    attr_u32(a, IFA_LOCAL, ip);
    if (!net_is_lo(n))
        attr_u32(a, IFA_BROADCAST, bc);
    attr(a, IFA_LABEL, name, strlen(name) + 1);
    attr_u32(a, IFA_FLAGS, IFA_F_PERMANENT);
    end(a);
}

static void put_addr6(struct answer *a, struct netif *n, s8_t i)
{
    u8_t state = netif_ip6_addr_state(n, i);
    const ip6_addr_t *ip = netif_ip6_addr(n, i);
    struct ifa_cacheinfo forever = {UINT32_MAX, UINT32_MAX, 0, 0};
    if (ip6_addr_isinvalid(state))
        return;
    struct ifaddrmsg *m = begin(a, RTM_NEWADDR, sizeof(*m));
    if (m == NULL)
        return;
    uint32_t flags = IFA_F_PERMANENT | (ip6_addr_istentative(state) ? IFA_F_TENTATIVE : 0) |
                     (state == IP6_ADDR_DEPRECATED ? IFA_F_DEPRECATED : 0);
    m->ifa_family = AF_INET6;
    m->ifa_prefixlen = net_is_lo(n) ? 128 : 64;
    m->ifa_flags = (uint8_t)flags;
    m->ifa_scope = ip6_addr_isloopback(ip)    ? RT_SCOPE_HOST
                   : ip6_addr_islinklocal(ip) ? RT_SCOPE_LINK
                                              : RT_SCOPE_UNIVERSE;
    m->ifa_index = net_index(n);
    attr(a, IFA_ADDRESS, ip->addr, 16);
    attr(a, IFA_CACHEINFO, &forever, sizeof(forever));
    attr_u32(a, IFA_FLAGS, flags);
    end(a);
}

static void put_route4(struct answer *a, struct netif *n, uint32_t dst, uint32_t mask, uint32_t gw,
                       uint8_t table, uint8_t type, uint8_t scope)
{
    struct rtmsg *r = begin(a, RTM_NEWROUTE, sizeof(*r));
    if (r == NULL)
        return;
    r->rtm_family = AF_INET;
    r->rtm_dst_len = prefix_of(mask);
    r->rtm_table = table;
    r->rtm_protocol = gw != 0 ? RTPROT_BOOT : RTPROT_KERNEL;
    r->rtm_scope = scope;
    r->rtm_type = type;
    attr_u32(a, RTA_TABLE, table);
    if (mask != 0)
        attr_u32(a, RTA_DST, dst & mask);
    if (gw != 0)
        attr_u32(a, RTA_GATEWAY, gw);
    else
        attr_u32(a, RTA_PREFSRC, netif_ip4_addr(n)->addr);
    attr_u32(a, RTA_OIF, net_index(n));
    end(a);
}

static void dump_links(struct answer *a, uint8_t family)
{
    struct netif *n;
    NETIF_FOREACH(n)
    {
        put_link(a, n);
    }
}

static void dump_addrs(struct answer *a, uint8_t family)
{
    struct netif *n;
    if (family == AF_UNSPEC || family == AF_INET) {
        NETIF_FOREACH(n)
        {
            put_addr4(a, n);
        }
    }
    if (family == AF_UNSPEC || family == AF_INET6) {
        NETIF_FOREACH(n)
        {
            for (s8_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++)
                put_addr6(a, n, i);
        }
    }
}

static void dump_routes(struct answer *a, uint8_t family)
{
    struct netif *n;
    NETIF_FOREACH(n)
    {
        uint32_t ip = netif_ip4_addr(n)->addr, mask = netif_ip4_netmask(n)->addr,
                 gw = netif_ip4_gw(n)->addr;
        if (family == AF_INET6 || ip == 0 || !netif_is_up(n))
            continue;
        if (!net_is_lo(n)) {
            if (gw != 0)
                put_route4(a, n, 0, 0, gw, RT_TABLE_MAIN, RTN_UNICAST, RT_SCOPE_UNIVERSE);
            put_route4(a, n, ip, mask, 0, RT_TABLE_MAIN, RTN_UNICAST, RT_SCOPE_LINK);
        } else {
            put_route4(a, n, ip, mask, 0, RT_TABLE_LOCAL, RTN_LOCAL, RT_SCOPE_HOST);
        }
        put_route4(a, n, ip, 0xffffffff, 0, RT_TABLE_LOCAL, RTN_LOCAL, RT_SCOPE_HOST);
    }
}

static void dump_neighbours(struct answer *a, uint8_t family)
{
    for (size_t i = 0; i < ARP_TABLE_SIZE && family != AF_INET6; i++) {
        ip4_addr_t *ip;
        struct netif *n;
        struct eth_addr *mac;
        if (!etharp_get_entry(i, &ip, &n, &mac))
            continue;
        struct ndmsg *m = begin(a, RTM_NEWNEIGH, sizeof(*m));
        if (m == NULL)
            return;
        m->ndm_family = AF_INET;
        m->ndm_ifindex = (int)net_index(n);
        m->ndm_state = NUD_REACHABLE;
        m->ndm_type = RTN_UNICAST;
        attr_u32(a, NDA_DST, ip->addr);
        attr(a, NDA_LLADDR, mac->addr, 6);
        end(a);
    }
}

/* One link, by index or name. */
static void get_link(struct answer *a, const struct ifinfomsg *i, size_t len)
{
    struct netif *n = net_by_index((unsigned)i->ifi_index);
    const struct rtattr *r = (const void *)(i + 1);
    len -= sizeof(*i);
    while (n == NULL && len >= sizeof(*r) && r->rta_len >= sizeof(*r) && r->rta_len <= len) {
        if (r->rta_type == IFLA_IFNAME) {
            char name[16] = "";
            memcpy(name, RTA_DATA(r), MIN((size_t)RTA_PAYLOAD(r), sizeof(name) - 1));
            n = net_by_ifname(name);
        }
        size_t step = MIN((size_t)RTA_ALIGN(r->rta_len), len);
        r = (const void *)((const char *)r + step);
        len -= step;
    }
    if (n == NULL)
        a->error = -ENODEV;
    else
        put_link(a, n);
}

/* The route to one destination. */
static void get_route(struct answer *a, const struct rtmsg *m, size_t len)
{
    const struct rtattr *r = (const void *)(m + 1);
    ip4_addr_t dst = {0};
    len -= sizeof(*m);
    while (len >= sizeof(*r) && r->rta_len >= sizeof(*r) && r->rta_len <= len) {
        if (r->rta_type == RTA_DST && RTA_PAYLOAD(r) >= 4)
            memcpy(&dst.addr, RTA_DATA(r), 4);
        size_t step = MIN((size_t)RTA_ALIGN(r->rta_len), len);
        r = (const void *)((const char *)r + step);
        len -= step;
    }
    struct netif *n = m->rtm_family == AF_INET ? ip4_route(&dst) : NULL;
    if (n == NULL) {
        a->error = -ENETUNREACH;
        return;
    }
    bool near = ip4_addr_netcmp(&dst, netif_ip4_addr(n), netif_ip4_netmask(n));
    put_route4(a, n, dst.addr, 0xffffffff, near ? 0 : netif_ip4_gw(n)->addr, RT_TABLE_MAIN,
               RTN_UNICAST, RT_SCOPE_UNIVERSE);
}

/* ---- Requests ---- */

static int answer_one(struct answer *a, size_t body)
{
    const struct nlmsghdr *h = a->request;
    const void *data = NLMSG_DATA(h);
    uint8_t family = body > 0 ? *(const uint8_t *)data : AF_UNSPEC;
    a->dump = (h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    switch (h->nlmsg_type) {
    case RTM_GETLINK:
        if (a->dump)
            dump_links(a, family);
        else if (body < sizeof(struct ifinfomsg))
            return -EINVAL;
        else
            get_link(a, data, body);
        break;
    case RTM_GETADDR:
        if (!a->dump)
            return -EOPNOTSUPP;
        dump_addrs(a, family);
        break;
    case RTM_GETROUTE:
        if (a->dump)
            dump_routes(a, family);
        else if (body < sizeof(struct rtmsg))
            return -EINVAL;
        else
            get_route(a, data, body);
        break;
    case RTM_GETNEIGH:
        if (!a->dump)
            return -EOPNOTSUPP;
        dump_neighbours(a, family);
        break;
    case RTM_GETRULE:
    case RTM_GETQDISC:
    case RTM_GETNEIGHTBL:
    case RTM_GETADDRLABEL:
        if (!a->dump) /* an empty list otherwise */
            return -EOPNOTSUPP;
        break;
    case NLMSG_NOOP:
    case NLMSG_DONE:
        return 0;
    default:
        return h->nlmsg_type > RTM_BASE && h->nlmsg_type % 4 != 2 ? -EPERM : -EOPNOTSUPP;
    }
    if (a->error == 0 && a->dump) {
        int *status = begin(a, NLMSG_DONE, sizeof(*status));
        if (status != NULL)
            end(a);
    }
    return a->error;
}

static void put_error(struct answer *a, int error)
{
    a->error = 0;
    a->dump = false;
    struct nlmsgerr *e = begin(a, NLMSG_ERROR, sizeof(*e));
    if (e == NULL)
        return;
    e->error = error;
    e->msg = *a->request;
    end(a);
}

static void handle(struct netlink_sock *n, const uint8_t *buf, size_t len)
{
    while (len >= sizeof(struct nlmsghdr)) {
        const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
        if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > len)
            return;
        struct answer a = {.to = n, .request = h};
        list_init(&a.done);
        int e = 0;
        if (h->nlmsg_flags & NLM_F_REQUEST)
            e = answer_one(&a, h->nlmsg_len - NLMSG_HDRLEN);
        if (e != 0 || (h->nlmsg_flags & NLM_F_ACK))
            put_error(&a, e);
        answer_flush(&a);
        kfree(a.d);
        list_for_each_safe (d, &a.done, struct nl_datagram, link) {
            list_remove(&d->link);
            if (n->queued + d->len > QUEUE_MAX) {
                kfree(d);
                n->sock.error = n->no_enobufs ? 0 : ENOBUFS;
                continue;
            }
            n->queued += d->len;
            list_push_back(&n->queue, &d->link);
        }
        size_t step = MIN((size_t)NLMSG_ALIGN(h->nlmsg_len), len);
        buf += step;
        len -= step;
    }
    waitq_wake(&n->sock.file.waitq, EPOLLIN | EPOLLRDNORM);
}

/* ---- Socket operations ---- */

static void autobind(struct netlink_sock *n)
{
    if (n->portid == 0)
        n->portid = next_portid++;
}

static int nl_bind(struct socket *s, const struct sock_addr *a)
{
    struct netlink_sock *n = nl_of(s);
    struct sockaddr_nl nl;
    if (a->len < sizeof(nl))
        return -EINVAL;
    memcpy(&nl, a->bytes, sizeof(nl));
    if (nl.nl_family != AF_NETLINK)
        return -EINVAL;
    if (nl.nl_pid != 0)
        n->portid = nl.nl_pid;
    autobind(n);
    n->groups = nl.nl_groups;
    return 0;
}

static int nl_connect(struct socket *s, const struct sock_addr *a)
{
    struct sockaddr_nl nl;
    if (a->len < sizeof(nl))
        return -EINVAL;
    memcpy(&nl, a->bytes, sizeof(nl));
    if (nl.nl_family != AF_NETLINK && nl.nl_family != AF_UNSPEC)
        return -EINVAL;
    autobind(nl_of(s));
    return nl.nl_pid == 0 ? 0 : -ECONNREFUSED; /* only the kernel listens */
}

static void set_name(struct sock_addr *a, uint32_t pid, uint32_t groups)
{
    struct sockaddr_nl nl = {.nl_family = AF_NETLINK, .nl_pid = pid, .nl_groups = groups};
    memcpy(a->bytes, &nl, sizeof(nl));
    a->len = sizeof(nl);
}

static int nl_getname(struct socket *s, struct sock_addr *a, bool peer)
{
    struct netlink_sock *n = nl_of(s);
    set_name(a, peer ? 0 : n->portid, peer ? 0 : n->groups);
    return 0;
}

static ssize_t nl_sendmsg(struct socket *s, struct sock_msg *m)
{
    struct netlink_sock *n = nl_of(s);
    size_t len = m->it->count;
    if (m->addr != NULL && m->addr->len >= sizeof(struct sockaddr_nl)) {
        struct sockaddr_nl to;
        memcpy(&to, m->addr->bytes, sizeof(to));
        if (to.nl_family != AF_NETLINK)
            return -EINVAL;
        if (to.nl_pid != 0 || to.nl_groups != 0)
            return -ECONNREFUSED;
    }
    if (len > SEND_MAX)
        return -EMSGSIZE;
    uint8_t *buf = kmalloc(MAX(len, (size_t)1));
    if (buf == NULL)
        return -ENOBUFS;
    if (copy_from_iter(m->it, buf, len) != (ssize_t)len && len > 0) {
        kfree(buf);
        return -EFAULT;
    }
    autobind(n);
    handle(n, buf, len);
    kfree(buf);
    return (ssize_t)len;
}

static ssize_t nl_recvmsg(struct socket *s, struct sock_msg *m)
{
    struct netlink_sock *n = nl_of(s);
    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    uint64_t deadline = socket_deadline(s->rcvtimeo, m->flags, s);
    if (list_empty(&n->queue)) {
        if (s->error != 0)
            return socket_take_error(s);
        if (deadline == 0)
            return -EAGAIN;
        int r = wait_event(&s->file.waitq, EPOLLIN, deadline, !list_empty(&n->queue));
        if (r < 0)
            return r == -ETIMEDOUT ? -EAGAIN : r;
    }
    struct nl_datagram *d = list_first(&n->queue, struct nl_datagram, link);
    list_remove(&d->link);
    ssize_t len = (ssize_t)d->len, ret = len;
    if (m->it->count < (size_t)len) {
        m->rflags |= MSG_TRUNC;
        if (!(m->flags & MSG_TRUNC))
            ret = (ssize_t)m->it->count;
    }
    size_t want = MIN((size_t)len, m->it->count);
    if (want > 0 && copy_to_iter(m->it, d->data, want) != (ssize_t)want)
        ret = -EFAULT;
    if (m->addr != NULL)
        set_name(m->addr, 0, 0);
    if (m->flags & MSG_PEEK) {
        list_push_front(&n->queue, &d->link);
    } else {
        n->queued -= d->len;
        kfree(d);
    }
    return ret;
}

static int nl_setsockopt(struct socket *s, int level, int name, const void *val, unsigned len)
{
    int v;
    if (level == SOL_SOCKET)
        return -ENOPROTOOPT;
    if (level != SOL_NETLINK || inet_get_int(val, len, &v) < 0)
        return level != SOL_NETLINK ? -ENOPROTOOPT : -EINVAL;
    switch (name) {
    case NETLINK_ADD_MEMBERSHIP:
    case NETLINK_DROP_MEMBERSHIP:
        if (v < 1 || v > 32)
            return -EINVAL;
        if (name == NETLINK_ADD_MEMBERSHIP)
            nl_of(s)->groups |= 1u << (v - 1);
        else
            nl_of(s)->groups &= ~(1u << (v - 1));
        return 0;
    case NETLINK_NO_ENOBUFS:
        nl_of(s)->no_enobufs = v != 0;
        return 0;
    case NETLINK_EXT_ACK:        /* more detail in errors: optional for the kernel */
    case NETLINK_GET_STRICT_CHK: /* requests are checked as strictly as we can */
    case NETLINK_CAP_ACK:        /* errors quote only the header anyway */
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int nl_getsockopt(struct socket *s, int level, int name, void *val, unsigned *len)
{
    if (level == SOL_NETLINK && name == NETLINK_NO_ENOBUFS)
        return inet_put_int(nl_of(s)->no_enobufs, val, len);
    return -ENOPROTOOPT;
}

static uint32_t nl_poll(struct socket *s)
{
    return EPOLLOUT | EPOLLWRNORM | (list_empty(&nl_of(s)->queue) ? 0 : EPOLLIN | EPOLLRDNORM) |
           (s->error != 0 ? EPOLLERR : 0);
}

static void nl_release(struct socket *s)
{
    struct netlink_sock *n = nl_of(s);
    list_for_each_safe (d, &n->queue, struct nl_datagram, link) {
        kfree(d);
    }
    kfree(n);
}

static const struct socket_ops nl_ops = {
    .bind = nl_bind,
    .connect = nl_connect,
    .getname = nl_getname,
    .sendmsg = nl_sendmsg,
    .recvmsg = nl_recvmsg,
    .setsockopt = nl_setsockopt,
    .getsockopt = nl_getsockopt,
    .poll = nl_poll,
    .release = nl_release,
};

static int nl_create(int type, int protocol, struct socket **out)
{
    if (type != SOCK_RAW && type != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    if (protocol != NETLINK_ROUTE)
        return -EPROTONOSUPPORT;
    struct netlink_sock *n = kzalloc(sizeof(*n));
    if (n == NULL)
        return -ENOMEM;
    socket_init(&n->sock, &nl_ops, AF_NETLINK, type, protocol);
    list_init(&n->queue);
    *out = &n->sock;
    return 0;
}

static struct socket_family nl_family = {.family = AF_NETLINK, .create = nl_create};

static int netlink_init(void)
{
    socket_family_register(&nl_family);
    return 0;
}
INIT(INIT_FS, netlink_init);
