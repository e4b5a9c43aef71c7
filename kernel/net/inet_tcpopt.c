/*
 * Options of TCP sockets: level IPPROTO_TCP, and of SOL_SOCKET those that reach into the
 * connection. Called by setsockopt and getsockopt; never sleeps.
 */
#include "net/inet_tcp.h"

#include <linux/tcp.h>

#define KEEPIDLE_MAX  32767 /* Linux's MAX_TCP_KEEPIDLE and its kin */
#define KEEPINTVL_MAX 32767
#define KEEPCNT_MAX   127
#define SYNCNT_MAX    127
#define MSS_MIN       88
#define MSS_MAX       32767
#define CC_NAME       "reno"

static int set_socket_option(struct tcp_sock *t, int name, const void *val, unsigned len)
{
    struct socket *s = &t->in.sock;
    uint32_t old_sndbuf = tcp_sndbuf_size(t);
    if (name == SO_BINDTODEVICE) {
        int r = inet_set_device(&t->in, val, len);
        if (r == 0 && t->pcb != NULL)
            t->pcb->netif_idx = t->in.device;
        return r;
    }
    int r = socket_generic_setsockopt(s, name, val, len);
    if (r < 0 || t->pcb == NULL)
        return r;
    switch (name) {
    case SO_KEEPALIVE:
        tcp_sock_apply_options(t);
        break;
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
    case SO_BUF_LOCK:
        if (t->state == TS_LISTENING) {
            ((struct tcp_pcb_listen *)t->pcb)->snd_buf = tcp_sndbuf_size(t);
        } else {
            uint32_t used = old_sndbuf - MIN(t->pcb->snd_buf, old_sndbuf);
            uint32_t now = tcp_sndbuf_size(t);
            t->pcb->snd_buf = now > used ? now - used : 0;
        }
        break;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
        if (t->state == TS_LISTENING)
            ((struct tcp_pcb_listen *)t->pcb)->wnd_max = tcp_rcvbuf_window(t);
        else
            tcp_set_window(t->pcb, tcp_rcvbuf_window(t));
        break;
    default:
        break;
    }
    return 0;
}

static int set_tcp_option(struct tcp_sock *t, int name, const void *optval, unsigned len)
{
    int v;
    if (name == TCP_CONGESTION) {
        size_t n = strnlen(optval, len);
        return n == strlen(CC_NAME) && memcmp(optval, CC_NAME, n) == 0 ? 0 : -ENOENT;
    }
    if (name == TCP_ULP || name == TCP_MD5SIG || name == TCP_MD5SIG_EXT)
        return -ENOPROTOOPT;
    if (inet_get_int(optval, len, &v) < 0)
        return -EINVAL;
    switch (name) {
    case TCP_NODELAY:
        t->nodelay = v != 0;
        if (t->pcb != NULL && t->state != TS_LISTENING) {
            tcp_sock_apply_options(t);
            if (v != 0)
                tcp_sock_push(t);
        }
        break;
    case TCP_CORK:
        t->cork = v != 0;
        if (v == 0)
            tcp_sock_push(t);
        break;
    case TCP_MAXSEG:
        if (v != 0 && (v < MSS_MIN || v > MSS_MAX))
            return -EINVAL;
        t->maxseg = (uint16_t)v;
        if (v != 0 && t->state == TS_CONNECTED && t->pcb->mss > v)
            t->pcb->mss = (uint16_t)v;
        break;
    case TCP_KEEPIDLE:
        if (v < 1 || v > KEEPIDLE_MAX)
            return -EINVAL;
        t->keep_idle = (uint32_t)v;
        tcp_sock_apply_options(t);
        break;
    case TCP_KEEPINTVL:
        if (v < 1 || v > KEEPINTVL_MAX)
            return -EINVAL;
        t->keep_intvl = (uint32_t)v;
        tcp_sock_apply_options(t);
        break;
    case TCP_KEEPCNT:
        if (v < 1 || v > KEEPCNT_MAX)
            return -EINVAL;
        t->keep_cnt = (uint32_t)v;
        tcp_sock_apply_options(t);
        break;
    case TCP_SYNCNT:
        if (v < 1 || v > SYNCNT_MAX)
            return -EINVAL;
        t->syn_retries = (uint8_t)v;
        tcp_sock_apply_options(t);
        break;
    case TCP_DEFER_ACCEPT:
        t->defer_accept = v < 0 ? 0 : (uint32_t)v;
        break;
    case TCP_USER_TIMEOUT:
        if (v < 0)
            return -EINVAL;
        t->user_timeout = (uint32_t)v;
        tcp_sock_apply_options(t);
        break;
    case TCP_QUICKACK:
        /* Not a mode here either: one acknowledgement that is due goes now (tcp(7)). */
        if (v != 0 && t->state == TS_CONNECTED && (t->pcb->flags & TF_ACK_DELAY)) {
            tcp_ack_now(t->pcb);
            tcp_output(t->pcb);
        }
        break;
    case TCP_WINDOW_CLAMP:
        if (v < 0)
            return -EINVAL;
        if (t->state == TS_CONNECTED && v != 0)
            tcp_set_window(t->pcb, MIN((uint32_t)v, tcp_rcvbuf_window(t)));
        break;
    case TCP_FASTOPEN:
    case TCP_FASTOPEN_CONNECT:
        return v == 0 ? 0 : -EOPNOTSUPP;
    default:
        return -ENOPROTOOPT;
    }
    net_flush();
    return 0;
}

