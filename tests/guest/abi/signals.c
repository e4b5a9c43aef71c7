/* Signals: delivery, masks, nesting, stacks, restart, frames, siginfo, real-time queues. */
#include "tap.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

static volatile sig_atomic_t count, last, code, value, pid_seen;
static char order[64];
static volatile int order_n;

static void note(int sig, siginfo_t *info, void *uc)
{
    (void)uc;
    count++;
    last = sig;
    code = info->si_code;
    value = info->si_value.sival_int;
    pid_seen = info->si_pid;
}

static void handle(int sig, void (*f)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa = {.sa_sigaction = f, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&sa.sa_mask);
    MUST(sigaction(sig, &sa, NULL) == 0);
}

static sigset_t set_of(int a, int b)
{
    sigset_t s;
    sigemptyset(&s);
    if (a)
        sigaddset(&s, a);
    if (b)
        sigaddset(&s, b);
    return s;
}

static void basics(void)
{
    sigset_t s = set_of(SIGUSR1, SIGUSR2), old, pend;
    struct sigaction sa;

    handle(SIGUSR1, note, 0);
    handle(SIGUSR2, note, 0);
    OK(raise(SIGUSR1) == 0 && count == 1 && last == SIGUSR1 && code == SI_TKILL);
    OK(kill(getpid(), SIGUSR2) == 0 && count == 2 && code == SI_USER && pid_seen == getpid());
    OK(sigprocmask(SIG_BLOCK, &s, &old) == 0 && !sigismember(&old, SIGUSR1));
    kill(getpid(), SIGUSR1), kill(getpid(), SIGUSR1), raise(SIGUSR2);
    OK(count == 2 && sigpending(&pend) == 0 && sigismember(&pend, SIGUSR1) &&
       sigismember(&pend, SIGUSR2) && !sigismember(&pend, SIGTERM));
    OK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && count == 4); /* standard signals do not queue */
    signal(SIGUSR1, SIG_IGN);
    OK(raise(SIGUSR1) == 0 && count == 4);
    /* ignoring forgets what is pending */
    handle(SIGUSR1, note, 0);
    sigprocmask(SIG_BLOCK, &s, NULL);
    kill(getpid(), SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    handle(SIGUSR1, note, 0);
    sigprocmask(SIG_SETMASK, &old, NULL);
    OK(count == 4);
    handle(SIGUSR1, note, (int)SA_RESETHAND);
    raise(SIGUSR1);
    OK(count == 5 && sigaction(SIGUSR1, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
    OK(raise(SIGCHLD) == 0 && raise(SIGWINCH) == 0 && raise(SIGURG) == 0); /* ignored by default */
    FAILS(kill(getpid(), 65), EINVAL);
    FAILS(kill(999999, 0), ESRCH);
    OK(kill(getpid(), 0) == 0);
    FAILS(sigaction(SIGKILL, &sa, NULL), EINVAL);
    FAILS(syscall(SYS_tgkill, getpid(), 999999, SIGUSR1), ESRCH);
    FAILS(syscall(SYS_rt_sigprocmask, 77, &s, NULL, 8), EINVAL);
    FAILS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &s, NULL, 4), EINVAL);
    FAILS(syscall(SYS_rt_sigaction, SIGUSR1, (void *)8, NULL, 8), EFAULT);
}

static void ordered(int sig, siginfo_t *info, void *uc)
{
    (void)uc;
    order[order_n++] = sig >= SIGRTMIN  ? (char)('0' + info->si_value.sival_int)
                       : sig == SIGUSR1 ? 'u'
                                        : 'v';
}

