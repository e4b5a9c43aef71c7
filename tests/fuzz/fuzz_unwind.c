// fuzz: kernel/lib/unwind.c kernel/lib/unwind_read.c kernel/lib/unwind_expr.c kernel/lib/elfimage.c
/*
 * Any bytes as a loaded ELF image with its unwind tables and symbols, or as a bare .eh_frame: a
 * trace must end, and read nothing but what it was given.
 *
 * Input: a mode byte (bit 0: bare .eh_frame), 17 register values of 2 bytes each (offsets from
 * the base of the image), then the memory.
 */
#include "lib/elfimage.h"

#include <string.h>

#define BASE   0x400000ul
#define FRAMES 32
#define HEAD   (1 + 2 * UNWIND_REGS)

struct memory {
    const uint8_t *data;
    size_t len;
};

static bool read_memory(void *ctx, virt_t addr, void *buf, size_t n)
{
    const struct memory *m = ctx;
    if (addr < BASE || addr - BASE > m->len || n > m->len - (addr - BASE))
        return false;
    memcpy(buf, m->data + (addr - BASE), n);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD)
        return 0;
    struct memory m = {data + HEAD, size - HEAD};
    struct unwind_memory mem = {read_memory, &m};
    struct unwind_cursor c = {.known = (1u << UNWIND_REGS) - 1, .exact = true};
    struct unwind_tables t = {0, 0, BASE, BASE + m.len};
    struct loaded_image img;
    char name[64];
    uint64_t off;

    for (unsigned i = 0; i < UNWIND_REGS; i++)
        c.reg[i] = BASE + (data[1 + 2 * i] | (uint64_t)data[2 + 2 * i] << 8);
    if (!(data[0] & 1)) {
        if (!elf_image_read(&mem, BASE, &img))
            return 0;
        elf_image_symbol(&mem, &img, c.reg[UNWIND_RIP], name, sizeof(name), &off);
        t = img.tables;
    }
    for (unsigned i = 0; i < FRAMES; i++) {
        if (unwind_step(&mem, &t, &c) != UNWIND_OK)
            break;
    }
    return 0;
}
