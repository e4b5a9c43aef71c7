/*
 * The node's side of the control protocol (kernel/roce/node_proto.h): sessions, their leases, and
 * what their requests do to memory and queue pairs. No I/O: a carrier hands over a message and
 * sends back the reply. Called by node.c and the carriers; calls memory.c, responder.c, auth.c, and
 * an RDMA device. Does not block but for that.
 *
 * A session lives while something is heard of it, a request or a packet of its queue pairs. When
 * nothing was for the length of the lease it lapses: its queue pairs are gone, its memory stays for
 * the grace period, in which a LOGIN with its number goes on with it. Then all of it is gone.
 */
#pragma once

#include "auth.h"
#include "device.h"
#include "memory.h"
#include "responder.h"

enum {
    CONTROL_REPLY_MAX = 128, /* longest reply that is kept; STATS' is not */
    CONTROL_SECRET_MAX = 4096,
    CONTROL_COOKIE_MS = 10000, /* a node's nonce is good for one to two of these */
};

/* Where a message came from, and how to answer it later. */
struct origin {
    uint32_t address; /* IPv4, 0 for unix sockets */
    uint16_t port;
    uint32_t local;  /* the node's own address there, or where RoCE is reached from there */
    uint64_t stream; /* a stream's number; 0: a datagram */
    unsigned link;   /* of transports with several: which */
};

enum session_state { SESSION_FREE, SESSION_LIVE, SESSION_LAPSED };

struct session {
    uint64_t id;
    enum session_state state;
    uint32_t owner; /* never used twice: what memory and queue pairs know the session by */
    char name[NODE_NAME + 1];
    uint8_t key[AUTH_HASH];
    uint8_t client_nonce[NODE_NONCE], node_nonce[NODE_NONCE];
    uint32_t seq;   /* of the last request */
    uint64_t heard; /* ms: when */
    struct origin from;
    uint8_t reply[CONTROL_REPLY_MAX]; /* to the last request */
    size_t reply_len;
};

struct control_limits {
    unsigned clients, qps, extents; /* the last two: of each client */
    uint32_t lease_ms, grace_ms;
};

struct control_counts {
    uint64_t requests, repeated; /* valid ones; of these, such as were answered before */
    uint64_t no_message;         /* not of this protocol, or not from a client */
    uint64_t bad_tag, old, errors;
    uint64_t logins, resumed, lapsed, ended; /* ended: by BYE or after the grace period */
};

struct control {
    struct control_limits limits;
    uint8_t secret[CONTROL_SECRET_MAX];
    size_t secret_len;
    uint8_t boot[AUTH_HASH]; /* what this process' nonces are made with */
    struct memory *memory;
    struct responder *responder;
    struct device *device;    /* serves instead of the responder; or NULL */
    struct session *sessions; /* limits.clients */
    uint32_t last_owner;
    /* The largest path MTU (IBTA's, one of the five) towards an address, or 0. */
    unsigned (*path_mtu)(void *ctx, uint32_t address);
    void *path_ctx;
    uint32_t roce_address; /* 0: the address that a request came to */
    uint16_t roce_port;
    bool draining;
    uint64_t drain_end; /* ms */
    struct control_counts counts;
    /* JSON of all, at most so many bytes; returns the length. */
    size_t (*stats)(void *ctx, char *out, size_t room);
    void *stats_ctx;
};

/* limits, secret, memory, responder and the fields behind them are the caller's to set before. */
void control_init(struct control *c);
void control_close(struct control *c);
/* A message came. The reply is written to out, which has room for NODE_STREAM_MAX bytes. Returns
 * its length; 0: none. */
size_t control_request(struct control *c, const struct origin *from, uint64_t now,
                       const uint8_t *message, size_t n, uint8_t *out);
/* Lets sessions lapse and end. Returns when it wants to be called again, in ms. */
uint64_t control_tick(struct control *c, uint64_t now);
/* From now on nothing new; sessions may go on until end. */
void control_drain(struct control *c, uint64_t end);
/* The message that tells a session so; it goes to s->from. Returns its length. */
size_t control_notice(struct control *c, const struct session *s, uint64_t now,
                      uint8_t out[CONTROL_REPLY_MAX]);
/* Sessions that live; lapsed ones too if asked. */
unsigned control_sessions(const struct control *c, bool lapsed);
