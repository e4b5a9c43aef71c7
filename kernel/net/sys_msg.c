/*
 * The system calls that carry data: send and receive, one message or many. Everything small
 * (one iovec, an address, short control data) lives on the stack; payload is never copied here.
 * Called by the system call entry; may sleep.
 */
#include "fs/poll.h"
#include "linux/syscall.h"
#include "mm/slab.h"
#include "net/plain_msg.h"
#include "net/socket_io.h"

#define MSG_FAST_IOV     8         /* iovecs that need no allocation */
#define CONTROL_FAST     256       /* bytes of control data that need none */
#define CONTROL_SEND_MAX 20480u    /* Linux's net.core.optmem_max */
#define CONTROL_RECV_MAX PAGE_SIZE /* more than any family has to say */
#define MMSG_MAX         UIO_MAXIOV

/* ---- One buffer -------------------------------------------------------------------------- */

static long sys_sendto(int fd, const void *ubuf, size_t len, unsigned flags, const void *uaddr,
                       int addrlen)
{
    struct sock_addr a;
    struct socket *s;
    long r = socket_get(fd, &s);
    if (unlikely(r < 0))
        return r;
    struct iovec iov = {(void *)ubuf, MIN(len, MAX_RW_COUNT)};
    struct iov_iter it;
    iov_iter_init(&it, &iov, 1, iov.iov_len, false);
    struct sock_msg m = {.it = &it, .flags = flags};
    if (unlikely(flags & MSG_CMSG_COMPAT)) {
        r = -EINVAL;
    } else if (unlikely(!user_range_ok(ubuf, iov.iov_len))) {
        r = -EFAULT;
    } else if (uaddr) {
        r = socket_addr_import(&a, uaddr, addrlen);
        m.addr = &a;
    }
    if (likely(r == 0)) {
        iov_bring(&it);
        r = socket_send(s, &m);
    }
    file_put(&s->file);
    return r;
}
SYSCALL(sendto, COMPLETE, "dbzxSi", "");

static long sys_recvfrom(int fd, void *ubuf, size_t len, unsigned flags, void *uaddr, int *ulen)
{
    struct sock_addr a;
    struct socket *s;
    long r = socket_get(fd, &s);
    if (unlikely(r < 0))
        return r;
    struct iovec iov = {ubuf, MIN(len, MAX_RW_COUNT)};
    struct iov_iter it;
    iov_iter_init(&it, &iov, 1, iov.iov_len, false);
    struct sock_msg m = {.it = &it, .flags = flags};
    if (uaddr) {
        a.len = 0;
        m.addr = &a;
    }
    if (unlikely(flags & MSG_CMSG_COMPAT))
        r = -EINVAL;
    else if (unlikely(!user_range_ok(ubuf, iov.iov_len)))
        r = -EFAULT;
    else
        r = socket_receive(s, &m);
    if (r >= 0 && uaddr) {
        int e = socket_addr_export(&a, uaddr, ulen);
        if (e < 0)
            r = e;
    }
    file_put(&s->file);
    return r;
}
SYSCALL(recvfrom, COMPLETE, "dBzxpp", "");

/* ---- struct msghdr ----------------------------------------------------------------------- */

/* An application's message header and what it points to, in kernel memory. */
struct message {
    struct sock_msg m;
    struct msghdr h;
    struct iov_iter it;
    struct sock_addr addr;
    struct iovec *iov; /* fast_iov, or allocated */
    struct iovec fast_iov[MSG_FAST_IOV];
    uint64_t fast_control[CONTROL_FAST / 8];
};

static int import_iov(struct message *g)
{
    struct iovec *v = g->fast_iov;
    g->iov = v;
    if (likely(g->h.msg_iovlen == 1)) {
        if (get_user(v->iov_base, &g->h.msg_iov->iov_base) < 0 ||
            get_user(v->iov_len, &g->h.msg_iov->iov_len) < 0)
            return -EFAULT;
        if (unlikely((ssize_t)v->iov_len < 0))
            return -EINVAL;
        v->iov_len = MIN(v->iov_len, MAX_RW_COUNT);
        if (unlikely(!user_range_ok(v->iov_base, v->iov_len)))
            return -EFAULT;
        iov_iter_init(&g->it, v, 1, v->iov_len, false);
        return 0;
    }
    if (g->h.msg_iovlen > UIO_MAXIOV)
        return -EMSGSIZE;
    return iov_import(&g->it, g->h.msg_iov, g->h.msg_iovlen, g->fast_iov, MSG_FAST_IOV, &g->iov);
}

