/*
 * The console: where kprintf and the application's /dev/console and standard streams go.
 * A driver (8250 serial, virtio-console) registers; output is copied to the first one, or
 * to the one chosen with console=. Before any registers, output is kept and replayed.
 */
#pragma once

#include "lib/list.h"
#include "sched/wait.h"

struct console {
    struct list link;
    const char *name; /* "ttyS0", "hvc0" */
    void (*write)(struct console *c, const char *s, size_t n);
    /* Waits (with a limit) until the device has sent all; NULL if write() does so. */
    void (*flush)(struct console *c);
};
void console_register(struct console *c);
/* Raw output, any context, does not return before the bytes are with the device. */
void console_write(const char *s, size_t n);
/* Drivers hand over received bytes; the tty (fs/tty.c) registers the sink. Any context. */
void console_input(const char *s, size_t n);
void console_set_sink(void (*sink)(const char *s, size_t n));
/* All drivers had their chance: if the console chosen with console= did not appear, the first one
 * takes its place. Called once, at the end of INIT_DRIVER. */
void console_settle(void);
/* Before the machine ends, at any stage of the boot: gets out what was written. */
void console_flush(void);
/* The console in use, "" before there is one. */
const char *console_name(void);
