/*
 * What the host worlds of fs_fakes.h and ipc_fakes.h have in common: a stretch of "physical" memory
 * whose free frames AddressSanitizer guards, a heap that is counted, copies of application memory
 * that fail below FAKE_FAULT. Included by those two only.
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
void free(void *p);
__noreturn void abort(void);
void __asan_poison_memory_region(void const volatile *p, size_t n);
void __asan_unpoison_memory_region(void const volatile *p, size_t n);

#define FAKE_FRAMES 4096u
#define FAKE_FAULT  65536u    /* addresses below stand for what is not mapped */
#define FAKE_FIRST  PAGE_SIZE /* physical address of the first frame */

static uint8_t fake_memory[FAKE_FRAMES * PAGE_SIZE] __attribute__((aligned(4096)));
static struct frame fake_frames[FAKE_FRAMES];
static unsigned fake_frames_used, fake_frames_max = FAKE_FRAMES;
static uint64_t (*fake_reclaim)(unsigned order);
static long fake_heap; /* blocks */
static uint64_t fake_now = 1000;

uintptr_t host_direct_base;
struct cred cred;

__attribute__((constructor)) static void fake_start(void)
{
    host_direct_base = (uintptr_t)fake_memory - FAKE_FIRST;
    __asan_poison_memory_region(fake_memory, sizeof(fake_memory));
}

void *kmalloc(size_t size)
{
    fake_heap++;
    return malloc(size);
}

void *kzalloc(size_t size)
{
    fake_heap++;
    return calloc(1, size);
}

void kfree(void *p)
{
    fake_heap -= p != NULL;
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

struct frame *frame_of(phys_t p)
{
    uint64_t n = (p - FAKE_FIRST) / PAGE_SIZE;
    return n < FAKE_FRAMES ? &fake_frames[n] : NULL;
}

static void fake_take(phys_t p)
{
    struct frame *f = frame_of(p);
    assert_int_equal(f->refs, 0);
    f->refs = 1;
    f->flags = 0;
    fake_frames_used++;
    __asan_unpoison_memory_region(phys_to_virt(p), PAGE_SIZE);
}

phys_t frame_alloc(unsigned order)
{
    assert_int_equal(order, 0);
    while (fake_frames_used >= fake_frames_max)
        if (fake_reclaim == NULL || fake_reclaim(order) == 0)
            return 0;
    /* From the top: archives are put at the bottom. */
    for (unsigned n = FAKE_FRAMES; n-- > 0;) {
        phys_t p = FAKE_FIRST + n * PAGE_SIZE;
        if (fake_frames[n].refs != 0)
            continue;
        fake_take(p);
        memset(phys_to_virt(p), 0xa5, PAGE_SIZE);
        return p;
    }
    return 0;
}

void frame_get(phys_t p)
{
    assert_true(frame_of(p)->refs > 0);
    frame_of(p)->refs++;
}

void frame_put(phys_t p)
{
    struct frame *f = frame_of(p);
    assert_non_null(f);
    assert_true(f->refs > 0);
    if (--f->refs == 0) {
        fake_frames_used--;
        __asan_poison_memory_region(phys_to_virt(p), PAGE_SIZE);
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
