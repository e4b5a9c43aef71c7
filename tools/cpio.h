/*
 * Writes a tree as a newc cpio archive (Linux Documentation/driver-api/early-userspace/
 * buffer-format.rst) of which a kernel can map the files in place: the contents of every regular
 * file of at least a page start at a multiple of 4096 in the archive, by NULs behind the name,
 * which namesize counts (namesize may be up to 4096; Linux, libarchive and GNU cpio accept this).
 * The same tree gives the same bytes. Host code; may block.
 *
 * Layout:    header (110 bytes) | name, NUL... (namesize) | pad to 4 | contents | pad to 4
 * Order:     a directory before what it holds, names sorted; the last entry is "TRAILER!!!".
 * Links:     names of one file share an inode number; the first carries the contents, the
 *            others have size 0.
 * Filler:    where padding alone would make namesize exceed 4096, the entry of the root
 *            directory "." is repeated with a padded name before the file's.
 */
#pragma once

#include "tree.h"

#define CPIO_ALIGN 4096

/* Appends the archive at the descriptor's position, which must be a multiple of CPIO_ALIGN for the
 * alignment to hold. *size gets the archive's length. */
bool cpio_write(const struct tree *t, int fd, uint64_t *size, struct why *w);
