/*
 * Loaded ELF images; see lib/elfimage.h. Structures: ELF-64 object file format; the GNU hash
 * table has no specification but binutils and glibc, whose layout is: number of buckets, index of
 * the first hashed symbol, words of the Bloom filter, its shift, the filter, the buckets, and a
 * chain word per symbol whose lowest bit ends a bucket's run.
 */
#include "lib/elfimage.h"

#include <linux/elf.h>

#ifndef DT_GNU_HASH
#define DT_GNU_HASH 0x6ffffef5
#endif
#ifndef STT_GNU_IFUNC
#define STT_GNU_IFUNC 10
#endif

#define PHDRS_MAX 64
#define DYN_MAX   256
#define SYMS_MAX  1000000
#define BATCH     32 /* symbols or words read at a time */

static bool read_mem(const struct unwind_memory *mem, virt_t at, void *buf, size_t n)
{
    return mem->read(mem->ctx, at, buf, n);
}

static bool inside(const struct loaded_image *img, virt_t at, uint64_t n)
{
    return at >= img->start && at < img->end && n <= img->end - at;
}

/* The dynamic linker rewrites most pointers of .dynamic to addresses, in place; the vDSO and
 * static PIEs keep the file's. */
static virt_t dyn_pointer(const struct loaded_image *img, uint64_t v)
{
    return inside(img, v, 1) ? v : v + img->bias;
}

/* The number of symbols by the GNU hash table: one more than the end of the last run. */
static uint32_t gnu_hash_count(const struct unwind_memory *mem, const struct loaded_image *img,
                               virt_t at)
{
    uint32_t head[4], words[BATCH], last = 0;

    if (!inside(img, at, sizeof(head)) || !read_mem(mem, at, head, sizeof(head)))
        return 0;
    uint32_t nbuckets = head[0], first = head[1];
    virt_t buckets = at + sizeof(head) + (uint64_t)head[2] * 8;
    virt_t chain = buckets + (uint64_t)nbuckets * 4;
    if (!inside(img, buckets, (uint64_t)nbuckets * 4))
        return 0;
    for (uint32_t i = 0; i < nbuckets; i += BATCH) {
        uint32_t n = MIN(nbuckets - i, (uint32_t)BATCH);
        if (!read_mem(mem, buckets + (uint64_t)i * 4, words, n * 4))
            return 0;
        for (uint32_t j = 0; j < n; j++)
            last = MAX(last, words[j]);
    }
    if (last < first)
        return first; /* nothing hashed: only the undefined ones */
    for (; last < SYMS_MAX; last++) {
        virt_t word = chain + (uint64_t)(last - first) * 4;
        uint32_t v;
        if (!inside(img, word, 4) || !read_mem(mem, word, &v, sizeof(v)))
            return 0;
        if (v & 1)
            return last + 1;
    }
    return 0;
}

static void read_dynamic(const struct unwind_memory *mem, struct loaded_image *img, virt_t at,
                         uint64_t size)
{
    virt_t sysv = 0, gnu = 0;
    uint32_t head[2];

    for (unsigned i = 0; i < DYN_MAX && (i + 1) * sizeof(Elf64_Dyn) <= size; i++) {
        Elf64_Dyn d;
        if (!read_mem(mem, at + i * sizeof(d), &d, sizeof(d)) || d.d_tag == DT_NULL)
            break;
        if (d.d_tag == DT_SYMTAB)
            img->symtab = dyn_pointer(img, d.d_un.d_ptr);
        else if (d.d_tag == DT_STRTAB)
            img->strtab = dyn_pointer(img, d.d_un.d_ptr);
        else if (d.d_tag == DT_STRSZ)
            img->str_size = d.d_un.d_val;
        else if (d.d_tag == DT_HASH)
            sysv = dyn_pointer(img, d.d_un.d_ptr);
        else if (d.d_tag == DT_GNU_HASH)
            gnu = dyn_pointer(img, d.d_un.d_ptr);
    }
    if (sysv != 0 && inside(img, sysv, sizeof(head)) && read_mem(mem, sysv, head, sizeof(head)))
        img->nr_syms = head[1]; /* a chain entry for each symbol */
    else if (gnu != 0)
        img->nr_syms = gnu_hash_count(mem, img, gnu);
    if (img->nr_syms > SYMS_MAX ||
        !inside(img, img->symtab, img->nr_syms * (uint64_t)sizeof(Elf64_Sym)) ||
        !inside(img, img->strtab, img->str_size))
        img->nr_syms = 0;
}

