/*
 * The virtio core (virtio 1.2 §2-3): the life of a device from discovery to DRIVER_OK, and of its
 * queues. Called by transports (announce, interrupts) and by drivers (virtio.h). Never sleeps.
 */
#include "drivers/virtio/virtio.h"

#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/slab.h"

/* A generation that never settles is the device's fault; the value is then its problem too. */
#define CONFIG_TRIES 64

/* Tables of indirect descriptors have at most this part of the memory, where chains can do without:
 * 128 KiB, which is what a card's or a disk's have, from machines of more than 32 MiB on. */
#define TABLES_PART 256u

/* What the core takes whatever the driver wants. NOTIFICATION_DATA is not. */
#define CORE_FEATURES                                                                              \
    (VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) |                        \
     VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_F_RING_PACKED) |                  \
     VIRTIO_BIT(VIRTIO_F_IN_ORDER) | VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM) |                        \
     VIRTIO_BIT(VIRTIO_F_ORDER_PLATFORM))

extern const struct virtio_driver __virtio_drivers_start[], __virtio_drivers_end[];

struct list virtio_devices = LIST_INIT(virtio_devices);
static unsigned nr_devices;

static void add_status(struct virtio_device *dev, uint8_t bits)
{
    dev->status |= bits;
    dev->transport->set_status(dev, dev->status);
}

int virtio_negotiate(struct virtio_device *dev, uint64_t wanted)
{
    if (!(dev->offered & VIRTIO_BIT(VIRTIO_F_VERSION_1))) {
        kprintf("%s: %s is a legacy device, which is not supported\n", dev->name, dev->where);
        return -ENODEV;
    }
    dev->features = dev->offered & (wanted | CORE_FEATURES);
    /* Split rings whose buffers come back in order rest on one descriptor a buffer (virtq.h). */
    if (!virtio_has(dev, VIRTIO_F_RING_PACKED) && !virtio_has(dev, VIRTIO_RING_F_INDIRECT_DESC))
        dev->features &= ~VIRTIO_BIT(VIRTIO_F_IN_ORDER);
    dev->transport->set_features(dev, dev->features);
    add_status(dev, VIRTIO_CONFIG_S_FEATURES_OK);
    if (!(dev->transport->get_status(dev) & VIRTIO_CONFIG_S_FEATURES_OK)) {
        kprintf("%s: %s refuses features %#lx (offered %#lx)\n", dev->name, dev->where,
                dev->features, dev->offered);
        return -ENODEV;
    }
    return 0;
}

static unsigned order_of(size_t bytes)
{
    unsigned order = 0;
    while (PAGE_SIZE << order < bytes)
        order++;
    return order;
}

static unsigned power_of_two_below(unsigned n)
{
    return 1u << (31 - __builtin_clz(n));
}

struct virtq *virtio_queue(struct virtio_device *dev, unsigned index, unsigned max_size,
                           void (*callback)(struct virtq *vq), void *arg)
{
    bool packed = virtio_has(dev, VIRTIO_F_RING_PACKED);
    unsigned size = index < VIRTIO_MAX_QUEUES ? dev->transport->queue_max(dev, index) : 0;
    struct virtq *vq;
    size_t slots;
    phys_t ring;
    unsigned order;

    if (!size)
        return NULL;
    size = power_of_two_below(MIN(MIN(size, max_size), VIRTQ_MAX_SIZE));
    slots = virtq_slots_at(size, packed);
    order = order_of(slots + size * sizeof(struct virtq_slot));
    vq = kzalloc(sizeof(*vq));
    ring = frame_alloc(order);
    if (!vq || !ring)
        goto no_memory;
    memset(phys_to_virt(ring), 0, PAGE_SIZE << order);
    virtq_init(vq, size, packed, virtio_has(dev, VIRTIO_RING_F_EVENT_IDX), phys_to_virt(ring),
               (void *)((uint8_t *)phys_to_virt(ring) + slots));
    if (virtio_has(dev, VIRTIO_F_IN_ORDER))
        virtq_set_in_order(vq);
    vq->dev = dev;
    vq->index = (uint16_t)index;
    vq->callback = callback;
    vq->arg = arg;
    vq->msix_vector = -1;
    dev->queues[index] = vq;
    dev->nr_queues = MAX(dev->nr_queues, index + 1);
    if (dev->transport->queue_enable(
            dev, vq, ring, virt_to_phys(packed ? (void *)vq->driver_event : (void *)vq->avail),
            virt_to_phys(packed ? (void *)vq->device_event : (void *)vq->used)) == 0)
        return vq;
    /* The transport may have given it an interrupt: the struct stays, without its memory. */
    kprintf("%s: queue %u cannot be set up\n", dev->name, index);
    dev->queues[index] = NULL;
    vq->callback = NULL;
    (void)virtq_detach(vq);
    frame_put(ring);
    return NULL;

no_memory:
    kprintf("%s: no memory for queue %u of %u\n", dev->name, index, size);
    if (ring)
        frame_put(ring);
    kfree(vq);
    return NULL;
}

bool virtio_queue_tables(struct virtq *vq, unsigned len)
{
    unsigned order = order_of(vq->size * len * sizeof(struct vring_desc));
    phys_t tables = 0;

    if (!virtio_has(vq->dev, VIRTIO_RING_F_INDIRECT_DESC))
        return true;
    if (vq->single || TABLES_PART << order <= frame_stats().total)
        tables = frame_alloc(order);
    if (tables)
        virtq_set_tables(vq, phys_to_virt(tables), tables, len);
    return tables || !vq->single;
}

