/* See options.h. One table holds every option with its help. */
#define _GNU_SOURCE
#include "options.h"

#include "../../apps/udpkv/proto.h"
#include "args.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLOSED_CONNS = 50,     /* as redis-benchmark */
    OPEN_CONNS = 1024,     /* a limit: they are opened when needed */
    DATAGRAM_CONNS = 64,   /* sockets, each with a port of its own */
    OPEN_DATAGRAMS = 1024, /* under way on each, in an open loop */
    LOOPBACK_SOURCES = 250,
    MAX_SOURCES = 65536,
    MAX_CONNS = 1 << 20,
    MAX_THREADS = 1024,
    YCSB_RECORD = 1000, /* 10 fields of 100 bytes */
    SMALL_VALUE = 100,
};

static const char *const proto_names[] = {"http", "dns",   "redis", "memcached",
                                          "udp",  "udpkv", NULL};
static const char *const arrival_names[] = {"constant", "poisson", NULL};
static const char *const yes_no[] = {"no", "yes", NULL};
static const char *const transports[] = {"udp", "tcp", NULL};
static const char *const workload_names[] = {"get",    "set",    "lrange", "ycsb-a", "ycsb-b",
                                             "ycsb-c", "ycsb-d", "ycsb-e", "ycsb-f", NULL};
static const char *const dist_names[] = {"uniform", "zipfian", "latest", NULL};
static const char *const size_dists[] = {"six", NULL};
static const char *const formats[] = {"json", "text", NULL};

/* The options, and which of them were given where that matters. */
struct parsed {
    struct load_options o;
    bool workload, dist, size, http_only, arrivals;
    const char *expect_file, *queries;
};

#define O(p) (&((struct parsed *)(p))->o)

static void set_rate(void *p, const char *n, const char *v)
{
    O(p)->rate = arg_real(n, v, 0.001, 1e9);
}

static void set_arrivals(void *p, const char *n, const char *v)
{
    O(p)->poisson = arg_one_of(n, v, arrival_names) == 1;
    ((struct parsed *)p)->arrivals = true;
}

static void set_connections(void *p, const char *n, const char *v)
{
    O(p)->connections = arg_number(n, v, 1, MAX_CONNS);
}

static void set_pipeline(void *p, const char *n, const char *v)
{
    O(p)->pipeline = arg_number(n, v, 1, 4096);
}

static void set_seconds(void *p, const char *n, const char *v)
{
    O(p)->seconds = arg_real(n, v, 0.01, 1e6);
}

static void set_warmup(void *p, const char *n, const char *v)
{
    O(p)->warmup = arg_real(n, v, 0, 1e5);
}

static void set_requests(void *p, const char *n, const char *v)
{
    O(p)->requests = arg_number(n, v, 1, UINT64_C(1) << 50);
}

static void set_threads(void *p, const char *n, const char *v)
{
    O(p)->threads = arg_number(n, v, 1, MAX_THREADS);
}

/* "0,2-3" */
static void set_cpus(void *p, const char *name, const char *v)
{
    struct load_options *o = O(p);
    const char *s = v;

    o->nr_cpus = 0;
    for (;;) {
        char *end;
        unsigned long first = strtoul(s, &end, 10), last = first;

        if (end == s || *s < '0' || *s > '9')
            break;
        if (*end == '-') {
            s = end + 1;
            last = *s >= '0' && *s <= '9' ? strtoul(s, &end, 10) : 0;
        }
        if (last < first || last >= CPU_SETSIZE)
            break;
        for (; first <= last; first++) {
            o->cpus = xrealloc(o->cpus, (o->nr_cpus + 1) * sizeof(o->cpus[0]));
            o->cpus[o->nr_cpus++] = first;
        }
        if (*end == '\0')
            return;
        if (*end != ',')
            break;
        s = end + 1;
    }
    die("--%s %s: write CPU numbers, as 0,2-3", name, v);
}

static void add_source(struct load_options *o, uint32_t host_order)
{
    o->sources = xrealloc(o->sources, (o->nr_sources + 1) * sizeof(o->sources[0]));
    o->sources[o->nr_sources++].s_addr = htonl(host_order);
}

