/* See options.h. One table holds every option with its help. */
#define _GNU_SOURCE
#include "options.h"

#include "kimage.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const machine_names[] = {"microvm", "microvm-noacpi", "q35", "pc", NULL};
const char *const compression_names[] = {"none", "gzip", "zstd", NULL};
static const char *const accel_names[] = {"auto", "kvm", "tcg", NULL};
static const char *const root_names[] = {"auto", "initrd", "disk", NULL};
static const char *const vmm_names[] = {"qemu", "firecracker", "cloud-hypervisor", NULL};

#define GDB_PORT 1234
#define CPUS_MAX 64

static int one_of(const char *option, const char *value, const char *const *names)
{
    struct strbuf list = {0};

    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], value) == 0)
            return i;
    for (int i = 0; names[i]; i++)
        sb_addf(&list, "%s%s", i ? ", " : "", names[i]);
    die("%s %s: one of %s", option, value, list.s);
}

static unsigned long number(const char *option, const char *s, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(s, &end, 10);

    if (*s < '0' || *s > '9' || *end || n < 1 || n > max)
        die("%s %s: a number from 1 to %lu", option, s, max);
    return n;
}

static void set_memory(struct run_options *o, const char *s)
{
    char *end;
    double n = *s >= '0' && *s <= '9' ? strtod(s, &end) : 0;
    const char *unit = n > 0 ? end : "";
    uint64_t mib;

    if (n > 0 &&
        (!*unit || !strcasecmp(unit, "m") || !strcasecmp(unit, "mb") || !strcasecmp(unit, "mib")))
        mib = n;
    else if (n > 0 &&
             (!strcasecmp(unit, "g") || !strcasecmp(unit, "gb") || !strcasecmp(unit, "gib")))
        mib = n * 1024;
    else
        die("-m %s: write a size like 256M or 2G", s);
    if (mib < MEMORY_MIB_MIN || mib > MEMORY_MIB_MAX)
        die("-m %s: from %dM to %dG", s, MEMORY_MIB_MIN, MEMORY_MIB_MAX / 1024);
    o->memory_mib = mib;
}

static void add_port(struct run_options *o, const char *s)
{
    struct why w;

    o->ports = xrealloc(o->ports, (o->nr_ports + 1) * sizeof(o->ports[0]));
    if (!port_parse(s, &o->ports[o->nr_ports++], &w))
        die("%s", w.text);
}

static void add_volume(struct run_options *o, const char *s)
{
    struct volume v = {.host = xstrdup(s)};
    size_t n = strlen(s);

    if (n > 3 && strcmp(s + n - 3, ":ro") == 0) {
        v.read_only = true;
        v.host[n - 3] = '\0';
    } else if (n > 3 && strcmp(s + n - 3, ":rw") == 0) {
        die("-v %s: files are copied into the guest, so its changes cannot reach the host; leave "
            "out :rw",
            s);
    }
    char *colon = strrchr(v.host, ':');
    if (colon) {
        *colon = '\0';
        v.guest = xstrdup(colon + 1);
    } else {
        v.guest = xstrdup(v.host);
    }
    if (!*v.host || v.guest[0] != '/')
        die("-v %s: write HOST:GUEST[:ro] with an absolute guest path", s);
    o->volumes = xrealloc(o->volumes, (o->nr_volumes + 1) * sizeof(v));
    o->volumes[o->nr_volumes++] = v;
}

static void set_net(struct run_options *o, const char *s)
{
    struct why w;

    if (o->nr_nets == 1 && o->net[0].kind == NET_NONE) /* none until now */
        o->nr_nets = 0;
    if (o->nr_nets == NETS_MAX)
        die("--net %s: a guest has at most %d network cards", s, NETS_MAX);
    if (!netspec_parse(s, &o->net[o->nr_nets++], &w))
        die("%s", w.text);
}

static void add_far(struct run_options *o, const char *s)
{
    struct why w;

    if (o->nr_fars == FARS_MAX)
        die("--far %s: at most %d memory nodes", s, FARS_MAX);
    if (!farspec_parse(s, &o->far[o->nr_fars++], &w))
        die("%s", w.text);
}

static void add_env(struct run_options *o, const char *s)
{
    const char *value;

    if (strchr(s, '=')) {
        words_add(&o->env, s);
        return;
    }
    value = getenv(s); /* as docker's -e NAME */
    if (!value)
        die("-e %s: write NAME=VALUE (%s is not set here either)", s, s);
    words_addf(&o->env, "%s=%s", s, value);
}

