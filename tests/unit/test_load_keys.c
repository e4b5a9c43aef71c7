// unit: tools/load/keys.c tools/load/value.c tools/load/workload.c -lm -pthread
/* Proves that keys come as often as theory says (uniform, zipfian, latest), that YCSB's workloads
 * have their mixes, that inserts become known in order, and that a value tells any damage. */
#define _GNU_SOURCE
#include "load/keys.h"
#include "load/value.h"
#include "load/workload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DRAWS = 1000000 };

/* Of util.c, which this test needs no more of. */
void *xcalloc(size_t n, size_t size)
{
    return calloc(n, size);
}

static double zeta(uint64_t n)
{
    double sum = 0;

    for (uint64_t i = 1; i <= n; i++)
        sum += pow(i, -ZIPF_THETA);
    return sum;
}

/* Chi-square over its degrees of freedom would be 1; its standard deviation is sqrt(2 / degrees).
 */
static double chi_square(const unsigned *count, const double *p, unsigned n, unsigned draws)
{
    double sum = 0;

    for (unsigned i = 0; i < n; i++)
        sum += pow(count[i] - p[i] * draws, 2) / (p[i] * draws);
    return sum / (n - 1);
}

static double chi_bound(unsigned n)
{
    return 1 + 4 * sqrt(2.0 / (n - 1));
}

static void zipfian_ranks_match_theory(void **state)
{
    static const uint64_t sizes[] = {1, 2, 10, 1000};
    static unsigned count[1000];
    static double p[1000];
    struct zipf z;
    struct rng r;

    (void)state;
    for (size_t s = 0; s < 4; s++) {
        uint64_t n = sizes[s];
        double zn = zeta(n);

        rng_seed(&r, 11, n);
        zipf_init(&z, n);
        memset(count, 0, sizeof(count));
        for (int i = 0; i < DRAWS; i++) {
            uint64_t k = zipf_next(&z, &r);

            assert_in_range(k, 1, n);
            count[k - 1]++;
        }
        for (uint64_t k = 1; k <= n; k++)
            p[k - 1] = pow(k, -ZIPF_THETA) / zn;
        if (n > 1)
            assert_true(chi_square(count, p, n, DRAWS) < chi_bound(n));
    }
    /* The test can fail: a neighbouring theta is told apart. */
    double other = 0;
    for (int k = 0; k < 1000; k++)
        other += pow(k + 1, -0.97);
    for (int k = 0; k < 1000; k++)
        p[k] = pow(k + 1, -0.97) / other;
    assert_true(chi_square(count, p, 1000, DRAWS) > chi_bound(1000));
}

static void zipfian_of_ten_billion_has_ycsbs_head(void **state)
{
    /* YCSB's ScrambledZipfianGenerator.ZETAN */
    const double zetan = 26.46902820178302;
    unsigned count[20] = {0};
    struct zipf z;
    struct rng r;

    (void)state;
    rng_seed(&r, 12, 0);
    zipf_init(&z, ZIPF_YCSB_ITEMS);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t k = zipf_next(&z, &r);
        if (k <= 20)
            count[k - 1]++;
    }
    for (int k = 1; k <= 20; k++) {
        double expected = pow(k, -ZIPF_THETA) / zetan * DRAWS;
        assert_true(fabs(count[k - 1] - expected) < 5 * sqrt(expected));
    }
}

static void scrambled_keys_have_the_popularity_of_their_ranks(void **state)
{
    enum { KEYS = 1000 };
    static unsigned count[KEYS];
    struct keys k;
    struct rng r;

    (void)state;
    rng_seed(&r, 13, 0);
    keys_init(&k, KEYS_ZIPFIAN, KEYS);
    for (int i = 0; i < DRAWS; i++)
        count[keys_next(&k, &r, KEYS)]++;
    /* The most popular key is the first rank's, hashed; the ranks beyond the first thousands fall
     * on all keys alike. */
    for (int rank = 1; rank <= 5; rank++) {
        double share = pow(rank, -ZIPF_THETA) / 26.46902820178302;
        unsigned at = count[keys_hash(rank) % KEYS];

        assert_true(at > share * DRAWS * 0.98);
        assert_true(at < share * DRAWS * 1.02 + DRAWS * 2.0 / KEYS);
    }
    for (int i = 0; i < KEYS; i++)
        assert_true(count[i] > DRAWS / KEYS / 3);
}

static void uniform_keys_are_uniform(void **state)
{
    enum { KEYS = 1000 };
    static unsigned count[KEYS];
    static double p[KEYS];
    struct keys k;
    struct rng r;
    double chi;

    (void)state;
    rng_seed(&r, 14, 0);
    keys_init(&k, KEYS_UNIFORM, KEYS);
    for (int i = 0; i < DRAWS; i++)
        count[keys_next(&k, &r, KEYS)]++;
    for (int i = 0; i < KEYS; i++)
        p[i] = 1.0 / KEYS;
    chi = chi_square(count, p, KEYS, DRAWS);
    assert_true(chi < chi_bound(KEYS) && chi > 2 - chi_bound(KEYS));
}

static void latest_prefers_new_keys_while_they_grow(void **state)
{
    enum { KEYS = 500 };
    static unsigned count[KEYS];
    static double p[KEYS];
    struct keys k;
    struct rng r;
    double zn = zeta(KEYS);

    (void)state;
    rng_seed(&r, 15, 0);
    keys_init(&k, KEYS_LATEST, KEYS);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t n = KEYS + i / 1000, key = keys_next(&k, &r, n);

        assert_in_range(key, 0, n - 1);
        if (n - 1 - key < KEYS)
            count[n - 1 - key]++;
    }
    /* Its size grew threefold: the head is between both sizes' probabilities. */
    for (int i = 0; i < 10; i++) {
        p[i] = pow(i + 1, -ZIPF_THETA);
        assert_true(count[i] < p[i] / zn * DRAWS * 1.02);
        assert_true(count[i] > p[i] / zeta(3 * KEYS) * DRAWS * 0.98);
    }
}

