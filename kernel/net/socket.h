/*
 * Sockets: what is common to all address families. net/sys_socket.c has the system calls,
 * net/socket.c the file operations and the options every family shares; a family registers
 * itself and supplies the operations. Addresses and control data are in kernel memory here;
 * only message payload (iov_iter) points to the application.
 *
 * What the common layer does, so that families need not:
 * - MSG_DONTWAIT is set in sock_msg.flags when the file has O_NONBLOCK.
 * - SIGPIPE for -EPIPE from a stream socket's sendmsg without MSG_NOSIGNAL.
 * - -ERESTARTSYS becomes -EINTR where a timeout is set (signal(7)).
 * - Control data to send is checked: a chain of whole cmsghdrs, each within bounds.
 * - A reference to the socket is held during every operation.
 */
#pragma once

#include "fs/file.h"
#include "net/sockdefs.h"

struct socket;

struct sock_addr {
    uint32_t len; /* 0: none given */
    union {
        uint16_t family;
        uint8_t bytes[128]; /* as struct sockaddr_storage */
    };
};

struct sock_msg {
    struct iov_iter *it;
    struct sock_addr *addr;  /* send: destination or NULL; recv: filled in, or NULL if unwanted */
    void *control;           /* send: the control data; recv: room for it. Kernel memory */
    size_t control_len;      /* send: its length; recv: 0, grows with socket_put_cmsg() */
    size_t control_room;     /* recv: size of control; 0 if the caller gave none */
    unsigned flags;          /* MSG_* in; recv: MSG_TRUNC, MSG_CTRUNC, MSG_OOB ... out in rflags */
    unsigned rflags;         /* 0 on entry */
};

struct socket_ops {
    int (*bind)(struct socket *s, const struct sock_addr *a);
    int (*connect)(struct socket *s, const struct sock_addr *a);
    int (*listen)(struct socket *s, int backlog);
    /* A new connected socket, without a descriptor yet; sleeps unless flags has O_NONBLOCK. */
    int (*accept)(struct socket *s, struct socket **out, unsigned flags);
    int (*getname)(struct socket *s, struct sock_addr *a, bool peer);
    ssize_t (*sendmsg)(struct socket *s, struct sock_msg *m);
    ssize_t (*recvmsg)(struct socket *s, struct sock_msg *m);
    /*
     * NULL, or a fast way for many plain messages (net/plain_msg.h), which may do as many of the n
     * at u as it likes, the first ones, and leaves the next to recvmsg and sendmsg. u is the
     * application's memory, in whole in its half. Neither waits for packets or room; both may sleep
     * in copies. receive_many: *done: how many. 0: go on with recvmsg; or that error ended it, at
     * the latest. send_many: how many. What it and sendmsg with MSG_BATCH hold back leaves by
     * flush.
     */
    int (*receive_many)(struct socket *s, struct mmsghdr *u, unsigned n, unsigned flags,
                        unsigned *done);
    unsigned (*send_many)(struct socket *s, struct mmsghdr *u, unsigned n, unsigned flags);
    void (*flush)(struct socket *s);
    int (*shutdown)(struct socket *s, int how);
    /* optval in kernel memory. getsockopt: *len is the room, set to the length used. Generic
     * SOL_SOCKET options are tried by net/socket.c when these return -ENOPROTOOPT. */
    int (*setsockopt)(struct socket *s, int level, int name, const void *val, unsigned len);
    int (*getsockopt)(struct socket *s, int level, int name, void *val, unsigned *len);
    int (*socketpair)(struct socket *a, struct socket *b);
    long (*ioctl)(struct socket *s, unsigned cmd, uint64_t arg);
    uint32_t (*poll)(struct socket *s);
    void (*release)(struct socket *s); /* frees the object */
};

struct socket {
    struct file file; /* first: FILE_SOCKET files are sockets */
    const struct socket_ops *ops;
    int family, type, protocol;
    uint64_t rcvtimeo, sndtimeo; /* ns; 0: none */
    int error;                   /* SO_ERROR, positive errno */
    bool listening;
    bool reuseaddr, reuseport, keepalive, broadcast, oobinline, passcred;
    bool debug, dontroute, no_check;
    bool peek_off_ok;            /* set by families that honour peek_off (SO_PEEK_OFF) */
    uint8_t timestamp;           /* enum socket_timestamp: what SO_TIMESTAMP* asked for */
    uint8_t buf_lock;            /* SOCK_SNDBUF_LOCK | SOCK_RCVBUF_LOCK: set by the application */
    uint32_t sndbuf, rcvbuf, priority, mark;
    uint32_t busy_poll;          /* SO_BUSY_POLL, for getsockopt: a sleeper always polls */
    int incoming_cpu;
    int rcvlowat;
    int peek_off;                /* -1: off */
    struct { int onoff, seconds; } linger;
    uint64_t id;                 /* unique: inode number and SO_COOKIE */
};

enum socket_timestamp { SOCKTS_NONE, SOCKTS_USEC, SOCKTS_NSEC, SOCKTS_USEC_NEW, SOCKTS_NSEC_NEW };

#define SOCKET_BUF_DEFAULT 212992u /* Linux's net.core.[rw]mem_default, in its doubled unit */

struct socket_family {
    struct list link;
    int family;
    /* Creates an unbound socket; type without SOCK_NONBLOCK/CLOEXEC. -ESOCKTNOSUPPORT,
     * -EPROTONOSUPPORT, -ENOMEM. */
    int (*create)(int type, int protocol, struct socket **out);
};
void socket_family_register(struct socket_family *f);
struct socket_family *socket_family_find(int family); /* NULL: none */

/* For families: prepares the embedded file. */
void socket_init(struct socket *s, const struct socket_ops *ops, int family, int type,
                 int protocol);
static inline struct socket *socket_of(struct file *f)
{
    return f->kind & FILE_SOCKET ? container_of(f, struct socket, file) : NULL;
}
/*
 * The absolute deadline of a receive or send that starts now: 0 (do not wait: -EAGAIN) with
 * MSG_DONTWAIT or O_NONBLOCK, WAIT_FOREVER without a timeout.
 */
uint64_t socket_deadline(uint64_t timeo, unsigned msg_flags, const struct socket *s);
/* Appends a control message to a receive's. What does not fit is cut (MSG_CTRUNC in rflags). */
void socket_put_cmsg(struct sock_msg *m, int level, int type, const void *data, size_t len);
/* Appends the time of arrival in the form s->timestamp asks for; nothing when it asks for none. */
void socket_put_timestamp(const struct socket *s, struct sock_msg *m, uint64_t real_ns);
/* The control messages of a send, checked by the common layer; NULL at the end. */
static inline struct cmsghdr *socket_cmsg_next(const struct sock_msg *m, struct cmsghdr *c)
{
    size_t at = c ? (size_t)((char *)c - (char *)m->control) + CMSG_ALIGN(c->cmsg_len) : 0;
    if (at + sizeof(struct cmsghdr) > m->control_len)
        return NULL;
    return (struct cmsghdr *)((char *)m->control + at);
}
/* Takes the pending error: 0 or -errno. */
static inline int socket_take_error(struct socket *s)
{
    int e = s->error;
    s->error = 0;
    return -e;
}
/*
 * Ioctls that any socket answers but one family implements (SIOCGIF*). Tried when a family's own
 * ioctl says -ENOTTY. NULL until the family registers it.
 */
extern long (*socket_dev_ioctl)(unsigned cmd, uint64_t arg);

struct socket_stats {
    uint64_t created, accepted, sends, receives;
};
extern struct socket_stats socket_stats;
