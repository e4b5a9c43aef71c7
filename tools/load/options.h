/*
 * The words of `wherry load`: one struct, filled by load_options_parse(), read by all.
 */
#pragma once

#include "dns_queries.h"
#include "keys.h"
#include "proto.h"
#include "value.h"

#include <netinet/in.h>

enum workload {
    WORKLOAD_REQUESTS, /* http, dns, udp */
    WORKLOAD_GET,
    WORKLOAD_SET,
    WORKLOAD_LRANGE,
    WORKLOAD_YCSB_A,
    WORKLOAD_YCSB_B,
    WORKLOAD_YCSB_C,
    WORKLOAD_YCSB_D,
    WORKLOAD_YCSB_E,
    WORKLOAD_YCSB_F,
};

struct load_options {
    const char *proto_name;
    const struct proto *proto;
    struct sockaddr_in target;
    char *target_text;

    double rate; /* 0: closed loop */
    bool poisson;
    unsigned connections, pipeline, threads;
    bool on_demand; /* open loop: connections are opened while requests wait */
    double seconds, warmup;
    uint64_t requests; /* 0: until the time is over */
    unsigned timeout_ms;
    uint64_t seed;
    int *cpus;
    unsigned nr_cpus;
    struct in_addr *sources;
    unsigned nr_sources;
    bool linger0;

    bool keepalive;
    char *path;
    int64_t expect_size; /* -1: any */
    bool expect_sha;
    uint8_t sha[32];
    struct blob expect_body; /* no data: none was given */
    bool expect_file;

    bool tcp; /* dns */
    struct dns_queries queries;

    enum workload workload;
    uint64_t keys;
    enum key_dist key_dist;
    struct value_sizes sizes;
    unsigned list_length;
    bool load;
    bool binary;   /* memcached */
    unsigned size; /* udp */

    bool text, quiet;
    const char *out;
};

/* True if there is something to run; false if help was printed. Dies on wrong words. */
bool load_options_parse(struct load_options *o, int argc, char **argv);
