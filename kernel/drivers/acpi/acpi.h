/*
 * What Wherry wants to know from ACPI (specification 6.4): interrupt routing, how to sleep and
 * reset, where PCI's configuration space and window are, and the virtio-mmio devices in the DSDT.
 * tables.c and aml.c are pure parsers of bytes that came from outside: they check every offset and
 * length, accept any input, allocate nothing and never sleep. acpi.c gives them the machine's
 * tables and the result to the drivers.
 */
#pragma once

#include "lib/base.h"

#define ACPI_MAX_IOAPICS   8
#define ACPI_MAX_OVERRIDES 16
#define ACPI_MAX_VIRTIO    64
#define ACPI_MAX_ECAM      4

/* Generic address structure (§5.2.3.2). */
struct acpi_gas {
    uint8_t space;    /* ACPI_SPACE_* */
    uint8_t width;    /* bits */
    uint64_t address; /* 0: there is none */
};
#define ACPI_SPACE_MEMORY 0
#define ACPI_SPACE_IO     1

struct acpi_info {
    bool fadt, s5;                /* what follows is valid */
    bool hw_reduced;              /* §4.1: no PM1 registers */
    uint8_t s5_type_a, s5_type_b; /* SLP_TYP of \_S5 (§7.4.2.6) */
    uint16_t pm1a_cnt, pm1b_cnt;  /* ports, 0: none */
    struct acpi_gas sleep_control, sleep_status, reset;
    uint8_t reset_value;
    uint8_t century_register; /* in the CMOS, 0: none */
    char oem_id[7];           /* of the RSDP */

    unsigned nr_ioapics, nr_overrides, nr_ecam, nr_virtio;
    struct {
        uint64_t base;
        uint32_t first_gsi;
    } ioapics[ACPI_MAX_IOAPICS];
    struct {
        uint8_t irq;
        uint32_t gsi;
        bool level, active_low;
    } overrides[ACPI_MAX_OVERRIDES];
    struct {
        uint64_t base; /* of bus 0, even if first_bus is higher */
        uint16_t segment;
        uint8_t first_bus, last_bus;
    } ecam[ACPI_MAX_ECAM];
    struct {
        uint64_t base, size;
        uint32_t gsi;
        bool level, active_low;
    } virtio[ACPI_MAX_VIRTIO];

    /* The largest stretch below 4 GiB that the PCI host bridge forwards; size 0: not known. */
    char pci_root[4]; /* its name in the namespace */
    uint64_t pci_window, pci_window_size;
    uint64_t pci_root_ecam; /* configuration space by its _CBA, 0: none; for want of an MCFG */

    unsigned bad_tables; /* wrong checksum or impossible length: ignored */
};

/* Makes len bytes at p readable; NULL if that is impossible. */
typedef const void *(*acpi_map)(phys_t p, size_t len);

/* The RSDP within n bytes at mem, by its signature and checksum on 16-byte boundaries: its
 * offset, or -1. */
long acpi_scan_rsdp(const void *mem, size_t n);
/* Follows the RSDP to every table wanted. 0, or -EINVAL if the RSDP or the root table is bad. */
int acpi_parse(struct acpi_info *info, acpi_map map, phys_t rsdp);
/* One definition block's AML (after the table's header). */
void acpi_parse_aml(struct acpi_info *info, const uint8_t *aml, size_t len);

/* Reads the machine's tables and hands out what they say; once, first thing in INIT_BUS. */
void acpi_init(void);
extern struct acpi_info acpi_info;
