/*
 * Where virtio-mmio devices are. They are announced by virtio_mmio.device= on the command line, as
 * Linux takes it, and by ACPI (drivers/acpi/); Firecracker does both for the same device. Called
 * while the command line is parsed and from acpi_init(), before mmio.c looks at the places. Pure
 * but for its list; never sleeps.
 */
#include "drivers/virtio/mmio.h"

#include "lib/cmdline.h"

#include <asm/errno.h>
#include <linux/virtio_mmio.h>

#define MMIO_MIN (VIRTIO_MMIO_CONFIG + 4) /* all registers and a little configuration */

struct virtio_mmio_place virtio_mmio_places[VIRTIO_MMIO_MAX_PLACES];
unsigned virtio_mmio_nr_places;

void virtio_mmio_add(const struct virtio_mmio_place *p)
{
    if (p->size < MMIO_MIN || p->gsi > VIRTIO_MMIO_MAX_GSI) {
        kprintf("virtio-mmio@%#lx: %lu bytes with interrupt %u make no device\n", p->base, p->size,
                p->gsi);
        return;
    }
    for (unsigned i = 0; i < virtio_mmio_nr_places; i++)
        if (virtio_mmio_places[i].base == p->base) {
            virtio_mmio_places[i] = *p; /* the later one, ACPI, knows the interrupt's mode too */
            return;
        }
    if (virtio_mmio_nr_places == VIRTIO_MMIO_MAX_PLACES) {
        kprintf("virtio-mmio: more than %u devices, %#lx is left out\n", VIRTIO_MMIO_MAX_PLACES,
                p->base);
        return;
    }
    virtio_mmio_places[virtio_mmio_nr_places++] = *p;
}

unsigned virtio_mmio_highest_gsi(void)
{
    unsigned max = 0;
    for (unsigned i = 0; i < virtio_mmio_nr_places; i++)
        max = MAX(max, virtio_mmio_places[i].gsi);
    return max;
}

int virtio_mmio_parse(const char *s, struct virtio_mmio_place *p)
{
    uint64_t irq, id;

    *p = (struct virtio_mmio_place){0};
    if (!s || !(s = parse_size(s, &p->size)) || *s++ != '@' || !(s = parse_u64(s, &p->base)) ||
        *s++ != ':' || !(s = parse_u64(s, &irq)) || irq > VIRTIO_MMIO_MAX_GSI)
        return -EINVAL;
    if (*s == ':' && !(s = parse_u64(s + 1, &id)))
        return -EINVAL;
    if (*s || p->size < MMIO_MIN || !p->base || p->base % 4 || p->base + p->size < p->base)
        return -EINVAL;
    p->gsi = (unsigned)irq;
    return 0;
}

static int device_word(const char *value)
{
    struct virtio_mmio_place p;

    if (virtio_mmio_parse(value, &p) < 0)
        return -EINVAL;
    virtio_mmio_add(&p);
    return 0;
}
CMDLINE("virtio_mmio.device", device_word);
