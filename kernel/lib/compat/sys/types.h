/*
 * For third-party code only.
 */
#pragma once

#include "lib/base.h"

typedef long off_t;
