/*
 * QEMU's command line. The traps that it avoids:
 * - With one CPU, TCG leaves out memory barriers although devices run in other host threads, and
 *   virtio's event index loses notifications: hence thread=multi and room for a second CPU.
 * - -nodefaults and -no-user-config: the machine is what is written here, on every host.
 * - SeaBIOS needs over a second to look for boot devices (60 ms on microvm): qboot starts a kernel
 *   at once.
 * - An option ROM on the network card would be run by the firmware: romfile= is empty.
 */
#define _GNU_SOURCE
#include "vmm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QEMU  "qemu-system-x86_64"
#define QBOOT "qboot.rom"

/* microvm's virtio-mmio transports (hw/i386/microvm.h); bus N has its registers and line N on. */
#define MMIO_BASE     0xfeb00000u
#define MMIO_SIZE     512u
#define MMIO_IRQ_BASE 5
#define MMIO_RNG_BUS  6
#define MMIO_DISK_BUS 5
/* Of network cards: guests find the higher buses first, as QEMU's ACPI tables have them. Bus 3 has
 * the clock chip's interrupt. */
static const unsigned net_buses[NETS_MAX] = {7, 4, 2, 1};

static bool mmio(const struct vm *vm)
{
    return vm->opt->machine == MACHINE_MICROVM || vm->opt->machine == MACHINE_MICROVM_NOACPI;
}

static bool shares_memory(const struct run_options *o)
{
    for (size_t i = 0; i < o->nr_nets; i++)
        if (o->net[i].kind == NET_VHOST_USER)
            return true;
    return false;
}

static char *program(void)
{
    char *p = find_program(QEMU);

    if (!p)
        die("QEMU (" QEMU ") is not installed: apt-get install qemu-system-x86");
    return p;
}

/* qboot is found by QEMU itself under its data directory; is it there? */
static bool have_qboot(void)
{
    static const char *const places[] = {"/usr/share/qemu/" QBOOT, "/usr/local/share/qemu/" QBOOT,
                                         "/usr/share/seabios/" QBOOT, "/usr/share/qemu-kvm/" QBOOT};
    char *qemu = find_program(QEMU), *real = qemu ? realpath(qemu, NULL) : NULL;
    bool found = false;

    for (size_t i = 0; i < ARRAY_LEN(places) && !found; i++)
        found = access(places[i], R_OK) == 0;
    if (real && !found && strrchr(real, '/')) {
        *strrchr(real, '/') = '\0';
        char *p = path_join(real, "../share/qemu/" QBOOT);
        found = access(p, R_OK) == 0;
        free(p);
    }
    free(real);
    free(qemu);
    return found;
}

static bool check(const struct vm *vm, struct why *w)
{
    if (vm->opt->machine == MACHINE_MICROVM_NOACPI && vm->kernel->kind == KERNEL_LINUX)
        return because(w, "Debian's Linux does not read virtio_mmio.device= words, so it finds no "
                          "devices on microvm-noacpi; use --machine microvm");
    /* QEMU 7.2 hands notifications of virtio-mmio to a back end only with KVM's eventfds. */
    if (mmio(vm) && shares_memory(vm->opt))
        return because(w, "--net vhost-user needs a network card on PCI; use --machine q35");
    return true;
}

static void kernel_words(const struct vm *vm, struct words *out)
{
    if (vm->opt->machine != MACHINE_MICROVM_NOACPI)
        return;
    /* QEMU would append these behind "--", where they are the program's arguments. */
    for (size_t i = 0; i < vm->opt->nr_nets && vm->opt->net[i].kind != NET_NONE; i++) {
        unsigned bus = net_buses[i];
        words_addf(out, "virtio_mmio.device=%u@0x%x:%d", MMIO_SIZE, MMIO_BASE + bus * MMIO_SIZE,
                   MMIO_IRQ_BASE + bus);
    }
    words_addf(out, "virtio_mmio.device=%u@0x%x:%d", MMIO_SIZE,
               MMIO_BASE + MMIO_RNG_BUS * MMIO_SIZE, MMIO_IRQ_BASE + MMIO_RNG_BUS);
    if (vm->disk)
        words_addf(out, "virtio_mmio.device=%u@0x%x:%d", MMIO_SIZE,
                   MMIO_BASE + MMIO_DISK_BUS * MMIO_SIZE, MMIO_IRQ_BASE + MMIO_DISK_BUS);
}

