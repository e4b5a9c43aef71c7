// unit: tools/load/hist.c tools/util.c -lm
/* Proves that the load generator's histogram has the documented index, gives percentiles within a
 * thousandth of those of the sorted values themselves, and merges without loss. */
#define _GNU_SOURCE
#include "load/hist.h"
#include "load/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N = 100000 };

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Latencies as they come: some exponential, some far out, some equal. */
static uint64_t sample(struct rng *r, unsigned i)
{
    if (i % 100 == 0)
        return 1000000000 + rng_below(r, 1000000000);
    if (i % 7 == 0)
        return i % 2000;
    return rng_exponential(r) * 250000;
}

static void index_is_the_documented_one(void **state)
{
    (void)state;
    for (uint64_t v = 0; v < 2048; v++)
        assert_int_equal(hist_index(v), v);
    assert_int_equal(hist_index(2048), 2048);
    assert_int_equal(hist_index(2049), 2048);
    assert_int_equal(hist_index(2050), 2049);
    assert_int_equal(hist_index(4095), 3071);
    assert_int_equal(hist_index(4096), 3072);
    assert_int_equal(hist_index(1000000), 1024 * 10 + (1000000 >> 9) - 1024);
    assert_int_equal(hist_index(UINT64_MAX), HIST_LEN - 1);
}

static void every_value_lies_in_its_bucket(void **state)
{
    struct rng r;

    (void)state;
    rng_seed(&r, 7, 0);
    for (int i = 0; i < N; i++) {
        uint64_t v = rng_next(&r) >> rng_below(&r, 64), mid = hist_value(hist_index(v));
        double error = v > mid ? (double)(v - mid) : (double)(mid - v);

        assert_int_equal(hist_index(mid), hist_index(v));
        assert_true(error <= (double)v / 2000);
    }
}

static void percentiles_are_those_of_sorted_values(void **state)
{
    static const double q[] = {0, 0.001, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1};
    uint64_t *v = malloc(N * sizeof(*v)), sum = 0;
    struct hist h;
    struct rng r;

    (void)state;
    rng_seed(&r, 1, 0);
    hist_init(&h);
    for (unsigned i = 0; i < N; i++) {
        v[i] = sample(&r, i);
        sum += v[i];
        hist_add(&h, v[i]);
    }
    qsort(v, N, sizeof(*v), compare);
    assert_int_equal(h.n, N);
    assert_int_equal(h.min, v[0]);
    assert_int_equal(h.max, v[N - 1]);
    assert_int_equal(h.sum, sum);
    for (size_t i = 0; i < sizeof(q) / sizeof(q[0]); i++) {
        uint64_t rank = ceil(q[i] * N), exact = v[rank ? rank - 1 : 0],
                 got = hist_quantile(&h, q[i]);
        double error = (double)got - (double)exact;

        assert_true(error <= (double)exact / 1000 && -error <= (double)exact / 1000);
    }
    hist_free(&h);
    free(v);
}

static void merged_is_what_one_would_have_counted(void **state)
{
    struct hist all, part[4], merged;
    struct rng r;

    (void)state;
    rng_seed(&r, 2, 0);
    hist_init(&all);
    hist_init(&merged);
    for (int i = 0; i < 4; i++)
        hist_init(&part[i]);
    for (unsigned i = 0; i < N; i++) {
        uint64_t v = sample(&r, i);

        hist_add(&all, v);
        hist_add(&part[v % 3], v); /* the fourth stays empty */
    }
    for (int i = 0; i < 4; i++)
        hist_merge(&merged, &part[i]);
    assert_int_equal(merged.n, all.n);
    assert_int_equal(merged.sum, all.sum);
    assert_int_equal(merged.min, all.min);
    assert_int_equal(merged.max, all.max);
    assert_memory_equal(merged.count, all.count, HIST_LEN * sizeof(all.count[0]));
    for (int i = 0; i < 4; i++)
        hist_free(&part[i]);
    hist_free(&all);
    hist_free(&merged);
}

static void empty_has_no_percentile(void **state)
{
    struct hist h;

    (void)state;
    hist_init(&h);
    assert_int_equal(hist_quantile(&h, 0.5), 0);
    hist_add(&h, 5000000);
    assert_int_equal(hist_quantile(&h, 0), 5000000);
    assert_int_equal(hist_quantile(&h, 1), 5000000);
    hist_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_is_the_documented_one),
        cmocka_unit_test(every_value_lies_in_its_bucket),
        cmocka_unit_test(percentiles_are_those_of_sorted_values),
        cmocka_unit_test(merged_is_what_one_would_have_counted),
        cmocka_unit_test(empty_has_no_percentile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
