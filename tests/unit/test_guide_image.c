// unit: kernel/guide/image.c kernel/lib/elf.c kernel/lib/elfimage.c
/* Proves that a guide's file is laid out and bound as the compiler and linker meant it: the guides
 * of the fuzzer's corpus, damaged copies of them, and what they call when they run. */
#include "guide/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <wherry/guide.h>

static const char *missing; /* a function that there is not */
static unsigned counted, read_at;

int guide_read(void *to, uint64_t from, size_t n)
{
    read_at++;
    return -EFAULT;
}

int guide_want(uint64_t from, uint64_t n)
{
    return 0;
}

int guide_tell(uint64_t address, uint64_t cookie)
{
    return 0;
}

void guide_count(unsigned i, uint64_t n)
{
    counted++;
}

static uint64_t resolve(const char *name)
{
    static const struct {
        const char *name;
        void *fn;
    } all[] = {{"guide_read", guide_read},   {"guide_want", guide_want}, {"guide_tell", guide_tell},
               {"guide_count", guide_count}, {"memset", memset},         {"memcpy", memcpy}};

    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(all[i].name, name) == 0 && !(missing && strcmp(missing, name) == 0))
            return (uint64_t)all[i].fn;
    return 0;
}

static uint8_t *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(1 << 20);

    assert_non_null(f);
    *n = fread(bytes, 1, 1 << 20, f);
    fclose(f);
    return bytes;
}

static const char *const paths[] = {"tests/fuzz/corpus/guide/redis.so",
                                    "tests/fuzz/corpus/guide/memcached.so"};

static int load(const uint8_t *file, size_t n, const struct guide **g, struct elf_error *e)
{
    struct elf_image img;
    uint64_t symbol = 0;
    int r = guide_image_check(file, n, &img, e);
    uint8_t *to;

    if (r < 0)
        return r;
    to = mmap(NULL, img.high - img.low, PROT_READ | PROT_WRITE | PROT_EXEC,
              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(to != MAP_FAILED);
    r = guide_image_load(file, n, &img, to, resolve, "wherry_guide", sizeof(**g), &symbol, e);
    *g = (const struct guide *)symbol;
    return r;
}

static void guides_run(void **state)
{
    static const uint64_t arg[6] = {1, 2, 3, 4, 5, 6};

    for (unsigned i = 0; i < 2; i++) {
        const struct guide *g;
        struct elf_error e;
        size_t n;
        uint8_t *file = read_file(paths[i], &n);

        assert_int_equal(load(file, n, &g, &e), 0);
        assert_int_equal(g->api, WHERRY_GUIDE_API);
        assert_string_equal(g->name, i == 0 ? "redis" : "memcached");
        assert_non_null(g->counters[0]);
        assert_int_equal(strlen(g->objects[0].build_ids[0]), 40);
        counted = read_at = 0;
        if (i == 0) {
            assert_string_equal(g->objects[0].hooks[0].function, "addReplyBulk");
            assert_int_equal(g->objects[0].hooks[0].called(arg), GUIDE_WAIT);
            assert_int_equal(read_at, 1);
        } else {
            assert_null(g->objects[0].hooks[0].function);
            assert_true(g->fault(8 * 1000 + 41, false));
            assert_false(g->fault(8 * 1000, false));
        }
        assert_true(counted > 0);
        free(file);
    }
}

static void what_there_is_not_is_told(void **state)
{
    const struct guide *g;
    struct elf_error e;
    size_t n;
    uint8_t *file = read_file(paths[0], &n);

    missing = "guide_read";
    assert_true(load(file, n, &g, &e) < 0);
    assert_string_equal(e.reason, "it needs a function that guides do not have");
    missing = NULL;
    assert_true(load((const uint8_t *)"#!/bin/sh\n", 10, &g, &e) < 0);
    for (size_t cut = 0; cut < n; cut += 61) {
        uint8_t *part = malloc(cut ? cut : 1);

        memcpy(part, file, cut);
        if (load(part, cut, &g, &e) < 0)
            assert_non_null(e.reason);
        free(part);
    }
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(guides_run),
                                       cmocka_unit_test(what_there_is_not_is_told)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
