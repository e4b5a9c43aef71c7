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
#include "net/plain_msg.h"

#include "lwip/prot/udp.h"

#define DATA_AT  (NETBUF_HEAD + 64u) /* of the block; the headers end here */
#define DATA_MAX (NETBUF_SIZE - DATA_AT)
#define BURST    32u /* frames that are built before the device gets them */
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

/* The headers before len bytes of data, which lie at DATA_AT of a netbuf; false: no way. */
static __always_inline bool put_frame(const struct dgram_sock *d, struct wherry_packet *p,
                                      u8_t *data, size_t len, const struct target *t)
{
    const struct udp_flow *f = &d->flow;
    struct ethif_ip4 ip = {.src = f->src, .dst = t->ip, .tos = f->tos, .ttl = f->ttl};
    struct udp_hdr *udp = (struct udp_hdr *)(data - UDP_HLEN);

    udp->src = lwip_htons(d->in.bind_port);
    udp->dest = t->port;
    udp->len = lwip_htons((u16_t)(len + UDP_HLEN));
    *p = (struct wherry_packet){.data = data - UDP_HLEN - ETHIF_IP4_ROOM,
                                .len = (u16_t)(len + UDP_HLEN + ETHIF_IP4_ROOM),
                                ETHIF_UDP4_CSUM};
    return ethif_frame_udp4(f->netif, (u8_t *)udp, (u16_t)(len + UDP_HLEN), &ip);
}

ssize_t udp_flow_send(struct dgram_sock *d, struct sock_msg *m)
{
    struct udp_flow *f = &d->flow;
    size_t len = m->it->count;
    u32_t uses = f->uses;
    struct wherry_packet frame;
    struct netbuf *b;
    struct target t;
    u8_t *data;

    if (unlikely(!target_of(d, m, &t) || !leads_to(f, t.ip) || len > DATA_MAX || m->it->nr != 1 ||
                 m->it->kernel || m->flags & MSG_MORE || d->corked || netbuf_scarce() ||
                 !control_agrees(m, f->src, f->netif)))
        return UDP_FLOW_MISS;
    b = netbuf_alloc();
    if (unlikely(!b))
        return UDP_FLOW_MISS;
    data = (u8_t *)b + DATA_AT;
    if (len && unlikely(copy_from_iter(m->it, data, len) != (ssize_t)len)) {
        netbuf_free(b);
        return -EFAULT;
    }
    /* If the copy slept, the socket may have changed. */
    if (likely(f->uses == uses && put_frame(d, &frame, data, len, &t) &&
               ethif_output_frames(f->netif, &frame, 1) == 1)) {
        UDP_STATS_INC(udp.xmit);
        return (ssize_t)len;
    }
    /* The long way knows how to wait, and whom to ask. */
    netbuf_free(b);
    m->it->off -= len;
    m->it->count += len;
    return UDP_FLOW_MISS;
}

/* ---- Many messages ---- */

/* Where a plain message goes. Reads all of its name, and says no where that would fail. */
static __always_inline bool plain_target(const struct dgram_sock *d, const struct plain_msg *m,
                                         struct target *t)
{
    const uint64_t *name = m->name;
    uint64_t lo, hi;

    if (likely(name && m->name_len != 0)) {
        if (unlikely(m->name_len != 16))
            return false;
        user_load(lo, &name[0], fault);
        user_load(hi, &name[1], fault);
        (void)hi;
        t->port = (u16_t)(lo >> 16);
        t->ip = (u32_t)(lo >> 32);
        return likely((u16_t)lo == AF_INET && t->port != 0);
    }
    t->port = lwip_htons(d->remote_port);
    t->ip = ip_2_ip4(&d->remote_ip)->addr;
    return d->connected && IP_IS_V4_VAL(d->remote_ip) && t->port != 0;
fault:
    return false;
}

/* A message as a frame. False: it is for sendmsg(), or out of memory, and nothing has changed. */
static __always_inline bool build(struct dgram_sock *d, struct wherry_packet *p,
                                  const struct plain_msg *m)
{
    const struct udp_flow *f = &d->flow;
    u32_t uses = f->uses;
    struct netbuf *b;
    struct target t;
    u8_t *data;

    if (unlikely(!plain_target(d, m, &t) || !leads_to(f, t.ip) || m->len > DATA_MAX || d->corked ||
                 d->tx_shut || d->in.sock.error != 0))
        return false;
    b = netbuf_alloc();
    if (unlikely(!b))
        return false;
    data = (u8_t *)b + DATA_AT;
    if (likely(user_copy(data, m->base, m->len) == 0 && f->uses == uses &&
               put_frame(d, p, data, m->len, &t)))
        return true;
    netbuf_free(b);
    return false;
}

static struct netbuf *block_of(const struct wherry_packet *p)
{
    return (struct netbuf *)ALIGN_DOWN((uintptr_t)p->data, (uintptr_t)NETBUF_SIZE);
}

/* The device did not take these: nothing has happened to the messages. */
static void unbuild(struct mmsghdr *u, const struct wherry_packet *p, const unsigned *was,
                    unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        netbuf_free(block_of(&p[i]));
        user_store(was[i], &u[i].msg_len, fault);
    fault:
        continue;
    }
}

/* Up to n frames to one interface: how many. Each one's msg_len is written, and was[] is what was
 * there before. All of it may sleep, with frames that wait. */
static unsigned build_many(struct dgram_sock *d, struct mmsghdr *u, unsigned n,
                           struct wherry_packet *p, unsigned *was)
{
    u32_t uses = d->flow.uses;
    unsigned i;

    for (i = 0; i < n; i++) {
        struct plain_msg m;

        if (unlikely(!plain_msg_load(&m, &u[i].msg_hdr) || !build(d, &p[i], &m)))
            break;
        /* If the interface has changed, this frame is for another than those before. */
        if (unlikely(d->flow.uses != uses))
            goto take_back;
        user_load(was[i], &u[i].msg_len, take_back);
        user_store((unsigned)m.len, &u[i].msg_len, take_back);
    }
    return i;
take_back:
    netbuf_free(block_of(&p[i]));
    return i;
}

unsigned udp_flow_send_many(struct dgram_sock *d, struct mmsghdr *u, unsigned n)
{
    struct wherry_packet p[BURST];
    unsigned was[BURST], done = 0, built, sent;

    while (done < n && d->flow.netif && !netbuf_scarce()) {
        struct netif *netif = d->flow.netif;
        unsigned some = MIN(n - done, BURST);

        built = build_many(d, u + done, some, p, was);
        if (built == 0)
            break;
        sent = ethif_output_frames(netif, p, built);
        done += sent;
        if (unlikely(sent < built))
            unbuild(u + done, p + sent, was + sent, built - sent);
        if (sent < some)
            break;
    }
    lwip_stats.udp.xmit += done;
    socket_stats.sends += done;
    return done;
}