static void mix(enum workload kind, enum op first, double share, enum op second)
{
    static struct load_options o;
    unsigned count[NR_OPS] = {0}, n = 100000;
    struct workload_shared *w;
    struct workload_stream s;
    struct request r;

    o = (struct load_options){.workload = kind, .keys = 1000, .seed = 1, .key_dist = KEYS_ZIPFIAN};
    if (kind == WORKLOAD_YCSB_D)
        o.key_dist = KEYS_LATEST;
    w = workload_new(&o, PHASE_RUN);
    workload_stream_init(&s, w, 0);
    for (unsigned i = 0; i < n; i++) {
        assert_true(workload_next(&s, &r));
        count[r.op]++;
        if (r.op == OP_SCAN)
            assert_in_range(r.count, 1, 100);
        if (r.op != OP_INSERT)
            assert_true(r.key < atomic_load(&w->known));
        workload_done(&s, &r, true);
    }
    assert_int_equal(count[first] + (first == second ? 0 : count[second]), n);
    assert_true(fabs((double)count[first] / n - share) < 0.005);
    assert_int_equal(atomic_load(&w->known), 1000 + count[OP_INSERT]);
    workload_free(w);
}

static void ycsb_mixes_are_those_of_its_core_workloads(void **state)
{
    (void)state;
    mix(WORKLOAD_YCSB_A, OP_READ, 0.5, OP_UPDATE);
    mix(WORKLOAD_YCSB_B, OP_READ, 0.95, OP_UPDATE);
    mix(WORKLOAD_YCSB_C, OP_READ, 1, OP_READ);
    mix(WORKLOAD_YCSB_D, OP_READ, 0.95, OP_INSERT);
    mix(WORKLOAD_YCSB_E, OP_SCAN, 0.95, OP_INSERT);
    mix(WORKLOAD_YCSB_F, OP_READ, 0.5, OP_RMW);
}

static void inserts_are_known_without_gaps(void **state)
{
    static struct load_options o = {
        .workload = WORKLOAD_YCSB_D, .keys = 10, .seed = 1, .key_dist = KEYS_LATEST};
    struct workload_shared *w = workload_new(&o, PHASE_RUN);
    struct request r[3];
    struct workload_stream s;

    (void)state;
    workload_stream_init(&s, w, 0);
    for (int i = 0; i < 3; i++)
        do
            workload_next(&s, &r[i]);
        while (r[i].op != OP_INSERT);
    assert_int_equal(r[0].key, 10);
    assert_int_equal(r[2].key, 12);
    workload_done(&s, &r[2], true);
    assert_int_equal(atomic_load(&w->known), 10);
    workload_done(&s, &r[0], true);
    assert_int_equal(atomic_load(&w->known), 11);
    workload_done(&s, &r[1], false); /* is tried again */
    assert_int_equal(atomic_load(&w->known), 11);
    do
        workload_next(&s, &r[0]);
    while (r[0].op != OP_INSERT);
    assert_int_equal(r[0].key, 11);
    workload_done(&s, &r[0], true);
    assert_int_equal(atomic_load(&w->known), 13);
    workload_free(w);
}

static void a_value_tells_any_damage(void **state)
{
    static const size_t sizes[] = {1, 7, 8, 15, 16, 17, 23, 24, 100, 1000};
    uint8_t v[1001];

    (void)state;
    for (size_t i = 0; i < 10; i++) {
        size_t n = sizes[i];

        v[n] = 0xaa;
        value_fill(v, n, 42, 7); /* small ones have no version */
        assert_int_equal(v[n], 0xaa);
        assert_true(value_good(v, n, 42));
        assert_true(value_is(v, n, 42, 7));
        assert_false(n >= VALUE_HEAD && value_is(v, n, 42, 8));
        for (size_t at = 0; at < n; at++) {
            v[at] ^= 0x10;
            assert_false(value_good(v, n, 42));
            v[at] ^= 0x10;
        }
        if (n >= 7)
            assert_false(value_good(v, n, 43));
    }
}

static void the_six_sizes_are_equally_frequent(void **state)
{
    struct value_sizes six = {0};
    unsigned count[6] = {0};

    (void)state;
    for (uint64_t key = 0; key < 60000; key++) {
        uint32_t size = value_size(&six, key);

        assert_int_equal(__builtin_popcount(size), 1);
        assert_in_range(size, 4096, 131072);
        count[__builtin_ctz(size) - 12]++;
        assert_int_equal(value_size(&six, key), size);
    }
    for (int i = 0; i < 6; i++)
        assert_in_range(count[i], 9600, 10400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zipfian_ranks_match_theory),
        cmocka_unit_test(zipfian_of_ten_billion_has_ycsbs_head),
        cmocka_unit_test(scrambled_keys_have_the_popularity_of_their_ranks),
        cmocka_unit_test(uniform_keys_are_uniform),
        cmocka_unit_test(latest_prefers_new_keys_while_they_grow),
        cmocka_unit_test(ycsb_mixes_are_those_of_its_core_workloads),
        cmocka_unit_test(inserts_are_known_without_gaps),
        cmocka_unit_test(a_value_tells_any_damage),
        cmocka_unit_test(the_six_sizes_are_equally_frequent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
