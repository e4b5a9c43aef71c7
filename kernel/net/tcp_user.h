/*
 * Who has the TCP connections of this image: the sockets (net/inet_tcpio.c), or a native program
 * (native/tcp.c). These are lwIP's callbacks of all their connections; header prediction
 * (net/tcp_predict.c) calls them by name, which spares it two jumps through pointers a segment.
 */
#pragma once

#include "lwip/tcp.h"

/* Takes over p; NULL: the peer's FIN. Never lets go of the PCB while p is not NULL. Always ERR_OK.
 */
err_t tcp_user_on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err);
/* len bytes have been acknowledged. ERR_OK. */
err_t tcp_user_on_sent(void *arg, struct tcp_pcb *pcb, u16_t len);
