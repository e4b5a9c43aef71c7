/*
 * The system call table. Each call is an ordinary function next to its kin, followed by one
 * SYSCALL() line which enters it in the table, in docs/linux-abi.md and in --strace:
 *
 *     static long sys_read(int fd, void *buf, size_t n) { ... }
 *     SYSCALL(read, COMPLETE, "dbz", "");
 *
 * Arguments arrive in registers as C passes them, up to six, already in the C order. The
 * function runs on the thread's kernel stack with interrupts off and may sleep. It returns
 * the result or -errno (or -ERESTART*). Calls without an entry return -ENOSYS and are counted.
 *
 * The argument string has one letter each: d descriptor, i signed, u unsigned, x hex flags,
 * o octal mode, p pointer, s string, b buffer (whose length is the next argument, or the result
 * for reads: B), z size, l signed 64-bit, S sockaddr, T timespec, O open flags, M mmap prot,
 * A dirfd (AT_FDCWD), g signal, E epoll_event, V iovec.
 */
#pragma once

#include "lib/base.h"

#include <asm/errno.h>
#include <asm/unistd.h>

enum syscall_status { SYSCALL_ABSENT, SYSCALL_PARTIAL, SYSCALL_COMPLETE };

struct syscall_desc {
    uint32_t nr;
    uint32_t status;
    const char *name;
    const char *args;
    const void *fn;
    const char *note; /* what is missing, for a partial one */
};

#define SYSCALL(name_, status_, args_, note_)                                                      \
    static const struct syscall_desc syscall_desc_##name_                                          \
        __attribute__((section(".syscalls"), used, aligned(8))) = {                                \
            .nr = __NR_##name_,                                                                    \
            .status = SYSCALL_##status_,                                                           \
            .name = #name_,                                                                        \
            .args = args_,                                                                         \
            .fn = (const void *)sys_##name_,                                                       \
            .note = note_,                                                                         \
    }

/* Collects the entries; once, at boot. */
void syscall_init(void);
/* Prints the unimplemented calls that were made, with counts. At exit and on a crash. */
void syscall_report_missing(void);
