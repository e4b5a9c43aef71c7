/*
 * PCI: finding devices and reading their configuration space (PCI Express Base 5.0 §7; PCI Local
 * Bus 3.0 §6). Set-up code only: every access is an exit to the monitor, so little is
 * read twice. Never sleeps.
 */
#pragma once

#include "lib/base.h"
#include "lib/list.h"

#include <linux/pci_regs.h>

struct pci_device {
    struct list link;
    uint8_t bus, slot, function;
    uint8_t header; /* PCI_HEADER_TYPE_* */
    uint16_t vendor, device;
};

extern struct list pci_devices;

/* Finds all functions behind the host bridge, if there is one; once, in INIT_BUS after ACPI. */
void pci_init(void);

uint8_t pci_read8(const struct pci_device *d, unsigned off);
uint16_t pci_read16(const struct pci_device *d, unsigned off);
uint32_t pci_read32(const struct pci_device *d, unsigned off);
void pci_write16(const struct pci_device *d, unsigned off, uint16_t v);
void pci_write32(const struct pci_device *d, unsigned off, uint32_t v);

/* Offset of the first capability with this ID after the one at `after` (0: from the start); 0 if
 * there is none. */
unsigned pci_find_cap(const struct pci_device *d, uint8_t id, unsigned after);
/* The address a memory BAR decodes; 0 if it is an I/O BAR, not implemented or not assigned. */
phys_t pci_bar(const struct pci_device *d, unsigned bar);
/* Gives the function's memory BARs addresses if firmware did not (qboot leaves that to the
 * operating system), from the window that ACPI names. Before memory decoding is turned on. */
void pci_assign_bars(const struct pci_device *d);
/* Sets and clears bits of the command register. */
void pci_command(const struct pci_device *d, uint16_t set, uint16_t clear);

/* The I/O APIC input that the function's INTx ends at; -ENODEV if it has none or firmware did not
 * tell (the interrupt line register). */
int pci_intx_gsi(const struct pci_device *d, bool *level, bool *active_low);

/* MSI-X (PCI Express §7.7.2). All entries start masked; pci_msix_set() routes one and unmasks it.
 */
struct pci_msix {
    volatile char *table;
    unsigned cap, entries;
};
/* Maps the table and turns MSI-X on. -ENODEV if the function has none, -ENOMEM. */
int pci_msix_enable(const struct pci_device *d, struct pci_msix *m);
/* Entry e sends CPU vector v. */
void pci_msix_set(const struct pci_msix *m, unsigned e, uint8_t v);
