/*
 * The first program in a Linux guest of `wherry run --kernel linux` (rdinit=/wherry-init). It does
 * what Wherry's kernel does by itself: loads the virtio drivers, mounts the usual file systems,
 * configures the network from the ip= words, runs the program of the wherry.setup= word (commas
 * part its arguments; it may leave processes behind) and, if that succeeds, the program of the
 * init= word with the arguments behind "--" and the kernel's environment words, reaps, reports the
 * exit status on the port of wherry.statusport= (decimal digits, newline), and powers off. Static;
 * runs in the guest.
 */
#define _GNU_SOURCE
#include "kcmdline.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define MODULE_DIR  "/wherry-modules"
#define MODULE_LIST MODULE_DIR "/order"
#define NIC_WAIT_MS 2000

static unsigned status_port;

static void finish(int status) __attribute__((noreturn));
static void finish(int status)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%d\n", status);

    int quiet = open("/proc/sys/kernel/printk", O_WRONLY | O_CLOEXEC);

    /* The console is the program's: no "Power down" from Linux on it. */
    if (quiet >= 0 && write(quiet, "0", 1) == 1)
        close(quiet);
    fflush(NULL);
    tcdrain(STDOUT_FILENO);
    if (status_port && ioperm(status_port, 1, 1) == 0)
        for (int i = 0; i < n; i++)
            outb(text[i], status_port);
    sync();
    reboot(RB_POWER_OFF);
    reboot(RB_AUTOBOOT); /* no power button: QEMU has -no-reboot */
    for (;;)
        pause();
}

static void fail(const char *what)
{
    fprintf(stderr, "wherry-init: %s: %s\n", what, strerror(errno));
    finish(EXIT_TOOL);
}

static void mount_at(const char *type, const char *dir, const char *options)
{
    mkdir(dir, 0755);
    if (mount(type, dir, type, 0, options) < 0 && errno != EBUSY)
        fail(dir);
}

static void load_modules(void)
{
    char *list = read_text(MODULE_LIST), *save = NULL;

    for (char *p = list ? strtok_r(list, "\n", &save) : NULL; p; p = strtok_r(NULL, "\n", &save)) {
        int fd = open(p, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
            fail(p);
        close(fd);
        unlink(p);
    }
    free(list);
    unlink(MODULE_LIST);
    rmdir(MODULE_DIR);
    unlink("/wherry-init");
}

static struct sockaddr address_of(const char *text)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
    } a = {.in = {.sin_family = AF_INET}};

    if (inet_pton(AF_INET, text, &a.in.sin_addr) != 1) {
        errno = EINVAL;
        fail(text);
    }
    return a.any;
}

static void set_up(int s, const char *name)
{
    struct ifreq r = {0};

    strncpy(r.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(s, SIOCGIFFLAGS, &r) < 0)
        fail(name);
    r.ifr_flags |= IFF_UP | IFF_RUNNING;
    if (ioctl(s, SIOCSIFFLAGS, &r) < 0)
        fail(name);
}

static void bring_up(const char *name)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    set_up(s, name);
    close(s);
}

/* CLIENT:SERVER:GATEWAY:MASK:HOST:DEVICE:AUTOCONF[:DNS], Documentation/admin-guide/nfs/nfsroot.rst.
 */
static void configure(char *ip)
{
    char *field[7] = {0};
    size_t n = 0;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    for (char *p = ip; p && n < ARRAY_LEN(field);)
        field[n++] = strsep(&p, ":");
    if (n >= 6 && *field[0]) {
        const char *device = *field[5] ? field[5] : "eth0";
        struct ifreq r = {0};
        strncpy(r.ifr_name, device, IFNAMSIZ - 1);
        for (int ms = 0; !if_nametoindex(device) && ms < NIC_WAIT_MS; ms += 10)
            usleep(10000);
        r.ifr_addr = address_of(field[0]);
        if (ioctl(s, SIOCSIFADDR, &r) < 0)
            fail(device);
        if (*field[3]) {
            r.ifr_netmask = address_of(field[3]);
            if (ioctl(s, SIOCSIFNETMASK, &r) < 0)
                fail("netmask");
        }
        set_up(s, device);
        if (*field[2]) {
            struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
            route.rt_dst = route.rt_genmask = address_of("0.0.0.0");
            route.rt_gateway = address_of(field[2]);
            if (ioctl(s, SIOCADDRT, &route) < 0)
                fail("default route");
        }
    }
    close(s);
}

/* Runs a program and waits for it. The one that all is about has the console in the foreground; its
 * session is ours, since a console hangs up when its session's leader ends, and drops what is not
 * sent yet. */
static int run(char **argv, bool foreground)
{
    int status = 0;
    pid_t pid = fork(), got;

    if (pid < 0)
        fail("fork");
    if (pid == 0) {
        if (foreground) {
            setpgid(0, 0);
            signal(SIGTTOU, SIG_IGN);
            tcsetpgrp(STDIN_FILENO, getpid());
            signal(SIGTTOU, SIG_DFL);
        }
        execv(argv[0], argv);
        fprintf(stderr, "wherry-init: %s: %s\n", argv[0], strerror(errno));
        _exit(errno == ENOENT ? 127 : 126);
    }
    do {
        got = wait(&status);
    } while (got != pid && (got >= 0 || errno == EINTR));
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* What a measurement wants to be different in its guest, as a limit for what runs afterwards. */
static void set_up_system(char *text)
{
    struct words argv = {0};
    int status;

    for (char *p; (p = strsep(&text, ","));)
        words_add(&argv, p);
    status = run(argv.v, false);
    if (status != 0)
        finish(status);
    words_free(&argv);
}

int main(void)
{
    struct words args = {0};
    struct words ips = {0};
    char *word, *program = NULL, *setup = NULL, *line;
    const char *p;
    bool ours = false;

    umask(022);
    mount_at("proc", "/proc", NULL);
    line = read_text("/proc/cmdline");
    for (p = line ? line : ""; (word = kcmdline_next(&p)); free(word)) {
        if (ours)
            words_add(&args, word);
        else if (strcmp(word, "--") == 0)
            ours = true;
        else if (strncmp(word, "init=", 5) == 0)
            program = xstrdup(word + 5);
        else if (strncmp(word, "ip=", 3) == 0)
            words_add(&ips, word + 3);
        else if (strncmp(word, "wherry.setup=", 13) == 0)
            setup = xstrdup(word + 13);
        else if (strncmp(word, "wherry.statusport=", 18) == 0)
            status_port = strtoul(word + 18, NULL, 0);
    }
    free(line);
    mount_at("sysfs", "/sys", NULL);
    mount_at("devtmpfs", "/dev", NULL);
    mount_at("devpts", "/dev/pts", "ptmxmode=0666");
    mount_at("tmpfs", "/dev/shm", NULL);
    symlink("/proc/self/fd", "/dev/fd");
    load_modules();
    bring_up("lo");
    for (size_t i = 0; i < ips.n; i++)
        configure(ips.v[i]);
    unsetenv("ip"); /* Linux has handed its unknown word on as environment */
    if (!program) {
        errno = EINVAL;
        fail("no init= word");
    }

    setsid();
    ioctl(STDIN_FILENO, TIOCSCTTY, 1);
    if (setup)
        set_up_system(setup);

    struct words argv = {0};
    words_add(&argv, program);
    for (size_t i = 0; i < args.n; i++)
        words_add(&argv, args.v[i]);
    finish(run(argv.v, true));
}
