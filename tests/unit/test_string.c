// unit: kernel/lib/base.h
/* The kernel's string.h against the C library's, on buffers that end where the text does. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The C library's, under names of their own. */
static int c_memcmp(const void *a, const void *b, size_t n)
{
    return memcmp(a, b, n);
}
static void *(*const c_memchr)(const void *, int, size_t) = (void *)memchr;
static int (*const c_strcmp)(const char *, const char *) = strcmp;
static int (*const c_strncmp)(const char *, const char *, size_t) = strncmp;
static char *(*const c_strchr)(const char *, int) = (void *)strchr;
static char *(*const c_strrchr)(const char *, int) = (void *)strrchr;
static char *(*const c_strstr)(const char *, const char *) = (void *)strstr;
static size_t (*const c_strlen)(const char *) = strlen;
static size_t (*const c_strnlen)(const char *, size_t) = strnlen;
static char *(*const c_strncpy)(char *, const char *, size_t) = strncpy;

#define memcmp  k_memcmp
#define memchr  k_memchr
#define strcmp  k_strcmp
#define strncmp k_strncmp
#undef strchr
#define strchr  k_strchr
#define strrchr k_strrchr
#define strstr  k_strstr
#define strlen  k_strlen
#define strnlen k_strnlen
#define strcpy  k_strcpy
#define strncpy k_strncpy
#define strlcpy k_strlcpy
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#include "lib/string.c"

static uint64_t seed = 88172645463325252ull;

static unsigned below(unsigned n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

static int sign(int v)
{
    return (v > 0) - (v < 0);
}

/* A text in a block of exactly its size. */
static char *text(size_t n, bool ended)
{
    char *p = malloc(n + ended);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(below(20) ? "aab\xff"[below(4)] : 'c');
    if (ended)
        p[n] = '\0';
    return p;
}

static void against_the_library(void **state)
{
    for (unsigned k = 0; k < 300000; k++) {
        size_t n = below(5) ? below(12) : below(100), m = below(8);
        char *a = text(n, true), *b = text(below(3) ? n : below(100), true),
             *needle = text(m, true);
        char *x = text(n, false), *y = text(n, false);
        char d1[40], d2[40];
        int c = "abc\xff\0z"[below(6)];

        if (below(2))
            memcpy(y, x, n);
        if (below(2) && c_strlen(b) >= n)
            memcpy(b, a, n);
        assert_int_equal(sign(k_memcmp(x, y, n)), sign(c_memcmp(x, y, n)));
        assert_ptr_equal(k_memchr(x, c, n), c_memchr(x, c, n));
        assert_int_equal(sign(k_strcmp(a, b)), sign(c_strcmp(a, b)));
        assert_int_equal(sign(k_strncmp(a, b, m)), sign(c_strncmp(a, b, m)));
        assert_ptr_equal(k_strchr(a, c), c_strchr(a, c));
        assert_ptr_equal(k_strrchr(a, c), c_strrchr(a, c));
        assert_ptr_equal(k_strstr(a, needle), c_strstr(a, needle));
        assert_int_equal(k_strlen(a), c_strlen(a));
        assert_int_equal(k_strnlen(x, n), c_strnlen(x, n));
        memset(d1, 'q', sizeof(d1)), memset(d2, 'q', sizeof(d2));
        assert_ptr_equal(k_strncpy(d1, a, m * 4), d1);
        c_strncpy(d2, a, m * 4);
        assert_memory_equal(d1, d2, sizeof(d1));
        memset(d1, 'q', sizeof(d1));
        assert_int_equal(k_strlcpy(d1, a, m), n);
        if (m) {
            size_t kept = n < m - 1 ? n : m - 1;
            assert_memory_equal(d1, a, kept);
            assert_int_equal(d1[kept], 0);
        }
        assert_int_equal(d1[m], 'q');
        free(a), free(b), free(needle), free(x), free(y);
    }
}

static void numbers(void **state)
{
    uint64_t v = 77;

    assert_string_equal(parse_u64("123abc", &v), "abc");
    assert_int_equal(v, 123);
    assert_string_equal(parse_u64("0x1fG", &v), "G");
    assert_int_equal(v, 0x1f);
    assert_string_equal(parse_u64("0X", &v), "X");
    assert_int_equal(v, 0);
    assert_string_equal(parse_u64("18446744073709551615", &v), "");
    assert_true(v == UINT64_MAX);
    assert_null(parse_u64("18446744073709551616", &v));
    assert_null(parse_u64("0x10000000000000000", &v));
    assert_null(parse_u64("", &v));
    assert_null(parse_u64("-1", &v));
    assert_null(parse_u64(" 1", &v));
    assert_string_equal(parse_size("64k", &v), "");
    assert_int_equal(v, 65536);
    assert_string_equal(parse_size("512@0xfeb00e00", &v), "@0xfeb00e00");
    assert_int_equal(v, 512);
    assert_string_equal(parse_size("2Gx", &v), "x");
    assert_true(v == 2ull << 30);
    assert_string_equal(parse_size("3T", &v), "");
    assert_true(v == 3ull << 40);
    assert_null(parse_size("99999999999G", &v));
    for (unsigned k = 0; k < 100000; k++) {
        char s[40];
        uint64_t n = ((uint64_t)below(1u << 31) << 33 | below(1u << 31)) >> below(64);
        snprintf(s, sizeof(s), below(2) ? "%lu," : "0x%lx,", n);
        assert_string_equal(parse_u64(s, &v), ",");
        assert_true(v == n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_the_library),
        cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests_name("string", tests, NULL, NULL);
}
