/*
 * Names of flags and commands for --strace; see linux/strace.h. A set is either bits, printed as
 * A|B|0x40, or values, of which one is printed. Values that need a mask (the access mode of
 * open, the type of socket) come first in a set of bits, with their mask.
 */
#include "linux/strace.h"
#include "linux/syscall.h"
#include "net/sockdefs.h"

#include <asm/ioctls.h>
#include <asm/prctl.h>
#include <linux/eventpoll.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/in.h>
#include <linux/membarrier.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/random.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <linux/stat.h>
#include <linux/tcp.h>
#include <linux/time.h>
#include <linux/timerfd.h>
#include <linux/wait.h>

#include <asm/signal.h>

#define ARCH_CET_STATUS 0x3001 /* asked for by glibc; in no header of 6.1 */

struct name {
    uint32_t value;
    const char *name;
};

struct set {
    const struct name *names;
    uint16_t nr;
    bool bits;
    uint32_t mask; /* bits: this part is a value, named by the entries that lie in it */
};

#define N(x)                                                                                       \
    {                                                                                              \
        (uint32_t)(x), #x                                                                          \
    }
#define BITS(n, mask)                                                                              \
    {                                                                                              \
        n, ARRAY_SIZE(n), true, mask                                                               \
    }
#define VALUES(n)                                                                                  \
    {                                                                                              \
        n, ARRAY_SIZE(n), false, 0                                                                 \
    }

