/* See supervise.h. */
#define _GNU_SOURCE
#include "supervise.h"

#include "backlog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define WIDEN_EVERY_MS 10
#define WIDEN_FOR_MS   5000 /* the monitor listens by then, or has failed */

struct watch {
    pid_t pid;
    const struct vmm_process *process;
    uint64_t widen_until;        /* 0: the ports need nothing more */
    int signals, status, errors; /* descriptors; the latter two -1 at their end */
    bool reaped;
    uint64_t deadline; /* of what comes next; 0: none */
    enum { RUNNING, ENDING, TERMINATED, KILLED } phase;
    struct strbuf error_line;
    char digits[16];
    size_t nr_digits;
    struct guest_end *end;
};

static void run_child(const struct vmm_process *p, int err, pid_t parent, const sigset_t *mask)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    sigprocmask(SIG_SETMASK, mask, NULL);
    for (size_t i = 0; i < p->nr_inherit; i++)
        fcntl(p->inherit[i], F_SETFD, 0);
    /* A background job that touched the terminal's settings would be stopped for ever. */
    if (isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) != getpgrp()) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDIN_FILENO);
    }
    dup2(err, STDERR_FILENO);
    execv(p->program, p->argv);
    dprintf(STDERR_FILENO, "%s: %s\n", p->program, strerror(errno));
    _exit(127);
}

/* QEMU speaks with its program's name in front, and of signals that we sent. */
static void take_error_line(struct watch *w)
{
    const char *s = w->error_line.s;
    const char *known = strstr(s, "terminating on signal");

    if (*s && !known) {
        const char *p = strncmp(s, "qemu-system-", 12) == 0 ? strstr(s, ": ") : NULL;
        snprintf(w->end->vmm_error, sizeof(w->end->vmm_error), "%s", p ? p + 2 : s);
        if (w->phase == RUNNING)
            warn("from the VMM: %s", w->end->vmm_error);
    }
    w->error_line.len = 0;
    w->error_line.s[0] = '\0';
}

static void take_errors(struct watch *w, const char *buf, ssize_t n)
{
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] == '\n')
            take_error_line(w);
        else if (w->error_line.len < 400)
            sb_add(&w->error_line, buf + i, 1);
    }
}

/* Decimal digits and a newline; the last complete number counts. */
static void take_status(struct watch *w, const char *buf, ssize_t n)
{
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] >= '0' && buf[i] <= '9' && w->nr_digits < sizeof(w->digits) - 1) {
            w->digits[w->nr_digits++] = buf[i];
            continue;
        }
        w->digits[w->nr_digits] = '\0';
        if (buf[i] == '\n' && w->nr_digits && w->nr_digits < 6) {
            w->end->status = atoi(w->digits);
            if (w->phase == RUNNING) {
                w->phase = ENDING;
                w->deadline = now_ms() + STATUS_GRACE_MS;
            }
        }
        w->nr_digits = 0;
    }
}

static void drain(struct watch *w, int *fd, void (*take)(struct watch *, const char *, ssize_t))
{
    char buf[4096];
    ssize_t n;

    while (*fd >= 0 && (n = read(*fd, buf, sizeof(buf))) != 0) {
        if (n < 0) {
            if (errno == EAGAIN || errno == EINTR)
                return;
            break;
        }
        take(w, buf, n);
    }
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void terminate(struct watch *w)
{
    if (w->phase < TERMINATED) {
        kill(w->pid, SIGTERM);
        w->phase = TERMINATED;
        w->deadline = now_ms() + TERM_GRACE_MS;
    } else {
        kill(w->pid, SIGKILL);
        w->phase = KILLED;
        w->deadline = 0;
    }
}

static void take_signals(struct watch *w)
{
    struct signalfd_siginfo s;

    while (read(w->signals, &s, sizeof(s)) == sizeof(s)) {
        if (s.ssi_signo == SIGCHLD)
            continue;
        if (!w->end->signal)
            w->end->signal = s.ssi_signo;
        terminate(w); /* a second Ctrl-C kills */
    }
    if (waitpid(w->pid, &w->end->vmm_status, WNOHANG) == w->pid)
        w->reaped = true;
}

static void on_deadline(struct watch *w)
{
    if (w->phase == RUNNING)
        w->end->timed_out = true;
    else if (w->phase == ENDING)
        warn("the guest reported its status but did not power off");
    terminate(w);
}

static void loop(struct watch *w)
{
    while (!w->reaped) {
        struct pollfd p[] = {
            {w->signals, POLLIN, 0}, {w->status, POLLIN, 0}, {w->errors, POLLIN, 0}};
        uint64_t now = now_ms();
        int wait = -1;
        if (w->deadline && now >= w->deadline) {
            on_deadline(w);
            continue;
        }
        if (w->deadline)
            wait = w->deadline - now < 1000000 ? w->deadline - now : 1000000;
        if (w->widen_until)
            wait = wait < 0 || wait > WIDEN_EVERY_MS ? WIDEN_EVERY_MS : wait;
        if (poll(p, ARRAY_LEN(p), wait) < 0 && errno != EINTR)
            die("poll: %s", strerror(errno));
        drain(w, &w->status, take_status);
        drain(w, &w->errors, take_errors);
        take_signals(w);
        if (w->widen_until && !w->reaped &&
            (backlog_widen(w->pid, w->process->ports, w->process->nr_ports) ||
             now_ms() > w->widen_until))
            w->widen_until = 0;
    }
    drain(w, &w->status, take_status);
    drain(w, &w->errors, take_errors);
    if (w->error_line.len)
        take_error_line(w);
}

void supervise(const struct vmm_process *p, struct guest_end *end)
{
    struct watch w = {.status = p->status_fd, .end = end, .process = p};
    struct termios terminal;
    bool have_terminal = tcgetattr(STDIN_FILENO, &terminal) == 0;
    sigset_t mask, old;
    int err[2];

    *end = (struct guest_end){.status = -1};
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGHUP);
    sigaddset(&mask, SIGQUIT);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGTTOU); /* restoring the terminal from the background */
    sigprocmask(SIG_BLOCK, &mask, &old);
    sigdelset(&mask, SIGTTOU);
    w.signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    if (w.signals < 0 || pipe2(err, O_CLOEXEC) < 0)
        die("cannot watch the VMM: %s", strerror(errno));
    pid_t parent = getpid();
    w.pid = fork();
    if (w.pid < 0)
        die("cannot start the VMM: %s", strerror(errno));
    if (w.pid == 0)
        run_child(p, err[1], parent, &old);
    /* The pipes end when the monitor does only if it alone has them. */
    close(err[1]);
    for (size_t i = 0; i < p->nr_inherit; i++)
        close(p->inherit[i]);
    w.errors = err[0];
    fcntl(w.errors, F_SETFL, O_NONBLOCK);
    if (w.status >= 0)
        fcntl(w.status, F_SETFL, O_NONBLOCK);
    sb_add(&w.error_line, "", 0);
    if (p->timeout_s)
        w.deadline = now_ms() + p->timeout_s * 1000ull;
    if (p->nr_ports)
        w.widen_until = now_ms() + WIDEN_FOR_MS;
    loop(&w);
    if (have_terminal)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal);
    close(w.signals);
    free(w.error_line.s);
    end->started = !WIFEXITED(end->vmm_status) || WEXITSTATUS(end->vmm_status) != 127;
}
