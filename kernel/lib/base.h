/*
 * The words every kernel file uses: fixed-width types, small macros, panic and
 * assert, and the kernel's own printf. Everyone may include it; it includes
 * nothing of ours. Also compiled for the host by the unit tests, which supply
 * panic() and kprintf() themselves.
 */
#pragma once

#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef long ssize_t;
typedef uint64_t phys_t; /* a physical address, in bytes */
typedef uint64_t virt_t; /* a virtual address that is not (yet) dereferenced */

#define KiB           1024ul
#define MiB           (1024ul * KiB)
#define GiB           (1024ul * MiB)
#define PAGE_SHIFT    12
#define PAGE_SIZE     4096ul
#define PAGE_MASK     (~(PAGE_SIZE - 1))
#define HUGE_SHIFT    21
#define HUGE_SIZE     (2 * MiB)
#define HUGE_MASK     (~(HUGE_SIZE - 1))
#define NSEC_PER_SEC  1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a)                  (((x) + ((a)-1)) & ~((__typeof__(x))(a)-1))
#define ALIGN_DOWN(x, a)                ((x) & ~((__typeof__(x))(a)-1))
#define MIN(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) min_a_ = (a);                                                                \
        __typeof__(b) min_b_ = (b);                                                                \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                         \
    })
#define MAX(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) max_a_ = (a);                                                                \
        __typeof__(b) max_b_ = (b);                                                                \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                         \
    })

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define barrier()   __asm__ volatile("" ::: "memory")
#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

#define __packed      __attribute__((packed))
#define __printf(f, a) __attribute__((format(printf, f, a)))
#define __noreturn    __attribute__((noreturn))
#define __cold        __attribute__((cold, noinline))
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))

/* Prints registers and a backtrace, then powers off with a failure status. Any context. */
__noreturn __cold void panic(const char *fmt, ...) __printf(1, 2);

/* An assertion is for our own bugs only; what the outside world does wrong is an errno. */
#define assert(cond)                                                                               \
    do {                                                                                           \
        if (unlikely(!(cond)))                                                                     \
            panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #cond);                       \
    } while (0)

/*
 * Console output. %d %i %u %x %X %o %c %s %p %%, with width, precision, '0', '-', '#'
 * and the l, ll, z and h lengths, as in C. No floating point. Any context, never blocks.
 */
void kprintf(const char *fmt, ...) __printf(1, 2);
/* The same for what is only worth knowing: the word quiet on the command line silences it. */
void kinfo(const char *fmt, ...) __printf(1, 2);
bool kinfo_wanted(void);
/* As C's snprintf: returns the length the whole text would have had. */
int ksnprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
int kvsnprintf(char *buf, size_t size, const char *fmt, va_list ap);

/* C's string.h, implemented in lib/string.c and arch/x86_64/memcpy.S. */
void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *hay, const char *needle);
char *strcpy(char *dst, const char *src);
char *strncpy(char *dst, const char *src, size_t n);
/* Copies at most size-1 bytes and always terminates; returns strlen(src). */
size_t strlcpy(char *dst, const char *src, size_t size);
/* Parses an unsigned number (decimal, or hex with 0x); returns the first byte not used, NULL if
 * there is no digit or the value overflows. */
const char *parse_u64(const char *s, uint64_t *out);
/* As parse_u64, with an optional suffix K, M, G or T (powers of 1024). */
const char *parse_size(const char *s, uint64_t *out);
