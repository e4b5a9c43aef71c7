/*
 * A guide's file: an ELF shared object that is laid out in memory and bound to the functions it may
 * call. Pure: works on bytes, checks every field, also runs in unit tests and the fuzzer. Used by
 * guide.c.
 */
#pragma once

#include "lib/elf.h"

/* At most so much memory. */
#define GUIDE_IMAGE_MAX (4ul << 20)

/* The address of a function that a guide may call; 0: there is none of that name. */
typedef uint64_t guide_resolver(const char *name);

/* Checks the headers of a file of n bytes. 0, or -ENOEXEC with the reason: img->high - img->low
 * bytes are to be reserved. */
int guide_image_check(const uint8_t *file, size_t n, struct elf_image *img, struct elf_error *e);
/* Lays it out at `to`, which is where it will run, zero before. 0 or -ENOEXEC, with e; *symbol: the
 * address of what `wanted` names, `size` bytes of which lie in the image. */
int guide_image_load(const uint8_t *file, size_t n, const struct elf_image *img, uint8_t *to,
                     guide_resolver *resolve, const char *wanted, size_t size, uint64_t *symbol,
                     struct elf_error *e);
