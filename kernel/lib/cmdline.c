/*
 * The command-line parser; see cmdline.h. Pure: also runs in unit tests and the fuzzer.
 */
#include "lib/cmdline.h"

#include <asm/errno.h>

extern const struct cmdline_entry __cmdline_start[], __cmdline_end[];

struct cmdline_init cmdline_init;

/* Linux kernel parameters that VMMs and users pass out of habit and that mean nothing here. Linux
 * would not hand them to init either. */
static const char *const ignored[] = {
    "acpi",          "apic",         "clocksource",
    "debug",         "earlycon",     "earlyprintk",
    "elevator",      "hostname",     "ignore_loglevel",
    "loglevel",      "maxcpus",      "mitigations",
    "net",           "nmi_watchdog", "no_timer_check",
    "nokaslr",       "nomodule",     "nomodules",
    "noreplace-smp", "noxsave",      "nr_cpus",
    "panic",         "pci",          "printk",
    "random",        "rcupdate",     "rdinit",
    "reboot",        "ro",           "root",
    "rootfstype",    "rootflags",    "rw",
    "swiotlb",       "tsc",          "lpj",
};

static bool is_ignored(const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(ignored); i++)
        if (strcmp(name, ignored[i]) == 0)
            return true;
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/*
 * Cuts the next word off *p: NULL at the end of the line. As in Linux's next_arg(), a quote
 * anywhere switches whether blanks separate, but only the pair around the whole word, or around
 * the value behind its first '=', goes away.
 */
static char *next_word(char **p)
{
    char *in = *p, *word, *end, *eq = NULL;
    bool quoted, inside;

    while (is_blank(*in))
        in++;
    if (!*in)
        return NULL;
    quoted = inside = *in == '"';
    word = in += quoted;
    for (; *in && (inside || !is_blank(*in)); in++) {
        if (*in == '=' && !eq && in > word)
            eq = in;
        if (*in == '"')
            inside = !inside;
    }
    end = in;
    *p = *in ? in + 1 : in;
    if (eq && eq + 1 < end && eq[1] == '"') {
        memmove(eq + 1, eq + 2, end - (eq + 2));
        end--;
        quoted = end > eq + 1;
    }
    if (quoted && end > word && end[-1] == '"')
        end--;
    *end = '\0';
    return word;
}

static const struct cmdline_entry *find(const char *name)
{
    for (const struct cmdline_entry *e = __cmdline_start; e < __cmdline_end; e++)
        if (strcmp(e->name, name) == 0)
            return e;
    return NULL;
}

static int handle_word(char *word)
{
    char *eq = strchr(word, '=');
    const struct cmdline_entry *e;
    struct cmdline_init *ci = &cmdline_init;

    if (eq)
        *eq = '\0';
    e = find(word);
    if (e) {
        int r = e->fn(eq ? eq + 1 : NULL);
        if (eq)
            *eq = '=';
        return r;
    }
    bool drop = is_ignored(word), ours = strncmp(word, "wherry.", 7) == 0;
    if (!ours && strchr(word, '.'))
        drop = true; /* a module's parameter */
    if (eq)
        *eq = '=';
    if (ours)
        return -EINVAL;
    if (drop)
        return 0;
    if (eq ? ci->nr_env == CMDLINE_MAX_INIT : ci->nr_args == CMDLINE_MAX_INIT)
        return -E2BIG;
    if (eq)
        ci->env[ci->nr_env++] = word;
    else
        ci->args[ci->nr_args++] = word;
    return 0;
}

int cmdline_parse(char *line, const char **bad)
{
    bool for_init = false;
    char *word;
    int r = 0;

    while ((word = next_word(&line))) {
        if (!for_init && strcmp(word, "--") == 0) {
            for_init = true;
            continue;
        }
        if (!for_init) {
            r = handle_word(word);
        } else if (cmdline_init.nr_args < CMDLINE_MAX_INIT) {
            cmdline_init.args[cmdline_init.nr_args++] = word;
        } else {
            r = -E2BIG;
        }
        if (r < 0) {
            *bad = word;
            return r;
        }
    }
    return 0;
}
