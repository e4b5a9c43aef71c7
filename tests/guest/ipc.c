/*
 * A program for the guest (and for Linux, whose answers are the expected ones): epoll, poll,
 * select, pipes, FIFOs, eventfd, timerfd, signalfd and AF_UNIX sockets through the C library, with
 * a second thread wherever something blocks. Prints TAP; exits with 0 if all is well.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int number, failed;

static void check(int good, const char *what, int line)
{
    printf("%sok %d - %s (line %d)\n", good ? "" : "not ", ++number, what, line);
    failed += !good;
}

#define OK(cond)       check(cond, #cond, __LINE__)
#define FAILS(call, e) check((call) == -1 && errno == (e), #call " fails with " #e, __LINE__)

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Runs f(arg) a little later, in a thread of its own. */
struct later {
    void (*f)(int);
    int arg;
};
static pthread_t later_thread;

static void *later_main(void *p)
{
    struct later *l = p;
    usleep(30000);
    l->f(l->arg);
    free(l);
    return NULL;
}

static void later(void (*f)(int), int arg)
{
    struct later *l = malloc(sizeof(*l));
    *l = (struct later){f, arg};
    pthread_create(&later_thread, NULL, later_main, l);
}

static void put_byte(int fd)
{
    (void)!write(fd, "x", 1);
}

static void add_one(int fd)
{
    uint64_t one = 1;
    (void)!write(fd, &one, 8);
}

static pthread_t main_thread;

static void signal_main(int unused)
{
    pthread_kill(main_thread, SIGUSR1);
}

/* The main thread is the first choice for a signal to the process. */
static void signal_process(int unused)
{
    kill(getpid(), SIGUSR1);
}

static void on_signal(int sig)
{
}

static void epolls(void)
{
    int ep = epoll_create1(EPOLL_CLOEXEC), ev = eventfd(0, EFD_NONBLOCK), p[2];
    struct epoll_event e = {EPOLLIN | EPOLLET, {.u64 = 0x123456789abcdef}}, out[8];
    uint64_t v;
    (void)!pipe2(p, O_NONBLOCK);
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e) == 0);
    FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e), EEXIST);
    FAILS(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL), ENOENT);
    FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &e), EINVAL);
    FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, 999, &e), EBADF);
    FAILS(epoll_wait(ep, out, 0, 0), EINVAL);
    FAILS(epoll_wait(ev, out, 1, 0), EINVAL);
    int reg = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    if (reg >= 0)
        FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, reg, &e), EPERM);
    OK(epoll_wait(ep, out, 8, 0) == 0);
    add_one(ev);
    OK(epoll_wait(ep, out, 8, 0) == 1 && out[0].data.u64 == 0x123456789abcdef);
    OK(epoll_wait(ep, out, 8, 0) == 0);
    add_one(ev);
    OK(epoll_wait(ep, out, 8, 0) == 1);
    OK(read(ev, &v, 8) == 8 && v == 2);
    long t = now_ms();
    OK(epoll_wait(ep, out, 8, 50) == 0 && now_ms() - t >= 49);
    later(add_one, ev);
    OK(epoll_wait(ep, out, 8, 5000) == 1);
    pthread_join(later_thread, NULL);
    e.events = EPOLLIN | EPOLLONESHOT;
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e) == 0);
    put_byte(p[1]);
    OK(epoll_wait(ep, out, 8, 0) == 1);
    put_byte(p[1]);
    OK(epoll_wait(ep, out, 8, 0) == 0);
    OK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e) == 0);
    close(p[1]);
    OK(epoll_wait(ep, out, 8, 0) == 1 && out[0].events == (EPOLLIN | EPOLLHUP));
    int outer = epoll_create1(0);
    e.events = EPOLLIN;
    OK(epoll_ctl(outer, EPOLL_CTL_ADD, ep, &e) == 0);
    FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, outer, &e), ELOOP);
    OK(epoll_wait(outer, out, 8, 0) == 0);
    add_one(ev);
    OK(epoll_wait(outer, out, 8, 0) == 1);
    close(ev);
    close(p[0]);
    OK(epoll_wait(ep, out, 8, 0) == 0);
    later(signal_main, 0);
    FAILS(epoll_wait(ep, out, 8, 5000), EINTR);
    pthread_join(later_thread, NULL);
    close(outer);
    close(ep);
}

