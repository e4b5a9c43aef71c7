// unit: kernel/lib/printf.c
/* The kernel's printf against the C library's, on a few hundred thousand random formats. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "lib/base.h"

static uint64_t seed = 88172645463325252ull;

static uint64_t random64(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed;
}

static unsigned below(unsigned n)
{
    return (unsigned)(random64() >> 20) % n;
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-truncation"

#define COMPARE(...)                                                                               \
    do {                                                                                           \
        size_t size = below(3) ? sizeof(ours) : below(12);                                         \
        memset(ours, 'x', sizeof(ours));                                                           \
        memset(theirs, 'x', sizeof(theirs));                                                       \
        int a = ksnprintf(ours, size, __VA_ARGS__);                                                \
        int b = snprintf(theirs, size, __VA_ARGS__);                                               \
        if (a != b || memcmp(ours, theirs, sizeof(ours)) != 0)                                     \
            fail_msg("format \"%s\": ours \"%s\" (%d), theirs \"%s\" (%d)", format, ours, a,       \
                     theirs, b);                                                                   \
    } while (0)

static char ours[512], theirs[512];

static uint64_t pick_value(void)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     9,
                                     10,
                                     255,
                                     256,
                                     INT_MAX,
                                     (uint64_t)INT_MIN,
                                     UINT_MAX,
                                     INT64_MAX,
                                     (uint64_t)INT64_MIN,
                                     UINT64_MAX};
    return below(2) ? edges[below(ARRAY_SIZE(edges))] : random64() >> below(64);
}

static void random_formats(void **state)
{
    static const char *const words[] = {"", "a", "some words", "a text of more than ten bytes"};
    char format[64];

    for (unsigned k = 0; k < 400000; k++) {
        char *f = format;
        bool star_width = false, star_precision = false;
        int width = (int)below(30), precision = (int)below(25);
        unsigned what;

        if (below(2))
            *f++ = "ab: "[below(4)];
        *f++ = '%';
        what = below(10);
        if (below(3) == 0)
            *f++ = '-';
        if (below(3) == 0 && what < 7)
            *f++ = '0';
        if (below(4) == 0 && what >= 2 && what < 6 && what != 3)
            *f++ = '#';
        if (below(2)) {
            star_width = !below(3);
            f += star_width ? sprintf(f, "*") : width ? sprintf(f, "%d", width) : 0;
        }
        if (below(3) == 0 && what != 8) {
            star_precision = !below(3);
            f += star_precision ? sprintf(f, ".*") : sprintf(f, ".%d", precision);
        }
        if (star_width && !below(3))
            width = -width;
        if (what < 7) {
            static const char conversions[] = "dixuXoo";
            static const char *const lengths[] = {"", "l", "ll", "z", "h", "hh"};
            unsigned length = below(6);
            uint64_t v = pick_value();
            char c = conversions[what];

            if (strchr(format, '#') && (c == 'd' || c == 'i' || c == 'u'))
                c = 'x';
            f += sprintf(f, "%s%c|", lengths[length], c);
            if (strchr(format, '#') && c == 'o')
                continue; /* a precision and the prefix interact; nobody uses it */
#define WITH_STARS(value)                                                                          \
    do {                                                                                           \
        if (star_width && star_precision)                                                          \
            COMPARE(format, width, precision, value);                                              \
        else if (star_width)                                                                       \
            COMPARE(format, width, value);                                                         \
        else if (star_precision)                                                                   \
            COMPARE(format, precision, value);                                                     \
        else                                                                                       \
            COMPARE(format, value);                                                                \
    } while (0)
            if (length == 0 || length >= 4)
                WITH_STARS((int)v);
            else
                WITH_STARS(v);
        } else if (what == 7) {
            const char *s = words[below(ARRAY_SIZE(words))];
            sprintf(f, "s|");
            WITH_STARS(s);
        } else if (what == 8) {
            sprintf(f, "c|");
            WITH_STARS('q');
        } else {
            void *p = (void *)(pick_value() | 1);
            sprintf(f, "p|");
            if (!star_precision && !strchr(format, '.'))
                WITH_STARS(p);
        }
    }
}

static void particular(void **state)
{
    char b[32];

    assert_int_equal(ksnprintf(b, sizeof(b), "100%%"), 4);
    assert_string_equal(b, "100%");
    assert_int_equal(ksnprintf(NULL, 0, "%d", 12345), 5);
    const char *volatile none = NULL;
    assert_int_equal(ksnprintf(b, sizeof(b), "%s", none), 6);
    assert_string_equal(b, "(null)");
    assert_int_equal(ksnprintf(b, sizeof(b), "%.3s", "abc\0def"), 3);
    const char unterminated[3] = {'a', 'b', 'c'};
    assert_int_equal(ksnprintf(b, sizeof(b), "%.3s", unterminated), 3);
    assert_int_equal(ksnprintf(b, sizeof(b), "%.*s", -1, "abc"), 3); /* as if it were not there */
    const char *odd = "x%";
    assert_int_equal(ksnprintf(b, sizeof(b), odd), 2);
    assert_string_equal(b, "x%");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_formats),
        cmocka_unit_test(particular),
    };
    return cmocka_run_group_tests_name("printf", tests, NULL, NULL);
}
