/*
 * The command line of `wherry run`, parsed and checked for form; whether files, ports and devices
 * exist is checked where they are used. Host code; does not block.
 */
#pragma once

#include "farspec.h"
#include "netspec.h"
#include "ports.h"

enum machine { MACHINE_MICROVM, MACHINE_MICROVM_NOACPI, MACHINE_Q35, MACHINE_PC };
enum accel { ACCEL_AUTO, ACCEL_KVM, ACCEL_TCG };
enum root_place { ROOT_AUTO, ROOT_INITRD, ROOT_DISK };
enum compression { COMPRESS_NONE, COMPRESS_GZIP, COMPRESS_ZSTD };

struct volume {
    char *host, *guest;
    bool read_only;
};

#define MEMORY_MIB_MIN 2
#define MEMORY_MIB_MAX (1024 * 1024)

struct run_options {
    const char *image; /* ELF program, directory, archive; with rootfs: a path inside it, or NULL */
    struct words args;
    struct words env;
    struct volume *volumes;
    size_t nr_volumes;
    struct port *ports;
    size_t nr_ports;
    struct netspec net[NETS_MAX]; /* the first: what /etc and the host name are made of */
    size_t nr_nets;               /* at least one, which may be NET_NONE */
    struct farspec far[FARS_MAX];
    size_t nr_fars;
    const char *rootfs;
    const char *kernel;
    const char *vmm;
    const char *cpu; /* a QEMU CPU model, NULL: the accelerator's best */
    enum machine machine;
    enum accel accel;
    enum compression compression;
    enum root_place root;
    uint64_t memory_mib;
    unsigned cpus;      /* of a Linux guest; Wherry has one */
    unsigned timeout_s; /* 0: none */
    unsigned gdb_port;  /* 0: none */
    bool dry_run;
    const char *strace;   /* NULL: off, "": all calls, else a list */
    struct words append;  /* words for the kernel, as given */
    struct words modules; /* of Linux, beside those that the machine needs */
    struct words vmm_args;
    const char *initrd_out;
};

/* argv as after "wherry run". Ends the program with one line on a mistake, or after -h. */
void options_parse(struct run_options *o, int argc, char **argv);

/* The kinds' names as on the command line. */
extern const char *const machine_names[];
extern const char *const compression_names[];
