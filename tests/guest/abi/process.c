/* What a program finds when it starts, execve from several threads, limits, identity, random. */
#include "tap.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

extern char **environ;

static void *spin(void *arg)
{
    for (;;)
        if (arg)
            pause();
    return NULL;
}

static void *exec_from_thread(void *arg)
{
    char **argv = arg;
    char *env[] = {"ONE=1", "TWO=zwei", NULL};
    execve("/proc/self/exe", argv, env);
    return NULL;
}

static void start(char **argv)
{
    uintptr_t *p = (uintptr_t *)environ;
    const Elf64_Ehdr *vdso = (void *)getauxval(AT_SYSINFO_EHDR);
    const Elf64_Phdr *ph = (void *)getauxval(AT_PHDR);

    OK(((uintptr_t)argv & 7) == 0 && (((uintptr_t)argv - 8) & 15) == 0);
    OK(*(long *)((char *)argv - 8) >= 1); /* argc */
    while (*p)
        p++;
    OK(((Elf64_auxv_t *)(p + 1))->a_type != AT_NULL);
    OK(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_CLKTCK) == 100);
    OK(getauxval(AT_UID) == getuid() && getauxval(AT_SECURE) == 0);
    OK(getauxval(AT_RANDOM) && getauxval(AT_ENTRY) && ph && ph->p_type != PT_NULL);
    OK(!strcmp((char *)getauxval(AT_PLATFORM), "x86_64"));
    OK(access((char *)getauxval(AT_EXECFN), X_OK) == 0);
    OK(vdso && !memcmp(vdso->e_ident, ELFMAG, SELFMAG) && vdso->e_type == ET_DYN);
    OK(sysconf(_SC_MINSIGSTKSZ) >= 1024 && sysconf(_SC_SIGSTKSZ) >= 2048);
}

static void identity(void)
{
    struct utsname u;
    struct rlimit rl;
    char a[64] = "", b[64] = "";
    cpu_set_t set;
    unsigned cpu, node;

    OK(getpid() > 0 && syscall(SYS_gettid) == getpid() && getppid() >= 0);
    OK(uname(&u) == 0 && !strcmp(u.sysname, "Linux") && !strcmp(u.machine, "x86_64"));
    OK(getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur >= 256);
    OK(getrlimit(RLIMIT_STACK, &rl) == 0 && rl.rlim_cur >= 1 << 20);
    FAILS(getrlimit(77, &rl), EINVAL);
    MUST(getrlimit(RLIMIT_NOFILE, &rl) == 0);
    rl.rlim_max = 1u << 31; /* fs.nr_open ends below */
    FAILS(setrlimit(RLIMIT_NOFILE, &rl), EPERM);
    if (getpid() == 1) { /* else it takes CAP_SYS_RESOURCE */
        struct rlimit less = {256, 512}, more = {256, 1048576};
        OK(setrlimit(RLIMIT_NOFILE, &less) == 0 && setrlimit(RLIMIT_NOFILE, &more) == 0);
        rl.rlim_max = 1048576;
        OK(setrlimit(RLIMIT_NOFILE, &rl) == 0);
    }
    OK(getrandom(a, sizeof(a), 0) == sizeof(a) && getrandom(b, sizeof(b), 0) == sizeof(b));
    OK(memcmp(a, b, sizeof(a)) != 0);
    FAILS(getrandom(a, 1, 0xff00), EINVAL);
    FAILS(syscall(SYS_getrandom, (void *)8, 1, 0), EFAULT);
    OK(sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) >= 1);
    OK(getcpu(&cpu, &node) == 0 && CPU_ISSET(cpu, &set));
    OK(sysconf(_SC_NPROCESSORS_ONLN) >= 1 && sysconf(_SC_PHYS_PAGES) > 1000);
    FAILS(waitpid(-1, NULL, WNOHANG), ECHILD);
    FAILS(execve("/no/such/file", (char *[]){"x", NULL}, environ), ENOENT);
    FAILS(execve("/proc", (char *[]){"x", NULL}, environ), EACCES);
    int fd = open("/tmp/abi-noexec", O_CREAT | O_WRONLY | O_TRUNC, 0755);
    MUST(write(fd, "neither ELF nor script", 22) == 22);
    close(fd);
    FAILS(execve("/tmp/abi-noexec", (char *[]){"x", NULL}, environ), ENOEXEC);
    unlink("/tmp/abi-noexec");
    FAILS(syscall(SYS_execve, (void *)8, NULL, NULL), EFAULT);
}

