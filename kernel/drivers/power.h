/*
 * Ending the machine. power_off() first tells the host the status on the port given by
 * wherry.statusport=PORT (decimal digits and a newline, one byte a write), then tries every
 * way of powering off in turn (isa-debug-exit at wherry.debugexit=PORT, ACPI S5, known ports,
 * Firecracker's reset, triple fault). Any context. Drivers register better ways as they find them.
 */
#pragma once

#include "lib/base.h"

__noreturn void power_off(int status);
__noreturn void power_reset(void);
/* Before an orderly end: those who have partners elsewhere say that they go. In a thread, once. */
void power_farewell(void);
void power_register_farewell(void (*fn)(void));
/* fn tries to power off and returns if that did not work. Later ones are tried first. */
void power_register(void (*fn)(void));
/* The same for a reset. */
void power_register_reset(void (*fn)(void));
