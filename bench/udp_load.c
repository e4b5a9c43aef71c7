/*
 * A closed-loop client for bench/udp_echo.c: keeps WINDOW requests in flight until N are answered,
 * and checks every answer. Half of them SET and half GET keys that were set before.
 *
 *     udp_load HOST PORT WINDOW N
 *
 * Prints "SECONDS ANSWERED RESENT". Status 1: an answer was wrong, or none came for LIMIT_MS.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define WINDOW_MAX 256
#define RESEND_MS  200
#define LIMIT_MS   5000
#define KEYS       1000

struct flight {
    uint64_t id; /* 0: idle */
    double sent;
    size_t len;
    uint8_t request[64];
    bool get;
    uint32_t key;
};

static struct flight flights[WINDOW_MAX];
static uint64_t stored[KEYS];  /* the identifier of the last SET that was answered; 0: none */
static uint64_t pending[KEYS]; /* of one in flight: the value is not certain then */
static int fd;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void transmit(struct flight *f)
{
    f->sent = now();
    if (send(fd, f->request, f->len, 0) < 0 && errno != ECONNREFUSED && errno != ENOBUFS) {
        perror("udp_load: send");
        exit(1);
    }
}

/* Request number id; its key's value is the text of the last SET's identifier. */
static void start(struct flight *f, uint64_t id)
{
    f->id = id;
    f->key = (uint32_t)(id * 7919 % KEYS);
    f->get = id % 2 == 0 && stored[f->key] != 0 && pending[f->key] == 0;
    memcpy(f->request, &id, sizeof(id));
    f->request[8] = f->get ? 'G' : 'S';
    f->request[9] = (uint8_t)sprintf((char *)f->request + 10, "key:%08u", f->key);
    f->len = 10u + f->request[9];
    if (!f->get) {
        pending[f->key] = id;
        f->request[f->len] = (uint8_t)sprintf((char *)f->request + f->len + 1, "%016lx", id);
        f->len += 1u + f->request[f->len];
    }
    transmit(f);
}

static void check(struct flight *f, const uint8_t *answer, size_t n)
{
    char want[17];
    if (f->get) {
        /* A SET of the same key may have been sent after this GET and overtaken nothing: the value
         * is the one stored then or a later one. */
        snprintf(want, sizeof(want), "%016lx", stored[f->key]);
        bool good = n == 18 && answer[0] == 'V' && answer[1] == 16 &&
                    (memcmp(answer + 2, want, 16) == 0 || pending[f->key] > f->id ||
                     stored[f->key] > f->id);
        if (!good) {
            fprintf(stderr, "udp_load: wrong answer to GET %u\n", f->key);
            exit(1);
        }
    } else {
        if (n != 1 || answer[0] != 'O') {
            fprintf(stderr, "udp_load: wrong answer to SET %u\n", f->key);
            exit(1);
        }
        if (f->id > stored[f->key])
            stored[f->key] = f->id;
        if (pending[f->key] == f->id)
            pending[f->key] = 0;
    }
    f->id = 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    uint8_t answer[2048];
    if (argc != 5) {
        fprintf(stderr, "usage: udp_load HOST PORT WINDOW N\n");
        return 1;
    }
    unsigned window = (unsigned)atoi(argv[3]);
    uint64_t total = strtoull(argv[4], NULL, 10), started = 0, done = 0, resent = 0;
    addr.sin_port = htons((uint16_t)atoi(argv[2]));
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (window == 0 || window > WINDOW_MAX || inet_pton(AF_INET, argv[1], &addr.sin_addr) != 1 ||
        fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        fprintf(stderr, "udp_load: bad arguments\n");
        return 1;
    }
    double begin = now(), last = begin;
    while (started < window && started < total) {
        start(&flights[started], started + 1);
        started++;
    }
    while (done < total) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        /* Reading first saves a call while the server keeps up. */
        ssize_t n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
        if (n < 0) {
            poll(&p, 1, RESEND_MS);
            double t = now();
            if (t - last > LIMIT_MS * 1e-3) {
                fprintf(stderr, "udp_load: no answer for %d ms\n", LIMIT_MS);
                return 1;
            }
            for (unsigned i = 0; i < window; i++) {
                if (flights[i].id != 0 && t - flights[i].sent > RESEND_MS * 1e-3) {
                    transmit(&flights[i]);
                    resent++;
                }
            }
            continue;
        }
        uint64_t id;
        if (n < 9)
            continue;
        memcpy(&id, answer, sizeof(id));
        last = now();
        for (unsigned i = 0; i < window; i++) {
            if (flights[i].id != id)
                continue;
            check(&flights[i], answer + 8, (size_t)n - 8);
            done++;
            if (started < total)
                start(&flights[i], ++started);
            break;
        }
    }
    printf("%.6f %lu %lu\n", now() - begin, done, resent);
    return 0;
}
