/*
 * See image.h. System V gABI ch. 5 (dynamic section, relocations), x86-64 psABI §4.4.
 */
#include "guide/image.h"

#include "lib/elfimage.h"
#include "mm/layout.h"

#include <asm/errno.h>

#ifndef R_X86_64_64
#define R_X86_64_64 1
#endif
#ifndef R_X86_64_GLOB_DAT
#define R_X86_64_GLOB_DAT 6
#endif
#ifndef R_X86_64_JUMP_SLOT
#define R_X86_64_JUMP_SLOT 7
#endif
#ifndef R_X86_64_RELATIVE
#define R_X86_64_RELATIVE 8
#endif
#ifndef DT_JMPREL
#define DT_JMPREL 23
#endif
#ifndef DT_PLTRELSZ
#define DT_PLTRELSZ 2
#endif

struct layout {
    uint8_t *base;
    uint64_t size, low; /* low: the lowest address of the file's own */
    struct loaded_image symbols;
    guide_resolver *resolve;
    struct elf_error *e;
};

static int fail(struct elf_error *e, const char *reason)
{
    e->err = -ENOEXEC;
    e->reason = reason;
    return -ENOEXEC;
}

int guide_image_check(const uint8_t *file, size_t n, struct elf_image *img, struct elf_error *e)
{
    Elf64_Ehdr h;
    uint64_t end;
    int r;

    if (n < sizeof(h))
        return fail(e, "a truncated ELF file");
    memcpy(&h, file, sizeof(h));
    r = elf_check_header(&h, n, e);
    if (r < 0)
        return r;
    if (h.e_type != ET_DYN)
        return fail(e, "not a shared object");
    if (__builtin_add_overflow(h.e_phoff, h.e_phnum * sizeof(Elf64_Phdr), &end) || end > n ||
        h.e_phoff % 8 != 0)
        return fail(e, "an ELF file with damaged program headers");
    r = elf_parse(&h, (const Elf64_Phdr *)(file + h.e_phoff), n, img, e);
    if (r < 0)
        return r;
    if (img->high - img->low > GUIDE_IMAGE_MAX)
        return fail(e, "too large");
    return 0;
}

static bool inside(const struct layout *l, uint64_t vaddr, uint64_t n)
{
    return vaddr >= l->low && vaddr - l->low <= l->size && n <= l->size - (vaddr - l->low);
}

static uint8_t *place(const struct layout *l, uint64_t vaddr)
{
    return l->base + (vaddr - l->low);
}

static bool read_image(void *ctx, virt_t addr, void *buf, size_t n)
{
    const struct layout *l = ctx;
    uint64_t off = addr - (virt_t)l->base;

    if (off > l->size || n > l->size - off)
        return false;
    memcpy(buf, l->base + off, n);
    return true;
}

/* What a symbol of the relocations stands for; 0: nothing. */
static uint64_t bind(struct layout *l, uint32_t index)
{
    const struct loaded_image *img = &l->symbols;
    struct unwind_memory mem = {read_image, l};
    char name[64];
    Elf64_Sym sym;

    if (index >= img->nr_syms ||
        !read_image(l, img->symtab + index * sizeof(sym), &sym, sizeof(sym)))
        return 0;
    if (sym.st_shndx != SHN_UNDEF)
        return inside(l, sym.st_value, 1) ? (uint64_t)place(l, sym.st_value) : 0;
    if (!elf_image_name(&mem, img, &sym, name, sizeof(name)))
        return 0;
    return l->resolve(name);
}

static int relocate(struct layout *l, uint64_t at, uint64_t size)
{
    if (size == 0)
        return 0;
    if (!inside(l, at, size))
        return fail(l->e, "an ELF file with damaged relocations");
    for (uint64_t i = 0; i + sizeof(Elf64_Rela) <= size; i += sizeof(Elf64_Rela)) {
        uint64_t value;
        Elf64_Rela r;

        memcpy(&r, place(l, at + i), sizeof(r));
        if (!inside(l, r.r_offset, sizeof(value)))
            return fail(l->e, "an ELF file with damaged relocations");
        switch (ELF64_R_TYPE(r.r_info)) {
        case R_X86_64_RELATIVE:
            value = (uint64_t)l->base - l->low + (uint64_t)r.r_addend;
            break;
        case R_X86_64_64:
        case R_X86_64_GLOB_DAT:
        case R_X86_64_JUMP_SLOT:
            value = bind(l, ELF64_R_SYM(r.r_info));
            if (value == 0)
                return fail(l->e, "it needs a function that guides do not have");
            if (ELF64_R_TYPE(r.r_info) == R_X86_64_64)
                value += (uint64_t)r.r_addend;
            break;
        default:
            return fail(l->e, "a relocation that guides do not have");
        }
        memcpy(place(l, r.r_offset), &value, sizeof(value));
    }
    return 0;
}

static int relocate_all(struct layout *l, const uint8_t *file, size_t n)
{
    uint64_t rela = 0, rela_size = 0, plt = 0, plt_size = 0, at = 0, size = 0;
    Elf64_Ehdr h;
    Elf64_Phdr ph;
    Elf64_Dyn d;
    int r;

    memcpy(&h, file, sizeof(h));
    for (unsigned i = 0; i < h.e_phnum; i++) {
        memcpy(&ph, file + h.e_phoff + i * sizeof(ph), sizeof(ph));
        if (ph.p_type == PT_DYNAMIC) {
            at = ph.p_vaddr;
            size = ph.p_memsz;
        }
    }
    if (size == 0 || !inside(l, at, size))
        return fail(l->e, "an ELF file without a dynamic section");
    for (uint64_t i = 0; i + sizeof(d) <= size; i += sizeof(d)) {
        memcpy(&d, place(l, at + i), sizeof(d));
        if (d.d_tag == DT_NULL)
            break;
        if (d.d_tag == DT_RELA)
            rela = d.d_un.d_val;
        else if (d.d_tag == DT_RELASZ)
            rela_size = d.d_un.d_val;
        else if (d.d_tag == DT_JMPREL)
            plt = d.d_un.d_val;
        else if (d.d_tag == DT_PLTRELSZ)
            plt_size = d.d_un.d_val;
    }
    r = relocate(l, rela, rela_size);
    return r < 0 ? r : relocate(l, plt, plt_size);
}

int guide_image_load(const uint8_t *file, size_t n, const struct elf_image *img, uint8_t *to,
                     guide_resolver *resolve, const char *wanted, size_t size, uint64_t *symbol,
                     struct elf_error *e)
{
    struct layout l = {
        .base = to, .size = img->high - img->low, .low = img->low, .resolve = resolve, .e = e};
    struct unwind_memory mem = {read_image, &l};
    uint64_t value;
    int r;

    for (unsigned i = 0; i < img->nr_segments; i++) {
        const struct elf_segment *s = &img->segments[i];

        memcpy(place(&l, s->vaddr), file + s->offset, s->filesz);
    }
    if (!elf_image_read(&mem, (virt_t)to, &l.symbols))
        return fail(e, "an ELF file with damaged headers");
    r = relocate_all(&l, file, n);
    if (r < 0)
        return r;
    if (!elf_image_lookup(&mem, &l.symbols, wanted, &value) || !inside(&l, value, size))
        return fail(e, "it does not define wherry_guide");
    *symbol = (uint64_t)place(&l, value);
    return 0;
}
