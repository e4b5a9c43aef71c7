/*
 * /proc/sysrq-trigger: what Linux's magic keys do that have a meaning here (Linux's
 * Documentation/admin-guide/sysrq.rst). Written by applications and tests: 'c' is how a test makes
 * the kernel panic, 't' tells where a program hangs.
 */
#include "crash/threads.h"
#include "drivers/power.h"
#include "fs/procfs.h"
#include "lib/init.h"

#include <asm/errno.h>

#define STATUS_OFF 0

static int trigger(const char *s)
{
    switch (*s) {
    case 'b':
        power_reset();
    case 'c':
        panic("sysrq triggered crash");
    case 'o':
        power_farewell();
        power_off(STATUS_OFF);
    case 't':
        threads_print();
        return 0;
    case 's': /* nothing here is written later */
    case 'u':
        return 0;
    default:
        return -EINVAL; /* Linux lists the keys on its console, and succeeds */
    }
}

static struct proc_file files[] = {
    {.path = "/proc/sysrq-trigger", .mode = 0200, .store = trigger},
};

static int sysrq_init(void)
{
    procfs_register_files(files, ARRAY_SIZE(files));
    return 0;
}
INIT(INIT_FS, sysrq_init);
