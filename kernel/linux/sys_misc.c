/*
 * Calls about the process and the machine that belong nowhere else: identity of the
 * process, limits, usage, names, prctl, membarrier, random numbers.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/uaccess.h"
#include "drivers/power.h"
#include "fs/file.h"
#include "fs/vfs.h"
#include "lib/random.h"
#include "linux/cred.h"
#include "linux/process.h"
#include "linux/limits_table.h"
#include "linux/sigstate.h"
#include "linux/syscall.h"
#include "linux/timespec.h"
#include "linux/uts.h"
#include "mm/frame.h"
#include "mm/vma.h"

#include <linux/capability.h>
#include <linux/membarrier.h>
#include <linux/prctl.h>
#include <linux/reboot.h>
#include <linux/resource.h>
#include <linux/sysinfo.h>
#include <linux/utsname.h>

#define GRND_NONBLOCK 1
#define GRND_RANDOM   2
#define GRND_INSECURE 4
#define RANDOM_CHUNK  256

struct new_utsname uts = {
    .sysname = "Linux",
    .nodename = "wherry",
    .release = "6.1.0-wherry",
    .version = "#1 Wherry",
    .machine = "x86_64",
    .domainname = "(none)",
};

#define INF RLIM64_INFINITY
struct rlimit64 rlimits[RLIM_NLIMITS] = {
    [RLIMIT_CPU] = {INF, INF},
    [RLIMIT_FSIZE] = {INF, INF},
    [RLIMIT_DATA] = {INF, INF},
    [RLIMIT_STACK] = {8 * MiB, INF},
    [RLIMIT_CORE] = {0, INF},
    [RLIMIT_RSS] = {INF, INF},
    [RLIMIT_NPROC] = {4096, 4096},
    [RLIMIT_NOFILE] = {FD_RLIMIT_SOFT, FD_MAX},
    [RLIMIT_MEMLOCK] = {INF, INF},
    [RLIMIT_AS] = {INF, INF},
    [RLIMIT_LOCKS] = {INF, INF},
    [RLIMIT_SIGPENDING] = {SIGQUEUE_MAX, SIGQUEUE_MAX},
    [RLIMIT_MSGQUEUE] = {819200, 819200},
    [RLIMIT_NICE] = {0, 0},
    [RLIMIT_RTPRIO] = {0, 0},
    [RLIMIT_RTTIME] = {INF, INF},
};

#define CONSTANT(name_, value_)                                                                    \
    static long sys_##name_(void)                                                                  \
    {                                                                                              \
        return value_;                                                                             \
    }                                                                                              \
    SYSCALL(name_, COMPLETE, "", "")
CONSTANT(getpid, PROCESS_PID);
CONSTANT(getppid, 0);
CONSTANT(getpgrp, PROCESS_PID);

static bool self(int pid)
{
    return pid == 0 || pid == PROCESS_PID;
}

static long sys_getpgid(int pid)
{
    return self(pid) ? PROCESS_PID : -ESRCH;
}
SYSCALL(getpgid, COMPLETE, "i", "");

static long sys_setpgid(int pid, int pgid)
{
    return pgid < 0 ? -EINVAL : !self(pid) ? -ESRCH : -EPERM; /* a session leader */
}
SYSCALL(setpgid, COMPLETE, "ii", "");

static long sys_getsid(int pid)
{
    return self(pid) ? PROCESS_PID : -ESRCH;
}
SYSCALL(getsid, COMPLETE, "i", "");

static long sys_setsid(void)
{
    return -EPERM; /* we lead our process group */
}
SYSCALL(setsid, COMPLETE, "", "");

static long sys_uname(struct new_utsname *u)
{
    return copy_to_user(u, &uts, sizeof(uts));
}
SYSCALL(uname, COMPLETE, "p", "");

static long set_name(char *to, const char *uname, int len)
{
    char name[__NEW_UTS_LEN + 1] = {0};

    if (cred.euid)
        return -EPERM;
    if (len < 0 || len > __NEW_UTS_LEN)
        return -EINVAL;
    if (copy_from_user(name, uname, len) < 0)
        return -EFAULT;
    memcpy(to, name, sizeof(name));
    return 0;
}

static long sys_sethostname(const char *name, int len)
{
    return set_name(uts.nodename, name, len);
}
SYSCALL(sethostname, COMPLETE, "bi", "");

