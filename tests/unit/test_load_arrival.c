// unit: tools/load/arrival.c tools/load/delay.c tools/util.c -lm
/* Proves that constant arrivals are exact, that Poisson ones pass a Kolmogorov-Smirnov test, alone
 * and as the union of several threads' streams, and what delays and stalls of the null server are.
 */
#define _GNU_SOURCE
#include "load/arrival.h"
#include "load/delay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N = 50000 };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* The Kolmogorov-Smirnov distance of gaps to an exponential distribution, times sqrt(n). */
static double ks_exponential(double *gap, unsigned n, double mean)
{
    double d = 0;

    qsort(gap, n, sizeof(*gap), compare);
    for (unsigned i = 0; i < n; i++) {
        double f = -expm1(-gap[i] / mean), above = (i + 1.0) / n - f, below = f - (double)i / n;

        d = fmax(d, fmax(above, below));
    }
    return d * sqrt(n);
}

/* The bound of the test at a significance of 1 %. */
#define KS_BOUND 1.628

static void constant_arrivals_are_exact(void **state)
{
    enum { THREADS = 4 };
    struct arrival a[THREADS];

    (void)state;
    for (unsigned t = 0; t < THREADS; t++)
        arrival_init(&a[t], false, 8000, t, THREADS, 1);
    for (uint64_t i = 0; i < 4000000; i++)
        assert_int_equal(arrival_next(&a[i % THREADS]), i * 125000);
    arrival_init(&a[0], false, 3, 0, 1, 1); /* a gap that is no whole number does not drift */
    for (uint64_t i = 0; i < 3 * 86400; i++) {
        int64_t off = arrival_next(&a[0]) - i * 1000000000 / 3;
        assert_in_range(off + 1, 0, 2);
    }
}

static void poisson_gaps_are_exponential(void **state)
{
    double *gap = malloc(N * sizeof(*gap));

    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct arrival a;
        uint64_t last = 0;

        arrival_init(&a, true, 5000, 0, 1, seed);
        for (int i = 0; i < N; i++) {
            uint64_t at = arrival_next(&a);

            assert_true(at >= last);
            gap[i] = at - last;
            last = at;
        }
        /* 3 sigma of the mean: 3 / sqrt(50000) = 1.3 % */
        assert_true(fabs((double)last / N - 200000) < 200000 * 0.0134);
        assert_true(ks_exponential(gap, N, 200000) < KS_BOUND);
    }
    free(gap);
}

static void poisson_streams_add_up_to_one(void **state)
{
    enum { THREADS = 3 };
    double *at = malloc(N * sizeof(*at));
    uint64_t next[THREADS];
    struct arrival a[THREADS];

    (void)state;
    for (unsigned t = 0; t < THREADS; t++) {
        arrival_init(&a[t], true, 9000, t, THREADS, 42);
        next[t] = arrival_next(&a[t]);
    }
    for (int i = 0; i < N; i++) {
        unsigned first = 0;

        for (unsigned t = 1; t < THREADS; t++)
            if (next[t] < next[first])
                first = t;
        at[i] = next[first];
        next[first] = arrival_next(&a[first]);
    }
    for (int i = N - 1; i > 0; i--)
        at[i] -= at[i - 1];
    assert_true(ks_exponential(at, N, 1e9 / 9000) < KS_BOUND);
    free(at);
}

static void the_test_can_fail(void **state)
{
    double *gap = malloc(N * sizeof(*gap));
    struct rng r;

    (void)state;
    rng_seed(&r, 1, 0);
    for (int i = 0; i < N; i++)
        gap[i] = 200000 * 2 * rng_unit(&r);
    assert_true(ks_exponential(gap, N, 200000) > 10 * KS_BOUND);
    for (int i = 0; i < N; i++) /* 2 % too slow */
        gap[i] = 204000 * rng_exponential(&r);
    assert_true(ks_exponential(gap, N, 200000) > KS_BOUND);
    free(gap);
}

static void seeds_repeat_and_differ(void **state)
{
    struct arrival a, b, c;

    (void)state;
    arrival_init(&a, true, 1000, 0, 2, 5);
    arrival_init(&b, true, 1000, 0, 2, 5);
    arrival_init(&c, true, 1000, 1, 2, 5);
    for (int i = 0; i < 100; i++) {
        uint64_t at = arrival_next(&a);

        assert_int_equal(at, arrival_next(&b));
        assert_int_not_equal(at, arrival_next(&c));
    }
}

static void delays_are_what_was_asked(void **state)
{
    struct delay d;
    struct why w;
    struct rng r;
    double sum = 0;
    unsigned slow = 0;

    (void)state;
    rng_seed(&r, 3, 0);
    assert_true(delay_parse(&d, "fixed:1500", &w));
    assert_int_equal(delay_next(&d, &r), 1500000);
    assert_true(delay_parse(&d, "uniform:100-200", &w));
    for (int i = 0; i < 1000; i++)
        assert_in_range(delay_next(&d, &r), 100000, 200000);
    assert_true(delay_parse(&d, "exp:1000", &w));
    for (int i = 0; i < N; i++)
        sum += delay_next(&d, &r);
    assert_true(fabs(sum / N - 1e6) < 2e4);
    assert_true(delay_parse(&d, "two:100,900,0.1", &w));
    for (int i = 0; i < N; i++)
        slow += delay_next(&d, &r) == 900000;
    assert_in_range(slow, N / 10 - 300, N / 10 + 300);
    assert_false(delay_parse(&d, "fixed:", &w));
    assert_false(delay_parse(&d, "fixed:-1", &w));
    assert_false(delay_parse(&d, "uniform:5-1", &w));
    assert_false(delay_parse(&d, "two:1,2,3", &w));
    assert_false(delay_parse(&d, "exp:5us", &w));
}

static void stalls_begin_and_end(void **state)
{
    struct stalls s;
    struct why w;

    (void)state;
    assert_true(stalls_parse(&s, "100:50,1000:1", &w));
    assert_int_equal(stalls_end(&s, 99999999), 0);
    assert_int_equal(stalls_end(&s, 100000000), 150000000);
    assert_int_equal(stalls_end(&s, 149999999), 150000000);
    assert_int_equal(stalls_end(&s, 150000000), 0);
    assert_int_equal(stalls_end(&s, 1000500000), 1001000000);
    free(s.v);
    assert_false(stalls_parse(&s, "100", &w));
    assert_false(stalls_parse(&s, "1:2,", &w));
    free(s.v);
    assert_false(stalls_parse(&s, "1:0", &w));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_arrivals_are_exact),
        cmocka_unit_test(poisson_gaps_are_exponential),
        cmocka_unit_test(poisson_streams_add_up_to_one),
        cmocka_unit_test(the_test_can_fail),
        cmocka_unit_test(seeds_repeat_and_differ),
        cmocka_unit_test(delays_are_what_was_asked),
        cmocka_unit_test(stalls_begin_and_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
