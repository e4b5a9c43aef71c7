// unit: kernel/lib/base.h
/* The boot memory map: whatever a VMM says, the list is sorted, free of overlap, and right. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/bootinfo.c"

static uint64_t seed = 88172645463325252ull;

static unsigned below(unsigned n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

static void check(const struct boot_info *b)
{
    for (unsigned i = 0; i < b->nr_regions; i++) {
        const struct boot_region *r = &b->regions[i];
        assert_true(r->start < r->end);
        if (r->ram)
            assert_int_equal((r->start | r->end) & ~PAGE_MASK, 0);
        if (i)
            assert_true(b->regions[i - 1].end <= r->start);
    }
}

/* Against a map of pages: reserved wins, then the first. */
static void random_maps(void **state)
{
    enum { PAGES = 400 };
    static struct boot_info b;
    uint8_t map[PAGES];

    for (unsigned k = 0; k < 60000; k++) {
        unsigned n = below(12);

        memset(&b, 0, sizeof(b));
        memset(map, 0, sizeof(map));
        for (int ram = 0; ram < 2; ram++)
            for (unsigned i = 0; i < n; i++) {
                uint64_t start = below(PAGES * 4096), size = below(4) ? below(300000) : 0;
                uint64_t first, last;

                if (start + size > PAGES * 4096)
                    size = PAGES * 4096 - start;
                boot_add_region(&b, start, size, ram);
                first = ram ? (start + 4095) / 4096 : start / 4096;
                last = ram ? (start + size) / 4096 : (start + size + 4095) / 4096;
                if (!size && !ram && start % 4096 == 0)
                    last = first;
                for (; first < last; first++)
                    if (!map[first])
                        map[first] = 1 + ram;
            }
        check(&b);
        if (b.nr_regions == BOOT_MAX_REGIONS)
            continue;
        for (unsigned i = 0; i < b.nr_regions; i++)
            for (uint64_t p = b.regions[i].start / 4096; p < b.regions[i].end / 4096; p++) {
                assert_int_equal(map[p], 1 + b.regions[i].ram);
                map[p] = 0;
            }
        for (unsigned p = 0; p < PAGES; p++)
            assert_int_equal(map[p], 0);
    }
}

static void extremes(void **state)
{
    static struct boot_info b;

    memset(&b, 0, sizeof(b));
    boot_add_region(&b, UINT64_MAX - 5, 100, false); /* would wrap around */
    boot_add_region(&b, UINT64_MAX - 5, UINT64_MAX, true);
    boot_add_region(&b, UINT64_MAX, UINT64_MAX, true);
    boot_add_region(&b, 0x1000, UINT64_MAX, true);
    boot_add_region(&b, 5, 0, true);
    boot_add_region(&b, 0x2001, 0x100, true); /* not a whole page */
    check(&b);
    assert_int_equal(b.nr_regions, 2);
    assert_int_equal(b.regions[0].start, 0x1000);
    memset(&b, 0, sizeof(b));
    for (unsigned i = 0; i < 200; i++)
        boot_add_region(&b, i * 0x2000ull, 0x1000, true);
    assert_int_equal(b.nr_regions, BOOT_MAX_REGIONS);
    check(&b);
    boot_add_region(&b, 0, UINT64_MAX, false); /* fits nowhere any more */
    check(&b);
}

/* Both protocols, with good and with hostile pointers, in a memory that ends. */
#define MEMORY (1 * MiB)

static uint8_t *memory;

static int fresh_memory(void **state)
{
    memory = calloc(1, MEMORY);
    host_direct_base = (uintptr_t)memory;
    memset(&boot_info, 0, sizeof(boot_info));
    return 0;
}

static int free_memory(void **state)
{
    free(memory);
    return 0;
}

