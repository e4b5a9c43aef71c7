// unit: kernel/lib/base.h
/* The random number generator's cipher against RFC 8439 §2.3.2, and that it repeats nothing, gives
 * nothing twice and forgets what it gave. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "lib/random.c"

struct cpu_features cpu_features;

static void rfc8439(void **state)
{
    static const uint32_t nonce[3] = {0x09000000, 0x4a000000, 0};
    static const uint32_t result[16] = {
        0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033,
        0x9aaa2204, 0x4e6cd4c3, 0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
        0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2,
    };
    uint8_t k[32];
    uint32_t words[8], out[16];

    for (unsigned i = 0; i < sizeof(k); i++)
        k[i] = (uint8_t)i;
    memcpy(words, k, sizeof(k));
    chacha20_block(words, nonce, 1, out);
    assert_memory_equal(out, result, sizeof(result));
}

static void output(void **state)
{
    static uint8_t one[100000], two[100000];
    unsigned ones = 0;

    random_init();
    random_bytes(one, sizeof(one));
    for (size_t at = 0, n = 1; at < sizeof(two); at += n, n = n * 7 % 601 + 1)
        random_bytes(two + at, n > sizeof(two) - at ? sizeof(two) - at : n);
    assert_memory_not_equal(one, two, sizeof(one));
    for (unsigned i = 0; i < sizeof(one); i++) {
        ones += (unsigned)__builtin_popcount(one[i]);
        if (i + 16 < sizeof(one) && i % 8 == 0)
            assert_memory_not_equal(one + i, one + i + 8, 8);
    }
    assert_in_range(ones, 397000, 403000);
    /* What was handed out and what made it are gone. */
    uint32_t before[KEY / 4];
    memcpy(before, key, KEY);
    random_add_entropy("x", 1);
    assert_memory_not_equal(before, key, KEY);
    random_bytes(one, 64);
    for (size_t i = 0; i < BATCH - batch_left; i++)
        assert_int_equal(batch[i], 0);
    assert_memory_not_equal(one, two, 64);
    random_bytes(one, 0);
}

/* Only what comes from a generator counts, and 32 bytes of it. */
static void seeded(void **state)
{
    static const uint8_t bytes[KEY];

    random_init(); /* on a CPU without one */
    random_add_entropy(bytes, sizeof(bytes));
    assert_false(random_is_seeded());
    random_seed(bytes, KEY - 1);
    assert_false(random_is_seeded());
    random_seed(bytes, 1);
    assert_true(random_is_seeded());
    random_seed(bytes, KEY);
    assert_true(random_is_seeded());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc8439),
        cmocka_unit_test(output),
        cmocka_unit_test(seeded),
    };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
