/*
 * kprintf(): the kernel's voice. Any context; longer lines are cut.
 */
#include "drivers/console.h"

#define LINE_MAX 1024

void kprintf(const char *fmt, ...)
{
    char line[LINE_MAX];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = kvsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    console_write(line, MIN((size_t)n, sizeof(line) - 1));
}
