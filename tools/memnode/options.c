/* See options.h. One table holds every option with its help. */
#define _GNU_SOURCE
#include "options.h"

#include "../load/args.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define O(p) ((struct memnode_options *)(p))

/* Of the node at a netdev; what wherry run --far expects (tools/farspec.c). */
#define DEFAULT_IP 0x0a580001u /* 10.88.0.1 */

static const struct memnode_options defaults = {
    .listen = INADDR_ANY,
    .port = ROCE_UDP_PORT,
    .control_port = NODE_PORT,
    .mtu = ROCE_MTU_MAX,
    .limits = {.clients = 64,
               .qps =
                   16, /* demand, prefetch and eviction, and as many again while one reconnects */
               .extents = 256,
               .lease_ms = 5000,
               .grace_ms = 60000},
    .drain_s = 10,
    .metrics_address = INADDR_LOOPBACK,
    .metrics_port = -1,
    .seed = 1,
};

bool memnode_address_parse(const char *text, uint32_t *address, uint16_t *port)
{
    char *host = xstrdup(text), *colon = strchr(host, ':'), *end = NULL;
    struct in_addr a;
    bool good = true;

    if (colon) {
        unsigned long n;

        *colon++ = '\0';
        n = strtoul(colon, &end, 10);
        good = *colon >= '0' && *colon <= '9' && !*end && n <= 65535;
        if (good)
            *port = n;
    }
    if (good && (*host || !colon)) {
        good = inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1", &a) == 1;
        if (good)
            *address = ntohl(a.s_addr);
    }
    free(host);
    return good;
}

static void set_address(const char *n, const char *v, uint32_t *to)
{
    uint16_t port;

    if (strchr(v, ':') || !memnode_address_parse(v, to, &port))
        die("--%s %s: an IPv4 address", n, v);
}

static uint64_t size_of(const char *n, const char *v)
{
    uint64_t size;

    if (!memory_size_parse(&size, v) || size == 0)
        die("--%s %s: a size such as 512M or 8G", n, v);
    return size;
}

static void set_listen(void *p, const char *n, const char *v)
{
    set_address(n, v, &O(p)->listen);
}

static void set_port(void *p, const char *n, const char *v)
{
    O(p)->port = arg_number(n, v, 1, 65535);
}

static void set_netdev(void *p, const char *n, const char *v)
{
    static const char *const kinds[] = {
        [OVER_STREAM] = "stream:", [OVER_DGRAM] = "dgram:", [OVER_VHOST] = "vhost-user:"};

    for (unsigned i = OVER_STREAM; i < ARRAY_LEN(kinds); i++) {
        size_t len = strlen(kinds[i]);

        if (strncmp(v, kinds[i], len) == 0 && v[len]) {
            O(p)->transport = i;
            O(p)->path = v + len;
            return;
        }
    }
    die("--%s %s: stream:PATH, dgram:PATH or vhost-user:PATH", n, v);
}

/* A device's name has no colon in it. */
static void set_verbs(void *p, const char *n, const char *v)
{
    char *name = xstrdup(v), *colon = strchr(name, ':');

    O(p)->device_port = 1;
    if (colon) {
        *colon++ = '\0';
        O(p)->device_port = arg_number(n, colon, 1, 255);
    }
    if (!*name)
        die("--%s %s: DEVICE or DEVICE:PORT, as rxe0 or mlx5_0:1", n, v);
    O(p)->device = name;
}

static void set_ip(void *p, const char *n, const char *v)
{
    set_address(n, v, &O(p)->ip);
}

static void set_mac(void *p, const char *n, const char *v)
{
    uint8_t *m = O(p)->mac;
    int end = 0;

    if (sscanf(v, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", m, m + 1, m + 2, m + 3, m + 4, m + 5,
               &end) != 6 ||
        v[end] || m[0] & 1)
        die("--%s %s: a MAC address of one host", n, v);
}

static void set_mtu(void *p, const char *n, const char *v)
{
    O(p)->mtu = arg_number(n, v, ROCE_MTU_MIN, ROCE_MTU_MAX);
    if (!roce_mtu_code(O(p)->mtu))
        die("--%s %s: 256, 512, 1024, 2048 or 4096", n, v);
}

static void set_control(void *p, const char *n, const char *v)
{
    O(p)->control_given = true;
    if (strncmp(v, "unix:", 5) == 0 && v[5])
        O(p)->control_path = v + 5;
    else if (!memnode_address_parse(v, &O(p)->control_address, &O(p)->control_port))
        die("--%s %s: ADDRESS, ADDRESS:PORT, :PORT or unix:PATH", n, v);
}

