/*
 * The short way out for what nearly every reply is (net/tcp_xmit.c).
 */
#pragma once

#include "lib/base.h"

struct pbuf;
struct tcp_pcb;

/*
 * Sends p, a message in one piece that was allocated for PBUF_TRANSPORT, as a segment of its own if
 * the connection has nothing else to send and may send that now; takes it over then. False: not
 * possible this way, p is the caller's and as it was. Never sleeps.
 */
bool tcp_xmit_now(struct tcp_pcb *pcb, struct pbuf *p);
