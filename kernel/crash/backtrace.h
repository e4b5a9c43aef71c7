/*
 * Printing where the kernel and the application are. Called by crash reports only.
 */
#pragma once

#include "lib/unwind.h"

struct trap_frame;

/* Copies from any address, by looking at the page tables first: it never faults or sleeps. A page
 * of a file that is mapped but was not touched yet is read from the file. false: some of it is not
 * in memory, or is a device's. */
bool backtrace_read(virt_t addr, void *buf, size_t n);
/* The registers of a complete frame. */
struct unwind_cursor backtrace_cursor(const struct trap_frame *f);
/* Prints frames from c on, out of the kernel into the application if it leads there, and why it
 * ended. */
void backtrace_print(const struct unwind_cursor *c);

/* What is known of the application's frames; NULL: there is no application in memory of its own. */
struct backtrace_app {
    void (*print)(struct unwind_memory *mem, unsigned nr, const struct unwind_cursor *c);
    /* The unwind tables that cover pc; hdr 0: the image has none. False: pc is in no image. */
    bool (*tables)(struct unwind_memory *mem, virt_t pc, struct unwind_tables *t);
    /* The content of a page that is not mapped yet but at hand; or NULL. */
    const char *(*file_page)(virt_t page);
};
extern const struct backtrace_app *backtrace_app;
