/* See run.h and options.h. */
#define _GNU_SOURCE
#include "run.h"

#include "accel.h"
#include "archive.h"
#include "cpio.h"
#include "kcmdline.h"
#include "linux_guest.h"
#include "rootfs.h"
#include "supervise.h"
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What a kernel needs beside the root file system before it can start a program. Linux unpacks a
 * copy, and its own image, page array and buffers take about 60 MiB. */
#define WHERRY_EXTRA MIB(4)
#define LINUX_EXTRA  MIB(64)
/* The same behind an image that is the application itself: tables, devices and their buffers, a
 * stack. What the program asks for itself is its own concern. */
#define NATIVE_EXTRA (768 * 1024ull)
/* --root auto: memory is this many times the root file system, or that is left on a disk. */
#define ROOT_IN_MEMORY 2
/* What the guest finds it by (kernel/drivers/virtio/blk.c): the first disk. */
#define ROOT_DISK_WORD "wherry.root=vda"

/* From the composition of the command line to the start of the machine: what the monitor takes.
 * The guest adds the time of its firmware. */
#define START_MS 80

/* Linux panics with more words for init than this (CONFIG_INIT_ENV_ARG_LIMIT, less its own). */
#define LINUX_INIT_WORDS 30

struct run {
    struct run_options opt;
    struct kimage kernel;
    const struct vmm *vmm;
    struct rootfs root;
    int initrd;   /* descriptor of the packed archive; -1: the image needs none */
    bool on_disk; /* it is a disk, not the initrd */
    uint64_t initrd_size, unpacked_size;
    struct vm vm;
    char *program; /* of the monitor; NULL in a dry run without it */
};

static bool on_mmio(const struct run_options *o)
{
    return o->machine == MACHINE_MICROVM || o->machine == MACHINE_MICROVM_NOACPI;
}

static void write_tree(const struct tree *t, int fd, uint64_t *size)
{
    struct why w;

    if (!cpio_write(t, fd, size, &w))
        die("%s", w.text);
}

/* Packs the tree, compressed if asked; for Linux, behind the archive with its init. */
static void pack(struct run *r)
{
    struct why w;
    int plain;
    uint64_t size;

    if (r->root.native_kernel)
        return;
    r->initrd = plain = temp_file("wherry-rootfs");
    if (r->kernel.kind == KERNEL_LINUX) {
        struct tree extra;
        tree_init(&extra);
        linux_guest_fill(&extra, &r->kernel, on_mmio(&r->opt), r->opt.net[0].kind != NET_NONE,
                         &r->opt.modules);
        write_tree(&extra, plain, &r->initrd_size);
        tree_free(&extra);
        r->initrd_size = (r->initrd_size + CPIO_ALIGN - 1) & ~(uint64_t)(CPIO_ALIGN - 1);
        if (ftruncate(plain, r->initrd_size) < 0 || lseek(plain, 0, SEEK_END) < 0)
            die("packing the root file system: %s", strerror(errno));
    }
    if (r->opt.compression == COMPRESS_NONE) {
        write_tree(&r->root.tree, plain, &size);
        r->initrd_size += size;
        r->unpacked_size = size;
        return;
    }
    int raw = temp_file("wherry-plain");
    write_tree(&r->root.tree, raw, &r->unpacked_size);
    if (!archive_compress(raw, r->unpacked_size, plain, compression_names[r->opt.compression], &w))
        die("compressing the root file system: %s", w.text);
    close(raw);
    r->initrd_size = lseek(plain, 0, SEEK_END);
}

/* Is the root file system a disk? Only Wherry reads the archive from there. */
static void choose_root(struct run *r)
{
    const struct run_options *o = &r->opt;

    if (o->root == ROOT_DISK) {
        if (r->kernel.kind != KERNEL_WHERRY)
            die("--root disk is Wherry's own; Linux takes its root file system as an initrd");
        if (!r->vmm->can_disk)
            die("--root disk needs --vmm qemu");
        if (o->compression != COMPRESS_NONE)
            die("--root disk and --compress exclude each other: the disk is read piecewise");
    }
    r->on_disk = o->root == ROOT_DISK ||
                 (o->root == ROOT_AUTO && r->kernel.kind == KERNEL_WHERRY && r->vmm->can_disk &&
                  o->compression == COMPRESS_NONE && !r->root.native_kernel &&
                  r->initrd_size * ROOT_IN_MEMORY > MIB(o->memory_mib));
    if (!r->on_disk)
        return;
    /* A disk consists of whole sectors. */
    r->initrd_size = (r->initrd_size + CPIO_ALIGN - 1) & ~(uint64_t)(CPIO_ALIGN - 1);
    if (ftruncate(r->initrd, r->initrd_size) < 0)
        die("packing the root file system: %s", strerror(errno));
    if (o->root == ROOT_AUTO)
        detail("the root file system is left on a disk (--root auto)");
}

