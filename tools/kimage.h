/*
 * Which kernel image to boot, and what it is. Host code; may block.
 */
#pragma once

#include "util.h"

enum kernel_kind { KERNEL_WHERRY, KERNEL_LINUX };

struct kimage {
    enum kernel_kind kind;
    char *path;
    char *version; /* Linux: release, as in /lib/modules */
    char *symbols; /* Wherry: the image with symbols, if it is there */
    uint64_t end;  /* Wherry: of the memory that the image is loaded to */
};

/* spec: "wherry", "linux" or a path. Ends the program with a message if there is none. */
void kimage_find(const char *spec, struct kimage *k);
/* Wherry's own image: $WHERRY_KERNEL, beside this program's directory (a build), or installed
 * under PREFIX/lib/wherry; NULL if it is in none of these places. */
char *kimage_wherry(void);
/* Debian's newest Linux, the cloud flavour first; NULL if there is none. */
char *kimage_linux(void);
/* The directory of a release's modules, or NULL. */
char *kimage_modules(const char *version);
void kimage_free(struct kimage *k);
