/*
 * The machine's ACPI tables: finds them, has them parsed, hands out what they say, and knows how
 * to power off and reset by them. Called once from bus_init(), and by power.c at the end, in any
 * context. Never sleeps.
 */
#include "drivers/acpi/acpi.h"

#include "arch/x86_64/boot.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/irq.h"
#include "drivers/power.h"
#include "drivers/rtc.h"
#include "drivers/virtio/mmio.h"
#include "mm/layout.h"
#include "mm/slab.h"

#define DIRECT_MAPPED (1 * GiB) /* below, the direct map has everything, RAM or not */

#define EBDA_POINTER 0x40e /* the BIOS data area: segment of the extended one */
#define EBDA_SCAN    1024
#define BIOS_START   0xe0000
#define BIOS_SIZE    0x20000

/* §4.8.3.2.1 */
#define PM1_SLP_TYP(t) ((uint32_t)(t) << 10)
#define PM1_SLP_MASK   0x1c00u
#define PM1_SLP_EN     0x2000u
/* §4.8.3.7 */
#define SLEEP_TYP(t) ((uint8_t)((t) << 2))
#define SLEEP_EN     0x20
#define SLEEP_WAK    0x80 /* sleep status: cleared by writing it */

/* Cloud Hypervisor before it had sleep registers in its FADT: the same value, a fixed port. */
#define CLOUDHV_OEM_ID     "CLOUDH"
#define CLOUDHV_SLEEP_PORT 0x600
#define CLOUDHV_S5         0x34

struct acpi_info acpi_info;
/* Mapped beforehand: power-off must not need memory. */
static volatile void *sleep_control, *sleep_status, *reset_register;

static const void *map(phys_t p, size_t len)
{
    if (p + len < p)
        return NULL;
    return p + len <= DIRECT_MAPPED ? phys_to_virt(p) : mmio_map(p, len);
}

static phys_t find_rsdp(void)
{
    phys_t ebda;
    long at;

    if (boot_info.rsdp)
        return boot_info.rsdp;
    ebda = (phys_t) * (const volatile uint16_t *)phys_to_virt(EBDA_POINTER) << 4;
    if (ebda >= 0x80000 && ebda < 0xa0000 &&
        (at = acpi_scan_rsdp(phys_to_virt(ebda), EBDA_SCAN)) >= 0)
        return ebda + (phys_t)at;
    at = acpi_scan_rsdp(phys_to_virt(BIOS_START), BIOS_SIZE);
    return at >= 0 ? BIOS_START + (phys_t)at : 0;
}

static volatile void *map_register(const struct acpi_gas *g)
{
    return g->address && g->space == ACPI_SPACE_MEMORY ? mmio_map(g->address, 4) : NULL;
}

static void write_register(const struct acpi_gas *g, volatile void *mapped, uint8_t v)
{
    if (mapped)
        mmio_write8(mapped, v);
    else if (g->address && g->space == ACPI_SPACE_IO)
        outb((uint16_t)g->address, v);
}

static void pm1_sleep(uint16_t port, uint8_t type)
{
    if (port)
        outw(port, (uint16_t)((inw(port) & ~PM1_SLP_MASK) | PM1_SLP_TYP(type) | PM1_SLP_EN));
}

static void power_off_s5(void)
{
    const struct acpi_info *a = &acpi_info;

    if (a->s5 && a->sleep_control.address) {
        write_register(&a->sleep_status, sleep_status, SLEEP_WAK);
        write_register(&a->sleep_control, sleep_control, SLEEP_TYP(a->s5_type_a) | SLEEP_EN);
    }
    if (a->s5 && !a->hw_reduced) {
        pm1_sleep(a->pm1a_cnt, a->s5_type_a);
        pm1_sleep(a->pm1b_cnt, a->s5_type_b);
    }
    if (!memcmp(a->oem_id, CLOUDHV_OEM_ID, 6))
        outb(CLOUDHV_SLEEP_PORT, CLOUDHV_S5);
}

static void reset_by_register(void)
{
    write_register(&acpi_info.reset, reset_register, acpi_info.reset_value);
}

void acpi_init(void)
{
    struct acpi_info *a = &acpi_info;
    phys_t rsdp = find_rsdp();

    if (!rsdp)
        return;
    if (acpi_parse(a, map, rsdp) < 0) {
        kprintf("ACPI: no valid tables at %#lx\n", rsdp);
        return;
    }
    if (a->bad_tables)
        kprintf("ACPI: %u damaged tables ignored\n", a->bad_tables);
    for (unsigned i = 0; i < a->nr_ioapics; i++)
        if (ioapic_add(a->ioapics[i].base, a->ioapics[i].first_gsi) < 0)
            kprintf("ACPI: no I/O APIC at %#lx\n", a->ioapics[i].base);
    for (unsigned i = 0; i < a->nr_overrides; i++)
        isa_irq_override(a->overrides[i].irq, a->overrides[i].gsi, a->overrides[i].level,
                         a->overrides[i].active_low);
    for (unsigned i = 0; i < a->nr_virtio; i++) {
        struct virtio_mmio_place p = {
            .base = a->virtio[i].base,
            .size = a->virtio[i].size,
            .gsi = a->virtio[i].gsi,
            .level = a->virtio[i].level,
            .active_low = a->virtio[i].active_low,
        };
        virtio_mmio_add(&p);
    }
    rtc_set_century_register(a->century_register);
    if (!a->fadt)
        return;
    sleep_control = map_register(&a->sleep_control);
    sleep_status = map_register(&a->sleep_status);
    power_register(power_off_s5);
    if (a->reset.address) {
        reset_register = map_register(&a->reset);
        power_register_reset(reset_by_register);
    }
}
