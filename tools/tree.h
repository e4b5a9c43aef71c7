/*
 * A root file system in memory, before it is written as a cpio archive: directories with sorted
 * entries that point to inodes. File contents stay where they are (a host file's path) until
 * they are written; small generated files are held. Paths are the guest's; symbolic links
 * are followed inside the tree, never on the host. Host code; does not block.
 */
#pragma once

#include "util.h"

#include <sys/stat.h>

struct inode {
    mode_t mode; /* type and permissions */
    uid_t uid;
    gid_t gid;
    int64_t mtime;
    dev_t rdev;      /* devices */
    uint64_t size;   /* regular files and symbolic links */
    char *host_path; /* contents of a regular file, unless data is set */
    void *data;      /* contents, or a link's target (terminated) */
    unsigned nlink;  /* names in the tree */
    unsigned ino;    /* given by the archive writer */
    bool written;    /* contents are in the archive */
};

struct node {
    char *name;
    struct inode *inode;
    struct node *parent;
    struct node **child; /* sorted by name; directories only */
    size_t nr, cap;
};

struct tree {
    struct node *root;
};

void tree_init(struct tree *t);
void tree_free(struct tree *t);

/* A new inode of no name yet. data, if not NULL, is copied. */
struct inode *inode_new(mode_t mode, const void *data, size_t size);
/* Gives up one of nlink references. */
void inode_put(struct inode *i);

/* The node at an absolute path, or NULL. follow: also the last component, if it is a link. */
struct node *tree_lookup(const struct tree *t, const char *path, bool follow);
struct node *node_child(const struct node *dir, const char *name);
char *node_path(const struct node *n);

/*
 * Puts an inode at a path. Missing directories on the way are made (0755, root). What was there
 * is replaced, except that a directory put over a directory keeps its entries and takes
 * the new metadata. Fails where the way leads through something that is no directory, and
 * where a directory and another kind of file would replace each other. On failure the
 * inode is freed unless it has other names.
 */
struct node *tree_put(struct tree *t, const char *path, struct inode *inode, struct why *w);

/* As tree_put, with contents made here: a file, a directory (mkdir -p), a link. They never fail
 * on trees that we build ourselves, so a failure ends the program. */
void tree_file(struct tree *t, const char *path, mode_t perm, const char *text);
void tree_dir(struct tree *t, const char *path, mode_t perm);
void tree_link(struct tree *t, const char *path, const char *target);

/* Bytes of all file contents, hard links counted once. */
uint64_t tree_bytes(const struct tree *t, unsigned *files);
/* Calls fn for every node, directories before their contents, in order of name. */
void tree_walk(const struct tree *t, void (*fn)(void *ctx, struct node *n, const char *path),
               void *ctx);
