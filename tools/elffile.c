/* See elffile.h. */
#define _GNU_SOURCE
#include "elffile.h"

#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>

/* Xen's public/elfnote.h. */
#define XEN_ELFNOTE_GUEST_OS     6
#define XEN_ELFNOTE_PHYS32_ENTRY 18

struct image {
    const char *bytes;
    size_t size;
    Elf *elf;
    size_t nr_phdrs;
};

static bool in_file(const struct image *m, uint64_t offset, uint64_t size)
{
    return offset <= m->size && size <= m->size - offset;
}

/* The file offset of a virtual address, or SIZE_MAX. */
static size_t file_offset(const struct image *m, uint64_t vaddr)
{
    GElf_Phdr ph;

    for (size_t i = 0; i < m->nr_phdrs; i++) {
        if (!gelf_getphdr(m->elf, i, &ph) || ph.p_type != PT_LOAD)
            continue;
        if (vaddr >= ph.p_vaddr && vaddr - ph.p_vaddr < ph.p_filesz) {
            uint64_t o = ph.p_offset + (vaddr - ph.p_vaddr);
            return in_file(m, o, 1) ? o : SIZE_MAX;
        }
    }
    return SIZE_MAX;
}

/* A terminated string in the file, or NULL. */
static const char *string_at(const struct image *m, size_t offset)
{
    if (!in_file(m, offset, 1) || !memchr(m->bytes + offset, '\0', m->size - offset))
        return NULL;
    return m->bytes + offset;
}

static char *table_string(const struct image *m, size_t table, uint64_t index)
{
    const char *s = table != SIZE_MAX && index < m->size && table < m->size
                        ? string_at(m, table + index)
                        : NULL;

    return s && *s ? xstrdup(s) : NULL;
}

static bool read_dynamic(const struct image *m, const GElf_Phdr *ph, struct elf_file *f,
                         struct why *w)
{
    Elf_Data *data;
    GElf_Dyn d;
    size_t table = SIZE_MAX, n;

    if (!in_file(m, ph->p_offset, ph->p_filesz) ||
        !(data = elf_getdata_rawchunk(m->elf, ph->p_offset, ph->p_filesz, ELF_T_DYN)))
        return because(w, "its dynamic section is outside the file");
    n = data->d_size / sizeof(Elf64_Dyn);
    for (size_t i = 0; i < n && gelf_getdyn(data, i, &d) && d.d_tag != DT_NULL; i++)
        if (d.d_tag == DT_STRTAB)
            table = file_offset(m, d.d_un.d_ptr);
    for (size_t i = 0; i < n && gelf_getdyn(data, i, &d) && d.d_tag != DT_NULL; i++) {
        char *s, **to;
        switch (d.d_tag) {
        case DT_NEEDED:
            s = table_string(m, table, d.d_un.d_val);
            if (!s)
                return because(w, "a library's name is outside the file");
            words_add(&f->needed, s);
            free(s);
            continue;
        case DT_SONAME:
            to = &f->soname;
            break;
        case DT_RPATH:
            to = &f->rpath;
            break;
        case DT_RUNPATH:
            to = &f->runpath;
            break;
        default:
            continue;
        }
        free(*to);
        *to = table_string(m, table, d.d_un.d_val);
    }
    f->dynamic = true;
    return true;
}

static void read_notes(const struct image *m, const GElf_Phdr *ph, struct elf_file *f)
{
    GElf_Nhdr nh;
    size_t name, desc, next, at = 0;
    Elf_Data *data;

    if (!in_file(m, ph->p_offset, ph->p_filesz) ||
        !(data = elf_getdata_rawchunk(m->elf, ph->p_offset, ph->p_filesz, ELF_T_NHDR)))
        return;
    while ((next = gelf_getnote(data, at, &nh, &name, &desc)) > 0) {
        const char *bytes = data->d_buf;
        if (nh.n_namesz == 4 && memcmp(bytes + name, "Xen", 4) == 0) {
            if (nh.n_type == XEN_ELFNOTE_PHYS32_ENTRY)
                f->pvh = true;
            if (nh.n_type == XEN_ELFNOTE_GUEST_OS && nh.n_descsz >= 5 &&
                memcmp(bytes + desc, "linux", 5) == 0)
                f->linux_kernel = true;
        }
        at = next;
    }
}

