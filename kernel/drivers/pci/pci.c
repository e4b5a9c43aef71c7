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

#define VENDOR_INTEL    0x8086
#define DEVICE_ICH9_LPC 0x2918
#define ICH9_SLOT       0x1f
#define ICH9_FIXED_SLOT 25 /* from here on, registers of the chipset choose */
#define ICH9_PIRQE_GSI  20
#define LINE_NONE       255

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

/* What is free of the host bridge's window: [next, end). Set up when first needed. */
static struct {
    bool ready;
    uint64_t next, end;
} room;

static unsigned nr_bars(const struct pci_device *d)
{
    return d->header == PCI_HEADER_TYPE_NORMAL ? PCI_STD_NUM_BARS : 0;
}

/* The size of a memory BAR, found by writing ones (PCI 3.0 §6.2.5.1), with decoding off; 0 if it is
 * none. *wide: it takes two registers. */
static uint64_t bar_size(const struct pci_device *d, unsigned bar, bool *wide)
{
    unsigned reg = PCI_BASE_ADDRESS_0 + 4 * bar;
    uint32_t old = pci_read32(d, reg), high_old;
    uint64_t mask;

    *wide = false;
    pci_write32(d, reg, UINT32_MAX);
    mask = pci_read32(d, reg);
    pci_write32(d, reg, old);
    if (!mask || mask & PCI_BASE_ADDRESS_SPACE_IO)
        return 0;
    if ((mask & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64 &&
        bar + 1 < PCI_STD_NUM_BARS) {
        *wide = true;
        high_old = pci_read32(d, reg + 4);
        pci_write32(d, reg + 4, UINT32_MAX);
        mask |= (uint64_t)pci_read32(d, reg + 4) << 32;
        pci_write32(d, reg + 4, high_old);
    } else {
        mask |= (uint64_t)UINT32_MAX << 32;
    }
    return -(mask & ~0xfull);
}

/* The window begins behind what is in use of it already: BARs of functions that decode. */
static void room_init(void)
{
    room.ready = true;
    room.next = acpi_info.pci_window;
    room.end = acpi_info.pci_window + acpi_info.pci_window_size;
    list_for_each (d, &pci_devices, struct pci_device, link) {
        uint16_t command = pci_read16(d, PCI_COMMAND);
        bool wide;

        if (!(command & PCI_COMMAND_MEMORY))
            continue;
        pci_write16(d, PCI_COMMAND, command & (uint16_t)~PCI_COMMAND_MEMORY);
        for (unsigned i = 0; i < nr_bars(d); i += wide ? 2 : 1) {
            phys_t at = pci_bar(d, i);
            uint64_t size = bar_size(d, i, &wide);
            if (at && at < room.end && at + size > room.next)
                room.next = at + size;
        }
        pci_write16(d, PCI_COMMAND, command);
    }
}

void pci_assign_bars(const struct pci_device *d)
{
    bool wide = false;

    if (pci_read16(d, PCI_COMMAND) & PCI_COMMAND_MEMORY)
        return; /* decoding: firmware did it */
    for (unsigned i = 0; i < nr_bars(d); i += wide ? 2 : 1) {
        uint32_t low = pci_read32(d, PCI_BASE_ADDRESS_0 + 4 * i);
        uint64_t size, at;

        wide = (low & 7) == PCI_BASE_ADDRESS_MEM_TYPE_64;
        if (low & PCI_BASE_ADDRESS_SPACE_IO || pci_bar(d, i))
            continue;
        size = bar_size(d, i, &wide);
        if (!size)
            continue;
        if (!room.ready)
            room_init();
        size = MAX(size, PAGE_SIZE); /* no two devices in a page */
        at = ALIGN_UP(room.next, size);
        if (at < room.next || at + size > room.end) {
            kprintf("pci %02x:%02x.%u: no room for BAR %u of %lu bytes\n", d->bus, d->slot,
                    d->function, i, size);
            continue;
        }
        room.next = at + size;
        pci_write32(d, PCI_BASE_ADDRESS_0 + 4 * i, (uint32_t)at);
        if (wide)
            pci_write32(d, PCI_BASE_ADDRESS_0 + 4 * (i + 1), 0);
    }
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

/* ICH9, q35's south bridge, wires INTx of slots 0-24 of its bus to I/O APIC inputs 20-23 whatever
 * firmware has routed elsewhere (datasheet §10.1; without a _PRT interpreter this has to be known).
 */
static bool is_ich9(void)
{
    list_for_each (d, &pci_devices, struct pci_device, link)
        if (d->bus == 0 && d->slot == ICH9_SLOT && d->function == 0)
            return d->vendor == VENDOR_INTEL && d->device == DEVICE_ICH9_LPC;
    return false;
}

int pci_intx_gsi(const struct pci_device *d, bool *level, bool *active_low)
{
    uint8_t pin = pci_read8(d, PCI_INTERRUPT_PIN), line = pci_read8(d, PCI_INTERRUPT_LINE);

    *level = true;
    *active_low = false;
    if (!pin)
        return -ENODEV;
    if (d->bus == 0 && d->slot < ICH9_FIXED_SLOT && is_ich9())
        return ICH9_PIRQE_GSI + (d->slot + pin - 1) % 4;
    if (!line || line == LINE_NONE)
        return -ENODEV;
    if (line < 16) {
        unsigned gsi = isa_irq_gsi(line, level, active_low);
        *level = true; /* PCI's always is, whether or not the MADT says so */
        return (int)gsi;
    }
    return line;
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
    if (!ecam.base && acpi_info.pci_root_ecam) {
        ecam.base = acpi_info.pci_root_ecam;
        ecam.last = NR_BUSES - 1;
    }
    if (ecam.base || ports_work())
        scan_bus(0);
}