static const struct name open_names[] = {
    N(O_RDONLY),    N(O_WRONLY),         N(O_RDWR),    N(O_CREAT),     N(O_EXCL),
    N(O_NOCTTY),    N(O_TRUNC),          N(O_APPEND),  N(O_NONBLOCK),  N(O_SYNC),
    N(O_DSYNC),     {FASYNC, "O_ASYNC"}, N(O_DIRECT),  N(O_LARGEFILE), N(O_TMPFILE),
    N(O_DIRECTORY), N(O_NOFOLLOW),       N(O_NOATIME), N(O_CLOEXEC),   N(O_PATH),
};
/* One pair of flags under the names that each family of calls has for it. */
#define FD_FLAGS(prefix)                                                                           \
    {O_CLOEXEC, #prefix "_CLOEXEC"},                                                               \
    {                                                                                              \
        O_NONBLOCK, #prefix "_NONBLOCK"                                                            \
    }
static const struct name epoll_fd_names[] = {FD_FLAGS(EPOLL)}, sock_fd_names[] = {FD_FLAGS(SOCK)},
                         efd_names[] = {FD_FLAGS(EFD), {1, "EFD_SEMAPHORE"}},
                         sfd_names[] = {FD_FLAGS(SFD)}, tfd_names[] = {FD_FLAGS(TFD)},
                         in_names[] = {FD_FLAGS(IN)};
static const struct name prot_names[] = {N(PROT_NONE), N(PROT_READ), N(PROT_WRITE), N(PROT_EXEC),
                                         N(PROT_GROWSDOWN)};
static const struct name map_names[] = {
    N(MAP_SHARED),    N(MAP_PRIVATE),         N(MAP_SHARED_VALIDATE), N(MAP_FIXED),
    N(MAP_ANONYMOUS), N(MAP_GROWSDOWN),       N(MAP_DENYWRITE),       N(MAP_LOCKED),
    N(MAP_NORESERVE), N(MAP_POPULATE),        N(MAP_NONBLOCK),        N(MAP_STACK),
    N(MAP_HUGETLB),   N(MAP_FIXED_NOREPLACE),
};
static const struct name mremap_names[] = {N(MREMAP_MAYMOVE), N(MREMAP_FIXED), N(MREMAP_DONTUNMAP)};
static const struct name madvise_names[] = {
    N(MADV_NORMAL),         N(MADV_RANDOM),   N(MADV_SEQUENTIAL), N(MADV_WILLNEED),
    N(MADV_DONTNEED),       N(MADV_FREE),     N(MADV_REMOVE),     N(MADV_DONTFORK),
    N(MADV_DOFORK),         N(MADV_HUGEPAGE), N(MADV_NOHUGEPAGE), N(MADV_DONTDUMP),
    N(MADV_DODUMP),         N(MADV_COLD),     N(MADV_PAGEOUT),    N(MADV_POPULATE_READ),
    N(MADV_POPULATE_WRITE),
};
static const struct name msync_names[] = {N(MS_ASYNC), N(MS_INVALIDATE), N(MS_SYNC)};
static const struct name epoll_names[] = {
    N(EPOLLIN),     N(EPOLLPRI),       N(EPOLLOUT),    N(EPOLLERR),     N(EPOLLHUP),
    N(EPOLLRDNORM), N(EPOLLRDBAND),    N(EPOLLWRNORM), N(EPOLLWRBAND),  N(EPOLLMSG),
    N(EPOLLRDHUP),  N(EPOLLEXCLUSIVE), N(EPOLLWAKEUP), N(EPOLLONESHOT), N(EPOLLET),
};
static const struct name epoll_op_names[] = {N(EPOLL_CTL_ADD), N(EPOLL_CTL_DEL), N(EPOLL_CTL_MOD)};
static const struct name poll_names[] = {
    N(POLLIN),     N(POLLPRI),    N(POLLOUT),    N(POLLERR),    N(POLLHUP),   N(POLLNVAL),
    N(POLLRDNORM), N(POLLRDBAND), N(POLLWRNORM), N(POLLWRBAND), N(POLLRDHUP),
};
static const struct name af_names[] = {N(AF_UNSPEC),  N(AF_UNIX),   N(AF_INET),  N(AF_INET6),
                                       N(AF_NETLINK), N(AF_PACKET), N(AF_VSOCK), N(AF_ALG)};
static const struct name sock_names[] = {N(SOCK_STREAM),    N(SOCK_DGRAM),   N(SOCK_RAW),
                                         N(SOCK_SEQPACKET), N(SOCK_CLOEXEC), N(SOCK_NONBLOCK)};
static const struct name ipproto_names[] = {N(IPPROTO_IP),  N(IPPROTO_ICMP), N(IPPROTO_TCP),
                                            N(IPPROTO_UDP), N(IPPROTO_IPV6), N(IPPROTO_RAW)};
static const struct name msg_names[] = {
    N(MSG_OOB),        N(MSG_PEEK),     N(MSG_DONTROUTE), N(MSG_CTRUNC),
    N(MSG_TRUNC),      N(MSG_DONTWAIT), N(MSG_EOR),       N(MSG_WAITALL),
    N(MSG_CONFIRM),    N(MSG_ERRQUEUE), N(MSG_NOSIGNAL),  N(MSG_MORE),
    N(MSG_WAITFORONE), N(MSG_ZEROCOPY), N(MSG_FASTOPEN),  N(MSG_CMSG_CLOEXEC),
};
static const struct name shut_names[] = {N(SHUT_RD), N(SHUT_WR), N(SHUT_RDWR)};
static const struct name sol_names[] = {N(SOL_SOCKET), N(SOL_IP),  N(SOL_TCP),    N(SOL_UDP),
                                        N(SOL_IPV6),   N(SOL_RAW), N(SOL_PACKET), N(SOL_NETLINK)};
static const struct name so_names[] = {
    N(SO_DEBUG),         N(SO_REUSEADDR), N(SO_TYPE),       N(SO_ERROR),       N(SO_DONTROUTE),
    N(SO_BROADCAST),     N(SO_SNDBUF),    N(SO_RCVBUF),     N(SO_KEEPALIVE),   N(SO_OOBINLINE),
    N(SO_PRIORITY),      N(SO_LINGER),    N(SO_REUSEPORT),  N(SO_PASSCRED),    N(SO_PEERCRED),
    N(SO_RCVLOWAT),      N(SO_SNDLOWAT),  N(SO_RCVTIMEO),   N(SO_SNDTIMEO),    N(SO_BINDTODEVICE),
    N(SO_ATTACH_FILTER), N(SO_TIMESTAMP), N(SO_ACCEPTCONN), N(SO_SNDBUFFORCE), N(SO_RCVBUFFORCE),
    N(SO_MARK),          N(SO_PROTOCOL),  N(SO_DOMAIN),     N(SO_BUSY_POLL),   N(SO_INCOMING_CPU),
    N(SO_ZEROCOPY),
};
static const struct name tcp_names[] = {
    N(TCP_NODELAY), N(TCP_MAXSEG),   N(TCP_CORK),       N(TCP_KEEPIDLE),     N(TCP_KEEPINTVL),
    N(TCP_KEEPCNT), N(TCP_SYNCNT),   N(TCP_LINGER2),    N(TCP_DEFER_ACCEPT), N(TCP_WINDOW_CLAMP),
    N(TCP_INFO),    N(TCP_QUICKACK), N(TCP_CONGESTION), N(TCP_USER_TIMEOUT), N(TCP_FASTOPEN),
};
static const struct name clone_names[] = {
    N(CLONE_VM),
    N(CLONE_FS),
    N(CLONE_FILES),
    N(CLONE_SIGHAND),
    N(CLONE_PIDFD),
    N(CLONE_PTRACE),
    N(CLONE_VFORK),
    N(CLONE_PARENT),
    N(CLONE_THREAD),
    N(CLONE_NEWNS),
    N(CLONE_SYSVSEM),
    N(CLONE_SETTLS),
    N(CLONE_PARENT_SETTID),
    N(CLONE_CHILD_CLEARTID),
    N(CLONE_CHILD_SETTID),
    N(SIGCHLD),
};
static const struct name futex_names[] = {
    N(FUTEX_WAIT),        N(FUTEX_WAKE),         N(FUTEX_REQUEUE),         N(FUTEX_CMP_REQUEUE),
    N(FUTEX_WAKE_OP),     N(FUTEX_LOCK_PI),      N(FUTEX_UNLOCK_PI),       N(FUTEX_TRYLOCK_PI),
    N(FUTEX_WAIT_BITSET), N(FUTEX_WAKE_BITSET),  N(FUTEX_WAIT_REQUEUE_PI), N(FUTEX_CMP_REQUEUE_PI),
    N(FUTEX_LOCK_PI2),    N(FUTEX_PRIVATE_FLAG), N(FUTEX_CLOCK_REALTIME),
};
static const struct name fcntl_names[] = {
    N(F_DUPFD),      N(F_GETFD),      N(F_SETFD),     N(F_GETFL),     N(F_SETFL),
    N(F_GETLK),      N(F_SETLK),      N(F_SETLKW),    N(F_SETOWN),    N(F_GETOWN),
    N(F_SETSIG),     N(F_GETSIG),     N(F_SETOWN_EX), N(F_GETOWN_EX), N(F_OFD_GETLK),
    N(F_OFD_SETLK),  N(F_OFD_SETLKW), N(F_SETLEASE),  N(F_GETLEASE),  N(F_DUPFD_CLOEXEC),
    N(F_SETPIPE_SZ), N(F_GETPIPE_SZ), N(F_ADD_SEALS), N(F_GET_SEALS),
};
static const struct name fdfd_names[] = {N(FD_CLOEXEC)};
static const struct name whence_names[] = {N(SEEK_SET), N(SEEK_CUR), N(SEEK_END), N(SEEK_DATA),
                                           N(SEEK_HOLE)};
static const struct name access_names[] = {{0, "F_OK"}, {4, "R_OK"}, {2, "W_OK"}, {1, "X_OK"}};
static const struct name at_names[] = {N(AT_SYMLINK_NOFOLLOW), N(AT_SYMLINK_FOLLOW),
                                       N(AT_NO_AUTOMOUNT),     N(AT_EMPTY_PATH),
                                       N(AT_STATX_FORCE_SYNC), N(AT_STATX_DONT_SYNC)};
static const struct name unlinkat_names[] = {N(AT_REMOVEDIR)};
static const struct name sigmask_names[] = {N(SIG_BLOCK), N(SIG_UNBLOCK), N(SIG_SETMASK)};
static const struct name clock_names[] = {
    N(CLOCK_REALTIME),          N(CLOCK_MONOTONIC),     N(CLOCK_PROCESS_CPUTIME_ID),
    N(CLOCK_THREAD_CPUTIME_ID), N(CLOCK_MONOTONIC_RAW), N(CLOCK_REALTIME_COARSE),
    N(CLOCK_MONOTONIC_COARSE),  N(CLOCK_BOOTTIME),      N(CLOCK_TAI),
};
static const struct name timer_flag_names[] = {{1, "TIMER_ABSTIME"}};
static const struct name timerfd_names[] = {{1, "TFD_TIMER_ABSTIME"},
                                            {2, "TFD_TIMER_CANCEL_ON_SET"}};
static const struct name random_names[] = {N(GRND_NONBLOCK), N(GRND_RANDOM), N(GRND_INSECURE)};
static const struct name rlimit_names[] = {
    N(RLIMIT_CPU),      N(RLIMIT_FSIZE), N(RLIMIT_DATA),   N(RLIMIT_STACK),
    N(RLIMIT_CORE),     N(RLIMIT_RSS),   N(RLIMIT_NPROC),  N(RLIMIT_NOFILE),
    N(RLIMIT_MEMLOCK),  N(RLIMIT_AS),    N(RLIMIT_LOCKS),  N(RLIMIT_SIGPENDING),
    N(RLIMIT_MSGQUEUE), N(RLIMIT_NICE),  N(RLIMIT_RTPRIO), N(RLIMIT_RTTIME),
};
static const struct name arch_prctl_names[] = {N(ARCH_SET_GS), N(ARCH_SET_FS), N(ARCH_GET_FS),
                                               N(ARCH_GET_GS), N(ARCH_CET_STATUS)};
static const struct name prctl_names[] = {
    N(PR_SET_PDEATHSIG),    N(PR_GET_DUMPABLE),    N(PR_SET_DUMPABLE),
    N(PR_GET_KEEPCAPS),     N(PR_SET_KEEPCAPS),    N(PR_SET_NAME),
    N(PR_GET_NAME),         N(PR_CAPBSET_READ),    N(PR_CAPBSET_DROP),
    N(PR_SET_TIMERSLACK),   N(PR_GET_TIMERSLACK),  N(PR_SET_NO_NEW_PRIVS),
    N(PR_GET_NO_NEW_PRIVS), N(PR_SET_THP_DISABLE), N(PR_GET_THP_DISABLE),
    N(PR_SET_VMA),          N(PR_SET_SECCOMP),     N(PR_SET_CHILD_SUBREAPER),
};
static const struct name ioctl_names[] = {
    N(TCGETS),         N(TCSETS),         N(TCSETSW),     N(TCSETSF),       N(TIOCGWINSZ),
    N(TIOCSWINSZ),     N(TIOCGPGRP),      N(TIOCSPGRP),   N(TIOCSCTTY),     N(TIOCNOTTY),
    N(FIONREAD),       N(FIONBIO),        N(FIOASYNC),    N(FIOCLEX),       N(FIONCLEX),
    N(TIOCOUTQ),       N(SIOCGIFNAME),    N(SIOCGIFCONF), N(SIOCGIFFLAGS),  N(SIOCGIFADDR),
    N(SIOCGIFNETMASK), N(SIOCGIFBRDADDR), N(SIOCGIFMTU),  N(SIOCGIFHWADDR), N(SIOCGIFINDEX),
    N(SIOCGIFTXQLEN),  N(SIOCETHTOOL),
};
static const struct name membarrier_names[] = {
    N(MEMBARRIER_CMD_QUERY),
    N(MEMBARRIER_CMD_GLOBAL),
    N(MEMBARRIER_CMD_GLOBAL_EXPEDITED),
    N(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED),
    N(MEMBARRIER_CMD_PRIVATE_EXPEDITED),
    N(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED),
};
static const struct name falloc_names[] = {N(FALLOC_FL_KEEP_SIZE), N(FALLOC_FL_PUNCH_HOLE),
                                           N(FALLOC_FL_COLLAPSE_RANGE), N(FALLOC_FL_ZERO_RANGE)};
static const struct name wait_names[] = {N(WNOHANG), N(WUNTRACED), N(WCONTINUED)};
static const struct name flock_names[] = {N(LOCK_SH), N(LOCK_EX), N(LOCK_UN), N(LOCK_NB)};

static const struct set shared_sets[] = {
    [STRACE_OPEN] = BITS(open_names, O_ACCMODE),
    [STRACE_PROT] = BITS(prot_names, 0),
    [STRACE_EPOLL] = BITS(epoll_names, 0),
    [STRACE_POLL] = BITS(poll_names, 0),
    [STRACE_AF] = VALUES(af_names),
    [STRACE_MSG] = BITS(msg_names, 0),
};

#define FUTEX_COMMAND (~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME))

/* Which argument of which call has which names. */
static const struct {
    uint16_t nr;
    uint8_t index;
    struct set set;
} uses[] = {
    {__NR_mmap, 3, BITS(map_names, MAP_TYPE)},
    {__NR_mremap, 3, BITS(mremap_names, 0)},
    {__NR_madvise, 2, VALUES(madvise_names)},
    {__NR_msync, 2, BITS(msync_names, 0)},
    {__NR_epoll_create1, 0, BITS(epoll_fd_names, 0)},
    {__NR_epoll_ctl, 1, VALUES(epoll_op_names)},
    {__NR_socket, 0, VALUES(af_names)},
    {__NR_socket, 1, BITS(sock_names, SOCK_TYPE_MASK)},
    {__NR_socket, 2, VALUES(ipproto_names)},
    {__NR_socketpair, 0, VALUES(af_names)},
    {__NR_socketpair, 1, BITS(sock_names, SOCK_TYPE_MASK)},
    {__NR_sendto, 3, BITS(msg_names, 0)},
    {__NR_recvfrom, 3, BITS(msg_names, 0)},
    {__NR_sendmsg, 2, BITS(msg_names, 0)},
    {__NR_recvmsg, 2, BITS(msg_names, 0)},
    {__NR_sendmmsg, 3, BITS(msg_names, 0)},
    {__NR_recvmmsg, 3, BITS(msg_names, 0)},
    {__NR_accept4, 3, BITS(sock_fd_names, 0)},
    {__NR_eventfd2, 1, BITS(efd_names, 0)},
    {__NR_signalfd4, 3, BITS(sfd_names, 0)},
    {__NR_timerfd_create, 0, VALUES(clock_names)},
    {__NR_timerfd_create, 1, BITS(tfd_names, 0)},
    {__NR_timerfd_settime, 1, BITS(timerfd_names, 0)},
    {__NR_inotify_init1, 0, BITS(in_names, 0)},
    {__NR_shutdown, 1, VALUES(shut_names)},
    {__NR_setsockopt, 1, VALUES(sol_names)},
    {__NR_getsockopt, 1, VALUES(sol_names)},
    {__NR_clone, 0, BITS(clone_names, CSIGNAL)},
    {__NR_futex, 1, BITS(futex_names, FUTEX_COMMAND)},
    {__NR_fcntl, 1, VALUES(fcntl_names)},
    {__NR_lseek, 2, VALUES(whence_names)},
    {__NR_access, 1, BITS(access_names, 0)},
    {__NR_faccessat, 2, BITS(access_names, 0)},
    {__NR_faccessat2, 2, BITS(access_names, 0)},
    {__NR_newfstatat, 3, BITS(at_names, 0)},
    {__NR_statx, 2, BITS(at_names, 0)},
    {__NR_unlinkat, 2, BITS(unlinkat_names, 0)},
    {__NR_rt_sigprocmask, 0, VALUES(sigmask_names)},
    {__NR_clock_gettime, 0, VALUES(clock_names)},
    {__NR_clock_getres, 0, VALUES(clock_names)},
    {__NR_clock_nanosleep, 0, VALUES(clock_names)},
    {__NR_clock_nanosleep, 1, BITS(timer_flag_names, 0)},
    {__NR_getrandom, 2, BITS(random_names, 0)},
    {__NR_prlimit64, 1, VALUES(rlimit_names)},
    {__NR_getrlimit, 0, VALUES(rlimit_names)},
    {__NR_setrlimit, 0, VALUES(rlimit_names)},
    {__NR_arch_prctl, 0, VALUES(arch_prctl_names)},
    {__NR_prctl, 0, VALUES(prctl_names)},
    {__NR_ioctl, 1, VALUES(ioctl_names)},
    {__NR_membarrier, 0, VALUES(membarrier_names)},
    {__NR_fallocate, 1, BITS(falloc_names, 0)},
    {__NR_wait4, 2, BITS(wait_names, 0)},
    {__NR_flock, 1, BITS(flock_names, 0)},
};

static void put_bits(struct strace_line *l, const struct set *s, uint64_t v)
{
    const char *bar = "";
    uint64_t left = v & ~(uint64_t)s->mask;
    bool value_named = s->mask == 0;

    for (unsigned i = 0; i < s->nr && !value_named; i++) {
        const struct name *n = &s->names[i];
        if (!(n->value & ~s->mask) && n->value == (v & s->mask)) {
            strace_put(l, "%s", n->name);
            bar = "|";
            value_named = true;
        }
    }
    if (!value_named)
        left = v;
    for (unsigned i = 0; i < s->nr; i++) {
        const struct name *n = &s->names[i];
        if (n->value == 0 || !(n->value & ~s->mask) || (left & n->value) != n->value)
            continue;
        strace_put(l, "%s%s", bar, n->name);
        bar = "|";
        left &= ~(uint64_t)n->value;
    }
    if (left != 0)
        strace_put(l, "%s0x%lx", bar, left);
    else if (*bar == '\0') /* nothing is set: the name of zero, if it has one */
        strace_put(l, "%s", s->mask == 0 && s->names[0].value == 0 ? s->names[0].name : "0");
}

static void put_set(struct strace_line *l, const struct set *s, uint64_t v)
{
    if (s->bits) {
        put_bits(l, s, v);
        return;
    }
    for (unsigned i = 0; i < s->nr; i++) {
        if (s->names[i].value == (uint32_t)v) {
            strace_put(l, "%s", s->names[i].name);
            return;
        }
    }
    strace_put(l, "0x%x", (uint32_t)v);
}

void strace_put_set(struct strace_line *l, enum strace_set set, uint64_t value)
{
    put_set(l, &shared_sets[set], value);
}

/* Arguments whose names depend on another one. */
static const struct set *dependent_set(uint64_t nr, unsigned index, const uint64_t args[6])
{
    static const struct set so = VALUES(so_names), tcp = VALUES(tcp_names),
                            status = BITS(open_names, O_ACCMODE), fdfd = BITS(fdfd_names, 0);
    if ((nr == __NR_setsockopt || nr == __NR_getsockopt) && index == 2)
        return args[1] == SOL_SOCKET ? &so : args[1] == SOL_TCP ? &tcp : NULL;
    if (nr == __NR_fcntl && index == 2)
        return args[1] == F_SETFL ? &status : args[1] == F_SETFD ? &fdfd : NULL;
    return NULL;
}

bool strace_symbolic(struct strace_line *l, uint64_t nr, unsigned index, const uint64_t args[6])
{
    const struct set *s = dependent_set(nr, index, args);
    for (size_t i = 0; s == NULL && i < ARRAY_SIZE(uses); i++) {
        if (uses[i].nr == nr && uses[i].index == index)
            s = &uses[i].set;
    }
    if (s == NULL)
        return false;
    put_set(l, s, (uint32_t)args[index]);
    return true;
}
