/*
 * Interrupt lines and vectors. Handlers run with interrupts off, on the kernel stack of
 * the thread that was interrupted, and only ever interrupt application code or the idle
 * loop (kernel code runs with interrupts off): they may touch any kernel state, wake
 * threads and run the network stack, but must not sleep.
 */
#pragma once

#include "lib/base.h"

typedef void (*irq_handler)(void *arg);

/* Takes a free vector (0x30-0xef) for the handler; -ENOSPC when none is left. For MSI-X: the
 * device then writes data = vector to address msi_address(). */
int irq_alloc_vector(irq_handler fn, void *arg);
static inline uint64_t msi_address(void)
{
    return 0xfee00000; /* SDM vol. 3 §11.11.1: APIC ID 0, physical, fixed */
}

/* Routes global system interrupt gsi (an I/O APIC input) to the handler. Level-triggered lines of
 * one mode can be shared: each handler is called and looks whether its device is meant. 0,
 * -ENODEV (no I/O APIC has it), -EBUSY (taken, cannot be shared), -ENOSPC or -ENOMEM. */
int irq_route_gsi(unsigned gsi, bool level, bool active_low, irq_handler fn, void *arg);
/* An I/O APIC found by ACPI or known from the machine type; call before irq_route_gsi. */
int ioapic_add(phys_t base, unsigned first_gsi);
/* ISA interrupt to GSI, after the MADT's source overrides; identity until told otherwise. */
void isa_irq_override(unsigned isa, unsigned gsi, bool level, bool active_low);
unsigned isa_irq_gsi(unsigned isa, bool *level, bool *active_low);

struct irq_stats {
    uint64_t delivered; /* device interrupts that had a handler */
    uint64_t spurious;  /* on vectors nobody has taken */
};
extern struct irq_stats irq_stats;
