/*
 * The requests of one worker and the connections they are on: which connection takes the next, what
 * goes out, what the answers are, and how each request ends. worker.c decides when they are due.
 */
#pragma once

#include "conn.h"
#include "worker.h"

#include <sys/resource.h>

#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

enum {
    SCRATCH = 256 << 10, /* read at once */
    BURST = 64,          /* requests issued, datagrams read, before other work gets its turn */
};

struct session {
    struct worker *w;
    struct run *run;
    const struct load_options *o;
    const struct proto *proto;
    struct proto_state proto_state;
    struct workload_stream workload;
    struct arrival arrival;
    int epoll;
    bool per_request; /* a connection a request */

    struct conn *conns;
    unsigned nr_conns, connecting, next_source;
    struct conn_list idle, partial, busy, closed;
    struct conn **dirty;
    unsigned nr_dirty;

    struct request *pool;               /* not in use */
    struct request *queue, *queue_tail; /* open loop: waiting for a connection */
    unsigned queue_len;
    struct request *oldest, *newest; /* all that have not ended, by intended time */
    uint64_t next_due;
    bool exhausted; /* the workload or the budget is used up */

    uint64_t start, window, end, timeout;
    int window_state; /* 0 before, 1 in, 2 after the recorded time */
    struct rusage usage;
    uint8_t *scratch;
};

/* A request that counts from now on, due at this time. */
struct request *session_request(struct session *s, uint64_t intended);
/* It ends as this error. */
void session_fail(struct session *s, struct request *r, enum error e);
/* A datagram that was not answered is sent again, as if it were due now; false if that was done
 * often enough. */
bool session_repeat(struct session *s, struct request *r, uint64_t now);
/* It ends, and nothing is counted. */
void session_forget(struct session *s, struct request *r);
/* One request less to send; false if none is left. */
bool session_take_budget(struct session *s);

void session_queue_push(struct session *s, struct request *r);
struct request *session_queue_pop(struct session *s);

/* Begins to open a connection; false if that failed at once. */
bool session_open(struct session *s, struct conn *c, uint64_t now);
/* Opens connections: all in a closed loop, as many as requests wait in an open one. */
void session_open_more(struct session *s, uint64_t now);
/* A connection that takes another request now, or NULL. */
struct conn *session_pick(struct session *s, uint64_t now);
/* Puts a request on it; bytes of streams go out with the next session_flush(). */
void session_start(struct session *s, struct conn *c, struct request *r, uint64_t now);
void session_flush(struct session *s);
/* Puts a connection into the list that its state asks for. */
void session_place(struct session *s, struct conn *c);
/* Closes it; the requests on it end as this error. */
void session_drop(struct session *s, struct conn *c, enum error e);
/* What epoll says of a connection. */
void session_event(struct session *s, struct conn *c, uint32_t events);
