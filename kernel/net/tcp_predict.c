/*
 * Header prediction (V. Jacobson, "4BSD TCP Header Prediction", 1990): on an established connection
 * the next segment is nearly always the data that is due, or an acknowledgement of what was sent,
 * with no option and no flag but ACK and PSH. For those this file does what tcp_input(),
 * tcp_process() and tcp_receive() would do, in the same order, and nothing else. Every condition
 * that a segment may not meet is tested before anything is changed.
 *
 * Called by the IPv4 input (net/ip4_fast.c); calls back whoever has the connections
 * (net/tcp_user.h).
 */
#include "net/tcp_predict.h"

#include "net/tcp_user.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/tcp.h"
#include "lwip/stats.h"

/* Header bytes 12 and 13 as a little-endian word: five words long, ACK; PSH may be there. */
#define PLAIN_MASK  0xf7ffu
#define PLAIN_VALUE 0x1050u

/* The state of a connection in which an ordinary segment has only ordinary effects: established, in
 * order, nothing being retransmitted or waiting, owned by somebody. */
static __always_inline bool is_quiet(const struct tcp_pcb *pcb)
{
    return pcb->state == ESTABLISHED && pcb->unsent == NULL && pcb->ooseq == NULL &&
           pcb->refused_data == NULL && !(pcb->flags & (TF_INFR | TF_RTO | TF_RXCLOSED)) &&
           pcb->recv == tcp_user_on_recv;
}

/* RFC 9293 §3.10.7.4: SND.WND follows the segment that is newest by sequence, then by
 * acknowledgement number. A segment with seq == RCV.NXT is never older than the last. */
static __always_inline void update_window(struct tcp_pcb *pcb, u32_t seq, u32_t ack, u16_t raw)
{
    tcpwnd_size_t wnd = SND_WND_SCALE(pcb, raw);

    if (pcb->snd_wl1 != seq || TCP_SEQ_LT(pcb->snd_wl2, ack) ||
        (pcb->snd_wl2 == ack && wnd > pcb->snd_wnd)) {
        pcb->snd_wnd = wnd;
        if (pcb->snd_wnd_max < wnd)
            pcb->snd_wnd_max = wnd;
        pcb->snd_wl1 = seq;
        pcb->snd_wl2 = ack;
    }
}

/* RFC 3465: slow start and congestion avoidance by bytes. */
static __always_inline void grow_cwnd(struct tcp_pcb *pcb, u32_t acked)
{
    if (pcb->cwnd < pcb->ssthresh) {
        TCP_WND_INC(pcb->cwnd, acked);
        return;
    }
    TCP_WND_INC(pcb->bytes_acked, acked);
    if (pcb->bytes_acked >= pcb->cwnd) {
        pcb->bytes_acked -= pcb->cwnd;
        TCP_WND_INC(pcb->cwnd, pcb->mss);
    }
}

/* RFC 6298 §2 in Jacobson's fixed point, as tcp_receive(): sa is 8 times, sv 4 times the value. */
static void measure_rtt(struct tcp_pcb *pcb)
{
    s16_t m = (s16_t)((s16_t)(tcp_ticks - pcb->rttest) - (pcb->sa >> 3));

    pcb->sa = (s16_t)(pcb->sa + m);
    m = (s16_t)((m < 0 ? -m : m) - (pcb->sv >> 2));
    pcb->sv = (s16_t)(pcb->sv + m);
    pcb->rto = (s16_t)((pcb->sa >> 3) + pcb->sv);
    pcb->rttest = 0;
}

/* Frees what was acknowledged; how many bytes that was. */
static __always_inline u32_t free_acked(struct tcp_pcb *pcb, u32_t ack)
{
    struct tcp_seg *seg = pcb->unacked;
    u32_t bytes = 0;

    while (seg != NULL && TCP_SEQ_LEQ(lwip_ntohl(seg->tcphdr->seqno) + TCP_TCPLEN(seg), ack)) {
        struct tcp_seg *next = seg->next;
        pcb->snd_queuelen -= seg->p->next == NULL ? 1 : pbuf_clen(seg->p);
        bytes += seg->len;
        tcp_seg_free(seg);
        seg = next;
    }
    pcb->unacked = seg;
    return bytes;
}

