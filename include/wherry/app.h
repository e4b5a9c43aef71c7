/*
 * What a C program that is linked into a Wherry image may call beside the compiler's own headers,
 * <wherry/netdev.h>, and of <string.h>: memcpy, memmove, memset, memcmp, memchr, strlen, strcmp,
 * strncmp, strchr. It has
 *
 *     int main(int argc, char **argv);
 *
 * whose arguments are the command line's words behind "--", and whose result is the machine's exit
 * status. It runs at ring 0 in one thread, with interrupts off: nobody interrupts it, and it gives
 * way only in functions that say that they sleep.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Of main()'s stack: 256 KiB, unless the program defines it itself. Below it is a page that is not
 * mapped. */
extern const size_t wherry_stack_size;
/* To the console. %d %u %x %ld %lu %lx %zu %s %c %p, widths and zero padding. Does not sleep. */
void wherry_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same into a buffer of size bytes, always terminated; what it would have taken. */
int wherry_format(char *to, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Nanoseconds since boot, never stepping; since 1970. */
uint64_t wherry_now(void);
uint64_t wherry_wall_clock(void);
/* What nobody can guess. */
uint64_t wherry_random(void);
/* Memory, zeroed, aligned to 64 bytes (from 4 KiB on to a page, from 2 MiB on to that and mapped by
 * such pages); NULL: none. wherry_free() takes what wherry_alloc() gave. */
void *wherry_alloc(size_t size);
void wherry_free(void *p);
/* Bytes of the processor's largest cache, as CPUID has it; 0: it does not say. */
size_t wherry_cache_size(void);
/* Sleeps; devices are looked after meanwhile. */
void wherry_sleep(uint64_t nanoseconds);
/* Ends the machine. */
void wherry_exit(int status) __attribute__((noreturn));