static void polls(void)
{
    int p[2], ev = eventfd(0, 0);
    (void)!pipe(p);
    struct pollfd f[4] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}, {-1, POLLIN, 7}, {999, POLLIN, 0}};
    OK(poll(f, 4, 0) == 2 && f[1].revents == POLLOUT && f[2].revents == 0 &&
       f[3].revents == POLLNVAL);
    long t = now_ms();
    OK(poll(f, 1, 50) == 0 && now_ms() - t >= 49);
    later(put_byte, p[1]);
    OK(poll(f, 1, 5000) == 1 && f[0].revents == POLLIN);
    pthread_join(later_thread, NULL);
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(p[0], &in);
    FD_SET(p[1], &out);
    FD_SET(ev, &in);
    OK(select(p[1] + 1, &in, &out, NULL, NULL) == 2 && !FD_ISSET(ev, &in) && FD_ISSET(p[0], &in));
    FD_ZERO(&in);
    FD_SET(ev, &in);
    struct timeval tv = {0, 50000};
    t = now_ms();
    OK(select(p[1] + 1, &in, NULL, NULL, &tv) == 0 && now_ms() - t >= 49 && tv.tv_usec == 0);
    FD_SET(60, &in);
    FAILS(select(61, &in, NULL, NULL, &tv), EBADF);
    later(signal_process, 0);
    struct timespec ts = {5, 0};
    FAILS(ppoll(f, 0, &ts, NULL), EINTR);
    pthread_join(later_thread, NULL);
    close(p[0]);
    close(p[1]);
    close(ev);
}

static void pipes(void)
{
    static char buf[200000];
    int p[2], n = 0;
    struct stat st;
    (void)!pipe2(p, O_NONBLOCK);
    OK(fstat(p[0], &st) == 0 && S_ISFIFO(st.st_mode));
    OK(fcntl(p[0], F_GETPIPE_SZ) == 65536);
    OK(write(p[1], buf, sizeof(buf)) == 65536);
    FAILS(write(p[1], buf, 1), EAGAIN);
    OK(ioctl(p[0], FIONREAD, &n) == 0 && n == 65536);
    OK(fcntl(p[1], F_SETPIPE_SZ, 100000) == 131072);
    OK(write(p[1], buf, sizeof(buf)) == 65536);
    FAILS(fcntl(p[1], F_SETPIPE_SZ, 4096), EBUSY);
    OK(read(p[0], buf, sizeof(buf)) == 131072);
    FAILS(read(p[0], buf, 1), EAGAIN);
    FAILS(lseek(p[0], 0, SEEK_CUR), ESPIPE);
    FAILS(read(p[1], buf, 1), EBADF);
    close(p[0]);
    FAILS(write(p[1], buf, 1), EPIPE);
    close(p[1]);
    OK(pipe2(p, O_DIRECT) == 0 && write(p[1], "abc", 3) == 3 && write(p[1], "de", 2) == 2);
    OK(read(p[0], buf, 100) == 3 && read(p[0], buf, 1) == 1);
    close(p[1]);
    OK(read(p[0], buf, 100) == 0);
    close(p[0]);
    (void)!pipe(p);
    later(put_byte, p[1]);
    OK(read(p[0], buf, 100) == 1);
    pthread_join(later_thread, NULL);
    close(p[0]);
    close(p[1]);
    unlink("/tmp/ipc.fifo");
    OK(mkfifo("/tmp/ipc.fifo", 0600) == 0);
    FAILS(open("/tmp/ipc.fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    int r = open("/tmp/ipc.fifo", O_RDONLY | O_NONBLOCK), w = open("/tmp/ipc.fifo", O_WRONLY);
    OK(write(w, "fifo", 4) == 4 && read(r, buf, 100) == 4);
    close(w);
    OK(read(r, buf, 100) == 0);
    close(r);
    unlink("/tmp/ipc.fifo");
}

static void timers(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK),
        sem = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    uint64_t v = 0;
    struct itimerspec its = {{0, 10000000}, {0, 20000000}}, old;
    FAILS(read(fd, &v, 8), EAGAIN);
    long before = now_ms();
    int r = timerfd_settime(fd, 0, &its, NULL);
    long after = now_ms();
    OK(r == 0);
    OK(timerfd_gettime(fd, &old) == 0 && old.it_interval.tv_nsec == 10000000 &&
       old.it_value.tv_nsec > 0);
    usleep(65000);
    /* 20 ms to the first, 10 to each one after: whatever the host delayed, the clock must agree. */
    long least = 1 + (now_ms() - after - 20) / 10;
    ssize_t n = read(fd, &v, 8);
    long most = 1 + (now_ms() - before - 20) / 10;
    OK(n == 8);
    printf("# %lu periods, expected %ld to %ld\n", (unsigned long)v, least, most);
    OK(least >= 5 && (long)v >= least - 1 && (long)v <= most + 1);
    struct pollfd p = {fd, POLLIN, 0};
    OK(poll(&p, 1, 1000) == 1 && read(fd, &v, 8) == 8 && v >= 1);
    FAILS(timerfd_settime(fd, 64, &its, NULL), EINVAL);
    FAILS(timerfd_settime(sem, 0, &its, NULL), EINVAL);
    close(fd);
    OK(read(sem, &v, 8) == 8 && v == 1 && read(sem, &v, 8) == 8 && v == 1);
    FAILS(read(sem, &v, 8), EAGAIN);
    FAILS(read(sem, &v, 7), EINVAL);
    close(sem);
}

static void signals(void)
{
    sigset_t set;
    struct signalfd_siginfo si = {0};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK);
    FAILS(read(fd, &si, sizeof(si)), EAGAIN);
    sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 77});
    struct pollfd p = {fd, POLLIN, 0};
    OK(poll(&p, 1, 0) == 1);
    OK(read(fd, &si, sizeof(si)) == sizeof(si) && si.ssi_signo == SIGUSR2 && si.ssi_int == 77 &&
       si.ssi_pid == (uint32_t)getpid() && si.ssi_code == SI_QUEUE);
    close(fd);
}

