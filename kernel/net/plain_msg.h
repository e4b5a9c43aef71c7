/*
 * Messages of recvmmsg() and sendmmsg() that need nothing special: one piece of memory, a name that
 * has room for a struct sockaddr_in or none, no control data. Families with a fast way for many of
 * them (socket_ops.receive_many, send_many) read their headers here, with a load for each field.
 * Threads only; may sleep.
 */
#pragma once

#include "net/socket.h"

struct plain_msg {
    void *base;
    size_t len;
    void *name;
    unsigned name_len;
};

/* Do n headers lie in the application's half? To ask before plain_msg_load(). */
static inline bool plain_msgs_ok(const struct mmsghdr *u, unsigned n)
{
    return user_range_ok(u, n * sizeof(*u));
}

/* Reads a header: false if it is of another kind, or wrong in any way. The caller then leaves it to
 * the general way, which knows the error. What is read lies in the application's half; the name, if
 * it is not NULL, is not looked at but for its first byte's place. */
static __always_inline bool plain_msg_load(struct plain_msg *m, const struct msghdr *h)
{
    size_t pieces, control, end;
    const struct iovec *v;
    int name_len;

    user_load(m->name, &h->msg_name, fault);
    user_load(name_len, &h->msg_namelen, fault);
    user_load(v, (const struct iovec *const *)&h->msg_iov, fault);
    user_load(pieces, &h->msg_iovlen, fault);
    user_load(control, &h->msg_controllen, fault);
    if (unlikely(pieces != 1 || control != 0 || !user_range_ok(v, sizeof(*v))))
        return false;
    user_load(m->base, &v->iov_base, fault);
    user_load(m->len, &v->iov_len, fault);
    m->name_len = (unsigned)name_len;
    return likely(!__builtin_add_overflow((size_t)m->base, m->len, &end) && end >> USER_BITS == 0 &&
                  user_range_ok(m->name, 1));
fault:
    return false;
}
