/* <stdio.h> for third-party code compiled into the kernel: what of it the kernel has is in base.h. */
#pragma once

#include "lib/base.h"