static socklen_t unix_name(struct sockaddr_un *a, const char *path)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    strcpy(a->sun_path + (path[0] == '@'), path + (path[0] == '@'));
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + (path[0] != '@'));
}

static void unix_streams(void)
{
    char buf[100];
    struct sockaddr_un a, from;
    socklen_t len = unix_name(&a, "/tmp/ipc.sock"), fl = sizeof(from);
    int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0), one = 1;
    unlink("/tmp/ipc.sock");
    FAILS(connect(c, (void *)&a, len), ENOENT);
    FAILS(listen(l, 5), EINVAL);
    OK(bind(l, (void *)&a, len) == 0);
    FAILS(bind(l, (void *)&a, len), EADDRINUSE);
    FAILS(bind(c, (void *)&a, len), EADDRINUSE);
    FAILS(connect(c, (void *)&a, len), ECONNREFUSED);
    OK(listen(l, 5) == 0 && connect(c, (void *)&a, len) == 0);
    FAILS(connect(c, (void *)&a, len), EISCONN);
    int s = accept4(l, (void *)&from, &fl, SOCK_CLOEXEC);
    OK(s >= 0 && fl == 2);
    fl = sizeof(from);
    OK(getpeername(c, (void *)&from, &fl) == 0 && strcmp(from.sun_path, "/tmp/ipc.sock") == 0);
    struct ucred cr;
    socklen_t cl = sizeof(cr);
    OK(getsockopt(c, SOL_SOCKET, SO_PEERCRED, &cr, &cl) == 0 && cr.pid == getpid());
    FAILS(setsockopt(c, 6, 1, &one, sizeof(one)), EOPNOTSUPP);
    OK(send(c, "hello", 5, 0) == 5 && recv(s, buf, 100, MSG_PEEK) == 5 && recv(s, buf, 2, 0) == 2 &&
       read(s, buf, 100) == 3);
    FAILS(recv(s, buf, 1, MSG_DONTWAIT), EAGAIN);
    later(put_byte, c);
    OK(recv(s, buf, 100, 0) == 1);
    pthread_join(later_thread, NULL);
    struct pollfd p = {s, POLLIN | POLLRDHUP, 0};
    OK(shutdown(c, SHUT_WR) == 0 && poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLRDHUP));
    OK(recv(s, buf, 1, 0) == 0);
    FAILS(send(c, "x", 1, MSG_NOSIGNAL), EPIPE);
    OK(send(s, "unread", 6, 0) == 6);
    close(c);
    OK(poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) == (POLLHUP | POLLERR));
    FAILS(recv(s, buf, 1, 0), ECONNRESET);
    close(s);
    struct timeval tv = {0, 50000};
    setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    FAILS(accept(l, NULL, NULL), EAGAIN);
    close(l);
    int d = socket(AF_UNIX, SOCK_DGRAM, 0);
    FAILS(connect(d, (void *)&a, len), ECONNREFUSED);
    unlink("/tmp/ipc.sock");
    p.fd = d;
    OK(poll(&p, 1, 0) == 0);
    close(d);
}