static long sys_setdomainname(const char *name, int len)
{
    return set_name(uts.domainname, name, len);
}
SYSCALL(setdomainname, COMPLETE, "bi", "");

static long sys_sysinfo(struct sysinfo *u)
{
    struct frame_stats fs = frame_stats();
    struct sysinfo s = {.uptime = clock_mono_ns() / NSEC_PER_SEC,
                        .totalram = fs.total * PAGE_SIZE,
                        .freeram = fs.free * PAGE_SIZE,
                        .procs = thread_count,
                        .mem_unit = 1};

    return copy_to_user(u, &s, sizeof(s));
}
SYSCALL(sysinfo, COMPLETE, "p", "");

static long sys_prlimit64(int pid, unsigned which, const struct rlimit64 *new, struct rlimit64 *old)
{
    struct rlimit64 n, before;

    if (which >= RLIM_NLIMITS)
        return -EINVAL;
    if (!self(pid))
        return -ESRCH;
    if (new != NULL && copy_from_user(&n, new, sizeof(n)) < 0)
        return -EFAULT;
    before = rlimits[which];
    if (new) {
        if (n.rlim_cur > n.rlim_max)
            return -EINVAL;
        if (n.rlim_max > before.rlim_max && cred.euid)
            return -EPERM;
        if (which == RLIMIT_NOFILE && n.rlim_max > FD_MAX)
            return -EPERM;
        rlimits[which] = n;
        if (which == RLIMIT_NOFILE)
            fd_rlimit = MIN(n.rlim_cur, (uint64_t)UINT32_MAX);
    }
    return old ? copy_to_user(old, &before, sizeof(before)) : 0;
}
SYSCALL(prlimit64, PARTIAL, "iupp",
        "enforced for NOFILE and SIGPENDING; the others are kept and reported");

static long sys_getrlimit(unsigned which, struct rlimit64 *old)
{
    return sys_prlimit64(0, which, NULL, old);
}
SYSCALL(getrlimit, COMPLETE, "up", "");

static long sys_setrlimit(unsigned which, const struct rlimit64 *new)
{
    return sys_prlimit64(0, which, new, NULL);
}
SYSCALL(setrlimit, PARTIAL, "up", "as prlimit64");

static long sys_getrusage(int who, struct rusage *u)
{
    struct rusage r = {0};
    uint64_t ns = 0;

    if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != RUSAGE_THREAD)
        return -EINVAL;
    if (who != RUSAGE_CHILDREN) {
        clock_read(who == RUSAGE_SELF ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_THREAD_CPUTIME_ID, &ns);
        r.ru_utime.tv_sec = ns / NSEC_PER_SEC;
        r.ru_utime.tv_usec = ns % NSEC_PER_SEC / NSEC_PER_USEC;
        r.ru_maxrss = (mm_stats.rss_anon + mm_stats.rss_file) * (PAGE_SIZE / KiB);
        r.ru_minflt = mm_stats.faults_minor;
        r.ru_nvcsw = current()->switches;
    }
    return copy_to_user(u, &r, sizeof(r));
}
SYSCALL(getrusage, PARTIAL, "ip", "all time counts as user time; ru_maxrss is the present size");

