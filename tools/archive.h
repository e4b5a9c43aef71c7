/*
 * Archives through libarchive: a cpio or tar file, compressed or not, read into a tree; and whole
 * files compressed and decompressed. The bytes are untrusted. Host code; may block.
 */
#pragma once

#include "tree.h"

/* Reads all members. As Linux does with an initrd, cpio archives may follow one another, each
 * compressed in its own way. Names are taken relative to the root; ".." is refused. */
bool archive_to_tree(struct tree *t, const char *path, struct why *w);

/* The whole of a file, decompressed whatever the compression (none included); to be freed. */
bool archive_decompress(const char *path, struct strbuf *out, struct why *w);

/* Compresses size bytes of one descriptor into another ("gzip" or "zstd"). */
bool archive_compress(int from, uint64_t size, int to, const char *method, struct why *w);
