// unit: kernel/fs/cpio.c
/* Proves that newc archives are parsed entry by entry, whole and as a stream cut anywhere, and
 * that damaged ones are told from good ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cpio.h"

#include <cmocka.h>

static uint8_t archive[65536];
static size_t used;

static void pad4(void)
{
    while (used % 4 != 0)
        archive[used++] = 0;
}

/* name_room: bytes the name takes, more than its length for padding. */
static void add(const char *magic, const char *name, size_t name_room, unsigned mode,
                const char *data, uint32_t check)
{
    char head[CPIO_HEADER + 1];
    snprintf(head, sizeof(head), "%s%08X%08x%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", magic,
             7u, mode, 1u, 2u, 1u, 1700000000u, (unsigned)strlen(data), 8u, 1u, 0u, 0u,
             (unsigned)name_room, check);
    memcpy(archive + used, head, CPIO_HEADER);
    used += CPIO_HEADER;
    memset(archive + used, 0, name_room);
    memcpy(archive + used, name, strlen(name));
    used += name_room;
    pad4();
    memcpy(archive + used, data, strlen(data));
    used += strlen(data);
    pad4();
}

static void add_simple(const char *name, const char *data)
{
    add("070701", name, strlen(name) + 1, 0100644, data, 0);
}

static int start(void **state)
{
    memset(archive, 0xee, sizeof(archive));
    used = 0;
    return 0;
}

static void expect(size_t *pos, const char *name, const char *data)
{
    struct cpio_entry e;
    assert_int_equal(cpio_next(archive, used, pos, &e), CPIO_ENTRY);
    assert_string_equal(e.name, name);
    assert_int_equal(e.size, strlen(data));
    assert_memory_equal(e.data, data, strlen(data));
}

static enum cpio_status next(size_t *pos)
{
    struct cpio_entry e;
    return cpio_next(archive, used, pos, &e);
}

static void entries_come_in_order_with_all_fields(void **state)
{
    size_t pos = 0;
    struct cpio_entry e;
    add_simple("a", "one");
    add("070701", "dir/b", 6, 0100755, "", 0);
    add_simple("TRAILER!!!", "");
    assert_int_equal(cpio_next(archive, used, &pos, &e), CPIO_ENTRY);
    assert_int_equal(e.mode, 0100644);
    assert_int_equal(e.uid, 1);
    assert_int_equal(e.gid, 2);
    assert_int_equal(e.mtime, 1700000000);
    assert_int_equal(e.dev_major, 8);
    expect(&pos, "dir/b", "");
    assert_int_equal(next(&pos), CPIO_TRAILER);
    assert_int_equal(next(&pos), CPIO_END);
}

static void archives_follow_each_other_with_zeroes_between(void **state)
{
    size_t pos = 0;
    add_simple("a", "x");
    add_simple("TRAILER!!!", "");
    memset(archive + used, 0, 512);
    used += 512;
    add_simple("b", "y");
    add_simple("TRAILER!!!", "");
    expect(&pos, "a", "x");
    assert_int_equal(next(&pos), CPIO_TRAILER);
    expect(&pos, "b", "y");
    assert_int_equal(next(&pos), CPIO_TRAILER);
    assert_int_equal(next(&pos), CPIO_END);
}

static void names_may_be_padded_to_align_the_data(void **state)
{
    size_t pos = 0;
    add("070701", "lib", 4096 - CPIO_HEADER, 0100644, "data", 0);
    expect(&pos, "lib", "data");
}

static void checksums_are_checked(void **state)
{
    size_t pos = 0;
    add("070702", "good", 5, 0100644, "abc", 'a' + 'b' + 'c');
    add("070702", "bad", 4, 0100644, "abc", 1);
    expect(&pos, "good", "abc");
    assert_int_equal(next(&pos), CPIO_CORRUPT);
}