static long sys_getrandom(void *buf, size_t n, unsigned flags)
{
    uint8_t chunk[RANDOM_CHUNK];
    size_t done = 0;

    if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
        (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    n = MIN(n, (size_t)INT32_MAX);
    while (done < n) {
        size_t take = MIN(n - done, sizeof(chunk));
        random_bytes(chunk, take);
        if (copy_to_user((char *)buf + done, chunk, take) < 0)
            return done ? (long)done : -EFAULT;
        done += take;
    }
    memset(chunk, 0, sizeof(chunk));
    barrier();
    return done;
}
SYSCALL(getrandom, COMPLETE, "Bzx", "");

/* One CPU: every other thread is inside a switch, which is a full barrier. */
static long sys_membarrier(int cmd, unsigned flags, int cpu)
{
    const int all = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
                    MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |
                    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |
                    MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |
                    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;

    if (flags)
        return -EINVAL;
    if (cmd == MEMBARRIER_CMD_QUERY)
        return all;
    return cmd & ~all || cmd & (cmd - 1) ? -EINVAL : 0;
}
SYSCALL(membarrier, PARTIAL, "xxi", "no restartable-sequence variants");

static long sys_personality(unsigned long p)
{
    return p == 0xffffffff || p == 0 ? 0 : -EINVAL; /* PER_LINUX */
}
SYSCALL(personality, PARTIAL, "x", "PER_LINUX only");

static long prctl_name(unsigned option, char *uname)
{
    struct thread *t = current();
    char name[16] = {0};

    if (option == PR_GET_NAME)
        return copy_to_user(uname, t->name, sizeof(t->name));
    if (copy_string_from_user(name, uname, sizeof(name)) == -EFAULT)
        return -EFAULT;
    name[sizeof(name) - 1] = '\0';
    memcpy(t->name, name, sizeof(name));
    return 0;
}

static long sys_prctl(int option, unsigned long a2, unsigned long a3, unsigned long a4,
                      unsigned long a5)
{
    static int pdeathsig, keepcaps, no_new_privs, timerslack = 50000, subreaper;

    switch (option) {
    case PR_SET_NAME:
    case PR_GET_NAME:
        return prctl_name(option, (char *)a2);
    case PR_SET_DUMPABLE:
        if (a2 > 1)
            return -EINVAL;
        process.dumpable = a2;
        return 0;
    case PR_GET_DUMPABLE:
        return process.dumpable;
    case PR_SET_PDEATHSIG:
        if (a2 > SIG_COUNT)
            return -EINVAL;
        pdeathsig = a2; /* there is no parent to die */
        return 0;
    case PR_GET_PDEATHSIG:
        return put_user(pdeathsig, (int *)a2);
    case PR_SET_KEEPCAPS:
        if (a2 > 1)
            return -EINVAL;
        keepcaps = a2;
        return 0;
    case PR_GET_KEEPCAPS:
        return keepcaps;
    case PR_SET_NO_NEW_PRIVS:
        if (a2 != 1 || a3 || a4 || a5)
            return -EINVAL;
        no_new_privs = 1;
        return 0;
    case PR_GET_NO_NEW_PRIVS:
        return a2 || a3 || a4 || a5 ? -EINVAL : no_new_privs;
    case PR_SET_TIMERSLACK:
        timerslack = a2 ? (int)a2 : 50000;
        return 0;
    case PR_GET_TIMERSLACK:
        return timerslack;
    case PR_SET_CHILD_SUBREAPER:
        subreaper = a2 != 0;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return put_user(subreaper, (int *)a2);
    case PR_SET_THP_DISABLE:
        if (a3 || a4 || a5)
            return -EINVAL;
        mm_huge_disabled = a2 != 0;
        return 0;
    case PR_GET_THP_DISABLE:
        return a2 || a3 || a4 || a5 ? -EINVAL : mm_huge_disabled;
    case PR_CAPBSET_READ:
        return a2 > CAP_LAST_CAP ? -EINVAL : 1;
    case PR_CAPBSET_DROP:
        return a2 > CAP_LAST_CAP ? -EINVAL : 0;
    case PR_GET_SECCOMP:
        return 0;
    default:
        return -EINVAL;
    }
}
SYSCALL(prctl, PARTIAL, "ixxxx",
        "names, dumpable, keepcaps, no_new_privs, bounding set and the like; EINVAL for the rest");

static long sys_reboot(unsigned magic1, unsigned magic2, unsigned cmd, void *arg)
{
    if (cred.euid)
        return -EPERM;
    if (magic1 != LINUX_REBOOT_MAGIC1 ||
        (magic2 != LINUX_REBOOT_MAGIC2 && magic2 != LINUX_REBOOT_MAGIC2A &&
         magic2 != LINUX_REBOOT_MAGIC2B && magic2 != LINUX_REBOOT_MAGIC2C))
        return -EINVAL;
    switch (cmd) {
    case LINUX_REBOOT_CMD_RESTART:
    case LINUX_REBOOT_CMD_RESTART2:
        power_reset();
    case LINUX_REBOOT_CMD_HALT:
    case LINUX_REBOOT_CMD_POWER_OFF:
        process_exit(0);
    case LINUX_REBOOT_CMD_CAD_ON:
    case LINUX_REBOOT_CMD_CAD_OFF:
        return 0;
    default:
        return -EINVAL;
    }
}
SYSCALL(reboot, COMPLETE, "xxxp", "");
