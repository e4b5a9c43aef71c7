// unit: tools/cpio.c tools/tree.c tools/util.c
/* Proves the archive writer's promises: order, alignment, hard links, padding limits, the same
 * bytes for the same tree; and the tree's own rules. */
#define _GNU_SOURCE
#include "../../tools/cpio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HEADER 110

struct member {
    char name[4097];
    unsigned ino, mode, nlink, size, name_size;
    size_t data; /* offset in the archive */
};

struct archive {
    char *bytes;
    uint64_t size;
    struct member *m;
    size_t n;
};

static unsigned field(const char *header, int i)
{
    char text[9] = {0};

    memcpy(text, header + 6 + 8 * i, 8);
    return strtoul(text, NULL, 16);
}

static void pack(struct archive *a, const struct tree *t)
{
    struct why w;
    int fd = temp_file("test");
    size_t at = 0;

    assert_true(cpio_write(t, fd, &a->size, &w));
    a->bytes = xmalloc(a->size);
    assert_int_equal(pread(fd, a->bytes, a->size, 0), a->size);
    close(fd);
    a->m = NULL;
    a->n = 0;
    for (;;) {
        struct member *m;
        assert_true(at + HEADER < a->size);
        assert_memory_equal(a->bytes + at, "070701", 6);
        a->m = xrealloc(a->m, (a->n + 1) * sizeof(*m));
        m = &a->m[a->n++];
        m->ino = field(a->bytes + at, 0);
        m->mode = field(a->bytes + at, 1);
        m->nlink = field(a->bytes + at, 4);
        m->size = field(a->bytes + at, 6);
        m->name_size = field(a->bytes + at, 11);
        assert_in_range(m->name_size, 2, 4096);
        snprintf(m->name, sizeof(m->name), "%s", a->bytes + at + HEADER);
        /* All behind the name is NUL. */
        for (size_t i = strlen(m->name); i < m->name_size; i++)
            assert_int_equal(a->bytes[at + HEADER + i], 0);
        m->data = (at + HEADER + m->name_size + 3) & ~(size_t)3;
        at = (m->data + m->size + 3) & ~(size_t)3;
        if (strcmp(m->name, "TRAILER!!!") == 0)
            break;
    }
    assert_int_equal(at, a->size);
}

static void unpack_free(struct archive *a)
{
    free(a->bytes);
    free(a->m);
}

static const struct member *find(const struct archive *a, const char *name)
{
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->m[i].name, name) == 0)
            return &a->m[i];
    return NULL;
}

static void put_file(struct tree *t, const char *path, size_t size, char fill)
{
    struct why w;
    char *data = xmalloc(size);

    memset(data, fill, size);
    assert_non_null(tree_put(t, path, inode_new(S_IFREG | 0644, data, size), &w));
    free(data);
}

static void directories_come_before_contents_in_order(void **state)
{
    struct tree t;
    struct archive a;
    const char *expect[] = {".", "a", "a/b", "a/b/x", "a/c", "z", "TRAILER!!!"};

    (void)state;
    tree_init(&t);
    tree_file(&t, "/z", 0600, "last");
    tree_file(&t, "/a/c", 0644, "second");
    tree_link(&t, "/a/b/x", "/z");
    pack(&a, &t);
    assert_int_equal(a.n, ARRAY_LEN(expect));
    for (size_t i = 0; i < a.n; i++)
        assert_string_equal(a.m[i].name, expect[i]);
    assert_int_equal(find(&a, "z")->mode, S_IFREG | 0600);
    assert_memory_equal(a.bytes + find(&a, "z")->data, "last", 4);
    assert_int_equal(find(&a, "a/b/x")->mode, S_IFLNK | 0777);
    assert_memory_equal(a.bytes + find(&a, "a/b/x")->data, "/z", 2);
    unpack_free(&a);
    tree_free(&t);
}

/* Every length of what precedes, so that every padding from 0 to 4095 occurs. */
static void large_files_start_on_a_page_whatever_precedes(void **state)
{
    (void)state;
    for (size_t before = 0; before < 4100; before += 4) {
        struct tree t;
        struct archive a;
        tree_init(&t);
        put_file(&t, "/a", before < 4096 ? before : 4095, 'a');
        put_file(&t, "/some/longer/name/of/a/file/that/needs/room", 4096, 'b');
        put_file(&t, "/z", 5000, 'z');
        pack(&a, &t);
        const struct member *b = find(&a, "some/longer/name/of/a/file/that/needs/room");
        assert_int_equal(b->data % 4096, 0);
        assert_int_equal(a.bytes[b->data], 'b');
        assert_int_equal(a.bytes[b->data + 4095], 'b');
        assert_int_equal(find(&a, "z")->data % 4096, 0);
        assert_int_equal(a.bytes[find(&a, "z")->data + 4999], 'z');
        unpack_free(&a);
        tree_free(&t);
    }
}

static void filler_appears_only_where_padding_alone_is_too_long(void **state)
{
    unsigned with = 0, without = 0;

    (void)state;
    for (size_t before = 0; before < 4096; before += 4) {
        struct tree t;
        struct archive a;
        unsigned dots = 0;
        tree_init(&t);
        put_file(&t, "/a", before, 'a');
        put_file(&t, "/a-name-of-thirty-bytes-exactly", 4096, 'b');
        pack(&a, &t);
        for (size_t i = 0; i < a.n; i++)
            dots += strcmp(a.m[i].name, ".") == 0;
        assert_in_range(dots, 1, 2);
        with += dots == 2;
        without += dots == 1;
        unpack_free(&a);
        tree_free(&t);
    }
    assert_in_range(with, 1, 20);
    assert_int_equal(with + without, 1024);
}

