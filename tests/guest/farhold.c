/*
 * farhold: holds memory whose every byte is known, and keeps reading and writing it, while
 * tests/guest/far-faults.t breaks the network and the memory nodes that it lies on. Told by lines
 * over TCP what to do, so that the test can wait for what it wants to see. Ends with 1 at the first
 * wrong word.
 *
 *     farhold hold MIB [THREADS]   threads verify and rewrite random pages; see command()
 *     farhold grow MIB             takes memory until there is none: ENOMEM, and all that it got is
 *                                  as it should be
 *     farhold touch MIB            the same without asking: its end is the kernel's to explain
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PAGE    4096ul
#define WORDS   (PAGE / 8)
#define PORT    7000
#define THREADS 8u
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define ODD 0x9e3779b97f4a7c15ul

enum wish { WAIT, WORK, REST, END };

static char *memory;
static size_t pages;
static uint32_t *versions; /* of each page's content; locked */
static unsigned nr_threads = 3;
static volatile enum wish wish;
static unsigned working; /* threads that have not heard of the wish to rest */
static uint64_t verified, longest_us;

static uint64_t word_of(size_t page, unsigned word)
{
    uint64_t x = ((uint64_t)page << 41 ^ (uint64_t)versions[page] << 9 ^ word) * ODD;

    return x ^ x >> 29;
}

static void verify(size_t page)
{
    const volatile uint64_t *p = (const volatile uint64_t *)(memory + page * PAGE);

    for (unsigned w = 0; w < WORDS; w++)
        if (p[w] != word_of(page, w)) {
            printf("farhold: WRONG: word %u of page %zu, version %u, is %016lx, not %016lx\n", w,
                   page, versions[page], p[w], word_of(page, w));
            _exit(1);
        }
    __atomic_fetch_add(&verified, 1, __ATOMIC_RELAXED);
}

