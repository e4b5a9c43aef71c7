/*
 * The short way in for what nearly every TCP segment is (net/tcp_predict.c).
 */
#pragma once

#include "lib/base.h"

struct netif;
struct pbuf;

/*
 * Takes a segment whose payload is at the TCP header, in one piece and with a good checksum, if it
 * is the next one of an established connection of a socket and nothing about it is unusual. src and
 * dst are its IPv4 addresses. False: untouched, tcp_input() must look at it. Runs inside the stack.
 */
bool tcp_predict_input(struct pbuf *p, struct netif *netif, uint32_t src, uint32_t dst);
