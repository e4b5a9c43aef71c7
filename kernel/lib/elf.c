/*
 * ELF header checks; see elf.h.
 */
#include "lib/elf.h"

#include "mm/layout.h"

#include <asm/errno.h>
#include <linux/mman.h>

static int fail(struct elf_error *e, int err, const char *reason)
{
    e->err = err;
    e->reason = reason;
    return err;
}

int elf_check_header(const Elf64_Ehdr *h, size_t n, struct elf_error *e)
{
    if (n < EI_NIDENT || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
        return fail(e, -ENOEXEC, "not an ELF file");
    if (h->e_ident[EI_CLASS] != ELFCLASS64)
        return fail(e, -ENOEXEC, "a 32-bit program");
    if (h->e_ident[EI_DATA] != ELFDATA2LSB)
        return fail(e, -ENOEXEC, "a big-endian program");
    if (n < sizeof(*h))
        return fail(e, -ENOEXEC, "a truncated ELF file");
    if (h->e_machine != EM_X86_64)
        return fail(e, -ENOEXEC, "a program for another architecture");
    if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
        return fail(e, -ENOEXEC, "an ELF file, but not a program");
    if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == 0 || h->e_phnum > ELF_MAX_PHDRS)
        return fail(e, -ENOEXEC, "an ELF file with damaged program headers");
    return 0;
}

static int add_segment(const Elf64_Phdr *p, uint64_t file_size, struct elf_image *img,
                       struct elf_error *e)
{
    struct elf_segment *s = &img->segments[img->nr_segments];
    uint64_t end, file_end;

    if (p->p_memsz == 0)
        return 0;
    if (img->nr_segments == ELF_MAX_SEGMENTS)
        return fail(e, -ENOEXEC, "an ELF file with too many segments");
    if (p->p_filesz > p->p_memsz || __builtin_add_overflow(p->p_vaddr, p->p_memsz, &end) ||
        end > USER_MAX || (p->p_vaddr - p->p_offset) & ~PAGE_MASK)
        return fail(e, -ENOEXEC, "an ELF file with a damaged segment");
    if (__builtin_add_overflow(p->p_offset, p->p_filesz, &file_end) || file_end > file_size)
        return fail(e, -ENOEXEC, "a truncated ELF file");
    if (img->nr_segments && ALIGN_DOWN(p->p_vaddr, PAGE_SIZE) < img->high)
        return fail(e, -ENOEXEC, "an ELF file with overlapping or unsorted segments");
    s->vaddr = p->p_vaddr;
    s->memsz = p->p_memsz;
    s->filesz = p->p_filesz;
    s->offset = p->p_offset;
    s->prot = (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
              (p->p_flags & PF_X ? PROT_EXEC : 0);
    if (!img->nr_segments++)
        img->low = ALIGN_DOWN(p->p_vaddr, PAGE_SIZE);
    img->high = ALIGN_UP(end, PAGE_SIZE);
    if (p->p_align > img->align && (p->p_align & (p->p_align - 1)) == 0 && p->p_align <= GiB)
        img->align = p->p_align;
    return 0;
}

int elf_parse(const Elf64_Ehdr *h, const Elf64_Phdr *ph, uint64_t file_size, struct elf_image *img,
              struct elf_error *e)
{
    memset(img, 0, sizeof(*img));
    img->pie = h->e_type == ET_DYN;
    img->entry = h->e_entry;
    img->phnum = h->e_phnum;
    img->align = PAGE_SIZE;
    for (unsigned i = 0; i < h->e_phnum; i++) {
        const Elf64_Phdr *p = &ph[i];
        int r = 0;

        switch (p->p_type) {
        case PT_LOAD:
            r = add_segment(p, file_size, img, e);
            break;
        case PT_INTERP:
            if (p->p_filesz < 2 || p->p_filesz > 4096 || p->p_offset > file_size ||
                p->p_filesz > file_size - p->p_offset)
                return fail(e, -ENOEXEC, "an ELF file with a damaged interpreter name");
            img->interp_offset = p->p_offset;
            img->interp_size = p->p_filesz;
            break;
        case PT_GNU_STACK:
            img->exec_stack = p->p_flags & PF_X;
            break;
        }
        if (r < 0)
            return r;
    }
    if (!img->nr_segments)
        return fail(e, -ENOEXEC, "an ELF file without anything to load");
    if (img->entry >= img->high)
        return fail(e, -ENOEXEC, "an ELF file with a damaged entry point");
    for (unsigned i = 0; i < img->nr_segments; i++) {
        const struct elf_segment *s = &img->segments[i];
        uint64_t size = h->e_phnum * sizeof(Elf64_Phdr);

        if (h->e_phoff >= s->offset && h->e_phoff + size <= s->offset + s->filesz)
            img->phdr_vaddr = s->vaddr + (h->e_phoff - s->offset);
    }
    return 0;
}
