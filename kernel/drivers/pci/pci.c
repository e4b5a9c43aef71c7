/*
 * Configuration space access and enumeration (pci.h). Accesses go through the memory window that
 * ACPI's MCFG names (one exit each), or the ports 0xcf8/0xcfc (two). Called at boot by bus_init()
 * and the virtio transport; never sleeps.
 */
#include "drivers/pci/pci.h"

#include "arch/x86_64/io.h"
#include "arch/x86_64/irq.h"
#include "drivers/acpi/acpi.h"
#include "mm/slab.h"

#include <asm/errno.h>

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define CONFIG_ENABLE  0x80000000u

#define NR_BUSES      256
#define NR_SLOTS      32
#define NR_FUNCTIONS  8
#define ECAM_BUS_SIZE (1ul << 20)
#define MAX_CAPS      48 /* 192 bytes of at least 4 each: more is a loop */
#define MAX_DEVICES   256

struct list pci_devices = LIST_INIT(pci_devices);

static struct {
    phys_t base; /* 0: use the ports */
    unsigned first, last;
    volatile char *bus[NR_BUSES]; /* mapped when first used */
} ecam;
static unsigned nr_devices;
static uint32_t seen_buses[NR_BUSES / 32];

/* The memory window's address of a function's register; NULL without one. */
static volatile char *window(const struct pci_device *d, unsigned off)
{
    if (!ecam.base || d->bus < ecam.first || d->bus > ecam.last)
        return NULL;
    if (!ecam.bus[d->bus]) {
        ecam.bus[d->bus] = mmio_map(ecam.base + d->bus * ECAM_BUS_SIZE, ECAM_BUS_SIZE);
        if (!ecam.bus[d->bus])
            return NULL;
    }
    return ecam.bus[d->bus] + (d->slot << 15 | d->function << 12 | off);
}

static void select_port(const struct pci_device *d, unsigned off)
{
    outl(CONFIG_ADDRESS, CONFIG_ENABLE | (uint32_t)d->bus << 16 | (uint32_t)d->slot << 11 |
                             (uint32_t)d->function << 8 | (off & 0xfc));
}

uint32_t pci_read32(const struct pci_device *d, unsigned off)
{
    volatile char *w = window(d, off);

    if (w)
        return mmio_read32(w);
    select_port(d, off);
    return inl(CONFIG_DATA);
}

uint16_t pci_read16(const struct pci_device *d, unsigned off)
{
    volatile char *w = window(d, off);

    if (w)
        return mmio_read16(w);
    select_port(d, off);
    return inw((uint16_t)(CONFIG_DATA + (off & 2)));
}

uint8_t pci_read8(const struct pci_device *d, unsigned off)
{
    volatile char *w = window(d, off);

    if (w)
        return mmio_read8(w);
    select_port(d, off);
    return inb((uint16_t)(CONFIG_DATA + (off & 3)));
}

void pci_write16(const struct pci_device *d, unsigned off, uint16_t v)
{
    volatile char *w = window(d, off);

    if (w) {
        mmio_write16(w, v);
        return;
    }
    select_port(d, off);
    outw((uint16_t)(CONFIG_DATA + (off & 2)), v);
}

void pci_write32(const struct pci_device *d, unsigned off, uint32_t v)
{
    volatile char *w = window(d, off);

    if (w) {
        mmio_write32(w, v);
        return;
    }
    select_port(d, off);
    outl(CONFIG_DATA, v);
}

unsigned pci_find_cap(const struct pci_device *d, uint8_t id, unsigned after)
{
    unsigned at;

    if (after)
        at = pci_read8(d, after + PCI_CAP_LIST_NEXT);
    else if (pci_read16(d, PCI_STATUS) & PCI_STATUS_CAP_LIST)
        at = pci_read8(d, PCI_CAPABILITY_LIST);
    else
        return 0;
    for (unsigned i = 0; i < MAX_CAPS; i++) {
        uint16_t head;

        at &= ~3u;
        if (at < PCI_STD_HEADER_SIZEOF)
            return 0;
        head = pci_read16(d, at);
        if ((head & 0xff) == id)
            return at;
        at = head >> 8;
    }
    return 0;
}

