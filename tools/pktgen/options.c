/* See options.h. One table holds every option with its help. */
#define _GNU_SOURCE
#include "options.h"

#include "../load/args.h"
#include "ask.h"
#include "bad.h"

#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PORT = 7777,
    WINDOW = 32,
    WINDOW_MAX = 1 << 20,
    BURST = 32,
    PORTS = 64,
    PORTS_MAX = 32768,
    QUEUE = 1000, /* as a tap's */
    QUEUE_MAX = 1 << 20,
    QUEUES_MAX = 8,
    ECHO_FRAME = 64, /* as testpmd counts, without the check sequence */
    VALUE_SIZE = 64,
    KEYS = 10000,
    LINE_WORDS = 128,
};

#define OWN_IP   0x0a4d0001 /* 10.77.0.1 */
#define GUEST_IP 0x0a4d0002
#define BAD_MAX  1.0

/* What net_vhost says its own address is: testpmd (bench/testpmd) then is the same peer. */
static const uint8_t own_mac[MAC_LEN] = {0x56, 0x48, 0x4f, 0x53, 0x54, 0x00};

/* The shares that YCSB calls B and A have the names of the contract as well. */
static const char *const workload_names[] = {"get",    "set",    "95/5", "50/50",
                                             "ycsb-b", "ycsb-a", NULL};
static const enum workload workloads[] = {WORKLOAD_GET,    WORKLOAD_SET,    WORKLOAD_YCSB_B,
                                          WORKLOAD_YCSB_A, WORKLOAD_YCSB_B, WORKLOAD_YCSB_A};
static const char *const dist_names[] = {"uniform", "zipfian", NULL};
static const char *const arrival_names[] = {"constant", "poisson", NULL};
static const char *const formats[] = {"json", "text", NULL};

/* The options, and which of them were given where that matters. */
struct parsed {
    struct pktgen_options o;
    bool arrivals, dist, window, store, frame;
};

#define O(p) (&((struct parsed *)(p))->o)

static uint32_t address(const char *name, const char *s)
{
    struct in_addr a;

    if (inet_pton(AF_INET, s, &a) != 1)
        die("--%s %s: write an address as 10.77.0.1", name, s);
    return ntohl(a.s_addr);
}

static void set_socket(void *p, const char *n, const char *v)
{
    (void)n;
    O(p)->socket = xstrdup(v);
}

static void set_queues(void *p, const char *n, const char *v)
{
    O(p)->queues = arg_number(n, v, 1, QUEUES_MAX);
}

static void set_cpu(void *p, const char *n, const char *v)
{
    O(p)->cpu = arg_number(n, v, 0, CPU_SETSIZE - 1);
}

static void set_huge_pages(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    O(p)->huge_pages = true;
}

static void set_lines(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    O(p)->lines = true;
}

static void set_wait(void *p, const char *n, const char *v)
{
    O(p)->wait_s = arg_real(n, v, 0.1, 1e5);
}

static void set_ip(void *p, const char *n, const char *v)
{
    O(p)->ip = address(n, v);
}

static void set_mac(void *p, const char *n, const char *v)
{
    uint8_t *m = O(p)->mac;
    char end;

    if (sscanf(v, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", m, m + 1, m + 2, m + 3, m + 4, m + 5,
               &end) != 6 ||
        m[0] & 1)
        die("--%s %s: write a host's address as 02:00:00:00:00:01", n, v);
}

static void set_guest(void *p, const char *n, const char *v)
{
    char *copy = xstrdup(v), *colon = strchr(copy, ':');

    if (colon) {
        *colon = '\0';
        O(p)->guest_port = arg_number(n, colon + 1, 1, 65535);
    }
    O(p)->guest_ip = address(n, copy);
    free(copy);
}

