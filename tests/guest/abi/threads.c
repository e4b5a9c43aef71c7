/* Threads through the C library: mutexes of all kinds, conditions, barriers, semaphores, keys,
 * cancellation, many of them, their names, their ends. */
#include "tap.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define N 8

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long shared;

static void *adder(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&lock);
        unsigned long v = shared;
        if (i % 512 == 0)
            sched_yield();
        shared = v + 1;
        pthread_mutex_unlock(&lock);
    }
    return arg;
}

static void mutexes(void)
{
    pthread_t t[N];
    void *r;
    bool good = true;

    for (long i = 0; i < N; i++)
        MUST(pthread_create(&t[i], NULL, adder, (void *)i) == 0);
    for (long i = 0; i < N; i++) {
        pthread_join(t[i], &r);
        good = good && r == (void *)i;
    }
    OK(good && shared == N * 20000ul);

    pthread_mutexattr_t a;
    pthread_mutex_t m;
    struct timespec ts;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&m, &a);
    pthread_mutex_lock(&m);
    OK(pthread_mutex_lock(&m) == EDEADLK && pthread_mutex_trylock(&m) == EBUSY);
    pthread_mutex_unlock(&m);
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&m, &a);
    OK(!pthread_mutex_lock(&m) && !pthread_mutex_lock(&m) && !pthread_mutex_unlock(&m) &&
       !pthread_mutex_unlock(&m));
    pthread_mutex_lock(&lock);
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 20000000;
    if (ts.tv_nsec >= 1000000000)
        ts.tv_sec++, ts.tv_nsec -= 1000000000;
    uint64_t start = now_ns();
    OK(pthread_mutex_timedlock(&lock, &ts) == ETIMEDOUT && now_ns() - start >= 15000000);
    pthread_mutex_unlock(&lock);
}

static pthread_mutex_t robust;
static void *dies_with_lock(void *arg)
{
    pthread_mutex_lock(&robust);
    usleep(30000);
    return arg;
}

static void robust_mutex(void)
{
    pthread_mutexattr_t a;
    pthread_t t;

    pthread_mutexattr_init(&a);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &a);
    pthread_create(&t, NULL, dies_with_lock, NULL);
    usleep(10000);
    OK(pthread_mutex_lock(&robust) == EOWNERDEAD); /* woken by the death */
    OK(pthread_mutex_consistent(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
    pthread_join(t, NULL);
    pthread_create(&t, NULL, dies_with_lock, NULL);
    pthread_join(t, NULL);
    OK(pthread_mutex_lock(&robust) == EOWNERDEAD);
    pthread_mutex_unlock(&robust);
    OK(pthread_mutex_lock(&robust) == ENOTRECOVERABLE);
}

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER, done_cond = PTHREAD_COND_INITIALIZER;
static int turn, finished;

static void *taker(void *arg)
{
    int me = (int)(long)arg;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&lock);
        while (turn % N != me)
            pthread_cond_wait(&cond, &lock);
        turn++;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&lock);
    }
    pthread_mutex_lock(&lock);
    finished++;
    pthread_cond_signal(&done_cond);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void conditions(void)
{
    pthread_t t[N];
    struct timespec ts;

    for (long i = 0; i < N; i++)
        pthread_create(&t[i], NULL, taker, (void *)i);
    pthread_mutex_lock(&lock);
    while (finished < N)
        pthread_cond_wait(&done_cond, &lock);
    pthread_mutex_unlock(&lock);
    OK(turn == N * 500);
    for (int i = 0; i < N; i++)
        pthread_join(t[i], NULL);
    pthread_mutex_lock(&lock);
    clock_gettime(CLOCK_MONOTONIC, &ts);
    uint64_t start = now_ns();
    ts.tv_nsec += 20000000;
    if (ts.tv_nsec >= 1000000000)
        ts.tv_sec++, ts.tv_nsec -= 1000000000;
    OK(pthread_cond_clockwait(&cond, &lock, CLOCK_MONOTONIC, &ts) == ETIMEDOUT);
    OK(now_ns() - start >= 20000000 && now_ns() - start < 2000000000);
    pthread_mutex_unlock(&lock);
}

static pthread_barrier_t barrier;
static volatile int phase_count[20];
static void *phases(void *arg)
{
    long serial = 0;
    for (int i = 0; i < 20; i++) {
        __atomic_add_fetch(&phase_count[i], 1, __ATOMIC_SEQ_CST);
        serial += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
        if (phase_count[i] != N)
            return (void *)-1000;
    }
    (void)arg;
    return (void *)serial;
}

static sem_t sem;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static volatile int readers, most_readers, writers;
static void *reader_writer(void *arg)
{
    for (int i = 0; i < 200; i++) {
        if ((i + (long)arg) % 4 == 0) {
            pthread_rwlock_wrlock(&rw);
            if (writers++ || readers)
                return (void *)1;
            sched_yield();
            writers--;
        } else {
            pthread_rwlock_rdlock(&rw);
            int r = __atomic_add_fetch(&readers, 1, __ATOMIC_SEQ_CST);
            if (writers)
                return (void *)1;
            sched_yield();
            if (r > most_readers)
                most_readers = r;
            __atomic_sub_fetch(&readers, 1, __ATOMIC_SEQ_CST);
        }
        pthread_rwlock_unlock(&rw);
        if (i % 16 == 0)
            sem_post(&sem);
    }
    return NULL;
}

