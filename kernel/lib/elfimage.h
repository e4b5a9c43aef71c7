/*
 * An ELF image as it lies in memory once loaded: where its unwind tables and its dynamic symbols
 * are. For crash reports about the application and for guides; reads only through the caller's
 * function (see lib/unwind.h), so a damaged or hostile image gives no answer and nothing worse.
 * Pure, no allocation; sleeps only if the reader does.
 */
#pragma once

#include "lib/unwind.h"

#include <linux/elf.h>

struct loaded_image {
    virt_t bias;                 /* address = the file's virtual address + bias */
    virt_t start, end;           /* what its PT_LOADs span */
    struct unwind_tables tables; /* hdr 0: it has none */
    virt_t symtab, strtab;       /* 0: no dynamic symbols */
    uint64_t str_size;
    uint32_t nr_syms;
};

/* Reads the headers of the image whose ELF header is mapped at base. false: that is no ELF image
 * of ours, or it cannot be read. */
bool elf_image_read(const struct unwind_memory *mem, virt_t base, struct loaded_image *img);

/* The dynamic symbol that holds addr, copied to name; *off is the distance. false: none does. */
bool elf_image_symbol(const struct unwind_memory *mem, const struct loaded_image *img, virt_t addr,
                      char *name, size_t size, uint64_t *off);
/* Copies a symbol's name, as far as there is room; false: it has none. */
bool elf_image_name(const struct unwind_memory *mem, const struct loaded_image *img,
                    const Elf64_Sym *sym, char *name, size_t size);
/* The value (the file's, without the bias) of the dynamic symbol of that name, which the image
 * defines. Names of less than 64 bytes. */
bool elf_image_lookup(const struct unwind_memory *mem, const struct loaded_image *img,
                      const char *wanted, uint64_t *value);
