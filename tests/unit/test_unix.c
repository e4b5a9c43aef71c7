// unit: kernel/net/unix_gc.c kernel/net/unix_msg.c kernel/net/unix_scm.c kernel/fs/iov.c kernel/sched/wait.c kernel/lib/printf.c
/* Proves AF_UNIX through the socket system calls: connections, messages, names, descriptors and
 * credentials in messages, garbage collection, and the errors of each. */
#include "ipc_fakes.h"

#include "fs/vfs.h"
#include "net/sockopt.c"
#include "net/sys_msg.c"
#include "net/sys_socket.c"
#include "net/socket.c"
#include "net/unix.c"
#include "net/unix_addr.c"

/* ---- A file system with eight names ---- */

/* Far memory there is none. */
bool far_on;
void iov_bring_slow(const struct iov_iter *it)
{
}

static struct {
    char name[120];
    struct path_node node;
    struct inode inode;
} nodes[8];

int vfs_mknod(int dirfd, const char *path, uint32_t mode, uint64_t rdev, struct path_node **out)
{
    for (int i = 0; i < 8; i++) {
        if (strcmp(nodes[i].name, path) == 0)
            return -EEXIST;
        if (nodes[i].name[0])
            continue;
        strcpy(nodes[i].name, path);
        nodes[i].inode.mode = mode;
        nodes[i].node.inode = &nodes[i].inode;
        nodes[i].node.refs = 2;
        *out = &nodes[i].node;
        return 0;
    }
    return -ENOSPC;
}

int vfs_lookup(int dirfd, const char *path, unsigned flags, struct path_node **out)
{
    for (int i = 0; i < 8; i++) {
        if (nodes[i].name[0] && strcmp(nodes[i].name, path) == 0) {
            nodes[i].node.refs++;
            *out = &nodes[i].node;
            return 0;
        }
    }
    return -ENOENT;
}

int vfs_unlink(int dirfd, const char *path, bool rmdir)
{
    for (int i = 0; i < 8; i++) {
        if (strcmp(nodes[i].name, path) == 0)
            nodes[i].name[0] = '\0';
    }
    return 0;
}

void path_release(struct path_node *p)
{
    fail_msg("a name went that still exists");
}

int inode_permission(const struct inode *i, int mask)
{
    return i->mode & 0222 ? 0 : -EACCES;
}

int vfs_open_node(struct path_node *node, int flags, struct file **out)
{
    return -ENOSYS;
}

/* ---- Helpers ---- */

static int setup(void **state)
{
    static bool registered;
    if (!registered)
        unix_init();
    registered = true;
    fake_sigpipes = 0;
    return 0;
}

static int teardown(void **state)
{
    for (int fd = 0; fd < FAKE_FDS; fd++)
        fd_close(fd);
    for (int i = 0; i < 8; i++) {
        if (nodes[i].name[0])
            assert_int_equal(nodes[i].node.refs, 1);
        nodes[i].name[0] = '\0';
    }
    assert_int_equal(unix_stats.sockets, 0);
    assert_int_equal(unix_stats.messages, 0);
    assert_int_equal(unix_stats.inflight, 0);
    assert_int_equal(unix_stats.fds_inflight, 0);
    assert_int_equal(fake_live(), 0);
    return 0;
}

static struct sockaddr_un un;

static int name(const char *path)
{
    un = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (path[0] == '@')
        memcpy(un.sun_path + 1, path + 1, strlen(path + 1));
    else
        strcpy(un.sun_path, path);
    return (int)(UNIX_NAME_OFFSET + strlen(path) + (path[0] != '@'));
}

static int new_socket(int type)
{
    int fd = (int)sys_socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    return fd;
}

static void pair(int type, int *a, int *b)
{
    int fds[2];
    assert_int_equal(sys_socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds), 0);
    *a = fds[0];
    *b = fds[1];
}

static long snd(int fd, const char *text)
{
    return sys_sendto(fd, text, strlen(text), 0, NULL, 0);
}

static char got[100000];

static long rcv(int fd, size_t n, unsigned flags)
{
    memset(got, 0, 64);
    return sys_recvfrom(fd, got, n, flags, NULL, NULL);
}

