/*
 * The only way to application memory. The application shares the kernel's address space,
 * so these are ordinary copies with two additions: the range is checked to lie in the
 * application's half, and a fault that the address space cannot resolve makes them return
 * -EFAULT (an entry in the exception table) instead of a panic. They may sleep, because a
 * page fault may (the page may be far away): never call them with network-stack state
 * half-changed, nor from interrupt context.
 */
#pragma once

#include "mm/layout.h"

#include <asm/errno.h>

#define USER_BITS 47 /* the application's half, and nothing else, is below 2^47 */

/* A short access that starts in the half and runs over its end meets addresses that are not canonical:
 * a fault like any other. So its end need not be looked at. */
static inline bool user_range_ok(const void *p, size_t n)
{
    virt_t a = (virt_t)p, end;

    if (__builtin_constant_p(n) && n <= PAGE_SIZE)
        return a >> USER_BITS == 0;
    return !__builtin_add_overflow(a, n, &end) && end >> USER_BITS == 0;
}

/* Returns the number of bytes NOT copied (arch/x86_64/uaccess.S). */
size_t user_copy(void *dst, const void *src, size_t n);
size_t user_zero(void *dst, size_t n);

/* 0 or -EFAULT; what was copied before the fault stays copied. */
static inline int copy_from_user(void *dst, const void *usrc, size_t n)
{
    return user_range_ok(usrc, n) && user_copy(dst, usrc, n) == 0 ? 0 : -EFAULT;
}

static inline int copy_to_user(void *udst, const void *src, size_t n)
{
    return user_range_ok(udst, n) && user_copy(udst, src, n) == 0 ? 0 : -EFAULT;
}

static inline int clear_user(void *udst, size_t n)
{
    return user_range_ok(udst, n) && user_zero(udst, n) == 0 ? 0 : -EFAULT;
}

/* Copies a NUL-terminated string: its length, -EFAULT, or -ENAMETOOLONG if it does not fit. */
ssize_t copy_string_from_user(char *dst, const char *usrc, size_t size);

/* get_user(x, uptr): x = *uptr, 0 after a fault; put_user(x, uptr): *uptr = x. Evaluate to 0 or -EFAULT. 1, 2, 4
 * or 8 bytes, by the pointer's type. */
#define get_user(x, uptr)                                                                          \
    ({                                                                                             \
        const __typeof__(*(uptr)) *gu_p_ = (uptr);                                                 \
        __typeof__((__typeof__(*(uptr)))0) gu_v_ = 0; /* without const */                           \
        int gu_r_ = -EFAULT;                                                                       \
        if (likely(user_range_ok(gu_p_, sizeof(gu_v_)))) {                                         \
            __asm__ volatile("1: mov %[src], %[dst]\n"                                             \
                             "   xor %[ret], %[ret]\n"                                             \
                             "2:\n"                                                                \
                             ".pushsection .extable, \"a\"\n"                                      \
                             "   .quad 1b, 2b\n"                                                   \
                             ".popsection\n"                                                       \
                             : [dst] "+&q"(gu_v_), [ret] "+r"(gu_r_)                               \
                             : [src] "m"(*gu_p_)                                                   \
                             : "cc");                                                              \
        }                                                                                          \
        (x) = gu_v_;                                                                               \
        gu_r_;                                                                                     \
    })

#define put_user(x, uptr)                                                                          \
    ({                                                                                             \
        __typeof__(*(uptr)) *pu_p_ = (uptr);                                                       \
        __typeof__(*(uptr)) pu_v_ = (x);                                                           \
        int pu_r_ = -EFAULT;                                                                       \
        if (likely(user_range_ok(pu_p_, sizeof(pu_v_)))) {                                         \
            __asm__ volatile("1: mov %[src], %[dst]\n"                                             \
                             "   xor %[ret], %[ret]\n"                                             \
                             "2:\n"                                                                \
                             ".pushsection .extable, \"a\"\n"                                      \
                             "   .quad 1b, 2b\n"                                                   \
                             ".popsection\n"                                                       \
                             : [dst] "=m"(*pu_p_), [ret] "+r"(pu_r_)                               \
                             : [src] "q"(pu_v_)                                                    \
                             : "cc", "memory");                                                    \
        }                                                                                          \
        pu_r_;                                                                                     \
    })

/*
 * Single loads and stores for those who have checked once, with user_range_ok(), that all they
 * access lies in the application's half: one instruction each. After a fault they go to the label,
 * and x is undefined. They may sleep like the others. 4 or 8 bytes. (The empty statement: without
 * it gcc before 13 may use the outputs too early, its bug 113921.)
 */
#define user_load(x, uptr, fault)                                                                  \
    do {                                                                                           \
        const __typeof__(*(uptr)) *ul_p_ = (uptr);                                                 \
        __typeof__((__typeof__(*(uptr)))0) ul_v_;                                                  \
        __asm__ volatile goto("1: mov %[src], %[dst]\n"                                            \
                              ".pushsection .extable, \"a\"\n"                                     \
                              "   .quad 1b, %l[" #fault "]\n"                                      \
                              ".popsection\n"                                                      \
                              : [dst] "=r"(ul_v_)                                                  \
                              : [src] "m"(*ul_p_)                                                  \
                              :                                                                    \
                              : fault);                                                            \
        __asm__ volatile("");                                                                      \
        (x) = ul_v_;                                                                               \
    } while (0)

#define user_store(v, uptr, fault)                                                                 \
    do {                                                                                           \
        __typeof__(*(uptr)) *us_p_ = (uptr);                                                       \
        __asm__ volatile goto("1: mov %[src], %[dst]\n"                                            \
                              ".pushsection .extable, \"a\"\n"                                     \
                              "   .quad 1b, %l[" #fault "]\n"                                      \
                              ".popsection\n"                                                      \
                              :                                                                    \
                              : [dst] "m"(*us_p_), [src] "r"((__typeof__(*(uptr)))(v))             \
                              : "memory"                                                           \
                              : fault);                                                            \
    } while (0)