enum id {
    OPT_MEMORY,
    OPT_PORT,
    OPT_NET,
    OPT_ENV,
    OPT_VOLUME,
    OPT_ROOTFS,
    OPT_KERNEL,
    OPT_MACHINE,
    OPT_VMM,
    OPT_ACCEL,
    OPT_CPU,
    OPT_CPUS,
    OPT_STRACE,
    OPT_GDB,
    OPT_DRY_RUN,
    OPT_TIMEOUT,
    OPT_APPEND,
    OPT_MODULE,
    OPT_FAR,
    OPT_INITRD_OUT,
    OPT_COMPRESS,
    OPT_ROOT,
    OPT_VMM_ARG,
    OPT_QUIET,
    OPT_VERBOSE,
    OPT_HELP,
};

enum arg { NO_ARG, ARG, MAYBE_ARG /* only as --name=VALUE */ };

static const struct option {
    enum id id;
    const char *name;
    char letter;
    enum arg arg;
    const char *value, *help;
} options[] = {
    {OPT_MEMORY, "memory", 'm', ARG, "SIZE", "memory of the machine, as 64M or 1G (default 256M)"},
    {OPT_PORT, "publish", 'p', ARG, "[ADDR:]HOST:GUEST[/udp]",
     "forward a port of this host (127.0.0.1) to the guest; repeatable"},
    {OPT_NET, "net", 0, ARG, "NET",
     "user (default), dhcp (user, configured by DHCP), none,\n"
     "tap:IF,ip=ADDRESS/BITS[,gw=ADDRESS][,dns=ADDRESS] or tap:IF,ip=dhcp,\n"
     "vhost-user:SOCKET,ip=ADDRESS/BITS[,gw=ADDRESS]: a peer such as wherry pktgen;\n"
     "unix:SOCKET,ip=ADDRESS/BITS[,gw=ADDRESS]: frames over a socket, as of wherry memnode;\n"
     "more words for the device: mtu=9000, mrg_rxbuf=off, packed=on, event_idx=off, "
     "rx_queue_size=1024,\n"
     "queues=2; repeatable: another card"},
    {OPT_FAR, "far", 0, ARG, "NODE[,WORDS]",
     "memory of a wherry memnode for pages that are not in use; NODE: ADDRESS[:PORT],\n"
     "unix:SOCKET or vhost-user:SOCKET[,ip=ADDRESS]; WORDS: size=1G (needed), copies=1,\n"
     "local=64M or 25%, prefetch=none|sequential|trend|guide:NAME,\n"
     "verify=checksum|encrypt|off, key=FILE;\n"
     "repeatable: another node, a mirror if copies= does not say otherwise"},
    {OPT_ENV, "env", 'e', ARG, "NAME=VALUE", "environment of the program; repeatable"},
    {OPT_VOLUME, "volume", 'v', ARG, "HOST[:GUEST][:ro]",
     "copy a file or directory into the guest (its changes stay there);\n"
     "ro: without write permissions; repeatable"},
    {OPT_ROOTFS, "rootfs", 0, ARG, "DIR|CPIO|TAR",
     "the whole root file system; the program is a path in it"},
    {OPT_KERNEL, "kernel", 0, ARG, "wherry|linux|PATH", "the kernel to boot (default wherry)"},
    {OPT_MACHINE, "machine", 0, ARG, "NAME", "microvm (default), microvm-noacpi, q35, pc"},
    {OPT_VMM, "vmm", 0, ARG, "NAME", "qemu (default), firecracker, cloud-hypervisor"},
    {OPT_ACCEL, "accel", 0, ARG, "NAME", "auto (default: kvm if it measures as real), kvm, tcg"},
    {OPT_CPU, "cpu", 0, ARG, "MODEL", "QEMU's CPU model (default host with kvm, max with tcg)"},
    {OPT_CPUS, "cpus", 0, ARG, "N", "virtual CPUs of a Linux guest (default 1; Wherry has one)"},
    {OPT_APPEND, "append", 0, ARG, "WORDS", "more words for the kernel's command line"},
    {OPT_MODULE, "module", 0, ARG, "NAME",
     "load this driver, too, in a Linux guest, as nbd; repeatable"},
    {OPT_VMM_ARG, "vmm-arg", 0, ARG, "WORD",
     "one more word for the VMM's command line; repeatable"},
    {OPT_STRACE, "strace", 0, MAYBE_ARG, "[=CALL,...]",
     "print the program's system calls, or those named"},
    {OPT_GDB, "gdb", 0, MAYBE_ARG, "[=PORT]",
     "wait for gdb before the first instruction (default port 1234)"},
    {OPT_TIMEOUT, "timeout", 0, ARG, "SECONDS", "end the guest after this time, with status 124"},
    {OPT_DRY_RUN, "dry-run", 0, NO_ARG, NULL,
     "print the VMM's command line and the root file system, start nothing"},
    {OPT_INITRD_OUT, "initrd-out", 0, ARG, "FILE", "keep the packed root file system"},
    {OPT_COMPRESS, "compress", 0, ARG, "METHOD", "pack it as none (default), gzip or zstd"},
    {OPT_ROOT, "root", 0, ARG, "WHERE",
     "where the guest finds the root file system: initrd (in its memory), disk (read as\n"
     "it is used: Wherry and QEMU only) or auto (default: disk if it would take more\n"
     "than half of the memory)"},
    {OPT_QUIET, "quiet", 'q', NO_ARG, NULL, "print errors only"},
    {OPT_VERBOSE, "verbose", 0, NO_ARG, NULL, "print what is done and why"},
    {OPT_HELP, "help", 'h', NO_ARG, NULL, "this help"},
};

