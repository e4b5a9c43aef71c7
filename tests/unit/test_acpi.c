// unit: kernel/drivers/acpi/tables.c kernel/drivers/acpi/aml.c
/*
 * Proves that what Wherry needs is found in QEMU's own tables (tests/fuzz/corpus/acpi, taken from a
 * running machine) and in AML as Firecracker and Cloud Hypervisor write it; and that damaged tables
 * are refused without a trace of them in the result.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/acpi/acpi.h"

#define CORPUS  "tests/fuzz/corpus/acpi/"
#define RSDP_AT 16

static uint8_t image[65536];
static size_t image_size;

static const void *map(phys_t p, size_t len)
{
    return p <= image_size && len <= image_size - p ? image + p : NULL;
}

static void load(const char *name)
{
    FILE *f = fopen(name, "rb");
    if (!f)
        fail_msg("%s is missing (run from the top folder)", name);
    assert_int_equal(fgetc(f), 0); /* the fuzzer's mode byte */
    image_size = fread(image, 1, sizeof(image), f);
    fclose(f);
}

static struct acpi_info parse(const char *name)
{
    struct acpi_info info = {0};
    load(name);
    assert_int_equal(acpi_parse(&info, map, RSDP_AT), 0);
    assert_int_equal(info.bad_tables, 0);
    assert_true(info.fadt);
    assert_true(info.s5);
    return info;
}

static void qemu_microvm(void **s)
{
    struct acpi_info i = parse(CORPUS "microvm");
    (void)s;
    assert_true(i.hw_reduced);
    assert_int_equal(i.s5_type_a, 5);
    assert_int_equal(i.sleep_control.space, ACPI_SPACE_MEMORY);
    assert_int_equal(i.sleep_control.address, 0xfea00200);
    assert_int_equal(i.reset.address, 0xfea00202);
    assert_int_equal(i.reset_value, 0x42);
    assert_int_equal(i.nr_ioapics, 2);
    assert_int_equal(i.ioapics[0].base, 0xfec00000);
    assert_int_equal(i.ioapics[1].first_gsi, 24);
    assert_int_equal(i.nr_virtio, 2);
    for (unsigned k = 0; k < 2; k++) {
        assert_int_equal(i.virtio[k].base & 0xfffff000, 0xfeb02000);
        assert_int_equal(i.virtio[k].size, 512);
        assert_true(i.virtio[k].level);
        assert_false(i.virtio[k].active_low);
        assert_in_range(i.virtio[k].gsi, 24, 47);
    }
    assert_int_equal(i.nr_ecam, 0);
}

static void qemu_q35(void **s)
{
    struct acpi_info i = parse(CORPUS "q35");
    (void)s;
    assert_false(i.hw_reduced);
    assert_int_equal(i.s5_type_a, 0);
    assert_int_equal(i.pm1a_cnt, 0x604);
    assert_int_equal(i.century_register, 0x32);
    assert_int_equal(i.reset.space, ACPI_SPACE_IO);
    assert_int_equal(i.reset.address, 0xcf9);
    assert_int_equal(i.nr_ecam, 1);
    assert_int_equal(i.ecam[0].base, 0xb0000000);
    assert_int_equal(i.ecam[0].last_bus, 255);
    /* The bridge's windows: below the ECAM area (from the end of RAM), and above it. */
    assert_true(i.pci_window >= 0x10000000);
    assert_true(i.pci_window_size >= 0x10000000);
    assert_true(i.pci_window + i.pci_window_size <= 0xfec00000);
    assert_int_equal(i.nr_ioapics, 1);
    assert_int_equal(i.nr_virtio, 0);
}

static void qemu_pc(void **s)
{
    struct acpi_info i = parse(CORPUS "pc");
    bool irq0 = false;
    (void)s;
    assert_int_equal(i.pm1a_cnt, 0x604);
    assert_int_equal(i.reset.address, 0);
    for (unsigned k = 0; k < i.nr_overrides; k++) {
        if (i.overrides[k].irq == 0 && i.overrides[k].gsi == 2)
            irq0 = true;
        if (i.overrides[k].irq == 11)
            assert_true(i.overrides[k].level && !i.overrides[k].active_low);
    }
    assert_true(irq0);
}

/* QEMU's microvm with PCI has no MCFG: the bridge itself tells where configuration space is. */
static void qemu_microvm_pcie(void **s)
{
    struct acpi_info i = parse(CORPUS "microvm-pcie");
    (void)s;
    assert_int_equal(i.nr_ecam, 0);
    assert_int_equal(i.pci_root_ecam, 0xe0000000);
    assert_int_equal(i.pci_window, 0xc0000000);
    assert_int_equal(i.pci_window_size, 0x20000000);
}

static struct acpi_info parse_aml(const void *p, size_t n)
{
    struct acpi_info info = {0};
    uint8_t *exact = malloc(n); /* ASan sees a byte too far */
    memcpy(exact, p, n);
    acpi_parse_aml(&info, exact, n);
    free(exact);
    return info;
}