static uint32_t events_of(int fd)
{
    return file_poll(fd_peek(fd));
}

static int opt(int fd, int which)
{
    int v = -1, len = sizeof(v);
    assert_int_equal(sys_getsockopt(fd, SOL_SOCKET, which, &v, &len), 0);
    assert_int_equal(len, sizeof(v));
    return v;
}

static int listener(const char *path, int type, int backlog)
{
    int l = new_socket(type), len = name(path);
    assert_int_equal(sys_bind(l, &un, len), 0);
    assert_int_equal(sys_listen(l, backlog), 0);
    return l;
}

/* ---- Streams ---- */

static void streams_connect_and_talk(void **state)
{
    int l = listener("/run/s", SOCK_STREAM, 5), c = new_socket(SOCK_STREAM), len = name("/run/s");
    struct sockaddr_un from;
    assert_int_equal(sys_accept4(l, NULL, NULL, 0), -EAGAIN);
    assert_int_equal(sys_connect(c, &un, len), 0);
    assert_int_equal(sys_connect(c, &un, len), -EISCONN);
    assert_int_equal(events_of(l), EPOLLIN);
    assert_int_equal(snd(c, "early"), 5);
    int room = sizeof(from), s = (int)sys_accept4(l, &from, &room, SOCK_NONBLOCK);
    assert_true(s >= 0);
    assert_int_equal(room, 2);
    assert_int_equal(rcv(s, 100, 0), 5);
    assert_string_equal(got, "early");
    assert_int_equal(rcv(s, 100, 0), -EAGAIN);
    assert_int_equal(snd(s, "one"), 3);
    assert_int_equal(snd(s, "two"), 3);
    int queued = 0;
    assert_int_equal(
        socket_of(fd_peek(c))->ops->ioctl(socket_of(fd_peek(c)), SIOCINQ, (uint64_t)&queued), 0);
    assert_int_equal(queued, 6);
    assert_int_equal(rcv(c, 4, MSG_PEEK), 4);
    assert_string_equal(got, "onet");
    assert_int_equal(rcv(c, 100, 0), 6);
    assert_string_equal(got, "onetwo");
    room = sizeof(from);
    assert_int_equal(sys_getpeername(c, &from, &room), 0);
    assert_string_equal(from.sun_path, "/run/s");
    assert_int_equal(room, UNIX_NAME_OFFSET + 7);
    assert_int_equal(opt(l, SO_ACCEPTCONN), 1);
    assert_int_equal(opt(c, SO_DOMAIN), AF_UNIX);
    struct ucred cr = {0};
    int crlen = sizeof(cr);
    assert_int_equal(sys_getsockopt(c, SOL_SOCKET, SO_PEERCRED, &cr, &crlen), 0);
    assert_int_equal(cr.pid, 1);
}

static void a_full_backlog_refuses_or_waits(void **state)
{
    int l = listener("@q", SOCK_STREAM, 0), c1 = new_socket(SOCK_STREAM),
        c2 = new_socket(SOCK_STREAM), len = name("@q");
    assert_int_equal(sys_connect(c1, &un, len), 0);
    assert_int_equal(sys_connect(c2, &un, len), -EAGAIN);
    int s = (int)sys_accept4(l, NULL, NULL, 0);
    assert_true(s >= 0);
    assert_int_equal(sys_connect(c2, &un, len), 0);
    /* The listener goes, and with it what it had not accepted. */
    fd_close(l);
    assert_int_equal(opt(c2, SO_ERROR), ECONNRESET);
    assert_int_equal(events_of(c2) & (EPOLLHUP | EPOLLIN | EPOLLRDHUP),
                     EPOLLHUP | EPOLLIN | EPOLLRDHUP);
    assert_int_equal(sys_connect(new_socket(SOCK_STREAM), &un, len), -ECONNREFUSED);
}

