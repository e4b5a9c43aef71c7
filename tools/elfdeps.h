/*
 * What a dynamically linked program needs to start: its interpreter and all libraries, found as
 * ld.so(8) of glibc (or musl's) would: DT_RPATH of the object and those that loaded it, DT_RUNPATH
 * of the object, ld.so.cache, the default directories; $ORIGIN, $LIB and $PLATFORM expanded.
 * LD_LIBRARY_PATH is left out: the guest does not get it. The files come from a "view": the
 * host's file system or a root file system being packed. Host code; may block.
 */
#pragma once

#include "elffile.h"

struct file_view {
    /* The contents of a regular file, symbolic links followed. */
    bool (*open)(void *ctx, const char *path, struct blob *b);
    /* The path with all symbolic links resolved, or NULL; to be freed. */
    char *(*real)(void *ctx, const char *path);
    void *ctx;
};
extern const struct file_view host_view;

struct object {
    char *path;
    char *name;     /* as the dynamic loader knows it: DT_NEEDED's text; NULL for a program */
    bool by_search; /* found by cache or default directory: the guest needs a cache entry */
    const struct object *parent; /* who asked for it */
    struct elf_file elf;
};

struct elfdeps {
    const struct file_view *view;
    struct object **objects; /* in the order in which they were found */
    size_t nr, cap;
    char *interp; /* the first program's */
    bool musl;
    struct blob cache;
};

void elfdeps_init(struct elfdeps *d, const struct file_view *view);
void elfdeps_free(struct elfdeps *d);

/* Adds a program or library by path, and everything that it needs. On failure the reason says
 * which file is wanted by whom; what was found before stays. */
bool elfdeps_add(struct elfdeps *d, const char *path, struct why *w);

/* Adds a library by name, as dlopen would look for it, and what it needs. False if there is none.
 */
bool elfdeps_add_library(struct elfdeps *d, const char *name, struct why *w);