static void add_region(struct memnode_options *o, const char *n, const char *v)
{
    struct why why;

    if (o->nr_regions == MEMORY_REGIONS)
        die("--%s: at most %d regions", n, MEMORY_REGIONS);
    if (!region_parse(&o->regions[o->nr_regions++], v, &why))
        die("--%s %s: %s", n, v, why.text);
}

static void set_memory(void *p, const char *n, const char *v)
{
    char *text = xasprintf("memory=%llu", (unsigned long long)size_of(n, v));

    add_region(p, n, text);
    free(text);
}

static void set_region(void *p, const char *n, const char *v)
{
    add_region(p, n, v);
}

static void set_huge_pages(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    O(p)->huge_pages = true;
}

static void set_quota(void *p, const char *n, const char *v)
{
    O(p)->quota = size_of(n, v);
}

static void set_key(void *p, const char *n, const char *v)
{
    (void)n;
    O(p)->key = v;
}

static void set_clients(void *p, const char *n, const char *v)
{
    O(p)->limits.clients = arg_number(n, v, 1, 1024);
}

static void set_qps(void *p, const char *n, const char *v)
{
    O(p)->limits.qps = arg_number(n, v, 1, RESPONDER_QPS);
}

static void set_extents(void *p, const char *n, const char *v)
{
    O(p)->limits.extents = arg_number(n, v, 1, MEMORY_EXTENTS);
}

static void set_lease(void *p, const char *n, const char *v)
{
    O(p)->limits.lease_ms = arg_real(n, v, 0.1, 86400) * 1000;
}

static void set_grace(void *p, const char *n, const char *v)
{
    O(p)->limits.grace_ms = arg_real(n, v, 0, 86400) * 1000;
}

static void set_drain(void *p, const char *n, const char *v)
{
    O(p)->drain_s = arg_real(n, v, 0, 86400);
}

static void set_poll(void *p, const char *n, const char *v)
{
    O(p)->poll_us = arg_number(n, v, 0, 1000000);
}

static void set_metrics(void *p, const char *n, const char *v)
{
    bool number = v[strspn(v, "0123456789")] == '\0';
    char *text = number ? xasprintf(":%s", v) : xstrdup(v);
    uint16_t port = 0;

    if (!strchr(text, ':') || !memnode_address_parse(text, &O(p)->metrics_address, &port) ||
        port == 0)
        die("--%s %s: PORT or ADDRESS:PORT", n, v);
    O(p)->metrics_port = port;
    free(text);
}

static void set_fault(void *p, const char *n, const char *v)
{
    struct why why;

    if (!fault_parse(&O(p)->fault, v, &why))
        die("--%s %s: %s", n, v, why.text);
    O(p)->faults = true;
}

static void set_seed(void *p, const char *n, const char *v)
{
    O(p)->seed = arg_number(n, v, 0, UINT64_MAX);
}

static void set_stats(void *p, const char *n, const char *v)
{
    (void)n;
    O(p)->stats = v;
}

static const struct arg table[] = {
    {"memory", "SIZE", "lend so much: a region called memory", set_memory},
    {"region", "NAME=SIZE[,file=PATH][,quota=SIZE]",
     "a region by name, of anonymous memory or a file (what it holds is lost) or an unnamed\n"
     "file in a directory; quota: the most of it that one client gets",
     set_region},
    {"huge-pages", NULL, "anonymous memory in huge pages only (else as the kernel likes)",
     set_huge_pages},
    {"quota", "SIZE", "the most that one client gets of all (default: no limit)", set_quota},
    {"key", "FILE", "a secret that clients must know (default: none, everybody is served)",
     set_key},
    {"listen", "ADDRESS", "UDP: the address to serve on (default: all)", set_listen},
    {"port", "PORT", "of RoCE (default 4791; clients must be told another)", set_port},
    {"netdev", "stream:PATH|dgram:PATH|vhost-user:PATH",
     "be a host at the other end of QEMU's network card instead", set_netdev},
    {"verbs", "DEVICE[:PORT]",
     "let an RDMA device of this host do the work (RoCEv2 over IPv4, by libibverbs);\n"
     "--listen chooses among its addresses",
     set_verbs},
    {"ip", "ADDRESS", "with --netdev: this host's own (default 10.88.0.1)", set_ip},
    {"mac", "MAC", "the same (default: made of the address)", set_mac},
    {"mtu", "BYTES", "largest path MTU: 256 to 4096 (default 4096, or what routes allow)", set_mtu},
    {"control", "ADDRESS[:PORT]|:PORT|unix:PATH",
     "where clients and --stats come over a stream (default: --listen, 7471;\n"
     "with --netdev: unix:PATH.control). The port is that of datagrams, too",
     set_control},
    {"clients", "N", "at most so many (default 64)", set_clients},
    {"qps", "N", "queue pairs of each client (default 16)", set_qps},
    {"extents", "N", "extents of each client (default 256)", set_extents},
    {"lease", "S", "a client that is silent for so long has lost its connections (default 5)",
     set_lease},
    {"grace", "S", "and after so long again its memory (default 60)", set_grace},
    {"drain", "S", "SIGTERM: leave clients so much time to go (default 10)", set_drain},
    {"poll", "US", "after work, look for more so long before sleeping (default 0)", set_poll},
    {"metrics", "[ADDRESS:]PORT",
     "serve statistics to Prometheus by HTTP (default address: localhost)", set_metrics},
    {"stats", "ADDRESS[:PORT]|unix:PATH", "print a running node's statistics and end", set_stats},
    {"fault", "NAME=P,...",
     "for tests: drop, dup, reorder, corrupt (share of packets, both ways), delay (us),\n"
     "stale, forge (share of READ responses with old, with wrong bytes and a right ICRC)",
     set_fault},
    {"seed", "N", "of faults (default 1)", set_seed},
};