static void realtime(void)
{
    sigset_t s, old;
    union sigval v;

    sigfillset(&s);
    sigprocmask(SIG_SETMASK, &s, &old);
    handle(SIGRTMIN, ordered, 0), handle(SIGRTMIN + 1, ordered, 0), handle(SIGUSR1, ordered, 0);
    for (int i = 0; i < 4; i++) {
        v.sival_int = i;
        OK(sigqueue(getpid(), SIGRTMIN + 1 - i % 2, v) == 0);
    }
    kill(getpid(), SIGUSR1);
    sigprocmask(SIG_SETMASK, &old, NULL);
    /* All handlers' frames are stacked before the first runs: the last comes first. */
    OK(order_n == 5 && strlen(order) == 5 && strchr(order, 'u'));
    OK(strspn(order, "0123u") == 5);
    handle(SIGUSR1, note, 0);
    sigprocmask(SIG_SETMASK, &s, NULL);
    handle(SIGRTMIN, note, 0);
    for (int i = 5; i < 8; i++) {
        v.sival_int = i;
        sigqueue(getpid(), SIGRTMIN, v);
    }
    siginfo_t info;
    sigset_t rt = set_of(SIGRTMIN, 0);
    for (int i = 5; i < 8; i++)
        OK(sigwaitinfo(&rt, &info) == SIGRTMIN && info.si_value.sival_int == i &&
           info.si_code == SI_QUEUE && info.si_pid == getpid());
    struct timespec zero = {0, 0}, soon = {0, 20000000};
    FAILS(sigtimedwait(&rt, &info, &zero), EAGAIN);
    uint64_t t = now_ns();
    FAILS(sigtimedwait(&rt, &info, &soon), EAGAIN);
    OK(now_ns() - t >= 20000000);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

/* The queue has an end, RLIMIT_SIGPENDING: what somebody queued is refused there, the rest arrives.
 */
static void full_queue(void)
{
    sigset_t s = set_of(SIGRTMIN, SIGUSR1), old, other = set_of(SIGRTMIN + 1, 0);
    struct rlimit before, few;
    union sigval v = {.sival_int = 0};
    struct timespec zero = {0, 0};
    siginfo_t info;
    int n = 0;

    sigaddset(&s, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &s, &old);
    MUST(getrlimit(RLIMIT_SIGPENDING, &before) == 0);
    few = (struct rlimit){100, before.rlim_max};
    MUST(before.rlim_max >= 100 && setrlimit(RLIMIT_SIGPENDING, &few) == 0);
    while (n <= 100 && sigqueue(getpid(), SIGRTMIN, v) == 0)
        v.sival_int = ++n;
    OK(n > 0 && n <= 100 && errno == EAGAIN); /* on Linux the user's other processes count too */
    FAILS(sigqueue(getpid(), SIGRTMIN + 1, v), EAGAIN);
    OK(pthread_kill(pthread_self(), SIGRTMIN + 1) == EAGAIN);
    OK(pthread_sigqueue(pthread_self(), SIGRTMIN + 1, v) == EAGAIN);
    FAILS(sigtimedwait(&other, NULL, &zero), EAGAIN); /* nothing of them is left behind */
    OK(sigqueue(getpid(), SIGUSR1, v) == 0);          /* loses its value */
    OK(kill(getpid(), SIGRTMIN + 1) == 0);
    OK(sigtimedwait(&other, &info, &zero) == SIGRTMIN + 1 && info.si_code == SI_USER);
    other = set_of(SIGUSR1, 0);
    OK(sigtimedwait(&other, &info, &zero) == SIGUSR1 && info.si_value.sival_int == 0);
    other = set_of(SIGRTMIN, 0);
    bool good = true;
    for (int i = 0; i < n; i++)
        good =
            good && sigtimedwait(&other, &info, &zero) == SIGRTMIN && info.si_value.sival_int == i;
    OK(good);
    FAILS(sigtimedwait(&other, &info, &zero), EAGAIN);
    OK(sigqueue(getpid(), SIGRTMIN, v) == 0 && sigtimedwait(&other, &info, &zero) == SIGRTMIN);
    setrlimit(RLIMIT_SIGPENDING, &before);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static volatile int depth, deepest;
static void nested(int sig, siginfo_t *info, void *uc)
{
    (void)sig, (void)uc, (void)info;
    if (++depth > deepest)
        deepest = depth;
    if (depth < 20)
        raise(SIGUSR2);
    depth--;
}

static volatile int blocked_inside;
static void not_nested(int sig, siginfo_t *info, void *uc)
{
    sigset_t now;
    (void)info, (void)uc;
    count++;
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    blocked_inside = sigismember(&now, sig) && sigismember(&now, SIGUSR1);
    if (count == 1) {
        raise(sig);
        blocked_inside = blocked_inside && count == 1;
    }
}

static void nesting(void)
{
    struct sigaction sa = {.sa_sigaction = not_nested, .sa_flags = SA_SIGINFO};
    sigset_t now;

    handle(SIGUSR2, nested, SA_NODEFER);
    raise(SIGUSR2);
    OK(deepest == 20 && depth == 0);
    sigemptyset(&sa.sa_mask);
    sigaddset(&sa.sa_mask, SIGUSR1);
    sigaction(SIGUSR2, &sa, NULL);
    count = 0;
    raise(SIGUSR2);
    OK(count == 2 && blocked_inside);
    sigprocmask(SIG_BLOCK, NULL, &now);
    OK(!sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
}

static char alt[65536] __attribute__((aligned(16)));
static volatile int on_alt, flag_inside, eperm_inside;
static sigjmp_buf back;

static void on_stack(int sig, siginfo_t *info, void *uc)
{
    char here;
    stack_t ss;
    (void)sig, (void)info, (void)uc;
    on_alt = &here >= alt && &here < alt + sizeof(alt);
    flag_inside = sigaltstack(NULL, &ss) == 0 && ss.ss_flags & SS_ONSTACK;
    eperm_inside = sigaltstack(&ss, NULL) == -1 && errno == EPERM;
    if (sig == SIGSEGV)
        siglongjmp(back, 1);
}

static int overflow(int n)
{
    volatile char room[4096];
    memset((char *)room, n, sizeof(room));
    return overflow(n + 1) + room[n % 4096];
}

static void stacks(void)
{
    stack_t ss = {.ss_sp = alt, .ss_size = sizeof(alt)}, old;

    OK(sigaltstack(NULL, &old) == 0 && old.ss_flags == SS_DISABLE);
    OK(sigaltstack(&ss, NULL) == 0 && sigaltstack(NULL, &old) == 0 && old.ss_sp == alt &&
       old.ss_size == sizeof(alt) && old.ss_flags == 0);
    handle(SIGUSR1, on_stack, 0);
    raise(SIGUSR1);
    OK(!on_alt && !flag_inside);
    handle(SIGUSR1, on_stack, SA_ONSTACK);
    raise(SIGUSR1);
    OK(on_alt && flag_inside && eperm_inside);
    OK(sigaltstack(NULL, &old) == 0 && old.ss_flags == 0);
    on_alt = 0;
    handle(SIGSEGV, on_stack, SA_ONSTACK);
    if (!sigsetjmp(back, 1))
        overflow(1);
    OK(on_alt == 1);
    ss.ss_size = 100;
    FAILS(sigaltstack(&ss, NULL), ENOMEM);
    ss.ss_flags = 77;
    FAILS(sigaltstack(&ss, NULL), EINVAL);
    ss.ss_flags = SS_DISABLE;
    OK(sigaltstack(&ss, NULL) == 0);
    OK(sigaltstack(NULL, &old) == 0 && old.ss_flags == SS_DISABLE);
    signal(SIGSEGV, SIG_DFL);
}

/* What a handler sees of the interrupted registers, and what it changes there. */
static void step_over(int sig, siginfo_t *info, void *p)
{
    ucontext_t *uc = p;
    (void)info;
    last = sig;
    code = info->si_code;
    if (sig == SIGILL)
        uc->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
    if (sig == SIGFPE)
        uc->uc_mcontext.gregs[REG_RCX] = 1;
    uc->uc_mcontext.gregs[REG_RBX] += 1;
}

static void frames(void)
{
    uint64_t rbx = 41, quotient = 100;

    handle(SIGILL, step_over, 0);
    __asm__ volatile("ud2" : "+b"(rbx));
    OK(last == SIGILL && rbx == 42);
    handle(SIGTRAP, step_over, 0);
    __asm__ volatile("int3" : "+b"(rbx));
    OK(last == SIGTRAP && rbx == 43 && code == SI_KERNEL);
    handle(SIGFPE, step_over, 0);
    __asm__ volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; div %%rcx"
                     : "+a"(quotient), "+b"(rbx)::"rcx", "rdx", "cc");
    OK(last == SIGFPE && code == FPE_INTDIV && quotient == 100 && rbx == 44);
    handle(SIGSEGV, note, 0);
    /* A non-canonical address is a general protection fault: no address is known. */
    if (!sigsetjmp(back, 1)) {
        handle(SIGSEGV, on_stack, 0);
        *(volatile char *)0x8000000000000000ull = 1;
    }
    OK(1);
    signal(SIGSEGV, SIG_DFL);
}

/* Every register survives a signal that comes at any moment. */
static volatile uint64_t ticks;
static void tick(int sig)
{
    (void)sig;
    ticks++;
    __asm__ volatile("" ::
                         : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
                           "r12", "r13", "r14", "r15", "memory");
}

static void registers(void)
{
    struct itimerval it = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
    struct sigaction sa = {.sa_handler = tick};
    uint64_t bad = 0;

    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &it, NULL);
    for (uint64_t end = now_ns() + 300000000; now_ns() < end && !bad;)
        /* also the red zone, and the flags */
        __asm__ volatile("mov $0x1111, %%rbx; mov $0x2222, %%rcx; mov $0x3333, %%rdx\n"
                         "mov $0x4444, %%rsi; mov $0x5555, %%rdi; mov $0x6666, %%r8\n"
                         "mov $0x7777, %%r9; mov $0x8888, %%r10; mov $0x9999, %%r11\n"
                         "mov $0xaaaa, %%r12; mov $0xbbbb, %%r13; mov $0xcccc, %%r14\n"
                         "mov $0xdddd, %%r15; movq $0x1234, -8(%%rsp); movq $0x4321, -128(%%rsp)\n"
                         "mov $20000, %%eax\n"
                         "stc\n"
                         "1: dec %%eax; jnz 1b\n" /* leaves the carry alone */
                         "jnc 2f\n"
                         "cmp $0x1111, %%rbx; jne 2f; cmp $0x2222, %%rcx; jne 2f\n"
                         "cmp $0x3333, %%rdx; jne 2f; cmp $0x4444, %%rsi; jne 2f\n"
                         "cmp $0x5555, %%rdi; jne 2f; cmp $0x6666, %%r8; jne 2f\n"
                         "cmp $0x7777, %%r9; jne 2f; cmp $0x8888, %%r10; jne 2f\n"
                         "cmp $0x9999, %%r11; jne 2f; cmp $0xaaaa, %%r12; jne 2f\n"
                         "cmp $0xbbbb, %%r13; jne 2f; cmp $0xcccc, %%r14; jne 2f\n"
                         "cmp $0xdddd, %%r15; jne 2f\n"
                         "cmpq $0x1234, -8(%%rsp); jne 2f; cmpq $0x4321, -128(%%rsp); jne 2f\n"
                         "jmp 3f\n"
                         "2: mov $1, %%eax\n"
                         "3:\n"
                         : "=&a"(bad)::"rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
                           "r12", "r13", "r14", "r15", "cc", "memory");
    setitimer(ITIMER_REAL, &off, NULL);
    OK(!bad);
    OK(ticks > 5);
}

/* A system call keeps every register but rax, rcx and r11, and the red zone. */
static void call_registers(void)
{
    uint64_t bad = 0;

    for (int i = 0; i < 1000 && !bad; i++)
        __asm__ volatile("mov $0x1111, %%rbx; mov $0x3333, %%rdx; mov $0x4444, %%rsi\n"
                         "mov $0x5555, %%rdi; mov $0x6666, %%r8; mov $0x7777, %%r9\n"
                         "mov $0x8888, %%r10; mov $0xaaaa, %%r12; mov $0xbbbb, %%r13\n"
                         "mov $0xcccc, %%r14; mov $0xdddd, %%r15\n"
                         "movq $0x1234, -8(%%rsp); movq $0x4321, -128(%%rsp)\n"
                         "mov $24, %%eax\n" /* sched_yield */
                         "syscall\n"
                         "test %%rax, %%rax; jnz 2f\n"
                         "cmp $0x1111, %%rbx; jne 2f; cmp $0x3333, %%rdx; jne 2f\n"
                         "cmp $0x4444, %%rsi; jne 2f; cmp $0x5555, %%rdi; jne 2f\n"
                         "cmp $0x6666, %%r8; jne 2f; cmp $0x7777, %%r9; jne 2f\n"
                         "cmp $0x8888, %%r10; jne 2f; cmp $0xaaaa, %%r12; jne 2f\n"
                         "cmp $0xbbbb, %%r13; jne 2f; cmp $0xcccc, %%r14; jne 2f\n"
                         "cmp $0xdddd, %%r15; jne 2f\n"
                         "cmpq $0x1234, -8(%%rsp); jne 2f; cmpq $0x4321, -128(%%rsp); jne 2f\n"
                         "jmp 3f\n"
                         "2: mov $1, %%eax\n"
                         "3:\n"
                         : "=&a"(bad)::"rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
                           "r12", "r13", "r14", "r15", "cc", "memory");
    OK(!bad);
    OK(syscall(9999) == -1 && errno == ENOSYS);
    OK(syscall(-1L) == -1 && errno == ENOSYS);
}

static void alarm_in(unsigned us)
{
    struct itimerval it = {{0, 0}, {0, us}};
    setitimer(ITIMER_REAL, &it, NULL);
}

static int pipe_fds[2];
static void feed(int sig)
{
    (void)sig;
    count++;
    MUST(write(pipe_fds[1], "x", 1) == 1);
}

static void restart(void)
{
    struct sigaction sa = {.sa_handler = feed};
    struct timespec ten = {10, 0}, left = {0, 0};
    sigset_t none, s = set_of(SIGALRM, 0), old;
    char c = 0;

    MUST(pipe(pipe_fds) == 0);
    count = 0;
    sigaction(SIGALRM, &sa, NULL);
    alarm_in(20000);
    FAILS(read(pipe_fds[0], &c, 1), EINTR);
    OK(count == 1 && read(pipe_fds[0], &c, 1) == 1);
    sa.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &sa, NULL);
    alarm_in(20000);
    OK(read(pipe_fds[0], &c, 1) == 1 && c == 'x' && count == 2);
    alarm_in(20000);
    FAILS(nanosleep(&ten, &left), EINTR); /* never restarted */
    OK(left.tv_sec == 9 && left.tv_nsec > 0);
    alarm_in(20000);
    OK(clock_nanosleep(CLOCK_MONOTONIC, 0, &ten, &left) == EINTR);
    alarm_in(20000);
    FAILS(pause(), EINTR);
    sigemptyset(&none);
    sigprocmask(SIG_BLOCK, &s, &old);
    count = 0;
    alarm_in(1000);
    usleep(20000);
    OK(count == 0);
    FAILS(sigsuspend(&none), EINTR);
    OK(count == 1);
    sigprocmask(SIG_BLOCK, NULL, &none);
    OK(sigismember(&none, SIGALRM)); /* the mask is back */
    sigprocmask(SIG_SETMASK, &old, NULL);
    /* A signal without a handler does not end a sleep. */
    signal(SIGALRM, SIG_IGN);
    alarm_in(5000);
    struct timespec short_time = {0, 30000000};
    OK(nanosleep(&short_time, NULL) == 0);
    close(pipe_fds[0]), close(pipe_fds[1]);
}

