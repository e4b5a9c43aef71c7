/*
 * The console terminal: a line discipline on top of drivers/console.h. Reads may sleep; input
 * arrives from interrupts and polls. There is one terminal, which is everybody's controlling
 * terminal: a unikernel has one process, in one session.
 */
#include "fs/tty.h"

#include "arch/x86_64/uaccess.h"
#include "drivers/console.h"
#include "fs/tty_ldisc.h"
#include "fs/vfs.h"
#include "linux/process.h"
#include "linux/signal.h"
#include "mm/slab.h"
#include "sched/clock.h"

#include <asm/ioctls.h>
#include <asm/termios.h>
#include <linux/eventpoll.h>
#include <linux/major.h>
#include <linux/tty.h>

#define CHUNK        256u
#define DECISECOND   (100 * NSEC_PER_MSEC) /* VTIME's unit */
#define TTY_MINOR    0u                    /* of TTYAUX_MAJOR: /dev/tty */
#define CON_MINOR    1u                    /* /dev/console */
#define SERIAL_MINOR 64u                   /* of TTY_MAJOR: ttyS0 */

struct tty_file {
    struct file file;
    struct list link;
};

static struct ldisc ldisc;
static struct winsize winsize = {.ws_row = 24, .ws_col = 80};
static struct waitq tty_waitq = WAITQ_INIT(tty_waitq);
static struct list tty_files = LIST_INIT(tty_files);
static int foreground = PROCESS_PID;

static void tty_echo(struct ldisc *l, const char *s, size_t n)
{
    console_write(s, n);
}

static void tty_signal(struct ldisc *l, int sig)
{
    signal_send_process(sig, NULL);
}

static void tty_wake(uint32_t events)
{
    waitq_wake(&tty_waitq, events);
    list_for_each (t, &tty_files, struct tty_file, link) {
        waitq_wake(&t->file.waitq, events);
        if (t->file.flags & O_ASYNC)
            file_sigio(&t->file, (int)events);
    }
}

static void tty_input(const char *s, size_t n)
{
    bool was_stopped = ldisc.stopped;
    ldisc_input(&ldisc, s, n);
    if (ldisc_readable(&ldisc, 1))
        tty_wake(EPOLLIN | EPOLLRDNORM);
    if (was_stopped && !ldisc.stopped)
        tty_wake(EPOLLOUT | EPOLLWRNORM);
}

/* ---- Reading and writing -----------------------------------------------------------------------
 */

/* How many bytes a raw read of n waits for; with VMIN 0, any or none. */
static size_t raw_min(size_t n)
{
    return MIN((size_t)ldisc.t.c_cc[VMIN], n);
}

/* Sleeps until a read of n bytes can be answered: 0, -ETIMEDOUT (VTIME), -EAGAIN, -ERESTARTSYS. */
static int wait_readable(struct file *f, size_t n)
{
    bool canonical = ldisc.t.c_lflag & ICANON;
    size_t min = canonical ? 1 : raw_min(n);
    uint64_t vtime = canonical ? 0 : ldisc.t.c_cc[VTIME] * DECISECOND;
    if (ldisc_readable(&ldisc, MAX(min, 1ul)))
        return 0;
    if (!canonical && min == 0 && vtime == 0)
        return -ETIMEDOUT;
    if (file_nonblock(f))
        return !canonical && ldisc_available(&ldisc) > 0 ? 0 : -EAGAIN;
    /* With VMIN, the timer runs between bytes, from the first on; without, from the call on. */
    size_t seen = ldisc_available(&ldisc);
    uint64_t deadline =
        vtime != 0 && (min == 0 || seen > 0) ? clock_mono_ns() + vtime : WAIT_FOREVER;
    while (!ldisc_readable(&ldisc, MAX(min, 1ul))) {
        int err = waitq_sleep(&tty_waitq, EPOLLIN, deadline);
        if (err < 0 && !ldisc_readable(&ldisc, MAX(min, 1ul)))
            return err == -ETIMEDOUT || ldisc_available(&ldisc) == 0 ? err : 0;
        if (vtime != 0 && min > 0 && ldisc_available(&ldisc) != seen) {
            seen = ldisc_available(&ldisc);
            deadline = clock_mono_ns() + vtime;
        }
    }
    return 0;
}

