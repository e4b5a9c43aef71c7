/*
 * The rival of far memory, in a Linux guest: `wherry bench` has the guest's init run it before the
 * program that is measured (wherry.setup=, tools/linux-init.c).
 *
 *     remote_swap NBD-SERVER:PORT SIZE-MIB LOCAL-MIB KEY=VALUE...
 *
 * attaches a network block device (the client's side of the NBD protocol's "fixed newstyle"
 * handshake, then the kernel's nbd driver, /usr/include/linux/nbd.h), makes SIZE-MIB of it swap,
 * and puts init, which is about to start the program, into a control group whose memory is limited
 * to LOCAL-MIB (0: not limited). A KEY is a file below /proc/sys/vm, or lru_gen, scheduler (of the
 * device) or read_ahead. Two processes stay behind: one is the kernel's for the device, the other
 * sends the counters of paging, /proc/vmstat and the group's memory.stat, to whoever connects to
 * port 7470.
 *
 * Only the program's own memory is limited: its group holds nothing else, and the kernel word
 * cgroup.memory=nokmem,nosocket leaves page tables and packets out, as Wherry's limit does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#define DEVICE     "/dev/nbd0"
#define QUEUE      "/sys/block/nbd0/queue/"
#define GROUPS     "/cgroup"
#define GROUP      GROUPS "/limited"
#define STATS_PORT 7470
#define PAGE       4096u
#define MIB        (1024ull * 1024)

/* NBD's doc/proto.md, "Newstyle negotiation". */
#define NBD_INIT         0x4e42444d41474943ull /* "NBDMAGIC" */
#define NBD_OPTS         0x49484156454f5054ull /* "IHAVEOPT" */
#define NBD_FIXED        0x1u
#define NBD_NO_ZEROES    0x2u
#define NBD_EXPORT_NAME  1u
#define EXPORT_ZEROES    124
#define CONNECTION_LIMIT 60ul /* seconds; a request that takes longer is an I/O error */

/* Linux's include/linux/swap.h, union swap_header; the signature ends the first page. */
struct swap_header {
    char boot[1024];
    uint32_t version, last_page, nr_badpages;
    unsigned char uuid[16], label[16];
    char rest[PAGE - 1024 - 44 - 10];
    char signature[10];
} __attribute__((packed));

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "remote_swap: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, ": %s\n", strerror(errno));
    exit(125);
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        die("%s: %s", path, text);
    close(fd);
}

static void get_all(int fd, void *p, size_t n)
{
    if (recv(fd, p, n, MSG_WAITALL) != (ssize_t)n)
        die("the NBD server's greeting");
}

static int dial(char *target)
{
    char *colon = strchr(target, ':');
    struct sockaddr_in a = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (!colon)
        die("%s: write ADDRESS:PORT", target);
    *colon = '\0';
    a.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, target, &a.sin_addr) != 1)
        die("%s is no address", target);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        die("%s:%s", target, colon + 1);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* The handshake; returns the size of the export and its transmission flags. */
static uint64_t negotiate(int fd, uint16_t *flags)
{
    struct {
        uint64_t init, opts;
        uint16_t flags;
    } __attribute__((packed)) hello;
    struct {
        uint32_t client_flags;
        uint64_t opts;
        uint32_t option, length;
    } __attribute__((packed)) ask = {0, htobe64(NBD_OPTS), htonl(NBD_EXPORT_NAME), 0};
    struct {
        uint64_t size;
        uint16_t flags;
    } __attribute__((packed)) export;
    char zeroes[EXPORT_ZEROES];

    get_all(fd, &hello, sizeof(hello));
    if (be64toh(hello.init) != NBD_INIT || be64toh(hello.opts) != NBD_OPTS) {
        errno = EPROTO;
        die("the NBD server's greeting");
    }
    ask.client_flags = htonl(ntohs(hello.flags) & (NBD_FIXED | NBD_NO_ZEROES));
    if (send(fd, &ask, sizeof(ask), 0) != sizeof(ask))
        die("asking for the export");
    get_all(fd, &export, sizeof(export));
    if (!(ntohs(hello.flags) & NBD_NO_ZEROES))
        get_all(fd, zeroes, sizeof(zeroes));
    *flags = ntohs(export.flags);
    return be64toh(export.size);
}

/* /dev/nbd0 is the server's export from here on; a process of its own stays in the kernel for it.
 */
