/*
 * ICMP errors for sockets: a message that something we sent did not arrive quotes the packet's
 * first bytes; from them the socket is found that sent it. Called by lwIP (LWIP_HOOK_ICMP_ERROR);
 * what the message says is checked, since anybody can send one.
 */
#include "net/inet_dgram.h"

#include "net/inet_tcp.h"
#include "net/lwip/hooks.h"

#include "lwip/ip.h"
#include "lwip/prot/icmp.h"
#include "lwip/prot/icmp6.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/ip6.h"

#define ICMP_HEAD  8
#define V4_MIN_MTU 68

/* ip(7), icmp(7): what the application is told. *hard: also when the socket did not ask for errors
 * (IP_RECVERR) and is connected. */
static int errno_v4(uint8_t type, uint8_t code, bool *hard)
{
    static const struct {
        uint8_t error;
        bool hard;
    } unreachable[] = {
        {ENETUNREACH, false},  {EHOSTUNREACH, false}, {ENOPROTOOPT, true},  {ECONNREFUSED, true},
        {EMSGSIZE, true},      {EOPNOTSUPP, false},   {ENETUNREACH, true},  {EHOSTDOWN, true},
        {ENONET, true},        {ENETUNREACH, true},   {EHOSTUNREACH, true}, {ENETUNREACH, false},
        {EHOSTUNREACH, false}, {EHOSTUNREACH, true},  {EHOSTUNREACH, true}, {EHOSTUNREACH, true},
    };
    *hard = false;
    if (type == ICMP_TE)
        return EHOSTUNREACH;
    if (type == ICMP_PP) {
        *hard = true;
        return EPROTO;
    }
    if (code >= ARRAY_SIZE(unreachable))
        return EHOSTUNREACH;
    *hard = unreachable[code].hard;
    return unreachable[code].error;
}

static int errno_v6(uint8_t type, uint8_t code, bool *hard)
{
    static const uint8_t unreachable[] = {ENETUNREACH,  EACCES, EHOSTUNREACH, EHOSTUNREACH,
                                          ECONNREFUSED, EACCES, EACCES};
    *hard = false;
    if (type == ICMP6_TYPE_TE)
        return EHOSTUNREACH;
    if (type == ICMP6_TYPE_PP) {
        *hard = true;
        return EPROTO;
    }
    *hard = code == 1 || code == 4;
    return code < ARRAY_SIZE(unreachable) ? unreachable[code] : EPROTO;
}

static void udp_error(const ip_addr_t *local, u16_t local_port, const ip_addr_t *remote,
                      u16_t remote_port, int error, bool hard, bool v6)
{
    struct udp_pcb *u = udp_find(local, local_port, remote, remote_port);
    if (u != NULL && u->recv_arg != NULL) {
        struct dgram_sock *d = u->recv_arg;
        if (hard || (v6 ? d->in.opt.recverr6 : d->in.opt.recverr))
            dgram_error(d, error);
    }
}

static void tcp_error(const ip_addr_t *local, u16_t local_port, const ip_addr_t *remote,
                      u16_t remote_port, u32_t seq, int error, bool hard, u16_t mtu)
{
    struct tcp_pcb *p = tcp_pcb_find(local, local_port, remote, remote_port, NETIF_NO_INDEX);
    /* Only what is in flight can have been refused (RFC 5927 §4.1). */
    if (p == NULL || p->state == TIME_WAIT || p->callback_arg == NULL ||
        !TCP_SEQ_BETWEEN(seq, p->lastack, p->snd_nxt))
        return;
    struct tcp_sock *t = p->callback_arg;
    if (mtu != 0) { /* path MTU discovery (RFC 1191): smaller segments, at once */
        u16_t mss = (u16_t)(mtu - IP_HLEN - TCP_HLEN);
        if (mtu >= V4_MIN_MTU && mss < p->mss) {
            p->mss = mss;
            tcp_rexmit_rto(p);
        }
    } else if (p->state == SYN_SENT && hard && t->state == TS_CONNECTING) {
        tcp_sock_detach(t);
        tcp_abandon(p, 0);
        t->state = TS_IDLE;
        t->in.sock.error = error;
        waitq_wake(&t->in.sock.file.waitq, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP);
    }
    /* Errors to an established connection are transient (RFC 1122 4.2.3.9). */
}

void net_icmp_error(struct pbuf *p, struct netif *netif)
{
    u8_t b[ICMP_HEAD + IP_HLEN + 60 + 8];
    u16_t len = pbuf_copy_partial(p, b, sizeof(b), 0);
    bool v6 = ip_current_is_v6(), hard;
    ip_addr_t local = {0}, remote = {0};
    u16_t hlen, mtu = 0;
    u8_t proto;
    int error;

    if (v6) {
        const struct ip6_hdr *h = (const struct ip6_hdr *)(b + ICMP_HEAD);
        hlen = IP6_HLEN;
        if (len < ICMP_HEAD + IP6_HLEN + 8)
            return;
        proto = IP6H_NEXTH(h);
        memcpy(ip_2_ip6(&local)->addr, &h->src, 16);
        memcpy(ip_2_ip6(&remote)->addr, &h->dest, 16);
        IP_SET_TYPE_VAL(local, IPADDR_TYPE_V6);
        IP_SET_TYPE_VAL(remote, IPADDR_TYPE_V6);
        error = errno_v6(b[0], b[1], &hard);
    } else {
        const struct ip_hdr *h = (const struct ip_hdr *)(b + ICMP_HEAD);
        if (len < ICMP_HEAD + IP_HLEN + 8)
            return;
        hlen = IPH_HL_BYTES(h);
        if (hlen < IP_HLEN || len < ICMP_HEAD + hlen + 8)
            return;
        proto = IPH_PROTO(h);
        ip_addr_set_ip4_u32_val(local, h->src.addr);
        ip_addr_set_ip4_u32_val(remote, h->dest.addr);
        error = errno_v4(b[0], b[1], &hard);
        if (b[0] == ICMP_DUR && b[1] == ICMP_DUR_FRAG)
            mtu = (u16_t)(b[6] << 8 | b[7]);
    }
    if (!inet_is_local(&local))
        return;
    const u8_t *l4 = b + ICMP_HEAD + hlen;
    u16_t local_port = (u16_t)(l4[0] << 8 | l4[1]), remote_port = (u16_t)(l4[2] << 8 | l4[3]);
    u32_t seq = (u32_t)l4[4] << 24 | (u32_t)l4[5] << 16 | (u32_t)l4[6] << 8 | l4[7];
    if (proto == IPPROTO_UDP)
        udp_error(&local, local_port, &remote, remote_port, error, hard, v6);
    else if (proto == IPPROTO_TCP)
        tcp_error(&local, local_port, &remote, remote_port, seq, error, hard, mtu);
}
