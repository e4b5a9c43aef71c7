/*
 * The control protocol of `wherry memnode`, version 1: how a client of far memory makes itself
 * known, gets memory, and connects queue pairs. Shared by the guest and the node; docs/memnode.md
 * explains it. Constants and inline functions on byte arrays; pure, freestanding.
 *
 * A message is a header, a body whose length the type tells, and a tag. Numbers are big-endian.
 * Every message of a client is a request, and has one reply of the same type with NODE_REPLY set,
 * the same session and the same sequence number. Carriers:
 *   - UDP: one message is one datagram, at most NODE_DATAGRAM_MAX bytes. Either side may lose it:
 *     the client sends the same bytes again until the reply comes. It has one request under way.
 *   - TCP and unix streams: each message behind its length, 4 bytes.
 *
 * The tag is the first NODE_TAG bytes of HMAC-SHA256 (RFC 2104) over all that stands before it.
 * Its key is the shared secret itself (possibly empty) for HELLO and STATS, for their replies, and
 * for replies with a status that node_status_is_early(); else the session's key, which is
 *   HMAC-SHA256(secret, NODE_KEY_LABEL || client's nonce || node's nonce)
 * of its LOGIN. Who has no secret thus neither gets a session nor passes for the node.
 *
 * Sequence numbers of a session grow (by any step, modulo 2^32, from that of LOGIN on). The node
 * repeats its last reply to the last number, and is silent to older ones: no request is
 * carried out twice.
 */
#pragma once

#include "wire.h" /* roce_put16() and its like */

enum {
    NODE_PORT = 7471, /* of UDP and of TCP */
    NODE_MAGIC = 0x57684d6e,
    NODE_VERSION = 1,

    NODE_TAG = 16,
    NODE_NONCE = 16,
    NODE_KEY = 32,  /* bytes of a session's key */
    NODE_NAME = 32, /* of a client or a region: letters, digits, '.', '_', '-'; zeros to the end */
    NODE_DATAGRAM_MAX = 1200,
    NODE_STREAM_MAX = 65535,
    NODE_STREAM_PREFIX = 4,

    /* Where the header's fields lie. */
    NODE_AT_MAGIC = 0,
    NODE_AT_VERSION = 4, /* 1 byte; a reply to another version has the node's own */
    NODE_AT_TYPE = 5,    /* 1 byte */
    NODE_AT_LENGTH = 6,  /* 2 bytes: of all, tag included */
    NODE_AT_SESSION = 8, /* 8 bytes; 0 in HELLO, STATS, their replies, and LOGIN */
    NODE_AT_SEQ = 16,    /* 4 bytes */
    NODE_AT_STATUS = 20, /* 2 bytes; 0 in requests */
    NODE_AT_FLAGS = 22,  /* 2 bytes; 0 in requests */
    NODE_HEAD = 24,
    NODE_MIN = NODE_HEAD + NODE_TAG,

    NODE_DRAINING = 1, /* in a reply's flags: the node is about to end */
};

#define NODE_KEY_LABEL "wherry memnode 1" /* without the zero behind it */

enum node_type {
    NODE_HELLO = 1,
    NODE_LOGIN,
    NODE_CONNECT,
    NODE_DISCONNECT,
    NODE_ALLOC,
    NODE_FREE,
    NODE_KEEPALIVE,
    NODE_BYE,
    NODE_STATS, /* over streams only; the body of the reply is a line of JSON */
    NODE_TYPES,
    NODE_NOTICE = 0x40, /* the node's, unasked, sequence number 0: body as of KEEPALIVE's reply */
    NODE_REPLY = 0x80,
};

enum node_status {
    NODE_OK,
    NODE_E_AUTH,       /* wrong tag, or a nonce that is not ours or too old */
    NODE_E_VERSION,    /* of the protocol */
    NODE_E_NO_SESSION, /* unknown, or its lease has ended: LOGIN again */
    NODE_E_MALFORMED,  /* the length does not fit the type, or a field is none */
    NODE_E_TYPE,       /* no such request */
    NODE_E_DRAINING,   /* nothing new any more */
    NODE_E_LIMIT,      /* of clients, queue pairs or extents */
    NODE_E_QUOTA,      /* this client's, altogether or of the region */
    NODE_E_NO_MEMORY,  /* no piece of that length is free in the region */
    NODE_E_NO_REGION,
    NODE_E_NOT_FOUND, /* no such extent or queue pair of this client */
    NODE_E_CARRIER,   /* the reply does not fit: a datagram, or at all */
    NODE_STATUSES,
};

/* Replies that are made without a session: their tag's key is the secret. */
static inline bool node_status_is_early(unsigned status)
{
    return status == NODE_E_AUTH || status == NODE_E_VERSION || status == NODE_E_NO_SESSION;
}

/* Bodies: where fields lie, from the header's end on, and how long each is. Requests that are not
 * named have none, and neither have replies with a status other than NODE_OK. */
enum {
    /* HELLO, and its reply. */
    NODE_HELLO_NONCE = 0, /* NODE_NONCE bytes: the client's; the node's */
    NODE_HELLO_BODY = NODE_NONCE,

