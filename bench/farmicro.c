/*
 * What a page costs that is not here: the same static program on every system.
 *
 *     farmicro MIB SEED
 *
 * writes all pages of an area of MIB, then, with one word of each page touched: reads them in
 * order, writes them in order, and reads every one once in random order, with the time of each.
 * Prints one line:
 *
 *     farmicro: {"pages": N, "fill_seconds": S, "read_seconds": S, "write_seconds": S,
 * "random_seconds": S, "p50": NS, "p90": NS, "p99": NS, "max": NS, "wrong": N}
 *
 * Percentiles are of all pages, those that happened to be here too. Each page holds its number:
 * what comes back is compared. Status 1 if something was wrong.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define WORDS 512 /* of a page */

static uint64_t *area;
static size_t pages, wrong;

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* splitmix64 (Steele, Lea and Flood, OOPSLA 2014) */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* What word i of a page is after so many writes. */
static uint64_t content(size_t page, size_t i, uint64_t written)
{
    return (uint64_t)page * WORDS + i + (written << 48);
}

static void fill(void)
{
    for (size_t p = 0; p < pages; p++)
        for (size_t i = 0; i < WORDS; i++)
            area[p * WORDS + i] = content(p, i, 1);
}

static void check(size_t page, uint64_t written)
{
    size_t i = page % WORDS;

    wrong += *(volatile uint64_t *)&area[page * WORDS + i] != content(page, i, written);
}

static double in_order(int writes)
{
    uint64_t start = now();

    for (size_t p = 0; p < pages; p++) {
        if (writes)
            area[p * WORDS + p % WORDS] = content(p, p % WORDS, 2);
        else
            check(p, 1);
    }
    return (double)(now() - start) * 1e-9;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Every page once, in random order (Fisher and Yates); the times, sorted. */
static uint64_t *at_random(uint64_t seed)
{
    uint32_t *order = malloc(pages * sizeof(*order));
    uint64_t *took = malloc(pages * sizeof(*took));

    if (!order || !took)
        return NULL;
    for (size_t i = 0; i < pages; i++) {
        size_t k = next(&seed) % (i + 1);

        order[i] = order[k];
        order[k] = (uint32_t)i;
    }
    memset(took, 1, pages * sizeof(*took)); /* now, not while it is measured */
    for (size_t i = 0; i < pages; i++) {
        uint64_t start = now();

        check(order[i], 2);
        took[i] = now() - start;
    }
    free(order);
    qsort(took, pages, sizeof(*took), ascending);
    return took;
}

int main(int argc, char **argv)
{
    double filled, read_s, write_s, random_s;
    uint64_t start, *took;

    if (argc != 3 || (pages = strtoull(argv[1], NULL, 10) * 256) == 0) {
        fprintf(stderr, "usage: farmicro MIB SEED\n");
        return 125;
    }
    area = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) {
        perror("farmicro");
        return 125;
    }
    start = now();
    fill();
    filled = (double)(now() - start) * 1e-9;
    read_s = in_order(0);
    write_s = in_order(1);
    start = now();
    took = at_random(strtoull(argv[2], NULL, 10));
    random_s = (double)(now() - start) * 1e-9;
    if (!took) {
        perror("farmicro");
        return 125;
    }
    printf("farmicro: {\"pages\": %zu, \"fill_seconds\": %.6f, \"read_seconds\": %.6f, "
           "\"write_seconds\": %.6f, "
           "\"random_seconds\": %.6f, \"p50\": %llu, \"p90\": %llu, \"p99\": %llu, \"max\": %llu, "
           "\"wrong\": %zu}\n",
           pages, filled, read_s, write_s, random_s, (unsigned long long)took[pages / 2],
           (unsigned long long)took[pages * 9 / 10], (unsigned long long)took[pages * 99 / 100],
           (unsigned long long)took[pages - 1], wrong);
    return wrong != 0;
}