phys_t pci_bar(const struct pci_device *d, unsigned bar)
{
    uint32_t low, high = 0;

    if (bar >= PCI_STD_NUM_BARS || (d->header != PCI_HEADER_TYPE_NORMAL && bar >= 2))
        return 0;
    low = pci_read32(d, PCI_BASE_ADDRESS_0 + 4 * bar);
    if (low & PCI_BASE_ADDRESS_SPACE_IO)
        return 0;
    if ((low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64) {
        if (bar + 1 >= PCI_STD_NUM_BARS)
            return 0;
        high = pci_read32(d, PCI_BASE_ADDRESS_0 + 4 * (bar + 1));
    }
    return (phys_t)high << 32 | (low & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK);
}

void pci_command(const struct pci_device *d, uint16_t set, uint16_t clear)
{
    uint16_t old = pci_read16(d, PCI_COMMAND), new = (uint16_t)((old & ~clear) | set);

    if (new != old)
        pci_write16(d, PCI_COMMAND, new);
}

int pci_msix_enable(const struct pci_device *d, struct pci_msix *m)
{
    uint16_t control;
    uint32_t where;
    phys_t base;

    m->cap = pci_find_cap(d, PCI_CAP_ID_MSIX, 0);
    if (!m->cap)
        return -ENODEV;
    control = pci_read16(d, m->cap + PCI_MSIX_FLAGS);
    m->entries = (control & PCI_MSIX_FLAGS_QSIZE) + 1u;
    where = pci_read32(d, m->cap + PCI_MSIX_TABLE);
    base = pci_bar(d, where & PCI_MSIX_TABLE_BIR);
    if (!base)
        return -ENODEV;
    m->table = mmio_map(base + (where & PCI_MSIX_TABLE_OFFSET), m->entries * PCI_MSIX_ENTRY_SIZE);
    if (!m->table)
        return -ENOMEM;
    pci_write16(d, m->cap + PCI_MSIX_FLAGS,
                (uint16_t)((control | PCI_MSIX_FLAGS_ENABLE) & ~PCI_MSIX_FLAGS_MASKALL));
    return 0;
}

void pci_msix_set(const struct pci_msix *m, unsigned e, uint8_t v)
{
    volatile char *entry = m->table + e * PCI_MSIX_ENTRY_SIZE;

    mmio_write32(entry + PCI_MSIX_ENTRY_LOWER_ADDR, (uint32_t)msi_address());
    mmio_write32(entry + PCI_MSIX_ENTRY_UPPER_ADDR, (uint32_t)(msi_address() >> 32));
    mmio_write32(entry + PCI_MSIX_ENTRY_DATA, v);
    mmio_write32(entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
}

static void scan_bus(unsigned bus);

/* Whether there is a function, and in *multi whether its slot has more. */
static bool scan_function(const struct pci_device *at, bool *multi)
{
    uint32_t id = pci_read32(at, PCI_VENDOR_ID);
    struct pci_device *d;
    uint8_t header;

    if ((id & 0xffff) == 0xffff || id == 0 || nr_devices == MAX_DEVICES)
        return false;
    header = pci_read8(at, PCI_HEADER_TYPE);
    *multi = header & 0x80;
    d = kzalloc(sizeof(*d));
    if (!d)
        return false;
    *d = *at;
    d->header = header & 0x7f;
    d->vendor = (uint16_t)id;
    d->device = (uint16_t)(id >> 16);
    list_push_back(&pci_devices, &d->link);
    nr_devices++;
    if (d->header == PCI_HEADER_TYPE_BRIDGE) {
        uint8_t behind = pci_read8(d, PCI_SECONDARY_BUS);
        if (behind) /* numbered by firmware */
            scan_bus(behind);
    }
    return true;
}

/* Recursion ends because no bus is scanned twice. */
static void scan_bus(unsigned bus)
{
    if (seen_buses[bus / 32] & 1u << bus % 32)
        return;
    seen_buses[bus / 32] |= 1u << bus % 32;
    for (unsigned slot = 0; slot < NR_SLOTS; slot++) {
        struct pci_device at = {.bus = (uint8_t)bus, .slot = (uint8_t)slot};
        bool multi = false, ignored;

        if (!scan_function(&at, &multi) || !multi)
            continue;
        for (at.function = 1; at.function < NR_FUNCTIONS; at.function++)
            (void)scan_function(&at, &ignored);
    }
}

/* Configuration mechanism #1 keeps what is written to its address port; the test Linux does. */
static bool ports_work(void)
{
    outl(CONFIG_ADDRESS, CONFIG_ENABLE);
    return inl(CONFIG_ADDRESS) == CONFIG_ENABLE;
}

void pci_init(void)
{
    for (unsigned i = 0; i < acpi_info.nr_ecam && !ecam.base; i++)
        if (acpi_info.ecam[i].segment == 0) {
            ecam.base = acpi_info.ecam[i].base;
            ecam.first = acpi_info.ecam[i].first_bus;
            ecam.last = acpi_info.ecam[i].last_bus;
        }
    if (ecam.base || ports_work())
        scan_bus(0);
}
