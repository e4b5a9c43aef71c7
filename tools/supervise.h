/*
 * Runs a virtual machine monitor as our child until it ends: console straight through, its error
 * messages as lines of ours, the guest's status from a pipe, Ctrl-C and SIGTERM turned into its
 * end, a time limit. The child dies with us whatever happens. Every wait has a limit but
 * the guest's own running time. Host code; blocks.
 */
#pragma once

#include "ports.h"

#define STATUS_GRACE_MS 5000 /* from the status to the monitor's exit */
#define TERM_GRACE_MS   2000 /* from SIGTERM to SIGKILL */

struct guest_end {
    bool started; /* the monitor could be run at all */
    int status;   /* what the guest reported, -1: nothing */
    bool timed_out;
    int signal;          /* that we got, 0: none */
    int vmm_status;      /* as waitpid gives it */
    char vmm_error[512]; /* the monitor's last message */
};

struct vmm_process {
    const char *program;
    char *const *argv;
    const int *inherit; /* descriptors that are open in the monitor under the same numbers */
    size_t nr_inherit;
    int status_fd; /* the read end of the pipe whose write end the monitor has; -1: none */
    unsigned timeout_s;
    const struct port *ports; /* that the monitor will listen on: see backlog.h */
    size_t nr_ports;
};

void supervise(const struct vmm_process *p, struct guest_end *end);
