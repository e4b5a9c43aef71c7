/*
 * Shared by the files of the socket layer (net/socket.c, net/sockopt.c, net/sys_socket.c,
 * net/sys_msg.c): from a descriptor to a socket, and the calls into a family's data
 * operations. Threads only.
 */
#pragma once

#include "arch/x86_64/uaccess.h"
#include "net/socket.h"

/* The referenced socket of a descriptor: 0, -EBADF, -ENOTSOCK. Drop it with file_put(&s->file). */
static inline int socket_get(int fd, struct socket **out)
{
    struct file *f = fd_peek(fd);
    if (unlikely(!f || !(f->kind & FILE_SOCKET)))
        return !f || (f->kind & FILE_PATH) ? -EBADF : -ENOTSOCK;
    file_get(f);
    *out = container_of(f, struct socket, file);
    return 0;
}

/* A call that ends by a signal is restarted only if it could have waited for ever. */
static inline long socket_interrupted(long r, uint64_t timeo)
{
    return r == -ERESTARTSYS && timeo != 0 ? -EINTR : r;
}

ssize_t socket_send_failed(struct socket *s, const struct sock_msg *m, ssize_t r);

static inline ssize_t socket_send(struct socket *s, struct sock_msg *m)
{
    if (file_nonblock(&s->file))
        m->flags |= MSG_DONTWAIT;
    socket_stats.sends++;
    ssize_t r = s->ops->sendmsg(s, m);
    return likely(r >= 0) ? r : socket_send_failed(s, m, r);
}

static inline ssize_t socket_receive(struct socket *s, struct sock_msg *m)
{
    if (file_nonblock(&s->file))
        m->flags |= MSG_DONTWAIT;
    socket_stats.receives++;
    return socket_interrupted(s->ops->recvmsg(s, m), s->rcvtimeo);
}

#define SOCKADDR_MAX sizeof(((struct sock_addr *)0)->bytes)

/* An address of the application: 0, -EINVAL, -EFAULT. */
static inline int socket_addr_import(struct sock_addr *a, const void *uaddr, int len)
{
    a->len = (uint32_t)len;
    a->family = AF_UNSPEC;
    if (likely(len == 16)) { /* sockaddr_in: no call for the commonest */
        const uint64_t *u = uaddr;
        uint64_t lo = 0, hi = 0;
        if (get_user(lo, &u[0]) < 0 || get_user(hi, &u[1]) < 0)
            return -EFAULT;
        __builtin_memcpy(a->bytes, &lo, 8);
        __builtin_memcpy(a->bytes + 8, &hi, 8);
        return 0;
    }
    if ((unsigned)len > SOCKADDR_MAX)
        return -EINVAL;
    return copy_from_user(a->bytes, uaddr, (size_t)len);
}

/* An address for the application: cut to its room, whose variable gets the true length. */
static inline int socket_addr_export(const struct sock_addr *a, void *uaddr, int *ulen)
{
    int room = 0;
    if (get_user(room, ulen) < 0)
        return -EFAULT;
    if (room < 0)
        return -EINVAL;
    if (likely(room == 16 && a->len == 16)) { /* sockaddr_in; *ulen is right as it is */
        uint64_t lo, hi, *u = uaddr;
        __builtin_memcpy(&lo, a->bytes, 8);
        __builtin_memcpy(&hi, a->bytes + 8, 8);
        return put_user(lo, &u[0]) < 0 || put_user(hi, &u[1]) < 0 ? -EFAULT : 0;
    }
    size_t n = MIN((size_t)room, (size_t)a->len);
    if (n > 0 && copy_to_user(uaddr, a->bytes, n) < 0)
        return -EFAULT;
    return put_user((int)a->len, ulen);
}

/* net/sockopt.c: the SOL_SOCKET options every family shares. -ENOPROTOOPT for others. */
int socket_generic_setsockopt(struct socket *s, int name, const void *val, unsigned len);
int socket_generic_getsockopt(struct socket *s, int name, void *val, unsigned *len);
