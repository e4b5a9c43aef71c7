/*
 * Red-black trees; see rbtree.h. The invariants: the root is black, a red node has black
 * children, every path down has the same number of black nodes.
 */
#include "lib/rbtree.h"

static void replace_child(struct rb_tree *t, struct rb_node *parent, struct rb_node *old,
                          struct rb_node *new)
{
    if (!parent)
        t->root = new;
    else
        parent->child[parent->child[1] == old] = new;
}

/* Turns n's child on the other side into n's parent; dir is the side n sinks to. */
static void rotate(struct rb_tree *t, struct rb_node *n, int dir)
{
    struct rb_node *up = n->child[!dir];

    n->child[!dir] = up->child[dir];
    if (up->child[dir])
        up->child[dir]->parent = n;
    up->parent = n->parent;
    replace_child(t, n->parent, n, up);
    up->child[dir] = n;
    n->parent = up;
}

void rb_insert(struct rb_tree *t, struct rb_node *n, struct rb_node *parent, int right)
{
    n->child[0] = n->child[1] = NULL;
    n->parent = parent;
    n->red = true;
    if (!parent)
        t->root = n;
    else
        parent->child[right] = n;

    while ((parent = n->parent) && parent->red) {
        struct rb_node *grand = parent->parent;
        int side = grand->child[1] == parent;
        struct rb_node *uncle = grand->child[!side];

        if (uncle && uncle->red) {
            parent->red = uncle->red = false;
            grand->red = true;
            n = grand;
            continue;
        }
        if (parent->child[!side] == n) {
            rotate(t, parent, side);
            n = parent;
            parent = n->parent;
        }
        parent->red = false;
        grand->red = true;
        rotate(t, grand, !side);
    }
    t->root->red = false;
}

/* n (may be NULL), child of parent, lacks one black node on its paths. */
static void fix_removal(struct rb_tree *t, struct rb_node *n, struct rb_node *parent)
{
    while (parent && (!n || !n->red)) {
        int side = parent->child[1] == n && parent->child[0] != n;
        struct rb_node *sib = parent->child[!side];

        if (sib->red) {
            sib->red = false;
            parent->red = true;
            rotate(t, parent, side);
            sib = parent->child[!side];
        }
        if ((!sib->child[0] || !sib->child[0]->red) && (!sib->child[1] || !sib->child[1]->red)) {
            sib->red = true;
            n = parent;
            parent = n->parent;
            continue;
        }
        if (!sib->child[!side] || !sib->child[!side]->red) {
            sib->child[side]->red = false;
            sib->red = true;
            rotate(t, sib, !side);
            sib = parent->child[!side];
        }
        sib->red = parent->red;
        parent->red = false;
        sib->child[!side]->red = false;
        rotate(t, parent, side);
        n = t->root;
        break;
    }
    if (n)
        n->red = false;
}

void rb_remove(struct rb_tree *t, struct rb_node *n)
{
    struct rb_node *child, *parent;
    bool red;

    if (n->child[0] && n->child[1]) {
        struct rb_node *next = n->child[1];

        while (next->child[0])
            next = next->child[0];
        child = next->child[1];
        parent = next->parent;
        red = next->red;
        if (parent == n) {
            parent = next;
        } else {
            parent->child[0] = child;
            if (child)
                child->parent = parent;
            next->child[1] = n->child[1];
            next->child[1]->parent = next;
        }
        next->child[0] = n->child[0];
        next->child[0]->parent = next;
        next->parent = n->parent;
        next->red = n->red;
        replace_child(t, n->parent, n, next);
    } else {
        child = n->child[n->child[0] == NULL];
        parent = n->parent;
        red = n->red;
        if (child)
            child->parent = parent;
        replace_child(t, parent, n, child);
    }
    if (!red)
        fix_removal(t, child, parent);
}

struct rb_node *rb_first(const struct rb_tree *t)
{
    struct rb_node *n = t->root;

    while (n && n->child[0])
        n = n->child[0];
    return n;
}

static struct rb_node *step(const struct rb_node *n, int dir)
{
    struct rb_node *p;

    if (n->child[dir]) {
        p = n->child[dir];
        while (p->child[!dir])
            p = p->child[!dir];
        return p;
    }
    while ((p = n->parent) && p->child[dir] == n)
        n = p;
    return p;
}

struct rb_node *rb_next(const struct rb_node *n)
{
    return step(n, 1);
}

struct rb_node *rb_prev(const struct rb_node *n)
{
    return step(n, 0);
}
