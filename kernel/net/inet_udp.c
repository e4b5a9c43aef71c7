/*
 * UDP sockets: the part of inet_dgram.c that speaks to lwIP's UDP. udp_sock_on_recv() runs inside
 * lwIP, the rest in threads.
 */
#include "net/inet_dgram.h"

#include "sched/clock.h"

#include "lwip/ip.h"
#include "lwip/nd6.h"

const bool net_sockets = true;

#define FULL_WAIT_NS (NSEC_PER_SEC / 5) /* a blocking sender waits so long for the device */

void udp_sock_on_recv(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *addr,
                      u16_t port)
{
    dgram_deliver_current(arg, p, port);
}

/* With IP_MULTICAST_ALL off: of multicasts, those of groups the socket itself has joined. */
static void udp_on_recv_own_groups(void *arg, struct udp_pcb *pcb, struct pbuf *p,
                                   const ip_addr_t *addr, u16_t port)
{
    struct dgram_sock *d = arg;
    if (ip_addr_ismulticast(ip_current_dest_addr()) &&
        !inet_in_group(&d->in, ip_current_input_netif(), ip_current_dest_addr()))
        pbuf_free(p);
    else
        dgram_deliver_current(d, p, port);
}

void udp_sock_options(struct dgram_sock *d)
{
    udp_recv(d->udp, d->in.opt.mcast_all ? udp_sock_on_recv : udp_on_recv_own_groups, d);
}

int udp_sock_open(struct dgram_sock *d)
{
    d->udp = udp_new_ip_type(inet_ip_type(&d->in));
    if (d->udp == NULL)
        return -ENOBUFS;
    udp_recv(d->udp, udp_sock_on_recv, d);
    return 0;
}

int udp_sock_bound(struct dgram_sock *d)
{
    struct udp_pcb *u = d->udp;
    if (d->kind != DGRAM_UDP)
        return 0;
    udp_flow_forget(&d->flow);
    udp_bind_unchecked(u, &d->in.bind_ip, d->in.bind_port);
    if (d->connected) {
        u->remote_ip = d->remote_ip;
        u->remote_port = d->remote_port;
        udp_set_flags(u, UDP_FLAGS_CONNECTED);
    } else {
        memset(&u->remote_ip, 0, sizeof(u->remote_ip));
        IP_SET_TYPE_VAL(u->remote_ip, IP_GET_TYPE(&u->local_ip));
        u->remote_port = 0;
        udp_clear_flags(u, UDP_FLAGS_CONNECTED);
    }
    return 0;
}

static int autobind(struct dgram_sock *d)
{
    ip_addr_t any = {0};
    IP_SET_TYPE_VAL(any, inet_ip_type(&d->in));
    int r = inet_bind(&d->in, &any, 0);
    if (r < 0)
        return r == -EADDRINUSE ? -EAGAIN : r;
    return udp_sock_bound(d);
}

/* One packet to lwIP; waits for the device if it is behind. */
static int transmit(struct dgram_sock *d, struct sock_msg *m, struct pbuf *p,
                    const struct dgram_dest *to)
{
    struct udp_pcb *u = d->udp;
    uint64_t give_up = 0;
    u->tos = to->tos;
    u->ttl = to->ttl;
    udp_set_multicast_ttl(u, to->ttl);
    if (d->in.opt.mcast_loop)
        udp_set_flags(u, UDP_FLAGS_MULTICAST_LOOP);
    else
        udp_clear_flags(u, UDP_FLAGS_MULTICAST_LOOP);
    for (;;) {
        u16_t len = p->tot_len;
        nd6_sender_mtu = d->in.opt.mtu6;
        err_t e = udp_sendto_if_src(u, p, &to->ip, to->port, to->netif, &to->src);
        nd6_sender_mtu = 0;
        if (likely(e != ERR_MEM))
            return inet_errno(e);
        pbuf_remove_header(p, p->tot_len - len); /* what was put in front before it failed */
        if (socket_deadline(d->in.sock.sndtimeo, m->flags, &d->in.sock) == 0)
            return -EAGAIN;
        uint64_t now = clock_mono_ns();
        if (give_up == 0)
            give_up = now + FULL_WAIT_NS;
        else if (now > give_up)
            return -ENOBUFS;
        net_flush();
        thread_yield();
    }
}

/* By a route, and lwIP. */
static __attribute__((noinline)) ssize_t send_routed(struct dgram_sock *d, struct sock_msg *m)
{
    struct dgram_dest to;
    size_t len = m->it->count;
    int r;

    if (unlikely(d->corked != NULL)) { /* the address was given with the first piece */
        struct sock_msg first = *m;
        first.addr = d->cork_addr.len != 0 ? &d->cork_addr : NULL;
        r = dgram_route(d, &first, &to);
    } else {
        r = dgram_route(d, m, &to);
    }
    if (unlikely(r < 0))
        return r;
    if (unlikely(to.port == 0))
        return -EINVAL;
    if (unlikely(d->in.bind_port == 0) && (r = autobind(d)) < 0)
        return r;
    struct pbuf *p = dgram_fill(m, len, PBUF_TRANSPORT, &r); /* may sleep */
    if (unlikely(p == NULL))
        return r;
    if (unlikely(d->corked != NULL || (m->flags & MSG_MORE))) {
        if (d->corked != NULL) {
            if (d->corked->tot_len + len > 65507) {
                pbuf_free(p);
                return -EMSGSIZE;
            }
            if (p->tot_len != 0)
                pbuf_cat(d->corked, p);
            else
                pbuf_free(p); /* an empty pbuf in a chain confuses lwIP */
        } else {
            d->corked = p;
            d->cork_addr.len = 0;
            if (m->addr != NULL)
                d->cork_addr = *m->addr;
        }
        if (m->flags & MSG_MORE)
            return (ssize_t)len;
        p = d->corked;
        d->corked = NULL;
    }
    if (unlikely(d->in.opt.mtu_discover == IP_PMTUDISC_DO ||
                 d->in.opt.mtu_discover == IP_PMTUDISC_PROBE ||
                 (d->in.opt.dontfrag && IP_IS_V6_VAL(to.ip))) &&
        p->tot_len + 8u + (IP_IS_V6_VAL(to.ip) ? 40u : 20u) > to.netif->mtu)
        r = -EMSGSIZE;
    else
        r = transmit(d, m, p, &to);
    if (r == 0)
        udp_flow_learn(d, m, &to);
    pbuf_free(p);
    return r < 0 ? r : (ssize_t)len;
}

ssize_t udp_sock_send(struct dgram_sock *d, struct sock_msg *m)
{
    ssize_t sent = udp_flow_send(d, m);

    return likely(sent != UDP_FLOW_MISS) ? sent : send_routed(d, m);
}
