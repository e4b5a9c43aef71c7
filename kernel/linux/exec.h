/*
 * Loading a program; see exec.c. May sleep.
 */
#pragma once

#include "lib/base.h"

/*
 * Makes path, with these arguments (kernel memory, NULL-terminated), what the current thread runs:
 * its user frame is set to the entry. commit() is called once the file is known to be
 * a program and the old address space can go; an error after that leaves nothing to return to.
 */
int exec_load(const char *path, char *const *argv, char *const *envp, void (*commit)(void));
/* Why the last exec_load() failed, as words that follow the file's name. */
const char *exec_reason(void);
