/*
 * The longer copies from application memory; see uaccess.h. May sleep.
 */
#include "arch/x86_64/uaccess.h"

ssize_t copy_string_from_user(char *dst, const char *usrc, size_t size)
{
    size_t done = 0;

    /* By pieces that end at a page border: what lies behind the string's page may not exist. */
    while (done < size) {
        const char *from = usrc + done;
        size_t n = MIN(size - done, PAGE_SIZE - ((virt_t)from & ~PAGE_MASK));
        const char *nul;

        n = MIN(n, 64ul); /* most names are short */
        if (copy_from_user(dst + done, from, n) < 0)
            return -EFAULT;
        nul = memchr(dst + done, '\0', n);
        if (nul)
            return nul - dst;
        done += n;
    }
    return -ENAMETOOLONG;
}