bool elf_image_read(const struct unwind_memory *mem, virt_t base, struct loaded_image *img)
{
    Elf64_Ehdr eh;
    virt_t lo = UINT64_MAX, hi = 0, dynamic = 0;
    uint64_t dynamic_size = 0;
    Elf64_Phdr ph;

    *img = (struct loaded_image){0};
    if (!read_mem(mem, base, &eh, sizeof(eh)) || memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 ||
        eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_phentsize != sizeof(ph) ||
        eh.e_phnum > PHDRS_MAX || eh.e_phoff > PAGE_SIZE)
        return false;
    for (unsigned i = 0; i < eh.e_phnum; i++) {
        if (!read_mem(mem, base + eh.e_phoff + i * sizeof(ph), &ph, sizeof(ph)))
            return false;
        if (ph.p_type == PT_LOAD) {
            if (ph.p_vaddr + ph.p_memsz < ph.p_vaddr)
                return false;
            lo = MIN(lo, (virt_t)ph.p_vaddr & PAGE_MASK);
            hi = MAX(hi, (virt_t)(ph.p_vaddr + ph.p_memsz));
        } else if (ph.p_type == PT_GNU_EH_FRAME) {
            img->tables.hdr = ph.p_vaddr;
            img->tables.hdr_end = ph.p_vaddr + ph.p_memsz;
        } else if (ph.p_type == PT_DYNAMIC) {
            dynamic = ph.p_vaddr;
            dynamic_size = ph.p_memsz;
        }
    }
    if (lo >= hi)
        return false;
    img->bias = base - lo;
    img->start = base;
    img->end = base + (hi - lo);
    if (img->end < img->start)
        return false;
    if (img->tables.hdr != 0) {
        img->tables.hdr += img->bias;
        img->tables.hdr_end += img->bias;
        if (img->tables.hdr_end < img->tables.hdr ||
            !inside(img, img->tables.hdr, img->tables.hdr_end - img->tables.hdr))
            img->tables = (struct unwind_tables){0};
    }
    if (dynamic != 0 && inside(img, dynamic + img->bias, dynamic_size))
        read_dynamic(mem, img, dynamic + img->bias, dynamic_size);
    return true;
}

/* Copies a name up to its end or the room's, stopping where memory or the table does. */
static bool read_name(const struct unwind_memory *mem, virt_t at, virt_t end, char *name,
                      size_t size)
{
    size_t n = 0;
    while (n + 1 < size && at + n < end) {
        if (!read_mem(mem, at + n, &name[n], 1))
            return false;
        if (name[n] == '\0')
            return n > 0;
        n++;
    }
    name[n] = '\0';
    return n > 0;
}

bool elf_image_symbol(const struct unwind_memory *mem, const struct loaded_image *img, virt_t addr,
                      char *name, size_t size, uint64_t *off)
{
    Elf64_Sym syms[BATCH];
    uint64_t value = addr - img->bias, best = 0;
    uint32_t best_name = 0;

    for (uint32_t i = 0; i < img->nr_syms; i += BATCH) {
        uint32_t n = MIN(img->nr_syms - i, (uint32_t)BATCH);
        if (!read_mem(mem, img->symtab + i * (uint64_t)sizeof(syms[0]), syms, n * sizeof(syms[0])))
            return false;
        for (uint32_t j = 0; j < n; j++) {
            const Elf64_Sym *s = &syms[j];
            unsigned type = ELF64_ST_TYPE(s->st_info);
            if ((type != STT_FUNC && type != STT_GNU_IFUNC) || s->st_shndx == SHN_UNDEF)
                continue;
            if (s->st_value <= value && value - s->st_value < s->st_size &&
                (best_name == 0 || s->st_value > best)) {
                best = s->st_value;
                best_name = s->st_name;
            }
        }
    }
    if (best_name == 0 || best_name >= img->str_size || size == 0)
        return false;
    *off = value - best;
    return read_name(mem, img->strtab + best_name, img->strtab + img->str_size, name, size);
}

bool elf_image_name(const struct unwind_memory *mem, const struct loaded_image *img,
                    const Elf64_Sym *sym, char *name, size_t size)
{
    return sym->st_name < img->str_size &&
           read_name(mem, img->strtab + sym->st_name, img->strtab + img->str_size, name, size);
}

bool elf_image_lookup(const struct unwind_memory *mem, const struct loaded_image *img,
                      const char *wanted, uint64_t *value)
{
    size_t n = strlen(wanted) + 1;
    Elf64_Sym syms[BATCH];
    char name[64];

    if (n > sizeof(name))
        return false;
    for (uint32_t i = 0; i < img->nr_syms; i += BATCH) {
        uint32_t count = MIN(img->nr_syms - i, (uint32_t)BATCH);

        if (!read_mem(mem, img->symtab + i * (uint64_t)sizeof(syms[0]), syms,
                      count * sizeof(syms[0])))
            return false;
        for (uint32_t j = 0; j < count; j++) {
            const Elf64_Sym *s = &syms[j];

            if (s->st_shndx == SHN_UNDEF || s->st_name >= img->str_size ||
                n > img->str_size - s->st_name ||
                !read_mem(mem, img->strtab + s->st_name, name, n) || memcmp(name, wanted, n) != 0)
                continue;
            *value = s->st_value;
            return true;
        }
    }
    return false;
}