static void attach(char *target, uint64_t bytes)
{
    int fd = dial(target), device = open(DEVICE, O_RDWR | O_CLOEXEC);
    uint16_t flags;
    uint64_t size = negotiate(fd, &flags);

    if (size < bytes) {
        errno = ENOSPC;
        die("the export has %llu MiB", (unsigned long long)(size / MIB));
    }
    if (device < 0)
        die(DEVICE);
    if (ioctl(device, NBD_SET_BLKSIZE, (unsigned long)PAGE) < 0 ||
        ioctl(device, NBD_SET_SIZE_BLOCKS, bytes / PAGE) < 0 ||
        ioctl(device, NBD_SET_TIMEOUT, CONNECTION_LIMIT) < 0 ||
        ioctl(device, NBD_SET_FLAGS, (unsigned long)flags) < 0 ||
        ioctl(device, NBD_SET_SOCK, fd) < 0)
        die("setting up " DEVICE);
    if (fork() == 0) {
        ioctl(device, NBD_DO_IT);
        _exit(0);
    }
    close(device);
    close(fd);
}

static void make_swap(uint64_t bytes)
{
    static struct swap_header h = {.version = 1, .signature = "SWAPSPACE2"};
    int fd;

    h.last_page = (uint32_t)(bytes / PAGE - 1);
    for (int tries = 0; tries < 1000; tries++) { /* until NBD_DO_IT has begun */
        fd = open(DEVICE, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            die(DEVICE);
        if (pwrite(fd, &h, sizeof(h), 0) == sizeof(h) && fsync(fd) == 0) {
            close(fd);
            if (swapon(DEVICE, 0) < 0)
                die("swapon");
            return;
        }
        close(fd);
        usleep(10000);
    }
    die("writing to " DEVICE);
}

static void set(const char *word)
{
    const char *equals = strchr(word, '=');
    char path[256];
    int n;

    if (!equals) {
        errno = EINVAL;
        die("%s", word);
    }
    n = (int)(equals - word);
    if (!strncmp(word, "lru_gen=", 8))
        snprintf(path, sizeof(path), "/sys/kernel/mm/lru_gen/enabled");
    else if (!strncmp(word, "scheduler=", 10))
        snprintf(path, sizeof(path), QUEUE "scheduler");
    else if (!strncmp(word, "read_ahead=", 11))
        snprintf(path, sizeof(path), QUEUE "read_ahead_kb");
    else
        snprintf(path, sizeof(path), "/proc/sys/vm/%.*s", n, word);
    put(path, equals + 1);
}

static void limit(unsigned long long mib)
{
    char text[32];

    mkdir(GROUPS, 0755);
    if (mount("cgroup2", GROUPS, "cgroup2", 0, NULL) < 0)
        die("mounting cgroup2");
    put(GROUPS "/cgroup.subtree_control", "+memory");
    if (mkdir(GROUP, 0755) < 0)
        die(GROUP);
    if (mib) {
        snprintf(text, sizeof(text), "%llu", mib * MIB);
        put(GROUP "/memory.max", text);
    }
}

/* A process that sends the counters to whoever connects. */
static void serve_counters(void)
{
    static const char *const files[] = {"/proc/vmstat", GROUP "/memory.stat"};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(STATS_PORT)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    char buf[16384];

    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s, 8) < 0)
        die("port %d", STATS_PORT);
    if (fork() != 0) {
        close(s);
        return;
    }
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int c = accept(s, NULL, NULL);

        for (size_t i = 0; c >= 0 && i < sizeof(files) / sizeof(files[0]); i++) {
            int fd = open(files[i], O_RDONLY);
            ssize_t n;

            while ((n = read(fd, buf, sizeof(buf))) > 0 && send(c, buf, (size_t)n, 0) > 0)
                ;
            close(fd);
        }
        close(c);
    }
}

int main(int argc, char **argv)
{
    uint64_t bytes;
    char pid[16];

    _Static_assert(sizeof(struct swap_header) == PAGE, "a swap header fills a page");
    if (argc < 4) {
        fprintf(stderr, "usage: remote_swap NBD-SERVER:PORT SIZE-MIB LOCAL-MIB KEY=VALUE...\n");
        return 125;
    }
    bytes = strtoull(argv[2], NULL, 10) * MIB;
    attach(argv[1], bytes);
    make_swap(bytes);
    for (int i = 4; i < argc; i++)
        set(argv[i]);
    limit(strtoull(argv[3], NULL, 10));
    serve_counters();
    snprintf(pid, sizeof(pid), "%d", getppid());
    put(GROUP "/cgroup.procs", pid);
    return 0;
}