static void others(void)
{
    pthread_t t[N];
    void *r;
    long serial = 0, bad = 0;
    int posted = 0;

    pthread_barrier_init(&barrier, NULL, N);
    for (long i = 0; i < N; i++)
        pthread_create(&t[i], NULL, phases, NULL);
    for (int i = 0; i < N; i++) {
        pthread_join(t[i], &r);
        serial += (long)r;
    }
    OK(serial == 20);
    sem_init(&sem, 0, 0);
    for (long i = 0; i < N; i++)
        pthread_create(&t[i], NULL, reader_writer, (void *)i);
    for (; posted < N * 13; posted++)
        sem_wait(&sem);
    for (int i = 0; i < N; i++) {
        pthread_join(t[i], &r);
        bad += (long)r;
    }
    OK(!bad && sem_trywait(&sem) == -1 && errno == EAGAIN);
}

static __thread int local = 5;
static pthread_key_t key;
static volatile int destroyed;
static void destroy(void *p)
{
    destroyed += (int)(long)p;
}
static void *uses_tls(void *arg)
{
    int *mine = &local;
    if (local != 5)
        return NULL;
    local = (int)(long)arg;
    pthread_setspecific(key, arg);
    sched_yield();
    return *mine == (int)(long)arg && pthread_getspecific(key) == arg ? mine : NULL;
}

static volatile int cleaned;
static void clean(void *p)
{
    (void)p;
    cleaned++;
}
static void *sleeps_for_ever(void *arg)
{
    pthread_cleanup_push(clean, NULL);
    sleep(1000);
    pthread_cleanup_pop(0);
    return arg;
}

static void *quick(void *arg)
{
    return (char *)arg + 1;
}

static volatile int detached_ran;
static void *detached(void *arg)
{
    (void)arg;
    __atomic_add_fetch(&detached_ran, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static int tasks(void)
{
    DIR *d = opendir("/proc/self/task");
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static void *named(void *arg)
{
    char got[32] = "", path[64];
    FILE *f;
    (void)arg;
    prctl(PR_SET_NAME, "a-long-name-that-is-cut");
    snprintf(path, sizeof(path), "/proc/self/task/%ld/comm", syscall(SYS_gettid));
    f = fopen(path, "r");
    if (!f || !fgets(got, sizeof(got), f))
        return (void *)1;
    fclose(f);
    return (void *)(long)(strcmp(got, "a-long-name-tha\n") != 0);
}

static void lives(void)
{
    pthread_t t[64];
    pthread_attr_t attr;
    void *r, *addr;
    size_t size, guard;
    bool good = true;

    pthread_key_create(&key, destroy);
    for (long i = 0; i < N; i++)
        pthread_create(&t[i], NULL, uses_tls, (void *)(i + 10));
    for (int i = 0; i < N; i++) {
        pthread_join(t[i], &r);
        good = good && r && r != &local;
    }
    OK(good && local == 5 && destroyed == 10 * N + N * (N - 1) / 2);
    pthread_create(&t[0], NULL, sleeps_for_ever, NULL);
    usleep(10000);
    OK(pthread_cancel(t[0]) == 0 && pthread_join(t[0], &r) == 0 && r == PTHREAD_CANCELED &&
       cleaned == 1);
    for (int round = 0; round < 10; round++) {
        for (long i = 0; i < 64; i++)
            good = good && pthread_create(&t[i], NULL, quick, (void *)i) == 0;
        for (long i = 0; i < 64; i++)
            good = good && pthread_join(t[i], &r) == 0 && r == (void *)(i + 1);
    }
    OK(good);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < 200; i++) {
        while (pthread_create(&t[0], &attr, detached, NULL))
            usleep(1000);
    }
    for (int i = 0; i < 200 && detached_ran < 200; i++)
        usleep(10000);
    OK(detached_ran == 200);
    for (int i = 0; i < 100 && tasks() > 1; i++)
        usleep(10000);
    OK(tasks() == 1);
    pthread_create(&t[0], NULL, named, NULL);
    pthread_join(t[0], &r);
    OK(r == NULL);
    OK(pthread_getattr_np(pthread_self(), &attr) == 0);
    OK(pthread_attr_getstack(&attr, &addr, &size) == 0 && (char *)&r > (char *)addr &&
       (char *)&r < (char *)addr + size && size >= 1 << 20);
    OK(pthread_attr_getguardsize(&attr, &guard) == 0);
    OK(syscall(SYS_gettid) == getpid());
}

/* A thread that spins is preempted, also before anything has slept. */
static volatile int flag;
static void *sets_flag(void *arg)
{
    (void)arg;
    flag = 1;
    while (flag == 1)
        ;
    flag = 3;
    return NULL;
}

static void spinning(void)
{
    pthread_t t;
    uint64_t start = now_ns();

    pthread_create(&t, NULL, sets_flag, NULL);
    while (!flag)
        ;
    flag = 2;
    while (flag != 3)
        ;
    OK(now_ns() - start < 5000000000ull);
    pthread_join(t, NULL);
}

int main(void)
{
    spinning();
    mutexes();
    robust_mutex();
    conditions();
    others();
    lives();
    return tap_done();
}
