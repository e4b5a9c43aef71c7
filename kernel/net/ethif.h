/*
 * Ethernet interfaces: lwIP on a struct netdev (net/ethif.c).
 */
#pragma once

struct netdev;
struct netif;

/* Makes an interface of a device, down and without addresses. 0 or -ENOMEM. */
int ethif_attach(struct netdev *d);
/* Takes completed transmissions back on all interfaces. */
void ethif_reclaim(void);
