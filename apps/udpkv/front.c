/* See front.h. */
#define _GNU_SOURCE
#include "front.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    ITEMS = 100000,
    VALUE = 64,
    SOCKET_BUFFER = 4 << 20, /* as far as the system allows: a burst must fit */
    ITEMS_LIMIT = 500000000,
};

static struct front *the_front;

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s: ", the_front->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

/* ---- statistics ---- */

struct line {
    char text[1024];
    size_t n;
};

static void add_text(struct line *l, const char *s)
{
    while (*s && l->n < sizeof(l->text))
        l->text[l->n++] = *s++;
}

static void add_number(struct line *l, const char *name, uint64_t v)
{
    char digits[24], *p = digits + sizeof(digits) - 1;

    *p = '\0';
    do
        *--p = '0' + v % 10;
    while (v /= 10);
    add_text(l, " ");
    add_text(l, name);
    add_text(l, " ");
    add_text(l, p);
}

/* Called by signal handlers: hence its own way to write numbers. */
static void print_statistics(const struct front *f)
{
    struct line l = {.n = 0};
    ssize_t n;

    add_text(&l, "statistics:");
    add_number(&l, "received", f->received);
    add_number(&l, "sent", f->sent);
    add_number(&l, "oversized", f->oversized);
    add_number(&l, "unsent", f->unsent);
    add_number(&l, "failed", f->failed);
    if (f->kv) {
        const struct kv_stats *s = kv_stats(f->kv);
        const struct {
            const char *name;
            uint64_t v;
        } counters[] = {
            {"gets", s->gets},           {"hits", s->hits},       {"misses", s->misses},
            {"sets", s->sets},           {"deletes", s->deletes}, {"noops", s->noops},
            {"evicted", s->evicted},     {"expired", s->expired}, {"malformed", s->malformed},
            {"too_large", s->too_large}, {"no_room", s->no_room}, {"bad_version", s->bad_version},
            {"bad_op", s->bad_op},       {"ignored", s->ignored}, {"unanswered", s->unanswered},
            {"items", s->items},         {"slots", s->slots},     {"units", s->units},
            {"in_units", s->in_units},
        };

        for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
            add_number(&l, counters[i].name, counters[i].v);
    }
    add_text(&l, "\n");
    n = write(STDOUT_FILENO, l.text, l.n);
    (void)n; /* nobody reads it */
}

/* The handlers do the work themselves: a flag that a loop looks at would be seen only with the next
 * datagram. Counters are plain words, and the loop allocates nothing and prints nothing. */
static void at_usr1(int signal)
{
    int saved = errno;

    (void)signal;
    print_statistics(the_front);
    errno = saved;
}

static void at_end(int signal)
{
    (void)signal;
    print_statistics(the_front);
    _exit(0);
}

static void set_handlers(void)
{
    struct sigaction a = {.sa_handler = at_usr1, .sa_flags = SA_RESTART};

    sigfillset(&a.sa_mask);
    sigaction(SIGUSR1, &a, NULL);
    a.sa_handler = at_end;
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGINT, &a, NULL);
}

/* ---- options ---- */

static void help(bool batched)
{
    printf("Usage: %s [-p PORT] [-n ITEMS] [-v BYTES]%s [-e]\n\n"
           "A key-value store over UDP (docs/udpkv.md).\n\n"
           "  -p PORT   port to listen on, on all addresses (default %d; 0: any, it is printed)\n"
           "  -n ITEMS  items to make room for (default %d)\n"
           "  -v BYTES  size of their values (default %d); 0: none that do not fit into a slot\n",
           the_front->name, batched ? " [-b BURST]" : "", KV_PORT, ITEMS, VALUE);
    if (batched)
        printf("  -b BURST  datagrams a system call, at most %d (default %d)\n", FRONT_BURST_MAX,
               FRONT_BURST);
    printf("  -e        echo: every datagram back as it came, no store\n"
           "  --help    this\n\n"
           "SIGUSR1 prints statistics; SIGTERM and SIGINT do, too, and end it.\n");
}