static void set_sources(void *p, const char *n, const char *v)
{
    char *copy = xstrdup(v), *slash = strchr(copy, '/');
    uint32_t bits, net;

    if (!slash)
        die("--%s %s: write A.B.C.D/BITS", n, v);
    *slash = '\0';
    bits = arg_number(n, slash + 1, 8, 30);
    net = address(n, copy) & UINT32_MAX << (32 - bits);
    /* The first and the last address of a network are not a host's. */
    O(p)->source_first = net + 1;
    O(p)->nr_sources = (UINT32_C(1) << (32 - bits)) - 2;
    free(copy);
}

static void set_ports(void *p, const char *n, const char *v)
{
    O(p)->nr_ports = arg_number(n, v, 1, PORTS_MAX);
}

static void set_offload(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    O(p)->offload = true;
}

static void set_echo(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    O(p)->echo = true;
}

static void set_frame(void *p, const char *n, const char *v)
{
    O(p)->frame = arg_number(n, v, FRAME_HEAD + ECHO_HEAD, FRAME_MAX);
    ((struct parsed *)p)->frame = true;
}

static void set_window(void *p, const char *n, const char *v)
{
    O(p)->window = arg_number(n, v, 1, WINDOW_MAX);
    ((struct parsed *)p)->window = true;
}

static void set_burst(void *p, const char *n, const char *v)
{
    O(p)->burst = arg_number(n, v, 1, BURST_MAX);
}

static void set_queue(void *p, const char *n, const char *v)
{
    O(p)->queue = arg_number(n, v, 1, QUEUE_MAX);
}

static void set_bad(void *p, const char *n, const char *v)
{
    O(p)->bad = arg_real(n, v, 0, BAD_MAX);
}

static void set_bad_kind(void *p, const char *name, const char *v)
{
    struct strbuf list = {0};

    for (unsigned i = 0; i < bad_kinds(); i++) {
        if (strcmp(bad_kind_name(i), v) == 0) {
            O(p)->bad_kind = i + 1;
            return;
        }
        sb_addf(&list, "%s%s", i ? ", " : "", bad_kind_name(i));
    }
    die("--%s %s: one of %s", name, v, list.s);
}

static void set_rate(void *p, const char *n, const char *v)
{
    O(p)->load.rate = arg_real(n, v, 0, 1e9);
}

static void set_arrivals(void *p, const char *n, const char *v)
{
    O(p)->load.poisson = arg_one_of(n, v, arrival_names) == 1;
    ((struct parsed *)p)->arrivals = true;
}

static void set_seconds(void *p, const char *n, const char *v)
{
    O(p)->load.seconds = arg_real(n, v, 0.01, 1e6);
}

static void set_warmup(void *p, const char *n, const char *v)
{
    O(p)->load.warmup = arg_real(n, v, 0, 1e5);
}

static void set_requests(void *p, const char *n, const char *v)
{
    O(p)->load.requests = arg_number(n, v, 0, UINT64_C(1) << 50);
}

static void set_timeout(void *p, const char *n, const char *v)
{
    O(p)->load.timeout_ms = arg_number(n, v, 1, 3600000);
}

static void set_seed(void *p, const char *n, const char *v)
{
    O(p)->load.seed = arg_number(n, v, 0, UINT64_MAX);
}

static void set_workload(void *p, const char *n, const char *v)
{
    O(p)->load.workload = workloads[arg_one_of(n, v, workload_names)];
    ((struct parsed *)p)->store = true;
}

static void set_keys(void *p, const char *n, const char *v)
{
    O(p)->load.keys = arg_number(n, v, 1, 100000000000);
    ((struct parsed *)p)->store = true;
}

static void set_key_dist(void *p, const char *n, const char *v)
{
    O(p)->load.key_dist = arg_one_of(n, v, dist_names);
    ((struct parsed *)p)->dist = ((struct parsed *)p)->store = true;
}

static void set_value_size(void *p, const char *n, const char *v)
{
    O(p)->load.sizes.size = arg_number(n, v, 1, KV_VALUE_MAX);
    ((struct parsed *)p)->store = true;
}

static void set_load(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    O(p)->load.load = ((struct parsed *)p)->store = true;
}

static void set_unread(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    O(p)->unread = ((struct parsed *)p)->store = true;
}

