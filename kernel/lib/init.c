/*
 * Runs the registered start-up functions, level by level; see init.h.
 */
#include "lib/init.h"

extern const struct init_entry __init_entries_start[], __init_entries_end[];

int init_run(enum init_level level)
{
    for (const struct init_entry *e = __init_entries_start; e < __init_entries_end; e++) {
        int r = e->level == level ? e->fn() : 0;
        if (r < 0) {
            kprintf("wherry: %s failed: error %d\n", e->name, -r);
            return r;
        }
    }
    return 0;
}
