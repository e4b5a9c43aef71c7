/*
 * The one process: identity, program, start and end.
 */
#pragma once

#include "lib/base.h"

#define PROCESS_PID 1

struct process {
    char exe[4096];        /* absolute path of the program */
    char comm[16];         /* its last component */
    uint64_t start_ns;
    bool dumpable;
    int exit_status;
};
extern struct process process;

/* Ends the machine with a wait status's exit code (0-255; 128 + signal for a death by signal). */
__noreturn void process_exit(int status);
/* The current thread leaves; the last one ends the machine. */
__noreturn void process_exit_thread(void);
struct thread;
/* Another thread is replacing the program: t must leave before it returns to the application. */
bool process_thread_must_exit(const struct thread *t);