static void pvh(void **state)
{
    struct pvh_start_info *si = (void *)(memory + 0x6000);
    struct pvh_memmap_entry *map = (void *)(memory + 0x7000);
    struct pvh_module *m = (void *)(memory + 0x8000);

    *si = (struct pvh_start_info){.magic = PVH_MAGIC,
                                  .version = 1,
                                  .nr_modules = 1,
                                  .modlist_paddr = 0x8000,
                                  .cmdline_paddr = 0x9000,
                                  .rsdp_paddr = 0xe0000,
                                  .memmap_paddr = 0x7000,
                                  .memmap_entries = 3};
    map[0] = (struct pvh_memmap_entry){0x100000, 0x7f00000, 1, 0};
    map[1] = (struct pvh_memmap_entry){0, 0x9fc00, 1, 0};
    map[2] = (struct pvh_memmap_entry){0xe8000, 0x18000, 2, 0};
    *m = (struct pvh_module){0x200000, 5000, 0, 0};
    strcpy((char *)memory + 0x9000, "init=/x");
    assert_int_equal(boot_parse(BOOT_PROTOCOL_PVH, 0x6000), 0);
    assert_string_equal(boot_info.protocol, "pvh");
    assert_string_equal(boot_info.cmdline, "init=/x");
    assert_int_equal(boot_info.initrd_start, 0x200000);
    assert_int_equal(boot_info.initrd_end, 0x200000 + 5000);
    assert_int_equal(boot_info.rsdp, 0xe0000);
    assert_int_equal(boot_info.nr_regions, 3);
    check(&boot_info);
    memset(memory + 0x9000, 'x', BOOT_CMDLINE_MAX + 100); /* no end */
    assert_int_equal(boot_parse(BOOT_PROTOCOL_PVH, 0x6000), 0);
    assert_int_equal(strlen(boot_info.cmdline), BOOT_CMDLINE_MAX - 1);
    si->memmap_paddr = 0xffffffffffff0000ull;
    assert_int_equal(boot_parse(BOOT_PROTOCOL_PVH, 0x6000), -1);
    si->memmap_paddr = 0x7000;
    si->modlist_paddr = si->cmdline_paddr = UINT64_MAX;
    assert_int_equal(boot_parse(BOOT_PROTOCOL_PVH, 0x6000), 0);
    si->magic++;
    assert_int_equal(boot_parse(BOOT_PROTOCOL_PVH, 0x6000), -1);
    assert_int_equal(boot_parse(BOOT_PROTOCOL_PVH, 0), -1);
    assert_int_equal(boot_parse(BOOT_PROTOCOL_PVH, UINT64_MAX - 8), -1);
}

static void linux64(void **state)
{
    struct boot_params *bp = (void *)(memory + 0x7000);

    bp->e820_entries = 2;
    bp->e820_table[0].addr = 0x100000;
    bp->e820_table[0].size = 0x4000000;
    bp->e820_table[0].type = 1;
    bp->e820_table[1].addr = 0;
    bp->e820_table[1].size = 0x9f000;
    bp->e820_table[1].type = 1;
    bp->hdr.cmd_line_ptr = 0x20000;
    bp->hdr.ramdisk_image = 0x300000;
    bp->hdr.ramdisk_size = 1234;
    strcpy((char *)memory + 0x20000, "console=ttyS0");
    assert_int_equal(boot_parse(BOOT_PROTOCOL_LINUX, 0x7000), 0);
    assert_string_equal(boot_info.cmdline, "console=ttyS0");
    assert_int_equal(boot_info.initrd_end, 0x300000 + 1234);
    assert_int_equal(boot_info.nr_regions, 2);
    bp->e820_entries = 255; /* more than the table has */
    assert_int_equal(boot_parse(BOOT_PROTOCOL_LINUX, 0x7000), 0);
    check(&boot_info);
    bp->e820_entries = 0;
    assert_int_equal(boot_parse(BOOT_PROTOCOL_LINUX, 0x7000), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_maps),
        cmocka_unit_test(extremes),
        cmocka_unit_test_setup_teardown(pvh, fresh_memory, free_memory),
        cmocka_unit_test_setup_teardown(linux64, fresh_memory, free_memory),
    };
    return cmocka_run_group_tests_name("bootinfo", tests, NULL, NULL);
}
