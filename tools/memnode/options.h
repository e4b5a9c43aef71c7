/* The words of `wherry memnode`: see options.c's table. Host code; does not block. */
#pragma once

#include "control.h"
#include "fault.h"

enum memnode_transport { OVER_UDP, OVER_STREAM, OVER_DGRAM, OVER_VHOST, OVER_VERBS };

struct memnode_options {
    enum memnode_transport transport;
    const char *path;      /* of the transport's socket */
    const char *device;    /* of verbs; NULL: none */
    uint8_t device_port;   /* of that, from 1 on */
    uint32_t listen;       /* address, INADDR_ANY: all */
    uint16_t port;         /* of RoCE */
    uint16_t control_port; /* 0: any */
    const char *control_path;
    bool control_given;
    uint32_t control_address;
    uint32_t ip; /* of its own, on a netdev */
    uint8_t mac[6];
    unsigned mtu; /* the largest path MTU */

    struct region_spec regions[MEMORY_REGIONS];
    unsigned nr_regions;
    bool huge_pages;
    uint64_t quota;
    const char *key;
    struct control_limits limits;
    double drain_s;
    unsigned poll_us;
    uint32_t metrics_address;
    int metrics_port; /* -1: none */

    bool faults;
    struct fault_spec fault;
    uint64_t seed;

    const char *stats; /* of which node; NULL: be one */
};

/* False if help was printed. Dies on wrong words. */
bool memnode_options_parse(struct memnode_options *o, int argc, char **argv);
/* "HOST", "HOST:PORT" or ":PORT" of IPv4. What is not given is left as it is. */
bool memnode_address_parse(const char *text, uint32_t *address, uint16_t *port);
/* The secret in a file: all of it, without a newline at the end. Dies if it cannot be read. */
size_t memnode_read_key(const char *path, uint8_t key[CONTROL_SECRET_MAX]);
