/*
 * Resource limits (getrlimit(2)). Two are enforced: RLIMIT_NOFILE by fs/file.c, RLIMIT_SIGPENDING
 * by linux/signal.c.
 */
#pragma once

#include "lib/base.h"

#include <asm-generic/resource.h>
#include <linux/resource.h>

extern struct rlimit64 rlimits[RLIM_NLIMITS];
