/*
 * Raw sockets (raw(7)) and ping sockets (SOCK_DGRAM with IPPROTO_ICMP or IPPROTO_ICMPV6, icmp(7)):
 * the part of inet_dgram.c that speaks to lwIP's raw PCBs. raw_on_recv() runs inside lwIP, the rest
 * in threads. lwIP also sees every packet (echo requests are answered by it).
 */
#include "net/inet_dgram.h"

#include "lwip/inet_chksum.h"
#include "lwip/ip.h"
#include "lwip/prot/icmp.h"
#include "lwip/prot/icmp6.h"
#include "lwip/prot/ip4.h"

#define OPT_ICMP_FILTER  1 /* level SOL_RAW: linux/icmp.h's ICMP_FILTER */
#define OPT_ICMP6_FILTER 1 /* level SOL_ICMPV6: linux/icmpv6.h's ICMPV6_FILTER */

struct icmp_head {
    uint8_t type, code;
    uint16_t checksum, id, seq;
};

static bool icmp_wanted(const struct dgram_sock *d, const struct pbuf *p, u16_t hlen)
{
    struct icmp_head h;
    if (pbuf_copy_partial(p, &h, sizeof(h), hlen) != sizeof(h))
        return d->kind == DGRAM_RAW;
    bool v6 = ip_current_is_v6();
    if (d->kind == DGRAM_PING)
        return h.type == (v6 ? ICMP6_TYPE_EREP : ICMP_ER) && lwip_htons(h.id) == d->in.bind_port;
    if (v6)
        return !(d->icmp6_filter[h.type / 32] & 1u << h.type % 32);
    return h.type >= 32 || !(d->icmp_filter & 1u << h.type);
}

/* Never eats a packet: lwIP goes on with it. */
static u8_t raw_on_recv(void *arg, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *addr)
{
    struct dgram_sock *d = arg;
    u16_t hlen = ip_current_header_tot_len();
    int proto = d->in.sock.protocol;
    if ((proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) && !icmp_wanted(d, p, hlen))
        return 0;
    if (d->connected && !ip_addr_cmp(&d->remote_ip, addr))
        return 0;
    struct pbuf *copy = pbuf_clone(PBUF_RAW, PBUF_RAM, p);
    if (copy == NULL) {
        net_stats.sock_no_memory++;
        return 0;
    }
    /* IPv4 raw sockets see the IP header, the others do not (raw(7), ipv6(7)). */
    if (d->kind == DGRAM_PING || ip_current_is_v6())
        pbuf_remove_header(copy, hlen);
    dgram_deliver_current(d, copy, 0);
    return 0;
}

int raw_sock_open(struct dgram_sock *d)
{
    u8_t type = d->in.sock.family == AF_INET ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6;
    d->raw = raw_new_ip_type(type, (u8_t)d->in.sock.protocol);
    if (d->raw == NULL)
        return -ENOBUFS;
    IP_SET_TYPE_VAL(d->in.bind_ip, type);
    raw_recv(d->raw, raw_on_recv, d);
    if (d->in.sock.protocol == IPPROTO_RAW) { /* for sending only, with a header of one's own */
        d->in.opt.hdrincl = true;
        raw_recv(d->raw, NULL, NULL);
    }
    return 0;
}

void raw_sock_close(struct dgram_sock *d)
{
    raw_remove(d->raw);
    d->raw = NULL;
}

/* A ping socket's identifier is its port; the checksum is ours to compute. */
static int prepare_ping(struct dgram_sock *d, struct pbuf *p, bool v6)
{
    struct icmp_head *h = p->payload;
    if (p->len < sizeof(*h))
        return -EINVAL;
    if (h->type != (v6 ? ICMP6_TYPE_EREQ : ICMP_ECHO) || h->code != 0)
        return -EINVAL;
    if (d->in.bind_port == 0) {
        ip_addr_t any = {0};
        IP_SET_TYPE_VAL(any, inet_ip_type(&d->in));
        int r = inet_bind(&d->in, &any, 0);
        if (r < 0)
            return r;
    }
    h->id = lwip_htons(d->in.bind_port);
    h->checksum = 0;
    if (!v6)
        h->checksum = inet_chksum_pbuf(p);
    return 0;
}

ssize_t raw_sock_send(struct dgram_sock *d, struct sock_msg *m)
{
    struct dgram_dest to;
    size_t len = m->it->count;
    int r = dgram_route(d, m, &to);
    if (r < 0)
        return r;
    bool v6 = IP_IS_V6_VAL(to.ip);
    if (v6 != (d->in.sock.family == AF_INET6))
        return -EINVAL;
    struct pbuf *p = dgram_fill(m, len, PBUF_IP, &r); /* may sleep */
    if (p == NULL)
        return r;
    struct raw_pcb *raw = d->raw;
    raw->tos = to.tos;
    raw->ttl = to.ttl;
    raw_set_multicast_ttl(raw, to.ttl);
    if (d->kind == DGRAM_PING)
        r = prepare_ping(d, p, v6);
    raw->chksum_reqd = v6 && (d->in.sock.protocol == IPPROTO_ICMPV6 || d->checksum_off >= 0);
    raw->chksum_offset = d->in.sock.protocol == IPPROTO_ICMPV6 ? 2 : (u16_t)MAX(d->checksum_off, 0);
    if (d->in.opt.hdrincl && !v6) {
        if (len < IP_HLEN)
            r = -EINVAL;
        else
            raw_set_flags(raw, RAW_FLAGS_HDRINCL);
    } else {
        raw_clear_flags(raw, RAW_FLAGS_HDRINCL);
    }
    if (r == 0)
        r = inet_errno(raw_sendto_if_src(raw, p, &to.ip, to.netif, &to.src));
    pbuf_free(p);
    return r < 0 ? r : (ssize_t)len;
}

int raw_sock_setopt(struct dgram_sock *d, int level, int name, const void *val, unsigned len)
{
    if (level == SOL_RAW && name == OPT_ICMP_FILTER && d->in.sock.protocol == IPPROTO_ICMP) {
        if (len < sizeof(d->icmp_filter))
            return -EINVAL;
        memcpy(&d->icmp_filter, val, sizeof(d->icmp_filter));
        return 0;
    }
    if (level == SOL_ICMPV6 && name == OPT_ICMP6_FILTER && d->in.sock.protocol == IPPROTO_ICMPV6) {
        if (len < sizeof(d->icmp6_filter))
            return -EINVAL;
        memcpy(d->icmp6_filter, val, sizeof(d->icmp6_filter));
        return 0;
    }
    if (level == SOL_IPV6 && name == IPV6_CHECKSUM) {
        int v;
        if (inet_get_int(val, len, &v) < 0 || (v > 0 && (v & 1)))
            return -EINVAL;
        d->checksum_off = v < 0 ? -1 : v;
        return 0;
    }
    return -ENOPROTOOPT;
}

int raw_sock_getopt(struct dgram_sock *d, int level, int name, void *val, unsigned *len)
{
    if (level == SOL_RAW && name == OPT_ICMP_FILTER) {
        *len = MIN(*len, (unsigned)sizeof(d->icmp_filter));
        memcpy(val, &d->icmp_filter, *len);
        return 0;
    }
    if (level == SOL_ICMPV6 && name == OPT_ICMP6_FILTER) {
        *len = MIN(*len, (unsigned)sizeof(d->icmp6_filter));
        memcpy(val, d->icmp6_filter, *len);
        return 0;
    }
    if (level == SOL_IPV6 && name == IPV6_CHECKSUM)
        return inet_put_int(d->checksum_off, val, len);
    return -ENOPROTOOPT;
}