/* Memory with which the guest can start; copies: of the root file system beside the packed one. */
static uint64_t memory_needed(const struct run *r, unsigned copies)
{
    if (r->root.native_kernel)
        return r->kernel.end + NATIVE_EXTRA;
    if (r->on_disk)
        return WHERRY_EXTRA;
    return r->initrd_size + copies * r->unpacked_size +
           (r->kernel.kind == KERNEL_LINUX ? LINUX_EXTRA : WHERRY_EXTRA);
}

/* A file that does not fit makes a guest that dies without a word: say so before. */
static void check_memory(const struct run *r)
{
    bool copied = r->kernel.kind == KERNEL_LINUX || r->opt.compression != COMPRESS_NONE;
    uint64_t need = memory_needed(r, copied ? 1 : 0);

    bool disk = r->kernel.kind == KERNEL_WHERRY && r->vmm->can_disk && !r->on_disk;

    if (r->root.native_kernel && need > MIB(r->opt.memory_mib))
        die("%s does not fit into %llu MiB of memory; give the machine at least -m %lluM",
            r->root.native_kernel, (unsigned long long)r->opt.memory_mib,
            (unsigned long long)(need + MIB(1) - 1) >> 20);
    if (need > MIB(r->opt.memory_mib)) {
        char *size = human_size(r->unpacked_size);
        die("the root file system (%s) does not fit into %llu MiB of memory; give the machine at "
            "least -m %lluM%s",
            size, (unsigned long long)r->opt.memory_mib,
            (unsigned long long)(need + MIB(1) - 1) >> 20,
            disk ? ", or leave it on a disk (--root disk)" : "");
    }
}

static void keep_initrd(const struct run *r)
{
    const char *path = r->opt.initrd_out;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    char buf[65536];
    ssize_t n;

    if (fd < 0)
        die("--initrd-out %s: %s", path, strerror(errno));
    for (uint64_t at = 0; (n = pread(r->initrd, buf, sizeof(buf), at)) > 0; at += n)
        if (!write_all(fd, buf, n))
            die("--initrd-out %s: %s", path, strerror(errno));
    if (n < 0 || close(fd) < 0)
        die("--initrd-out %s: %s", path, strerror(errno));
}

static void add_word(struct strbuf *line, const char *word)
{
    struct why w;

    if (!kcmdline_add(line, word, &w))
        die("%s", w.text);
}

