/*
 * Reading ELF headers (System V gABI ch. 4-5; x86-64 psABI). Pure: works on bytes, checks
 * every field, also runs in unit tests and the fuzzer. Used by exec and
 * for guides.
 */
#pragma once

#include "lib/base.h"

#include <linux/elf.h>

#define ELF_MAX_SEGMENTS 16
#define ELF_MAX_PHDRS    64

struct elf_segment {
    uint64_t vaddr, memsz, filesz, offset;
    unsigned prot; /* PROT_* */
};

struct elf_image {
    bool pie;             /* ET_DYN: may be loaded anywhere */
    bool exec_stack;
    uint64_t entry;
    uint64_t phdr_vaddr;  /* 0 if the headers are not in a segment */
    unsigned phnum;
    uint64_t interp_offset, interp_size; /* 0: static */
    uint64_t low, high;   /* of all segments, page aligned */
    uint64_t align;       /* the largest segment alignment */
    unsigned nr_segments;
    struct elf_segment segments[ELF_MAX_SEGMENTS];
};

/* Why a file cannot be run: the errno is execve's, the reason is for the console. */
struct elf_error {
    int err;
    const char *reason;
};

/* Checks the file header: 0 or -ENOEXEC; tells where the program headers are. */
int elf_check_header(const Elf64_Ehdr *h, size_t n, struct elf_error *e);
/* Fills img from the header and its program headers. 0 or -ENOEXEC/-EINVAL. */
int elf_parse(const Elf64_Ehdr *h, const Elf64_Phdr *ph, uint64_t file_size, struct elf_image *img,
              struct elf_error *e);
