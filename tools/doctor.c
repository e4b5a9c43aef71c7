/* See doctor.h. */
#define _GNU_SOURCE
#include "doctor.h"

#include "accel.h"
#include "kimage.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define QEMU_LIMIT_MS 5000

static bool runnable = true;

enum need { REQUIRED, OPTIONAL };

static void line(bool ok, enum need need, const char *what, const char *text)
{
    printf("%-8s %-22s %s\n", ok ? "ok" : need == REQUIRED ? "MISSING" : "missing", what, text);
    if (!ok && need == REQUIRED)
        runnable = false;
}

static char *first_line(char *s)
{
    if (s)
        s[strcspn(s, "\n")] = '\0';
    return s;
}

/* What QEMU's network card can be told to offer (docs/pktgen.md), and its other ends. */
static void virtio(char *qemu)
{
    static const struct {
        const char *property, *what, *use, *without;
    } list[] = {
        {"event_idx", "virtio event index", "notifications and interrupts only where asked for",
         "each burst notifies"},
        {"indirect_desc", "virtio indirect",
         "a packet in several pieces takes one place in the ring",
         "each piece of a packet takes a place in the ring"},
        {"mrg_rxbuf", "virtio merged buffers", "large segments come in one piece",
         "segments come one by one"},
        {"packed", "virtio packed rings", "--net ...,packed=on", "--net ...,packed=on is refused"},
        {"in_order", "virtio in-order rings", "--net ...,in_order=on",
         "--net ...,in_order=on is refused; QEMU has it from 9.1 on"},
        {"mq", "virtio queue pairs", "--net ...,queues=N", "one pair only"},
    };
    char *card = capture((char *[]){qemu, "-device", "virtio-net-pci,help", NULL}, QEMU_LIMIT_MS);
    char *ends = capture((char *[]){qemu, "-netdev", "help", NULL}, QEMU_LIMIT_MS);
    char *objects = capture((char *[]){qemu, "-object", "help", NULL}, QEMU_LIMIT_MS);

    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        char *entry = xasprintf("\n  %s=", list[i].property);
        bool has = card && strstr(card, entry);
        line(has, OPTIONAL, list[i].what, has ? list[i].use : list[i].without);
        free(entry);
    }
    bool peer = ends && strstr(ends, "\nvhost-user\n");
    bool shared = objects && strstr(objects, "memory-backend-memfd");
    line(peer && shared, OPTIONAL, "vhost-user",
         !peer     ? "this QEMU has no such network back end"
         : !shared ? "this QEMU cannot share memory (memory-backend-memfd)"
                   : "--net vhost-user:SOCKET,... with --machine q35, for wherry pktgen");
    free(card);
    free(ends);
    free(objects);
}

static void qemu(void)
{
    char *path = find_program("qemu-system-x86_64");

    if (!path) {
        line(false, REQUIRED, "QEMU", "apt-get install qemu-system-x86");
        return;
    }
    char *version = first_line(capture((char *[]){path, "-version", NULL}, QEMU_LIMIT_MS));
    line(version != NULL, REQUIRED, "QEMU", version ? version : "does not run");
    char *list = capture((char *[]){path, "-machine", "help", NULL}, QEMU_LIMIT_MS);
    struct strbuf have = {0};
    static const char *const machines[] = {"microvm", "q35", "pc"};
    sb_add(&have, "", 0);
    bool all = list != NULL;
    for (size_t i = 0; list && i < ARRAY_LEN(machines); i++) {
        char *entry = xasprintf("\n%s ", machines[i]);
        bool found = strstr(list, entry) != NULL;
        sb_addf(&have, "%s%s%s", have.len ? ", " : "", found ? "" : "no ", machines[i]);
        all &= found;
        free(entry);
    }
    line(all, OPTIONAL, "machine types", have.s);
    bool qboot = access("/usr/share/qemu/qboot.rom", R_OK) == 0;
    line(qboot, OPTIONAL, "qboot firmware",
         qboot ? "q35 and pc boot without a BIOS's delay"
               : "q35 and pc boot through SeaBIOS, 1.5 s slower: apt-get install qemu-system-data");
    virtio(path);
    free(have.s);
    free(list);
    free(version);
    free(path);
}

/* wherry pktgen is a program of its own beside this one, made where DPDK is. */
static void pktgen(void)
{
    char *self = own_path(), *at = strrchr(self, '/');
    char *generator = xasprintf("%.*s/wherry-pktgen", (int)(at - self), self);
    char *config = find_program("pkg-config");
    char *version = config ? first_line(capture((char *[]){config, "--modversion", "libdpdk", NULL},
                                                QEMU_LIMIT_MS))
                           : NULL;
    bool dpdk = version && *version, built = access(generator, X_OK) == 0;
    char *text = built ? xasprintf("wherry pktgen can be used%s%s",
                                   dpdk ? "; installed is DPDK " : "", dpdk ? version : "")
                 : dpdk
                     ? xasprintf("DPDK %s is there, but wherry-pktgen is not: make", version)
                     : xasprintf("for wherry pktgen and udpkv-dpdk: scripts/deps dpdk, then make");

    line(built, OPTIONAL, "DPDK", text);
    free(text);
    free(version);
    free(config);
    free(generator);
    free(self);
}