static void help(void) __attribute__((noreturn));
static void help(void)
{
    printf(
        "Usage: wherry run [options] PROGRAM|ARCHIVE|DIR [-- ARGS]\n"
        "Boots PROGRAM (an ELF file, or a name in $PATH) with its libraries as a virtual machine,\n"
        "or /init of a root file system. The exit status is the program's.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const struct option *o = &options[i];
        char short_form[8] = "    ", left[80];
        if (o->letter)
            snprintf(short_form, sizeof(short_form), "-%c, ", o->letter);
        snprintf(left, sizeof(left), "  %s--%s%s%s", short_form, o->name, o->arg == ARG ? " " : "",
                 o->value ? o->value : "");
        printf(strlen(left) < 32 ? "%-32s" : "%s\n%32s", left, "");
        for (const char *p = o->help; *p; p++) {
            putchar(*p);
            if (*p == '\n')
                printf("%32s", "");
        }
        putchar('\n');
    }
    printf("\nExamples:\n"
           "  wherry run -p 6379:6379 redis-server -- --save '' --protected-mode no\n"
           "  wherry run -m 64M -p 11211:11211 memcached -- -u root -t 4\n");
    exit(0);
}

static void apply(struct run_options *o, const struct option *opt, const char *value)
{
    char option[40];

    snprintf(option, sizeof(option), "--%s", opt->name);
    switch (opt->id) {
    case OPT_MEMORY:
        set_memory(o, value);
        break;
    case OPT_PORT:
        add_port(o, value);
        break;
    case OPT_NET:
        set_net(o, value);
        break;
    case OPT_FAR:
        add_far(o, value);
        break;
    case OPT_ENV:
        add_env(o, value);
        break;
    case OPT_VOLUME:
        add_volume(o, value);
        break;
    case OPT_ROOTFS:
        o->rootfs = value;
        break;
    case OPT_KERNEL:
        o->kernel = value;
        break;
    case OPT_MACHINE:
        o->machine = one_of(option, value, machine_names);
        break;
    case OPT_VMM:
        o->vmm = vmm_names[one_of(option, value, vmm_names)];
        break;
    case OPT_ACCEL:
        o->accel = one_of(option, value, accel_names);
        break;
    case OPT_CPU:
        o->cpu = value;
        break;
    case OPT_CPUS:
        o->cpus = number(option, value, CPUS_MAX);
        break;
    case OPT_STRACE:
        o->strace = value ? value : "";
        break;
    case OPT_GDB:
        o->gdb_port = value ? number(option, value, UINT16_MAX) : GDB_PORT;
        break;
    case OPT_DRY_RUN:
        o->dry_run = true;
        break;
    case OPT_TIMEOUT:
        o->timeout_s = number(option, value, 10000000);
        break;
    case OPT_APPEND:
        words_add(&o->append, value);
        break;
    case OPT_MODULE:
        words_add(&o->modules, value);
        break;
    case OPT_INITRD_OUT:
        o->initrd_out = value;
        break;
    case OPT_COMPRESS:
        o->compression = one_of(option, value, compression_names);
        break;
    case OPT_ROOT:
        o->root = one_of(option, value, root_names);
        break;
    case OPT_VMM_ARG:
        words_add(&o->vmm_args, value);
        break;
    case OPT_QUIET:
        verbosity = QUIET;
        break;
    case OPT_VERBOSE:
        verbosity = VERBOSE;
        break;
    case OPT_HELP:
        help();
    }
}

static void unknown(const char *word)
{
    const char *names[ARRAY_LEN(options)], *near = NULL;

    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        names[i] = options[i].name;
    if (strncmp(word, "--", 2) == 0) {
        char *name = xstrndup(word + 2, strcspn(word + 2, "="));
        near = nearest(name, names, ARRAY_LEN(options));
        free(name);
    }
    if (near)
        die("unknown option %s; did you mean --%s? (wherry run -h lists them)", word, near);
    die("unknown option %s (wherry run -h lists them; the program's own go behind --)", word);
}

