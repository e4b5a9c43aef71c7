/*
 * The short way in for what nearly every IPv4 packet is (net/ip4_fast.c).
 */
#pragma once

#include "lib/base.h"

struct netbuf;
struct netif;
struct pbuf;

/*
 * Takes a packet whose payload is at the IP header if it is an unfragmented TCP or UDP packet
 * without options from an ordinary sender to the interface's own address; csum_ok: its TCP or UDP
 * checksum is known to be good. False: untouched, ip4_input() must look at it.
 */
bool ip4_fast_input(struct pbuf *p, struct netif *netif, bool csum_ok);

/*
 * The same for a run of frames from the Ethernet header on, UDP datagrams to one port: the socket
 * is found once, and woken once. How many of the n, from the first on, were taken: 0 if that one is
 * not of the kind. Its first block has at least IP4_FAST_UDP_MIN bytes.
 */
#define IP4_FAST_UDP_MIN 42u
unsigned ip4_fast_udp_run(struct netif *netif, struct netbuf *const *frames, unsigned n);
