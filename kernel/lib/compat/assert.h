/*
 * For third-party code only: assert() is the kernel's own.
 */
#pragma once

#include "lib/base.h"
