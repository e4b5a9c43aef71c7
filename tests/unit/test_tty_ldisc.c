// unit: kernel/fs/tty_ldisc.c
/* Proves what a terminal makes of what is typed: lines, editing, echo, signals, end of file, raw
 * mode, flow control, and what becomes of written text. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/tty_ldisc.h"

#include <cmocka.h>

static struct ldisc l;
static char echoed[8192];
static int last_signal;

static void echo(struct ldisc *d, const char *s, size_t n)
{
    size_t at = strlen(echoed);
    assert_true(at + n < sizeof(echoed));
    memcpy(echoed + at, s, n);
    echoed[at + n] = '\0';
}

static void on_signal(struct ldisc *d, int sig)
{
    last_signal = sig;
}

static int start(void **state)
{
    ldisc_init(&l);
    l.echo = echo;
    l.signal = on_signal;
    echoed[0] = '\0';
    last_signal = 0;
    return 0;
}

static void type(const char *s)
{
    ldisc_input(&l, s, strlen(s));
}

static void expect_read(size_t n, const char *text)
{
    char buf[256];
    bool eof;
    size_t got = ldisc_read(&l, buf, n, &eof);
    buf[got] = '\0';
    assert_string_equal(buf, text);
    assert_false(eof);
}

static void expect_eof(void)
{
    char c;
    bool eof;
    assert_true(ldisc_readable(&l, 1));
    assert_int_equal(ldisc_read(&l, &c, 1, &eof), 0);
    assert_true(eof);
}

static void a_line_is_readable_when_it_ends(void **state)
{
    type("hel");
    assert_false(ldisc_readable(&l, 1));
    type("lo\rnext\n");
    assert_int_equal(ldisc_available(&l), 11);
    expect_read(3, "hel");
    expect_read(100, "lo\n");
    expect_read(100, "next\n");
    assert_false(ldisc_readable(&l, 1));
    assert_string_equal(echoed, "hello\r\nnext\r\n");
}

static void a_line_can_be_edited(void **state)
{
    type("ab\x7f"
         "c\x03"
         "x\x15"
         "two words\x17"
         "more\n");
    assert_int_equal(last_signal, 2);
    expect_read(100, "two more\n");
    echoed[0] = '\0';
    type("\x7f"); /* nothing to erase, nothing echoed */
    assert_string_equal(echoed, "");
    type("a\x7f");
    assert_string_equal(echoed, "a\b \b");
    echoed[0] = '\0';
    type("\x16\x03\x7f"); /* a literal ^C takes two columns */
    assert_string_equal(echoed, "^\b^C\b \b\b \b");
    type("l\x16\nx\n");
    expect_read(100, "l\nx\n");
}

static void interrupts_throw_the_line_away(void **state)
{
    type("rm -rf\x03");
    assert_int_equal(last_signal, 2);
    type("ls\n");
    expect_read(100, "ls\n");
    l.t.c_lflag |= NOFLSH;
    type("a\x1c"
         "b\n");
    assert_int_equal(last_signal, 3);
    expect_read(100, "ab\n");
    l.t.c_lflag &= ~(tcflag_t)ISIG;
    last_signal = 0;
    type("\x03\n");
    assert_int_equal(last_signal, 0);
    expect_read(100, "\x03\n");
}

static void control_d_ends_the_input(void **state)
{
    type("\x04");
    expect_eof();
    type("part\x04");
    expect_read(100, "part");
    assert_false(ldisc_readable(&l, 1));
    type("abcd\x04"); /* a read that the data just fills does not leave an end of file behind */
    expect_read(4, "abcd");
    assert_false(ldisc_readable(&l, 1));
}

static void raw_mode_passes_everything(void **state)
{
    struct ktermios t = l.t;
    t.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
    t.c_iflag &= ~(tcflag_t)(ICRNL | IXON);
    ldisc_set_termios(&l, &t);
    type("a\r\x03\x04\x7f");
    assert_true(ldisc_readable(&l, 5));
    assert_false(ldisc_readable(&l, 6));
    expect_read(100, "a\r\x03\x04\x7f");
    assert_string_equal(echoed, "");
    type("pending");
    t.c_lflag |= ICANON; /* what was typed raw counts as a line */
    ldisc_set_termios(&l, &t);
    expect_read(100, "pending");
}

static void output_is_translated(void **state)
{
    char out[64];
    size_t used, n = ldisc_output(&l, "a\nb\tc", 5, out, sizeof(out), &used);
    assert_int_equal(used, 5);
    assert_int_equal(n, 6);
    assert_memory_equal(out, "a\r\nb\tc", 6);
    l.column = 0;
    l.t.c_oflag |= XTABS;
    n = ldisc_output(&l, "ab\tc", 4, out, sizeof(out), &used);
    assert_int_equal(n, 9);
    assert_memory_equal(out, "ab      c", 9);
    l.t.c_oflag &= ~(tcflag_t)OPOST;
    n = ldisc_output(&l, "\n", 1, out, sizeof(out), &used);
    assert_int_equal(n, 1);
    /* A small buffer: the rest is for the next call. */
    n = ldisc_output(&l, "0123456789", 10, out, 10, &used);
    assert_int_equal(used, n);
    assert_true(used < 10);
}

static void output_is_stopped_and_started(void **state)
{
    type("\x13");
    assert_true(l.stopped);
    type("\x11");
    assert_false(l.stopped);
    type("\x13\x03");
    assert_false(l.stopped);
    type("\x13");
    struct ktermios t = l.t;
    t.c_iflag &= ~(tcflag_t)IXON;
    ldisc_set_termios(&l, &t);
    assert_false(l.stopped);
}

static void too_much_input_is_dropped_and_the_line_can_end(void **state)
{
    for (unsigned k = 0; k < LDISC_BUFFER + 500; k++)
        ldisc_input(&l, "x", 1);
    assert_int_equal(l.dropped, 501);
    type("\n");
    assert_int_equal(ldisc_available(&l), LDISC_BUFFER);
    char *buf = malloc(LDISC_BUFFER);
    bool eof;
    assert_int_equal(ldisc_read(&l, buf, LDISC_BUFFER, &eof), LDISC_BUFFER);
    assert_int_equal(buf[LDISC_BUFFER - 1], '\n');
    free(buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_is_readable_when_it_ends, start),
        cmocka_unit_test_setup(a_line_can_be_edited, start),
        cmocka_unit_test_setup(interrupts_throw_the_line_away, start),
        cmocka_unit_test_setup(control_d_ends_the_input, start),
        cmocka_unit_test_setup(raw_mode_passes_everything, start),
        cmocka_unit_test_setup(output_is_translated, start),
        cmocka_unit_test_setup(output_is_stopped_and_started, start),
        cmocka_unit_test_setup(too_much_input_is_dropped_and_the_line_can_end, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
