// unit: kernel/mm/far/seal.c kernel/mm/far/verify.c kernel/lib/aes_ctr.c kernel/lib/chacha20.c
/*
 * Pages on a memory node that lies (kernel/mm/far/seal.h), by each way of sealing them: what was
 * written last comes back, and whatever else the node gives (older, torn, of another slot, with a
 * bit flipped, another's) is told. Encrypted, nothing of a page is seen, no two pages look alike,
 * and no part of a key stream is used twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "chance.h"
#include "mm/far/seal.h"

#define SLOTS      64u
#define OPERATIONS 20000u
#define SEALS      1000u

static uint8_t plain[SLOTS + 1][PAGE_SIZE]; /* what each slot should hold; */
static uint8_t node[SLOTS + 1][PAGE_SIZE];  /* what was sent there, */
static uint8_t older[SLOTS + 1][PAGE_SIZE]; /*   and before */
static uint8_t page[PAGE_SIZE];
static void *table;

static void start(enum far_verify v, const struct far_cipher *cipher)
{
    uint8_t key[FAR_CIPHER_KEY];

    fill(key, sizeof(key));
    fill(far_key, sizeof(far_key));
    free(table);
    table = malloc(far_seal_bytes(v, SLOTS));
    far_seal_init(v, SLOTS, table, cipher, key);
}

/* Few pages differ much from each other: those are what a sloppy hash would take for the same. */
static void write_slot(uint32_t slot)
{
    if (below(4) == 0)
        fill(plain[slot], PAGE_SIZE);
    else
        plain[slot][below(PAGE_SIZE)] += (uint8_t)(1 + below(255));
    memcpy(older[slot], node[slot], PAGE_SIZE);
    far_seal(slot, node[slot], plain[slot]);
}

static bool reads(uint32_t slot, const void *given)
{
    memcpy(page, given, PAGE_SIZE);
    return far_unseal(slot, page);
}

static void read_slot(uint32_t slot)
{
    unsigned at = below(PAGE_SIZE), n = 1 + below(PAGE_SIZE - at);

    assert_true(reads(slot, node[slot]));
    assert_memory_equal(page, plain[slot], PAGE_SIZE);
    memcpy(page, node[slot] + at, n);
    far_unseal_part(slot, at, page, n);
    assert_memory_equal(page, plain[slot] + at, n);
}

static void read_wrong(uint32_t slot)
{
    uint32_t other = slot % SLOTS + 1;
    unsigned cut = 1 + below(PAGE_SIZE - 1);
    uint8_t torn[PAGE_SIZE];

    if (memcmp(older[slot], node[slot], PAGE_SIZE) != 0)
        assert_false(reads(slot, older[slot]));
    memcpy(torn, node[slot], PAGE_SIZE);
    memcpy(torn + cut, older[slot] + cut, PAGE_SIZE - cut);
    if (memcmp(torn, node[slot], PAGE_SIZE) != 0)
        assert_false(reads(slot, torn));
    if (memcmp(node[other], node[slot], PAGE_SIZE) != 0)
        assert_false(reads(slot, node[other]));
    memcpy(torn, node[slot], PAGE_SIZE);
    torn[below(PAGE_SIZE)] ^= (uint8_t)(1u << below(8));
    assert_false(reads(slot, torn));
    fill(torn, PAGE_SIZE);
    assert_false(reads(slot, torn));
    memset(torn, 0, PAGE_SIZE);
    assert_false(reads(slot, torn));
}

static void shake(void)
{
    for (uint32_t slot = 1; slot <= SLOTS; slot++)
        write_slot(slot);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        uint32_t slot = 1 + below(SLOTS);

        switch (below(3)) {
        case 0:
            write_slot(slot);
            break;
        case 1:
            read_slot(slot);
            break;
        default:
            read_wrong(slot);
        }
    }
}

static void off(void **state)
{
    start(FAR_VERIFY_OFF, NULL);
    assert_int_equal(far_seal_bytes(FAR_VERIFY_OFF, SLOTS), 0);
    write_slot(1);
    read_slot(1);
    assert_memory_equal(node[1], plain[1], PAGE_SIZE);
}

static void checksum(void **state)
{
    start(FAR_VERIFY_CHECKSUM, NULL);
    assert_null(far_cipher);
    assert_int_equal(far_seal_bytes(FAR_VERIFY_CHECKSUM, SLOTS), 16 * (SLOTS + 1));
    shake();
    assert_memory_equal(node[1], plain[1], PAGE_SIZE);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

/* Pages of zeros are sealed to the bare key stream: no sixteen bytes of it come twice, neither in a
 * page nor in those of other slots or other times. */
static void check_stream(void)
{
    uint8_t(*seen)[16] = malloc(SEALS * PAGE_SIZE);

    assert_non_null(seen);
    memset(page, 0, sizeof(page));
    for (unsigned i = 0; i < SEALS; i++)
        far_seal(i % 2 ? 1 : 1 + below(SLOTS), seen[i * PAGE_SIZE / 16], page);
    qsort(seen, SEALS * PAGE_SIZE / 16, 16, compare);
    for (unsigned i = 1; i < SEALS * PAGE_SIZE / 16; i++)
        assert_memory_not_equal(seen[i - 1], seen[i], 16);
    free(seen);
}

static void encrypt(void **state)
{
    assert_int_equal(far_seal_bytes(FAR_VERIFY_ENCRYPT, SLOTS), 24 * (SLOTS + 1));
    for (unsigned i = 0; i < far_nciphers; i++) {
        const struct far_cipher *c = far_ciphers[i];

        print_message("# %s\n", c->name);
        if (c->usable != NULL && !c->usable())
            continue;
        start(FAR_VERIFY_ENCRYPT, c);
        assert_ptr_equal(far_cipher, c);
        shake();
        for (unsigned at = 0; at + 8 <= PAGE_SIZE; at++)
            assert_memory_not_equal(node[1] + at, plain[1] + at, 8);
        check_stream();
        /* Another key, another stream. */
        start(FAR_VERIFY_ENCRYPT, c);
        assert_false(reads(1, node[1]));
    }
}

static uint64_t fake_now, fake_calls;

/* The first cipher that is timed takes the longest. */
static uint64_t slowing_clock(void)
{
    fake_now += 1000 - fake_calls++;
    return fake_now;
}

static uint64_t real_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void choice(void **state)
{
    const struct far_cipher *c;

    for (unsigned i = 0; i < far_nciphers; i++) {
        c = far_cipher_choose(far_ciphers[i]->name, NULL);
        if (far_ciphers[i]->usable == NULL || far_ciphers[i]->usable())
            assert_ptr_equal(c, far_ciphers[i]);
        else
            assert_null(c);
    }
    assert_null(far_cipher_choose("rot13", NULL));
    assert_ptr_equal(far_cipher_choose(NULL, slowing_clock), far_ciphers[far_nciphers - 1]);
    c = far_cipher_choose(NULL, real_clock);
    assert_true(c->usable == NULL || c->usable());
    print_message("# %s\n", c->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(off), cmocka_unit_test(checksum),
                                       cmocka_unit_test(encrypt), cmocka_unit_test(choice)};
    int r = cmocka_run_group_tests(tests, NULL, NULL);

    free(table);
    return r;
}
