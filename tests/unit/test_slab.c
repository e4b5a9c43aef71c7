// unit: kernel/mm/slab.c kernel/mm/frame.c
/* The kernel heap against a list of what was handed out: alignment, no overlap, content kept by
 * krealloc, all memory given back, and NULL when there is none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/slab.h"

#define PHYS  (64 * MiB)
#define SIZE  (48 * MiB)
#define COUNT 6000

static uint64_t seed = 88172645463325252ull;

static unsigned below(unsigned n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

static struct object {
    uint8_t *p;
    size_t size;
    uint8_t fill;
} objects[COUNT];

static int set_up(void **state)
{
    void *arena = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    host_direct_base = (uintptr_t)arena - PHYS;
    frame_add_range(PHYS, PHYS + SIZE, malloc(frame_array_size(PHYS, PHYS + SIZE)));
    frame_release_area(PHYS, PHYS + SIZE);
    return 0;
}

static void whole(const struct object *o)
{
    for (size_t i = 0; i<o->size; i += o->size> 4096 ? 61 : 1)
        assert_int_equal(o->p[i], o->fill);
    if (o->size)
        assert_int_equal(o->p[o->size - 1], o->fill);
}

static size_t pick_size(void)
{
    switch (below(20)) {
    case 0:
        return below(70000);
    case 1:
        return 2040 + below(20);
    case 2:
        return below(300000);
    default:
        return below(below(2) ? 2100 : 300);
    }
}

static void random_operations(void **state)
{
    uint64_t free_at_first = frame_stats().free;

    for (unsigned k = 0; k < 600000; k++) {
        struct object *o = &objects[below(k % 200000 < 100000 ? COUNT : COUNT / 8)];

        if (!o->p) {
            bool zero = !below(4);
            o->size = pick_size();
            o->p = zero ? kzalloc(o->size) : kmalloc(o->size);
            if (!o->p)
                continue;
            assert_int_equal((uintptr_t)o->p & 15, 0);
            if (o->size > 2048)
                assert_int_equal((uintptr_t)o->p & 4095, 0);
            for (size_t i = 0; zero && i < o->size; i++)
                assert_int_equal(o->p[i], 0);
            o->fill = (uint8_t)k;
            memset(o->p, o->fill, o->size);
        } else if (!below(3)) {
            size_t n = pick_size();
            uint8_t *p;
            whole(o);
            p = krealloc(o->p, n);
            if (!p)
                continue;
            o->p = p;
            o->size = MIN(o->size, n);
            whole(o);
            o->size = n;
            memset(o->p, o->fill, n);
        } else {
            whole(o);
            kfree(o->p);
            o->p = NULL;
        }
    }
    for (unsigned i = 0; i < COUNT; i++) {
        if (objects[i].p)
            whole(&objects[i]);
        kfree(objects[i].p);
    }
    assert_int_equal(slab_stats().bytes_used, 0);
    assert_int_equal(slab_stats().large_bytes, 0);
    /* At most one empty slab of each class is kept. */
    assert_true(slab_stats().bytes_reserved <= 15 * 16384);
    assert_int_equal(frame_stats().free * 4096 + slab_stats().bytes_reserved, free_at_first * 4096);
}

static void exhaustion(void **state)
{
    static void *p[SIZE / 2048];
    unsigned n = 0;
    void *big;

    while ((p[n] = kmalloc(2048)))
        n++;
    assert_true(n > SIZE / 2048 * 8 / 10);
    assert_null(kmalloc(2048));
    assert_null(kmalloc(100000));
    memset(p[0], 7, 2048);
    assert_null(krealloc(p[0], 100000)); /* the old block stays */
    assert_int_equal(((uint8_t *)p[0])[2047], 7);
    while (n)
        kfree(p[--n]);
    big = kmalloc(4 * MiB);
    assert_non_null(big);
    kfree(big);
    assert_null(kmalloc(4 * MiB + 1));
    assert_null(kmalloc(SIZE_MAX));
    kfree(NULL);
    char *s = kstrdup("a word");
    assert_string_equal(s, "a word");
    s = krealloc(s, 3);
    assert_memory_equal(s, "a w", 3);
    kfree(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),
        cmocka_unit_test(exhaustion),
    };
    return cmocka_run_group_tests_name("slab", tests, set_up, NULL);
}
