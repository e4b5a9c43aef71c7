/*
 * What the front ends of udpkv that are ordinary Linux programs share: options, the socket, memory,
 * the clock, statistics at signals. Called by main_socket.c and main_batch.c.
 */
#pragma once

#include "service.h"

#include <netinet/in.h>

enum {
    FRONT_BUFFER = 2048,   /* of a datagram; longer ones are counted and dropped */
    FRONT_BURST_MAX = 512, /* datagrams a system call */
    FRONT_BURST = 512,
};

struct front {
    const char *name;
    int fd;
    struct kv *kv; /* NULL: echo */
    unsigned burst;
    /* Counters of datagrams; those of requests are the service's. */
    uint64_t received, sent;
    uint64_t oversized; /* longer than FRONT_BUFFER */
    uint64_t unsent;    /* replies the socket did not take */
    uint64_t failed;    /* receives that failed for a while */
};

/* Reads the options, binds, prints that it is ready; ends the program with one line if it cannot.
 * Prints statistics at SIGUSR1, and at SIGTERM and SIGINT before it ends. There is one front. */
void front_start(struct front *f, const char *name, bool batched, int argc, char **argv);
/* Seconds of a clock that never goes back. */
uint32_t front_now(void);
/* After a receive that failed: returns if it is worth another try. */
void front_receive_failed(struct front *f);