static char *kernel_cmdline(struct run *r)
{
    const struct run_options *o = &r->opt;
    bool is_linux = r->kernel.kind == KERNEL_LINUX;
    struct strbuf line = {0};
    struct words extra = {0};
    struct why w;
    char *word;
    struct timespec now;

    add_word(&line, "console=ttyS0");
    if (r->root.program) {
        word = xasprintf("init=%s", r->root.program);
        add_word(&line, word);
        free(word);
    }
    if (is_linux) {
        add_word(&line, "rdinit=" LINUX_INIT);
        sb_addf(&line, " panic=-1 quiet loglevel=3");
        /* Linux's tmpfs takes at most half of what memory is left; ramfs has no such limit, but
         * lacks fallocate and extended attributes. */
        if (memory_needed(r, 2) > MIB(o->memory_mib))
            sb_addf(&line, " rootfstype=ramfs");
    } else if (verbosity < VERBOSE) { /* else the kernel says what it negotiates with devices */
        add_word(&line, "quiet");
    }
    if (!r->vm.kvm) /* calibration against emulated timers is slow and at times never ends */
        sb_addf(&line, " tsc_early_khz=%u", tsc_khz());
    if (!r->vm.kvm && is_linux) /* not the CPU that is kept free (vmm_qemu.c) */
        sb_addf(&line, " nr_cpus=%u", o->cpus);
    for (size_t i = 0; i < o->nr_nets; i++) {
        word = netspec_ip_word(&o->net[i], i);
        if (word)
            add_word(&line, word);
        free(word);
    }
    if (r->on_disk)
        add_word(&line, ROOT_DISK_WORD);
    if (r->vmm->kernel_words)
        r->vmm->kernel_words(&r->vm, &extra);
    for (size_t i = 0; i < extra.n; i++)
        add_word(&line, extra.v[i]);
    /* The machine's own clock chip tells seconds only; the guest's shall agree with the host's. */
    if (!o->dry_run && clock_gettime(CLOCK_REALTIME, &now) == 0)
        sb_addf(&line, " wherry.time=%llu",
                now.tv_sec * 1000ull + now.tv_nsec / 1000000 + START_MS);
    if (r->vmm->reports_status)
        sb_addf(&line, " wherry.statusport=0x%x", STATUS_PORT);
    if (o->strace) {
        word = xasprintf("wherry.strace%s%s", *o->strace ? "=" : "", o->strace);
        add_word(&line, word);
        free(word);
    }
    for (size_t i = 0; i < o->append.n; i++)
        sb_addf(&line, " %s", o->append.v[i]);
    for (size_t i = 0; i < o->env.n; i++)
        if (!kcmdline_add_env(&line, o->env.v[i], &w))
            die("%s", w.text);
    if (o->args.n)
        sb_addf(&line, " --");
    for (size_t i = 0; i < o->args.n; i++)
        if (!kcmdline_add(&line, o->args.v[i], &w))
            die("argument %zu: %s", i + 1, w.text);
    if (line.len >= KCMDLINE_MAX)
        die("the arguments and environment are too long: %zu bytes, and a kernel command line "
            "holds "
            "%d",
            line.len, KCMDLINE_MAX - 1);
    if (is_linux && (o->args.n > LINUX_INIT_WORDS || o->env.n > LINUX_INIT_WORDS - 2))
        die("Linux takes at most %d arguments and %d environment words from its command line",
            LINUX_INIT_WORDS, LINUX_INIT_WORDS - 2);
    words_free(&extra);
    return line.s;
}

static void choose_accel(struct run *r)
{
    const struct run_options *o = &r->opt;

    if (o->accel == ACCEL_TCG || (o->dry_run && o->accel == ACCEL_AUTO && !r->vmm->can_tcg)) {
        r->vm.kvm = !r->vmm->can_tcg;
    } else {
        const struct kvm_state *k = kvm_measure();
        r->vm.kvm = o->accel == ACCEL_KVM || k->usable;
        if (k->usable)
            detail("KVM is real: %.1f ns a loop", k->ns_per_loop);
        else if (o->accel == ACCEL_KVM && !k->ns_per_loop && !o->dry_run)
            die("--accel kvm: %s", k->problem);
        else if (k->exists)
            detail("KVM is not used: %s", k->problem);
        if (!r->vm.kvm && !r->vmm->can_tcg)
            die("%s needs KVM: %s", r->vmm->name, k->problem);
    }
    if (o->accel == ACCEL_TCG && !r->vmm->can_tcg)
        die("--accel tcg is QEMU's; %s needs KVM", r->vmm->name);
}

static void check(struct run *r)
{
    const struct run_options *o = &r->opt;
    struct why w;

    if (r->kernel.kind == KERNEL_LINUX) {
        if (o->strace)
            die("--strace is Wherry's own; in a Linux guest run strace itself");
        for (size_t i = 0; i < o->nr_nets; i++)
            if (o->net[i].dhcp)
                die("the Linux guest's init has no DHCP client; give it a fixed address with --net "
                    "user or tap:IF,ip=ADDRESS/BITS");
        if (r->root.native_kernel)
            die("%s is a kernel with its application inside; it does not run on Linux", o->image);
    }
    if (r->root.native_kernel &&
        (o->nr_volumes || o->rootfs || o->initrd_out || o->root == ROOT_DISK))
        die("%s is a kernel with its application inside; it has no root file system", o->image);
    if (o->modules.n && r->kernel.kind != KERNEL_LINUX)
        die("--module is for --kernel linux");
    if (o->cpus > 1 && r->kernel.kind == KERNEL_WHERRY)
        die("--cpus %u: Wherry runs on one CPU", o->cpus);
    if (o->cpus > 1 && r->vmm != &vmm_qemu)
        die("--cpus needs --vmm qemu");
    if (o->gdb_port && !r->vmm->can_gdb)
        die("--gdb needs --vmm qemu");
    if (!r->vmm->check(&r->vm, &w))
        die("%s", w.text);
}

