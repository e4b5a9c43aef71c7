/*
 * A cursor over the memory of a read or write: one or more pieces, in application memory
 * (copies may fault and sleep) or in the kernel's. Lives on the caller's stack.
 */
#pragma once

#include "arch/x86_64/uaccess.h"
#include "mm/far/far.h"

#include <linux/uio.h>

struct iov_iter {
    const struct iovec *iov; /* kernel array; the piece the cursor is in */
    size_t nr;               /* pieces left, this one included */
    size_t off;              /* bytes used of *iov */
    size_t count;            /* bytes left in all */
    bool kernel;             /* pieces are kernel memory */
};

static inline void iov_iter_init(struct iov_iter *it, const struct iovec *iov, size_t nr,
                                 size_t count, bool kernel)
{
    *it = (struct iov_iter){.iov = iov, .nr = nr, .count = count, .kernel = kernel};
}

ssize_t copy_to_iter_slow(struct iov_iter *it, const void *src, size_t n);
ssize_t copy_from_iter_slow(struct iov_iter *it, void *dst, size_t n);

/* Is it one piece of the application's memory, with room for n? */
static __always_inline bool iov_iter_simple(const struct iov_iter *it, const void *at, size_t n)
{
    return likely(it->nr == 1 && !it->kernel && n <= it->count) && user_range_ok(at, n);
}

static __always_inline ssize_t iov_iter_took(struct iov_iter *it, size_t n)
{
    it->off += n;
    it->count -= n;
    return (ssize_t)n;
}

/* Copy min(n, it->count) bytes and move the cursor. Return the bytes copied, -EFAULT when the
 * first byte could not be. */
static inline ssize_t copy_to_iter(struct iov_iter *it, const void *src, size_t n)
{
    char *at = (char *)it->iov->iov_base + it->off;

    if (iov_iter_simple(it, at, n) && likely(user_copy(at, src, n) == 0))
        return iov_iter_took(it, n);
    return copy_to_iter_slow(it, src, n);
}
static inline ssize_t copy_from_iter(struct iov_iter *it, void *dst, size_t n)
{
    const char *at = (const char *)it->iov->iov_base + it->off;

    if (iov_iter_simple(it, at, n) && likely(user_copy(dst, at, n) == 0))
        return iov_iter_took(it, n);
    return copy_from_iter_slow(it, dst, n);
}
ssize_t zero_iter(struct iov_iter *it, size_t n);
/* Moves the cursor n <= count bytes on without copying. */
void iov_iter_advance(struct iov_iter *it, size_t n);

/* A system call is about to read all of it: pages of it that are away come together, and not one
 * after the other as they are missed. May sleep; the first thing to be done. */
void iov_bring_slow(const struct iov_iter *it);
static inline void iov_bring(const struct iov_iter *it)
{
    if (unlikely(far_on) && it->count > PAGE_SIZE && !it->kernel)
        iov_bring_slow(it);
}

/* Fetches an application's iovec array: at most UIO_MAXIOV pieces, total at most MAX_RW_COUNT.
 * fast holds the array if it fits (nr_fast), else it is allocated; iov_release() frees it.
 * 0, -EINVAL, -EFAULT, -ENOMEM. */
#define MAX_RW_COUNT 0x7ffff000ul
int iov_import(struct iov_iter *it, const struct iovec *uiov, size_t nr, struct iovec *fast,
               size_t nr_fast, struct iovec **out);
void iov_release(struct iovec *iov, struct iovec *fast);
