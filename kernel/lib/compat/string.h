/*
 * For third-party code only: the C library's header on top of the kernel's own functions.
 */
#pragma once

#include "lib/base.h"
