/*
 * The border between `wherry run` and a virtual machine monitor: what machine is wanted, and the
 * command line that starts it. One file per monitor. Host code.
 */
#pragma once

#include "kimage.h"
#include "options.h"

#define STATUS_PORT 0xe9 /* where the guest writes its exit status */

struct vm {
    const struct run_options *opt;
    const struct kimage *kernel;
    bool kvm;                /* else TCG */
    const char *initrd;      /* path for the monitor, NULL: none */
    const char *disk;        /* the same for a read-only disk, the guest's first */
    const char *status_path; /* where bytes written to STATUS_PORT go */
    const char *cmdline;     /* the kernel's */
    char mac[NETS_MAX][18];
};

struct vmm {
    const char *name;
    bool can_tcg;
    bool reports_status; /* has a device that carries the exit status */
    bool can_gdb;
    bool can_disk; /* knows vm.disk */
    /* The monitor's program, or the end of ours with a line on what to install. */
    char *(*program)(void);
    /* Refuses what this monitor cannot do. */
    bool (*check)(const struct vm *vm, struct why *w);
    /* Words that the kernel's command line needs for its devices; may be NULL. */
    void (*kernel_words)(const struct vm *vm, struct words *out);
    /* All words but the program's. *config, if set, is the text of a file that the monitor reads
     * under the name CONFIG_PLACEHOLDER in a word. */
    void (*command)(const struct vm *vm, struct words *argv, struct strbuf *config);
};

#define CONFIG_PLACEHOLDER "@config@"

extern const struct vmm vmm_qemu, vmm_firecracker, vmm_cloud_hypervisor;
const struct vmm *vmm_by_name(const char *name);
