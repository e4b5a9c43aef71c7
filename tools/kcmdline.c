/* See kcmdline.h. */
#include "kcmdline.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/*
 * A quote anywhere switches whether blanks separate. Only a quote at the very start of the word
 * goes away, with one at the very end, and likewise around the value behind the first '='.
 */
char *kcmdline_next(const char **line)
{
    const char *p = *line;
    bool inside = false;
    size_t n = 0, equals = 0, start = 0;

    while (isspace((unsigned char)*p))
        p++;
    if (!*p)
        return NULL;
    if (*p == '"') {
        inside = true;
        start = 1;
    }
    for (n = start; p[n] && (inside || !isspace((unsigned char)p[n])); n++) {
        if (!equals && p[n] == '=' && n > start)
            equals = n;
        if (p[n] == '"')
            inside = !inside;
    }
    *line = p + n;
    size_t end = n;
    struct strbuf b = {0};
    sb_add(&b, "", 0);
    if (equals) {
        size_t value = equals + 1;
        sb_add(&b, p + start, value - start);
        if (p[value] == '"' && value < end) {
            value++;
            if (end > value && p[end - 1] == '"')
                end--;
        } else if (start && end > value && p[end - 1] == '"') {
            end--;
        }
        if (end > value)
            sb_add(&b, p + value, end - value);
    } else {
        if (start && end > start && p[end - 1] == '"')
            end--;
        sb_add(&b, p + start, end - start);
    }
    return b.s;
}

/* Does the text, followed by another word, read back as the word? */
static bool reads_back(const char *text, const char *word)
{
    char *line = xasprintf("%s next", text);
    const char *p = line;
    char *first = kcmdline_next(&p), *second = kcmdline_next(&p);
    bool ok = first && second && strcmp(first, word) == 0 && strcmp(second, "next") == 0;

    free(first);
    free(second);
    free(line);
    return ok;
}

bool kcmdline_add(struct strbuf *line, const char *word, struct why *w)
{
    char *text = xstrdup(word);

    if (!reads_back(text, word)) {
        free(text);
        text = xasprintf("\"%s\"", word);
    }
    bool ok = reads_back(text, word);
    if (ok)
        sb_addf(line, "%s%s", line->len ? " " : "", text);
    else
        because(w, "a kernel command line cannot hold this combination of quotes and blanks: %s",
                word);
    free(text);
    return ok;
}

/* Names that a kernel keeps for itself. */
static const char *const reserved[] = {
    "acpi",        "apic",     "clocksource",   "console",   "debug",      "earlycon",
    "earlyprintk", "elevator", "hostname",      "init",      "ip",         "iommu",
    "loglevel",    "lpj",      "maxcpus",       "mem",       "memmap",     "net",
    "nr_cpus",     "panic",    "pci",           "printk",    "quiet",      "rdinit",
    "reboot",      "ro",       "root",          "rootflags", "rootfstype", "rw",
    "swiotlb",     "tsc",      "tsc_early_khz", "vga",
};

bool kcmdline_add_env(struct strbuf *line, const char *assignment, struct why *w)
{
    size_t n = strcspn(assignment, "=");
    char *name;
    bool ok = true;

    if (assignment[n] != '=' || n == 0)
        return because(w, "-e %s: write NAME=VALUE", assignment);
    name = xstrndup(assignment, n);
    /* Linux takes NAME.REST for a module's parameter. */
    for (size_t i = 0; ok && i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_')
            ok = because(w,
                         "-e %s: a name that passes through a kernel command line has letters, "
                         "digits and '_' only",
                         name);
    for (size_t i = 0; ok && i < ARRAY_LEN(reserved); i++)
        if (strcmp(name, reserved[i]) == 0)
            ok = because(w, "-e %s: kernels take this name for a parameter of their own", name);
    free(name);
    return ok && kcmdline_add(line, assignment, w);
}
