/*
 * TCP sockets, shared by inet_tcp.c (their life), inet_tcpio.c (their data) and inet_tcpopt.c
 * (their options).
 */
#pragma once

#include "net/inet.h"
#include "net/tcp_user.h"
#include "sched/timer.h"

#include "lwip/priv/tcp_priv.h"

enum tcp_sock_state {
    TS_IDLE, /* neither connected nor listening; after a failed connect too */
    TS_LISTENING,
    TS_CONNECTING, /* SYN sent */
    TS_CONNECTED,  /* and while closing, as long as pcb is there */
    TS_DONE,       /* was connected; lwIP has finished or aborted the connection */
};

struct tcp_sock {
    struct inet_sock in;
    enum tcp_sock_state state;
    /* NULL unless TS_CONNECTING, TS_CONNECTED, or TS_LISTENING (then a struct tcp_pcb_listen). It
     * may go in any callback, so during any sleep. */
    struct tcp_pcb *pcb;
    ip_addr_t local_ip, remote_ip; /* of the connection, also after the PCB went */
    uint16_t local_port, remote_port;

    /* Received data: pbufs by next, each with one reference; tot_len has no meaning here. */
    struct pbuf *rx_head, *rx_tail;
    uint32_t rx_bytes;
    bool rx_eof;     /* the peer's FIN has come */
    bool rx_shut;    /* SHUT_RD */
    bool tx_shut;    /* SHUT_WR */
    bool rx_busy;    /* a thread copies out of the queue; others wait */
    bool tx_busy;    /* a thread copies in */
    bool kept_out;   /* a thread waits for rx_busy or tx_busy */
    bool want_write; /* tell of room: somebody was refused or polled for it */
    bool connect_reported;

    bool nodelay, cork;
    uint16_t maxseg;                          /* TCP_MAXSEG, 0: none */
    uint32_t keep_idle, keep_intvl, keep_cnt; /* seconds; 0: default */
    uint32_t user_timeout;
    uint8_t syn_retries;
    uint32_t defer_accept; /* seconds, 0: off */

    /* Listening */
    struct list accept_queue; /* tcp_sock.accept_link of connections nobody has taken */
    struct list defer_queue;  /* those that have not sent anything (TCP_DEFER_ACCEPT) */
    unsigned accept_len;
    unsigned backlog;
    /* A connection not accepted yet */
    struct tcp_sock *parent;
    struct list accept_link;
    struct timer defer_timer;
};

static inline struct tcp_sock *tcp_of(struct socket *s)
{
    return container_of(s, struct tcp_sock, in.sock);
}

static inline uint32_t tcp_sndbuf_size(const struct tcp_sock *t)
{
    const struct socket *s = &t->in.sock;
    return s->buf_lock & SOCK_SNDBUF_LOCK ? s->sndbuf : TCP_SND_BUF;
}

/* inet_tcp.c */
uint32_t tcp_sock_poll(struct socket *s);
uint32_t tcp_rcvbuf_window(const struct tcp_sock *t);
void tcp_sock_apply_options(struct tcp_sock *t); /* to the PCB, if there is one */
/* inet_tcpio.c */
ssize_t tcp_sock_sendmsg(struct socket *s, struct sock_msg *m);
ssize_t tcp_sock_recvmsg(struct socket *s, struct sock_msg *m);
void tcp_sock_push(struct tcp_sock *t); /* sends what waits for more */
void tcp_sock_free_queue(struct tcp_sock *t);
void tcp_sock_ready(struct tcp_sock *t);  /* a deferred connection has sent something */
void tcp_sock_detach(struct tcp_sock *t); /* lwIP goes on alone with the PCB */
/* inet_tcpopt.c */
int tcp_sock_setsockopt(struct socket *s, int level, int name, const void *val, unsigned len);
int tcp_sock_getsockopt(struct socket *s, int level, int name, void *val, unsigned *len);
