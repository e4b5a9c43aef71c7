/*
 * TCP of native programs (include/wherry/tcp.h), shared by tcp.c (connections and their events) and
 * tcp_send.c (what they send). Who owns what: a connection and its PCB point to each other. lwIP
 * may free the PCB in an error callback, after which pcb is NULL; tcp_detach() lets go of one that
 * lwIP is to finish alone.
 */
#pragma once

#include "lib/list.h"
#include "net/net.h"

#include "lwip/priv/tcp_priv.h"

#include <wherry/tcp.h>

#define EV_OPENED 1u
#define EV_DATA   2u /* in rx, or the program wants to see again what is kept */
#define EV_ROOM   4u
#define EV_ENDED  8u  /* the peer's FIN */
#define EV_LOST   16u /* the PCB is gone; error says why */

struct wherry_tcp {
    struct tcp_pcb *pcb; /* NULL: lost, or let go of */
    const struct wherry_tcp_service *service;
    struct tcp_listener *listener;
    struct list link; /* connections */
    /* The queue of connections for which something has happened. One in it is not freed but marked.
     */
    struct wherry_tcp *next_ready;
    uint8_t events; /* EV_* */
    bool queued, freed;
    bool fin;     /* the peer's has come */
    bool closing; /* the program has closed it */
    bool abort;   /* and wants it reset */
    bool want_room;
    int error;
    uint32_t seen; /* tcp_ticks of the last byte that came or went */

    /* Received, not shown to the program: pbufs by next; tot_len has no meaning here. */
    struct pbuf *rx, *rx_last;
    /* Shown, and not taken: kept_len bytes at kept_off; at most a window of them. */
    uint8_t *kept;
    uint32_t kept_off, kept_len, kept_size;

    /* To be sent: a chain for one segment, out_len bytes in out_n pbufs, at most out_max (tot_len
     * is set when it is complete). out_room: bytes free in its last pbuf. */
    struct pbuf *out, *out_last;
    uint32_t out_len, out_max;
    uint16_t out_n, out_room;

    _Alignas(16) uint8_t context[];
};

/* The connection whose functions are being called, which is flushed afterwards. */
extern struct wherry_tcp *tcp_busy;
extern struct wherry_tcp_stats tcp_stats;

/* Something has happened to c (EV_*; 0: it has something to flush). Any context. */
void tcp_post(struct wherry_tcp *c, unsigned events);
/* lwIP goes on alone with the PCB. */
struct tcp_pcb *tcp_detach(struct wherry_tcp *c);
/* There is no memory for it: it is reset, and the program told. Not from inside lwIP. */
void tcp_out_of_memory(struct wherry_tcp *c);

/* tcp_send.c: hands what is to be sent to lwIP. */
void tcp_flush(struct wherry_tcp *c);
void tcp_drop_output(struct wherry_tcp *c);
