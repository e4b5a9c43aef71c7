/*
 * How packets reach the node, behind one interface: bursts of packets in, packets out. A packet
 * begins with an Ethernet header and an IP header, in all transports: one over a UDP socket, which
 * shows neither, makes up the IP header that the packet must have had, and leaves Ethernet's 14
 * bytes unused (`ethernet` is false). Called by node.c; a fault.c in between makes transports
 * worse. Over verbs (device.h) the device has the packets, and none
 * come here.
 *
 * Nothing here blocks. What is sent is kept until flush().
 */
#pragma once

#include "../../kernel/roce/wire.h"
#include "../util.h"

enum {
    TRANSPORT_BURST = 64,
    TRANSPORT_PACKET = 9216, /* the longest: Ethernet's jumbo frames, as they are called */
    TRANSPORT_LINKS = 64,    /* guests on one socket */
    /* The most around a payload, from the IP header on. */
    TRANSPORT_HEADERS = ROCE_IP4 + ROCE_UDP + ROCE_TRANSPORT_HEAD + ROCE_ICRC,
};

struct packet {
    uint8_t *data;
    size_t len;
    unsigned link; /* where it came from, for transports with several */
};

struct transport_counts {
    uint64_t packets_in, packets_out, bytes_in, bytes_out;
    uint64_t lost_in;  /* cut short, or not what this transport carries */
    uint64_t lost_out; /* that the host would not take */
};

struct transport {
    const struct transport_ops *ops;
    bool ethernet;
    int fd;           /* readable if there is something to do; -1: must be polled */
    uint32_t address; /* the node's own, if the transport says so; 0: it depends on the packet */
    struct transport_counts counts;
};

struct transport_ops {
    const char *name;
    /* Packets that came, at most TRANSPORT_BURST. They are good until the next call. */
    unsigned (*receive)(struct transport *t, struct packet *burst);
    /* Room for a packet of TRANSPORT_PACKET bytes; NULL: none before the next flush(). */
    uint8_t *(*room)(struct transport *t, unsigned link);
    /* Sends what was put into the room given last for that link. */
    void (*send)(struct transport *t, unsigned link, size_t len);
    void (*flush)(struct transport *t);
    /* The largest IP packet that gets to an address whole; 0: it cannot be reached. */
    unsigned (*path_mtu)(struct transport *t, uint32_t address);
    /* When to be called again though nothing came, in ns of the monotonic clock; NULL: never. */
    uint64_t (*deadline)(struct transport *t);
    void (*close)(struct transport *t);
};

struct fault;

/* Each dies, by one line, where that cannot be. Addresses are in host order. */
struct transport *transport_udp(uint32_t listen, uint16_t port);
/* QEMU's -netdev stream: a socket that guests connect to. */
struct transport *transport_stream(const char *path);
/* QEMU's -netdev dgram. */
struct transport *transport_dgram(const char *path);
/* A guest's rings, by DPDK. argv: all words of this program, for where that is another one. */
struct transport *transport_vhost(const char *path, bool huge_pages, int argc, char **argv);
struct transport *transport_faulty(struct transport *inner, struct fault *f);

uint64_t now_ns(void); /* monotonic */
/* A unix socket's address. A socket that nobody listens on is removed, anything else at path is in
 * the way: dies. option: for the message. */
struct sockaddr_un;
void transport_unix_address(struct sockaddr_un *a, const char *option, const char *path, int type);
