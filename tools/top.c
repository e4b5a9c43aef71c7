/*
 * `wherry top`: the counters that a guest serves over HTTP (wherry.metrics=PORT,
 * kernel/net/metrics.c), again and again, with what each has grown by in a second. Any server of
 * Prometheus' text format will do: names are not looked at, but for the common beginning, which is
 * left out.
 */
#define _GNU_SOURCE
#include "top.h"

#include "util.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX  (1u << 20)
#define REPLY_SEC 5
#define PREFIX    "wherry_"
#define CLEAR     "\033[H\033[J" /* ECMA-48: cursor to the corner, erase below */

/* One sample of the format's lines "name{labels} value"; "# TYPE name kind" says what may be
 * counted on. */
struct metric {
    char *name; /* with labels */
    double value;
    bool counter, bucket;
};

struct sample {
    struct metric *v;
    size_t n;
    double at; /* seconds */
};

static const char usage_text[] =
    "Usage: wherry top [options] HOST:PORT\n"
    "\n"
    "Shows the counters that a guest serves (wherry run --append wherry.metrics=PORT), and what\n"
    "they grow by in a second.\n"
    "\n"
    "  -i, --interval S  seconds between two looks (default 1)\n"
    "  -n, --number N    end after N looks (default: never)\n"
    "  -m, --match TEXT  only names that contain TEXT\n"
    "  -a, --all         those that are zero, too, and histograms' buckets\n"
    "  -h, --help        this text\n";

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
    stop = sig;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- HTTP ---- */

static int dial(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
    struct timeval limit = {.tv_sec = REPLY_SEC};
    int fd = -1, r = getaddrinfo(host, port, &hints, &list);

    if (r != 0)
        die("top: %s: %s", host, gai_strerror(r));
    for (a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
            int error = errno;

            close(fd);
            fd = -1;
            errno = error;
        }
    }
    freeaddrinfo(list);
    return fd;
}

/* The body of /metrics; NULL with errno. */
static char *fetch(const char *host, const char *port)
{
    int fd = dial(host, port);
    char *text = fd < 0 ? NULL : xcalloc(1, TEXT_MAX + 1), *request, *body;
    size_t len = 0;
    ssize_t n;

    if (fd < 0)
        return NULL;
    request = xasprintf("GET /metrics HTTP/1.0\r\nHost: %s\r\n\r\n", host);
    n = send(fd, request, strlen(request), MSG_NOSIGNAL);
    free(request);
    while (n > 0 && len < TEXT_MAX && (n = recv(fd, text + len, TEXT_MAX - len, 0)) > 0)
        len += (size_t)n;
    if (n < 0) {
        int error = errno;

        close(fd);
        free(text);
        errno = error;
        return NULL;
    }
    close(fd);
    body = strstr(text, "\r\n\r\n");
    if (!body || strncmp(text, "HTTP/1.", 7) != 0 || !strstr(text, " 200 ")) {
        text[strcspn(text, "\r\n")] = '\0';
        die("top: %s:%s does not serve counters: %s", host, port, *text ? text : "an empty answer");
    }
    body = xstrdup(body + 4);
    free(text);
    return body;
}

/* ---- The format ---- */

static bool ends_with(const char *s, size_t n, const char *end)
{
    size_t k = strlen(end);

    return n >= k && strncmp(s + n - k, end, k) == 0;
}

static void parse(char *text, struct sample *s)
{
    char *save = NULL;

    s->v = NULL;
    s->n = 0;
    for (char *line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
        char *space = strrchr(line, ' '), *end;
        size_t bare = strcspn(line, "{ ");
        struct metric m = {0};

        if (*line == '#' || !space || space == line)
            continue;
        m.value = strtod(space + 1, &end);
        if (end == space + 1 || *end)
            continue;
        *space = '\0';
        m.counter = ends_with(line, bare, "_total") || ends_with(line, bare, "_count") ||
                    ends_with(line, bare, "_sum");
        m.bucket = ends_with(line, bare, "_bucket");
        m.name = xstrdup(line);
        s->v = xrealloc(s->v, (s->n + 1) * sizeof(m));
        s->v[s->n++] = m;
    }
}

static void sample_free(struct sample *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i].name);
    free(s->v);
    *s = (struct sample){0};
}

static const struct metric *find(const struct sample *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i].name, name) == 0)
            return &s->v[i];
    return NULL;
}

/* ---- The table ---- */

static void show(const struct sample *s, const struct sample *before, const char *match, bool all)
{
    printf("%-52s %16s %14s\n", "", "value", "per second");
    for (size_t i = 0; i < s->n; i++) {
        const struct metric *m = &s->v[i], *b = before->n ? find(before, m->name) : NULL;
        const char *name = m->name;

        if ((match && !strstr(name, match)) || (!all && (m->bucket || m->value == 0)))
            continue;
        if (strncmp(name, PREFIX, strlen(PREFIX)) == 0)
            name += strlen(PREFIX);
        printf("%-52s %16.0f", name, m->value);
        if (b && (m->counter || m->bucket) && m->value >= b->value && s->at > before->at)
            printf(" %14.1f", (m->value - b->value) / (s->at - before->at));
        putchar('\n');
    }
    fflush(stdout);
}

static double number(const char *option, const char *text, double least)
{
    char *end;
    double v;

    if (!text)
        die("top: %s needs a number", option);
    v = strtod(text, &end);
    if (end == text || *end || !(v >= least) || v > 1e6)
        die("top: %s %s: a number from %g on", option, text, least);
    return v;
}

int top_main(int argc, char **argv)
{
    const char *target = NULL, *match = NULL, *colon;
    struct sample before = {0}, s;
    double interval = 1, looks = 0;
    bool all = false, terminal = isatty(STDOUT_FILENO);
    char *host;

    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];

        if (!strcmp(a, "-h") || !strcmp(a, "--help")) {
            fputs(usage_text, stdout);
            return 0;
        }
        if (!strcmp(a, "-i") || !strcmp(a, "--interval"))
            interval = number(a, argv[++i], 0.05);
        else if (!strcmp(a, "-n") || !strcmp(a, "--number"))
            looks = number(a, argv[++i], 1);
        else if (!strcmp(a, "-a") || !strcmp(a, "--all"))
            all = true;
        else if (!strcmp(a, "-m") || !strcmp(a, "--match"))
            match = argv[++i] ? argv[i] : (die("top: %s needs a text", a), NULL);
        else if (*a == '-')
            die("top: unknown option %s (wherry top -h lists them)", a);
        else if (target)
            die("top: one guest at a time: %s or %s", target, a);
        else
            target = a;
    }
    colon = target ? strrchr(target, ':') : NULL;
    if (!colon || colon == target || !colon[1])
        die("top: name the guest's counters, as in: wherry top 127.0.0.1:9100");
    host = xstrndup(target, (size_t)(colon - target));
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    for (double look = 1; !stop; look++) {
        char *text = fetch(host, colon + 1);

        if (!text && stop)
            break;
        if (!text)
            die("top: %s: %s", target, errno == EAGAIN ? "no answer" : strerror(errno));
        s.at = now();
        parse(text, &s);
        free(text);
        if (terminal)
            fputs(CLEAR, stdout);
        show(&s, &before, match, all);
        sample_free(&before);
        before = s;
        if (look == looks)
            break;
        (void)poll(NULL, 0, (int)(interval * 1000));
    }
    sample_free(&before);
    free(host);
    return 0;
}
