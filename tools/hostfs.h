/*
 * Takes files of the host into a tree: by mirroring (the same path in the guest, with every
 * symbolic link on the way kept) or by mapping (a file or directory to a path of choice).
 * Host code; may block.
 */
#pragma once

#include "tree.h"

/* Remembers inodes that have several names, so that hard links stay hard links. */
struct hostfs {
    struct tree *tree;
    struct link *links;
    size_t nr, cap;
};

void hostfs_init(struct hostfs *h, struct tree *t);
void hostfs_free(struct hostfs *h);

/* A host file at its own absolute path. */
bool hostfs_mirror(struct hostfs *h, const char *path, struct why *w);
/* A host file or directory with all it holds at another path. read_only clears the write
 * permissions. Sockets are left out. */
bool hostfs_map(struct hostfs *h, const char *from, const char *to, bool read_only, struct why *w);