static void unix_datagrams(void)
{
    char buf[100], ctl[CMSG_SPACE(sizeof(int))] = {0};
    struct sockaddr_un a, from;
    socklen_t len = unix_name(&a, "@ipc-test"), fl = sizeof(from);
    int s = socket(AF_UNIX, SOCK_DGRAM, 0), c = socket(AF_UNIX, SOCK_DGRAM, 0), sv[2], p[2];
    OK(bind(s, (void *)&a, len) == 0 && bind(c, (void *)&a, 2) == 0);
    FAILS(sendto(c, "x", 1, 0, NULL, 0), ENOTCONN);
    OK(sendto(c, "datagram", 8, 0, (void *)&a, len) == 8);
    OK(recvfrom(s, buf, 4, MSG_TRUNC, (void *)&from, &fl) == 8 && fl == 8);
    OK(connect(c, (void *)&a, len) == 0 && send(c, "y", 1, 0) == 1 && recv(s, buf, 9, 0) == 1);
    close(s);
    FAILS(send(c, "y", 1, 0), ECONNREFUSED);
    FAILS(send(c, "y", 1, 0), ENOTCONN);
    close(c);
    OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) == 0 && pipe(p) == 0);
    struct iovec v = {"fd", 2};
    struct msghdr h = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof(ctl)};
    struct cmsghdr *cm = CMSG_FIRSTHDR(&h);
    *cm = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(4), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(cm), &p[1], 4);
    OK(sendmsg(sv[0], &h, 0) == 2);
    close(p[1]);
    memset(ctl, 0, sizeof(ctl));
    v = (struct iovec){buf, sizeof(buf)};
    h.msg_controllen = sizeof(ctl);
    OK(recvmsg(sv[1], &h, MSG_CMSG_CLOEXEC) == 2 && h.msg_controllen == sizeof(ctl));
    OK(h.msg_flags == MSG_CMSG_CLOEXEC);
    memcpy(&p[1], CMSG_DATA(CMSG_FIRSTHDR(&h)), 4);
    OK(write(p[1], "via", 3) == 3 && read(p[0], buf, 9) == 3);
    struct mmsghdr m[3] = {0};
    struct iovec vs[3] = {{"1", 1}, {"22", 2}, {"333", 3}};
    for (int i = 0; i < 3; i++)
        m[i].msg_hdr = (struct msghdr){.msg_iov = &vs[i], .msg_iovlen = 1};
    OK(sendmmsg(sv[0], m, 3, 0) == 3 && m[2].msg_len == 3);
    for (int i = 0; i < 3; i++)
        vs[i] = (struct iovec){buf + 10 * i, 10};
    OK(recvmmsg(sv[1], m, 3, MSG_WAITFORONE, NULL) == 3 && m[1].msg_len == 2);
    FAILS(recvmmsg(sv[1], m, 3, MSG_DONTWAIT, NULL), EAGAIN);
    /* Two sockets in each other's queues: the kernel has to find them (run many, watch memory). */
    close(sv[0]);
    close(sv[1]);
    close(p[0]);
    close(p[1]);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    main_thread = pthread_self();
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal}, NULL);
    mkdir("/tmp", 01777);
    epolls();
    polls();
    pipes();
    timers();
    signals();
    unix_streams();
    unix_datagrams();
    printf("1..%d\n", number);
    return failed != 0;
}
