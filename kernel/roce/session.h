/*
 * A client's side of a memory node's control protocol (node_proto.h, docs/memnode.md): makes itself
 * known, gets memory, connects queue pairs, and keeps the lease. A state machine without I/O and
 * without a clock, so that it can be tested on the host: whoever drives it (node.c) sends what
 * session_output() writes when it says so, and hands over what comes. Nothing here sleeps or
 * allocates.
 *
 *     session_open()     from the beginning
 *     session_reopen()   the node was lost: the same memory is asked for, by new queue pairs
 *     session_close()    the memory is given back
 *
 * A node with another key cannot prove that it is one: at the first login its refusals are believed
 * after some, later not at all, or anybody could end a connection by them.
 *
 * A request is repeated until its reply comes, or SESSION_TRIES times: then the session is DOWN.
 */
#pragma once

#include "roce/node_proto.h"

#define SESSION_QPS        3u
#define SESSION_SECRET_MAX 64u
#define SESSION_TRIES      20u

enum session_state {
    SESSION_IDLE,
    SESSION_HELLO,
    SESSION_LOGIN,
    SESSION_ALLOC,
    SESSION_CONNECT, /* one queue pair after the other */
    SESSION_READY,   /* all is there; KEEPALIVE from now on */
    SESSION_LEAVING, /* to begin anew, or for good */
    SESSION_DOWN,    /* see error */
};

struct session_qp {
    uint32_t qpn, psn; /* ours, set before; of our first request */
    uint32_t peer_qpn;
    uint16_t mtu, rd_atomic; /* as asked for, then as agreed on */
    uint16_t peer_port;      /* UDP port that its packets go to */
    uint32_t peer_address;   /* host order */
};

struct session {
    /* The owner's, before session_open(). */
    uint8_t secret[SESSION_SECRET_MAX];
    size_t secret_len;
    char name[NODE_NAME + 1];
    uint64_t want; /* bytes of memory */
    struct session_qp qp[SESSION_QPS];
    uint64_t (*random)(void);

    /* Results. */
    enum session_state state;
    int error;       /* -errno, of SESSION_DOWN; with status, if the node refused */
    uint16_t status; /* enum node_status */
    uint64_t va;     /* of the memory: as RDMA names it */
    uint64_t length; /* 0: there is none */
    uint32_t rkey;
    uint32_t lease_ms;

    /* Its own. */
    bool closing;        /* there will be no other */
    unsigned denials;    /* "wrong key" by somebody whose key is not ours */
    uint64_t id, resume; /* of this session; of the one whose memory is wanted again */
    uint32_t seq;
    uint8_t key[NODE_KEY];
    uint8_t nonce[NODE_NONCE], node_nonce[NODE_NONCE];
    unsigned connecting; /* which of qp[] */
    unsigned tries;
    uint64_t due; /* ns: next repetition or KEEPALIVE */
    uint8_t message[NODE_DATAGRAM_MAX];
    size_t length_out; /* of the request under way; 0: none is */
};

void session_open(struct session *s, uint64_t now);
/* Goes on with the memory it has, if the node still keeps it (else SESSION_DOWN, -ESTALE: what was
 * stored is lost). qp[].qpn and psn are new ones. */
void session_reopen(struct session *s, uint64_t now);
/* Leaves for good. It is IDLE when the node knows it, or, without an answer, DOWN. */
void session_close(struct session *s, uint64_t now);
/* The datagram that is to be sent now, valid until the next call; 0: none before
 * session_deadline(). */
size_t session_output(struct session *s, uint64_t now, const uint8_t **datagram);
static inline uint64_t session_deadline(const struct session *s)
{
    return s->state == SESSION_IDLE || s->state == SESSION_DOWN ? UINT64_MAX : s->due;
}
/* A datagram from the node. True: the state may have changed. */
bool session_input(struct session *s, const uint8_t *p, size_t n, uint64_t now);