static void print_node(void *ctx, struct node *n, const char *path)
{
    const struct inode *i = n->inode;
    char type = S_ISDIR(i->mode)    ? 'd'
                : S_ISLNK(i->mode)  ? 'l'
                : S_ISCHR(i->mode)  ? 'c'
                : S_ISBLK(i->mode)  ? 'b'
                : S_ISFIFO(i->mode) ? 'p'
                                    : '-';

    (void)ctx;
    printf("%c%04o %5u %5u %9llu %s%s%s\n", type, (unsigned)i->mode & 07777, i->uid, i->gid,
           (unsigned long long)i->size, path, type == 'l' ? " -> " : "",
           type == 'l' ? (const char *)i->data : "");
}

static void dry_run(struct run *r)
{
    struct words argv = {0};
    struct strbuf config = {0}, line = {0};

    if (r->initrd >= 0)
        *(r->on_disk ? &r->vm.disk : &r->vm.initrd) =
            r->opt.initrd_out ? r->opt.initrd_out : "rootfs.cpio";
    r->vm.status_path = "status.txt";
    r->vmm->command(&r->vm, &argv, &config);
    sb_addf(&line, "%s", r->program ? r->program : r->vmm->name);
    for (size_t i = 0; i < argv.n; i++) {
        sb_addf(&line, " ");
        shell_quote(&line, strcmp(argv.v[i], CONFIG_PLACEHOLDER) ? argv.v[i] : "config.json");
    }
    printf("%s\n", line.s);
    if (config.s)
        printf("\n# config.json\n%s", config.s);
    if (r->initrd >= 0) {
        printf("\n# root file system, %llu bytes packed\n", (unsigned long long)r->initrd_size);
        tree_walk(&r->root.tree, print_node, NULL);
    }
    free(line.s);
    free(config.s);
    words_free(&argv);
}

static void announce(const struct run *r)
{
    const struct run_options *o = &r->opt;
    struct strbuf b = {0};
    char *size = human_size(r->initrd_size);

    sb_addf(&b, "%s on %s (%s, %s, %llu MiB)",
            r->root.program ? r->root.program : r->root.native_kernel,
            r->kernel.kind == KERNEL_LINUX ? "Linux" : "Wherry",
            r->vmm == &vmm_qemu ? machine_names[o->machine] : r->vmm->name,
            r->vm.kvm ? "KVM" : "TCG", (unsigned long long)o->memory_mib);
    if (r->initrd >= 0)
        sb_addf(&b, ", root file system %s", size);
    for (size_t i = 0; i < o->nr_ports; i++)
        sb_addf(&b, "%s %s:%u -> %u/%s", i ? "," : "; ports", o->ports[i].address, o->ports[i].host,
                o->ports[i].guest, o->ports[i].udp ? "udp" : "tcp");
    for (size_t i = 0; i < o->nr_nets; i++)
        if ((o->net[i].kind == NET_TAP || net_kind_is_socket(o->net[i].kind)) && !o->net[i].dhcp)
            sb_addf(&b, "; address %s", o->net[i].ip);
    note("%s", b.s);
    free(b.s);
    free(size);
}

static void announce_gdb(const struct run *r)
{
    struct strbuf b = {0};

    if (!r->opt.gdb_port)
        return;
    sb_addf(&b, "gdb");
    if (r->kernel.symbols) {
        sb_addf(&b, " ");
        shell_quote(&b, r->kernel.symbols);
    }
    sb_addf(&b, " -ex 'target remote 127.0.0.1:%u'", r->opt.gdb_port);
    if (r->root.host_program && r->kernel.kind == KERNEL_WHERRY) {
        /* Where a position-independent program lies is known once the kernel has loaded it. */
        struct strbuf cmd = {0};
        sb_addf(&cmd, "add-symbol-file %s -o mm_layout.code_start", r->root.host_program);
        sb_addf(&b, " -ex 'hbreak build_stack' -ex continue -ex ");
        shell_quote(&b, cmd.s);
        free(cmd.s);
    }
    /* Shown even when quiet: without it the option has no use. */
    fprintf(stderr, "wherry: waiting for the debugger: %s\n", b.s);
    free(b.s);
}