static __always_inline void input_ack(struct tcp_pcb *pcb, u32_t ack)
{
    u32_t bytes, acked = ack - pcb->lastack;

    pcb->nrtx = 0;
    pcb->rto = (s16_t)((pcb->sa >> 3) + pcb->sv);
    pcb->lastack = ack;
    grow_cwnd(pcb, acked);
    bytes = free_acked(pcb, ack);
    if (likely(pcb->unacked == NULL))
        pcb->rtime = -1;
    else
        tcp_rtime_start(pcb);
    pcb->snd_buf += bytes;
    if (likely(bytes != 0))
        tcp_user_on_sent(pcb->callback_arg, pcb, (u16_t)bytes);
}

static __always_inline void input_data(struct tcp_pcb *pcb, struct pbuf *p, u16_t len)
{
    pcb->rcv_nxt += len;
    pcb->rcv_wnd -= len;
    tcp_update_rcv_ann_wnd(pcb);
    /* Delayed acknowledgement, or at once: see tcp_receive(). */
    if (unlikely(len >= 2 * pcb->mss || pcb->quickack > 0)) {
        if (pcb->quickack > 0)
            pcb->quickack--;
        tcp_ack_now(pcb);
    } else {
        tcp_ack(pcb);
    }
    p->payload = (u8_t *)p->payload + TCP_HLEN;
    p->len = p->tot_len = len;
    tcp_user_on_recv(pcb->callback_arg, pcb, p, ERR_OK);
}

bool tcp_predict_input(struct pbuf *p, struct netif *netif, uint32_t src, uint32_t dst)
{
    const struct tcp_hdr *h = p->payload;
    struct tcp_pcb *pcb;
    u32_t seq, ack, acked;
    u16_t len = (u16_t)(p->len - TCP_HLEN);

    if (unlikely(p->len < TCP_HLEN || p->next != NULL ||
                 (h->_hdrlen_rsvd_flags & PLAIN_MASK) != PLAIN_VALUE))
        return false;
    pcb = tcp_pcb_find_ip4(dst, lwip_ntohs(h->dest), src, lwip_ntohs(h->src));
    if (unlikely(pcb == NULL || !is_quiet(pcb)))
        return false;
    seq = lwip_ntohl(h->seqno);
    ack = lwip_ntohl(h->ackno);
    acked = ack - pcb->lastack;
    /* tcp_user_on_sent() counts in 16 bits; a repeated acknowledgement may be news of a loss. */
    if (unlikely(seq != pcb->rcv_nxt || len > pcb->rcv_wnd || acked > pcb->snd_nxt - pcb->lastack ||
                 acked > 0xffff || (acked | len) == 0 ||
                 (pcb->netif_idx != NETIF_NO_INDEX && pcb->netif_idx != netif_get_index(netif))))
        return false;

    TCP_STATS_INC(tcp.recv);
    pcb->tmr = tcp_ticks;
    pcb->keep_cnt_sent = 0;
    pcb->persist_probe = 0;
    pcb->dupacks = 0;
    update_window(pcb, seq, ack, lwip_ntohs(h->wnd));
    tcp_input_pcb = pcb; /* whatever the socket asks for goes out below */
    if (acked != 0)
        input_ack(pcb, ack);
    if (unlikely(pcb->rttest != 0) && TCP_SEQ_LT(pcb->rtseq, ack))
        measure_rtt(pcb);
    if (len != 0)
        input_data(pcb, p, len);
    else
        pbuf_free(p);
    tcp_input_pcb = NULL;
    if (unlikely(pcb->unsent != NULL || pcb->flags & TF_ACK_NOW))
        tcp_output(pcb);
    return true;
}
