/*
 * The node's stream sockets: the control protocol over TCP and unix sockets, each message behind
 * its length, and statistics for Prometheus over HTTP/1.0 (GET /metrics). Called by node.c; calls
 * control.c and what makes the statistics. Nothing blocks: one epoll set holds all of them.
 */
#pragma once

#include "control.h"

enum { STREAMS = 128 }; /* connections; the one that was silent longest makes room for more */

enum stream_kind {
    STREAM_FREE,
    STREAM_CONTROL_LISTENER,
    STREAM_METRICS_LISTENER,
    STREAM_CONTROL,
    STREAM_METRICS
};

struct stream {
    enum stream_kind kind;
    int fd;
    uint64_t number; /* never used twice, never 0 */
    uint64_t heard;  /* ms */
    bool closing;    /* when all is sent */
    struct origin from;
    struct strbuf in, out;
    size_t out_at;
};

struct streams {
    int fd; /* an epoll set: readable when streams_work() has something to do */
    struct control *control;
    void (*metrics)(void *ctx, struct strbuf *out);
    void *ctx;
    char *path; /* of the unix socket, to be removed */
    struct stream stream[STREAMS + 2];
    uint64_t last_number;
    uint8_t reply[NODE_STREAM_MAX];
};

void streams_init(struct streams *s, struct control *c, void (*metrics)(void *, struct strbuf *),
                  void *ctx);
/* Each dies where that cannot be. A port of 0 is chosen; the port in use is returned. */
uint16_t streams_listen(struct streams *s, enum stream_kind kind, const char *option,
                        uint32_t address, uint16_t port);
void streams_listen_path(struct streams *s, const char *option, const char *path);
void streams_work(struct streams *s, uint64_t now);
/* A message to a connection, if it is there still. */
void streams_send(struct streams *s, uint64_t number, const uint8_t *message, size_t n);
void streams_close(struct streams *s);
