/*
 * The words of the ABI tests: programs for Linux that print TAP and end with 0 if all is well. Each
 * passes on Linux, whose answers are the expected ones, and then has to pass in Wherry.
 */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int tap_number, tap_failed;

__attribute__((unused)) static void tap_check(bool good, const char *what, const char *file,
                                              int line)
{
    printf("%sok %d - %s (%s:%d)\n", good ? "" : "not ", ++tap_number, what, file, line);
    if (!good) {
        printf("# errno %d\n", errno);
        fflush(stdout);
        tap_failed++;
    }
}

#define OK(cond) tap_check(cond, #cond, __FILE__, __LINE__)
#define FAILS(call, e)                                                                             \
    do {                                                                                           \
        errno = 0;                                                                                 \
        bool failed_ = (long)(call) == -1 && errno == (e);                                         \
        tap_check(failed_, #call " fails with " #e, __FILE__, __LINE__);                           \
    } while (0)
/* Checked silently unless it is wrong: for loops. */
#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            tap_check(false, #cond, __FILE__, __LINE__);                                           \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

__attribute__((unused)) static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* xorshift64*: the same operations on every system. */
static uint64_t tap_seed = 88172645463325252ull;
__attribute__((unused)) static uint64_t random64(void)
{
    tap_seed ^= tap_seed >> 12;
    tap_seed ^= tap_seed << 25;
    tap_seed ^= tap_seed >> 27;
    return tap_seed * 2685821657736338717ull;
}
__attribute__((unused)) static unsigned below(unsigned n)
{
    return (random64() >> 32) % n;
}

__attribute__((unused)) static int tap_done(void)
{
    printf("1..%d\n", tap_number);
    return tap_failed != 0;
}