static ssize_t tty_read(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    if (it->count == 0)
        return 0;
    int err = wait_readable(f, it->count);
    if (err < 0 && err != -ETIMEDOUT)
        return err;
    bool canonical = ldisc.t.c_lflag & ICANON, eof = false;
    size_t done = 0;
    while (it->count > 0 && !eof) {
        char chunk[CHUNK];
        size_t got = ldisc_read(&ldisc, chunk, MIN(it->count, sizeof(chunk)), &eof);
        if (got == 0)
            break;
        ssize_t put = copy_to_iter(it, chunk, got);
        if (put < 0)
            return done > 0 ? (ssize_t)done : put;
        done += (size_t)put;
        /* A line ends a read; a chunk that it did not fill is its end. */
        if (canonical && (got < sizeof(chunk) || chunk[got - 1] == '\n'))
            break;
    }
    return (ssize_t)done;
}

static ssize_t tty_write(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    size_t done = 0;
    while (it->count > 0) {
        if (ldisc.stopped) {
            if (file_nonblock(f))
                return done > 0 ? (ssize_t)done : -EAGAIN;
            int err = wait_event(&tty_waitq, EPOLLOUT, WAIT_FOREVER, !ldisc.stopped);
            if (err < 0)
                return done > 0 ? (ssize_t)done : err;
        }
        char chunk[CHUNK], out[2 * CHUNK];
        ssize_t n = copy_from_iter(it, chunk, sizeof(chunk));
        if (n <= 0)
            return done > 0 ? (ssize_t)done : n;
        for (size_t at = 0, used; at < (size_t)n; at += used) {
            size_t len = ldisc_output(&ldisc, chunk + at, (size_t)n - at, out, sizeof(out), &used);
            console_write(out, len);
        }
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static uint32_t tty_poll(struct file *f)
{
    uint32_t events = 0;
    size_t min = ldisc.t.c_cc[VTIME] == 0 && ldisc.t.c_cc[VMIN] > 0 ? ldisc.t.c_cc[VMIN] : 1;
    if (ldisc_readable(&ldisc, min))
        events |= EPOLLIN | EPOLLRDNORM;
    if (!ldisc.stopped)
        events |= EPOLLOUT | EPOLLWRNORM;
    return events;
}

/* ---- Control ------------------------------------------------------------------------------------
 */

/* struct termios and termios2 are the beginnings of struct ktermios. */
static long get_termios(uint64_t arg, size_t size)
{
    return copy_to_user((void *)arg, &ldisc.t, size);
}

static long set_termios(uint64_t arg, size_t size, bool flush)
{
    struct ktermios t = ldisc.t;
    if (copy_from_user(&t, (void *)arg, size) < 0)
        return -EFAULT;
    if (flush)
        ldisc_flush(&ldisc);
    ldisc_set_termios(&ldisc, &t);
    tty_wake(EPOLLIN | EPOLLOUT);
    return 0;
}

static long set_winsize(uint64_t arg)
{
    struct winsize w;
    if (copy_from_user(&w, (void *)arg, sizeof(w)) < 0)
        return -EFAULT;
    bool changed = memcmp(&w, &winsize, sizeof(w)) != 0;
    winsize = w;
    if (changed)
        signal_send_process(SIGWINCH, NULL);
    return 0;
}

static long flush_queues(uint64_t queue)
{
    if (queue > TCIOFLUSH)
        return -EINVAL;
    if (queue != TCOFLUSH) /* output is never queued here */
        ldisc_flush(&ldisc);
    return 0;
}

static long flow_control(uint64_t action)
{
    char c;
    switch (action) {
    case TCOOFF:
        ldisc.stopped = true;
        return 0;
    case TCOON:
        ldisc.stopped = false;
        tty_wake(EPOLLOUT | EPOLLWRNORM);
        return 0;
    case TCIOFF:
    case TCION:
        c = (char)ldisc.t.c_cc[action == TCIOFF ? VSTOP : VSTART];
        if (c != '\0')
            console_write(&c, 1);
        return 0;
    }
    return -EINVAL;
}

static long put_int(int v, uint64_t arg)
{
    return put_user(v, (int *)arg);
}

static long tty_ioctl(struct file *f, unsigned cmd, uint64_t arg)
{
    int v;
    switch (cmd) {
    case TCGETS:
        return get_termios(arg, sizeof(struct termios));
    case TCGETS2:
        return get_termios(arg, sizeof(struct termios2));
    case TCSETS:
    case TCSETSW: /* there is no output left to wait for */
        return set_termios(arg, sizeof(struct termios), false);
    case TCSETSF:
        return set_termios(arg, sizeof(struct termios), true);
    case TCSETS2:
    case TCSETSW2:
        return set_termios(arg, sizeof(struct termios2), false);
    case TCSETSF2:
        return set_termios(arg, sizeof(struct termios2), true);
    case TIOCGWINSZ:
        return copy_to_user((void *)arg, &winsize, sizeof(winsize));
    case TIOCSWINSZ:
        return set_winsize(arg);
    case TIOCGPGRP:
        return put_int(foreground, arg);
    case TIOCSPGRP:
        if (get_user(v, (int *)arg) < 0)
            return -EFAULT;
        if (v < 0)
            return -EINVAL;
        if (v != PROCESS_PID)
            return -ESRCH;
        foreground = v;
        return 0;
    case TIOCGSID:
        return put_int(PROCESS_PID, arg);
    case TIOCSCTTY:
        return 0; /* it is already */
    case TIOCGETD:
        return put_int(N_TTY, arg);
    case TIOCSETD:
        if (get_user(v, (int *)arg) < 0)
            return -EFAULT;
        return v == N_TTY ? 0 : -EINVAL;
    case FIONREAD:
        return put_int((int)ldisc_available(&ldisc), arg);
    case TIOCOUTQ:
        return put_int(0, arg);
    case TCFLSH:
        return flush_queues(arg);
    case TCXONC:
        return flow_control(arg);
    case TCSBRK:
    case TCSBRKP:
        return 0; /* output has left; a console has no break condition to send */
    }
    return -ENOTTY;
}

static void tty_release(struct file *f)
{
    struct tty_file *t = container_of(f, struct tty_file, file);
    list_remove(&t->link);
    kfree(t);
}

static const struct file_ops tty_ops = {
    .name = "tty",
    .read = tty_read,
    .write = tty_write,
    .poll = tty_poll,
    .ioctl = tty_ioctl,
    .release = tty_release,
};

static int tty_open(struct inode *inode, struct path_node *path, unsigned flags, struct file **out)
{
    struct tty_file *t = kmalloc(sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    file_init(&t->file, &tty_ops, flags, FILE_STREAM);
    list_push_back(&tty_files, &t->link);
    *out = &t->file;
    return 0;
}

int tty_open_stdio(void)
{
    struct file *f;
    int err = vfs_open(AT_FDCWD, "/dev/console", O_RDWR, 0, &f);
    if (err < 0)
        return err;
    for (int fd = 0; fd < 3; fd++) {
        file_get(f);
        err = fd_install_at(f, fd, 0);
        if (err < 0) {
            file_put(f);
            break;
        }
    }
    file_put(f);
    return err < 0 ? err : 0;
}

void tty_init(void)
{
    static struct chardev devices[] = {
        {.major = TTYAUX_MAJOR, .minor = TTY_MINOR, .name = "tty", .open = tty_open},
        {.major = TTYAUX_MAJOR, .minor = CON_MINOR, .name = "console", .open = tty_open},
        {.major = TTY_MAJOR, .minor = SERIAL_MINOR, .name = "ttyS0", .open = tty_open},
    };
    ldisc_init(&ldisc);
    ldisc.echo = tty_echo;
    ldisc.signal = tty_signal;
    for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
        chardev_register(&devices[i]);
    console_set_sink(tty_input);
}
