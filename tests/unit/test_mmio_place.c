// unit: kernel/drivers/virtio/mmio_place.c kernel/lib/string.c
/*
 * Proves that virtio_mmio.device= is read as Linux reads it, that what makes no sense is refused,
 * and that a device announced twice is one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drivers/virtio/mmio.h"

static void words_of_qemu_and_firecracker(void **s)
{
    struct virtio_mmio_place p;
    (void)s;
    assert_int_equal(virtio_mmio_parse("512@0xfeb00e00:12", &p), 0);
    assert_int_equal(p.size, 512);
    assert_int_equal(p.base, 0xfeb00e00);
    assert_int_equal(p.gsi, 12);
    assert_false(p.level);
    assert_int_equal(virtio_mmio_parse("4K@0xd0000000:5", &p), 0);
    assert_int_equal(p.size, 4096);
    assert_int_equal(virtio_mmio_parse("0x1000@0xd0001000:6:2", &p), 0);
    assert_int_equal(p.gsi, 6);
}

static void nonsense_is_refused(void **s)
{
    static const char *const bad[] = {
        "",
        "512",
        "512@",
        "@0x1000:5",
        "512@0x1000",
        "512@0x1000:",
        "512@0x1000:x",
        "512@0x1000:5:",
        "512@0x1000:5x",
        "512@0x1000:5:1x",
        "512@0:5",
        "16@0x1000:5",
        "512@0x1001:5",
        "512@0x1000:1024",
        "512@0xfffffffffffffff0:5",
        "512@0x1000:99999999999999999999",
    };
    struct virtio_mmio_place p;
    (void)s;
    assert_int_not_equal(virtio_mmio_parse(NULL, &p), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        if (virtio_mmio_parse(bad[i], &p) == 0)
            fail_msg("\"%s\" was taken", bad[i]);
}

static void announced_twice_is_one_device(void **s)
{
    struct virtio_mmio_place p;
    (void)s;
    assert_int_equal(virtio_mmio_parse("4K@0xd0000000:5", &p), 0);
    virtio_mmio_add(&p);
    p.level = true; /* what ACPI says about it */
    virtio_mmio_add(&p);
    assert_int_equal(virtio_mmio_nr_places, 1);
    assert_true(virtio_mmio_places[0].level);
    p.gsi = VIRTIO_MMIO_MAX_GSI + 1;
    p.base++;
    virtio_mmio_add(&p);
    assert_int_equal(virtio_mmio_nr_places, 1);
    p.gsi = 40;
    for (unsigned i = 0; i < 2 * VIRTIO_MMIO_MAX_PLACES; i++) {
        p.base += 0x1000;
        virtio_mmio_add(&p);
    }
    assert_int_equal(virtio_mmio_nr_places, VIRTIO_MMIO_MAX_PLACES);
    assert_int_equal(virtio_mmio_highest_gsi(), 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_qemu_and_firecracker),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(announced_twice_is_one_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
