/*
 * What all sockets have in common: the families, the file operations (read and write go
 * straight to the family's receive and send), ioctls any socket answers, and control messages.
 * Called by the file layer, the socket system calls and the families. Its operations
 * sleep where the family's do.
 */
#include "net/socket.h"

#include "fs/vfs.h"
#include "linux/signal.h"
#include "net/socket_io.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <linux/time_types.h>

#define SOCKET_MODE (S_IFSOCK | 0777)

struct socket_stats socket_stats;
long (*socket_dev_ioctl)(unsigned cmd, uint64_t arg);

static struct list families = LIST_INIT(families);
static uint64_t next_id = 1;

void socket_family_register(struct socket_family *f)
{
    list_push_back(&families, &f->link);
}

struct socket_family *socket_family_find(int family)
{
    list_for_each (f, &families, struct socket_family, link) {
        if (f->family == family)
            return f;
    }
    return NULL;
}

/* ---- The file ---------------------------------------------------------------------------- */

static ssize_t socket_read(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    struct socket *s = container_of(f, struct socket, file);
    /* By Linux's rule for read: nothing wanted, nothing taken. */
    if (unlikely(it->count == 0))
        return 0;
    struct sock_msg m = {.it = it};
    return socket_receive(s, &m);
}

static ssize_t socket_write(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    struct socket *s = container_of(f, struct socket, file);
    struct sock_msg m = {.it = it};
    if (s->type == SOCK_SEQPACKET)
        m.flags = MSG_EOR;
    return socket_send(s, &m);
}

ssize_t socket_send_failed(struct socket *s, const struct sock_msg *m, ssize_t r)
{
    if (r == -EPIPE && s->type == SOCK_STREAM && !(m->flags & MSG_NOSIGNAL))
        signal_send_thread(current(), SIGPIPE, NULL);
    return socket_interrupted(r, s->sndtimeo);
}

static uint32_t socket_poll(struct file *f)
{
    struct socket *s = container_of(f, struct socket, file);
    return s->ops->poll(s);
}

static long socket_ioctl(struct file *f, unsigned cmd, uint64_t arg)
{
    struct socket *s = container_of(f, struct socket, file);
    int owner = 0;
    switch (cmd) {
    case FIOSETOWN:
    case SIOCSPGRP:
        if (get_user(owner, (const int *)arg) < 0)
            return -EFAULT;
        f->owner = owner;
        f->owner_type = F_OWNER_PID;
        return 0;
    case FIOGETOWN:
    case SIOCGPGRP:
        return put_user(f->owner, (int *)arg);
    default:
        break;
    }
    long r = s->ops->ioctl ? s->ops->ioctl(s, cmd, arg) : -ENOTTY;
    if (r == -ENOTTY && socket_dev_ioctl)
        r = socket_dev_ioctl(cmd, arg);
    return r;
}

static int socket_stat(struct file *f, struct kstat *st)
{
    struct socket *s = container_of(f, struct socket, file);
    *st = (struct kstat){
        .ino = s->id,
        .mode = SOCKET_MODE,
        .uid = cred.fsuid,
        .gid = cred.fsgid,
        .nlink = 1,
        .blksize = PAGE_SIZE,
    };
    return 0;
}

static void socket_release(struct file *f)
{
    struct socket *s = container_of(f, struct socket, file);
    s->ops->release(s);
}

static const struct file_ops socket_file_ops = {
    .name = "socket",
    .read = socket_read,
    .write = socket_write,
    .poll = socket_poll,
    .ioctl = socket_ioctl,
    .stat = socket_stat,
    .release = socket_release,
};

void socket_init(struct socket *s, const struct socket_ops *ops, int family, int type, int protocol)
{
    file_init(&s->file, &socket_file_ops, O_RDWR, FILE_STREAM | FILE_SOCKET);
    s->ops = ops;
    s->family = family;
    s->type = type;
    s->protocol = protocol;
    s->rcvtimeo = s->sndtimeo = 0;
    s->error = 0;
    s->listening = false;
    s->reuseaddr = s->reuseport = s->keepalive = s->broadcast = s->oobinline = s->passcred = false;
    s->debug = s->dontroute = s->no_check = s->peek_off_ok = false;
    s->timestamp = SOCKTS_NONE;
    s->buf_lock = 0;
    s->sndbuf = s->rcvbuf = SOCKET_BUF_DEFAULT;
    s->priority = s->mark = s->busy_poll = 0;
    s->incoming_cpu = -1;
    s->rcvlowat = 1;
    s->peek_off = -1;
    s->linger.onoff = s->linger.seconds = 0;
    s->id = next_id++;
    socket_stats.created++;
}

uint64_t socket_deadline(uint64_t timeo, unsigned msg_flags, const struct socket *s)
{
    if ((msg_flags & MSG_DONTWAIT) || file_nonblock(&s->file))
        return 0;
    return timeo == 0 ? WAIT_FOREVER : clock_mono_ns() + timeo;
}

/* ---- Control messages -------------------------------------------------------------------- */

void socket_put_cmsg(struct sock_msg *m, int level, int type, const void *data, size_t len)
{
    size_t room = m->control_room - m->control_len;
    if (room < sizeof(struct cmsghdr)) {
        m->rflags |= MSG_CTRUNC;
        return;
    }
    if (CMSG_LEN(len) > room) {
        m->rflags |= MSG_CTRUNC;
        len = room - sizeof(struct cmsghdr);
    }
    struct cmsghdr *c = (struct cmsghdr *)((char *)m->control + m->control_len);
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type};
    memcpy(CMSG_DATA(c), data, len);
    /* The padding goes to the application too: nothing of ours may show through. */
    size_t space = MIN(CMSG_SPACE(len), room);
    memset((char *)c + CMSG_LEN(len), 0, space - CMSG_LEN(len));
    m->control_len += space;
}

void socket_put_timestamp(const struct socket *s, struct sock_msg *m, uint64_t real_ns)
{
    int64_t sec = (int64_t)(real_ns / NSEC_PER_SEC), nsec = (int64_t)(real_ns % NSEC_PER_SEC);
    struct __kernel_sock_timeval tv = {sec, nsec / (int64_t)NSEC_PER_USEC};
    struct __kernel_timespec ts = {sec, nsec};
    /* On a 64-bit machine old and new differ in nothing but their number. */
    switch (s->timestamp) {
    case SOCKTS_USEC:
        socket_put_cmsg(m, SOL_SOCKET, SO_TIMESTAMP_OLD, &tv, sizeof(tv));
        break;
    case SOCKTS_USEC_NEW:
        socket_put_cmsg(m, SOL_SOCKET, SO_TIMESTAMP_NEW, &tv, sizeof(tv));
        break;
    case SOCKTS_NSEC:
        socket_put_cmsg(m, SOL_SOCKET, SO_TIMESTAMPNS_OLD, &ts, sizeof(ts));
        break;
    case SOCKTS_NSEC_NEW:
        socket_put_cmsg(m, SOL_SOCKET, SO_TIMESTAMPNS_NEW, &ts, sizeof(ts));
        break;
    default:
        break;
    }
}
