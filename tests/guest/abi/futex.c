/* The futex call itself, with clone as the C library uses it. */
#include "tap.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

static uint32_t word, word2;

static long futex(uint32_t *a, int op, uint32_t v, const void *ts, uint32_t *b, uint32_t v3)
{
    return syscall(SYS_futex, a, op, v, ts, b, v3);
}

static volatile int asleep, woken;
struct waiter {
    uint32_t *addr;
    uint32_t bits;
};

static void *wait_once(void *arg)
{
    struct waiter *w = arg;
    __atomic_add_fetch(&asleep, 1, __ATOMIC_SEQ_CST);
    long r = futex(w->addr, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, w->bits);
    __atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
    return (void *)r;
}

static void start(pthread_t *t, struct waiter *w, int n)
{
    asleep = woken = 0;
    for (int i = 0; i < n; i++)
        MUST(pthread_create(&t[i], NULL, wait_once, &w[i]) == 0);
    while (asleep < n)
        sched_yield();
    usleep(20000);
}

static void settle(void)
{
    usleep(20000);
}

static void join(pthread_t *t, int n)
{
    bool good = true;
    void *r;
    for (int i = 0; i < n; i++) {
        pthread_join(t[i], &r);
        good = good && r == NULL;
    }
    OK(good);
}

static void on_alarm(int sig)
{
    (void)sig;
}

static void waiting(void)
{
    struct timespec t = {0, 20000000}, bad = {0, 1000000000}, at;
    struct sigaction sa = {.sa_handler = on_alarm};
    uint64_t before = now_ns();

    FAILS(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN);
    FAILS(futex(&word, FUTEX_WAIT, 0, &t, NULL, 0), ETIMEDOUT);
    OK(now_ns() - before >= 20000000);
    FAILS(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
    clock_gettime(CLOCK_MONOTONIC, &at); /* a time that has passed */
    FAILS(futex(&word, FUTEX_WAIT_BITSET, 0, &at, NULL, ~0u), ETIMEDOUT);
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += at.tv_nsec >= 980000000;
    at.tv_nsec = (at.tv_nsec + 20000000) % 1000000000;
    before = now_ns();
    FAILS(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &at, NULL, ~0u), ETIMEDOUT);
    OK(now_ns() - before >= 15000000 && now_ns() - before < 1000000000);
    FAILS(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
    FAILS(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
    FAILS(futex((uint32_t *)8, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
    FAILS(futex((uint32_t *)0xffff800000000000ul, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
    FAILS(futex(&word, 99, 0, NULL, NULL, 0), ENOSYS);
    sigaction(SIGALRM, &sa, NULL);
    ualarm(20000, 0);
    FAILS(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0), EINTR);
    OK(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
}

static void waking(void)
{
    pthread_t t[6];
    struct waiter w[6] = {{&word, 1},   {&word, 2},   {&word, 4},
                          {&word, ~0u}, {&word, ~0u}, {&word, ~0u}};

    start(t, w, 6);
    OK(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 8) == 3); /* those of all bits */
    settle();
    OK(woken == 3);
    OK(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 2) == 1);
    OK(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1);
    OK(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0) == 1);
    OK(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0) == 0);
    join(t, 6);
    FAILS(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 0), EINVAL);
}

static void requeueing(void)
{
    pthread_t t[6];
    struct waiter w[6] = {{&word, ~0u}, {&word, ~0u}, {&word, ~0u},
                          {&word, ~0u}, {&word, ~0u}, {&word, ~0u}};

    start(t, w, 6);
    FAILS(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10, &word2, 7), EAGAIN);
    OK(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)3, &word2, 0) == 4);
    settle();
    OK(woken == 1);
    OK(futex(&word2, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0) == 3);
    settle();
    OK(woken == 4);
    OK(futex(&word, FUTEX_REQUEUE_PRIVATE, 0, (void *)100, &word2, 0) >= 1);
    futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0);
    futex(&word2, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0);
    join(t, 6);
    OK(futex(&word, FUTEX_REQUEUE_PRIVATE, 0, (void *)0x7fffffffl, &word, 0) == 0); /* ends */
}

static void wake_ops(void)
{
    pthread_t t[2];
    struct waiter w[2] = {{&word, ~0u}, {&word2, ~0u}};

    start(t, w, 2);
    word2 = 0;
    OK(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word2,
             FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0)) == 2);
    OK(word2 == 5);
    join(t, 2);
    OK(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word2,
             FUTEX_OP(FUTEX_OP_ANDN, 4, FUTEX_OP_CMP_GT, 100)) == 0 &&
       word2 == 1);
    OK(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word2,
             FUTEX_OP((FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT), 4, FUTEX_OP_CMP_LT, 100)) == 0 &&
       word2 == 17);
    OK(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word2,
             FUTEX_OP(FUTEX_OP_SET, (-1 & 0xfff), FUTEX_OP_CMP_NE, 100)) == 0 &&
       word2 == 0xffffffff);
    OK(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word2,
             FUTEX_OP(FUTEX_OP_XOR, 1, FUTEX_OP_CMP_GE, 0)) == 0 &&
       word2 == 0xfffffffe);
    word2 = 0;
}

/* clone(2) as the C library does it, without the C library. */
static char stack[65536] __attribute__((aligned(16)));
static volatile int child_ran;
static int parent_tid, child_tid = 77;

static int child(void *arg)
{
    child_ran = (int)(long)arg;
    syscall(SYS_exit, 0);
    return 0;
}

static void cloning(void)
{
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID;
    int tid = clone(child, stack + sizeof(stack), flags, (void *)5, &parent_tid, NULL, &child_tid);

    OK(tid > 0 && parent_tid == tid);
    for (int v; (v = __atomic_load_n(&child_tid, __ATOMIC_SEQ_CST)) != 0;)
        futex((uint32_t *)&child_tid, FUTEX_WAIT, v, NULL, NULL, 0);
    OK(child_ran == 5 && child_tid == 0);
    for (int i = 0; i < 100 && syscall(SYS_tgkill, getpid(), tid, 0) == 0; i++)
        usleep(1000);
    FAILS(syscall(SYS_tgkill, getpid(), tid, 0), ESRCH);
    FAILS(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
    FAILS(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
    FAILS(
        syscall(SYS_clone, flags | CLONE_SETTLS, stack + 4096, &parent_tid, &child_tid, 1ul << 63),
        EPERM);
    FAILS(syscall(SYS_clone3, NULL, 8), EINVAL);
    FAILS(syscall(SYS_set_robust_list, NULL, 1), EINVAL);
}

int main(void)
{
    waiting();
    waking();
    requeueing();
    wake_ops();
    cloning();
    return tap_done();
}
