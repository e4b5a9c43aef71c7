/*
 * Options of levels IPPROTO_IP and IPPROTO_IPV6, for sockets of every protocol, and multicast
 * groups. Called by setsockopt and getsockopt; never sleeps.
 */
#include "net/inet.h"

#include "mm/slab.h"

#include "lwip/igmp.h"
#include "lwip/mld6.h"
#include "lwip/ip6.h"

#define TTL_DEFAULT 64

/* Groups joined, for all sockets: what a socket leaves when it is closed. */
struct membership {
    struct list link;
    struct inet_sock *sock;
    struct netif *netif;
    ip_addr_t group;
};
static struct list memberships = LIST_INIT(memberships);

int inet_get_int(const void *val, unsigned len, int *out)
{
    if (len >= sizeof(int)) {
        memcpy(out, val, sizeof(int));
        return 0;
    }
    if (len >= 1) { /* ip(7): a single byte will do */
        *out = *(const uint8_t *)val;
        return 0;
    }
    return -EINVAL;
}

int inet_put_int(int v, void *val, unsigned *len)
{
    *len = MIN(*len, (unsigned)sizeof(v));
    memcpy(val, &v, *len);
    return 0;
}

int inet_set_device(struct inet_sock *s, const void *val, unsigned len)
{
    char name[16];
    unsigned n = MIN(len, (unsigned)sizeof(name) - 1);
    memcpy(name, val, n);
    name[n] = '\0';
    if (name[0] == '\0') {
        s->device = 0;
        return 0;
    }
    struct netif *netif = net_by_ifname(name);
    if (netif == NULL)
        return -ENODEV;
    s->device = (uint8_t)net_index(netif);
    return 0;
}

int inet_get_device(struct inet_sock *s, void *val, unsigned *len)
{
    char name[16] = "";
    struct netif *netif = net_by_index(s->device);
    if (netif == NULL) {
        *len = 0;
        return 0;
    }
    if (*len < sizeof(name))
        return -EINVAL;
    net_ifname(netif, name);
    *len = (unsigned)strlen(name) + 1;
    memcpy(val, name, *len);
    return 0;
}

/* ---- Multicast groups ---- */

static struct netif *netif_of_address(uint32_t be_addr)
{
    struct netif *n;
    NETIF_FOREACH(n)
    {
        if (netif_ip4_addr(n)->addr == be_addr)
            return n;
    }
    return NULL;
}

static int change_group(struct inet_sock *s, bool join, const ip_addr_t *group, struct netif *netif)
{
    if (!ip_addr_ismulticast(group))
        return -EINVAL;
    if (netif == NULL)
        netif = netif_default != NULL ? netif_default : net_lo;
    struct membership *found = NULL;
    list_for_each (m, &memberships, struct membership, link) {
        if (m->sock == s && m->netif == netif && ip_addr_cmp(&m->group, group))
            found = m;
    }
    if (join == (found != NULL))
        return join ? -EADDRINUSE : -EADDRNOTAVAIL;
    err_t e = ERR_OK;
    if (!join) {
        list_remove(&found->link);
        kfree(found);
    } else {
        found = kzalloc(sizeof(*found));
        if (found == NULL)
            return -ENOBUFS;
        found->sock = s;
        found->netif = netif;
        found->group = *group;
        list_push_back(&memberships, &found->link);
    }
    if (IP_IS_V4(group))
        e = join ? igmp_joingroup_netif(netif, ip_2_ip4(group))
                 : igmp_leavegroup_netif(netif, ip_2_ip4(group));
    else
        e = join ? mld6_joingroup_netif(netif, ip_2_ip6(group))
                 : mld6_leavegroup_netif(netif, ip_2_ip6(group));
    if (join && e != ERR_OK) {
        list_remove(&found->link);
        kfree(found);
        return e == ERR_MEM ? -ENOBUFS : -ENODEV;
    }
    net_timers_start();
    net_flush();
    return 0;
}

void inet_leave_groups(struct inet_sock *s)
{
    list_for_each_safe (m, &memberships, struct membership, link) {
        if (m->sock == s) {
            ip_addr_t group = m->group; /* m is freed before the group is left */
            change_group(s, false, &group, m->netif);
        }
    }
}

bool inet_in_group(const struct inet_sock *s, const struct netif *netif, const ip_addr_t *group)
{
    list_for_each (m, &memberships, struct membership, link) {
        if (m->sock == s && m->netif == netif && ip_addr_cmp_zoneless(&m->group, group))
            return true;
    }
    return false;
}