/* The line that explains an end without a status from the guest, and the exit status. */
static int conclude(const struct run *r, const struct guest_end *end)
{
    if (end->timed_out) {
        note("ended after %u seconds (--timeout)", r->opt.timeout_s);
        return EXIT_TIMEOUT;
    }
    if (end->signal)
        return 128 + end->signal;
    if (end->status >= 0 && end->status <= 255)
        return end->status;
    if (end->status > 255)
        die("the guest reported a status that is none: %d", end->status);
    if (WIFSIGNALED(end->vmm_status))
        die("%s was killed by signal %d", r->vmm->name, WTERMSIG(end->vmm_status));
    if (WEXITSTATUS(end->vmm_status) != 0)
        die("%s failed%s%s", r->vmm->name, *end->vmm_error ? ": " : "", end->vmm_error);
    if (!r->vmm->reports_status) {
        note("%s does not carry the guest's exit status; 0 means that it powered off",
             r->vmm->name);
        return 0;
    }
    die("the guest ended without an exit status");
}

static int start(struct run *r)
{
    struct words argv = {0};
    struct strbuf config = {0};
    struct guest_end end;
    int status[2] = {-1, -1}, inherit[3];
    size_t n = 0;

    if (pipe2(status, O_CLOEXEC) < 0)
        die("pipe: %s", strerror(errno));
    inherit[n++] = status[1];
    if (r->initrd >= 0)
        inherit[n++] = r->initrd;
    char *initrd = xasprintf("/proc/self/fd/%d", r->initrd);
    char *status_path = xasprintf("/proc/self/fd/%d", status[1]);
    if (r->initrd >= 0)
        *(r->on_disk ? &r->vm.disk : &r->vm.initrd) = initrd;
    r->vm.status_path = status_path;
    words_add(&argv, r->program);
    r->vmm->command(&r->vm, &argv, &config);
    if (config.s) {
        int fd = temp_file("wherry-config");
        if (!write_all(fd, config.s, config.len))
            die("writing the VMM's configuration: %s", strerror(errno));
        inherit[n++] = fd;
        for (size_t i = 0; i < argv.n; i++) {
            if (strcmp(argv.v[i], CONFIG_PLACEHOLDER) == 0) {
                free(argv.v[i]);
                argv.v[i] = xasprintf("/proc/self/fd/%d", fd);
            }
        }
    }
    announce(r);
    announce_gdb(r);
    struct vmm_process process = {r->program, argv.v,           inherit,      n,
                                  status[0],  r->opt.timeout_s, r->opt.ports, r->opt.nr_ports};
    supervise(&process, &end);
    words_free(&argv);
    free(config.s);
    free(initrd);
    free(status_path);
    return conclude(r, &end);
}

int run_main(int argc, char **argv)
{
    struct run r = {.initrd = -1};
    struct why w;
    int status = 0;

    options_parse(&r.opt, argc, argv);
    r.vmm = vmm_by_name(r.opt.vmm);
    rootfs_pack(&r.root, &r.opt);
    kimage_find(r.root.native_kernel ? r.root.native_kernel : r.opt.kernel, &r.kernel);
    r.vm = (struct vm){.opt = &r.opt, .kernel = &r.kernel};
    for (size_t i = 0; i < r.opt.nr_nets; i++)
        netspec_mac(&r.opt.net[i], i, r.vm.mac[i]);
    check(&r);
    choose_accel(&r);
    pack(&r);
    choose_root(&r);
    check_memory(&r);
    if (r.on_disk)
        r.vm.disk = "";
    char *cmdline = kernel_cmdline(&r);
    r.vm.cmdline = cmdline;
    if (r.opt.initrd_out)
        keep_initrd(&r);
    detail("kernel command line: %s", cmdline);
    if (r.opt.dry_run) {
        r.program = find_program(r.vmm == &vmm_qemu ? "qemu-system-x86_64" : r.vmm->name);
        dry_run(&r);
    } else {
        r.program = r.vmm->program();
        if (!ports_free(r.opt.ports, r.opt.nr_ports, &w))
            die("%s", w.text);
        for (size_t i = 0; i < r.opt.nr_nets; i++)
            if (!netspec_check(&r.opt.net[i], &w))
                die("%s", w.text);
        status = start(&r);
    }
    free(cmdline);
    free(r.program);
    kimage_free(&r.kernel);
    rootfs_free(&r.root);
    return status;
}
