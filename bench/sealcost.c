/*
 * What far memory does to a page before it leaves and when it is back (kernel/mm/far/seal.h), in
 * nanoseconds on this host's CPU: the kernel's own code, compiled as the kernel's is, for each
 * wherry.far.verify= and cipher. The best of many rounds, since others may have the CPU meanwhile.
 *
 *     sealcost
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "mm/far/seal.h"

#define SLOTS  16u /* pages in turns: more than one, and they stay in the first cache */
#define TURNS  100u
#define ROUNDS 500u

static uint8_t plain[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t sent[SLOTS][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t back[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

/* What the kernel's headers declare, for a host program that asserts nothing. */
void panic(const char *fmt, ...)
{
    fprintf(stderr, "sealcost: %s\n", fmt);
    abort();
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void leave(unsigned i)
{
    far_seal(1 + i % SLOTS, sent[i % SLOTS], plain);
}

/* A page comes to a frame by itself: the copy is only here, and is taken off. */
static void come(unsigned i)
{
    __builtin_memcpy(back, sent[i % SLOTS], PAGE_SIZE);
    if (!far_unseal(1 + i % SLOTS, back))
        panic("a page is not what it was");
}

static void copy(unsigned i)
{
    __builtin_memcpy(back, sent[i % SLOTS], PAGE_SIZE);
    __asm__ volatile("" ::"r"(back) : "memory");
}

static double cost_of(void (*f)(unsigned))
{
    uint64_t best = UINT64_MAX;

    for (unsigned r = 0; r < ROUNDS; r++) {
        uint64_t from = now(), took;

        for (unsigned i = 0; i < TURNS; i++)
            f(i);
        took = now() - from;
        best = took < best ? took : best;
    }
    return (double)best / TURNS;
}

static void show(enum far_verify v, const char *name, const struct far_cipher *c)
{
    static const uint8_t key[FAR_CIPHER_KEY] = {1, 2, 3};
    void *table = malloc(far_seal_bytes(v, SLOTS));
    double leaves, comes;

    far_seal_init(v, SLOTS, table, c, key);
    leaves = cost_of(leave);
    comes = cost_of(come) - cost_of(copy);
    printf("%-8s %-8s  leaves %5.0f ns (with its copy), comes %5.0f ns\n", name, c ? c->name : "",
           leaves, comes > 0 ? comes : 0);
    free(table);
}

int main(void)
{
    for (unsigned i = 0; i < PAGE_SIZE; i++)
        plain[i] = (uint8_t)(i * 7 + i / 256);
    for (unsigned i = 0; i < ARRAY_SIZE(far_key); i++)
        far_key[i] = (i + 1) * 0x9e3779b97f4a7c15u;
    show(FAR_VERIFY_OFF, "off", NULL);
    show(FAR_VERIFY_CHECKSUM, "checksum", NULL);
    for (unsigned i = 0; i < far_nciphers; i++)
        if (far_ciphers[i]->usable == NULL || far_ciphers[i]->usable())
            show(FAR_VERIFY_ENCRYPT, "encrypt", far_ciphers[i]);
    return 0;
}
