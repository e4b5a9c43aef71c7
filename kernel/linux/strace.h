/*
 * --strace: system calls on the console as strace(1) prints them. The slow path of system calls
 * calls the two hooks for each call while WORK_TRACE is set in cpu_exit_work, which the
 * command-line word wherry.strace[=NAME,NAME...] does. From a thread; may sleep (they read the
 * application's memory).
 */
#pragma once

#include "lib/base.h"

struct syscall_desc;

/* Before the call; desc is NULL for a call that is not implemented. */
void strace_enter(const struct syscall_desc *desc, uint64_t nr, const uint64_t args[6]);
/* After it, with what it returned (-errno and -ERESTART* included). Not for calls that do not come
 * back. */
void strace_exit(const struct syscall_desc *desc, uint64_t nr, const uint64_t args[6], long ret);

/* The word wherry.strace: all calls (NULL) or those named. 0 or -EINVAL. */
int strace_select(const char *names);

/* ---- Between the parts of strace --------------------------------------------------------- */

/* A line under construction; what does not fit is cut. */
struct strace_line {
    size_t len;
    char text[1024];
};
void strace_put(struct strace_line *l, const char *fmt, ...) __printf(2, 3);

/*
 * One argument by its letter (linux/syscall.h, and for calls that strace knows better:
 * a sockaddr out, e epoll_events out, f two descriptors out, t timespec out, R time that remained
 * when a signal came, v iovecs read into, P pollfds, G signal set, H signal set out, m msghdr, r
 * msghdr received, k option value, K option value out). ret: the result, for those that are printed
 * after the call.
 */
void strace_arg(struct strace_line *l, char letter, uint64_t nr, unsigned index,
                const uint64_t args[6], long ret);
/* Is the argument printed after the call? */
bool strace_is_output(char letter);
/* The letters to use for a call. */
const char *strace_letters(uint64_t nr, const char *declared);
/* Prints a number by name if the argument has named values (linux/strace_flags.c). */
bool strace_symbolic(struct strace_line *l, uint64_t nr, unsigned index, const uint64_t args[6]);
/* Sets of names that more than one place uses. */
enum strace_set { STRACE_OPEN, STRACE_PROT, STRACE_EPOLL, STRACE_POLL, STRACE_AF, STRACE_MSG };
void strace_put_set(struct strace_line *l, enum strace_set set, uint64_t value);
