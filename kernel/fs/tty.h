/*
 * The console as a terminal: /dev/console, /dev/tty and the standard streams.
 */
#pragma once

#include "fs/file.h"

/* Opens descriptors 0, 1 and 2, which share one description, as init's do: 0 or -errno. */
int tty_open_stdio(void);
/* Registers the devices; once, at boot. */
void tty_init(void);
