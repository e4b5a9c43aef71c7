/*
 * Start and end of the process, and of its threads; see process.h. May sleep.
 */
#include "linux/process.h"

#include "app.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/uaccess.h"
#include "drivers/power.h"
#include "fs/tty.h"
#include "fs/vfs.h"
#include "guide/guide.h"
#include "lib/cmdline.h"
#include "linux/exec.h"
#include "linux/futex.h"
#include "linux/sigstate.h"
#include "linux/syscall.h"
#include "mm/slab.h"
#include "mm/mmu.h"
#include "mm/vma.h"
#include "sched/clock.h"

/* What a shell says of a program it could not start. */
#define STATUS_NOT_FOUND  127
#define STATUS_NOT_RUN    126

struct process process;
static struct thread *survivor; /* others must exit: exec */
static const char *init_path;

void user_return_full(void);

static int set_init(const char *value)
{
    if (!value || value[0] != '/')
        return -EINVAL;
    init_path = value;
    return 0;
}
CMDLINE("init", set_init);

__noreturn static void enter_user(void)
{
    /* The frame is at the top of this thread's kernel stack: leave through it. */
    __asm__ volatile("mov %0, %%rsp\n"
                     "xor %%ebp, %%ebp\n"
                     "jmp user_return_full"
                     :
                     : "r"(thread_user_frame(current()))
                     : "memory");
    __builtin_unreachable();
}

static void nothing_to_undo(void)
{
}

static void add_default(const char **envp, unsigned *n, const char *word)
{
    size_t name = strchr(word, '=') - word + 1;

    for (unsigned i = 0; i < *n; i++)
        if (strncmp(envp[i], word, name) == 0)
            return;
    envp[(*n)++] = word;
}

void app_init(void)
{
    syscall_init();
}

void app_start(void)
{
    static const char *argv[CMDLINE_MAX_INIT + 2], *envp[CMDLINE_MAX_INIT + 4];
    unsigned n = 0;
    int r;

    if (!init_path) {
        kprintf("wherry: no program to run: the command line has no init=/PATH\n");
        power_off(STATUS_NOT_FOUND);
    }
    argv[n++] = init_path;
    for (unsigned i = 0; i < cmdline_init.nr_args; i++)
        argv[n++] = cmdline_init.args[i];
    n = 0;
    for (unsigned i = 0; i < cmdline_init.nr_env; i++)
        envp[n++] = cmdline_init.env[i];
    /* Linux gives init these, the user's words may differ. */
    add_default(envp, &n, "HOME=/");
    add_default(envp, &n, "TERM=linux");
    process.start_ns = clock_mono_ns();
    process.dumpable = true;
    mmu_init();
    current()->sig = sigstate_new(NULL);
    if (!current()->sig)
        panic("out of memory for the first process");
    r = tty_open_stdio();
    if (r < 0)
        kprintf("wherry: cannot open the console: error %d\n", -r);
    r = exec_load(init_path, (char **)argv, (char **)envp, nothing_to_undo);
    if (r < 0) {
        kprintf("wherry: %s: %s (error %d)\n", init_path, exec_reason(), -r);
        power_off(r == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUN);
    }
    enter_user();
}

void process_exit(int status)
{
    process.exit_status = status & 0xff;
    syscall_report_missing();
    power_farewell();
    power_off(process.exit_status);
}

bool process_thread_must_exit(const struct thread *t)
{
    return survivor && t != survivor;
}

void process_exit_thread(void)
{
    struct thread *t = current();

    futex_thread_exit(t);
    if (thread_count == 1)
        process_exit(process.exit_status);
    if (survivor && thread_count == 2)
        thread_wake(survivor);
    signal_retarget(~t->sig->mask);
    sigstate_free(t->sig);
    t->sig = NULL;
    thread_exit();
}

/* Asks all other threads to leave and waits until they did. */
static void become_single(void)
{
    survivor = current();
    list_for_each (t, &thread_list, struct thread, all_link)
        if (t != survivor) {
            t->signal_pending = true; /* ends interruptible sleeps */
            if (t->interruptible)
                thread_wake(t);
        }
    while (thread_count > 1)
        thread_block(WAIT_FOREVER);
    survivor = NULL;
}

