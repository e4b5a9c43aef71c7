/*
 * ld.so.cache in glibc's format 1.1 (sysdeps/generic/dl-cache.h): read the host's to find where a
 * library is, and write one with just the libraries that were packed, so that the guest's dynamic
 * loader opens each at once instead of probing directories. Host code; does not block.
 */
#pragma once

#include "util.h"

/* The path of the first baseline (no hwcaps) x86-64 entry of a name, or NULL. Points into the
 * image, which is checked as it is read. */
const char *ldcache_find(const void *image, size_t size, const char *name);

/* The bytes of a cache that maps names[i] to paths[i]. */
void ldcache_build(const struct words *names, const struct words *paths, struct strbuf *out);
