// unit: kernel/lib/ksyms.c
/* Proves that what scripts/mksyms.c writes is what lib/ksyms.c reads back, cuts and all. */
#define main mksyms_main
#include "../../scripts/mksyms.c"
#undef main

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FUNCTIONS 3000
#define BASE      0xffffffff80100000ull

static char text[FUNCTIONS][100];
static uint64_t addr[FUNCTIONS];
static struct output table;

static int make_table(void **state)
{
    static const char *const parts[] = {"tcp", "udp", "init", "frame", "socket", "get", "x", "sys"};
    char *input = NULL;
    size_t size;
    uint64_t a = BASE;
    (void)state;
    FILE *f = open_memstream(&input, &size);
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        int n = snprintf(text[i], sizeof(text[i]), "%s_%s_%u", parts[i % 8], parts[i / 8 % 8], i);
        if (i == 77) /* longer than the table holds */
            memset(text[i] + n, 'y', sizeof(text[i]) - 1 - (size_t)n);
        addr[i] = a;
        fprintf(f, "%016lx %c %s\n", a, i % 3 ? 't' : 'T', text[i]);
        if (i % 5 == 0)
            fprintf(f, "%016lx T alias_%u\n", a, i);
        a += i == 1500 ? 300000 : 16 + i % 400; /* a gap that no 16 bits span */
        text[i][KSYMS_NAME_MAX] = '\0';
    }
    fprintf(f, "%016lx D data\n                 U undefined\n", a);
    fclose(f);
    f = fmemopen(input, size, "r");
    read_symbols(f);
    fclose(f);
    free(input);
    while (compress_once())
        ;
    write_table(&table);
    return 0;
}

static void every_function_is_found(void **state)
{
    (void)state;
    char name[KSYMS_NAME_MAX + 1];
    uint64_t off;
    assert_int_equal(nr_symbols, FUNCTIONS);
    print_message("%d functions in %zu bytes\n", FUNCTIONS, table.len);
    assert_true(table.len < 10 * FUNCTIONS);
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        assert_non_null(ksym_lookup_in(table.data, table.len, addr[i], &off, name));
        assert_string_equal(name, text[i]);
        assert_int_equal(off, 0);
        assert_non_null(ksym_lookup_in(table.data, table.len, addr[i] + 15, &off, name));
        assert_string_equal(name, text[i]);
        assert_int_equal(off, 15);
    }
}

static void outside_there_is_nothing(void **state)
{
    (void)state;
    char name[KSYMS_NAME_MAX + 1];
    uint64_t off;
    assert_null(ksym_lookup_in(table.data, table.len, BASE - 1, &off, name));
    assert_null(ksym_lookup_in(table.data, 0, BASE, &off, name));
    assert_null(ksym_lookup_in(table.data, table.len - 1, BASE, &off, name));
    assert_null(ksym_lookup(BASE, &off)); /* no table was linked in */
    /* Any damaged byte: an answer or none, but no fault (the sanitizers watch). */
    for (size_t i = 0; i < table.len; i += 7) {
        uint8_t old = table.data[i];
        table.data[i] ^= 0xff;
        ksym_lookup_in(table.data, table.len, addr[i % FUNCTIONS] + 3, &off, name);
        table.data[i] = old;
    }
}

static int drop_table(void **state)
{
    (void)state;
    free(table.data);
    free(symbols);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_is_found),
        cmocka_unit_test(outside_there_is_nothing),
    };
    return cmocka_run_group_tests(tests, make_table, drop_table);
}
