/*
 * Virtio devices (virtio 1.2 §2-3): what a device driver sees, and what a transport (mmio.c,
 * pci.c) supplies. The core (core.c) finds the driver of each device the transports announce,
 * during INIT_DRIVER. Nothing here sleeps; all of it is set-up code but the queues (virtq.h).
 *
 * A driver:
 *
 *     VIRTIO_DRIVER(VIRTIO_ID_RNG, rng_probe);
 *
 *     static int rng_probe(struct virtio_device *dev)
 *     {
 *         virtio_negotiate(dev, features it can use);
 *         vq = virtio_queue(dev, 0, 256, rng_done, state);
 *         virtio_ready(dev);
 *         ... add buffers, kick ...
 *         return 0;
 *     }
 *
 * The device was reset and has status ACKNOWLEDGE|DRIVER when probe is called. A probe that returns
 * a negative errno has printed why; the core then resets the device, sets FAILED and frees the
 * queues.
 */
#pragma once

#include "drivers/virtio/virtq.h"
#include "lib/base.h"
#include "lib/list.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

/* A network card's eight pairs and its control queue, which stands behind all of them. */
#define VIRTIO_MAX_QUEUES 17

#define VIRTIO_BIT(f) (1ull << (f))

struct virtio_transport;

struct virtio_device {
    struct list link;
    uint32_t id;    /* VIRTIO_ID_*, §5 */
    char name[12];  /* "virtio0", in the order found */
    char where[24]; /* "mmio@0xfeb00e00", "pci 00:03.0" */
    const struct virtio_transport *transport;
    uint64_t offered;                        /* feature bits of the device */
    uint64_t features;                       /* negotiated; valid after virtio_negotiate() */
    struct virtq *queues[VIRTIO_MAX_QUEUES]; /* by index; NULL if not set up */
    unsigned nr_queues;                      /* the highest index that was, and one */
    /* Set by the driver if it cares; from the interrupt. */
    void (*config_changed)(struct virtio_device *dev);
    void *priv; /* the driver's */
    uint64_t config_irqs;
    uint8_t status;   /* as last written (§2.1) */
    bool needs_reset; /* the device said so (DEVICE_NEEDS_RESET) */
};

struct virtio_driver {
    uint32_t id;
    int (*probe)(struct virtio_device *dev);
};

#define VIRTIO_DRIVER(id_, probe_)                                                                 \
    static const struct virtio_driver virtio_driver_##probe_                                       \
        __attribute__((section(".virtio_drivers"), used, aligned(8))) = {id_, probe_}

static inline bool virtio_has(const struct virtio_device *dev, unsigned feature)
{
    return dev->features & VIRTIO_BIT(feature);
}

/*
 * Accepts offered & (wanted | what the core itself handles: VERSION_1, EVENT_IDX, RING_PACKED,
 * INDIRECT_DESC, IN_ORDER, ACCESS_PLATFORM, ORDER_PLATFORM) and tells the device (§3.1.1 steps
 * 4-6). 0, or -ENODEV with a message if the device is legacy or refuses.
 */
int virtio_negotiate(struct virtio_device *dev, uint64_t wanted);
/*
 * Sets up queue index with the largest size both sides take, at most max_size (a power of two).
 * callback runs in the interrupt when the device has finished buffers (with interrupts enabled by
 * virtq_enable_irq(); they are disabled at first); NULL: polled only. vq->arg = arg. NULL if the
 * device has no such queue or there is no memory.
 */
struct virtq *virtio_queue(struct virtio_device *dev, unsigned index, unsigned max_size,
                           void (*callback)(struct virtq *vq), void *arg);
/*
 * For queues with chains of several segments, before their first buffer: up to len segments lie in
 * a table and take one place in the ring, if the device can (INDIRECT_DESC) and memory is not
 * short: 16 bytes a segment for each place. Longer ones take a place a segment. A split ring in
 * order takes chains by tables or not at all; false: there is no memory for them.
 */