static void add(struct words *argv, const char *option, const char *value)
{
    words_add(argv, option);
    words_add(argv, value);
}

/* In QEMU's lists of options a comma ends one, and two are one. */
static void add_escaped(struct strbuf *b, const char *s)
{
    for (; *s; s++)
        sb_addf(b, *s == ',' ? ",," : "%c", *s);
}

static void machine(const struct vm *vm, struct words *argv)
{
    static const char *const types[] = {
        [MACHINE_MICROVM] = "microvm,rtc=on",
        [MACHINE_MICROVM_NOACPI] = "microvm,rtc=on,acpi=off,auto-kernel-cmdline=off",
        [MACHINE_Q35] = "q35,usb=off,sata=off,smbus=off,vmport=off",
        [MACHINE_PC] = "pc,usb=off,vmport=off",
    };
    const char *cpu = vm->opt->cpu;
    bool shared = shares_memory(vm->opt);

    words_add(argv, "-machine");
    words_addf(argv, "%s%s", types[vm->opt->machine], shared ? ",memory-backend=memory" : "");
    /* The peer reads and writes the guest's memory itself. */
    if (shared) {
        words_add(argv, "-object");
        words_addf(argv, "memory-backend-memfd,id=memory,size=%lluM,share=on",
                   (unsigned long long)vm->opt->memory_mib);
    }
    if (vm->kvm) {
        add(argv, "-accel", "kvm");
        words_add(argv, "-smp");
        words_addf(argv, "%u", vm->opt->cpus);
        add(argv, "-cpu", cpu ? cpu : "host,migratable=off");
    } else {
        add(argv, "-accel", "tcg,thread=multi");
        words_add(argv, "-smp");
        words_addf(argv, "%u,maxcpus=%u", vm->opt->cpus, vm->opt->cpus + 1);
        add(argv, "-cpu", cpu ? cpu : "max");
    }
    if (mmio(vm)) /* virtio 1.2 §4.2.2; QEMU's default is the draft before it */
        add(argv, "-global", "virtio-mmio.force-legacy=false");
    if (have_qboot())
        add(argv, "-bios", QBOOT);
    words_add(argv, "-m");
    words_addf(argv, "%lluM", (unsigned long long)vm->opt->memory_mib);
    words_add(argv, "-nodefaults");
    words_add(argv, "-no-user-config");
    words_add(argv, "-no-reboot");
    add(argv, "-display", "none");
}

/* The socket's other end may go and come back, as one run of the generator after the other does. */
static void vhost_user(const struct netspec *n, size_t i, struct words *argv, struct strbuf *netdev)
{
    struct strbuf b = {0};

    sb_addf(&b, "socket,id=peer%zu,reconnect=1,path=", i);
    add_escaped(&b, n->socket);
    add(argv, "-chardev", b.s);
    free(b.s);
    sb_addf(netdev, "vhost-user,id=net%zu,chardev=peer%zu", i, i);
}