static volatile int other_ran;
static void *competitor(void *arg)
{
    (void)arg;
    while (other_ran >= 0)
        other_ran++;
    return NULL;
}

/* A restartable sequence that is preempted goes on at its abort handler. */
static void sequences(void)
{
    if (__rseq_size == 0) {
        printf("# the C library registered no rseq area\n");
        return;
    }
    char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
    uint64_t *cs_field = (uint64_t *)(area + offsetof(struct rseq, rseq_cs));
    unsigned long aborts = 0, commits = 0;
    cpu_set_t one;
    pthread_t t;

    OK(((struct rseq *)area)->cpu_id < 1024);
    /* Linux has to have a reason to preempt: a second thread on the same CPU. */
    CPU_ZERO(&one);
    CPU_SET(((struct rseq *)area)->cpu_id, &one);
    sched_setaffinity(0, sizeof(one), &one);
    pthread_create(&t, NULL, competitor, NULL);
    for (uint64_t end = now_ns() + 2000000000; now_ns() < end && (!aborts || !commits);) {
        uint64_t loops = commits ? 20000000 : 100, aborted = 0;
        __asm__ volatile(".pushsection .data.rel, \"aw\"\n"
                         ".balign 32\n"
                         "9: .long 0, 0\n"
                         ".quad 1f, 2f - 1f, 4f\n"
                         ".popsection\n"
                         "lea 9b(%%rip), %%rax\n"
                         "mov %%rax, (%2)\n"
                         "1: dec %0; jnz 1b\n"
                         "2: jmp 5f\n"
                         ".long %c3\n"
                         "4: mov $1, %1\n"
                         "5:\n"
                         : "+&r"(loops), "+&r"(aborted)
                         : "r"(cs_field), "i"(RSEQ_SIG)
                         : "rax", "memory", "cc");
        *cs_field = 0;
        aborts += aborted;
        commits += !aborted;
    }
    other_ran = -1000000000;
    OK(commits > 0);
    OK(aborts > 0);
    for (;;) { /* the competitor ends when it sees a negative number */
        other_ran = -1000000000;
        if (pthread_tryjoin_np(t, NULL) == 0)
            break;
        sched_yield();
    }
}

/* Started anew by execve from a thread while others spin and sleep. */
static int second(int argc, char **argv)
{
    OK(argc == 3 && !strcmp(argv[2], "an argument"));
    OK(syscall(SYS_gettid) == getpid());
    OK(environ[0] && !strcmp(environ[0], "ONE=1") && !strcmp(environ[1], "TWO=zwei") &&
       !environ[2]);
    OK(fcntl(100, F_GETFD) == 0);
    FAILS(fcntl(101, F_GETFD), EBADF);
    struct sigaction sa;
    OK(sigaction(SIGUSR1, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
    OK(sigaction(SIGUSR2, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN);
    sigset_t s;
    sigprocmask(SIG_BLOCK, NULL, &s);
    OK(sigismember(&s, SIGWINCH));
    stack_t ss;
    OK(sigaltstack(NULL, &ss) == 0 && ss.ss_flags == SS_DISABLE);
    return tap_done();
}

static void handler(int sig)
{
    (void)sig;
}

int main(int argc, char **argv)
{
    pthread_t t;
    sigset_t s;
    static char stack[16384];
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};

    if (argc > 1 && !strncmp(argv[1], "second:", 7)) {
        tap_number = atoi(argv[1] + 7);
        return second(argc, argv);
    }
    start(argv);
    identity();
    sequences();
    if (tap_failed)
        return tap_done();
    /* the same program, with what it may and may not inherit */
    dup2(1, 100);
    dup3(1, 101, O_CLOEXEC);
    signal(SIGUSR1, handler);
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&s);
    sigaddset(&s, SIGWINCH);
    sigprocmask(SIG_BLOCK, &s, NULL);
    sigaltstack(&ss, NULL);
    pthread_create(&t, NULL, spin, NULL);
    pthread_create(&t, NULL, spin, stack);
    char count[32];
    snprintf(count, sizeof(count), "second:%d", tap_number);
    char *again[] = {argv[0], count, "an argument", NULL};
    fflush(stdout);
    pthread_create(&t, NULL, exec_from_thread, again);
    pthread_join(t, NULL);
    printf("not ok - execve\n");
    return 1;
}
