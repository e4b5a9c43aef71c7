/*
 * From the boot memory map to a working allocator: decides where each range's frame
 * array goes, keeps the kernel image and the initrd out of the free memory, and makes the
 * final page tables. Called once by kernel_main().
 */
#include "mm/meminit.h"

#include "arch/x86_64/boot.h"
#include "arch/x86_64/paging.h"
#include "mm/frame.h"

#define LOW_END        (1 * MiB) /* firmware and boot data live below; not worth the trouble */
#define BOOT_MAPPED    (1 * GiB) /* what the first page tables map */
#define MAX_HOLES      (FRAME_MAX_RANGES + 2)

extern char __image_start[], __image_end[];

/* Stretches of RAM that are not free, sorted. */
static struct {
    phys_t start, end;
} holes[MAX_HOLES];
static unsigned nr_holes;

static void add_hole(phys_t start, phys_t end)
{
    unsigned i = nr_holes++;

    assert(nr_holes <= MAX_HOLES);
    for (; i > 0 && holes[i - 1].start > start; i--)
        holes[i] = holes[i - 1];
    holes[i].start = ALIGN_DOWN(start, PAGE_SIZE);
    holes[i].end = ALIGN_UP(end, PAGE_SIZE);
}

/* The lowest place in [from, to) with size bytes outside all holes, 0 if none. */
static phys_t find_room(phys_t from, phys_t to, size_t size)
{
    for (unsigned i = 0; i < nr_holes; i++)
        if (holes[i].start < from + size && holes[i].end > from)
            from = holes[i].end;
    return from + size <= to ? from : 0;
}

static void release_between(phys_t from, phys_t to)
{
    for (unsigned i = 0; i < nr_holes && from < to; i++) {
        if (holes[i].end <= from || holes[i].start >= to)
            continue;
        if (holes[i].start > from)
            frame_release_area(from, holes[i].start);
        from = holes[i].end;
    }
    if (from < to)
        frame_release_area(from, to);
}

static void each_range(bool low)
{
    for (unsigned i = 0; i < boot_info.nr_regions; i++) {
        const struct boot_region *r = &boot_info.regions[i];
        if (!r->ram || r->end <= LOW_END)
            continue;
        phys_t from = MAX(r->start, low ? LOW_END : BOOT_MAPPED);
        phys_t to = low ? MIN(r->end, BOOT_MAPPED) : r->end;
        if (from < to)
            release_between(from, to);
    }
}

void memory_init(void)
{
    unsigned added = 0;

    add_hole(virt_to_phys(__image_start), virt_to_phys(__image_end));
    if (boot_info.initrd_end)
        add_hole(boot_info.initrd_start, boot_info.initrd_end);

    for (unsigned i = 0; i < boot_info.nr_regions && added < FRAME_MAX_RANGES; i++) {
        const struct boot_region *r = &boot_info.regions[i];
        phys_t start = MAX(r->start, LOW_END), array;
        size_t size;

        if (!r->ram || start >= r->end || r->end - start < 64 * PAGE_SIZE)
            continue;
        size = frame_array_size(start, r->end);
        array = find_room(start, r->end, size);
        if (!array || array + size > BOOT_MAPPED) {
            /* Above the mapped part: the array of a high range lives in the first one. */
            array = find_room(LOW_END, MIN(boot_info.regions[i].end, BOOT_MAPPED), size);
            for (unsigned j = 0; j < boot_info.nr_regions && array; j++)
                if (boot_info.regions[j].ram && boot_info.regions[j].start <= array &&
                    array < boot_info.regions[j].end && array + size > boot_info.regions[j].end)
                    array = 0;
        }
        if (!array)
            panic("no room for the frame array of %#lx-%#lx: too little memory", start, r->end);
        add_hole(array, array + size);
        if (frame_add_range(start, r->end, phys_to_virt(array)) < 0)
            panic("cannot add memory %#lx-%#lx", start, r->end);
        added++;
    }
    if (!added)
        panic("no usable memory in the boot protocol's map");
    each_range(true);
    paging_init();
    each_range(false);
}