int tcp_sock_setsockopt(struct socket *s, int level, int name, const void *val, unsigned len)
{
    struct tcp_sock *t = tcp_of(s);
    switch (level) {
    case SOL_SOCKET:
        return set_socket_option(t, name, val, len);
    case SOL_TCP:
        return set_tcp_option(t, name, val, len);
    default: {
        int r = inet_setsockopt(&t->in, level, name, val, len);
        if (r == 0 && t->pcb != NULL)
            tcp_sock_apply_options(t);
        return r;
    }
    }
}

static uint8_t linux_state(const struct tcp_sock *t)
{
    static const uint8_t of_lwip[] = {
        [CLOSED] = 7,      [LISTEN] = 10,    [SYN_SENT] = 2,   [SYN_RCVD] = 3,
        [ESTABLISHED] = 1, [FIN_WAIT_1] = 4, [FIN_WAIT_2] = 5, [CLOSE_WAIT] = 8,
        [CLOSING] = 11,    [LAST_ACK] = 9,   [TIME_WAIT] = 6,
    };
    return t->pcb == NULL ? 7 /* TCP_CLOSE */ : of_lwip[t->pcb->state];
}

static void fill_info(struct tcp_sock *t, struct tcp_info *i)
{
    const struct tcp_pcb *p = t->pcb;
    memset(i, 0, sizeof(*i));
    i->tcpi_state = linux_state(t);
    if (p == NULL)
        return;
    if (t->state == TS_LISTENING) {
        i->tcpi_unacked = t->accept_len;
        i->tcpi_sacked = t->backlog;
        return;
    }
    uint32_t tick_us = TCP_SLOW_INTERVAL * 1000;
    uint32_t idle_ms = (tcp_ticks - p->tmr) * TCP_SLOW_INTERVAL;
    i->tcpi_retransmits = p->nrtx;
    i->tcpi_probes = p->persist_probe;
    i->tcpi_backoff = p->nrtx;
    if (p->flags & TF_WND_SCALE)
        i->tcpi_options |= TCPI_OPT_WSCALE;
    if (p->flags & TF_SACK)
        i->tcpi_options |= TCPI_OPT_SACK;
    i->tcpi_snd_wscale = p->snd_scale & 15;
    i->tcpi_rcv_wscale = p->rcv_scale & 15;
    i->tcpi_rto = (uint32_t)p->rto * tick_us;
    i->tcpi_ato = TCP_FAST_INTERVAL * 1000;
    i->tcpi_snd_mss = p->mss;
    i->tcpi_rcv_mss = p->mss;
    i->tcpi_unacked = (p->snd_nxt - p->lastack + p->mss - 1) / MAX(p->mss, 1);
    i->tcpi_last_data_recv = idle_ms;
    i->tcpi_last_ack_recv = idle_ms;
    i->tcpi_pmtu = p->mss + 40u;
    i->tcpi_rcv_ssthresh = p->rcv_wnd;
    i->tcpi_rtt = (uint32_t)(p->sa >> 3) * tick_us;
    i->tcpi_rttvar = (uint32_t)(p->sv >> 2) * tick_us;
    i->tcpi_snd_ssthresh = p->ssthresh;
    i->tcpi_snd_cwnd = p->cwnd / MAX(p->mss, 1);
    i->tcpi_advmss = p->mss;
    i->tcpi_rcv_space = TCP_WND_MAX(p);
    i->tcpi_notsent_bytes = p->snd_lbb - p->snd_nxt;
    i->tcpi_snd_wnd = p->snd_wnd;
}

