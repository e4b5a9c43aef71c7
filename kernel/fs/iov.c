/*
 * The cursor over a read's or write's memory. Called by everything that moves bytes. The
 * copies may sleep when the memory is the application's. One piece of it is the common case and
 * is inline in iov.h.
 */
#include "fs/iov.h"

#include "arch/x86_64/uaccess.h"
#include "mm/slab.h"

enum direction { TO_ITER, FROM_ITER, ZERO_ITER };

/* Copies n bytes at p, which lie within one piece: bytes done. */
static __always_inline size_t copy_piece(const struct iov_iter *it, void *p, void *mem, size_t n,
                                         enum direction d)
{
    if (it->kernel) {
        if (d == TO_ITER)
            memcpy(p, mem, n);
        else if (d == FROM_ITER)
            memcpy(mem, p, n);
        else
            memset(p, 0, n);
        return n;
    }
    if (unlikely(!user_range_ok(p, n)))
        return 0;
    if (d == TO_ITER)
        return n - user_copy(p, mem, n);
    if (d == FROM_ITER)
        return n - user_copy(mem, p, n);
    return n - user_zero(p, n);
}

static __always_inline ssize_t iter_copy(struct iov_iter *it, void *mem, size_t n, enum direction d)
{
    if (n > it->count)
        n = it->count;
    size_t done = 0;
    while (done < n) {
        size_t room = it->iov->iov_len - it->off;
        size_t part = n - done < room ? n - done : room;
        size_t got =
            copy_piece(it, (char *)it->iov->iov_base + it->off, (char *)mem + done, part, d);
        done += got;
        it->off += got;
        it->count -= got;
        if (unlikely(got < part))
            return done > 0 ? (ssize_t)done : -EFAULT;
        if (part == room && it->nr > 1) {
            it->iov++;
            it->nr--;
            it->off = 0;
        }
    }
    return (ssize_t)n;
}

ssize_t copy_to_iter_slow(struct iov_iter *it, const void *src, size_t n)
{
    return iter_copy(it, (void *)src, n, TO_ITER);
}

ssize_t copy_from_iter_slow(struct iov_iter *it, void *dst, size_t n)
{
    return iter_copy(it, dst, n, FROM_ITER);
}

ssize_t zero_iter(struct iov_iter *it, size_t n)
{
    return iter_copy(it, NULL, n, ZERO_ITER);
}

void iov_iter_advance(struct iov_iter *it, size_t n)
{
    assert(n <= it->count);
    it->count -= n;
    it->off += n;
    while (it->nr > 1 && it->off >= it->iov->iov_len) {
        it->off -= it->iov->iov_len;
        it->iov++;
        it->nr--;
    }
}

int iov_import(struct iov_iter *it, const struct iovec *uiov, size_t nr, struct iovec *fast,
               size_t nr_fast, struct iovec **out)
{
    *out = fast;
    if (unlikely(nr > UIO_MAXIOV))
        return -EINVAL;
    struct iovec *v = fast;
    if (nr > nr_fast) {
        v = kmalloc(nr * sizeof(*v));
        if (v == NULL)
            return -ENOMEM;
        *out = v;
    }
    int err = copy_from_user(v, uiov, nr * sizeof(*v));
    size_t total = 0;
    for (size_t i = 0; i < nr && err == 0; i++) {
        if ((ssize_t)v[i].iov_len < 0) {
            err = -EINVAL;
            break;
        }
        if (!user_range_ok(v[i].iov_base, v[i].iov_len)) {
            err = -EFAULT;
            break;
        }
        if (v[i].iov_len > MAX_RW_COUNT - total)
            v[i].iov_len = MAX_RW_COUNT - total;
        total += v[i].iov_len;
    }
    if (err < 0) {
        iov_release(v, fast);
        *out = fast;
        return err;
    }
    iov_iter_init(it, v, nr, total, false);
    /* Empty pieces in front would make the first copy step over them one by one. */
    while (it->nr > 1 && it->iov->iov_len == 0) {
        it->iov++;
        it->nr--;
    }
    return 0;
}

void iov_release(struct iovec *iov, struct iovec *fast)
{
    if (iov != fast)
        kfree(iov);
}
