/*
 * The 8250 UART at the first PC port: console ttyS0.
 */
#pragma once

/* Finds the UART and registers it for output; harmless when called again. Needs nothing but the
 * I/O ports. */
void serial_early(void);
/* Input by interrupt; once, when interrupts can be routed. */
void serial_init(void);