static int group_v4(struct inet_sock *s, bool join, const void *val, unsigned len)
{
    struct ip_mreqn r = {0};
    ip_addr_t group;
    if (len < sizeof(struct ip_mreq))
        return -EINVAL;
    memcpy(&r, val, MIN((size_t)len, sizeof(r)));
    if (len < sizeof(r))
        r.imr_ifindex = 0;
    ip_addr_set_ip4_u32_val(group, r.imr_multiaddr.s_addr);
    struct netif *netif = NULL;
    if (r.imr_ifindex != 0) {
        netif = net_by_index((unsigned)r.imr_ifindex);
        if (netif == NULL)
            return -ENODEV;
    } else if (r.imr_address.s_addr != 0) {
        netif = netif_of_address(r.imr_address.s_addr);
        if (netif == NULL)
            return -ENODEV;
    }
    return change_group(s, join, &group, netif);
}

static int group_v6(struct inet_sock *s, bool join, const void *val, unsigned len)
{
    struct ipv6_mreq r;
    ip_addr_t group = {0};
    if (len < sizeof(r))
        return -EINVAL;
    memcpy(&r, val, sizeof(r));
    memcpy(ip_2_ip6(&group)->addr, &r.ipv6mr_multiaddr, 16);
    IP_SET_TYPE_VAL(group, IPADDR_TYPE_V6);
    struct netif *netif = NULL;
    if (r.ipv6mr_ifindex != 0) {
        netif = net_by_index((unsigned)r.ipv6mr_ifindex);
        if (netif == NULL)
            return -ENODEV;
    }
    return change_group(s, join, &group, netif);
}

/* ---- IPPROTO_IP ---- */

static int set_mcast_if(struct inet_sock *s, const void *val, unsigned len)
{
    struct ip_mreqn r = {0};
    if (len >= sizeof(r)) {
        memcpy(&r, val, sizeof(r));
    } else if (len >= sizeof(struct ip_mreq)) {
        memcpy(&r, val, sizeof(struct ip_mreq));
    } else if (len >= sizeof(struct in_addr)) {
        memcpy(&r.imr_address, val, sizeof(struct in_addr));
    } else {
        return -EINVAL;
    }
    struct netif *n = NULL;
    if (r.imr_ifindex != 0)
        n = net_by_index((unsigned)r.imr_ifindex);
    else if (r.imr_address.s_addr != 0)
        n = netif_of_address(r.imr_address.s_addr);
    if (n == NULL && (r.imr_ifindex != 0 || r.imr_address.s_addr != 0))
        return -EADDRNOTAVAIL;
    s->opt.mcast_if = n != NULL ? (uint8_t)net_index(n) : 0;
    s->opt.mcast_if_addr.addr = r.imr_address.s_addr;
    return 0;
}

