/*
 * Ethernet interfaces: lwIP on a struct netdev (net/ethif.c).
 */
#pragma once

#include "lib/base.h"

struct netdev;
struct netif;

/* Makes an interface of a device, down and without addresses. 0 or -ENOMEM. */
int ethif_attach(struct netdev *d);
/* The pbuf of a netbuf that starts a packet of its own, for the sockets. */
struct pbuf;
struct netbuf;
struct pbuf *ethif_pbuf(struct netbuf *b);
/* Is p a netbuf's pbuf? */
bool ethif_is_netbuf(const struct pbuf *p);
/* Takes completed transmissions back on all interfaces. */
void ethif_reclaim(void);
