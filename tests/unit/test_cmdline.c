// unit: kernel/lib/cmdline.c tools/kcmdline.c tools/util.c
/* Proves that the kernel reads off its command line what the host tool wrote on it, and sorts the
 * words as Linux does. */
#include "lib/cmdline.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct strbuf {
    char *s;
    size_t len, cap;
};
struct why {
    char text[512];
};
/* tools/kcmdline.h, whose other headers do not go together with the kernel's. */
bool kcmdline_add(struct strbuf *line, const char *word, struct why *w);
char *kcmdline_next(const char **line);

static char last_value[64];

static int note_value(const char *value)
{
    strcpy(last_value, value ? value : "(none)");
    return strcmp(last_value, "bad") == 0 ? -EINVAL : 0;
}

/* The linker script's table. */
const struct cmdline_entry __cmdline_start[] = {{"wherry.test", note_value}, {"ip", note_value}};
__asm__(".globl __cmdline_end\n.set __cmdline_end, __cmdline_start + 32\n");

static int parse(const char *text, const char **bad)
{
    static char line[8192];

    memset(&cmdline_init, 0, sizeof(cmdline_init));
    last_value[0] = '\0';
    strcpy(line, text);
    return cmdline_parse(line, bad);
}

static void words_are_sorted_as_linux_does(void **state)
{
    const char *bad;

    (void)state;
    assert_int_equal(parse("console=ttyS0 quiet A=b mod.param=1 bare ip=1.2.3.4 wherry.test "
                           "B=\"c d\" \"E=f g\" -- --save \"\" K=V \"two words\" --",
                           &bad),
                     0);
    assert_string_equal(last_value, "(none)");
    assert_int_equal(cmdline_init.nr_env, 4);
    assert_string_equal(cmdline_init.env[1], "A=b");
    assert_string_equal(cmdline_init.env[2], "B=c d");
    assert_string_equal(cmdline_init.env[3], "E=f g");
    const char *args[] = {"bare", "--save", "", "K=V", "two words", "--"};
    assert_int_equal(cmdline_init.nr_args, 6);
    for (int i = 0; i < 6; i++)
        assert_string_equal(cmdline_init.args[i], args[i]);
}

static void unknown_words_of_ours_stop_the_boot(void **state)
{
    const char *bad = NULL;

    (void)state;
    assert_int_equal(parse("wherry.tset=1", &bad), -EINVAL);
    assert_string_equal(bad, "wherry.tset=1");
    assert_int_equal(parse("wherry.test=bad", &bad), -EINVAL);
}

/* Random words of the characters that matter: whatever the tool accepts arrives as it was. */
static void kernel_reads_what_the_tool_writes(void **state)
{
    static const char chars[] = "ab=\"\" -'\\{:.";
    unsigned seed = 1, accepted = 0;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct strbuf line = {0};
        struct why w;
        char words[4][10];
        const char *bad, *p;
        int n = 0;
        assert_true(kcmdline_add(&line, "--", &w));
        for (int i = 0; i < 4; i++) {
            int len = rand_r(&seed) % 9;
            for (int c = 0; c < len; c++)
                words[n][c] = chars[rand_r(&seed) % (sizeof(chars) - 1)];
            words[n][len] = '\0';
            if (kcmdline_add(&line, words[n], &w))
                n++;
        }
        assert_int_equal(parse(line.s, &bad), 0);
        assert_int_equal(cmdline_init.nr_args, n);
        p = line.s;
        free(kcmdline_next(&p));
        for (int i = 0; i < n; i++) {
            char *again = kcmdline_next(&p);
            assert_string_equal(cmdline_init.args[i], words[i]);
            assert_string_equal(again, words[i]);
            free(again);
        }
        accepted += n;
        free(line.s);
    }
    assert_in_range(accepted, 20000, 80000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_sorted_as_linux_does),
        cmocka_unit_test(unknown_words_of_ours_stop_the_boot),
        cmocka_unit_test(kernel_reads_what_the_tool_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