static void set_format(void *p, const char *n, const char *v)
{
    O(p)->load.text = arg_one_of(n, v, formats);
}

static void set_out(void *p, const char *n, const char *v)
{
    (void)n;
    O(p)->load.out = xstrdup(v);
}

static void set_quiet(void *p, const char *n, const char *v)
{
    (void)n, (void)v;
    O(p)->load.quiet = true;
}

static const struct arg table[] = {
    {"socket", "PATH", "where the guest's network device connects (--net vhost-user:PATH)",
     set_socket},
    {"guest-ip", "ADDRESS[:PORT]", "the guest, and the server in it (default 10.77.0.2:7777)",
     set_guest},
    {"ip", "ADDRESS", "of this peer (default 10.77.0.1)", set_ip},
    {"mac", "ADDRESS", "of this peer (default 56:48:4f:53:54:00)", set_mac},
    {"sources", "A.B.C.D/BITS", "send from these addresses, one after the other (default: --ip)",
     set_sources},
    {"ports", "N", "send from so many ports, one after the other (default 64)", set_ports},
    {"queues", "N", "pairs of queues of the device (default 1)", set_queues},
    {"cpu", "N", "poll on this CPU (default: any)", set_cpu},
    {"huge-pages", NULL, "keep buffers in huge pages (default: ordinary ones)", set_huge_pages},
    {"wait", "S", "for the guest's first answer (default 60)", set_wait},
    {"lines", NULL, "then read more runs' options from standard input, a line each", set_lines},
    {"offload", NULL, "leave UDP checksums to the device, as a host's own stack does", set_offload},
    {"echo", NULL, "the server sends back what it gets (default: it is udpkv)", set_echo},
    {"frame", "BYTES", "echo: size of a frame, without check sequence (default 64)", set_frame},
    {"window", "N", "closed loop: requests under way (default 32)", set_window},
    {"rate", "R", "open loop: offer R requests a second (default 0: closed loop)", set_rate},
    {"arrivals", "KIND", "of an open loop: poisson (default) or constant", set_arrivals},
    {"burst", "N", "frames handed to the device at a time, at most (default 32)", set_burst},
    {"queue", "N",
     "open loop: frames that wait for room in the device; more are lost\n"
     "(default 1000)",
     set_queue},
    {"seconds", "S", "recorded time (default 10)", set_seconds},
    {"warmup", "S", "time before that, not recorded (default 0)", set_warmup},
    {"requests", "N", "closed loop: end after N requests, all recorded", set_requests},
    {"timeout", "MS", "a request not answered so long is lost (default 1000)", set_timeout},
    {"seed", "N", "of arrivals, keys and bad frames (default 1)", set_seed},
    {"workload", "NAME", "get (default), set, 95/5 or ycsb-b, 50/50 or ycsb-a", set_workload},
    {"keys", "N", "keys of the store (default 10000)", set_keys},
    {"key-dist", "NAME",
     "uniform (default of get, set) or zipfian (theta 0.99; default of the mixes)", set_key_dist},
    {"value-size", "BYTES", "size of a value (default 64)", set_value_size},
    {"load", NULL, "fill the store first, and read it back", set_load},
    {"unread", NULL, "with --load: do not read it back, which takes as long again", set_unread},
    {"bad", "SHARE", "mix in so many bad frames for each request, 0 to 1 (default 0)", set_bad},
    {"bad-kind", "NAME", "of this kind only", set_bad_kind},
    {"format", "json|text", "the whole result (default), or a few lines to read", set_format},
    {"out", "FILE", "write the result there and not to standard output", set_out},
    {"quiet", NULL, "no summary on standard error", set_quiet},
};

static void help(void)
{
    printf(
        "Usage: wherry pktgen --socket PATH [options]\n\n"
        "Is the peer of a guest's network device over vhost-user (wherry run --net\n"
        "vhost-user:PATH,ip=10.77.0.2/24,gw=10.77.0.1): offers requests to a UDP server, verifies\n"
        "every answer, and prints one JSON object as wherry load does (docs/pktgen.md).\n\n");
    args_help(table, ARRAY_LEN(table));
}