static const char *machine_name(unsigned machine)
{
    static const struct {
        unsigned machine;
        const char *name;
    } names[] = {{EM_386, "32-bit x86"}, {EM_AARCH64, "64-bit ARM"}, {EM_ARM, "32-bit ARM"},
                 {EM_RISCV, "RISC-V"},   {EM_PPC64, "POWER"},        {EM_S390, "IBM Z"},
                 {EM_MIPS, "MIPS"}};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (names[i].machine == machine)
            return names[i].name;
    return NULL;
}

static bool check_header(const struct image *m, struct elf_file *f, struct why *w)
{
    GElf_Ehdr eh;

    if (!gelf_getehdr(m->elf, &eh))
        return because(w, "its ELF header is damaged");
    if (eh.e_machine != EM_X86_64) {
        const char *name = machine_name(eh.e_machine);
        if (name)
            return because(w, "is a program for %s, and guests are 64-bit x86", name);
        return because(w, "is a program for ELF machine %u, and guests are 64-bit x86",
                       eh.e_machine);
    }
    if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB)
        return because(w, "is a 32-bit ELF file (the x32 ABI is not supported)");
    if (eh.e_type == ET_REL)
        return because(w, "is an object file, not a linked program");
    if (eh.e_type == ET_CORE)
        return because(w, "is a core dump, not a program");
    if (eh.e_type != ET_EXEC && eh.e_type != ET_DYN)
        return because(w, "is an ELF file of unknown type %u", eh.e_type);
    f->shared = eh.e_type == ET_DYN;
    return true;
}

static bool read_segments(struct image *m, struct elf_file *f, struct why *w)
{
    GElf_Phdr ph;
    bool load = false;
    const Elf64_Ehdr *eh = elf64_getehdr(m->elf);

    /* libelf shows a table that is cut off as an empty one. */
    if (eh && eh->e_phnum && !in_file(m, eh->e_phoff, (uint64_t)eh->e_phnum * sizeof(Elf64_Phdr)))
        return because(w, "is truncated: its program headers are outside the file");
    if (elf_getphdrnum(m->elf, &m->nr_phdrs) < 0)
        return because(w, "its program headers are damaged");
    for (size_t i = 0; i < m->nr_phdrs; i++) {
        if (!gelf_getphdr(m->elf, i, &ph))
            return because(w, "its program headers are outside the file");
        switch (ph.p_type) {
        case PT_LOAD:
            if (!in_file(m, ph.p_offset, ph.p_filesz))
                return because(w, "is truncated: a segment is outside the file");
            load = true;
            if (ph.p_memsz <= UINT64_MAX - ph.p_paddr && ph.p_paddr + ph.p_memsz > f->phys_end)
                f->phys_end = ph.p_paddr + ph.p_memsz;
            break;
        case PT_INTERP: {
            const char *s = string_at(m, ph.p_offset);
            if (!s || !*s || strlen(s) >= ph.p_filesz)
                return because(w, "the name of its interpreter is outside the file");
            free(f->interp);
            f->interp = xstrdup(s);
            break;
        }
        case PT_DYNAMIC:
            if (!read_dynamic(m, &ph, f, w))
                return false;
            break;
        case PT_NOTE:
            read_notes(m, &ph, f);
            break;
        }
    }
    return load ? true : because(w, "has no loadable segment");
}

bool elf_read(const void *bytes, size_t size, struct elf_file *f, struct why *w)
{
    struct image m = {bytes, size, NULL, 0};
    bool ok;

    *f = (struct elf_file){0};
    if (size < 4 || memcmp(bytes, ELFMAG, SELFMAG) != 0)
        return because(w, "is not an ELF file");
    if (size < sizeof(Elf64_Ehdr) && ((const char *)bytes)[4] == ELFCLASS64)
        return because(w, "is truncated: its ELF header is incomplete");
    if (elf_version(EV_CURRENT) == EV_NONE)
        return because(w, "libelf: %s", elf_errmsg(-1));
    m.elf = elf_memory((char *)(uintptr_t)bytes, size);
    if (!m.elf || elf_kind(m.elf) != ELF_K_ELF)
        ok = because(w, "its ELF header is damaged");
    else
        ok = check_header(&m, f, w) && read_segments(&m, f, w);
    elf_end(m.elf);
    if (!ok)
        elf_free(f);
    return ok;
}

void elf_free(struct elf_file *f)
{
    words_free(&f->needed);
    free(f->interp);
    free(f->soname);
    free(f->rpath);
    free(f->runpath);
    *f = (struct elf_file){0};
}