static void ends_of_streams(void **state)
{
    int a, b;
    pair(SOCK_STREAM, &a, &b);
    assert_int_equal(snd(a, "last"), 4);
    assert_int_equal(sys_shutdown(a, SHUT_WR), 0);
    assert_int_equal(snd(a, "x"), -EPIPE);
    assert_int_equal(fake_sigpipes, 1);
    assert_int_equal(sys_sendto(a, "x", 1, MSG_NOSIGNAL, NULL, 0), -EPIPE);
    assert_int_equal(fake_sigpipes, 1);
    assert_int_equal(events_of(b), EPOLLIN | EPOLLRDHUP | EPOLLOUT | EPOLLWRBAND);
    assert_int_equal(rcv(b, 10, 0), 4);
    assert_int_equal(rcv(b, 10, 0), 0);
    assert_int_equal(snd(b, "unread"), 6);
    fd_close(a); /* with data nobody read: the other end is reset */
    assert_int_equal(rcv(b, 10, 0), -ECONNRESET);
    assert_int_equal(rcv(b, 10, 0), 0);
    assert_int_equal(snd(b, "x"), -EPIPE);
    assert_int_equal(sys_shutdown(b, 3), -EINVAL);
    int c = new_socket(SOCK_STREAM);
    assert_int_equal(snd(c, "x"), -ENOTCONN);
    assert_int_equal(rcv(c, 1, 0), -EINVAL);
    assert_int_equal(events_of(c), EPOLLHUP | EPOLLOUT | EPOLLWRBAND);
    int room = 0;
    assert_int_equal(sys_getpeername(c, NULL, &room), -ENOTCONN);
    assert_int_equal(sys_listen(c, 1), -EINVAL);
    assert_int_equal(sys_accept(c, NULL, NULL), -EINVAL);
}

static void the_send_buffer_bounds_what_is_queued(void **state)
{
    static char data[1000000];
    int a, b;
    pair(SOCK_STREAM, &a, &b);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7 + i / 251);
    size_t sent = 0, received = 0;
    long n = sys_sendto(a, data, sizeof(data), 0, NULL, 0);
    assert_in_range(n, 200000, 300000);
    sent = (size_t)n;
    assert_int_equal(sys_sendto(a, data + sent, sizeof(data) - sent, 0, NULL, 0), -EAGAIN);
    assert_int_equal(events_of(a) & EPOLLOUT, 0);
    while (received < sizeof(data)) {
        n = sys_recvfrom(b, got, 77777, 0, NULL, NULL);
        if (n == -EAGAIN) {
            n = sys_sendto(a, data + sent, sizeof(data) - sent, 0, NULL, 0);
            assert_true(n > 0);
            sent += (size_t)n;
            continue;
        }
        assert_true(n > 0);
        assert_memory_equal(got, data + received, (size_t)n);
        received += (size_t)n;
    }
    assert_true(events_of(a) & EPOLLOUT);
    assert_int_equal(unix_of(socket_of(fd_peek(a)))->sent, 0);
}

static int late_fd;

static void send_late(void)
{
    assert_int_equal(snd(late_fd, "late"), 4);
}

static void close_late(void)
{
    fd_close(late_fd);
}