static void small_files_are_not_padded(void **state)
{
    struct tree t;
    struct archive a;

    (void)state;
    tree_init(&t);
    put_file(&t, "/small", 4095, 's');
    pack(&a, &t);
    assert_int_equal(find(&a, "small")->name_size, sizeof("small"));
    unpack_free(&a);
    tree_free(&t);
}

static void hard_links_share_a_number_and_the_first_has_the_contents(void **state)
{
    struct tree t;
    struct archive a;
    struct why w;
    struct inode *i = inode_new(S_IFREG | 0644, "shared", 6);

    (void)state;
    tree_init(&t);
    assert_non_null(tree_put(&t, "/second", i, &w));
    assert_non_null(tree_put(&t, "/first", i, &w));
    assert_int_equal(tree_bytes(&t, NULL), 6);
    pack(&a, &t);
    const struct member *f = find(&a, "first"), *s = find(&a, "second");
    assert_int_equal(f->ino, s->ino);
    assert_int_equal(f->nlink, 2);
    assert_int_equal(f->size, 6);
    assert_int_equal(s->size, 0);
    assert_int_not_equal(f->ino, find(&a, ".")->ino);
    unpack_free(&a);
    tree_free(&t);
}

static void same_tree_gives_same_bytes(void **state)
{
    struct archive a[2];

    (void)state;
    for (int k = 0; k < 2; k++) {
        struct tree t;
        tree_init(&t);
        /* The other way round, and over something that is replaced. */
        tree_file(&t, k ? "/b/y" : "/a", 0644, "1");
        tree_file(&t, k ? "/a" : "/b/y", 0644, "1");
        put_file(&t, "/big", 10000, 'x');
        pack(&a[k], &t);
        tree_free(&t);
    }
    assert_int_equal(a[0].size, a[1].size);
    assert_memory_equal(a[0].bytes, a[1].bytes, a[0].size);
    unpack_free(&a[0]);
    unpack_free(&a[1]);
}

static void unreadable_and_shrunk_files_are_errors(void **state)
{
    struct tree t;
    struct why w;
    uint64_t size;
    struct inode *i = inode_new(S_IFREG | 0644, NULL, 0);
    char path[] = "/tmp/wherry-test-XXXXXX";
    int file = mkstemp(path), fd = temp_file("test");

    (void)state;
    assert_true(write_all(file, "short", 5));
    close(file);
    i->host_path = xstrdup(path);
    i->size = 6;
    tree_init(&t);
    assert_non_null(tree_put(&t, "/f", i, &w));
    assert_false(cpio_write(&t, fd, &size, &w));
    assert_non_null(strstr(w.text, "shorter"));
    unlink(path);
    assert_false(cpio_write(&t, fd, &size, &w));
    assert_non_null(strstr(w.text, "No such file"));
    close(fd);
    tree_free(&t);
}

static void too_long_names_are_errors(void **state)
{
    struct tree t;
    struct why w;
    uint64_t size;
    char path[5000];
    int fd = temp_file("test");

    (void)state;
    memset(path, 'n', sizeof(path) - 1);
    for (size_t i = 0; i < sizeof(path) - 1; i += 200)
        path[i] = '/';
    path[sizeof(path) - 1] = '\0';
    tree_init(&t);
    put_file(&t, path, 10, 'x');
    assert_false(cpio_write(&t, fd, &size, &w));
    assert_non_null(strstr(w.text, "too long"));
    close(fd);
    tree_free(&t);
}

static void tree_follows_its_own_links(void **state)
{
    struct tree t;
    struct why w;

    (void)state;
    tree_init(&t);
    tree_link(&t, "/lib", "usr/lib");
    tree_link(&t, "/loop", "loop");
    tree_file(&t, "/lib/x86/libc.so", 0755, "c");
    assert_non_null(tree_lookup(&t, "/usr/lib/x86/libc.so", true));
    assert_ptr_equal(tree_lookup(&t, "/lib/../lib/./x86//libc.so", true),
                     tree_lookup(&t, "/usr/lib/x86/libc.so", true));
    char *path = node_path(tree_lookup(&t, "/lib/x86", true));
    assert_string_equal(path, "/usr/lib/x86");
    free(path);
    assert_null(tree_lookup(&t, "/loop/x", true));
    assert_null(tree_lookup(&t, "/lib/x86/libc.so/x", true));
    /* A directory mapped over the link goes where the link leads. */
    tree_dir(&t, "/lib", 0700);
    assert_int_equal(tree_lookup(&t, "/usr/lib", false)->inode->mode, S_IFDIR | 0700);
    assert_null(tree_put(&t, "/lib/x86", inode_new(S_IFREG | 0644, "x", 1), &w));
    assert_null(tree_put(&t, "/usr/lib/x86/libc.so", inode_new(S_IFDIR | 0755, NULL, 0), &w));
    assert_null(tree_put(&t, "/usr/lib/x86/libc.so/y", inode_new(S_IFREG | 0644, "x", 1), &w));
    assert_null(tree_put(&t, "/", inode_new(S_IFREG | 0644, "x", 1), &w));
    tree_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directories_come_before_contents_in_order),
        cmocka_unit_test(large_files_start_on_a_page_whatever_precedes),
        cmocka_unit_test(filler_appears_only_where_padding_alone_is_too_long),
        cmocka_unit_test(small_files_are_not_padded),
        cmocka_unit_test(hard_links_share_a_number_and_the_first_has_the_contents),
        cmocka_unit_test(same_tree_gives_same_bytes),
        cmocka_unit_test(unreadable_and_shrunk_files_are_errors),
        cmocka_unit_test(too_long_names_are_errors),
        cmocka_unit_test(tree_follows_its_own_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
