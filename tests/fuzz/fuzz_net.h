/*
 * What the parts of tests/fuzz/fuzz_net.c share: the input and what its bytes stand for
 * (net_input.c), the network (net_peer.c) and the application (net_app.c). Every byte means
 * something, and few values lead far from what the other end expects.
 */
#pragma once

#include "net_host.h"

/* ---- net_input.c ---- */

struct net_input {
    const uint8_t *p;
    size_t left;
    unsigned depth, steps;
    bool answers;
    uint8_t may_sleep; /* of the call under way: bits of copies and sleeps in which others run */
};
extern struct net_input in;
extern struct netif *eth;

/* The next byte or two of the input; 0 after its end. */
uint8_t in_u8(void);
uint16_t in_u16(void);
/* n bytes: as many as there are in the input, then a pattern. */
void in_put(struct wire *f, size_t n);

extern const uint16_t port_of[8];
uint32_t pick_ip4(uint8_t c);
const uint8_t *pick_ip6(uint8_t c); /* until the next call */
void pick_addr(struct sock_addr *a, uint8_t c, uint16_t port, int family);

/* ---- net_peer.c: commands that let a frame arrive ---- */

void peer_raw_frame(bool repair);
void peer_tcp_segment(void);
void peer_tcp_syn(void);
void peer_udp(void);
void peer_fragment4(void);
void peer_fragment6(void);
void peer_icmp_error(void);
void peer_arp(void);
void peer_nd(void);
void peer_group_query(void);
void peer_extensions(void);
void peer_echo(void);
/* What a peer would answer to the frame sent that many frames ago. */
void peer_answer(uint8_t age, uint8_t choice);

/* ---- net_app.c: commands that are system calls ---- */

#define SOCKS 12u

void app_open(void);
void app_bind(void);
void app_connect(void);
void app_listen(void);
void app_accept(void);
void app_send(bool big);
void app_receive(void);
void app_shutdown(void);
void app_close(uint8_t c);
void app_set_option(void);
void app_get_option(void);
void app_poll(void);
