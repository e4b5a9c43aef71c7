/*
 * What runs the application, above everything else in the kernel: linux/ (unmodified Linux programs)
 * or native/ (a C program linked into the image). The kernel calls it without knowing which.
 */
#pragma once

#include "lib/base.h"

/* Early in start-up, before there are threads. */
void app_init(void);
/* Everything is up: starts the application, in the first thread. */
__noreturn void app_start(void);
/* At the end of a panic's report: what is to be said of the application. Any state, never sleeps. */
void app_panic(void);
