/*
 * I/O APICs, for irq_alloc.c; ioapic_add() is in irq.h.
 */
#pragma once

#include "lib/base.h"

/* Delivers input gsi to this CPU as vector and unmasks it. 0, or -ENODEV if no I/O APIC has it. */
int ioapic_route(unsigned gsi, uint8_t vector, bool level, bool active_low);