static int set_ip(struct inet_sock *s, int name, const void *optval, unsigned len)
{
    struct ip_options *o = &s->opt;
    int v = 0;
    switch (name) {
    case IP_ADD_MEMBERSHIP:
    case IP_DROP_MEMBERSHIP:
        return s->is_tcp ? -EPROTO : group_v4(s, name == IP_ADD_MEMBERSHIP, optval, len);
    case IP_MULTICAST_IF:
        return set_mcast_if(s, optval, len);
    default:
        break;
    }
    if (inet_get_int(optval, len, &v) < 0)
        return -EINVAL;
    switch (name) {
    case IP_TOS:
        o->tos = (uint8_t)v;
        return 0;
    case IP_TTL:
        if (v != -1 && (v < 1 || v > 255))
            return -EINVAL;
        o->ttl = (int16_t)v;
        return 0;
    case IP_MINTTL:
        if (v < 0 || v > 255)
            return -EINVAL;
        return v == 0 ? 0 : -ENOPROTOOPT;
    case IP_MULTICAST_TTL:
        if (v < -1 || v > 255)
            return -EINVAL;
        o->mcast_ttl = (int16_t)v;
        return 0;
    case IP_MULTICAST_LOOP:
        o->mcast_loop = v != 0;
        return 0;
    case IP_MULTICAST_ALL:
        if (v != 0 && v != 1)
            return -EINVAL;
        o->mcast_all = v != 0;
        return 0;
    case IP_UNICAST_IF: {
        unsigned index = lwip_ntohl((uint32_t)v);
        if (index != 0 && net_by_index(index) == NULL)
            return -EADDRNOTAVAIL;
        o->unicast_if = (uint8_t)index;
        return 0;
    }
    case IP_PKTINFO:
        o->recv_pktinfo = v != 0;
        return 0;
    case IP_RECVTTL:
        o->recv_ttl = v != 0;
        return 0;
    case IP_RECVTOS:
        o->recv_tos = v != 0;
        return 0;
    case IP_RECVORIGDSTADDR:
        o->recv_origdst = v != 0;
        return 0;
    case IP_RECVERR:
        o->recverr = v != 0;
        return 0;
    case IP_MTU_DISCOVER:
        if (v < IP_PMTUDISC_DONT || v > IP_PMTUDISC_OMIT)
            return -EINVAL;
        o->mtu_discover = (uint8_t)v;
        return 0;
    case IP_FREEBIND:
        o->freebind = v != 0;
        return 0;
    case IP_TRANSPARENT:
        o->transparent = v != 0;
        return 0;
    case IP_BIND_ADDRESS_NO_PORT:
        o->bind_no_port = v != 0;
        return 0;
    case IP_HDRINCL:
        if (s->sock.type != SOCK_RAW)
            return -ENOPROTOOPT;
        o->hdrincl = v != 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static struct netif *any_netif(const struct inet_sock *s)
{
    struct netif *n = net_by_index(s->device);
    return n != NULL ? n : netif_default;
}

static int get_ip(struct inet_sock *s, int name, void *val, unsigned *len)
{
    const struct ip_options *o = &s->opt;
    switch (name) {
    case IP_TOS:
        return inet_put_int(o->tos, val, len);
    case IP_TTL:
        return inet_put_int(o->ttl < 0 ? TTL_DEFAULT : o->ttl, val, len);
    case IP_MINTTL:
        return inet_put_int(0, val, len);
    case IP_MULTICAST_TTL:
        return inet_put_int(o->mcast_ttl < 0 ? 1 : o->mcast_ttl, val, len);
    case IP_MULTICAST_LOOP:
        return inet_put_int(o->mcast_loop, val, len);
    case IP_MULTICAST_ALL:
        return inet_put_int(o->mcast_all, val, len);
    case IP_MULTICAST_IF:
        *len = MIN(*len, (unsigned)sizeof(o->mcast_if_addr));
        memcpy(val, &o->mcast_if_addr, *len);
        return 0;
    case IP_UNICAST_IF:
        return inet_put_int((int)lwip_htonl(o->unicast_if), val, len);
    case IP_PKTINFO:
        return inet_put_int(o->recv_pktinfo, val, len);
    case IP_RECVTTL:
        return inet_put_int(o->recv_ttl, val, len);
    case IP_RECVTOS:
        return inet_put_int(o->recv_tos, val, len);
    case IP_RECVORIGDSTADDR:
        return inet_put_int(o->recv_origdst, val, len);
    case IP_RECVERR:
        return inet_put_int(o->recverr, val, len);
    case IP_MTU_DISCOVER:
        return inet_put_int(o->mtu_discover, val, len);
    case IP_MTU: {
        struct netif *n = any_netif(s);
        return n == NULL ? -ENOTCONN : inet_put_int(n->mtu, val, len);
    }
    case IP_FREEBIND:
        return inet_put_int(o->freebind, val, len);
    case IP_TRANSPARENT:
        return inet_put_int(o->transparent, val, len);
    case IP_BIND_ADDRESS_NO_PORT:
        return inet_put_int(o->bind_no_port, val, len);
    case IP_HDRINCL:
        return s->sock.type == SOCK_RAW ? inet_put_int(o->hdrincl, val, len) : -ENOPROTOOPT;
    case IP_OPTIONS: /* none are ever sent */
        *len = 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

/* ---- IPPROTO_IPV6 ---- */

static int set_ipv6(struct inet_sock *s, int name, const void *optval, unsigned len)
{
    struct ip_options *o = &s->opt;
    int v = 0;
    if (name == IPV6_ADD_MEMBERSHIP || name == IPV6_DROP_MEMBERSHIP)
        return s->is_tcp ? -EPROTO : group_v6(s, name == IPV6_ADD_MEMBERSHIP, optval, len);
    if (inet_get_int(optval, len, &v) < 0)
        return -EINVAL;
    switch (name) {
    case IPV6_V6ONLY:
        if (s->bind_port != 0)
            return -EINVAL;
        o->v6only = v != 0;
        return 0;
    case IPV6_TCLASS:
        if (v < -1 || v > 255)
            return -EINVAL;
        o->tos = v < 0 ? 0 : (uint8_t)v;
        return 0;
    case IPV6_UNICAST_HOPS:
        if (v < -1 || v > 255)
            return -EINVAL;
        o->ttl = (int16_t)v;
        return 0;
    case IPV6_MULTICAST_HOPS:
        if (v < -1 || v > 255)
            return -EINVAL;
        o->mcast_ttl = (int16_t)v;
        return 0;
    case IPV6_MULTICAST_LOOP:
        if (v != 0 && v != 1)
            return -EINVAL;
        o->mcast_loop = v != 0;
        return 0;
    case IPV6_MULTICAST_ALL:
        o->mcast_all = v != 0;
        return 0;
    case IPV6_MULTICAST_IF:
        if (v != 0 && net_by_index((unsigned)v) == NULL)
            return -ENODEV;
        o->mcast_if = (uint8_t)v;
        return 0;
    case IPV6_UNICAST_IF: {
        unsigned index = lwip_ntohl((uint32_t)v);
        if (index != 0 && net_by_index(index) == NULL)
            return -EADDRNOTAVAIL;
        o->unicast_if = (uint8_t)index;
        return 0;
    }
    case IPV6_RECVPKTINFO:
        o->recv_pktinfo6 = v != 0;
        return 0;
    case IPV6_RECVHOPLIMIT:
        o->recv_hoplimit = v != 0;
        return 0;
    case IPV6_RECVTCLASS:
        o->recv_tclass = v != 0;
        return 0;
    case IPV6_RECVERR:
        o->recverr6 = v != 0;
        return 0;
    case IPV6_MTU_DISCOVER:
        if (v < IPV6_PMTUDISC_DONT || v > IPV6_PMTUDISC_OMIT)
            return -EINVAL;
        o->mtu_discover = (uint8_t)v;
        return 0;
    case IPV6_MTU:
        if (v != 0 && (v < IP6_MIN_MTU_LENGTH || v > UINT16_MAX))
            return -EINVAL;
        if (s->is_tcp && v != 0)
            return -ENOPROTOOPT;
        o->mtu6 = (uint16_t)v;
        return 0;
    case IPV6_DONTFRAG:
        o->dontfrag = v != 0;
        return 0;
    case IPV6_AUTOFLOWLABEL:
        return v == 0 ? 0 : -ENOPROTOOPT; /* labels are zero */
    case IPV6_FREEBIND:
        o->freebind = v != 0;
        return 0;
    case IPV6_TRANSPARENT:
        o->transparent = v != 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int get_ipv6(struct inet_sock *s, int name, void *val, unsigned *len)
{
    const struct ip_options *o = &s->opt;
    switch (name) {
    case IPV6_V6ONLY:
        return inet_put_int(o->v6only, val, len);
    case IPV6_TCLASS:
        return inet_put_int(o->tos, val, len);
    case IPV6_UNICAST_HOPS:
        return inet_put_int(o->ttl < 0 ? TTL_DEFAULT : o->ttl, val, len);
    case IPV6_MULTICAST_HOPS:
        return inet_put_int(o->mcast_ttl < 0 ? 1 : o->mcast_ttl, val, len);
    case IPV6_MULTICAST_LOOP:
        return inet_put_int(o->mcast_loop, val, len);
    case IPV6_MULTICAST_ALL:
        return inet_put_int(o->mcast_all, val, len);
    case IPV6_MULTICAST_IF:
        return inet_put_int(o->mcast_if, val, len);
    case IPV6_UNICAST_IF:
        return inet_put_int((int)lwip_htonl(o->unicast_if), val, len);
    case IPV6_RECVPKTINFO:
        return inet_put_int(o->recv_pktinfo6, val, len);
    case IPV6_RECVHOPLIMIT:
        return inet_put_int(o->recv_hoplimit, val, len);
    case IPV6_RECVTCLASS:
        return inet_put_int(o->recv_tclass, val, len);
    case IPV6_RECVERR:
        return inet_put_int(o->recverr6, val, len);
    case IPV6_MTU_DISCOVER:
        return inet_put_int(o->mtu_discover, val, len);
    case IPV6_MTU: {
        struct netif *n = any_netif(s);
        return n == NULL ? -ENOTCONN : inet_put_int(n->mtu, val, len);
    }
    case IPV6_DONTFRAG:
        return inet_put_int(o->dontfrag, val, len);
    case IPV6_AUTOFLOWLABEL:
        return inet_put_int(0, val, len);
    case IPV6_FREEBIND:
        return inet_put_int(o->freebind, val, len);
    case IPV6_TRANSPARENT:
        return inet_put_int(o->transparent, val, len);
    default:
        return -ENOPROTOOPT;
    }
}

int inet_setsockopt(struct inet_sock *s, int level, int name, const void *val, unsigned len)
{
    if (level == SOL_IP)
        return set_ip(s, name, val, len);
    if (level == SOL_IPV6 && s->sock.family == AF_INET6)
        return set_ipv6(s, name, val, len);
    return -ENOPROTOOPT;
}

int inet_getsockopt(struct inet_sock *s, int level, int name, void *val, unsigned *len)
{
    if (level == SOL_IP)
        return get_ip(s, name, val, len);
    if (level == SOL_IPV6 && s->sock.family == AF_INET6)
        return get_ipv6(s, name, val, len);
    return -ENOPROTOOPT;
}