static void receivers_sleep_as_told(void **state)
{
    int a, b;
    pair(SOCK_STREAM, &a, &b);
    fd_peek(b)->flags &= ~(uint32_t)O_NONBLOCK;
    late_fd = a;
    on_block = send_late;
    assert_int_equal(rcv(b, 100, 0), 4);
    assert_int_equal(rcv(b, 100, MSG_DONTWAIT), -EAGAIN);
    /* MSG_WAITALL goes on until all is there or the end. */
    assert_int_equal(snd(a, "some"), 4);
    on_block = close_late;
    assert_int_equal(rcv(b, 100, MSG_WAITALL), 4);
    struct __kernel_sock_timeval tv = {0, 5000};
    int c, d;
    pair(SOCK_DGRAM, &c, &d);
    fd_peek(d)->flags &= ~(uint32_t)O_NONBLOCK;
    assert_int_equal(sys_setsockopt(d, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
    uint64_t before = fake_now;
    assert_int_equal(rcv(d, 10, 0), -EAGAIN);
    assert_int_equal(fake_now - before, 5 * NSEC_PER_MSEC);
    fake_thread.signal_pending = true;
    assert_int_equal(rcv(d, 10, 0), -EINTR); /* with a timeout never restarted */
    tv.tv_usec = 0;
    assert_int_equal(sys_setsockopt(d, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
    assert_int_equal(rcv(d, 10, 0), -ERESTARTSYS);
    fake_thread.signal_pending = false;
    tv.tv_usec = 1000000;
    assert_int_equal(sys_setsockopt(d, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), -EDOM);
}

/* ---- Datagrams and names ---- */

static void datagrams_keep_their_bounds(void **state)
{
    int a, b;
    pair(SOCK_DGRAM, &a, &b);
    assert_int_equal(snd(a, "hello"), 5);
    assert_int_equal(snd(a, ""), 0);
    assert_int_equal(snd(a, "world!"), 6);
    assert_int_equal(rcv(b, 3, MSG_PEEK | MSG_TRUNC), 5);
    assert_int_equal(rcv(b, 3, 0), 3);
    assert_string_equal(got, "hel");
    assert_int_equal(rcv(b, 10, 0), 0);
    assert_int_equal(rcv(b, 10, 0), 6);
    assert_int_equal(sys_sendto(a, got, 300000, 0, NULL, 0), -EMSGSIZE);
    static char big[100000];
    assert_int_equal(sys_sendto(a, big, sizeof(big), 0, NULL, 0), sizeof(big));
    assert_int_equal(rcv(b, sizeof(got), 0), sizeof(big));
    fd_close(b);
    assert_int_equal(snd(a, "x"), -ECONNREFUSED);
    assert_int_equal(snd(a, "x"), -ENOTCONN);
    assert_int_equal(fake_sigpipes, 0);
}

static void datagrams_find_names(void **state)
{
    int s = new_socket(SOCK_DGRAM), c = new_socket(SOCK_DGRAM), o = new_socket(SOCK_DGRAM);
    int len = name("/dgram");
    struct sockaddr_un from;
    assert_int_equal(sys_sendto(c, "x", 1, 0, &un, len), -ENOENT);
    assert_int_equal(sys_bind(s, &un, len), 0);
    assert_int_equal(sys_bind(s, &un, len), -EADDRINUSE);
    int other = name("/other");
    assert_int_equal(sys_bind(s, &un, other), -EINVAL);
    assert_string_equal(nodes[1].name, "");
    len = name("/dgram");
    assert_int_equal(sys_bind(o, &un, len), -EADDRINUSE);
    assert_int_equal(sys_sendto(c, "x", 1, 0, &un, len), 1);
    int room = sizeof(from);
    assert_int_equal(sys_recvfrom(s, got, 10, 0, &from, &room), 1);
    assert_int_equal(room, 0); /* the sender has no name */
    /* An empty address asks for a name. */
    assert_int_equal(sys_bind(c, &un, 2), 0);
    assert_int_equal(sys_sendto(c, "y", 1, 0, &un, len), 1);
    room = sizeof(from);
    assert_int_equal(sys_recvfrom(s, got, 10, 0, &from, &room), 1);
    assert_int_equal(room, 8);
    assert_int_equal(from.sun_path[0], 0);
    assert_int_equal(sys_sendto(s, "reply", 5, 0, &from, room), 5);
    assert_int_equal(rcv(c, 10, 0), 5);
    assert_int_equal(sys_connect(c, &un, len), 0);
    assert_int_equal(snd(c, "z"), 1);
    /* One that is connected elsewhere takes nothing from strangers. */
    assert_int_equal(sys_sendto(o, "q", 1, 0, &from, room), -EPERM);
    un.sun_family = AF_UNSPEC;
    assert_int_equal(sys_connect(c, &un, 2), 0);
    assert_int_equal(snd(c, "z"), -ENOTCONN);
    len = name("/dgram");
    int st = new_socket(SOCK_STREAM);
    assert_int_equal(sys_connect(st, &un, len), -EPROTOTYPE);
    assert_int_equal(sys_connect(st, &un, 2), -EINVAL);
    assert_int_equal(sys_connect(st, &un, 200), -EINVAL);
    nodes[0].inode.mode &= ~0222u;
    assert_int_equal(sys_connect(c, &un, len), -EACCES);
    fd_close(s);
    nodes[0].inode.mode |= 0222u;
    assert_int_equal(sys_connect(c, &un, len), -ECONNREFUSED);
}

static void a_full_queue_holds_strangers_back(void **state)
{
    int s = new_socket(SOCK_DGRAM), c = new_socket(SOCK_DGRAM), len = name("@full");
    assert_int_equal(sys_bind(s, &un, len), 0);
    assert_int_equal(sys_connect(c, &un, len), 0);
    unsigned n = 0;
    while (snd(c, "x") == 1)
        n++;
    assert_int_equal(n, UNIX_DGRAM_QUEUE + 1);
    assert_int_equal(snd(c, "x"), -EAGAIN);
    assert_int_equal(events_of(c) & EPOLLOUT, 0);
    assert_int_equal(rcv(s, 10, 0), 1);
    assert_true(events_of(c) & EPOLLOUT);
    assert_int_equal(snd(c, "x"), 1);
}

static void seqpackets_are_connected_datagrams(void **state)
{
    int a, b;
    pair(SOCK_SEQPACKET, &a, &b);
    assert_int_equal(snd(a, "one"), 3);
    assert_int_equal(snd(a, "two"), 3);
    assert_int_equal(rcv(b, 2, 0), 2);
    assert_int_equal(rcv(b, 10, 0), 3);
    assert_string_equal(got, "two");
    fd_close(a);
    assert_int_equal(rcv(b, 10, 0), 0);
    assert_int_equal(snd(b, "x"), -EPIPE);
    assert_int_equal(fake_sigpipes, 0);
    assert_int_equal(snd(new_socket(SOCK_SEQPACKET), "x"), -ENOTCONN);
    assert_int_equal(rcv(new_socket(SOCK_SEQPACKET), 1, 0), -ENOTCONN);
}

/* ---- Control data ---- */

union control {
    struct cmsghdr h;
    char bytes[1024];
};

static union control ctl;

static long send_fds(int fd, const int *fds, unsigned n)
{
    struct iovec v = {"f", 1};
    ctl.h = (struct cmsghdr){CMSG_LEN(n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&ctl.h), fds, n * sizeof(int));
    struct msghdr h = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = &ctl,
                       .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    return sys_sendmsg(fd, &h, 0);
}

static struct msghdr rh;

static long receive_control(int fd, size_t room, unsigned flags)
{
    static struct iovec v = {got, 100};
    memset(&ctl, 0xee, sizeof(ctl));
    rh = (struct msghdr){
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = room};
    return sys_recvmsg(fd, &rh, flags);
}

static void descriptors_travel(void **state)
{
    int a, b, c, d;
    pair(SOCK_STREAM, &a, &b);
    pair(SOCK_DGRAM, &c, &d);
    int fds[2] = {c, d}, bad[1] = {1234};
    assert_int_equal(snd(a, "before"), 6);
    assert_int_equal(send_fds(a, fds, 2), 1);
    assert_int_equal(snd(a, "after"), 5);
    assert_int_equal(send_fds(a, bad, 1), -EBADF);
    fd_close(c);
    fd_close(d);
    /* A receive ends behind the bytes the descriptors came with. */
    assert_int_equal(receive_control(b, sizeof(ctl), MSG_CMSG_CLOEXEC), 7);
    assert_int_equal(rh.msg_controllen, CMSG_SPACE(8));
    assert_int_equal(ctl.h.cmsg_type, SCM_RIGHTS);
    memcpy(fds, CMSG_DATA(&ctl.h), 8);
    assert_true(fake_entries[fds[0]].cloexec);
    assert_int_equal(snd(fds[0], "through"), 7);
    assert_int_equal(rcv(fds[1], 100, 0), 7);
    assert_int_equal(rcv(b, 100, 0), 5);
    /* No room for both: one is installed, one dropped. */
    assert_int_equal(send_fds(a, fds, 2), 1);
    assert_int_equal(receive_control(b, CMSG_LEN(4), 0), 1);
    assert_true(rh.msg_flags & MSG_CTRUNC);
    assert_int_equal(ctl.h.cmsg_len, CMSG_LEN(4));
    /* Not received at all: closed with the socket. */
    assert_int_equal(send_fds(a, fds, 2), 1);
    assert_int_equal(receive_control(b, sizeof(ctl), MSG_PEEK), 1);
    assert_int_equal(rh.msg_controllen, CMSG_SPACE(8));
}

static void credentials_travel(void **state)
{
    int a, b, one = 1;
    pair(SOCK_STREAM, &a, &b);
    assert_int_equal(sys_setsockopt(b, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)), 0);
    cred.uid = 7;
    assert_int_equal(snd(a, "as 7"), 4);
    cred.uid = 8;
    assert_int_equal(snd(a, "as 8"), 4);
    cred.uid = 0;
    struct ucred u;
    assert_int_equal(receive_control(b, sizeof(ctl), 0), 4); /* never two senders at once */
    assert_int_equal(ctl.h.cmsg_type, SCM_CREDENTIALS);
    memcpy(&u, CMSG_DATA(&ctl.h), sizeof(u));
    assert_int_equal(u.uid, 7);
    assert_int_equal(u.pid, 1);
    assert_int_equal(receive_control(b, 0, 0), 4);
    assert_int_equal(rh.msg_flags, MSG_CTRUNC);
    /* Claiming to be somebody else takes privilege. */
    struct iovec v = {"c", 1};
    ctl.h = (struct cmsghdr){CMSG_LEN(sizeof(u)), SOL_SOCKET, SCM_CREDENTIALS};
    u = (struct ucred){1, 99, 99};
    memcpy(CMSG_DATA(&ctl.h), &u, sizeof(u));
    struct msghdr h = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = &ctl,
                       .msg_controllen = CMSG_SPACE(sizeof(u))};
    cred.euid = 5;
    assert_int_equal(sys_sendmsg(a, &h, 0), -EPERM);
    cred.euid = 0;
    assert_int_equal(sys_sendmsg(a, &h, 0), 1);
    u.pid = 4711;
    memcpy(CMSG_DATA(&ctl.h), &u, sizeof(u));
    assert_int_equal(sys_sendmsg(a, &h, 0), -ESRCH);
}

static void control_data_is_checked(void **state)
{
    int a, b;
    pair(SOCK_DGRAM, &a, &b);
    struct iovec v = {"c", 1};
    struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = 16};
    ctl.h = (struct cmsghdr){17, SOL_SOCKET, SCM_RIGHTS};
    assert_int_equal(sys_sendmsg(a, &h, 0), -EINVAL);
    ctl.h.cmsg_len = 15;
    assert_int_equal(sys_sendmsg(a, &h, 0), -EINVAL);
    ctl.h.cmsg_len = UINT64_MAX - 3;
    assert_int_equal(sys_sendmsg(a, &h, 0), -EINVAL);
    h.msg_controllen = 1 << 20;
    assert_int_equal(sys_sendmsg(a, &h, 0), -ENOBUFS);
    h.msg_controllen = 0;
    h.msg_iovlen = UIO_MAXIOV + 1;
    assert_int_equal(sys_sendmsg(a, &h, 0), -EMSGSIZE);
    h.msg_iovlen = 1;
    v.iov_len = (size_t)-1;
    assert_int_equal(sys_sendmsg(a, &h, 0), -EINVAL);
    v.iov_len = 1;
    h.msg_name = &un;
    h.msg_namelen = -1;
    assert_int_equal(sys_sendmsg(a, &h, 0), -EINVAL);
}

/* ---- Garbage ---- */

static void a_socket_in_its_own_queue_is_collected(void **state)
{
    int a, b;
    pair(SOCK_DGRAM, &a, &b);
    assert_int_equal(send_fds(a, &b, 1), 1); /* b lies in b's queue */
    fd_close(b);
    assert_int_equal(unix_stats.sockets, 2);
    fd_close(a);
    assert_int_equal(unix_stats.sockets, 0);
}

static void rings_of_sockets_are_collected(void **state)
{
    int a[2], b[2], keep[2];
    pair(SOCK_STREAM, &a[0], &a[1]);
    pair(SOCK_STREAM, &b[0], &b[1]);
    pair(SOCK_STREAM, &keep[0], &keep[1]);
    assert_int_equal(send_fds(a[0], &b[1], 1), 1);    /* b1 in a1's queue */
    assert_int_equal(send_fds(b[0], &a[1], 1), 1);    /* a1 in b1's queue */
    assert_int_equal(send_fds(keep[0], &a[1], 1), 1); /* and in one that can be received */
    fd_close(a[1]);
    fd_close(b[1]);
    fd_close(a[0]);
    fd_close(b[0]);
    assert_int_equal(unix_stats.sockets, 6);
    /* a1 comes back from the living queue, with b1 in its own. */
    assert_int_equal(receive_control(keep[1], sizeof(ctl), 0), 1);
    int fd;
    memcpy(&fd, CMSG_DATA(&ctl.h), sizeof(fd));
    assert_int_equal(receive_control(fd, sizeof(ctl), 0), 1);
    memcpy(&a[0], CMSG_DATA(&ctl.h), sizeof(fd));
    fd_close(a[0]); /* b1: its queue holds a1, which fd still is */
    fd_close(fd);
    assert_int_equal(unix_stats.sockets, 2);
}

static void unaccepted_connections_are_collected(void **state)
{
    int l = listener("@gc", SOCK_STREAM, 5), c = new_socket(SOCK_STREAM), len = name("@gc");
    assert_int_equal(sys_connect(c, &un, len), 0);
    assert_int_equal(send_fds(c, &l, 1), 1); /* the listener, in the queue of its own embryo */
    fd_close(l);
    fd_close(c);
    assert_int_equal(unix_stats.sockets, 0);
}

static void descriptors_in_flight_are_bounded(void **state)
{
    int a, b, n = 0;
    pair(SOCK_DGRAM, &a, &b);
    fd_rlimit = 10;
    while (send_fds(a, &a, 1) == 1)
        n++;
    assert_int_equal(n, 10);
    assert_int_equal(send_fds(a, &a, 1), -ETOOMANYREFS);
    fd_rlimit = FAKE_FDS;
}

/* ---- Many messages, options ---- */

static void mmsg_calls_report_what_was_done(void **state)
{
    int a, b;
    pair(SOCK_DGRAM, &a, &b);
    struct iovec v[4] = {{"a", 1}, {"bb", 2}, {"ccc", 3}, {(void *)8, 4}};
    struct mmsghdr m[4] = {0};
    for (int i = 0; i < 4; i++)
        m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
    assert_int_equal(sys_sendmmsg(a, m, 4, 0), 3);
    assert_int_equal(m[2].msg_len, 3);
    for (int i = 0; i < 4; i++)
        v[i] = (struct iovec){got + i * 10, 10};
    assert_int_equal(sys_recvmmsg(b, m, 2, 0, NULL), 2);
    struct __kernel_timespec ts = {1, 0};
    assert_int_equal(sys_recvmmsg(b, m, 4, MSG_WAITFORONE, &ts), 1);
    assert_int_equal(m[0].msg_len, 3);
    assert_int_equal(ts.tv_sec, 1);
    assert_int_equal(sys_recvmmsg(b, m, 4, 0, NULL), -EAGAIN);
    ts.tv_nsec = -1;
    assert_int_equal(sys_recvmmsg(b, m, 4, 0, &ts), -EINVAL);
}

static void options_read_back(void **state)
{
    int a = new_socket(SOCK_STREAM), v = 10000, len = sizeof(v);
    assert_int_equal(sys_setsockopt(a, SOL_SOCKET, SO_SNDBUF, &v, 4), 0);
    assert_int_equal(opt(a, SO_SNDBUF), 20000);
    v = 1;
    assert_int_equal(sys_setsockopt(a, SOL_SOCKET, SO_RCVBUF, &v, 4), 0);
    assert_int_equal(opt(a, SO_RCVBUF), 2304);
    v = 1 << 30;
    assert_int_equal(sys_setsockopt(a, SOL_SOCKET, SO_SNDBUF, &v, 4), 0);
    assert_int_equal(opt(a, SO_SNDBUF), 425984);
    assert_int_equal(sys_setsockopt(a, SOL_SOCKET, SO_SNDBUFFORCE, &v, 4), 0);
    assert_int_equal(opt(a, SO_SNDBUF), INT32_MAX - 1);
    assert_int_equal(opt(a, SO_TYPE), SOCK_STREAM);
    assert_int_equal(sys_setsockopt(a, SOL_SOCKET, SO_TYPE, &v, 4), -ENOPROTOOPT);
    assert_int_equal(sys_setsockopt(a, SOL_SOCKET, SO_REUSEADDR, &v, 3), -EINVAL);
    assert_int_equal(sys_setsockopt(a, SOL_SOCKET, 9999, &v, 4), -ENOPROTOOPT);
    assert_int_equal(sys_setsockopt(a, SOL_TCP, 1, &v, 4), -EOPNOTSUPP);
    assert_int_equal(sys_setsockopt(a, SOL_SOCKET, SO_REUSEADDR, (void *)8, 4), -EFAULT);
    struct linger l = {1, 30}, l2 = {0};
    assert_int_equal(sys_setsockopt(a, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
    len = sizeof(l2);
    assert_int_equal(sys_getsockopt(a, SOL_SOCKET, SO_LINGER, &l2, &len), 0);
    assert_memory_equal(&l, &l2, sizeof(l));
    assert_int_equal(sys_socket(AF_UNIX, SOCK_RDM, 0), -ESOCKTNOSUPPORT);
    assert_int_equal(sys_socket(AF_UNIX, SOCK_STREAM, 5), -EPROTONOSUPPORT);
    assert_int_equal(sys_socket(AF_X25, SOCK_STREAM, 0), -EAFNOSUPPORT);
    assert_int_equal(sys_socket(AF_UNIX, 0x100 | SOCK_STREAM, 0), -EINVAL);
    assert_int_equal(sys_bind(999, &un, 2), -EBADF);
}

static void peeks_move_with_an_offset(void **state)
{
    int a, b, off = 2;
    pair(SOCK_STREAM, &a, &b);
    assert_int_equal(snd(a, "abc"), 3);
    assert_int_equal(snd(a, "def"), 3);
    assert_int_equal(sys_setsockopt(b, SOL_SOCKET, SO_PEEK_OFF, &off, 4), 0);
    assert_int_equal(rcv(b, 2, MSG_PEEK), 2);
    assert_string_equal(got, "cd");
    assert_int_equal(opt(b, SO_PEEK_OFF), 4);
    assert_int_equal(rcv(b, 1, 0), 1);
    assert_int_equal(opt(b, SO_PEEK_OFF), 3);
    assert_int_equal(rcv(b, 10, MSG_PEEK), 2);
    assert_string_equal(got, "ef");
}

static void the_proc_file_lists_sockets(void **state)
{
    char text[1000];
    listener("/run/proc", SOCK_STREAM, 1);
    listener("@abs", SOCK_STREAM, 1);
    size_t n = unix_proc_text(text, sizeof(text));
    assert_int_equal(n, strlen(text));
    assert_non_null(strstr(text, " 00010000 0001 01 "));
    assert_non_null(strstr(text, " /run/proc\n"));
    assert_non_null(strstr(text, " @abs\n"));
    assert_int_equal(unix_proc_text(NULL, 0), n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(streams_connect_and_talk),
        T(a_full_backlog_refuses_or_waits),
        T(ends_of_streams),
        T(the_send_buffer_bounds_what_is_queued),
        T(receivers_sleep_as_told),
        T(datagrams_keep_their_bounds),
        T(datagrams_find_names),
        T(a_full_queue_holds_strangers_back),
        T(seqpackets_are_connected_datagrams),
        T(descriptors_travel),
        T(credentials_travel),
        T(control_data_is_checked),
        T(a_socket_in_its_own_queue_is_collected),
        T(rings_of_sockets_are_collected),
        T(unaccepted_connections_are_collected),
        T(descriptors_in_flight_are_bounded),
        T(mmsg_calls_report_what_was_done),
        T(options_read_back),
        T(peeks_move_with_an_offset),
        T(the_proc_file_lists_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