static void check(struct parsed *p)
{
    struct pktgen_options *o = &p->o;
    bool open = o->load.rate > 0;

    if (!o->socket)
        die("give --socket PATH, the same as in wherry run --net vhost-user:PATH");
    if (open && o->load.requests)
        die("--requests is for a closed loop: give --seconds with --rate");
    if (open && p->window)
        die("--window is for a closed loop, --rate for an open one");
    if (!open && p->arrivals)
        die("--arrivals is for an open loop: give --rate");
    if (o->echo && p->store)
        die("--workload, --keys, --key-dist, --value-size and --load are for a store, not for "
            "--echo");
    if (!o->echo && p->frame)
        die("--frame is for --echo: requests of a store have the size that they need");
    if (o->guest_ip - o->source_first < o->nr_sources && o->nr_sources == 1)
        die("--ip is the guest's own address");
}

static void defaults(struct parsed *p)
{
    struct pktgen_options *o = &p->o;
    struct load_options *l = &o->load;
    struct in_addr guest = {.s_addr = htonl(o->guest_ip)};
    char text[INET_ADDRSTRLEN];

    if (o->nr_sources == 0) {
        o->source_first = o->ip;
        o->nr_sources = 1;
    }
    if (o->echo)
        l->workload = WORKLOAD_REQUESTS;
    if (!p->dist && l->workload >= WORKLOAD_YCSB_A)
        l->key_dist = KEYS_ZIPFIAN;
    if (l->seconds == 0 && !l->requests)
        l->seconds = 10;
    /* What the result calls them: as sockets of `wherry load`, each with its share of the window.
     */
    l->proto_name = o->echo ? "udp" : "udpkv";
    l->target_text =
        xasprintf("%s:%u", inet_ntop(AF_INET, &guest, text, sizeof(text)), o->guest_port);
    l->connections = o->nr_ports;
    l->pipeline = o->window;
    l->threads = 1;
}

bool pktgen_options_parse(struct pktgen_options *out, int argc, char **argv)
{
    struct parsed p = {
        .o = {.load = {.poisson = true,
                       .timeout_ms = 1000,
                       .seed = 1,
                       .workload = WORKLOAD_GET,
                       .keys = KEYS,
                       .sizes.size = VALUE_SIZE},
              .queues = 1,
              .cpu = -1,
              .wait_s = 60,
              .ip = OWN_IP,
              .guest_ip = GUEST_IP,
              .guest_port = PORT,
              .nr_ports = PORTS,
              .frame = ECHO_FRAME,
              .window = WINDOW,
              .burst = BURST,
              .queue = QUEUE},
    };
    int words;

    memcpy(p.o.mac, own_mac, MAC_LEN);
    words = args_parse(table, ARRAY_LEN(table), &p, argc, argv);
    if (words < 0) {
        help();
        return false;
    }
    if (words > 0)
        die("unexpected word %s (--help lists the options)", argv[0]);
    defaults(&p);
    check(&p);
    *out = p.o;
    return true;
}

void pktgen_options_line(struct pktgen_options *o, const struct pktgen_options *first, char *line)
{
    struct parsed p = {.o = *first};
    char *argv[LINE_WORDS], *save = NULL;
    int argc = 0;

    for (char *w = strtok_r(line, " \t\r\n", &save); w; w = strtok_r(NULL, " \t\r\n", &save)) {
        if (argc == LINE_WORDS)
            die("a line of more than %d words", LINE_WORDS);
        argv[argc++] = w;
    }
    p.o.load.load = false; /* what is filled stays */
    if (args_parse(table, ARRAY_LEN(table), &p, argc, argv) != 0)
        die("standard input: a line holds options of a run and nothing else");
    if (strcmp(p.o.socket, first->socket) != 0 || p.o.queues != first->queues ||
        p.o.cpu != first->cpu || p.o.huge_pages != first->huge_pages)
        die("--socket, --queues, --cpu and --huge-pages are the same for all runs of a process");
    defaults(&p);
    check(&p);
    *o = p.o;
}
