/*
 * Where virtio-mmio devices are: told by the command line and ACPI before they are probed.
 */
#pragma once

#include "lib/base.h"

#define VIRTIO_MMIO_MAX_GSI    1023
#define VIRTIO_MMIO_MAX_PLACES 64

struct virtio_mmio_place {
    uint64_t base, size;
    unsigned gsi;
    bool level, active_low;
};

extern struct virtio_mmio_place virtio_mmio_places[VIRTIO_MMIO_MAX_PLACES];
extern unsigned virtio_mmio_nr_places;

/* Notes a device; one at a base that is known already replaces it. */
void virtio_mmio_add(const struct virtio_mmio_place *p);
/* SIZE@BASE:IRQ[:ID], the value of virtio_mmio.device=. 0 or -EINVAL. Pure. */
int virtio_mmio_parse(const char *s, struct virtio_mmio_place *p);
unsigned virtio_mmio_highest_gsi(void);