static void drop_old_program(void)
{
    become_single();
    current()->tid = PROCESS_PID; /* whoever calls exec becomes the first thread */
    for (int fd = 0; fd < (int)fd_limit; fd++)
        if (fd_entries[fd].file && fd_entries[fd].cloexec)
            fd_close(fd);
    for (int sig = 1; sig <= SIG_COUNT; sig++)
        if (sig_actions[sig].handler != (uint64_t)SIG_IGN)
            memset(&sig_actions[sig], 0, sizeof(sig_actions[sig]));
    current()->sig->altstack.ss_flags = SS_DISABLE;
    current()->clear_child_tid = current()->robust_list = current()->rseq = 0;
    vma_unmap_all();
    guide_unmapped_all();
    fs_base_set(0);
    gs_base_set(0);
    fpu_init_area(current()->fpu);
    fpu_restore(current()->fpu);
}

static void free_strings(char **v)
{
    for (unsigned i = 0; v && v[i]; i++)
        kfree(v[i]);
    kfree(v);
}

#define MAX_EXEC_STRINGS 4096
#define MAX_EXEC_STRING  (128 * KiB) /* Linux's MAX_ARG_STRLEN */

/* Copies a NULL-terminated array of strings of the application. */
static int fetch_strings(const char *const *uv, char ***out)
{
    char **v = kzalloc((MAX_EXEC_STRINGS + 1) * sizeof(*v));
    char *buf = kmalloc(MAX_EXEC_STRING);
    int r = v && buf ? 0 : -ENOMEM;

    for (unsigned i = 0; r == 0 && uv; i++) {
        const char *us = NULL;
        ssize_t len;

        r = get_user(us, &uv[i]);
        if (r < 0 || !us)
            break;
        len = i < MAX_EXEC_STRINGS ? copy_string_from_user(buf, us, MAX_EXEC_STRING) : -E2BIG;
        if (len < 0)
            r = len == -ENAMETOOLONG ? -E2BIG : (int)len;
        else if (!(v[i] = kstrdup(buf)))
            r = -ENOMEM;
    }
    kfree(buf);
    if (r < 0) {
        free_strings(v);
        return r;
    }
    *out = v;
    return 0;
}

static bool committed;

static void commit_exec(void)
{
    committed = true;
    drop_old_program();
}

static long do_execve(const char *upath, const char *const *uargv, const char *const *uenvp)
{
    char **argv = NULL, **envp = NULL;
    char *path = kmalloc(PATH_MAX);
    ssize_t r = path ? copy_string_from_user(path, upath, PATH_MAX) : -ENOMEM;

    if (r >= 0)
        r = fetch_strings(uargv, &argv);
    if (r >= 0)
        r = fetch_strings(uenvp, &envp);
    committed = false;
    if (r >= 0)
        r = exec_load(path, argv, envp, commit_exec);
    if (r < 0 && committed) {
        kprintf("wherry: exec of %s: %s (error %ld)\n", path, exec_reason(), -r);
        process_exit(128 + SIGKILL);
    }
    kfree(path);
    free_strings(argv);
    free_strings(envp);
    if (r < 0)
        return r;
    enter_user();
}

static long sys_execve(const char *path, const char *const *argv, const char *const *envp)
{
    return do_execve(path, argv, envp);
}
SYSCALL(execve, COMPLETE, "spp", "");

static long sys_exit(int status)
{
    process.exit_status = status & 0xff;
    process_exit_thread();
}
SYSCALL(exit, COMPLETE, "i", "");

static long sys_exit_group(int status)
{
    process_exit(status & 0xff);
}
SYSCALL(exit_group, COMPLETE, "i", "");

static long sys_wait4(int pid, int *status, int options, void *usage)
{
    return -ECHILD; /* there are no children */
}
SYSCALL(wait4, COMPLETE, "ipxp", "");

static long sys_waitid(int type, int id, void *info, int options, void *usage)
{
    return type < 0 || type > 3 ? -EINVAL : -ECHILD;
}
SYSCALL(waitid, COMPLETE, "iipxp", "");