/* As Firecracker's acpi_tables crate writes it: Scope(_SB_) { Device(V005) {...} }. */
static const uint8_t firecracker[] =
    "\x10\x4a\x04_SB_"                                 /* Scope, 0x4a bytes */
    "\x5b\x82\x42\x04V005"                             /* Device, 0x42 */
    "\x08_HID\x0dLNRO0005\x00"                         /* Name */
    "\x08_UID\x0a\x05"                                 /* Name */
    "\x08_CCA\x01"                                     /* Name */
    "\x08_CRS\x11\x1a\x0a\x17"                         /* Name, Buffer (0x17) */
    "\x86\x09\x00\x01\x00\x10\x00\xc0\x00\x10\x00\x00" /* Memory32Fixed 0xc0001000, 0x1000 */
    "\x89\x06\x00\x03\x01\x05\x00\x00\x00"             /* Interrupt: edge, active high, 5 */
    "\x79\x00"
    "\x5b\x82\x04XYZ_"; /* what does not fit is no object */

static void firecracker_device(void **s)
{
    struct acpi_info i = parse_aml(firecracker, sizeof(firecracker) - 1);
    (void)s;
    assert_int_equal(i.nr_virtio, 1);
    assert_int_equal(i.virtio[0].base, 0xc0001000);
    assert_int_equal(i.virtio[0].size, 0x1000);
    assert_int_equal(i.virtio[0].gsi, 5);
    assert_false(i.virtio[0].level);
    assert_false(i.virtio[0].active_low);
}

static void every_truncation_is_survived(void **s)
{
    (void)s;
    for (size_t n = 1; n < sizeof(firecracker); n++)
        (void)parse_aml(firecracker, n);
    for (size_t n = 0; n < 900; n++) {
        struct acpi_info info = {0};
        load(CORPUS "microvm");
        image_size = n;
        (void)acpi_parse(&info, map, RSDP_AT);
    }
}

static void sleep_type_packages(void **s)
{
    static const uint8_t root[] = "\x08\\_S5_\x12\x08\x04\x0a\x05\x0a\x03\x00\x00";
    static const uint8_t one[] = "\x08_S5_\x12\x04\x01\x0a\x07"; /* Cloud Hypervisor's form */
    static const uint8_t big[] = "\x08_S5_\x12\x06\x01\x0b\x00\x01\x00"; /* no sleep type */
    (void)s;
    struct acpi_info i = parse_aml(root, sizeof(root) - 1);
    assert_true(i.s5);
    assert_int_equal(i.s5_type_a, 5);
    assert_int_equal(i.s5_type_b, 3);
    i = parse_aml(one, sizeof(one) - 1);
    assert_true(i.s5);
    assert_int_equal(i.s5_type_a, 7);
    assert_false(parse_aml(big, sizeof(big) - 1).s5);
}

static void names_in_methods_do_not_count(void **s)
{
    static const uint8_t method[] = "\x14\x12_FOO\x00\x08_S5_\x12\x06\x04\x0a\x05\x00\x00";
    (void)s;
    assert_false(parse_aml(method, sizeof(method) - 1).s5);
}

static void deep_nesting_ends(void **s)
{
    uint8_t aml[4096];
    (void)s;
    /* Scopes within scopes, each with a package length that reaches the end. */
    for (size_t at = 0; at + 8 <= sizeof(aml); at += 8) {
        size_t len = sizeof(aml) - at - 1;
        aml[at] = 0x10;
        aml[at + 1] = (uint8_t)(0x80 | (len & 15));
        aml[at + 2] = (uint8_t)(len >> 4);
        aml[at + 3] = (uint8_t)(len >> 12);
        memcpy(aml + at + 4, "DEEP", 4);
    }
    (void)parse_aml(aml, sizeof(aml));
}

static void damaged_tables_are_refused(void **s)
{
    struct acpi_info info = {0};
    (void)s;
    load(CORPUS "q35");
    image[RSDP_AT + 9] ^= 1;
    assert_int_equal(acpi_parse(&info, map, RSDP_AT), -22);
    /* Any byte of a table changed: the table is left out, the others count. */
    load(CORPUS "q35");
    uint8_t *madt = memmem(image, image_size, "APIC", 4);
    assert_non_null(madt);
    madt[50] ^= 1;
    memset(&info, 0, sizeof(info));
    assert_int_equal(acpi_parse(&info, map, RSDP_AT), 0);
    assert_int_equal(info.bad_tables, 1);
    assert_int_equal(info.nr_ioapics, 0);
    assert_int_equal(info.nr_ecam, 1);
}

static void rsdp_is_found_by_scan(void **s)
{
    (void)s;
    load(CORPUS "pc");
    assert_int_equal(acpi_scan_rsdp(image, image_size), RSDP_AT);
    assert_int_equal(acpi_scan_rsdp(image, RSDP_AT + 19), -1);
    assert_int_equal(acpi_scan_rsdp(image + 8, image_size - 8), -1); /* not on a boundary */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qemu_microvm),
        cmocka_unit_test(qemu_q35),
        cmocka_unit_test(qemu_pc),
        cmocka_unit_test(qemu_microvm_pcie),
        cmocka_unit_test(firecracker_device),
        cmocka_unit_test(every_truncation_is_survived),
        cmocka_unit_test(sleep_type_packages),
        cmocka_unit_test(names_in_methods_do_not_count),
        cmocka_unit_test(deep_nesting_ends),
        cmocka_unit_test(damaged_tables_are_refused),
        cmocka_unit_test(rsdp_is_found_by_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