static void help(void)
{
    printf("Usage: wherry memnode --memory SIZE [options]\n"
           "       wherry memnode --stats ADDRESS [--key FILE]\n\n"
           "Lends memory to far-memory guests over RoCEv2, in software and without privileges,\n"
           "or by an RDMA device (--verbs).\n"
           "SIGUSR1 prints statistics; SIGTERM drains and ends.\n\n");
    args_help(table, ARRAY_LEN(table));
}

static bool is_netdev(const struct memnode_options *o)
{
    return o->transport != OVER_UDP && o->transport != OVER_VERBS;
}

static void check_verbs(struct memnode_options *o)
{
    if (is_netdev(o))
        die("--verbs and --netdev exclude each other");
    if (o->faults)
        die("--fault: over --verbs the device makes the packets");
    if (o->port != ROCE_UDP_PORT)
        die("--port: RDMA devices have port %d only", ROCE_UDP_PORT);
    o->transport = OVER_VERBS;
}

static void check(struct memnode_options *o)
{
    if (o->nr_regions == 0)
        die("how much memory? --memory SIZE or --region NAME=SIZE");
    for (unsigned i = 0; i < o->nr_regions; i++)
        o->regions[i].huge_pages = o->huge_pages && !o->regions[i].file;
    if (o->device)
        check_verbs(o);
    if (!is_netdev(o) && (o->ip || o->mac[0] || o->mac[5]))
        die("--ip and --mac need --netdev: else this host's own are used");
    if (!is_netdev(o)) {
        if (!o->control_address)
            o->control_address = o->listen;
        return;
    }
    if (!o->ip)
        o->ip = DEFAULT_IP;
    if (o->listen != INADDR_ANY)
        die("--listen is of no use with --netdev: give --ip");
    if (!o->control_given)
        o->control_path = xasprintf("%s.control", o->path);
    if (!o->control_address)
        o->control_address = INADDR_LOOPBACK;
    /* Locally administered (bit 1 of the first byte), and another one for each address. */
    if (memcmp(o->mac, (uint8_t[6]){0}, 6) == 0) {
        memcpy(o->mac, (uint8_t[]){0x02, 0x4e}, 2);
        roce_put32(o->mac + 2, o->ip);
    }
}

bool memnode_options_parse(struct memnode_options *o, int argc, char **argv)
{
    int words;

    *o = defaults;
    words = args_parse(table, ARRAY_LEN(table), o, argc, argv);
    if (words < 0) {
        help();
        return false;
    }
    if (words)
        die("unknown word %s (wherry memnode --help lists the options)", argv[0]);
    if (!o->stats)
        check(o);
    return true;
}

size_t memnode_read_key(const char *path, uint8_t key[CONTROL_SECRET_MAX])
{
    FILE *f = fopen(path, "re");
    size_t n;

    if (!f)
        die("--key %s: %s", path, strerror(errno));
    n = fread(key, 1, CONTROL_SECRET_MAX, f);
    if (ferror(f) || fgetc(f) != EOF)
        die("--key %s: not a file of at most %d bytes", path, CONTROL_SECRET_MAX);
    fclose(f);
    if (n && key[n - 1] == '\n')
        n--;
    if (n == 0)
        die("--key %s is empty", path);
    return n;
}
