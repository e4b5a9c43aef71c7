/*
 * Pages of a read or write that are away come together; see iov_bring() in iov.h.
 */
#include "fs/iov.h"

void iov_bring_slow(const struct iov_iter *it)
{
    virt_t last = 0;

    for (size_t i = 0; i < it->nr; i++) {
        size_t off = i == 0 ? it->off : 0;

        if (!far_bring((virt_t)it->iov[i].iov_base + off, it->iov[i].iov_len - off, &last))
            break;
    }
    far_await(last);
}
