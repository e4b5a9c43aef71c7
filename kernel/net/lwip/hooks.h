/*
 * Functions of ours that lwIP calls: LWIP_HOOK_* in lwip/opt.h, and those our patches add.
 */
#pragma once

#include <stdbool.h>

#include "lwip/err.h"
#include "lwip/ip_addr.h"

struct netif;
struct pbuf;
struct tcp_pcb;

/* RFC 6528: initial sequence numbers nobody else can guess (net/nettimer.c). */
u32_t net_tcp_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip,
                  u16_t remote_port);
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port)                            \
    net_tcp_isn(local_ip, local_port, remote_ip, remote_port)

/* An ICMP or ICMPv6 error message, p->payload at its header; p stays the caller's
 * (net/inet_icmp.c). */
void net_icmp_error(struct pbuf *p, struct netif *netif);
#define LWIP_HOOK_ICMP_ERROR(p, netif) net_icmp_error(p, netif)

/* A TCP segment, complete but for its checksum, on its way out (net/tcp_xmit.c): true if it was
 * taken care of, with the result in *r. */
bool net_tcp_xmit(struct pbuf *p, const struct tcp_pcb *pcb, struct netif *netif, err_t *r);
#define LWIP_HOOK_TCP_XMIT(p, pcb, netif, r) net_tcp_xmit(p, pcb, netif, r)
