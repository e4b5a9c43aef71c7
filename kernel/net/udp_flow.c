/*
 * UDP output without routing and lwIP's IP output. What a route decides of a message (interface,
 * source, TOS, TTL) is kept from the last one that was routed, and holds while the socket's
 * address and options are the same (udp_flow_forget()) and the interface has the same address;
 * for other destinations too, as long as they are neighbours' or a gateway's, which ethif.c knows
 * by having sent there, and no other interface could lead to them.
 *
 * The packet is built in a netbuf: room for the device's header, the headers, the data, in one
 * piece. Called by inet_udp.c in a thread.
 */
#include "net/udp_flow.h"

#include "net/ethif.h"
#include "net/inet_dgram.h"
#include "net/netdev.h"

#include "lwip/prot/udp.h"

#define DATA_AT  (NETBUF_HEAD + 64u) /* of the block; the headers end here */
#define DATA_MAX (NETBUF_SIZE - DATA_AT)
_Static_assert(DATA_AT >= NETBUF_HEAD + NETDEV_HEADROOM + ETHIF_IP4_ROOM + UDP_HLEN, "room");

/* Where a message goes, in network order. */
struct target {
    u32_t ip;
    u16_t port;
};

static __always_inline bool target_of(const struct dgram_sock *d, const struct sock_msg *m,
                                      struct target *t)
{
    if (m->addr) {
        __builtin_memcpy(&t->port, m->addr->bytes + 2, sizeof(t->port));
        __builtin_memcpy(&t->ip, m->addr->bytes + 4, sizeof(t->ip));
        return m->addr->len == 16 && m->addr->family == AF_INET && t->port != 0;
    }
    t->port = lwip_htons(d->remote_port);
    t->ip = ip_2_ip4(&d->remote_ip)->addr;
    return d->connected && IP_IS_V4_VAL(d->remote_ip) && t->port != 0;
}

static bool only_way_out(const struct netif *netif)
{
    const struct netif *n;

    NETIF_FOREACH(n)
    if (n != netif && !net_is_lo(n))
        return false;
    return netif == netif_default;
}

/* Does the control data, if any, ask only for what is done anyway? Servers that answer from the
 * address they were asked at say so with each message (IP_PKTINFO). */
static bool control_agrees(const struct sock_msg *m, u32_t src, const struct netif *netif)
{
    const struct cmsghdr *c = m->control;
    struct in_pktinfo i;

    if (likely(m->control_len == 0))
        return true;
    if (m->control_len > CMSG_SPACE(sizeof(i)) || c->cmsg_len != CMSG_LEN(sizeof(i)) ||
        c->cmsg_level != SOL_IP || c->cmsg_type != IP_PKTINFO)
        return false;
    __builtin_memcpy(&i, CMSG_DATA(c), sizeof(i));
    return (i.ipi_spec_dst.s_addr == 0 || i.ipi_spec_dst.s_addr == src) &&
           (i.ipi_ifindex == 0 || (unsigned)i.ipi_ifindex == netif_get_index(netif));
}

void udp_flow_learn(struct dgram_sock *d, const struct sock_msg *m, const struct dgram_dest *to)
{
    struct udp_flow *f = &d->flow;
    struct target t;

    udp_flow_forget(f);
    if (!target_of(d, m, &t) || !IP_IS_V4_VAL(to->ip) || !IP_IS_V4_VAL(to->src) ||
        !control_agrees(m, ip_2_ip4(&to->src)->addr, to->netif) || ip_addr_ismulticast(&to->ip) ||
        net_is_lo(to->netif) || ip_2_ip4(&to->src)->addr != netif_ip4_addr(to->netif)->addr ||
        ip_2_ip4(&to->ip)->addr != t.ip)
        return;
    f->dst = t.ip;
    f->src = ip_2_ip4(&to->src)->addr;
    f->tos = to->tos;
    f->ttl = to->ttl;
    f->any_dst = only_way_out(to->netif);
    f->netif = to->netif;
}

/* Does what was learnt hold for it? This host, and no host at all (RFC 6890), are elsewhere. */
static __always_inline bool leads_to(const struct udp_flow *f, u32_t ip)
{
    return likely(f->netif && netif_ip4_addr(f->netif)->addr == f->src) &&
           (ip == f->dst || (f->any_dst && ip != f->src && (u8_t)ip != 127 && (u8_t)ip != 0));
}

ssize_t udp_flow_send(struct dgram_sock *d, struct sock_msg *m)
{
    struct udp_flow *f = &d->flow;
    size_t len = m->it->count;
    u32_t uses = f->uses;
    struct ethif_ip4 ip;
    struct udp_hdr *udp;
    struct netbuf *b;
    struct target t;
    err_t r;

    if (unlikely(!target_of(d, m, &t) || !leads_to(f, t.ip) || len > DATA_MAX || m->it->nr != 1 ||
                 m->it->kernel || m->flags & MSG_MORE || d->corked || netbuf_scarce() ||
                 !control_agrees(m, f->src, f->netif)))
        return UDP_FLOW_MISS;
    b = netbuf_alloc();
    if (unlikely(!b))
        return UDP_FLOW_MISS;
    b->data = DATA_AT - UDP_HLEN;
    b->len = (uint16_t)(len + UDP_HLEN);
    udp = (struct udp_hdr *)((u8_t *)b + b->data);
    if (len && unlikely(copy_from_iter(m->it, (u8_t *)b + DATA_AT, len) != (ssize_t)len)) {
        netbuf_free(b);
        return -EFAULT;
    }
    /* If the copy slept, the socket may have changed. */
    if (unlikely(f->uses != uses)) {
        netbuf_free(b);
        goto rewind;
    }
    udp->src = lwip_htons(d->in.bind_port);
    udp->dest = t.port;
    udp->len = lwip_htons((u16_t)(len + UDP_HLEN));
    ip = (struct ethif_ip4){.src = f->src, .dst = t.ip, .tos = f->tos, .ttl = f->ttl};
    r = ethif_output_udp4(f->netif, b, &ip);
    if (likely(r == ERR_OK)) {
        UDP_STATS_INC(udp.xmit);
        return (ssize_t)len;
    }
    if (r == ERR_RTE)
        netbuf_free(b);
rewind: /* the long way knows how to wait, and whom to ask */
    m->it->off -= len;
    m->it->count += len;
    return UDP_FLOW_MISS;
}
