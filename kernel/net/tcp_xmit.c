/*
 * TCP output cut down to what a server's reply is: one small message on a connection that has
 * nothing else to send and may send at once. It does what tcp_write_pbuf(), tcp_output() and
 * tcp_output_segment() do for such a segment; any other takes those. Both put the IP and Ethernet
 * headers on by net_tcp_xmit(), where the peer is on an Ethernet and its address known.
 *
 * Called by net/inet_tcpio.c in a thread, and by lwIP (net/lwip/hooks.h) wherever the stack runs.
 */
#include "net/tcp_xmit.h"

#include "net/ethif.h"
#include "net/lwip/hooks.h"
#include "net/net.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/tcp.h"
#include "lwip/stats.h"

bool net_tcp_xmit(struct pbuf *p, const struct tcp_pcb *pcb, struct netif *netif, err_t *r)
{
    struct ethif_ip4 t = {.tos = pcb->tos, .ttl = pcb->ttl};

    if (!IP_IS_V4_VAL(pcb->remote_ip) || net_is_lo(netif))
        return false;
    t.src = ip_2_ip4(&pcb->local_ip)->addr;
    t.dst = ip_2_ip4(&pcb->remote_ip)->addr;
    return ethif_output_tcp4(netif, p, &t, r);
}

/* May the connection send len bytes now, as one segment, before which nothing waits? */
static __always_inline bool may_send(const struct tcp_pcb *pcb, u32_t len)
{
    return pcb->unsent == NULL && pcb->state == ESTABLISHED && len <= pcb->mss &&
           len <= pcb->snd_buf && pcb->snd_queuelen < TCP_SND_QUEUELEN &&
           (pcb->unacked == NULL || pcb->flags & TF_NODELAY) && tcp_input_pcb != pcb &&
           pcb->snd_lbb + len - pcb->lastack <= LWIP_MIN(pcb->snd_wnd, pcb->cwnd);
}

/* Makes seg p's, in front of whose data the header is put. */
static __always_inline void make_segment(struct tcp_seg *seg, const struct tcp_pcb *pcb,
                                         struct pbuf *p)
{
    struct tcp_hdr *h;

    seg->next = NULL;
    seg->p = p;
    seg->len = p->len;
    seg->flags = 0;
    pbuf_push(p, TCP_HLEN); /* PBUF_TRANSPORT leaves the room */
    h = seg->tcphdr = p->payload;
    h->src = lwip_htons(pcb->local_port);
    h->dest = lwip_htons(pcb->remote_port);
    h->seqno = lwip_htonl(pcb->snd_lbb);
    h->ackno = lwip_htonl(pcb->rcv_nxt);
    h->_hdrlen_rsvd_flags = PP_HTONS(TCP_HLEN / 4 << 12 | TCP_ACK | TCP_PSH);
    h->wnd = lwip_htons(TCPWND_MIN16(RCV_WND_SCALE(pcb, pcb->rcv_ann_wnd)));
    h->chksum = 0;
    h->urgp = 0;
}

/* What sending a segment changes in its connection: it is in flight, timed, and acknowledges. */
static __always_inline void account(struct tcp_pcb *pcb, struct tcp_seg *seg)
{
    struct tcp_seg **last = &pcb->unacked;

    if (pcb->rtime < 0)
        tcp_rtime_start(pcb);
    if (pcb->rttest == 0) {
        pcb->rttest = tcp_ticks;
        pcb->rtseq = pcb->snd_lbb;
    }
    while (unlikely(*last != NULL))
        last = &(*last)->next;
    *last = seg;
    pcb->rcv_ann_right_edge = pcb->rcv_nxt + pcb->rcv_ann_wnd;
    pcb->quickack = 0; /* we answer: acknowledgements ride along */
    pcb->snd_lbb += seg->len;
    pcb->snd_nxt = pcb->snd_lbb;
    pcb->snd_buf -= seg->len;
    pcb->snd_queuelen++;
    tcp_clear_flags(pcb, TF_ACK_DELAY | TF_ACK_NOW | TF_NAGLEMEMERR);
}

bool tcp_xmit_now(struct tcp_pcb *pcb, struct pbuf *p)
{
    struct netif *netif;
    struct tcp_seg *seg;
    err_t r;

    if (unlikely(p->next != NULL || !may_send(pcb, p->len)))
        return false;
    netif = pcb->netif_idx != NETIF_NO_INDEX ? netif_get_by_index(pcb->netif_idx)
                                             : ip_route(&pcb->local_ip, &pcb->remote_ip);
    seg = netif == NULL ? NULL : memp_malloc(MEMP_TCP_SEG);
    if (unlikely(seg == NULL))
        return false;
    make_segment(seg, pcb, p);
    if (unlikely(!net_tcp_xmit(p, pcb, netif, &r))) {
        pbuf_remove_header(p, TCP_HLEN);
        memp_free(MEMP_TCP_SEG, seg);
        return false;
    }
    TCP_STATS_INC(tcp.xmit);
    /* One that the device refused is as good as lost: it is repeated like one. */
    account(pcb, seg);
    return true;
}
