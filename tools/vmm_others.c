/*
 * Firecracker and Cloud Hypervisor: their command lines. Both need KVM and a tap interface (they
 * have no user networking), and neither is in Debian 12.
 */
#define _GNU_SOURCE
#include "vmm.h"

#include <stdlib.h>

static bool needs_tap(const struct vm *vm, const char *name, struct why *w)
{
    if (vm->opt->nr_nets > 1)
        return because(w, "a second --net needs --vmm qemu");
    if (vm->opt->net[0].kind == NET_USER)
        return because(w,
                       "%s has no user networking: use --net tap:IF,ip=ADDRESS/BITS,gw=ADDRESS "
                       "or --net none",
                       name);
    if (net_kind_is_socket(vm->opt->net[0].kind) || vm->opt->net[0].device[0] ||
        vm->opt->net[0].queues > 1)
        return because(w, "--net vhost-user, --net unix and words for the device need --vmm qemu");
    if (vm->opt->cpu)
        return because(w, "--cpu names a QEMU model; %s gives the guest the host's", name);
    return true;
}

/* --- Firecracker: docs/getting-started.md, --config-file --- */

static char *firecracker_program(void)
{
    char *p = find_program("firecracker");

    if (!p)
        die("firecracker is not in PATH; Debian has no package of it, see its releases on GitHub");
    return p;
}

static bool firecracker_check(const struct vm *vm, struct why *w)
{
    if (vm->kernel->version)
        return because(w, "firecracker boots ELF kernels only (vmlinux), and %s is a bzImage",
                       vm->kernel->path);
    return needs_tap(vm, "firecracker", w);
}

static void json_string(struct strbuf *b, const char *s)
{
    sb_addf(b, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            sb_addf(b, "\\%c", *s);
        else if ((unsigned char)*s < ' ')
            sb_addf(b, "\\u%04x", *s);
        else
            sb_addf(b, "%c", *s);
    }
    sb_addf(b, "\"");
}

static void firecracker_command(const struct vm *vm, struct words *argv, struct strbuf *c)
{
    const struct run_options *o = vm->opt;

    sb_addf(c, "{\"boot-source\": {\"kernel_image_path\": ");
    json_string(c, vm->kernel->path);
    if (vm->initrd) {
        sb_addf(c, ", \"initrd_path\": ");
        json_string(c, vm->initrd);
    }
    sb_addf(c, ", \"boot_args\": ");
    json_string(c, vm->cmdline);
    sb_addf(c,
            "},\n\"drives\": [],\n\"machine-config\": {\"vcpu_count\": 1, \"mem_size_mib\": %llu}",
            (unsigned long long)o->memory_mib);
    if (o->net[0].kind == NET_TAP) {
        sb_addf(c,
                ",\n\"network-interfaces\": [{\"iface_id\": \"eth0\", \"guest_mac\": \"%s\", "
                "\"host_dev_name\": ",
                vm->mac[0]);
        json_string(c, o->net[0].ifname);
        sb_addf(c, "}]");
    }
    sb_addf(c, ",\n\"entropy\": {}}\n");
    words_add(argv, "--no-api");
    words_add(argv, "--config-file");
    words_add(argv, CONFIG_PLACEHOLDER);
    for (size_t i = 0; i < o->vmm_args.n; i++)
        words_add(argv, o->vmm_args.v[i]);
}

const struct vmm vmm_firecracker = {
    .name = "firecracker",
    .program = firecracker_program,
    .check = firecracker_check,
    .command = firecracker_command,
};

/* --- Cloud Hypervisor --- */

static char *chv_program(void)
{
    char *p = find_program("cloud-hypervisor");

    if (!p)
        die("cloud-hypervisor is not in PATH; Debian has no package of it, see its releases on "
            "GitHub");
    return p;
}

static bool chv_check(const struct vm *vm, struct why *w)
{
    return needs_tap(vm, "cloud-hypervisor", w);
}

static void chv_command(const struct vm *vm, struct words *argv, struct strbuf *config)
{
    const struct run_options *o = vm->opt;

    (void)config;
    words_add(argv, "--kernel");
    words_add(argv, vm->kernel->path);
    if (vm->initrd) {
        words_add(argv, "--initramfs");
        words_add(argv, vm->initrd);
    }
    words_add(argv, "--cmdline");
    words_add(argv, vm->cmdline);
    words_add(argv, "--cpus");
    words_add(argv, "boot=1");
    words_add(argv, "--memory");
    words_addf(argv, "size=%lluM", (unsigned long long)o->memory_mib);
    words_add(argv, "--serial");
    words_add(argv, "tty");
    words_add(argv, "--console");
    words_add(argv, "off");
    words_add(argv, "--debug-console");
    words_addf(argv, "file=%s,iobase=0x%x", vm->status_path, STATUS_PORT);
    if (o->net[0].kind == NET_TAP) {
        words_add(argv, "--net");
        words_addf(argv, "tap=%s,mac=%s", o->net[0].ifname, vm->mac[0]);
    }
    words_add(argv, "--rng");
    words_add(argv, "src=/dev/urandom");
    for (size_t i = 0; i < o->vmm_args.n; i++)
        words_add(argv, o->vmm_args.v[i]);
}

const struct vmm vmm_cloud_hypervisor = {
    .name = "cloud-hypervisor",
    .reports_status = true,
    .program = chv_program,
    .check = chv_check,
    .command = chv_command,
};
