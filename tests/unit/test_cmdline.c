// unit: kernel/lib/cmdline.c
/* The kernel command line: quotes, "--", what is for the program, what stops the boot. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cmdline.h"

#include <asm/errno.h>

static char log_text[4096];
static char *line;

static int note(const char *name, const char *value)
{
    size_t n = strlen(log_text);
    snprintf(log_text + n, sizeof(log_text) - n, "%s=%s;", name, value ? value : "(none)");
    return 0;
}

static int set_one(const char *value)
{
    return note("one", value);
}
static int set_ip(const char *value)
{
    return note("ip", value);
}
static int set_dev(const char *value)
{
    return note("dev", value);
}
static int refuse(const char *value)
{
    return -EINVAL;
}

/* In the kernel the linker collects these. */
extern const struct cmdline_entry __cmdline_start[];
const struct cmdline_entry __cmdline_start[] = {
    {"wherry.one", set_one},
    {"ip", set_ip},
    {"virtio_mmio.device", set_dev},
    {"wherry.bad", refuse},
};
_Static_assert(sizeof(__cmdline_start) == 64, "the number below");
__asm__(".globl __cmdline_end\n.set __cmdline_end, __cmdline_start + 64");

static int parse(const char *text, const char **bad)
{
    const char *ignored;

    free(line);
    line = strdup(text); /* exactly as long as the text: ASan sees a byte too far */
    log_text[0] = '\0';
    memset(&cmdline_init, 0, sizeof(cmdline_init));
    return cmdline_parse(line, bad ? bad : &ignored);
}

static void handlers(void **state)
{
    assert_int_equal(
        parse("wherry.one=1 ip=dhcp virtio_mmio.device=a@b:1 virtio_mmio.device=c", NULL), 0);
    assert_string_equal(log_text, "one=1;ip=dhcp;dev=a@b:1;dev=c;");
    assert_int_equal(parse("  wherry.one\t\tip= \n", NULL), 0);
    assert_string_equal(log_text, "one=(none);ip=;");
    assert_int_equal(cmdline_init.nr_args + cmdline_init.nr_env, 0);
    assert_int_equal(parse("", NULL), 0);
    assert_int_equal(parse("    ", NULL), 0);
}

static void quotes(void **state)
{
    assert_int_equal(parse("wherry.one=\"a b\" \"ip=c d\" ip=e\" f \"g", NULL), 0);
    assert_string_equal(log_text,
                        "one=a b;ip=c d;ip=e\" f \"g;"); /* only pairs around the whole go */
    assert_int_equal(parse("wherry.one=\"open to the end", NULL), 0);
    assert_string_equal(log_text, "one=open to the end;");
    assert_int_equal(parse("-- \"an argument\" \"\" x\"\"y \"", NULL), 0);
    assert_int_equal(cmdline_init.nr_args, 4);
    assert_string_equal(cmdline_init.args[0], "an argument");
    assert_string_equal(cmdline_init.args[1], "");
    assert_string_equal(cmdline_init.args[2], "x\"\"y");
    assert_string_equal(cmdline_init.args[3], "");
}

static void for_init(void **state)
{
    assert_int_equal(
        parse("debug word K=V loglevel=7 some.module=1 ip=x -- ip=y wherry.one A=B -- last", NULL),
        0);
    assert_string_equal(log_text, "ip=x;");
    assert_int_equal(cmdline_init.nr_env, 1);
    assert_string_equal(cmdline_init.env[0], "K=V");
    assert_int_equal(cmdline_init.nr_args, 6);
    assert_string_equal(cmdline_init.args[0], "word");
    assert_string_equal(cmdline_init.args[1], "ip=y");
    assert_string_equal(cmdline_init.args[3], "A=B");
    assert_string_equal(cmdline_init.args[4], "--");
    assert_string_equal(cmdline_init.args[5], "last");
    assert_int_equal(parse("K=a=b=c =x", NULL), 0);
    assert_string_equal(cmdline_init.env[0], "K=a=b=c");
}

static void refused(void **state)
{
    const char *bad = NULL;

    assert_int_equal(parse("ip=x wherry.nonsense=5 more", &bad), -EINVAL);
    assert_string_equal(bad, "wherry.nonsense=5");
    assert_int_equal(parse("wherry.bad=7", &bad), -EINVAL);
    assert_string_equal(bad, "wherry.bad=7");
    assert_int_equal(parse("wherry.", &bad), -EINVAL);
    assert_int_equal(parse("wherryless.x=1", &bad), 0);
}

static void too_many(void **state)
{
    char text[2 * CMDLINE_MAX_INIT * 8], *p;
    const char *bad = NULL;

    for (int kind = 0; kind < 3; kind++) {
        for (unsigned extra = 0; extra < 2; extra++) {
            p = text;
            if (kind == 2)
                p += sprintf(p, "-- ");
            for (unsigned i = 0; i < CMDLINE_MAX_INIT + extra; i++)
                p += sprintf(p, "%s%u ", kind == 1 ? "k=" : "w", i);
            assert_int_equal(parse(text, &bad), extra ? -E2BIG : 0);
            if (extra)
                assert_string_equal(bad, kind == 1 ? "k=128" : "w128");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers), cmocka_unit_test(quotes),   cmocka_unit_test(for_init),
        cmocka_unit_test(refused),  cmocka_unit_test(too_many),
    };
    return cmocka_run_group_tests_name("cmdline", tests, NULL, NULL);
}