static uint64_t number(char option, const char *s, uint64_t min, uint64_t max)
{
    char *end;
    uint64_t n;

    errno = 0;
    n = strtoull(s, &end, 10);
    if (*s < '0' || *s > '9' || *end || errno || n < min || n > max)
        fail("-%c %s: a number from %llu to %llu", option, s, (unsigned long long)min,
             (unsigned long long)max);
    return n;
}

struct words {
    uint16_t port;
    bool echo;
    uint64_t items;
    size_t value;
};

static void parse(struct front *f, struct words *w, bool batched, int argc, char **argv)
{
    static const struct option table[] = {{"help", no_argument, NULL, 'h'}, {0}};
    const char *options = batched ? ":p:n:v:b:eh" : ":p:n:v:eh";
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, options, table, NULL)) != -1) {
        switch (c) {
        case 'p':
            w->port = number(c, optarg, 0, 65535);
            break;
        case 'n':
            w->items = number(c, optarg, 1, ITEMS_LIMIT);
            break;
        case 'v':
            w->value = number(c, optarg, 0, KV_VALUE_MAX);
            break;
        case 'b':
            f->burst = number(c, optarg, 1, FRONT_BURST_MAX);
            break;
        case 'e':
            w->echo = true;
            break;
        case 'h':
            help(batched);
            exit(0);
        case ':':
            fail("-%c needs a value (--help lists the options)", optopt);
        default:
            if (optopt)
                fail("unknown option -%c (--help lists them)", optopt);
            fail("unknown option %s (--help lists them)", argv[optind - 1]);
        }
    }
    if (optind < argc)
        fail("%s: there are only options (--help lists them)", argv[optind]);
}

/* ---- what it needs ---- */

static void make_store(struct front *f, const struct words *w)
{
    size_t bytes = kv_bytes(w->items, w->value);
    uint64_t seed;
    void *mem;

    if (bytes == 0)
        fail("-n %llu -v %zu: too many for any memory", (unsigned long long)w->items, w->value);
    mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED)
        fail("-n %llu -v %zu: %zu MiB of memory: %s", (unsigned long long)w->items, w->value,
             bytes >> 20, strerror(errno));
    /* Every request touches another page: large ones spare a walk of the page tables. Where there
     * are none, it works all the same. */
    madvise(mem, bytes, MADV_HUGEPAGE);
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        fail("getrandom: %s", strerror(errno));
    f->kv = kv_init(mem, bytes, w->value, seed);
}

static void make_socket(struct front *f, struct words *w)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(w->port)};
    socklen_t len = sizeof(a);
    int buffer = SOCKET_BUFFER;

    f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (f->fd < 0)
        fail("socket: %s", strerror(errno));
    setsockopt(f->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    setsockopt(f->fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    if (bind(f->fd, (struct sockaddr *)&a, len) < 0)
        fail("UDP port %u: %s", w->port, strerror(errno));
    if (getsockname(f->fd, (struct sockaddr *)&a, &len) == 0)
        w->port = ntohs(a.sin_port);
}

void front_start(struct front *f, const char *name, bool batched, int argc, char **argv)
{
    struct words w = {.port = KV_PORT, .items = ITEMS, .value = VALUE};

    *f = (struct front){.name = name, .burst = FRONT_BURST};
    the_front = f;
    parse(f, &w, batched, argc, argv);
    if (!w.echo)
        make_store(f, &w);
    make_socket(f, &w);
    set_handlers();
    if (w.echo)
        printf("%s: echo on port %u\n", name, w.port);
    else
        printf("%s: port %u, room for %llu items of %zu bytes\n", name, w.port,
               (unsigned long long)w.items, w.value);
    fflush(stdout);
}

uint32_t front_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return t.tv_sec;
}

void front_receive_failed(struct front *f)
{
    switch (errno) {
    case EINTR:
        return;
    case EAGAIN:
    case ECONNREFUSED: /* an earlier reply's fate */
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case ENOBUFS:
    case ENOMEM:
        f->failed++;
        return;
    default:
        fail("receive: %s", strerror(errno));
    }
}
