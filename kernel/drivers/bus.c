/*
 * The order in which the machine is discovered. Called by the init levels; everything here is
 * set-up code and never sleeps.
 */
#include "arch/x86_64/irq.h"
#include "drivers/acpi/acpi.h"
#include "drivers/console.h"
#include "drivers/pci/pci.h"
#include "drivers/serial.h"
#include "drivers/virtio/mmio.h"
#include "drivers/virtio/virtio.h"
#include "lib/init.h"

/* Where I/O APICs are when no ACPI table says so: the PC's, and QEMU microvm's second one. */
#define IOAPIC_DEFAULT 0xfec00000
#define IOAPIC_INPUTS  24
#define IOAPIC_MICROVM 0xfec10000

/* The UART needs no discovery: what the kernel says from here on is seen at once. */
static int console_early_init(void)
{
    serial_early();
    return 0;
}
INIT(INIT_CORE, console_early_init);

static int bus_init(void)
{
    acpi_init();
    if (!acpi_info.nr_ioapics) {
        (void)ioapic_add(IOAPIC_DEFAULT, 0);
        if (virtio_mmio_highest_gsi() >= IOAPIC_INPUTS)
            (void)ioapic_add(IOAPIC_MICROVM, IOAPIC_INPUTS);
    }
    pci_init();
    return 0;
}
INIT(INIT_BUS, bus_init);

static int drivers_init(void)
{
    serial_init();
    virtio_mmio_probe();
    virtio_pci_probe();
    console_settle();
    return 0;
}
INIT(INIT_DRIVER, drivers_init);