/* The option at argv[0]; returns how many words it took. */
static int take_option(struct run_options *o, int argc, char **argv)
{
    const char *word = argv[0], *value = NULL;
    const struct option *opt = NULL;
    int used = 1;

    for (size_t i = 0; i < ARRAY_LEN(options) && !opt; i++) {
        size_t n = strlen(options[i].name);
        if (word[1] == '-' && strncmp(word + 2, options[i].name, n) == 0 &&
            (word[2 + n] == '\0' || word[2 + n] == '=')) {
            opt = &options[i];
            value = word[2 + n] ? word + 3 + n : NULL;
        } else if (word[1] != '-' && options[i].letter == word[1]) {
            opt = &options[i];
            value = word[2] ? word + 2 : NULL; /* -m64M */
        }
    }
    if (!opt)
        unknown(word);
    if (opt->arg == NO_ARG && value)
        die("option --%s takes no value", opt->name);
    if (opt->arg == ARG && !value) {
        if (argc < 2)
            die("option %s needs a value: %s", word, opt->value);
        value = argv[1];
        used = 2;
    }
    apply(o, opt, value);
    return used;
}

static void check(const struct run_options *o)
{
    bool user = false;
    struct why w;

    for (size_t i = 0; i < o->nr_ports; i++)
        for (size_t k = 0; k < i; k++)
            if (o->ports[i].host == o->ports[k].host && o->ports[i].udp == o->ports[k].udp &&
                strcmp(o->ports[i].address, o->ports[k].address) == 0)
                die("-p: port %u of the host is given twice", o->ports[i].host);
    if (!o->image && !o->rootfs)
        die("name a program to run, as in: wherry run -p 6379:6379 redis-server");
    if (!netspec_together(o->net, o->nr_nets, &w))
        die("%s", w.text);
    if (o->nr_ports && o->net[0].kind == NET_NONE)
        die("-p needs a network, and --net none gives none");
    for (size_t i = 0; i < o->nr_nets; i++)
        user |= o->net[i].kind == NET_USER;
    if (o->nr_ports && !user)
        die("-p forwards from user networking; a guest on a tap interface or a vhost-user socket "
            "has an address of its own (%s)",
            o->net[0].dhcp ? "by DHCP" : o->net[0].ip);
}

/* A guide's file: one of ours, beside the kernel, or the user's own. */
static void add_guide(struct run_options *o, const char *guide)
{
    struct volume v = {.read_only = true};
    struct why w;
    char *name = farspec_guide_name(guide, &w), *kernel = kimage_wherry();

    if (!name)
        die("%s", w.text);
    if (strchr(guide, '/') || strcmp(guide, name) != 0)
        v.host = xstrdup(guide);
    else if (kernel)
        v.host = xasprintf("%s/guides/%s.so", dirname(kernel), name);
    if (!v.host || access(v.host, R_OK) != 0)
        die("--far prefetch=guide:%s: there is no guide %s", guide, v.host ? v.host : name);
    v.guest = xasprintf("/lib/wherry/guides/%s.so", name);
    o->volumes = xrealloc(o->volumes, (o->nr_volumes + 1) * sizeof(v));
    o->volumes[o->nr_volumes++] = v;
    free(kernel);
    free(name);
}

/* The cards by which far memory is reached, behind the others, and the kernel's words. */
static void connect_far(struct run_options *o)
{
    struct why w;

    if (o->nr_fars && strcmp(o->kernel, "linux") == 0)
        die("--far: Linux has no far memory of this kind");
    for (size_t i = 0; i < o->nr_fars; i++) {
        if (o->far[i].guide)
            add_guide(o, o->far[i].guide);
        if (!o->far[i].has_net)
            continue;
        if (o->nr_nets == NETS_MAX)
            die("--far: a guest has at most %d network cards", NETS_MAX);
        if (o->nr_nets == 1 && o->net[0].kind == NET_NONE)
            o->nr_nets = 0;
        o->net[o->nr_nets++] = o->far[i].net;
    }
    if (!farspec_words(o->far, o->nr_fars, &o->append, &w))
        die("%s", w.text);
}

void options_parse(struct run_options *o, int argc, char **argv)
{
    *o = (struct run_options){.kernel = "wherry", .vmm = "qemu", .memory_mib = 256, .cpus = 1};
    int i = 0;
    while (i < argc && strcmp(argv[i], "--") != 0) {
        if (argv[i][0] == '-' && argv[i][1]) {
            i += take_option(o, argc - i, argv + i);
        } else if (o->image) {
            die("unexpected word %s: the program's arguments go behind --, as in: wherry run %s -- "
                "%s",
                argv[i], o->image, argv[i]);
        } else {
            o->image = argv[i++];
        }
    }
    for (i++; i < argc; i++)
        words_add(&o->args, argv[i]);
    if (o->nr_nets == 0)
        set_net(o, "user");
    connect_far(o);
    check(o);
}