static void card(const struct vm *vm, size_t i, struct words *argv)
{
    const struct run_options *o = vm->opt;
    const struct netspec *n = &o->net[i];
    struct strbuf b = {0}, device = {0};

    if (n->kind == NET_TAP)
        sb_addf(&b, "tap,id=net%zu,ifname=%s,script=no,downscript=no", i, n->ifname);
    else if (n->kind == NET_VHOST_USER)
        vhost_user(n, i, argv, &b);
    else if (n->kind == NET_UNIX) {
        sb_addf(&b, "stream,id=net%zu,server=off,addr.type=unix,addr.path=", i);
        add_escaped(&b, n->socket);
    } else
        sb_addf(&b, "user,id=net%zu", i);
    if (n->queues > 1)
        sb_addf(&b, ",queues=%u", n->queues);
    for (size_t p = 0; n->kind == NET_USER && p < o->nr_ports; p++)
        sb_addf(&b, ",hostfwd=%s:%s:%u-:%u", o->ports[p].udp ? "udp" : "tcp", o->ports[p].address,
                o->ports[p].host, o->ports[p].guest);
    add(argv, "-netdev", b.s);
    free(b.s);
    if (mmio(vm))
        sb_addf(&device, "virtio-net-device,netdev=net%zu,mac=%s,bus=virtio-mmio-bus.%u", i,
                vm->mac[i], net_buses[i]);
    else
        sb_addf(&device, "virtio-net-pci,netdev=net%zu,mac=%s,disable-legacy=on,romfile=", i,
                vm->mac[i]);
    if (n->queues > 1)
        sb_addf(&device, ",mq=on");
    /* QEMU 7.2 without KVM dies when a guest starts a vhost back end's device with MSI-X (it looks
     * for a vector's irqfd, and there is none): the device has only its interrupt line then. */
    if (n->kind == NET_VHOST_USER && !vm->kvm)
        sb_addf(&device, ",vectors=0");
    else if (n->queues > 1 && !mmio(vm)) /* one each, one for configuration, one for control */
        sb_addf(&device, ",vectors=%u", 2 * n->queues + 2);
    sb_addf(&device, "%s", n->device);
    add(argv, "-device", device.s);
    free(device.s);
}

static void network(const struct vm *vm, struct words *argv)
{
    for (size_t i = 0; i < vm->opt->nr_nets && vm->opt->net[i].kind != NET_NONE; i++)
        card(vm, i, argv);
}

static void disk(const struct vm *vm, struct words *argv)
{
    struct strbuf b = {0};

    if (!vm->disk)
        return;
    sb_addf(&b, "file=");
    add_escaped(&b, vm->disk);
    sb_addf(&b, ",format=raw,if=none,id=root,readonly=on");
    add(argv, "-drive", b.s);
    free(b.s);
    words_add(argv, "-device");
    if (mmio(vm))
        words_addf(argv, "virtio-blk-device,drive=root,bus=virtio-mmio-bus.%d", MMIO_DISK_BUS);
    else
        words_add(argv, "virtio-blk-pci,drive=root,disable-legacy=on");
}

static void command(const struct vm *vm, struct words *argv, struct strbuf *config)
{
    const struct run_options *o = vm->opt;

    (void)config;
    machine(vm, argv);
    /* signal=on: Ctrl-C stays a signal, which ends the guest. */
    add(argv, "-chardev", "stdio,id=console,signal=on");
    add(argv, "-serial", "chardev:console");
    words_add(argv, "-chardev");
    words_addf(argv, "file,id=status,path=%s", vm->status_path);
    words_add(argv, "-device");
    words_addf(argv, "isa-debugcon,iobase=0x%x,chardev=status", STATUS_PORT);
    network(vm, argv);
    words_add(argv, "-device");
    if (mmio(vm))
        words_addf(argv, "virtio-rng-device,bus=virtio-mmio-bus.%d", MMIO_RNG_BUS);
    else
        words_add(argv, "virtio-rng-pci,disable-legacy=on");
    add(argv, "-kernel", vm->kernel->path);
    if (vm->initrd)
        add(argv, "-initrd", vm->initrd);
    disk(vm, argv);
    add(argv, "-append", vm->cmdline);
    if (o->gdb_port) {
        words_add(argv, "-gdb");
        words_addf(argv, "tcp:127.0.0.1:%u", o->gdb_port);
        words_add(argv, "-S");
    }
    for (size_t i = 0; i < o->vmm_args.n; i++)
        words_add(argv, o->vmm_args.v[i]);
}

const struct vmm vmm_qemu = {
    .name = "qemu",
    .can_tcg = true,
    .reports_status = true,
    .can_gdb = true,
    .can_disk = true,
    .program = program,
    .check = check,
    .kernel_words = kernel_words,
    .command = command,
};

const struct vmm *vmm_by_name(const char *name)
{
    const struct vmm *all[] = {&vmm_qemu, &vmm_firecracker, &vmm_cloud_hypervisor};

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    die("unknown VMM %s", name);
}
