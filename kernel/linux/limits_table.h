/*
 * Resource limits (getrlimit(2)); only RLIMIT_NOFILE is enforced, by fs/file.c.
 */
#pragma once

#include "lib/base.h"

#include <asm-generic/resource.h>
#include <linux/resource.h>

extern struct rlimit64 rlimits[RLIM_NLIMITS];