static void fill(size_t page)
{
    volatile uint64_t *p = (volatile uint64_t *)(memory + page * PAGE);

    versions[page]++;
    for (unsigned w = 0; w < WORDS; w++)
        p[w] = word_of(page, w);
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Pages id, id + nr_threads, ... are this thread's. */
static void *work(void *number)
{
    uint64_t id = (uintptr_t)number, random = (id + 1) * ODD;

    while (wish == WAIT)
        usleep(1000);
    while (wish != END) {
        uint64_t start = now_us(), took;
        size_t page;

        if (wish == REST) {
            __atomic_fetch_sub(&working, 1, __ATOMIC_RELEASE);
            while (wish == REST)
                usleep(1000);
            continue;
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        page = random % (pages / nr_threads) * nr_threads + id;
        verify(page);
        if (random >> 62 == 0)
            fill(page);
        took = now_us() - start;
        if (took > longest_us)
            longest_us = took;
    }
    return NULL;
}

static void take_memory(size_t mib)
{
    pages = mib << 20 >> 12;
    versions = mmap(NULL, pages * 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (versions == MAP_FAILED || memory == MAP_FAILED || mlock(versions, pages * 4) != 0) {
        printf("farhold: no memory: %s\n", strerror(errno));
        exit(2);
    }
}

static void show(FILE *to, const char *path)
{
    FILE *from = fopen(path, "r");
    char line[256];

    while (from && fgets(line, sizeof(line), from))
        if (line[0] != '#')
            fputs(line, to);
    if (from)
        fclose(from);
}

static void verify_all(void)
{
    for (size_t i = 0; i < pages; i++)
        verify(i);
}

static void give_back(FILE *to)
{
    wish = REST;
    while (__atomic_load_n(&working, __ATOMIC_ACQUIRE) > 0)
        usleep(1000);
    verify_all();
    fprintf(to, "%s\n", munmap(memory, pages * PAGE) == 0 ? "done" : strerror(errno));
    pages = 0;
}

static void write_to(FILE *to, const char *path, const char *value)
{
    int fd = open(path, O_WRONLY);

    fprintf(to, "%s\n", fd >= 0 && write(fd, value, strlen(value)) > 0 ? "done" : strerror(errno));
    close(fd);
}

/* stall: the longest time that a page took since the last such command. */
static void command(FILE *to, const char *line)
{
    if (strcmp(line, "pages") == 0) {
        fprintf(to, "pages %lu\n", verified);
    } else if (strcmp(line, "stall") == 0) {
        fprintf(to, "stall_ms %lu\n", longest_us / 1000);
        longest_us = 0;
    } else if (strncmp(line, "/proc/", 6) == 0) {
        show(to, line);
    } else if (strncmp(line, "limit ", 6) == 0) {
        write_to(to, "/proc/sys/wherry/far_local", line + 6);
    } else if (strncmp(line, "nodes ", 6) == 0) {
        write_to(to, "/proc/wherry/nodes", line + 6);
    } else if (strcmp(line, "unmap") == 0) {
        give_back(to);
    } else if (strcmp(line, "end") == 0) {
        wish = END;
    }
}

static void serve(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    char line[128];

    if (bind(listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(listener, 8) != 0)
        exit(2);
    while (wish != END) {
        struct timeval patience = {.tv_sec = 5}; /* the network may be gone meanwhile */
        int conn = accept(listener, NULL, NULL);
        FILE *f = fdopen(conn, "r+");

        setsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        if (f && fgets(line, sizeof(line), f)) {
            line[strcspn(line, "\r\n")] = 0;
            fseek(f, 0, SEEK_CUR);
            command(f, line);
        }
        if (f)
            fclose(f);
    }
}

static int hold(size_t mib)
{
    pthread_t threads[THREADS];

    working = nr_threads;
    for (unsigned t = 0; t < nr_threads; t++)
        if (pthread_create(&threads[t], NULL, work, (void *)(uintptr_t)t) != 0)
            return 2;
    mlockall(MCL_CURRENT); /* what can be away is the memory, and nothing else */
    take_memory(mib);
    for (size_t i = 0; i < pages; i++)
        fill(i);
    wish = WORK;
    serve();
    for (unsigned t = 0; t < nr_threads; t++)
        pthread_join(threads[t], NULL);
    verify_all();
    return 0;
}

static int grow(size_t mib, int ask)
{
    size_t got = 0;

    take_memory(mib);
    /* Nothing new is touched when there is nothing any more. */
    printf("farhold: wants %zu MiB: %s\n", mib, strerror(ENOMEM));
    for (; got < pages; got++) {
        char *page = memory + got * PAGE;

        /* Locked until it is filled, as a page of zeroes may leave without a trace. */
        if (ask && (mlock(page, PAGE) != 0 || madvise(page, PAGE, MADV_POPULATE_WRITE) != 0)) {
            printf("farhold: after %zu MiB: %s\n", got * PAGE >> 20, strerror(errno));
            break;
        }
        fill(got);
        if (ask)
            munlock(page, PAGE);
    }
    for (unsigned round = 0; round < 2; round++)
        for (size_t i = 0; i < got; i++) {
            verify(i);
            fill(i);
        }
    return 0;
}

int main(int argc, char **argv)
{
    static char out[4096];
    size_t mib = argc > 2 ? (size_t)atol(argv[2]) : 0;
    int r;

    setvbuf(stdout, out, _IOLBF, sizeof(out));
    nr_threads = argc > 3 ? (unsigned)atoi(argv[3]) : nr_threads;
    if (mib == 0 || nr_threads == 0 || nr_threads > THREADS)
        return 2;
    if (strcmp(argv[1], "hold") == 0)
        r = hold(mib);
    else
        r = grow(mib, strcmp(argv[1], "grow") == 0);
    if (r == 0)
        printf("farhold: %lu pages verified, 0 wrong\n", verified);
    return r;
}
