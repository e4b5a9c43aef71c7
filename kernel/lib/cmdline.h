/*
 * The kernel command line, parsed once. Words are Linux's; our own start with "wherry.".
 * A module declares the word it understands:
 *
 *     CMDLINE("wherry.strace", set_strace);
 *
 * The handler gets the text after '=' (NULL if there was no '=') and returns 0 or -EINVAL.
 * A handler with a name ending in '.' gets every word with that prefix (virtio_mmio.device may
 * repeat; each occurrence is handed over in turn). Unknown wherry.* words stop the boot with a
 * message; other unknown words are, as in Linux, passed to init: K=V as environment, bare words
 * as arguments.
 */
#pragma once

#include "lib/base.h"

struct cmdline_entry {
    const char *name;
    int (*fn)(const char *value);
};

#define CMDLINE(name_, fn_)                                                                        \
    static const struct cmdline_entry cmdline_entry_##fn_                                          \
        __attribute__((section(".cmdline"), used, aligned(8))) = {name_, fn_}

#define CMDLINE_MAX_INIT 128

/* What is for the application: words after "--", unknown bare words and K=V. They point into the
 * parsed line. */
struct cmdline_init {
    const char *args[CMDLINE_MAX_INIT];
    const char *env[CMDLINE_MAX_INIT];
    unsigned nr_args, nr_env;
};
extern struct cmdline_init cmdline_init;

/*
 * Splits the line in place (double quotes keep blanks together and go away, as in Linux's
 * next_arg()) and calls the handlers, which may only note the value: they run before devices and
 * threads exist. 0; -EINVAL for an unknown wherry.* word or a bad value, -E2BIG for too many words
 * for init; *bad then names the word.
 */
int cmdline_parse(char *line, const char **bad);
