/*
 * Datagram sockets of the internet families: UDP (inet_udp.c), raw and ping sockets (inet_raw.c)
 * over a common receive queue, names and readiness (inet_dgram.c).
 */
#pragma once

#include "net/inet.h"
#include "net/netbuf.h"
#include "net/udp_flow.h"

#include "lwip/raw.h"
#include "lwip/udp.h"

enum dgram_kind { DGRAM_UDP, DGRAM_RAW, DGRAM_PING };

struct dgram_sock {
    struct inet_sock in;
    enum dgram_kind kind;
    struct udp_pcb *udp;
    struct raw_pcb *raw;
    bool connected;
    bool rx_shut, tx_shut;
    bool want_write;
    bool local_chosen; /* connect() chose the local address; disconnecting forgets it */
    ip_addr_t remote_ip;
    uint16_t remote_port;

    /* Packets by netbuf.next: a netbuf whose pbuf starts the packet, payload at the data. l3 is
     * where the IP header is, port the sender's, total what the packet is charged with. */
    struct netbuf *rx_first, **rx_last;
    uint32_t rx_charge;
    uint64_t drops;       /* for /proc/net/udp */
    struct list all_link; /* every socket of the kind, for errors to raw sockets */
    struct pbuf *corked;  /* MSG_MORE: what was given so far */
    struct sock_addr cork_addr;
    uint32_t icmp_filter; /* ICMP_FILTER: types not wanted */
    uint32_t icmp6_filter[8];
    int checksum_off;     /* IPV6_CHECKSUM, -1: none */
    struct udp_flow flow; /* the last destination */
};

static inline struct dgram_sock *dgram_of(struct socket *s)
{
    return container_of(s, struct dgram_sock, in.sock);
}

/* The packet that a queued netbuf starts. */
static inline struct pbuf *dgram_pbuf(struct netbuf *b)
{
    return (struct pbuf *)b->owner;
}

/* Takes the first packet of a queue that has one: the caller's. */
static inline struct netbuf *dgram_dequeue(struct dgram_sock *d)
{
    struct netbuf *b = d->rx_first;

    d->rx_first = b->next;
    if (d->rx_first == NULL)
        d->rx_last = &d->rx_first;
    d->rx_charge -= b->total;
    return b;
}

/* Something was queued. */
static inline void dgram_wake(struct dgram_sock *d)
{
    struct file *f = &d->in.sock.file;

    waitq_wake(&f->waitq, EPOLLIN | EPOLLRDNORM);
    if (unlikely(f->flags & O_ASYNC))
        file_sigio(f, 0);
}

#define DGRAM_CHARGE 512u /* for a packet beside its data; Linux's is 768 for small ones */

/* inet_dgram.c */
extern const struct socket_ops dgram_ops;
/* Queues a packet that has just come in on netif, p->payload at what the application gets, header
 * at its IP header, and wakes readers; takes over p. */
void dgram_deliver(struct dgram_sock *d, struct pbuf *p, uint16_t port, const void *header,
                   const struct netif *netif);
/* The same for lwIP's current packet. */
void dgram_deliver_current(struct dgram_sock *d, struct pbuf *p, uint16_t port);
/* An error came back by ICMP. */
void dgram_error(struct dgram_sock *d, int error);
/* A packet's payload buffer, filled from the application: at most len bytes, PBUF_TRANSPORT or
 * PBUF_IP room before. NULL and *err. */
struct pbuf *dgram_fill(struct sock_msg *m, size_t len, pbuf_layer layer, int *err);

/* What a send says beside the data: control messages over socket options. */
struct dgram_dest {
    ip_addr_t ip, src; /* src of type of ip, any: choose */
    uint16_t port;
    struct netif *netif; /* after dgram_route() */
    uint8_t ttl, tos;
};
/* Destination, source and interface of a message. */
int dgram_route(struct dgram_sock *d, const struct sock_msg *m, struct dgram_dest *to);
/* inet_udp.c, inet_raw.c */
int udp_sock_open(struct dgram_sock *d);
/* The lwIP callback of a socket that takes all that comes to its port. */
void udp_sock_on_recv(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *addr,
                      u16_t port);
void udp_sock_options(struct dgram_sock *d); /* some option was set: tell the PCB */
ssize_t udp_sock_send(struct dgram_sock *d, struct sock_msg *m);
int udp_sock_bound(struct dgram_sock *d); /* bind_ip and bind_port, remote_ip: tell the PCB */
int raw_sock_open(struct dgram_sock *d);
ssize_t raw_sock_send(struct dgram_sock *d, struct sock_msg *m);
void raw_sock_close(struct dgram_sock *d);
int raw_sock_setopt(struct dgram_sock *d, int level, int name, const void *val, unsigned len);
int raw_sock_getopt(struct dgram_sock *d, int level, int name, void *val, unsigned *len);
