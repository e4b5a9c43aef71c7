/*
 * A host world for the tests of pipes, epoll and sockets: heap and frames that AddressSanitizer
 * watches, a small descriptor table, one thread, a clock that only moves when told, signals that
 * are counted. Blocking calls on_block, which makes happen what the thread waits for; a
 * test that blocks without setting it fails instead of hanging. Include once, in the test's file.
 */
#pragma once

/* glibc's, where Linux's own header steps back from it: S_IF*. <stdlib.h> would bring glibc's
 * sigset_t, so what is needed of it is declared here. */
#include <sys/stat.h>

#include "arch/x86_64/uaccess.h"
#include "fs/file.h"
#include "linux/cred.h"
#include "linux/signal.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/slab.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *aligned_alloc(size_t align, size_t size);
void free(void *p);
__noreturn void abort(void);

#define FAKE_FDS   2048
#define FAKE_FAULT 65536 /* addresses below stand for what is not mapped */

static struct thread fake_thread = {.tid = 1};
struct thread *current_thread = &fake_thread;
struct cred cred;
struct waitq signal_waitq = WAITQ_INIT(signal_waitq);
static uint64_t fake_now = 1000;
static int64_t fake_real_offset = 5000;
static unsigned fake_sigpipes, fake_polls, fake_blocks;
static long fake_live; /* heap blocks and frames */
static void (*on_block)(void);

/* ---- Memory ---- */

void *kmalloc(size_t size)
{
    fake_live++;
    return malloc(size);
}

void *kzalloc(size_t size)
{
    fake_live++;
    return calloc(1, size);
}

void kfree(void *p)
{
    fake_live -= p != NULL;
    free(p);
}

void *vmalloc(size_t size)
{
    return kmalloc(size);
}

void vfree(void *p)
{
    kfree(p);
}

struct fake_frame {
    uint64_t refs;
    char pad[PAGE_SIZE - sizeof(uint64_t)];
    char page[PAGE_SIZE];
};

static struct fake_frame *fake_frame_of(phys_t p)
{
    return container_of(phys_to_virt(p), struct fake_frame, page);
}

phys_t frame_alloc(unsigned order)
{
    struct fake_frame *f = aligned_alloc(PAGE_SIZE, sizeof(*f));
    assert_int_equal(order, 0);
    memset(f->page, 0xa5, PAGE_SIZE);
    f->refs = 1;
    fake_live++;
    return (phys_t)f->page - DIRECT_BASE;
}

void frame_get(phys_t p)
{
    fake_frame_of(p)->refs++;
}

void frame_put(phys_t p)
{
    struct fake_frame *f = fake_frame_of(p);
    assert_true(f->refs > 0);
    if (--f->refs == 0) {
        fake_live--;
        free(f);
    }
}

size_t user_copy(void *dst, const void *src, size_t n)
{
    if ((uint64_t)src < FAKE_FAULT || (uint64_t)dst < FAKE_FAULT)
        return n;
    memcpy(dst, src, n);
    return 0;
}

size_t user_zero(void *dst, size_t n)
{
    if ((uint64_t)dst < FAKE_FAULT)
        return n;
    memset(dst, 0, n);
    return 0;
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
    fake_blocks++;
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

void signal_send_thread(struct thread *t, int sig, const siginfo_t *info)
{
    assert_int_equal(sig, SIGPIPE);
    fake_sigpipes++;
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
