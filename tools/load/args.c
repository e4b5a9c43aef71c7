/* See args.h. */
#define _GNU_SOURCE
#include "args.h"

#include "../util.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct arg *find(const struct arg *table, size_t n, const char *name, size_t len)
{
    const char **names, *near;
    char *word;

    for (size_t i = 0; i < n; i++)
        if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
            return &table[i];
    names = xcalloc(n, sizeof(*names));
    for (size_t i = 0; i < n; i++)
        names[i] = table[i].name;
    word = xstrndup(name, len);
    near = nearest(word, names, n);
    if (near)
        die("unknown option --%s; did you mean --%s?", word, near);
    die("unknown option --%s (--help lists them)", word);
}

int args_parse(const struct arg *table, size_t n, void *options, int argc, char **argv)
{
    int words = 0;

    for (int i = 0; i < argc; i++) {
        const char *name = argv[i] + 2, *value, *equals;
        const struct arg *a;

        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
            return -1;
        if (argv[i][0] != '-') {
            argv[words++] = argv[i];
            continue;
        }
        if (argv[i][1] != '-')
            die("unknown option %s (--help lists them)", argv[i]);
        equals = strchrnul(name, '=');
        a = find(table, n, name, equals - name);
        value = *equals ? equals + 1 : NULL;
        if (!a->value && value)
            die("--%s takes no value", a->name);
        if (a->value && !value) {
            if (i + 1 == argc)
                die("--%s needs a value: %s", a->name, a->value);
            value = argv[++i];
        }
        a->set(options, a->name, value);
    }
    return words;
}

void args_help(const struct arg *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *left = xasprintf("--%s%s%s", table[i].name, table[i].value ? " " : "",
                               table[i].value ? table[i].value : "");
        const char *help = table[i].help;

        printf("  %-28s ", left);
        if (strlen(left) > 28)
            printf("\n%31s", "");
        for (const char *line; (line = strchr(help, '\n')); help = line + 1)
            printf("%.*s\n%31s", (int)(line - help), help, "");
        printf("%s\n", help);
        free(left);
    }
}

uint64_t arg_number(const char *name, const char *s, uint64_t min, uint64_t max)
{
    char *end;
    uint64_t n;

    errno = 0;
    n = strtoull(s, &end, 10);
    if (*s < '0' || *s > '9' || *end || errno || n < min || n > max)
        die("--%s %s: a number from %llu to %llu", name, s, (unsigned long long)min,
            (unsigned long long)max);
    return n;
}

double arg_real(const char *name, const char *s, double min, double max)
{
    char *end;
    double x = strtod(s, &end);

    if (*s < '0' || *s > '9' || *end || !isfinite(x) || x < min || x > max)
        die("--%s %s: a number from %g to %g", name, s, min, max);
    return x;
}

int arg_one_of(const char *name, const char *s, const char *const *names)
{
    struct strbuf list = {0};

    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], s) == 0)
            return i;
    for (int i = 0; names[i]; i++)
        sb_addf(&list, "%s%s", i ? ", " : "", names[i]);
    die("--%s %s: one of %s", name, s, list.s);
}
