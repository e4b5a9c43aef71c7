/*
 * What a protocol is to the generator: it writes requests and judges answers. One file a protocol
 * (proto_*.c); none does any I/O, so that all of them are tested and fuzzed as functions of bytes.
 *
 * A request may take several steps (read-modify-write is a read, then a write): encode() writes the
 * bytes of r->step, parse() answers ANSWER_NEXT when another step follows.
 */
#pragma once

#include "../util.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct load_options;

/* What a request does; results are kept apart by it. */
enum op { OP_REQUEST, OP_READ, OP_UPDATE, OP_INSERT, OP_SCAN, OP_RMW, OP_LRANGE, OP_FILL, NR_OPS };
extern const char *const op_names[NR_OPS];

struct request {
    enum op op;
    uint8_t step;
    uint64_t key, version;
    uint32_t count; /* records of a scan; of an insert: what a scan must see at least */
    uint32_t id;    /* of a datagram; the worker's */
    uint8_t tries;  /* of a datagram, while a store is filled; the worker's */

    /* The worker's. */
    bool recorded;
    uint64_t intended, sent; /* ns */
    struct conn *conn;       /* NULL while it waits for one */
    struct request *next;    /* on its connection, or in the queue */
    struct request *older, *newer;
};

enum verdict {
    ANSWER_MORE,   /* the answer is not complete */
    ANSWER_GOOD,   /* complete, and its content is right */
    ANSWER_NEXT,   /* so was this step's, and another follows */
    ANSWER_WRONG,  /* complete, but not the right content: missing, other bytes, an error */
    ANSWER_BROKEN, /* not of this protocol: the connection is of no more use */
};

struct answer {
    size_t used; /* bytes of it; with GOOD, NEXT and WRONG */
    size_t want; /* MORE: it is in vain to ask again with fewer bytes than this */
    bool close;  /* the server will close, or has no more to say, on this connection */
};

/* An answer larger than this is broken. */
#define ANSWER_MAX (64u << 20)

/* What a protocol remembers, one a thread. */
struct proto_state {
    const struct load_options *o;
    struct strbuf reference; /* http: the body every answer must have */
    bool have_reference;
    struct strbuf scratch;
};

struct proto {
    const char *name;
    bool datagram; /* may be lost, and come in any order */
    void (*encode)(struct proto_state *s, struct request *r, struct strbuf *out);
    /* n bytes from the start of an answer, perhaps more than one; eof: there will be no more. */
    enum verdict (*parse)(struct proto_state *s, struct request *r, const uint8_t *p, size_t n,
                          bool eof, struct answer *a);
    /* Datagrams: which request one answers. */
    bool (*id)(const uint8_t *p, size_t n, uint32_t *id);
};

extern const struct proto proto_http, proto_dns_udp, proto_dns_tcp, proto_redis,
    proto_memcached_ascii, proto_memcached_binary, proto_udp, proto_udpkv;

/* Keys as the stores know them. */
enum { KEY_TEXT = 24 };
static inline void key_text(char out[KEY_TEXT], const char *prefix, uint64_t key)
{
    size_t n = 0;

    for (; prefix[n]; n++)
        out[n] = prefix[n];
    for (int i = 11; i >= 0; i--, key /= 10)
        out[n + i] = '0' + key % 10;
    out[n + 12] = '\0';
}
