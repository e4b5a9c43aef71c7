/*
 * Lines of --strace: when a call's line starts and ends, and which calls have one. A line is begun
 * before the call, up to its first output argument, so that a call that hangs is seen; when
 * another thread's call comes in between, it is left "<unfinished ...>" and resumed, as strace
 * -f does. See linux/strace.h.
 */
#include "linux/strace.h"

#include "arch/x86_64/trap.h"
#include "drivers/console.h"
#include "lib/cmdline.h"
#include "lib/names.h"
#include "linux/syscall.h"
#include "sched/thread.h"
#include "sched/wait.h"

#include <asm/fcntl.h>

#define CREATING      (O_CREAT | __O_TMPFILE)
#define CALLS_MAX     512
#define RESULT_COLUMN 40 /* where " = result" starts, if the call is shorter */

static struct {
    bool all;
    uint64_t wanted[CALLS_MAX / 64];
    int open_tid; /* whose line is begun; 0: none */
    size_t open_column;
} trace;

void strace_put(struct strace_line *l, const char *fmt, ...)
{
    va_list ap;
    size_t room = sizeof(l->text) - l->len;
    va_start(ap, fmt);
    int n = kvsnprintf(l->text + l->len, room, fmt, ap);
    va_end(ap);
    l->len = (size_t)n < room ? l->len + (size_t)n : sizeof(l->text) - 1;
}

static bool is_wanted(uint64_t nr)
{
    if (trace.all)
        return true;
    return nr < CALLS_MAX && (trace.wanted[nr / 64] & 1ull << nr % 64);
}

/* Calls that do not come back when they succeed. */
static bool is_last(uint64_t nr)
{
    return nr == __NR_exit || nr == __NR_exit_group;
}

static bool returns_address(uint64_t nr)
{
    return nr == __NR_mmap || nr == __NR_brk || nr == __NR_mremap || nr == __NR_shmat;
}

static void put_name(struct strace_line *l, const struct syscall_desc *desc, uint64_t nr)
{
    const char *name = desc != NULL ? desc->name : syscall_name(nr);
    if (name != NULL)
        strace_put(l, "%s", name);
    else
        strace_put(l, "syscall_%lu", nr);
}

static void put_thread(struct strace_line *l)
{
    if (thread_count > 1)
        strace_put(l, "[%d] ", current()->tid);
}

/* The arguments from index *next on; before the call, up to the first output. */
static void put_args(struct strace_line *l, const struct syscall_desc *desc, uint64_t nr,
                     const uint64_t args[6], unsigned from, bool after, long ret)
{
    const char *letters = strace_letters(nr, desc != NULL ? desc->args : "xxxxxx");
    for (unsigned i = from; i < 6 && letters[i] != '\0'; i++) {
        /* open's mode means nothing unless a file may be made. */
        if (letters[i] == 'o' && i > 0 && letters[i - 1] == 'O' && !(args[i - 1] & CREATING))
            return;
        if (i > 0 && (!after || i > from))
            strace_put(l, ", ");
        if (!after && strace_is_output(letters[i]))
            return;
        strace_arg(l, letters[i], nr, i, args, ret);
    }
}

/* How many arguments are printed before the call. */
static unsigned args_before(const struct syscall_desc *desc, uint64_t nr)
{
    const char *letters = strace_letters(nr, desc != NULL ? desc->args : "xxxxxx");
    unsigned i = 0;
    while (i < 6 && letters[i] != '\0' && !strace_is_output(letters[i]))
        i++;
    return i;
}

static void put_result(struct strace_line *l, uint64_t nr, long ret)
{
    static const struct {
        int number;
        const char *name;
    } restarts[] = {
        {ERESTARTSYS, "ERESTARTSYS"},
        {ERESTARTNOINTR, "ERESTARTNOINTR"},
        {ERESTARTNOHAND, "ERESTARTNOHAND"},
        {ERESTART_RESTARTBLOCK, "ERESTART_RESTARTBLOCK"},
    };
    size_t column = l->len + trace.open_column;
    strace_put(l, ")%*s = ", column < RESULT_COLUMN - 2 ? (int)(RESULT_COLUMN - 2 - column) : 0,
               "");
    for (size_t i = 0; i < ARRAY_SIZE(restarts); i++) {
        if (ret == -restarts[i].number) {
            strace_put(l, "? %s\n", restarts[i].name);
            return;
        }
    }
    if (ret < 0 && errno_name((int)-ret) != NULL && ret > -4096)
        strace_put(l, "-1 %s\n", errno_name((int)-ret));
    else if (returns_address(nr))
        strace_put(l, "0x%lx\n", ret);
    else
        strace_put(l, "%ld\n", ret);
}

static void close_open_line(struct strace_line *l)
{
    if (trace.open_tid != 0)
        strace_put(l, " <unfinished ...>\n");
    trace.open_tid = 0;
}

void strace_enter(const struct syscall_desc *desc, uint64_t nr, const uint64_t args[6])
{
    struct strace_line l = {0};

    if (!is_wanted(nr))
        return;
    /* Reading arguments may sleep: only then look whose line is open. */
    put_thread(&l);
    put_name(&l, desc, nr);
    strace_put(&l, "(");
    put_args(&l, desc, nr, args, 0, false, 0);
    struct strace_line head = {0};
    close_open_line(&head);
    console_write(head.text, head.len);
    if (is_last(nr)) {
        trace.open_column = 0;
        strace_put(&l, ")%*s = ?\n",
                   l.len < RESULT_COLUMN - 2 ? (int)(RESULT_COLUMN - 2 - l.len) : 0, "");
    } else {
        trace.open_tid = current()->tid;
        trace.open_column = l.len;
    }
    console_write(l.text, l.len);
}

void strace_exit(const struct syscall_desc *desc, uint64_t nr, const uint64_t args[6], long ret)
{
    struct strace_line l = {0}, rest = {0};

    if (!is_wanted(nr))
        return;
    put_args(&rest, desc, nr, args, args_before(desc, nr), true, ret);
    if (trace.open_tid != current()->tid) {
        close_open_line(&l);
        put_thread(&l);
        strace_put(&l, "<... ");
        put_name(&l, desc, nr);
        strace_put(&l, " resumed>");
        trace.open_column = l.len;
        console_write(l.text, l.len);
    }
    put_result(&rest, nr, ret);
    console_write(rest.text, rest.len);
    trace.open_tid = 0;
}

static bool want_call(const char *name, size_t len)
{
    for (uint64_t nr = 0; nr < CALLS_MAX; nr++) {
        const char *n = syscall_name(nr);
        if (n != NULL && strlen(n) == len && strncmp(n, name, len) == 0) {
            trace.wanted[nr / 64] |= 1ull << nr % 64;
            return true;
        }
    }
    kprintf("wherry: wherry.strace: there is no system call \"%.*s\"\n", (int)len, name);
    return false;
}

int strace_select(const char *value)
{
    trace.all = value == NULL;
    while (value != NULL && *value != '\0') {
        const char *comma = strchr(value, ',');
        size_t len = comma != NULL ? (size_t)(comma - value) : strlen(value);
        if (!want_call(value, len))
            return -EINVAL;
        value += len + (comma != NULL);
    }
    cpu_exit_work |= WORK_TRACE;
    return 0;
}
CMDLINE("wherry.strace", strace_select);
