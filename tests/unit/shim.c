/*
 * What the kernel's pure parts need on the host. Weak, so that a test can have its own: one
 * that wants to see a panic, or what was printed.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((weak)) uintptr_t host_direct_base;

void panic(const char *fmt, ...);
void kprintf(const char *fmt, ...);
int ksnprintf(char *buf, size_t size, const char *fmt, ...);
size_t strlcpy(char *dst, const char *src, size_t size);

__attribute__((weak, noreturn)) void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("panic: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}

__attribute__((weak)) void kprintf(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
}

__attribute__((weak)) int ksnprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(buf, size, fmt, ap);
    va_end(ap);
    return n;
}

__attribute__((weak)) size_t strlcpy(char *dst, const char *src, size_t size)
{
    size_t n = snprintf(dst, size, "%s", src);

    return n;
}
