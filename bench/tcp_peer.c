/*
 * The client side of bench/run's TCP measurements that no packaged tool makes.
 *
 *     tcp_peer get HOST PORT PATH         one HTTP download; prints SECONDS BYTES of the body
 *     tcp_peer put HOST PORT BYTES        an upload to tcp_sink; prints SECONDS BYTES
 *     tcp_peer hold HOST PORT N ROUNDS    N connections to redis-server, each asked PING in turn,
 *                                         ROUNDS times. Prints a line "open SECONDS", then waits
 *                                         for a line on standard input before each round and prints
 *                                         "round SECONDS" after it
 *
 * Every wait is limited; status 1 and one line on any error.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_S 20
#define BUFFER  (256 * 1024)

static char buf[BUFFER];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "tcp_peer: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    exit(1);
}

static int dial(const char *host, const char *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    struct timeval limit = {.tv_sec = LIMIT_S};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
        die("%s is no address", host);
    if (fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        die("connect: %s", strerror(errno));
    return fd;
}

static void send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t m = send(fd, p, n, MSG_NOSIGNAL);
        if (m < 0)
            die("send: %s", strerror(errno));
        p += m;
        n -= (size_t)m;
    }
}

static size_t receive(int fd)
{
    ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);
    if (n < 0)
        die("receive: %s", strerror(errno));
    buf[n] = '\0';
    return (size_t)n;
}

static void get(const char *host, const char *port, const char *path)
{
    char request[512];
    uint64_t body = 0, want = 0;
    size_t n;
    double begin = now();
    int fd = dial(host, port);

    n = (size_t)snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path,
                         host);
    if (n >= sizeof(request))
        die("the path is too long");
    send_all(fd, request, n);
    /* A header that comes in pieces would be a surprise: servers send it at once. */
    n = receive(fd);
    char *end = strstr(buf, "\r\n\r\n"), *length = strcasestr(buf, "\r\nContent-Length:");
    if (end == NULL || length == NULL || strncmp(buf + 8, " 200 ", 5) != 0)
        die("unexpected answer: %.40s", buf);
    want = strtoull(length + 17, NULL, 10);
    body = n - (size_t)(end + 4 - buf);
    while ((n = receive(fd)) > 0)
        body += n;
    if (body != want)
        die("%lu bytes instead of %lu", body, want);
    printf("%.6f %lu\n", now() - begin, body);
}

static void put(const char *host, const char *port, uint64_t bytes)
{
    double begin = now();
    int fd = dial(host, port);
    memset(buf, 'x', sizeof(buf));
    for (uint64_t left = bytes; left > 0;) {
        size_t n = left < sizeof(buf) ? left : sizeof(buf);
        send_all(fd, buf, n);
        left -= n;
    }
    shutdown(fd, SHUT_WR);
    receive(fd);
    if (strtoull(buf, NULL, 10) != bytes)
        die("the sink received %.20s of %lu bytes", buf, bytes);
    printf("%.6f %lu\n", now() - begin, bytes);
}

static void hold(const char *host, const char *port, unsigned n, unsigned rounds)
{
    static const char ping[] = "*1\r\n$4\r\nPING\r\n", pong[] = "+PONG\r\n";
    struct rlimit limit = {n + 64, n + 64};
    int *fd = calloc(n, sizeof(*fd));
    char line[16];

    if (fd == NULL || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("%u descriptors: %s", n, strerror(errno));
    double begin = now();
    for (unsigned i = 0; i < n; i++)
        fd[i] = dial(host, port);
    printf("open %.6f\n", now() - begin);
    fflush(stdout);
    for (unsigned r = 0; r < rounds && fgets(line, sizeof(line), stdin) != NULL; r++) {
        begin = now();
        for (unsigned i = 0; i < n; i++) {
            send_all(fd[i], ping, sizeof(ping) - 1);
            if (receive(fd[i]) != sizeof(pong) - 1 || strcmp(buf, pong) != 0)
                die("connection %u: no PONG but \"%.20s\"", i, buf);
        }
        printf("round %.6f\n", now() - begin);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "get") == 0)
        get(argv[2], argv[3], argv[4]);
    else if (argc == 5 && strcmp(argv[1], "put") == 0)
        put(argv[2], argv[3], strtoull(argv[4], NULL, 10));
    else if (argc == 6 && strcmp(argv[1], "hold") == 0)
        hold(argv[2], argv[3], (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]));
    else
        die("usage: tcp_peer get|put|hold HOST PORT ... (see the source)");
    return 0;
}