    NODE_LOGIN_CLIENT_NONCE = 0,
    NODE_LOGIN_NODE_NONCE = NODE_LOGIN_CLIENT_NONCE + NODE_NONCE,
    NODE_LOGIN_RESUME = NODE_LOGIN_NODE_NONCE + NODE_NONCE, /* 8: a session to go on with, or 0 */
    NODE_LOGIN_NAME = NODE_LOGIN_RESUME + 8,                /* NODE_NAME, for statistics */
    NODE_LOGIN_BODY = NODE_LOGIN_NAME + NODE_NAME,

    NODE_LOGIN_R_LEASE = 0,        /* 4, ms: a session ends if nothing is heard for so long */
    NODE_LOGIN_R_GRACE = 4,        /* 4, ms: so long its memory can be had back after that */
    NODE_LOGIN_R_QUOTA = 8,        /* 8 */
    NODE_LOGIN_R_USED = 16,        /* 8: bytes, of extents that a resumed session has */
    NODE_LOGIN_R_EXTENTS = 24,     /* 4: how many these are */
    NODE_LOGIN_R_MAX_EXTENTS = 28, /* 4 */
    NODE_LOGIN_R_MAX_QPS = 32,     /* 4 */
    NODE_LOGIN_R_MTU = 36,         /* 2: the largest path MTU */
    NODE_LOGIN_R_RD_ATOMIC = 38,   /* 2: the most READs outstanding on a queue pair */
    NODE_LOGIN_R_BODY = 40,

    /* CONNECT, and its reply: each side's own. */
    NODE_CONNECT_QPN = 0,        /* 4 */
    NODE_CONNECT_PSN = 4,        /* 4: of its first request */
    NODE_CONNECT_ADDRESS = 8,    /* 4, IPv4; 0 of a client: that the message came from */
    NODE_CONNECT_PORT = 12,      /* 2: UDP port for packets to it; 0 of a client: 4791 */
    NODE_CONNECT_MTU = 14,       /* 2: 256, 512, 1024, 2048, 4096; the reply has the smaller one */
    NODE_CONNECT_RD_ATOMIC = 16, /* 2: READs that shall be outstanding; the same */
    NODE_CONNECT_ZERO = 18,      /* 2 */
    NODE_CONNECT_BODY = 20,

    NODE_DISCONNECT_QPN = 0, /* 4: the node's */
    NODE_DISCONNECT_BODY = 4,

    NODE_ALLOC_BYTES = 0,   /* 8 */
    NODE_ALLOC_ACCESS = 8,  /* 4: NODE_READ | NODE_WRITE */
    NODE_ALLOC_REGION = 12, /* NODE_NAME; all zeros: any */
    NODE_ALLOC_BODY = NODE_ALLOC_REGION + NODE_NAME,
    NODE_ALLOC_R_VA = 0,     /* 8 */
    NODE_ALLOC_R_LENGTH = 8, /* 8: as asked, rounded up to NODE_GRAIN */
    NODE_ALLOC_R_RKEY = 16,  /* 4 */
    NODE_ALLOC_R_BODY = 20,

    NODE_FREE_VA = 0,   /* 8 */
    NODE_FREE_RKEY = 8, /* 4 */
    NODE_FREE_BODY = 12,

    NODE_KEEPALIVE_R_LEASE = 0, /* 4, ms */
    NODE_KEEPALIVE_R_DRAIN = 4, /* 4, ms until a draining node ends */
    NODE_KEEPALIVE_R_QUOTA = 8, /* 8 */
    NODE_KEEPALIVE_R_USED = 16, /* 8 */
    NODE_KEEPALIVE_R_FREE = 24, /* 8: of the node's memory, in the largest piece */
    NODE_KEEPALIVE_R_BODY = 32,

    NODE_READ = 1,
    NODE_WRITE = 2,
    NODE_GRAIN = 4096,
};

/* Writes a header for a body of that length; status and flags are 0. Returns the length of all. */
static inline size_t node_head(uint8_t *p, unsigned type, uint64_t session, uint32_t seq,
                               size_t body)
{
    size_t length = NODE_HEAD + body + NODE_TAG;

    roce_put32(p + NODE_AT_MAGIC, NODE_MAGIC);
    p[NODE_AT_VERSION] = NODE_VERSION;
    p[NODE_AT_TYPE] = type;
    roce_put16(p + NODE_AT_LENGTH, length);
    roce_put64(p + NODE_AT_SESSION, session);
    roce_put32(p + NODE_AT_SEQ, seq);
    roce_put32(p + NODE_AT_STATUS, 0); /* and flags */
    return length;
}

/* Is it a message, of whatever version, whose length is what n bytes hold? */
static inline bool node_well_formed(const uint8_t *p, size_t n)
{
    return n >= NODE_MIN && roce_get32(p + NODE_AT_MAGIC) == NODE_MAGIC &&
           roce_get16(p + NODE_AT_LENGTH) == n;
}

/* A name: at least one letter, and nothing behind its end. */
static inline bool node_name_good(const uint8_t *p)
{
    size_t n = 0;

    while (n < NODE_NAME &&
           ((p[n] >= 'a' && p[n] <= 'z') || (p[n] >= 'A' && p[n] <= 'Z') ||
            (p[n] >= '0' && p[n] <= '9') || p[n] == '.' || p[n] == '_' || p[n] == '-'))
        n++;
    if (n == 0)
        return false;
    for (size_t i = n; i < NODE_NAME; i++)
        if (p[i])
            return false;
    return true;
}