void virtio_ready(struct virtio_device *dev)
{
    char line[1024]; /* every feature there is, by name */

    add_status(dev, VIRTIO_CONFIG_S_DRIVER_OK);
    if (kinfo_wanted()) {
        (void)virtio_describe(dev, line, sizeof(line));
        kinfo("%s\n", line);
    }
}

void virtio_reset(struct virtio_device *dev)
{
    dev->status = 0;
    dev->transport->set_status(dev, 0);
}

unsigned virtio_queue_count(struct virtio_device *dev)
{
    return dev->transport->queue_count(dev);
}

void virtio_config_read(struct virtio_device *dev, unsigned off, void *buf, unsigned len)
{
    /* One access of up to 4 bytes is of one moment by itself (§2.5.1). */
    if (len <= 2 || (len == 4 && off % 4 == 0)) {
        dev->transport->config_read(dev, off, buf, len);
        return;
    }
    uint32_t generation = dev->transport->config_generation(dev);
    for (unsigned i = 0; i < CONFIG_TRIES; i++) {
        uint32_t before = generation;
        dev->transport->config_read(dev, off, buf, len);
        generation = dev->transport->config_generation(dev);
        if (generation == before)
            break;
    }
}

void virtio_config_write(struct virtio_device *dev, unsigned off, const void *buf, unsigned len)
{
    dev->transport->config_write(dev, off, buf, len);
}

void virtio_regs_read(const volatile char *regs, void *buf, unsigned len)
{
    uint8_t *out = buf;

    if (len == 2 && (uintptr_t)regs % 2 == 0) {
        uint16_t v = mmio_read16(regs);
        memcpy(out, &v, 2);
    } else if ((uintptr_t)regs % 4 == 0 && (len == 4 || len == 8)) {
        for (unsigned i = 0; i < len; i += 4) {
            uint32_t v = mmio_read32(regs + i);
            memcpy(out + i, &v, 4);
        }
    } else {
        for (unsigned i = 0; i < len; i++)
            out[i] = mmio_read8(regs + i);
    }
}

void virtio_regs_write(volatile char *regs, const void *buf, unsigned len)
{
    const uint8_t *in = buf;

    if (len == 2 && (uintptr_t)regs % 2 == 0) {
        uint16_t v;
        memcpy(&v, in, 2);
        mmio_write16(regs, v);
    } else if ((uintptr_t)regs % 4 == 0 && (len == 4 || len == 8)) {
        for (unsigned i = 0; i < len; i += 4) {
            uint32_t v;
            memcpy(&v, in + i, 4);
            mmio_write32(regs + i, v);
        }
    } else {
        for (unsigned i = 0; i < len; i++)
            mmio_write8(regs + i, in[i]);
    }
}

/* After a failed probe: the device reads and writes nothing of ours, its memory is free. Interrupt
 * handlers may still hold the queues' structs, which therefore stay. */
static void abandon(struct virtio_device *dev)
{
    virtio_reset(dev);
    add_status(dev, VIRTIO_CONFIG_S_FAILED);
    for (unsigned i = 0; i < dev->nr_queues; i++) {
        struct virtq *vq = dev->queues[i];
        if (!vq)
            continue;
        vq->callback = NULL;
        (void)virtq_detach(vq);
        frame_put(virt_to_phys(vq->ring_mem));
        if (vq->tables)
            frame_put(vq->tables_phys);
        vq->tables = NULL;
        vq->slot = NULL;
        vq->ring_mem = NULL;
        dev->queues[i] = NULL;
    }
    dev->config_changed = NULL;
}

void virtio_announce(struct virtio_device *dev)
{
    const struct virtio_driver *drv = __virtio_drivers_start;

    ksnprintf(dev->name, sizeof(dev->name), "virtio%u", nr_devices++);
    list_push_back(&virtio_devices, &dev->link);
    while (drv < __virtio_drivers_end && drv->id != dev->id)
        drv++;
    if (drv == __virtio_drivers_end) { /* it is in reset state and stays there */
        kinfo("%s: no driver for type %u at %s\n", dev->name, dev->id, dev->where);
        return;
    }
    virtio_reset(dev);
    add_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    add_status(dev, VIRTIO_CONFIG_S_DRIVER);
    dev->offered = dev->transport->get_features(dev);
    if (drv->probe(dev) < 0)
        abandon(dev);
}

void virtio_queue_interrupt(struct virtq *vq)
{
    vq->stats.irqs++;
    if (vq->callback)
        vq->callback(vq);
}

void virtio_all_queues_interrupt(struct virtio_device *dev)
{
    for (unsigned i = 0; i < dev->nr_queues; i++) {
        struct virtq *vq = dev->queues[i];
        if (vq && vq->msix_vector < 0 && virtq_pending(vq))
            virtio_queue_interrupt(vq);
    }
}

void virtio_config_interrupt(struct virtio_device *dev)
{
    dev->config_irqs++;
    if (dev->transport->get_status(dev) & VIRTIO_CONFIG_S_NEEDS_RESET && !dev->needs_reset) {
        dev->needs_reset = true;
        kprintf("%s: %s has failed and wants a reset\n", dev->name, dev->where);
    }
    if (dev->config_changed)
        dev->config_changed(dev);
}
