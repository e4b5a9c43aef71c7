// unit: kernel/linux/strace.c kernel/linux/strace_args.c kernel/linux/strace_flags.c kernel/lib/names.c kernel/lib/printf.c
/* Proves that --strace prints calls as strace(1) does, in whole lines whatever interleaves. */
#include "arch/x86_64/uaccess.h"
#include "drivers/console.h"
#include "linux/signal.h"
#include "linux/strace.h"
#include "linux/syscall.h"
#include "net/sockdefs.h"
#include "sched/thread.h"

#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/futex.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/mman.h>
#include <linux/sched.h>
#include <linux/time_types.h>
#include <linux/un.h>

#include <setjmp.h>

#include <cmocka.h>

static char out[8192];
static size_t out_len;
static struct thread threads[2] = {{.tid = 1}, {.tid = 7}};
static int syscall_fn;

/* What strace needs of the kernel. */
struct thread *current_thread = &threads[0];
unsigned thread_count = 1;
uint32_t cpu_exit_work;

void console_write(const char *s, size_t n)
{
    assert_true(out_len + n < sizeof(out));
    memcpy(out + out_len, s, n);
    out_len += n;
    out[out_len] = '\0';
}

void kprintf(const char *fmt, ...)
{
    char line[256];
    va_list ap;
    va_start(ap, fmt);
    kvsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    console_write(line, strlen(line));
}

void panic(const char *fmt, ...)
{
    fail_msg("%s", fmt);
    for (;;)
        ;
}

/* Addresses below 64 KiB stand for what is not mapped. */
size_t user_copy(void *dst, const void *src, size_t n)
{
    if ((uint64_t)src < 65536)
        return n;
    memcpy(dst, src, n);
    return 0;
}

ssize_t copy_string_from_user(char *dst, const char *usrc, size_t size)
{
    if ((uint64_t)usrc < 65536)
        return -EFAULT;
    return strlcpy(dst, usrc, size) < size ? (ssize_t)strlen(dst) : -ENAMETOOLONG;
}

size_t strlcpy(char *dst, const char *src, size_t size)
{
    size_t n = strlen(src), copied = MIN(n, size - 1);
    memcpy(dst, src, copied);
    dst[copied] = '\0';
    return n;
}

static struct syscall_desc desc_of(uint64_t nr, const char *name, const char *args)
{
    return (struct syscall_desc){(uint32_t)nr, SYSCALL_COMPLETE, name, args, &syscall_fn, ""};
}

static void expect(const char *want)
{
    static char got[sizeof(out)];
    memcpy(got, out, out_len);
    got[out_len] = '\0';
    out_len = 0;
    assert_string_equal(got, want);
}