static void damage_is_recognised(void **state)
{
    size_t pos = 0;
    add_simple("file", "some data");
    for (size_t cut = 1; cut < used; cut++) {
        uint8_t *exact = malloc(cut); /* ASan sees one byte too many */
        struct cpio_entry e;
        memcpy(exact, archive, cut);
        pos = 0;
        enum cpio_status s = cpio_next(exact, cut, &pos, &e);
        /* Only the padding at the very end is not missed. */
        if (cut < used - 3)
            assert_true(s == CPIO_TRUNCATED || (s == CPIO_OTHER && cut < 6));
        free(exact);
    }
    pos = 0;
    archive[10] = 'g';
    assert_int_equal(next(&pos), CPIO_CORRUPT);
    archive[10] = '0';
    archive[0] = '1';
    assert_int_equal(next(&pos), CPIO_OTHER);
    archive[0] = '0';
    archive[CPIO_HEADER + 4] = 'x'; /* the name's NUL */
    assert_int_equal(next(&pos), CPIO_CORRUPT);
    assert_int_equal(pos, 0);
}

/* ---- The stream ---- */

struct log {
    struct cpio_sink sink;
    char text[4096];
    size_t len;
};

static void put(struct log *l, const void *p, size_t n)
{
    assert_true(l->len + n < sizeof(l->text));
    memcpy(l->text + l->len, p, n);
    l->len += n;
    l->text[l->len] = '\0';
}

static int log_entry(struct cpio_sink *s, const struct cpio_entry *e, const char *name)
{
    put((struct log *)s, "<", 1);
    put((struct log *)s, name, strlen(name));
    put((struct log *)s, ":", 1);
    return 0;
}

static int log_data(struct cpio_sink *s, const uint8_t *p, size_t n)
{
    put((struct log *)s, p, n);
    return 0;
}

static int log_end(struct cpio_sink *s)
{
    put((struct log *)s, ">", 1);
    return 0;
}

static void a_stream_says_the_same_however_it_is_cut(void **state)
{
    add_simple("a", "one");
    add_simple("empty", "");
    add("070702", "sum", 9, 0100644, "abcd", 'a' + 'b' + 'c' + 'd');
    add_simple("TRAILER!!!", "");
    memset(archive + used, 0, 100);
    used += 100;
    add_simple("later", "z");
    for (size_t piece = 1; piece <= used; piece++) {
        struct cpio_stream *s = malloc(sizeof(*s));
        struct log l = {.sink = {log_entry, log_data, log_end}};
        cpio_stream_init(s, &l.sink);
        for (size_t at = 0; at < used; at += piece)
            assert_int_equal(
                cpio_stream_push(s, archive + at, piece < used - at ? piece : used - at), 0);
        assert_int_equal(cpio_stream_finish(s), 0);
        assert_string_equal(l.text, "<a:one><empty:><sum:abcd><later:z>");
        free(s);
    }
}

static void a_stream_notices_its_end_and_damage(void **state)
{
    struct cpio_stream *s = malloc(sizeof(*s));
    struct log l = {.sink = {log_entry, log_data, log_end}};
    add_simple("a", "onetwothree");
    cpio_stream_init(s, &l.sink);
    assert_int_equal(cpio_stream_push(s, archive, used - 5), 0);
    assert_int_equal(cpio_stream_finish(s), -EINVAL);
    assert_int_equal(s->status, CPIO_TRUNCATED);
    cpio_stream_init(s, &l.sink);
    archive[3] = 'x';
    assert_int_equal(cpio_stream_push(s, archive, used), -EINVAL);
    assert_int_equal(s->status, CPIO_OTHER);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(entries_come_in_order_with_all_fields, start),
        cmocka_unit_test_setup(archives_follow_each_other_with_zeroes_between, start),
        cmocka_unit_test_setup(names_may_be_padded_to_align_the_data, start),
        cmocka_unit_test_setup(checksums_are_checked, start),
        cmocka_unit_test_setup(damage_is_recognised, start),
        cmocka_unit_test_setup(a_stream_says_the_same_however_it_is_cut, start),
        cmocka_unit_test_setup(a_stream_notices_its_end_and_damage, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
