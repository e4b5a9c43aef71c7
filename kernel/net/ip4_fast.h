/*
 * The short way in for what nearly every IPv4 packet is (net/ip4_fast.c).
 */
#pragma once

#include "lib/base.h"

struct netif;
struct pbuf;

/*
 * Takes a packet whose payload is at the IP header if it is an unfragmented TCP or UDP packet
 * without options from an ordinary sender to the interface's own address; csum_ok: its TCP or UDP
 * checksum is known to be good. False: untouched, ip4_input() must look at it.
 */
bool ip4_fast_input(struct pbuf *p, struct netif *netif, bool csum_ok);
