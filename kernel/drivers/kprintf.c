/*
 * kprintf(): the kernel's voice. Any context; longer lines are cut.
 */
#include "drivers/console.h"
#include "lib/cmdline.h"

#define LINE_MAX 1024

static bool quiet;

/* As Linux has it: only what somebody must know is printed. */
static int quiet_word(const char *value)
{
    quiet = true;
    return 0;
}
CMDLINE("quiet", quiet_word);

static void print(const char *fmt, va_list ap)
{
    char line[LINE_MAX];
    int n = kvsnprintf(line, sizeof(line), fmt, ap);

    console_write(line, MIN((size_t)n, sizeof(line) - 1));
}

void kprintf(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    print(fmt, ap);
    va_end(ap);
}

bool kinfo_wanted(void)
{
    return !quiet;
}

void kinfo(const char *fmt, ...)
{
    va_list ap;

    if (quiet)
        return;
    va_start(ap, fmt);
    print(fmt, ap);
    va_end(ap);
}
