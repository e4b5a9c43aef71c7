/*
 * Guides inside the kernel: loadable prefetchers of far memory that know an application
 * (include/wherry/guide.h, docs/far-memory.md). Called by linux/ where programs are mapped and
 * breakpoints met; stands on mm/far, whose prefetcher it is once a guide is loaded, and on files.
 *
 * A guide is foreign code with the kernel's rights. It runs by guard_call() alone: if it fails, it
 * is not called any more.
 */
#pragma once

#include "arch/x86_64/trap.h"

struct file;

/* Executable pages of a file were mapped privately at start, from its page pgoff on. If it is an
 * object that a guide knows, breakpoints are set at the functions it wants to hear of. May sleep.
 */
void guide_mapped(struct file *f, virt_t start, size_t len, uint64_t pgoff);
/* The address space is empty again. */
void guide_unmapped_all(void);
/* The application met a breakpoint, and the frame's rip is behind it. 0: it was a guide's, which
 * has been called, and the frame leads on; -ENOENT: none of ours; -EFAULT: there is no stack for
 * the instruction that stood there, at the frame's rip. May sleep. */
int guide_breakpoint(struct trap_frame *f);
