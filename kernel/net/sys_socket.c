/*
 * The socket system calls that make, name, connect and end sockets. Data goes through
 * net/sys_msg.c, options through net/sockopt.c. Called by the system call entry; may sleep.
 */
#include "linux/syscall.h"
#include "net/socket_io.h"

#include <linux/net.h>

#define SOCK_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

static int create(int domain, int type, int protocol, struct socket **out)
{
    int kind = type & SOCK_TYPE_MASK;
    if (type & ~(SOCK_TYPE_MASK | SOCK_FLAGS))
        return -EINVAL;
    if (domain < 0 || domain >= AF_MAX)
        return -EAFNOSUPPORT;
    if (kind > SOCK_PACKET)
        return -EINVAL;
    struct socket_family *f = socket_family_find(domain);
    if (!f)
        return -EAFNOSUPPORT;
    int r = f->create(kind, protocol, out);
    if (r == 0)
        (*out)->file.flags |= (unsigned)type & SOCK_NONBLOCK;
    return r;
}

static long sys_socket(int domain, int type, int protocol)
{
    struct socket *s;
    long r = create(domain, type, protocol, &s);
    if (r < 0)
        return r;
    r = fd_install(&s->file, 0, (unsigned)type & SOCK_CLOEXEC);
    if (r < 0)
        file_put(&s->file);
    return r;
}
SYSCALL(socket, COMPLETE, "ixi", "");

/* Gives both ends descriptors and tells the application. The references move on. */
static int install_pair(struct socket *a, struct socket *b, unsigned flags, int *ufds)
{
    int fds[2];
    fds[0] = fd_install(&a->file, 0, flags);
    if (fds[0] < 0) {
        file_put(&a->file);
        file_put(&b->file);
        return fds[0];
    }
    fds[1] = fd_install(&b->file, 0, flags);
    if (fds[1] < 0) {
        file_put(&b->file);
        fd_close(fds[0]);
        return fds[1];
    }
    if (copy_to_user(ufds, fds, sizeof(fds)) < 0) {
        fd_close(fds[0]);
        fd_close(fds[1]);
        return -EFAULT;
    }
    return 0;
}

static long sys_socketpair(int domain, int type, int protocol, int *ufds)
{
    struct socket *a, *b;
    long r = create(domain, type, protocol, &a);
    if (r < 0)
        return r;
    r = create(domain, type, protocol, &b);
    if (r < 0) {
        file_put(&a->file);
        return r;
    }
    r = a->ops->socketpair ? a->ops->socketpair(a, b) : -EOPNOTSUPP;
    if (r < 0) {
        file_put(&a->file);
        file_put(&b->file);
        return r;
    }
    return install_pair(a, b, (unsigned)type & SOCK_CLOEXEC, ufds);
}
SYSCALL(socketpair, COMPLETE, "ixip", "");

static long sys_bind(int fd, const void *uaddr, int len)
{
    struct sock_addr a;
    struct socket *s;
    long r = socket_get(fd, &s);
    if (r < 0)
        return r;
    r = socket_addr_import(&a, uaddr, len);
    if (r == 0)
        r = s->ops->bind ? s->ops->bind(s, &a) : -EOPNOTSUPP;
    file_put(&s->file);
    return r;
}
SYSCALL(bind, COMPLETE, "dSi", "");

static long sys_connect(int fd, const void *uaddr, int len)
{
    struct sock_addr a;
    struct socket *s;
    long r = socket_get(fd, &s);
    if (r < 0)
        return r;
    r = socket_addr_import(&a, uaddr, len);
    if (r == 0)
        r = s->ops->connect ? socket_interrupted(s->ops->connect(s, &a), s->sndtimeo) : -EOPNOTSUPP;
    file_put(&s->file);
    return r;
}
SYSCALL(connect, COMPLETE, "dSi", "");

static long sys_listen(int fd, int backlog)
{
    struct socket *s;
    long r = socket_get(fd, &s);
    if (r < 0)
        return r;
    /* A negative backlog is a very large one, as in Linux. */
    if ((unsigned)backlog > SOMAXCONN)
        backlog = SOMAXCONN;
    r = s->ops->listen ? s->ops->listen(s, backlog) : -EOPNOTSUPP;
    file_put(&s->file);
    return r;
}
SYSCALL(listen, COMPLETE, "di", "");

/* Takes a connection and tells the peer's name: a descriptor or -errno. */
static long do_accept(struct socket *s, void *uaddr, int *ulen, int flags)
{
    struct socket *c;
    /* Before a connection is taken that nobody could then be given. */
    if (fd_count() >= fd_rlimit)
        return -EMFILE;
    if (!s->ops->accept)
        return -EOPNOTSUPP;
    long r = s->ops->accept(s, &c, s->file.flags & O_NONBLOCK);
    if (r < 0)
        return socket_interrupted(r, s->rcvtimeo);
    c->file.flags |= (unsigned)flags & SOCK_NONBLOCK;
    if (uaddr) {
        struct sock_addr a;
        r = c->ops->getname(c, &a, true) < 0 ? -ECONNABORTED : socket_addr_export(&a, uaddr, ulen);
    }
    if (r >= 0)
        r = fd_install(&c->file, 0, (unsigned)flags & SOCK_CLOEXEC);
    if (r < 0)
        file_put(&c->file);
    else
        socket_stats.accepted++;
    return r;
}

static long sys_accept4(int fd, void *uaddr, int *ulen, int flags)
{
    struct socket *s;
    if (flags & ~SOCK_FLAGS)
        return -EINVAL;
    long r = socket_get(fd, &s);
    if (r < 0)
        return r;
    r = do_accept(s, uaddr, ulen, flags);
    file_put(&s->file);
    return r;
}
SYSCALL(accept4, COMPLETE, "dppx", "");

static long sys_accept(int fd, void *uaddr, int *ulen)
{
    return sys_accept4(fd, uaddr, ulen, 0);
}
SYSCALL(accept, COMPLETE, "dpp", "");

static long name_of(int fd, void *uaddr, int *ulen, bool peer)
{
    struct sock_addr a;
    struct socket *s;
    long r = socket_get(fd, &s);
    if (r < 0)
        return r;
    r = s->ops->getname(s, &a, peer);
    if (r >= 0)
        r = socket_addr_export(&a, uaddr, ulen);
    file_put(&s->file);
    return r;
}

static long sys_getsockname(int fd, void *uaddr, int *ulen)
{
    return name_of(fd, uaddr, ulen, false);
}
SYSCALL(getsockname, COMPLETE, "dpp", "");

static long sys_getpeername(int fd, void *uaddr, int *ulen)
{
    return name_of(fd, uaddr, ulen, true);
}
SYSCALL(getpeername, COMPLETE, "dpp", "");

static long sys_shutdown(int fd, int how)
{
    struct socket *s;
    long r = socket_get(fd, &s);
    if (r < 0)
        return r;
    if (how < SHUT_RD || how > SHUT_RDWR)
        r = -EINVAL;
    else
        r = s->ops->shutdown ? s->ops->shutdown(s, how) : -EOPNOTSUPP;
    file_put(&s->file);
    return r;
}
SYSCALL(shutdown, COMPLETE, "di", "");
