/*
 * A host world for the tests of file systems: the memory of fakes.h and what moves frames about,
 * one thread that never sleeps. Include once, in the test's file, before the sources under test.
 */
#pragma once

#include "fakes.h"

#include "mm/vma.h"

struct thread *current_thread;

/* ---- Memory ---- */

void frame_adopt(phys_t start, phys_t end)
{
    for (; start < end; start += PAGE_SIZE)
        if (frame_of(start)->refs == 0)
            fake_take(start);
}

void frame_set_reclaim(uint64_t (*reclaim)(unsigned order))
{
    fake_reclaim = reclaim;
}

struct frame_stats frame_stats(void)
{
    return (struct frame_stats){.total = FAKE_FRAMES, .free = FAKE_FRAMES - fake_frames_used};
}

/* Mappings that reclaim may take apart; a test's own. */
static uint64_t (*fake_unmap)(uint64_t max);

uint64_t vma_unmap_clean(uint64_t max)
{
    return fake_unmap != NULL ? fake_unmap(max) : 0;
}

phys_t frame_alloc_split(unsigned order)
{
    assert_true(order <= 2);
    for (unsigned n = FAKE_FRAMES - (1u << order); n > 0; n--) {
        unsigned k = 0;
        while (k < 1u << order && fake_frames[n + k].refs == 0)
            k++;
        if (k < 1u << order)
            continue;
        for (k = 0; k < 1u << order; k++)
            fake_take(FAKE_FIRST + (n + k) * PAGE_SIZE);
        return FAKE_FIRST + n * PAGE_SIZE;
    }
    return 0;
}

void vma_zap_file(struct inode *inode, uint64_t first)
{
}

/* ---- The rest ---- */

uint64_t clock_real_ns(void)
{
    return fake_now++;
}

uint64_t clock_mono_ns(void)
{
    return fake_now++;
}

int waitq_sleep(struct waitq *q, uint32_t events, uint64_t deadline)
{
    return -ERESTARTSYS; /* a signal is always waiting */
}

void waitq_wake_slow(struct waitq *q, uint32_t events)
{
}

struct thread *thread_find(int tid)
{
    return NULL;
}

int signal_send_thread(struct thread *t, int sig, const siginfo_t *info)
{
    return 0;
}

int signal_send_process(int sig, const siginfo_t *info)
{
    return 0;
}

void epoll_file_released(struct file *f)
{
}