/* The header and the iovecs. On success message_end() must follow. */
static int message_begin(struct message *g, const struct msghdr *uh, unsigned flags)
{
    if (copy_from_user(&g->h, uh, sizeof(g->h)) < 0)
        return -EFAULT;
    if (!g->h.msg_name)
        g->h.msg_namelen = 0;
    if (g->h.msg_namelen < 0)
        return -EINVAL;
    g->h.msg_namelen = MIN(g->h.msg_namelen, (int)SOCKADDR_MAX);
    g->m = (struct sock_msg){.it = &g->it, .flags = flags};
    return import_iov(g);
}

static void message_end(struct message *g)
{
    iov_release(g->iov, g->fast_iov);
    if (unlikely(g->m.control && g->m.control != g->fast_control))
        kfree(g->m.control);
}

static int control_alloc(struct message *g, size_t len)
{
    g->m.control = len <= sizeof(g->fast_control) ? g->fast_control : kmalloc(len);
    return g->m.control ? 0 : -ENOMEM;
}

/* Is it a chain of whole messages? What is too short for a header ends it. */
static bool control_ok(const char *control, size_t len)
{
    while (len >= sizeof(struct cmsghdr)) {
        const struct cmsghdr *c = (const struct cmsghdr *)control;
        if (!CMSG_OK(c, len))
            return false;
        size_t step = CMSG_ALIGN(c->cmsg_len);
        if (step >= len)
            break;
        control += step;
        len -= step;
    }
    return true;
}

static int import_control(struct message *g)
{
    size_t len = g->h.msg_controllen;
    if (len == 0)
        return 0;
    if (len > CONTROL_SEND_MAX)
        return -ENOBUFS;
    int r = control_alloc(g, len);
    if (r < 0)
        return r;
    if (copy_from_user(g->m.control, g->h.msg_control, len) < 0)
        return -EFAULT;
    if (!control_ok(g->m.control, len))
        return -EINVAL;
    g->m.control_len = len < sizeof(struct cmsghdr) ? 0 : len;
    return 0;
}

static long send_one(struct socket *s, struct message *g, const struct msghdr *uh, unsigned flags)
{
    long r = message_begin(g, uh, flags);
    if (unlikely(r < 0))
        return r;
    if (g->h.msg_namelen > 0) {
        r = socket_addr_import(&g->addr, g->h.msg_name, g->h.msg_namelen);
        g->m.addr = &g->addr;
    }
    if (likely(r == 0))
        r = import_control(g);
    if (likely(r == 0)) {
        iov_bring(&g->it);
        r = socket_send(s, &g->m);
    }
    message_end(g);
    return r;
}

/* Writes back what a receive has to say beside the data. */
static int export_message(struct message *g, struct msghdr *uh)
{
    if (g->h.msg_name && socket_addr_export(&g->addr, g->h.msg_name, &uh->msg_namelen) < 0)
        return -EFAULT;
    if (g->m.control_len > 0 && copy_to_user(g->h.msg_control, g->m.control, g->m.control_len) < 0)
        return -EFAULT;
    unsigned flags = g->m.rflags | (g->m.flags & MSG_CMSG_CLOEXEC);
    if (put_user(flags, &uh->msg_flags) < 0 || put_user(g->m.control_len, &uh->msg_controllen) < 0)
        return -EFAULT;
    return 0;
}

static long receive_one(struct socket *s, struct message *g, struct msghdr *uh, unsigned flags)
{
    long r = message_begin(g, uh, flags);
    if (unlikely(r < 0))
        return r;
    if (g->h.msg_name) {
        g->addr.len = 0;
        g->m.addr = &g->addr;
    }
    if (g->h.msg_control && g->h.msg_controllen > 0) {
        g->m.control_room = MIN(g->h.msg_controllen, CONTROL_RECV_MAX);
        r = control_alloc(g, g->m.control_room);
    }
    if (likely(r == 0))
        r = socket_receive(s, &g->m);
    if (r >= 0) {
        int e = export_message(g, uh);
        if (unlikely(e < 0))
            r = e;
    }
    message_end(g);
    return r;
}

static long sys_sendmsg(int fd, const struct msghdr *uh, unsigned flags)
{
    struct message g;
    struct socket *s;
    if (unlikely(flags & MSG_CMSG_COMPAT))
        return -EINVAL;
    long r = socket_get(fd, &s);
    if (unlikely(r < 0))
        return r;
    r = send_one(s, &g, uh, flags);
    file_put(&s->file);
    return r;
}
SYSCALL(sendmsg, COMPLETE, "dpx", "");

