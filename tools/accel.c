/* See accel.h. */
#define _GNU_SOURCE
#include "accel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define KVM_API 12
#define NS_PER_LOOP_MAX                                                                            \
    50.0 /* real hardware needs about one, an emulating host near a thousand                       \
          */
#define CODE_AT    0x1000
#define GUEST_SIZE 0x2000
#define CR0_PE     (1u << 0)
#define CR0_NE     (1u << 5)
#define CR4_OSFXSR (1u << 9)

/* 32-bit flat code: a counting loop, one SSE instruction (emulating hosts fail at it), halt. */
static const unsigned char code[] = {
    0xb9,
    KVM_TEST_LOOPS & 0xff,
    KVM_TEST_LOOPS >> 8 & 0xff,
    KVM_TEST_LOOPS >> 16,
    0,    /* mov ecx */
    0x49, /* dec ecx */
    0x75,
    0xfd, /* jnz to the dec */
    0x0f,
    0x57,
    0xc0, /* xorps xmm0, xmm0 */
    0xf4, /* hlt */
};

static struct kvm_run *volatile running;

/* The timer's signal makes a KVM_RUN return; the flag, one that is about to start. */
static void on_alarm(int sig)
{
    (void)sig;
    if (running)
        running->immediate_exit = 1;
}

static void set_alarm(unsigned ms)
{
    const struct itimerval t = {.it_value = {ms / 1000, ms % 1000 * 1000}};

    setitimer(ITIMER_REAL, &t, NULL);
}

static uint64_t now_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static bool set_registers(int cpu)
{
    struct kvm_sregs s;
    struct kvm_regs r = {.rip = CODE_AT, .rflags = 2, .rsp = GUEST_SIZE};
    const struct kvm_segment data = {
        .limit = ~0u, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};

    if (ioctl(cpu, KVM_GET_SREGS, &s) < 0)
        return false;
    s.ds = s.es = s.fs = s.gs = s.ss = s.cs = data;
    s.cs.selector = 8;
    s.cs.type = 11; /* execute, read, accessed */
    s.cr0 = CR0_PE | CR0_NE;
    s.cr4 = CR4_OSFXSR;
    return ioctl(cpu, KVM_SET_SREGS, &s) == 0 && ioctl(cpu, KVM_SET_REGS, &r) == 0;
}

static void time_loop(int cpu, struct kvm_run *run, struct kvm_state *k)
{
    struct sigaction act = {.sa_handler = on_alarm}, old;
    uint64_t start;
    int r, e;

    sigaction(SIGALRM, &act, &old);
    running = run;
    set_alarm(KVM_TEST_LIMIT_MS);
    /* Processor time: being preempted on a busy host is not KVM's fault. */
    start = now_ns(CLOCK_THREAD_CPUTIME_ID);
    r = ioctl(cpu, KVM_RUN, 0);
    e = errno;
    k->ns_per_loop = (double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - start) / KVM_TEST_LOOPS;
    set_alarm(0);
    running = NULL;
    sigaction(SIGALRM, &old, NULL);

    if (r < 0 && e == EINTR) {
        snprintf(k->problem, sizeof(k->problem),
                 "it emulates guest ring-0 code: %d loops took more than %d ms", KVM_TEST_LOOPS,
                 KVM_TEST_LIMIT_MS);
    } else if (r < 0) {
        snprintf(k->problem, sizeof(k->problem), "running a guest failed: %s", strerror(e));
    } else if (k->ns_per_loop > NS_PER_LOOP_MAX) {
        snprintf(k->problem, sizeof(k->problem),
                 "it emulates guest ring-0 code: %.0f ns for a two-instruction loop",
                 k->ns_per_loop);
    } else if (run->exit_reason != KVM_EXIT_HLT) {
        snprintf(k->problem, sizeof(k->problem), "it failed at an SSE instruction (exit %u)",
                 run->exit_reason);
    } else {
        k->usable = true;
    }
}

static void test_guest(int kvm, struct kvm_state *k)
{
    int vm = ioctl(kvm, KVM_CREATE_VM, 0), cpu = -1;
    void *mem = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region region = {.memory_size = GUEST_SIZE,
                                                 .userspace_addr = (uintptr_t)mem};
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    struct kvm_run *run = MAP_FAILED;

    if (mem != MAP_FAILED)
        memcpy((char *)mem + CODE_AT, code, sizeof(code));
    if (vm >= 0 && mem != MAP_FAILED && ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0)
        cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (cpu >= 0 && size > 0)
        run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
    if (run != MAP_FAILED && set_registers(cpu))
        time_loop(cpu, run, k);
    else
        snprintf(k->problem, sizeof(k->problem), "making a guest failed: %s", strerror(errno));
    if (run != MAP_FAILED)
        munmap(run, size);
    if (cpu >= 0)
        close(cpu);
    if (vm >= 0)
        close(vm);
    if (mem != MAP_FAILED)
        munmap(mem, GUEST_SIZE);
}

const struct kvm_state *kvm_measure(void)
{
    static struct kvm_state k;
    static bool done;
    int fd;

    if (done)
        return &k;
    done = true;
    fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    k.exists = fd >= 0 || errno != ENOENT;
    if (fd < 0) {
        snprintf(k.problem, sizeof(k.problem), "/dev/kvm: %s%s", strerror(errno),
                 errno == EACCES ? " (join group kvm)" : "");
        return &k;
    }
    if (ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_API)
        snprintf(k.problem, sizeof(k.problem), "/dev/kvm does not speak KVM's API");
    else
        test_guest(fd, &k);
    close(fd);
    return &k;
}

unsigned tsc_khz(void)
{
    const struct timespec wait = {0, 10 * 1000 * 1000};
    uint64_t t0 = now_ns(CLOCK_MONOTONIC), c0 = __rdtsc(), t1, c1;

    nanosleep(&wait, NULL);
    t1 = now_ns(CLOCK_MONOTONIC);
    c1 = __rdtsc();
    return (c1 - c0) * 1000000ull / (t1 - t0);
}
