/*
 * One ELF file: is it something we can run, and what does it name (interpreter, libraries, search
 * paths, notes)? The bytes are untrusted. On libelf. Host code; does not block.
 */
#pragma once

#include "util.h"

struct elf_file {
    bool shared;  /* ET_DYN: a position-independent program or a library */
    bool dynamic; /* has a dynamic section */
    char *interp; /* NULL: static, or a library */
    struct words needed;
    char *soname, *rpath, *runpath;
    bool pvh;          /* has the Xen note by which VMMs start a kernel */
    bool linux_kernel; /* ... and one that says it is Linux */
    uint64_t phys_end; /* of what its segments take, at their physical addresses */
};

/* False and the reason if it is not a 64-bit x86 ELF program or shared object. */
bool elf_read(const void *image, size_t size, struct elf_file *f, struct why *w);
void elf_free(struct elf_file *f);