static pthread_t main_thread;
static volatile int seen_by;
static void who(int sig)
{
    (void)sig;
    seen_by = pthread_equal(pthread_self(), main_thread) ? 1 : 2;
}

static void *blocks_all(void *arg)
{
    sigset_t s;
    sigfillset(&s);
    pthread_sigmask(SIG_SETMASK, &s, NULL);
    *(volatile int *)arg = 1;
    usleep(100000);
    return NULL;
}

static void *waits_for(void *arg)
{
    sigset_t s = set_of(SIGUSR1, SIGCHLD);
    int sig = 0;
    *(volatile int *)arg = 1;
    sigwait(&s, &sig);
    return (void *)(long)sig;
}

static void *sleeps(void *arg)
{
    sigset_t s;
    sigemptyset(&s);
    pthread_sigmask(SIG_SETMASK, &s, NULL);
    *(volatile int *)arg = 1;
    return (void *)(long)usleep(3000000);
}

static void threads(void)
{
    volatile int ready = 0;
    pthread_t t;
    void *r;
    sigset_t s, old;

    main_thread = pthread_self();
    signal(SIGUSR1, who);
    pthread_create(&t, NULL, blocks_all, (void *)&ready);
    while (!ready)
        sched_yield();
    kill(getpid(), SIGUSR1); /* goes to the one that takes it */
    OK(seen_by == 1);
    pthread_join(t, NULL);
    /* The other way round: the process's signal interrupts the thread that sleeps. */
    sigfillset(&s);
    pthread_sigmask(SIG_SETMASK, &s, &old);
    ready = 0, seen_by = 0;
    pthread_create(&t, NULL, sleeps, (void *)&ready);
    while (!ready)
        sched_yield();
    usleep(10000);
    uint64_t start = now_ns();
    kill(getpid(), SIGUSR1);
    pthread_join(t, &r);
    OK(seen_by == 2 && now_ns() - start < 2000000000);
    /* pthread_kill finds its thread, sigwait takes signals that are ignored by default. */
    for (int i = 0; i < 2; i++) {
        int sig = i ? SIGCHLD : SIGUSR1;
        ready = 0;
        pthread_create(&t, NULL, waits_for, (void *)&ready);
        while (!ready)
            sched_yield();
        usleep(10000);
        if (i)
            kill(getpid(), sig);
        else
            pthread_kill(t, sig);
        pthread_join(t, &r);
        OK((long)r == sig);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int main(void)
{
    basics();
    realtime();
    full_queue();
    nesting();
    stacks();
    frames();
    registers();
    call_registers();
    restart();
    threads();
    return tap_done();
}
