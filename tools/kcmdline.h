/*
 * Builds a kernel command line that means the same to Linux and to Wherry:
 *
 *     WORD... init=PROGRAM K=V... -- ARG...
 *
 * Words are separated by blanks; one that holds blanks (or is empty) is put between double
 * quotes, which the kernel takes away (Linux lib/cmdline.c, next_arg()). There is no escape, so a
 * word is quoted in the first way that reads back as the same word, and refused if there is none.
 * Pure; tested alone.
 */
#pragma once

#include "util.h"

/* A boot argument is at most this long with its NUL: Linux's COMMAND_LINE_SIZE on x86 and the
 * space that the boot protocols give. */
#define KCMDLINE_MAX 2048

/* Appends a blank if needed and the word, quoted. */
bool kcmdline_add(struct strbuf *line, const char *word, struct why *w);

/* Appends K=V, with the restrictions on names: what kernels take for a parameter of their own is
 * refused, as it would not reach the program. */
bool kcmdline_add_env(struct strbuf *line, const char *assignment, struct why *w);

/* Reads one word off a line as the kernel does, into a new string; *line moves on. NULL at the
 * end. (Linux splits K=V at the first '='; joined again the word is what is returned.) */
char *kcmdline_next(const char **line);
