/*
 * A few machines that the kernel itself talks to (memory nodes): which way a frame to one goes,
 * frames sent without the stack's help, datagrams with it, and frames of a UDP port taken off
 * before the stack sees them. Addresses and ports are in host order. Nothing here sleeps; not from
 * interrupt handlers. Hides lwIP from those who call it.
 */
#pragma once

#include "mm/layout.h"

struct netbuf;
struct netdev;

struct net_way {
    struct netdev *dev;
    uint32_t own_ip;
    uint8_t own_mac[6], mac[6]; /* mac: of the next hop */
};

/* The way to ip: 0; -ENETUNREACH; -EAGAIN: the next hop's address is being asked for. */
int net_way_to(uint32_t ip, struct net_way *way);

/* ---- Frames ---- */

#define NET_FRAME_HEAD 96u
#define NET_FRAME_TAIL 8u

/* From a pool; after the sending it returns there by itself. */
struct net_frame {
    _Alignas(16) uint8_t owner[40]; /* lwIP's */
    struct net_frame *next;
    phys_t page; /* the frame's: freed with it; 0: none */
    uint8_t headroom[16];
    uint8_t head[NET_FRAME_HEAD];
    uint8_t tail[NET_FRAME_TAIL];
};

/* Without a page. NULL: all are on their way out. */
struct net_frame *net_frame_get(struct netdev *d);
void net_frame_put(struct net_frame *f);
/*
 * Sends head_len bytes of the head, len bytes at data (0: none), which must stay for as long as the
 * device wants them, and tail_len of the tail. 0, or -ENOSPC: the ring is full, and f is gone.
 */
int net_frame_send(struct netdev *d, struct net_frame *f, unsigned head_len, const void *data,
                   unsigned len, unsigned tail_len);
void net_frame_kick(struct netdev *d);

/* Frames that are IPv4 with UDP to this port go to input() instead of the stack, from all devices.
 * b, a chain, is its own then. One port at a time. */
void net_divert(uint16_t port, void (*input)(struct netdev *d, struct netbuf *b));

/* ---- Datagrams ---- */

struct net_port;
/* A port of our own. NULL: no memory, or no port is free. */
struct net_port *net_port_open(void (*input)(void *ctx, uint32_t from, uint16_t port,
                                             const uint8_t *p, size_t n),
                               void *ctx);
void net_port_close(struct net_port *port);
int net_port_send(struct net_port *port, uint32_t to, uint16_t to_port, const void *p, size_t n);
