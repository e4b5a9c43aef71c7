/*
 * I/O APICs (Intel 82093AA datasheet; SDM vol. 3 §11.9 for the message that comes out): the inputs
 * that interrupt lines end at. All inputs are masked after reset and stay so until routed. Called
 * by irq_alloc.c and ACPI set-up; never sleeps.
 */
#include "arch/x86_64/ioapic.h"

#include "arch/x86_64/io.h"
#include "arch/x86_64/irq.h"
#include "mm/slab.h"

#include <asm/errno.h>

#define MAX_IOAPICS 8
#define IOAPIC_SIZE 0x20

#define IOREGSEL 0x00 /* memory: which register IOWIN shows */
#define IOWIN    0x10

#define IOAPICVER   0x01 /* bits 23:16: last input */
#define IOREDTBL(n) (0x10 + 2 * (n))
#define REDIR_LOW   (1u << 13) /* active low */
#define REDIR_LEVEL (1u << 15)

static struct {
    volatile char *regs;
    phys_t base;
    unsigned first, count;
} ioapics[MAX_IOAPICS];
static unsigned nr_ioapics;

static void reg_write(unsigned i, unsigned reg, uint32_t v)
{
    mmio_write32(ioapics[i].regs + IOREGSEL, reg);
    mmio_write32(ioapics[i].regs + IOWIN, v);
}

int ioapic_add(phys_t base, unsigned first_gsi)
{
    volatile char *regs;
    uint32_t version;

    for (unsigned i = 0; i < nr_ioapics; i++)
        if (ioapics[i].base == base)
            return -EEXIST;
    if (nr_ioapics == MAX_IOAPICS)
        return -ENOSPC;
    regs = mmio_map(base, IOAPIC_SIZE);
    if (!regs)
        return -ENOMEM;
    mmio_write32(regs + IOREGSEL, IOAPICVER);
    version = mmio_read32(regs + IOWIN);
    if (version == UINT32_MAX) /* nothing answers */
        return -ENODEV;
    ioapics[nr_ioapics].regs = regs;
    ioapics[nr_ioapics].base = base;
    ioapics[nr_ioapics].first = first_gsi;
    ioapics[nr_ioapics].count = (version >> 16 & 0xff) + 1;
    nr_ioapics++;
    return 0;
}

int ioapic_route(unsigned gsi, uint8_t vector, bool level, bool active_low)
{
    for (unsigned i = 0; i < nr_ioapics; i++) {
        unsigned input = gsi - ioapics[i].first;

        if (input >= ioapics[i].count)
            continue;
        /* Fixed delivery to APIC ID 0, physical: the destination first, then the unmasked rest. */
        reg_write(i, IOREDTBL(input) + 1, 0);
        reg_write(i, IOREDTBL(input),
                  vector | (level ? REDIR_LEVEL : 0) | (active_low ? REDIR_LOW : 0));
        return 0;
    }
    return -ENODEV;
}
