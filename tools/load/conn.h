/*
 * A connection of the generator: a socket that does not block, bytes to send, bytes of an answer
 * that is not complete, and the requests under way on it. Streams answer in the order of requests;
 * datagrams by number. Owned by one worker; knows nothing of schedules or statistics.
 */
#pragma once

#include "options.h"
#include "tally.h"

#include <stdbool.h>
#include <stdint.h>

enum conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_UP };

struct conn_list {
    struct conn *head, *tail;
    unsigned n;
};

struct conn {
    int fd;
    enum conn_state state;
    bool waits_out; /* epoll tells when it can be written */
    bool last;      /* the server closes after this answer */
    bool dirty;     /* has bytes to flush this round */
    struct strbuf in, out;
    size_t out_at; /* sent so far */
    size_t want;   /* see struct answer */

    struct request *head, *tail; /* streams: under way, in order */
    struct request **slots;      /* datagrams: by number modulo their count, a power of two */
    unsigned nr_slots;
    uint32_t next_id;
    unsigned under_way;

    uint64_t retry_at; /* ns; not opened again before */
    struct conn *prev, *next;
    struct conn_list *list;
};

void conn_list_move(struct conn *c, struct conn_list *to, bool front);

/* Begins to connect. False with the reason if that failed at once. */
bool conn_open(struct conn *c, const struct load_options *o, unsigned source, int epoll,
               enum error *e);
/* After epoll says that a connecting socket can be written. */
bool conn_connected(struct conn *c, enum error *e);
/* The socket only: requests are the caller's. */
void conn_close(struct conn *c);
/* Sends what it can. Returns bytes sent, or -1 with the reason. */
ssize_t conn_flush(struct conn *c, int epoll, enum error *e);
enum error conn_error(int err);

void conn_push(struct conn *c, struct request *r);
struct request *conn_pop(struct conn *c);
/* Gives a request a number that is free, and keeps it. */
void conn_put_slot(struct conn *c, struct request *r, unsigned id_bits);
/* The request of this number, or NULL; it leaves. */
struct request *conn_take_slot(struct conn *c, uint32_t id);
