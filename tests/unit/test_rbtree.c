// unit: kernel/lib/rbtree.c
/* Red-black trees: the invariants, and the order, after any sequence of insertions and removals. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/rbtree.h"

#define N 700

static struct item {
    struct rb_node node;
    unsigned key;
    bool in;
} items[N];
static struct rb_tree tree;
static uint64_t seed = 88172645463325252ull;

static unsigned below(unsigned n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

static struct item *item_of(struct rb_node *n)
{
    return container_of(n, struct item, node);
}

static void insert(struct item *i)
{
    struct rb_node *parent = NULL, *n = tree.root;
    int right = 0;

    while (n) {
        parent = n;
        right = i->key >= item_of(n)->key;
        n = n->child[right];
    }
    rb_insert(&tree, &i->node, parent, right);
    i->in = true;
}

/* Black nodes on each path down; the order and the links on the way. */
static unsigned check(struct rb_node *n, struct rb_node *parent, unsigned *count)
{
    unsigned l, r;

    if (!n)
        return 0;
    (*count)++;
    assert_ptr_equal(n->parent, parent);
    if (n->red)
        assert_false((n->child[0] && n->child[0]->red) || (n->child[1] && n->child[1]->red));
    if (n->child[0])
        assert_true(item_of(n->child[0])->key <= item_of(n)->key);
    if (n->child[1])
        assert_true(item_of(n->child[1])->key >= item_of(n)->key);
    l = check(n->child[0], n, count);
    r = check(n->child[1], n, count);
    assert_int_equal(l, r);
    return l + !n->red;
}

static void check_all(unsigned expected)
{
    unsigned n = 0, last = 0, walked = 0;
    struct rb_node *end = NULL;

    if (tree.root)
        assert_false(tree.root->red);
    check(tree.root, NULL, &n);
    assert_int_equal(n, expected);
    for (struct rb_node *i = rb_first(&tree); i; i = rb_next(i)) {
        assert_true(item_of(i)->in && item_of(i)->key >= last);
        last = item_of(i)->key;
        walked++;
        assert_ptr_equal(rb_prev(i), end);
        end = i;
    }
    assert_int_equal(walked, expected);
}

static void random_operations(void **state)
{
    unsigned n = 0;

    check_all(0);
    for (unsigned k = 0; k < 1000000; k++) {
        struct item *i = &items[below(k / 100000 % 2 ? N : 12)];

        if (i->in) {
            rb_remove(&tree, &i->node);
            i->in = false;
            n--;
        } else {
            i->key = below(k / 200000 % 2 ? 100000 : 20);
            insert(i);
            n++;
        }
        if (n < 12 || k % 997 == 0)
            check_all(n);
    }
}

static void sorted_input(void **state)
{
    tree.root = NULL;
    for (unsigned i = 0; i < N; i++) {
        items[i].key = i;
        insert(&items[i]);
    }
    check_all(N);
    for (unsigned i = 0; i < N; i++) {
        rb_remove(&tree, rb_first(&tree));
        check_all(N - 1 - i);
    }
    assert_null(tree.root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),
        cmocka_unit_test(sorted_input),
    };
    return cmocka_run_group_tests_name("rbtree", tests, NULL, NULL);
}