static int get_tcp_option(struct tcp_sock *t, int name, void *val, unsigned *len)
{
    switch (name) {
    case TCP_NODELAY:
        return inet_put_int(t->nodelay, val, len);
    case TCP_CORK:
        return inet_put_int(t->cork, val, len);
    case TCP_MAXSEG:
        return inet_put_int(t->state == TS_CONNECTED ? t->pcb->mss
                            : t->maxseg != 0         ? t->maxseg
                                                     : 536,
                            val, len);
    case TCP_KEEPIDLE:
        return inet_put_int(t->keep_idle != 0 ? (int)t->keep_idle : 7200, val, len);
    case TCP_KEEPINTVL:
        return inet_put_int(t->keep_intvl != 0 ? (int)t->keep_intvl : 75, val, len);
    case TCP_KEEPCNT:
        return inet_put_int(t->keep_cnt != 0 ? (int)t->keep_cnt : 9, val, len);
    case TCP_SYNCNT:
        return inet_put_int(t->syn_retries != 0 ? t->syn_retries : TCP_SYNMAXRTX, val, len);
    case TCP_LINGER2:
        return inet_put_int(TCP_FIN_WAIT_TIMEOUT / 1000, val, len);
    case TCP_DEFER_ACCEPT:
        return inet_put_int((int)t->defer_accept, val, len);
    case TCP_USER_TIMEOUT:
        return inet_put_int((int)t->user_timeout, val, len);
    case TCP_QUICKACK:
        return inet_put_int(1, val, len);
    case TCP_WINDOW_CLAMP:
        return inet_put_int((int)tcp_rcvbuf_window(t), val, len);
    case TCP_FASTOPEN:
    case TCP_FASTOPEN_CONNECT:
        return inet_put_int(0, val, len);
    case TCP_CONGESTION:
        *len = MIN(*len, (unsigned)sizeof(CC_NAME));
        memcpy(val, CC_NAME, *len);
        return 0;
    case TCP_INFO: {
        struct tcp_info info;
        fill_info(t, &info);
        *len = MIN(*len, (unsigned)sizeof(info));
        memcpy(val, &info, *len);
        return 0;
    }
    default:
        return -ENOPROTOOPT;
    }
}

int tcp_sock_getsockopt(struct socket *s, int level, int name, void *val, unsigned *len)
{
    struct tcp_sock *t = tcp_of(s);
    switch (level) {
    case SOL_SOCKET:
        return name == SO_BINDTODEVICE ? inet_get_device(&t->in, val, len) : -ENOPROTOOPT;
    case SOL_TCP:
        return get_tcp_option(t, name, val, len);
    default:
        return inet_getsockopt(&t->in, level, name, val, len);
    }
}