static void kvm(void)
{
    const struct kvm_state *k = kvm_measure();
    char text[256];

    if (k->usable)
        snprintf(text, sizeof(text), "real: %.1f ns a loop", k->ns_per_loop);
    else
        snprintf(text, sizeof(text), "%s; guests run under TCG",
                 k->exists ? k->problem : "no /dev/kvm");
    line(k->usable, OPTIONAL, "KVM", text);
}

static void network(void)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    line(fd >= 0, OPTIONAL, "tun/tap",
         fd >= 0 ? "/dev/net/tun opens (making an interface needs CAP_NET_ADMIN)"
                 : strerror(errno));
    if (fd >= 0)
        close(fd);
    /* In a child: unshare cannot be undone. */
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) == 0 ? 0 : 1);
    int status = 1;
    waitpid(pid, &status, 0);
    line(status == 0, OPTIONAL, "network namespaces",
         status == 0 ? "can be made: tests and benchmarks can use taps of their own"
                     : "cannot be made: benchmarks use user networking");
}

static void kernels(void)
{
    char *p = kimage_wherry();

    line(p != NULL, REQUIRED, "Wherry kernel", p ? p : "run make, or set WHERRY_KERNEL");
    free(p);
    p = kimage_linux();
    line(p != NULL, OPTIONAL, "Linux kernel",
         p ? p : "for comparisons: apt-get install linux-image-cloud-amd64");
    free(p);
}

static long meminfo(const char *text, const char *key)
{
    const char *p = text ? strstr(text, key) : NULL;

    return p ? atol(p + strlen(key)) : 0;
}

static void resources(void)
{
    char *info = read_text("/proc/meminfo"), text[128];
    char *thp = first_line(read_text("/sys/kernel/mm/transparent_hugepage/enabled"));
    long cores = sysconf(_SC_NPROCESSORS_ONLN), pages = meminfo(info, "HugePages_Total:");

    snprintf(text, sizeof(text), "%ld%s", cores,
             cores < 2 ? " (a guest and its client share it: measurements will not be good)" : "");
    line(cores >= 2, OPTIONAL, "cores", text);
    long mib = meminfo(info, "MemAvailable:") / 1024;
    snprintf(text, sizeof(text), "%ld MiB available", mib);
    line(mib >= 512, OPTIONAL, "memory", text);
    snprintf(text, sizeof(text), "%ld reserved of %ld KiB; transparent: %s", pages,
             meminfo(info, "Hugepagesize:"), thp ? thp : "no");
    line(pages > 0 || (thp && !strstr(thp, "[never]")), OPTIONAL, "huge pages", text);
    free(info);
    free(thp);
}

static void programs(void)
{
    static const struct {
        const char *program, *package, *use;
    } list[] = {
        {"redis-server", "redis-server", "demo"},
        {"redis-cli", "redis-tools", "demo, tests"},
        {"redis-benchmark", "redis-tools", "demo, benchmarks"},
        {"memcached", "memcached", "tests"},
        {"memccapable", "libmemcached-tools", "tests"},
        {"nginx", "nginx-light", "tests, benchmarks"},
        {"lighttpd", "lighttpd", "tests"},
        {"unbound", "unbound", "tests"},
        {"knotd", "knot", "tests"},
        {"python3", "python3", "tests"},
        {"busybox", "busybox-static", "tests"},
        {"wrk", "wrk", "benchmarks"},
        {"dnsperf", "dnsperf", "tests, benchmarks"},
        {"httperf", "httperf", "benchmarks"},
        {"dpdk-testpmd", "dpdk-dev", "pktgen is built with DPDK"},
        {"gdb", "gdb", "--gdb"},
        {"ip", "iproute2", "tap networking"},
        {"prove", "perl", "tests"},
    };

    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        char *p = find_program(list[i].program);
        char *text = p ? xasprintf("%s (%s)", p, list[i].use)
                       : xasprintf("for %s: apt-get install %s", list[i].use, list[i].package);
        line(p != NULL, OPTIONAL, list[i].program, text);
        free(text);
        free(p);
    }
}

int doctor_main(int argc, char **argv)
{
    if (argc > 0 && (strcmp(argv[0], "-h") == 0 || strcmp(argv[0], "--help") == 0)) {
        printf("Usage: wherry doctor\n"
               "Prints what this host has for running guests; exits with 0 if they can run.\n");
        return 0;
    }
    if (argc > 0)
        die("doctor takes no arguments, got %s", argv[0]);
    kernels();
    qemu();
    kvm();
    network();
    resources();
    pktgen();
    programs();
    printf("\n%s\n", runnable ? "Guests can run on this host."
                              : "Guests cannot run yet: see the lines marked MISSING.");
    return runnable ? 0 : 1;
}
