/*
 * Turns what the boot protocol left in memory into struct boot_info. Runs first of all C
 * code, on the first page tables: only the first GiB is mapped. The data comes from the
 * VMM and is bounds-checked.
 *
 * PVH: xen/include/public/arch-x86/hvm/start_info.h. Linux: Documentation/arch/x86/boot.rst and
 * <asm/bootparam.h>.
 */
#include "arch/x86_64/bootinfo.h"

#include "arch/x86_64/boot.h"
#include "mm/layout.h"

#include <asm/bootparam.h>

#define PVH_MAGIC       0x336ec578u
#define E820_TYPE_RAM   1
#define BOOT_MAPPED     (1 * GiB)

struct pvh_start_info {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr;
    uint64_t memmap_paddr; /* from version 1 */
    uint32_t memmap_entries, reserved;
};

struct pvh_module {
    uint64_t paddr, size, cmdline_paddr, reserved;
};

struct pvh_memmap_entry {
    uint64_t addr, size;
    uint32_t type, reserved;
};

struct boot_info boot_info;

static const void *early_map(uint64_t p, uint64_t n)
{
    return p && p < BOOT_MAPPED && n <= BOOT_MAPPED - p ? phys_to_virt(p) : NULL;
}

static void add_cmdline(uint64_t p)
{
    const char *s = early_map(p, BOOT_CMDLINE_MAX);
    if (s) { /* perhaps unterminated */
        memcpy(boot_info.cmdline, s, sizeof(boot_info.cmdline));
        boot_info.cmdline[sizeof(boot_info.cmdline) - 1] = '\0';
    }
}

/*
 * Keeps the list sorted and free of overlap: what is already there wins, except that reserved
 * regions are added first by the caller and so always win over RAM.
 */
void boot_add_region(struct boot_info *b, uint64_t start, uint64_t size, bool ram)
{
    uint64_t end = size > UINT64_MAX - start ? UINT64_MAX : start + size;
    unsigned i;

    if (ram) {
        start = start > PAGE_MASK ? start : ALIGN_UP(start, PAGE_SIZE);
        end = ALIGN_DOWN(end, PAGE_SIZE);
    } else {
        start = ALIGN_DOWN(start, PAGE_SIZE);
        end = end > PAGE_MASK ? end : ALIGN_UP(end, PAGE_SIZE);
    }
    while (start < end) {
        for (i = 0; i < b->nr_regions && b->regions[i].end <= start; i++)
            ;
        if (i < b->nr_regions && b->regions[i].start <= start) {
            start = b->regions[i].end; /* covered so far */
            continue;
        }
        uint64_t stop = i < b->nr_regions ? MIN(end, b->regions[i].start) : end;
        if (b->nr_regions == BOOT_MAX_REGIONS)
            return;
        memmove(&b->regions[i + 1], &b->regions[i], (b->nr_regions - i) * sizeof(b->regions[0]));
        b->regions[i] = (struct boot_region){start, stop, ram};
        b->nr_regions++;
        start = stop;
    }
}

static int parse_pvh(const struct pvh_start_info *si)
{
    const struct pvh_memmap_entry *map;

    if (!si || si->magic != PVH_MAGIC)
        return -1;
    boot_info.protocol = "pvh";
    boot_info.rsdp = si->rsdp_paddr;
    add_cmdline(si->cmdline_paddr);
    if (si->nr_modules) {
        const struct pvh_module *m = early_map(si->modlist_paddr, sizeof(*m));
        if (m && m->size && m->size <= UINT64_MAX - m->paddr) {
            boot_info.initrd_start = m->paddr;
            boot_info.initrd_end = m->paddr + m->size;
        }
    }
    map = si->version >= 1 ? early_map(si->memmap_paddr, si->memmap_entries * sizeof(*map)) : NULL;
    for (int ram = 0; map && ram < 2; ram++)
        for (uint32_t i = 0; i < si->memmap_entries; i++)
            if (map[i].size && (map[i].type == E820_TYPE_RAM) == ram)
                boot_add_region(&boot_info, map[i].addr, map[i].size, ram);
    return map ? 0 : -1;
}

static int parse_linux(const struct boot_params *bp)
{
    uint64_t rd, rd_size;

    if (!bp)
        return -1;
    boot_info.protocol = "linux64";
    boot_info.rsdp = bp->acpi_rsdp_addr;
    add_cmdline(bp->hdr.cmd_line_ptr | (uint64_t)bp->ext_cmd_line_ptr << 32);
    rd = bp->hdr.ramdisk_image | (uint64_t)bp->ext_ramdisk_image << 32;
    rd_size = bp->hdr.ramdisk_size | (uint64_t)bp->ext_ramdisk_size << 32;
    if (rd && rd_size && rd_size <= UINT64_MAX - rd) {
        boot_info.initrd_start = rd;
        boot_info.initrd_end = rd + rd_size;
    }
    unsigned n = MIN(bp->e820_entries, (uint8_t)E820_MAX_ENTRIES_ZEROPAGE);
    for (int ram = 0; ram < 2; ram++)
        for (unsigned i = 0; i < n; i++)
            if (bp->e820_table[i].size && (bp->e820_table[i].type == E820_TYPE_RAM) == ram)
                boot_add_region(&boot_info, bp->e820_table[i].addr, bp->e820_table[i].size, ram);
    return n ? 0 : -1;
}

int boot_parse(unsigned protocol, uint64_t info)
{
    if (protocol == BOOT_PROTOCOL_PVH)
        return parse_pvh(early_map(info, sizeof(struct pvh_start_info)));
    return parse_linux(early_map(info, sizeof(struct boot_params)));
}
