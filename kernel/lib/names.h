/*
 * Names of system calls, errors and signals. NULL for a number that has none. The text is in a
 * buffer that the fourth next call overwrites. Any context.
 */
#pragma once

#include <stdint.h>

const char *syscall_name(uint64_t nr);
const char *errno_name(int err);  /* err positive */
const char *signal_name(int sig); /* 1 to 31 */