bool virtio_queue_tables(struct virtq *vq, unsigned len);
/* DRIVER_OK: the device is live from here on; only now may queues be kicked. */
void virtio_ready(struct virtio_device *dev);
/* Resets the device: it touches no memory any more, its queues are gone for it. Buffers in flight
 * come back by virtq_detach(). */
void virtio_reset(struct virtio_device *dev);
/* Number of queues the device has; for virtio-mmio VIRTIO_MAX_QUEUES (virtio_queue() tells). */
unsigned virtio_queue_count(struct virtio_device *dev);

/* Configuration space (§2.5). virtio_config_read repeats until the generation is stable (bounded),
 * so that len bytes are of one moment; bytes beyond the device's space read as zero or ones. */
void virtio_config_read(struct virtio_device *dev, unsigned off, void *buf, unsigned len);
void virtio_config_write(struct virtio_device *dev, unsigned off, const void *buf, unsigned len);
static inline uint8_t virtio_config_u8(struct virtio_device *dev, unsigned off)
{
    uint8_t v;
    virtio_config_read(dev, off, &v, sizeof(v));
    return v;
}
static inline uint16_t virtio_config_u16(struct virtio_device *dev, unsigned off)
{
    uint16_t v;
    virtio_config_read(dev, off, &v, sizeof(v));
    return v;
}
static inline uint32_t virtio_config_u32(struct virtio_device *dev, unsigned off)
{
    uint32_t v;
    virtio_config_read(dev, off, &v, sizeof(v));
    return v;
}
static inline uint64_t virtio_config_u64(struct virtio_device *dev, unsigned off)
{
    uint64_t v;
    virtio_config_read(dev, off, &v, sizeof(v));
    return v;
}

/*
 * What was negotiated, as a line of text: kind, place, rings (index:size), how the device is told
 * of work, features in use and those offered that are not. The length that it all has; to holds
 * what fits, terminated. Pure.
 */
size_t virtio_describe(const struct virtio_device *dev, char *to, size_t size);

/* Every device found, for statistics and /sys. */
extern struct list virtio_devices;

/* ---- For transports only. ---- */

struct virtio_transport {
    const char *name;
    uint8_t (*get_status)(struct virtio_device *dev);
    void (*set_status)(struct virtio_device *dev, uint8_t status); /* 0 resets, and waits for it */
    uint64_t (*get_features)(struct virtio_device *dev);
    void (*set_features)(struct virtio_device *dev, uint64_t features);
    unsigned (*queue_count)(struct virtio_device *dev);
    unsigned (*queue_max)(struct virtio_device *dev, unsigned index); /* 0: no such queue */
    /* Tells the device where the rings are (physical), routes the interrupt, sets vq->notify. */
    int (*queue_enable)(struct virtio_device *dev, struct virtq *vq, phys_t desc, phys_t driver,
                        phys_t device);
    uint32_t (*config_generation)(struct virtio_device *dev);
    void (*config_read)(struct virtio_device *dev, unsigned off, void *buf, unsigned len);
    void (*config_write)(struct virtio_device *dev, unsigned off, const void *buf, unsigned len);
};

/* A transport found a device: reset it, find its driver, probe. dev stays, whatever the outcome. */
void virtio_announce(struct virtio_device *dev);
/* Finds the devices of each transport and announces them; once, in INIT_DRIVER. */
void virtio_mmio_probe(void);
void virtio_pci_probe(void);
/* Device registers as the configuration space is accessed by: bytes, or the field's width when it
 * is 1, 2, 4 or 8 and aligned (§4.1.3.1, §4.2.2.2). */
void virtio_regs_read(const volatile char *regs, void *buf, unsigned len);
void virtio_regs_write(volatile char *regs, const void *buf, unsigned len);
/* From a transport's interrupt: queues have completions; the configuration changed. */
void virtio_queue_interrupt(struct virtq *vq);
void virtio_all_queues_interrupt(struct virtio_device *dev);
void virtio_config_interrupt(struct virtio_device *dev);
