/*
 * Intrusive red-black trees (Cormen et al., Introduction to Algorithms, ch. 13). The
 * user compares and descends; the tree rebalances. No allocation, any context.
 */
#pragma once

#include "lib/base.h"

struct rb_node {
    struct rb_node *parent, *child[2];
    bool red;
};

struct rb_tree {
    struct rb_node *root;
};

/* Links n below parent at child[right] (parent NULL: as the root) and rebalances. */
void rb_insert(struct rb_tree *t, struct rb_node *n, struct rb_node *parent, int right);
void rb_remove(struct rb_tree *t, struct rb_node *n);
struct rb_node *rb_first(const struct rb_tree *t);
struct rb_node *rb_next(const struct rb_node *n);
struct rb_node *rb_prev(const struct rb_node *n);