#define CALL(name, letters, ret, want, ...)                                                        \
    do {                                                                                           \
        struct syscall_desc d_ = desc_of(__NR_##name, #name, letters);                             \
        uint64_t a_[6] = {__VA_ARGS__};                                                            \
        strace_enter(&d_, __NR_##name, a_);                                                        \
        strace_exit(&d_, __NR_##name, a_, ret);                                                    \
        expect(want);                                                                              \
    } while (0)
#define P(x) ((uint64_t)(x))

static void files(void **state)
{
    (void)state;
    char text[64] = "hello\n\t\"\\\001"
                    "2\200";
    CALL(openat, "AsOo", 3, "openat(AT_FDCWD, \"/etc/x\", O_RDONLY|O_CLOEXEC) = 3\n", P(AT_FDCWD),
         P("/etc/x"), O_CLOEXEC, 0);
    CALL(openat, "AsOo", -ENOENT,
         "openat(5, 0x10, O_RDWR|O_CREAT|O_TRUNC|O_SYNC, 0644) = -1 ENOENT\n", 5, 0x10,
         O_RDWR | O_CREAT | O_TRUNC | O_SYNC, 0644);
    CALL(read, "dBz", 12, "read(0, \"hello\\n\\t\\\"\\\\\\0012\\200\", 64)   = 12\n", 0, P(text),
         64);
    CALL(read, "dBz", -EAGAIN, "read(0, 0x2000, 64)                     = -1 EAGAIN\n", 0, 0x2000,
         64);
    CALL(write, "dbz", 40, "write(1, \"0123456789abcdef0123456789abcdef\"..., 40) = 40\n", 1,
         P("0123456789abcdef0123456789abcdef01234567"), 40);
    CALL(lseek, "dli", 5, "lseek(3, -1, SEEK_END)                  = 5\n", 3, P(-1), 2);
    CALL(fcntl, "dix", 0, "fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK)    = 0\n", 3, F_SETFL,
         O_RDWR | O_NONBLOCK);
    CALL(access, "si", 0, "access(\"/\", F_OK)                       = 0\n", P("/"), 0);
    CALL(pipe2, "pO", 0, "pipe2([3, 4], O_RDONLY|O_CLOEXEC)       = 0\n", P(((int[]){3, 4})),
         O_CLOEXEC);
}

/* What a call stores is read after it, not before. */
static void outputs_are_new(void **state)
{
    (void)state;
    uint64_t set = SIGMASK(SIGUSR1), old = ~0ull;
    struct syscall_desc d = desc_of(__NR_rt_sigprocmask, "rt_sigprocmask", "ippz");
    uint64_t args[6] = {2, P(&set), P(&old), 8};

    strace_enter(&d, __NR_rt_sigprocmask, args);
    expect("rt_sigprocmask(SIG_SETMASK, [USR1], ");
    old = SIGMASK(SIGTERM);
    strace_exit(&d, __NR_rt_sigprocmask, args, 0);
    expect("[TERM], 8) = 0\n");
    strace_enter(&d, __NR_rt_sigprocmask, args);
    expect("rt_sigprocmask(SIG_SETMASK, [USR1], ");
    args[2] = 0x10;
    strace_exit(&d, __NR_rt_sigprocmask, args, -EFAULT);
    expect("0x10, 8) = -1 EFAULT\n");
}

static void memory_and_threads(void **state)
{
    (void)state;
    CALL(mmap, "pzMxdl", 0x7f0000001000,
         "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = "
         "0x7f0000001000\n",
         0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, P(-1), 0);
    CALL(mprotect, "pzM", 0, "mprotect(0x1000, 4096, PROT_NONE)       = 0\n", 0x1000, 4096, 0);
    CALL(futex, "pxuTpx", -ERESTARTSYS,
         "futex(0x1000, FUTEX_WAIT_BITSET|FUTEX_PRIVATE_FLAG, 2, {tv_sec=1, tv_nsec=5}, NULL, "
         "0xffffffff) = ? ERESTARTSYS\n",
         0x1000, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 2, P((&(struct __kernel_timespec){1, 5})),
         0, 0xffffffff);
    CALL(clone, "xpppx", 7, "clone(CLONE_VM|CLONE_FS|CLONE_THREAD, NULL, NULL, NULL, 0) = 7\n",
         CLONE_VM | CLONE_FS | CLONE_THREAD);
    CALL(clone, "xpppx", -ENOSYS, "clone(SIGCHLD, NULL, NULL, NULL, 0)     = -1 ENOSYS\n", 17);
    CALL(madvise, "pzi", 0, "madvise(0x1000, 1, 0x63)                = 0\n", 0x1000, 1, 99);
    CALL(rt_sigprocmask, "ippz", 0, "rt_sigprocmask(SIG_BLOCK, [INT RT_2], NULL, 8) = 0\n", 0,
         P((&(uint64_t){1ull << 1 | 1ull << 33})), 0, 8);
    CALL(rt_sigpending, "pz", 0, "rt_sigpending([HUP], 8)                 = 0\n",
         P((&(uint64_t){1})), 8);
    CALL(nanosleep, "Tp", 0, "nanosleep({tv_sec=1, tv_nsec=5}, 0x10000) = 0\n",
         P((&(struct __kernel_timespec){1, 5})), 0x10000);
    CALL(nanosleep, "Tp", -EINTR,
         "nanosleep({tv_sec=1, tv_nsec=5}, {tv_sec=0, tv_nsec=7}) = -1 EINTR\n",
         P((&(struct __kernel_timespec){1, 5})), P((&(struct __kernel_timespec){0, 7})));
    CALL(kill, "ig", 0, "kill(1, SIGTERM)                        = 0\n", 1, 15);
}

static void sockets(void **state)
{
    (void)state;
    struct sockaddr_in in = {AF_INET, __builtin_bswap16(6379), {0x0100007f}, {0}};
    struct sockaddr_in6 in6 = {AF_INET6, __builtin_bswap16(80), 0, {{{0x20, 1, 0xd, 0xb8}}}, 2};
    struct sockaddr_un un = {AF_UNIX, "/run/x"};
    uint32_t len = sizeof(in);
    char want[256];
    in6.sin6_addr.s6_addr[15] = 1;
    CALL(socket, "iii", 3, "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_TCP) = 3\n", 2,
         1 | SOCK_CLOEXEC, 6);
    CALL(bind, "dSi", 0,
         "bind(3, {sa_family=AF_INET, sin_port=htons(6379), sin_addr=inet_addr(\"127.0.0.1\")}, "
         "16) = 0\n",
         3, P(&in), sizeof(in));
    CALL(connect, "dSi", -EINPROGRESS,
         "connect(3, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=0, "
         "inet_pton(AF_INET6, \"2001:db8::1\"), sin6_scope_id=2}, 28) = -1 EINPROGRESS\n",
         3, P(&in6), sizeof(in6));
    CALL(connect, "dSi", 0, "connect(3, {sa_family=AF_UNIX, sun_path=\"/run/x\"}, 110) = 0\n", 3,
         P(&un), sizeof(un));
    ksnprintf(want, sizeof(want),
              "accept4(3, {sa_family=AF_INET, sin_port=htons(6379), "
              "sin_addr=inet_addr(\"127.0.0.1\")}, 0x%lx, SOCK_CLOEXEC|SOCK_NONBLOCK) = 4\n",
              P(&len));
    CALL(accept4, "dppx", 4, want, 3, P(&in), P(&len), O_CLOEXEC | O_NONBLOCK);
}

static void sockets_more(void **state)
{
    (void)state;
    struct epoll_event ev[2] = {{EPOLLIN | EPOLLET, 5}, {EPOLLHUP, 6}};
    struct iovec iov[2] = {{(void *)"abc", 3}, {(void *)"defg", 4}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
    CALL(epoll_ctl, "didE", 0,
         "epoll_ctl(3, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLET, data=0x5}) = 0\n", 3,
         EPOLL_CTL_ADD, 4, P(ev));
    CALL(epoll_wait, "dpii", 2,
         "epoll_wait(3, [{events=EPOLLIN|EPOLLET, data=0x5}, {events=EPOLLHUP, data=0x6}], 64, "
         "-1) = 2\n",
         3, P(ev), 64, P(-1));
    CALL(writev, "dVi", 7,
         "writev(4, [{iov_base=\"abc\", iov_len=3}, {iov_base=\"defg\", iov_len=4}], 2) = 7\n", 4,
         P(iov), 2);
    CALL(readv, "dVi", 4,
         "readv(4, [{iov_base=\"abc\", iov_len=3}, {iov_base=\"d\", iov_len=4}], 2) = 4\n", 4,
         P(iov), 2);
    CALL(sendmsg, "dpx", 7,
         "sendmsg(4, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"abc\", iov_len=3}, "
         "{iov_base=\"defg\", iov_len=4}], msg_iovlen=2, msg_controllen=0, msg_flags=0}, "
         "MSG_NOSIGNAL) = 7\n",
         4, P(&m), MSG_NOSIGNAL);
    CALL(setsockopt, "diiBi", 0, "setsockopt(3, SOL_TCP, TCP_NODELAY, [1], 4) = 0\n", 3, 6, 1,
         P((&(int){1})), 4);
    CALL(shutdown, "di", 0, "shutdown(3, SHUT_WR)                    = 0\n", 3, 1);
}

static void threads_interleave(void **state)
{
    (void)state;
    struct syscall_desc d = desc_of(__NR_read, "read", "dBz");
    uint64_t a[6] = {3, P("data"), 4};
    thread_count = 2;
    strace_enter(&d, __NR_read, a);
    expect("[1] read(3, ");
    current_thread = &threads[1];
    strace_enter(NULL, 400, (uint64_t[6]){1});
    expect(" <unfinished ...>\n[7] syscall_400(0x1, 0, 0, 0, 0, 0");
    strace_exit(NULL, 400, (uint64_t[6]){1}, -ENOSYS);
    expect(")     = -1 ENOSYS\n");
    current_thread = &threads[0];
    strace_exit(&d, __NR_read, a, 4);
    expect("[1] <... read resumed>\"data\", 4)        = 4\n");
    strace_enter(NULL, __NR_exit_group, (uint64_t[6]){1});
    expect("[1] exit_group(0x1, 0, 0, 0, 0, 0)      = ?\n");
    thread_count = 1;
}

static void only_the_calls_asked_for(void **state)
{
    (void)state;
    assert_int_equal(strace_select("openat,reed"), -EINVAL);
    assert_non_null(strstr(out, "\"reed\""));
    out_len = 0;
    assert_int_equal(strace_select("write,clone3"), 0);
    assert_true(cpu_exit_work != 0);
    CALL(read, "dBz", 1, "", 0, P("x"), 1);
    CALL(write, "dbz", 1, "write(0, \"x\", 1)                        = 1\n", 0, P("x"), 1);
}

static int trace_all(void **state)
{
    (void)state;
    return strace_select(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(outputs_are_new),
        cmocka_unit_test(memory_and_threads),
        cmocka_unit_test(sockets),
        cmocka_unit_test(sockets_more),
        cmocka_unit_test(threads_interleave),
        cmocka_unit_test(only_the_calls_asked_for),
    };
    return cmocka_run_group_tests(tests, trace_all, NULL);
}