static void set_sources(void *p, const char *name, const char *v)
{
    struct load_options *o = O(p);
    char *copy = xstrdup(v), *save, *slash = strchr(copy, '/');
    struct in_addr a;

    o->nr_sources = 0;
    if (slash) {
        uint32_t bits, size;

        *slash = '\0';
        bits = arg_number(name, slash + 1, 1, 32);
        if (inet_pton(AF_INET, copy, &a) != 1)
            die("--%s %s: write A.B.C.D/PREFIX, or addresses with commas", name, v);
        if (bits < 16)
            die("--%s %s: a prefix of 16 bits or more", name, v);
        size = 1u << (32 - bits);
        /* The first and the last address of a network are not a host's. */
        for (uint32_t i = 0; i < size; i++)
            if (size <= 2 || (i > 0 && i < size - 1))
                add_source(o, (ntohl(a.s_addr) & ~(size - 1)) + i);
    } else {
        for (char *s = strtok_r(copy, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
            if (inet_pton(AF_INET, s, &a) != 1)
                die("--%s %s: %s is not an IPv4 address", name, v, s);
            if (o->nr_sources == MAX_SOURCES)
                die("--%s: at most %d addresses", name, MAX_SOURCES);
            add_source(o, ntohl(a.s_addr));
        }
    }
    if (o->nr_sources == 0)
        die("--%s %s: there is no address in it", name, v);
    free(copy);
}

static void set_timeout(void *p, const char *n, const char *v)
{
    O(p)->timeout_ms = arg_number(n, v, 1, 3600000);
}

static void set_seed(void *p, const char *n, const char *v)
{
    O(p)->seed = arg_number(n, v, 0, UINT64_MAX);
}

static void set_linger0(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    O(p)->linger0 = true;
}

static void set_keepalive(void *p, const char *n, const char *v)
{
    O(p)->keepalive = arg_one_of(n, v, yes_no);
    ((struct parsed *)p)->http_only = true;
}

static void set_path(void *p, const char *n, const char *v)
{
    if (*v != '/' || strpbrk(v, " \t\r\n"))
        die("--%s %s: a path starts with / and has no spaces", n, v);
    O(p)->path = xstrdup(v);
    ((struct parsed *)p)->http_only = true;
}

static void set_expect_size(void *p, const char *n, const char *v)
{
    O(p)->expect_size = arg_number(n, v, 0, ANSWER_MAX);
    ((struct parsed *)p)->http_only = true;
}

static void set_expect_sha(void *p, const char *n, const char *v)
{
    struct load_options *o = O(p);

    if (strlen(v) != 64 || strspn(v, "0123456789abcdefABCDEF") != 64)
        die("--%s %s: 64 hexadecimal digits", n, v);
    for (int i = 0; i < 32; i++)
        sscanf(v + 2 * i, "%2hhx", &o->sha[i]);
    o->expect_sha = true;
    ((struct parsed *)p)->http_only = true;
}

static void set_expect_file(void *p, const char *n, const char *v)
{
    (void)n;
    ((struct parsed *)p)->expect_file = v;
    ((struct parsed *)p)->http_only = true;
}

static void set_queries(void *p, const char *n, const char *v)
{
    (void)n;
    ((struct parsed *)p)->queries = v;
}

static void set_transport(void *p, const char *n, const char *v)
{
    O(p)->tcp = arg_one_of(n, v, transports);
}

static void set_workload(void *p, const char *n, const char *v)
{
    O(p)->workload = WORKLOAD_GET + arg_one_of(n, v, workload_names);
    ((struct parsed *)p)->workload = true;
}

static void set_keys(void *p, const char *n, const char *v)
{
    O(p)->keys = arg_number(n, v, 1, 100000000000);
}

static void set_key_dist(void *p, const char *n, const char *v)
{
    O(p)->key_dist = arg_one_of(n, v, dist_names);
    ((struct parsed *)p)->dist = true;
}

static void set_value_size(void *p, const char *n, const char *v)
{
    O(p)->sizes.size = arg_number(n, v, 1, VALUE_MAX);
    ((struct parsed *)p)->size = true;
}

static void set_value_dist(void *p, const char *n, const char *v)
{
    arg_one_of(n, v, size_dists);
    O(p)->sizes.size = 0;
    ((struct parsed *)p)->size = true;
}

static void set_list_length(void *p, const char *n, const char *v)
{
    O(p)->list_length = arg_number(n, v, 1, 4000);
}

static void set_load(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    O(p)->load = true;
}

static void set_ascii(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    O(p)->binary = false;
}

static void set_binary(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    O(p)->binary = true;
}

static void set_size(void *p, const char *n, const char *v)
{
    O(p)->size = arg_number(n, v, 4, 65507);
}

static void set_format(void *p, const char *n, const char *v)
{
    O(p)->text = arg_one_of(n, v, formats);
}

static void set_out(void *p, const char *n, const char *v)
{
    (void)n;
    O(p)->out = v;
}

static void set_quiet(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    O(p)->quiet = true;
}

static const struct arg table[] = {
    {"rate", "R", "open loop: offer R requests a second (default: closed loop)", set_rate},
    {"arrivals", "KIND", "of an open loop: poisson (default) or constant", set_arrivals},
    {"connections", "N",
     "connections, opened before the start (closed loop: 50); open loop, default: opened\n"
     "when needed, at most 1024; sockets of datagrams (default 64)",
     set_connections},
    {"pipeline", "N", "requests under way on a connection (default 1; datagrams, open loop: 1024)",
     set_pipeline},
    {"seconds", "S", "recorded time (default 10)", set_seconds},
    {"warmup", "S", "time before that, not recorded (default 0)", set_warmup},
    {"requests", "N", "closed loop: end after N requests, all recorded", set_requests},
    {"threads", "N", "threads (default 1, or one for each of --cpus)", set_threads},
    {"cpus", "LIST", "pin thread after thread to these CPUs, as 0,2-3", set_cpus},
    {"sources", "ADDRESSES",
     "local addresses to connect from, A.B.C.D/PREFIX or addresses with commas\n"
     "(default: the kernel's; to loopback with a connection a request: 250 of 127.66.0.0/24)",
     set_sources},
    {"linger0", NULL, "end connections with a reset, which leaves no TIME_WAIT", set_linger0},
    {"timeout", "MS", "a request not answered so long is an error (default 1000)", set_timeout},
    {"seed", "N", "of arrivals and keys (default 1)", set_seed},
    {"keepalive", "yes|no", "http: connections serve many requests (default), or one",
     set_keepalive},
    {"path", "PATH", "http: what to get (default /)", set_path},
    {"expect-size", "BYTES", "http: size of a good body", set_expect_size},
    {"expect-sha256", "HEX", "http: SHA-256 of a good body", set_expect_sha},
    {"expect-file", "FILE",
     "http: a good body (default: the first with status 200 is what all must be)", set_expect_file},
    {"queries", "FILE",
     "dns: lines of NAME TYPE [EXPECTED]; expected is an address, NXDOMAIN or NODATA,\n"
     "default any record of the type (without a file: wN.wherry.test A, for load serve)",
     set_queries},
    {"transport", "udp|tcp", "dns: default udp", set_transport},
    {"workload", "NAME",
     "redis, memcached, udpkv: get (default), set, ycsb-a to ycsb-f; redis only: lrange, ycsb-e",
     set_workload},
    {"keys", "N", "keys of the store (default 10000)", set_keys},
    {"key-dist", "NAME",
     "uniform (default of get, set, lrange), zipfian (YCSB's, theta 0.99), latest", set_key_dist},
    {"value-size", "BYTES", "size of a value, or list element (default 100; ycsb 1000)",
     set_value_size},
    {"value-dist", "six", "sizes of 4, 8, 16, 32, 64 and 128 KiB, equally often", set_value_dist},
    {"list-length", "N", "lrange: elements of a list (default 200)", set_list_length},
    {"load", NULL, "fill the store first, and read it back", set_load},
    {"ascii", NULL, "memcached: the ASCII protocol (default)", set_ascii},
    {"binary", NULL, "memcached: the binary protocol", set_binary},
    {"size", "BYTES", "udp: size of a datagram (default 64)", set_size},
    {"format", "json|text", "the whole result (default), or a few lines to read", set_format},
    {"out", "FILE", "write the result there and not to standard output", set_out},
    {"quiet", NULL, "no summary on standard error", set_quiet},
};

static void help(void)
{
    printf("Usage: wherry load http|dns|redis|memcached|udp|udpkv [options] HOST:PORT\n"
           "       wherry load serve PROTO [options]    a null server; see its own --help\n\n"
           "Offers requests to a server, verifies every answer, and prints one JSON object with\n"
           "counts, errors and histograms of latency (docs/load.md).\n\n");
    args_help(table, ARRAY_LEN(table));
}

static void set_target(struct load_options *o, const char *s)
{
    const char *colon = strrchr(s, ':');
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    unsigned long port;
    char *host, *end;
    int err;

    if (!colon || colon == s)
        die("%s: write HOST:PORT", s);
    port = strtoul(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end || port < 1 || port > 65535)
        die("%s: a port is a number from 1 to 65535", s);
    host = xstrndup(s, colon - s);
    o->target.sin_port = htons(port);
    err = getaddrinfo(host, NULL, &hints, &found);
    if (err)
        die("%s: %s", host, gai_strerror(err));
    o->target.sin_family = AF_INET;
    o->target.sin_addr = ((struct sockaddr_in *)found->ai_addr)->sin_addr;
    o->target_text = xstrdup(s);
    freeaddrinfo(found);
    free(host);
}

static void choose_proto(struct load_options *o, const char *name)
{
    static const struct proto *const protos[][2] = {
        {&proto_http, &proto_http},   {&proto_dns_udp, &proto_dns_tcp},
        {&proto_redis, &proto_redis}, {&proto_memcached_ascii, &proto_memcached_binary},
        {&proto_udp, &proto_udp},     {&proto_udpkv, &proto_udpkv},
    };
    int index = 0;

    while (proto_names[index] && strcmp(proto_names[index], name) != 0)
        index++;
    if (!proto_names[index])
        die("protocol %s: one of http, dns, redis, memcached, udp, udpkv", name);
    o->proto_name = proto_names[index];
    o->proto = protos[index][index == 1 ? o->tcp : o->binary];
}

/* Does it store values that --workload, --load and the like are about? */
static bool is_store(const struct load_options *o)
{
    return o->proto == &proto_redis || o->proto == &proto_udpkv ||
           !strcmp(o->proto_name, "memcached");
}

/* Mistakes that lie in two options together. */
static void check(const struct parsed *p)
{
    const struct load_options *o = &p->o;
    bool redis = o->proto == &proto_redis, http = o->proto == &proto_http, store = is_store(o);

    if (o->rate > 0 && o->requests)
        die("--requests is for a closed loop: give --seconds with --rate");
    if (o->rate == 0 && p->arrivals)
        die("--arrivals is for an open loop: give --rate");
    if (!store && (p->workload || o->load))
        die("--workload and --load are for redis, memcached and udpkv");
    if (store && !redis && (o->workload == WORKLOAD_LRANGE || o->workload == WORKLOAD_YCSB_E))
        die("--workload %s: %s has no lists and no order of keys",
            workload_names[o->workload - WORKLOAD_GET], o->proto_name);
    if (o->proto == &proto_udpkv && (o->sizes.size == 0 || o->sizes.size > KV_VALUE_MAX))
        die("--value-size, --value-dist: a value of udpkv has at most %d bytes", KV_VALUE_MAX);
    if (!http && p->http_only)
        die("--keepalive, --path and --expect-... are for http");
    if (strcmp(o->proto_name, "dns") != 0 && (p->queries || o->tcp))
        die("--queries and --transport are for dns");
    if (o->pipeline > 1 && (http || o->proto == &proto_dns_tcp))
        die("--pipeline: %s servers need not answer in order", http ? "http" : "dns");
    if (o->threads > o->connections)
        die("--threads %u: there are only %u connections", o->threads, o->connections);
    if (o->expect_sha && p->expect_file)
        die("--expect-sha256 and --expect-file exclude each other");
}

static void defaults(struct parsed *p)
{
    struct load_options *o = &p->o;
    bool ycsb, open = o->rate > 0, datagram = o->proto->datagram;

    if (!p->workload && is_store(o))
        o->workload = WORKLOAD_GET;
    ycsb = o->workload >= WORKLOAD_YCSB_A;
    if (!p->dist && ycsb)
        o->key_dist = o->workload == WORKLOAD_YCSB_D ? KEYS_LATEST : KEYS_ZIPFIAN;
    if (!p->size)
        o->sizes.size = ycsb ? YCSB_RECORD : SMALL_VALUE;
    if (o->threads == 0)
        o->threads = o->nr_cpus ? o->nr_cpus : 1;
    o->on_demand = open && !datagram && o->connections == 0;
    if (o->connections == 0)
        o->connections = open && datagram ? DATAGRAM_CONNS : open ? OPEN_CONNS : CLOSED_CONNS;
    if (o->pipeline == 0)
        o->pipeline = open && datagram ? OPEN_DATAGRAMS : 1;
    if (o->seconds == 0 && !o->requests)
        o->seconds = 10;
    if (!o->keepalive && o->nr_sources == 0 && ntohl(o->target.sin_addr.s_addr) >> 24 == 127)
        for (unsigned i = 1; i <= LOOPBACK_SOURCES; i++)
            add_source(o, 127u << 24 | 66u << 16 | i);
}

bool load_options_parse(struct load_options *out, int argc, char **argv)
{
    struct parsed p = {
        .o = {.poisson = true,
              .timeout_ms = 1000,
              .seed = 1,
              .keepalive = true,
              .path = "/",
              .expect_size = -1,
              .keys = 10000,
              .list_length = 200,
              .size = 64},
    };
    int words = args_parse(table, ARRAY_LEN(table), &p, argc, argv);
    struct why w;

    if (words < 0) {
        help();
        return false;
    }
    if (words < 1)
        die("name a protocol: http, dns, redis, memcached, udp or udpkv (--help lists the "
            "options)");
    if (words != 2)
        die("write wherry load PROTO [options] HOST:PORT");
    choose_proto(&p.o, argv[0]);
    set_target(&p.o, argv[1]);
    defaults(&p);
    check(&p);
    if (p.queries)
        dns_queries_read(&p.o.queries, p.queries);
    if (p.expect_file) {
        if (!blob_map(&p.o.expect_body, p.expect_file, &w))
            die("--expect-file: %s", w.text);
        p.o.expect_file = true;
    }
    *out = p.o;
    return true;
}
