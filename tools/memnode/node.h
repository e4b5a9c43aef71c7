/*
 * A memory node: what it is made of, and its loop. Packets from the transport go to the responder,
 * to the control protocol, or are answered here (net.c: ARP, ping); streams and signals beside
 * them. One thread; nothing blocks but the loop's own epoll_wait(). Called by memnode.c.
 */
#pragma once

#include "control.h"
#include "fault.h"
#include "options.h"
#include "streams.h"
#include "transport.h"

enum { NEIGHBOURS = 1024 };

/* Where an IP address was last seen, by its hash: a later one takes the place. */
struct neighbour {
    uint32_t ip; /* 0: none */
    unsigned link;
    uint8_t mac[6];
};

#define NET_COUNTS(X)                                                                              \
    X(arp, "ARP requests answered")                                                                \
    X(pings, "echo requests answered")                                                             \
    X(control, "control datagrams")                                                                \
    X(others, "packets for others, or of other protocols")                                         \
    X(damaged, "packets with wrong lengths or checksums, and fragments")                           \
    X(no_room, "answers that the transport had no room for")

enum net_count {
#define X(name, help) NET_##name,
    NET_COUNTS(X)
#undef X
        NR_NET_COUNTS,
};
extern const char *const net_count_names[NR_NET_COUNTS];
extern const char *const net_count_helps[NR_NET_COUNTS];

struct node {
    const struct memnode_options *o;
    struct transport *transport;
    struct device *device; /* of the host, which answers instead of the responder; or NULL */
    struct memory memory;
    struct responder responder;
    struct control control;
    struct streams streams;
    struct fault fault;
    struct neighbour neighbours[NEIGHBOURS];
    uint64_t net_count[NR_NET_COUNTS];
    int udp; /* control datagrams, where the transport has no frames for them; else -1 */
    int epoll, signals;
    uint16_t control_port;
    uint64_t started; /* ns */
    uint64_t now;     /* ms: the loop's idea of it */
    bool stop;
    uint8_t scratch[TRANSPORT_PACKET];
    uint8_t reply[NODE_STREAM_MAX];
};

/* node.c */
void node_open(struct node *n, const struct memnode_options *o, int argc, char **argv);
void node_run(struct node *n);
void node_close(struct node *n);

/* net.c */
/* A packet came from the transport. */
void net_input(struct node *n, const struct packet *p);
/* The responder's room and send. */
uint8_t *net_room(struct node *n, uint32_t peer);
void net_send(struct node *n, uint32_t peer, uint8_t *ip, size_t len);
/* A datagram with control messages, on its own: to an address known from its requests. */
void net_send_control(struct node *n, const struct origin *to, const uint8_t *message, size_t len);

/* stats.c */
/* All counters: one line of JSON. */
void stats_json(struct node *n, struct strbuf *out);
/* In Prometheus' text format 0.0.4. */
void stats_metrics(void *node, struct strbuf *out);
/* For struct control: what fits of the first. */
size_t stats_message(void *node, char *out, size_t room);
