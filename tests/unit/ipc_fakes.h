/*
 * A host world for the tests of pipes, epoll and sockets: the memory of fakes.h, a small
 * descriptor table, one thread, a clock that only moves when told, signals that are counted.
 * Blocking calls on_block, which makes happen what the thread waits for; a test that blocks without
 * setting it fails instead of hanging. Include once, in the test's file.
 */
#pragma once

#include "fakes.h"

#define FAKE_FDS 2048

static struct thread fake_thread = {.tid = 1};
struct thread *current_thread = &fake_thread;
struct waitq signal_waitq = WAITQ_INIT(signal_waitq);
static int64_t fake_real_offset = 5000;
static unsigned fake_sigpipes, fake_polls;
static void (*on_block)(void);

/* Heap blocks and frames. */
static inline long fake_live(void)
{
    return fake_heap + fake_frames_used;
}

/* ---- Files ---- */

static struct fd_entry fake_entries[FAKE_FDS];
struct fd_entry *fd_entries = fake_entries;
unsigned fd_limit = FAKE_FDS;
uint32_t fd_rlimit = FAKE_FDS;

void file_init(struct file *f, const struct file_ops *ops, uint32_t flags, uint32_t kind)
{
    *f = (struct file){.ops = ops, .refs = 1, .flags = flags, .kind = kind};
    waitq_init(&f->waitq);
    list_init(&f->watches);
}

#ifndef FAKE_HAS_EPOLL /* the test includes fs/epoll.c */
void epoll_file_released(struct file *f)
{
}
#endif

void file_put_last(struct file *f)
{
    f->refs = 1;
    epoll_file_released(f);
    if (f->ops->release)
        f->ops->release(f);
}

uint32_t file_poll(struct file *f)
{
    return f->ops->poll(f);
}

void file_sigio(struct file *f, int band)
{
}

int fd_install(struct file *f, int min, unsigned flags)
{
    for (int fd = min; fd < (int)fd_rlimit; fd++) {
        if (fake_entries[fd].file)
            continue;
        fake_entries[fd] = (struct fd_entry){f, flags & O_CLOEXEC};
        return fd;
    }
    return -EMFILE;
}

int fd_close(int fd)
{
    struct file *f = fd_peek(fd);
    if (!f)
        return -EBADF;
    fake_entries[fd].file = NULL;
    file_put(f);
    return 0;
}

unsigned fd_count(void)
{
    unsigned n = 0;
    for (int i = 0; i < FAKE_FDS; i++)
        n += fake_entries[i].file != NULL;
    return n;
}

/* ---- Threads, time, signals ---- */

void thread_wake(struct thread *t)
{
    if (t->state == THREAD_BLOCKED)
        t->state = THREAD_RUNNABLE;
}

bool thread_block(uint64_t deadline)
{
    void (*f)(void) = on_block;
    on_block = NULL;
    fake_thread.state = THREAD_BLOCKED;
    if (f)
        f();
    if (fake_thread.state == THREAD_BLOCKED) {
        /* Nobody came: the time passes, or the test hangs. */
        fake_thread.state = THREAD_RUNNABLE;
        if (fake_thread.signal_pending)
            return true;
        assert_true(deadline != WAIT_FOREVER);
        fake_now = MAX(fake_now, deadline);
        return false;
    }
    return true;
}

void thread_yield(void)
{
}

struct thread *thread_find(int tid)
{
    return tid == 1 ? &fake_thread : NULL;
}

bool pollers_run(void)
{
    fake_polls++;
    return false;
}

uint64_t clock_mono_ns(void)
{
    return fake_now;
}

uint64_t clock_real_ns(void)
{
    return fake_now + (uint64_t)fake_real_offset;
}

int signal_send_thread(struct thread *t, int sig, const siginfo_t *info)
{
    assert_int_equal(sig, SIGPIPE);
    fake_sigpipes++;
    return 0;
}

static uint64_t fake_sigmask;

uint64_t signal_set_mask(uint64_t mask)
{
    uint64_t old = fake_sigmask;
    fake_sigmask = mask;
    return old;
}

static uint64_t fake_mask_later = UINT64_MAX;

void signal_restore_mask_later(uint64_t old)
{
    fake_mask_later = old;
}

void kprintf(const char *fmt, ...)
{
}

void panic(const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    kvsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fail_msg("panic: %s", text);
    abort();
}

/* Reads and writes of n bytes at host memory, as read(2) and write(2) would. */
static inline ssize_t file_rw(struct file *f, void *buf, size_t n, bool write)
{
    struct iovec v = {buf, n};
    struct iov_iter it;
    uint64_t pos = 0;
    iov_iter_init(&it, &v, 1, n, false);
    return write ? f->ops->write(f, &it, &pos) : f->ops->read(f, &it, &pos);
}

static inline ssize_t file_in(struct file *f, void *buf, size_t n)
{
    return file_rw(f, buf, n, false);
}

static inline ssize_t file_out(struct file *f, const void *buf, size_t n)
{
    return file_rw(f, (void *)buf, n, true);
}
