/*
 * Virtio over MMIO (virtio 1.2 §4.2), at the places that mmio_place.c collected. Called by the core
 * through the transport table, and by the line's interrupt. Never sleeps.
 */
#include "drivers/virtio/mmio.h"

#include "arch/x86_64/irq.h"
#include "drivers/virtio/virtio.h"
#include "mm/slab.h"

#include <linux/virtio_mmio.h>

#define MMIO_MAGIC  0x74726976 /* "virt" */
#define MMIO_MODERN 2
#define MMIO_MAX    (64 * KiB) /* no device has more registers */
#define RESET_TRIES 100000

struct mmio_device {
    struct virtio_device dev;
    volatile char *regs;
    struct virtio_mmio_place place;
    bool routed;
};

static struct mmio_device *mmio(struct virtio_device *dev)
{
    return container_of(dev, struct mmio_device, dev);
}

static uint32_t get(struct virtio_device *dev, unsigned reg)
{
    return mmio_read32(mmio(dev)->regs + reg);
}

static void set(struct virtio_device *dev, unsigned reg, uint32_t v)
{
    mmio_write32(mmio(dev)->regs + reg, v);
}

static uint8_t mmio_get_status(struct virtio_device *dev)
{
    return (uint8_t)get(dev, VIRTIO_MMIO_STATUS);
}

static void mmio_set_status(struct virtio_device *dev, uint8_t status)
{
    set(dev, VIRTIO_MMIO_STATUS, status);
    for (unsigned i = 0; !status && i < RESET_TRIES && get(dev, VIRTIO_MMIO_STATUS); i++)
        ;
}

static uint64_t mmio_get_features(struct virtio_device *dev)
{
    uint64_t v;

    set(dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    v = get(dev, VIRTIO_MMIO_DEVICE_FEATURES);
    set(dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    return v | (uint64_t)get(dev, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
}

static void mmio_set_features(struct virtio_device *dev, uint64_t features)
{
    set(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    set(dev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
    set(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    set(dev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
}

static unsigned mmio_queue_count(struct virtio_device *dev)
{
    return VIRTIO_MAX_QUEUES; /* no register tells; queue_max does, one by one */
}

static unsigned mmio_queue_max(struct virtio_device *dev, unsigned index)
{
    set(dev, VIRTIO_MMIO_QUEUE_SEL, index);
    return get(dev, VIRTIO_MMIO_QUEUE_NUM_MAX);
}

static void mmio_interrupt(void *arg)
{
    struct mmio_device *m = arg;
    uint32_t status = get(&m->dev, VIRTIO_MMIO_INTERRUPT_STATUS);

    if (!status)
        return; /* a shared line's other device */
    /* Before the queues are looked at: what comes after this raises the line anew. */
    set(&m->dev, VIRTIO_MMIO_INTERRUPT_ACK, status);
    if (status & VIRTIO_MMIO_INT_VRING)
        virtio_all_queues_interrupt(&m->dev);
    if (status & VIRTIO_MMIO_INT_CONFIG)
        virtio_config_interrupt(&m->dev);
}

static void set_address(struct virtio_device *dev, unsigned low, phys_t p)
{
    set(dev, low, (uint32_t)p);
    set(dev, low + 4, (uint32_t)(p >> 32));
}

/* §4.2.3.2; the queue is not in use, the device was just reset. */
static int mmio_queue_enable(struct virtio_device *dev, struct virtq *vq, phys_t desc,
                             phys_t driver, phys_t device)
{
    struct mmio_device *m = mmio(dev);
    int r;

    if (!m->routed) {
        r = irq_route_gsi(m->place.gsi, m->place.level, m->place.active_low, mmio_interrupt, m);
        if (r < 0) {
            kprintf("%s: %s: interrupt %u cannot be routed\n", dev->name, dev->where, m->place.gsi);
            return r;
        }
        m->routed = true;
    }
    vq->notify = m->regs + VIRTIO_MMIO_QUEUE_NOTIFY;
    vq->notify_value = vq->index;
    set(dev, VIRTIO_MMIO_QUEUE_SEL, vq->index);
    set(dev, VIRTIO_MMIO_QUEUE_NUM, vq->size);
    set_address(dev, VIRTIO_MMIO_QUEUE_DESC_LOW, desc);
    set_address(dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, driver);
    set_address(dev, VIRTIO_MMIO_QUEUE_USED_LOW, device);
    set(dev, VIRTIO_MMIO_QUEUE_READY, 1);
    return 0;
}

static uint32_t mmio_generation(struct virtio_device *dev)
{
    return get(dev, VIRTIO_MMIO_CONFIG_GENERATION);
}

static bool in_config(struct mmio_device *m, unsigned off, unsigned len)
{
    uint64_t room = m->place.size - VIRTIO_MMIO_CONFIG;
    return off <= room && len <= room - off;
}

static void mmio_config_read(struct virtio_device *dev, unsigned off, void *buf, unsigned len)
{
    struct mmio_device *m = mmio(dev);

    if (in_config(m, off, len))
        virtio_regs_read(m->regs + VIRTIO_MMIO_CONFIG + off, buf, len);
    else
        memset(buf, 0, len);
}

static void mmio_config_write(struct virtio_device *dev, unsigned off, const void *buf,
                              unsigned len)
{
    struct mmio_device *m = mmio(dev);

    if (in_config(m, off, len))
        virtio_regs_write(m->regs + VIRTIO_MMIO_CONFIG + off, buf, len);
}

static const struct virtio_transport transport = {
    .name = "virtio-mmio",
    .get_status = mmio_get_status,
    .set_status = mmio_set_status,
    .get_features = mmio_get_features,
    .set_features = mmio_set_features,
    .queue_count = mmio_queue_count,
    .queue_max = mmio_queue_max,
    .queue_enable = mmio_queue_enable,
    .config_generation = mmio_generation,
    .config_read = mmio_config_read,
    .config_write = mmio_config_write,
};

static void probe_place(const struct virtio_mmio_place *p)
{
    size_t size = MIN(p->size, MMIO_MAX);
    volatile char *regs = mmio_map(p->base, size);
    struct mmio_device *m;
    uint32_t id, version;

    if (!regs || mmio_read32(regs + VIRTIO_MMIO_MAGIC_VALUE) != MMIO_MAGIC) {
        kprintf("virtio-mmio@%#lx: no device there\n", p->base);
        return;
    }
    id = mmio_read32(regs + VIRTIO_MMIO_DEVICE_ID);
    if (!id)
        return; /* a place without a device (§4.2.2.2) */
    version = mmio_read32(regs + VIRTIO_MMIO_VERSION);
    if (version != MMIO_MODERN) {
        kprintf("virtio-mmio@%#lx: device %u has the %s interface (version %u), which is not "
                "supported%s\n",
                p->base, id, version == 1 ? "legacy" : "unknown", version,
                version == 1 ? "; QEMU: -global virtio-mmio.force-legacy=false" : "");
        return;
    }
    m = kzalloc(sizeof(*m));
    if (!m) {
        kprintf("virtio-mmio@%#lx: out of memory\n", p->base);
        return;
    }
    m->regs = regs;
    m->place = *p;
    m->place.size = size;
    m->dev.id = id;
    m->dev.transport = &transport;
    ksnprintf(m->dev.where, sizeof(m->dev.where), "mmio@%#lx", p->base);
    virtio_announce(&m->dev);
}

void virtio_mmio_probe(void)
{
    for (unsigned i = 0; i < virtio_mmio_nr_places; i++)
        probe_place(&virtio_mmio_places[i]);
}