static long sys_recvmsg(int fd, struct msghdr *uh, unsigned flags)
{
    struct message g;
    struct socket *s;
    if (unlikely(flags & MSG_CMSG_COMPAT))
        return -EINVAL;
    long r = socket_get(fd, &s);
    if (unlikely(r < 0))
        return r;
    r = receive_one(s, &g, uh, flags);
    file_put(&s->file);
    return r;
}
SYSCALL(recvmsg, COMPLETE, "dpx", "");

/* ---- Many messages ----------------------------------------------------------------------- */

static long send_many(struct socket *s, struct mmsghdr *umsgs, unsigned n, unsigned flags)
{
    bool fast = s->ops->send_many && plain_msgs_ok(umsgs, n);
    struct message g;
    unsigned done = 0;
    long r = 0;

    while (done < n) {
        if (fast) {
            done += s->ops->send_many(s, umsgs + done, n - done, flags);
            if (done == n)
                break;
        }
        r = send_one(s, &g, &umsgs[done].msg_hdr, flags | MSG_BATCH);
        if (r < 0)
            break;
        if (put_user((unsigned)r, &umsgs[done].msg_len) < 0) {
            r = -EFAULT;
            break;
        }
        done++;
    }
    if (s->ops->flush)
        s->ops->flush(s);
    return done > 0 ? done : r;
}

static long sys_sendmmsg(int fd, struct mmsghdr *umsgs, unsigned n, unsigned flags)
{
    struct socket *s;
    if (flags & MSG_CMSG_COMPAT)
        return -EINVAL;
    long r = socket_get(fd, &s);
    if (r < 0)
        return r;
    r = send_many(s, umsgs, MIN(n, (unsigned)MMSG_MAX), flags);
    file_put(&s->file);
    return r;
}
SYSCALL(sendmmsg, COMPLETE, "dpux", "");

/* Receives until n are there, the time is over (looked at after each message, as recvmmsg(2)
 * confesses) or something stops it: messages received, or the first one's error. */
static long receive_many(struct socket *s, struct mmsghdr *umsgs, unsigned n, unsigned flags,
                         struct poll_limit *limit)
{
    bool timed = limit->timeout != WAIT_FOREVER;
    bool fast = s->ops->receive_many && plain_msgs_ok(umsgs, n);
    struct message g;
    unsigned done = 0;
    long r = flags & MSG_ERRQUEUE ? 0 : socket_take_error(s);
    while (r >= 0 && done < n) {
        unsigned got = 0;
        if (fast) {
            r = s->ops->receive_many(s, umsgs + done, timed ? 1 : n - done, flags, &got);
            done += got;
        }
        if (got == 0 && r >= 0) {
            r = receive_one(s, &g, &umsgs[done].msg_hdr, flags & ~MSG_WAITFORONE);
            if (r < 0)
                break;
            if (put_user((unsigned)r, &umsgs[done].msg_len) < 0) {
                r = -EFAULT;
                break;
            }
            done++;
            if (g.m.rflags & MSG_OOB)
                break;
        }
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (timed && clock_mono_ns() >= poll_deadline(limit))
            break;
    }
    if (done == 0)
        return r;
    /* The next call reports what ended this one. */
    if (r < 0 && r != -EAGAIN && r != -ERESTARTSYS && r != -EINTR)
        s->error = (int)-r;
    return done;
}

static long sys_recvmmsg(int fd, struct mmsghdr *umsgs, unsigned n, unsigned flags,
                         struct __kernel_timespec *utimeout)
{
    struct poll_limit limit = {0};
    struct socket *s;
    if (flags & MSG_CMSG_COMPAT)
        return -EINVAL;
    long r = poll_timespec(utimeout, &limit.timeout);
    if (r < 0)
        return r;
    if (utimeout)
        poll_deadline(&limit);
    r = socket_get(fd, &s);
    if (r < 0)
        return r;
    r = receive_many(s, umsgs, n, flags, &limit);
    file_put(&s->file);
    if (r > 0 && utimeout) {
        uint64_t now = clock_mono_ns(), left = limit.deadline > now ? limit.deadline - now : 0;
        struct __kernel_timespec ts = {left / NSEC_PER_SEC, left % NSEC_PER_SEC};
        if (copy_to_user(utimeout, &ts, sizeof(ts)) < 0)
            r = -EFAULT;
    }
    return r;
}
SYSCALL(recvmmsg, COMPLETE, "dpuxT", "");
