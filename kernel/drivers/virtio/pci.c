/*
 * Virtio over PCI, the modern interface (virtio 1.2 §4.1): register structures found through vendor
 * capabilities, MSI-X with a vector a queue, else one shared vector, else INTx. Called by the core
 * through the transport table and by the interrupts. Never sleeps.
 */
#include "drivers/pci/pci.h"

#include "arch/x86_64/irq.h"
#include "drivers/virtio/virtio.h"
#include "mm/slab.h"

#include <linux/virtio_pci.h>

#define VENDOR_REDHAT 0x1af4
#define DEVICE_FIRST  0x1000
#define DEVICE_MODERN 0x1040 /* + device type (§4.1.2.1) */
#define DEVICE_LAST   0x107f
#define CAP_SIZE      16
#define COMMON_SIZE   56 /* up to and with queue_device */
#define REGION_MAX    (64 * KiB)
#define RESET_TRIES   100000

enum region { COMMON, NOTIFY, ISR, CONFIG, NR_REGIONS };

struct pci_virtio {
    struct virtio_device dev;
    const struct pci_device *pci;
    volatile char *regs[NR_REGIONS]; /* NULL if the device has none */
    uint32_t length[NR_REGIONS];
    uint32_t notify_multiplier;
    struct pci_msix msix;
    bool use_msix, interrupt_ready;
    unsigned next_entry; /* of the MSI-X table; entry 0 is shared and the configuration's */
};

static struct pci_virtio *pv(struct virtio_device *dev)
{
    return container_of(dev, struct pci_virtio, dev);
}

static volatile char *common(struct virtio_device *dev)
{
    return pv(dev)->regs[COMMON];
}

static uint8_t pci_get_status(struct virtio_device *dev)
{
    return mmio_read8(common(dev) + VIRTIO_PCI_COMMON_STATUS);
}

static void pci_set_status(struct virtio_device *dev, uint8_t status)
{
    mmio_write8(common(dev) + VIRTIO_PCI_COMMON_STATUS, status);
    for (unsigned i = 0; !status && i < RESET_TRIES && pci_get_status(dev); i++)
        ; /* §4.1.4.3.2: the reset is done when it reads 0 */
}

static uint64_t pci_get_features(struct virtio_device *dev)
{
    volatile char *c = common(dev);
    uint64_t v;

    mmio_write32(c + VIRTIO_PCI_COMMON_DFSELECT, 0);
    v = mmio_read32(c + VIRTIO_PCI_COMMON_DF);
    mmio_write32(c + VIRTIO_PCI_COMMON_DFSELECT, 1);
    return v | (uint64_t)mmio_read32(c + VIRTIO_PCI_COMMON_DF) << 32;
}

static void pci_set_features(struct virtio_device *dev, uint64_t features)
{
    volatile char *c = common(dev);

    mmio_write32(c + VIRTIO_PCI_COMMON_GFSELECT, 0);
    mmio_write32(c + VIRTIO_PCI_COMMON_GF, (uint32_t)features);
    mmio_write32(c + VIRTIO_PCI_COMMON_GFSELECT, 1);
    mmio_write32(c + VIRTIO_PCI_COMMON_GF, (uint32_t)(features >> 32));
}

static unsigned pci_queue_count(struct virtio_device *dev)
{
    return MIN(mmio_read16(common(dev) + VIRTIO_PCI_COMMON_NUMQ), VIRTIO_MAX_QUEUES);
}

static unsigned pci_queue_max(struct virtio_device *dev, unsigned index)
{
    if (index >= pci_queue_count(dev))
        return 0;
    mmio_write16(common(dev) + VIRTIO_PCI_COMMON_Q_SELECT, (uint16_t)index);
    return mmio_read16(common(dev) + VIRTIO_PCI_COMMON_Q_SIZE);
}

static void shared_msix_interrupt(void *arg)
{
    struct pci_virtio *v = arg;

    virtio_all_queues_interrupt(&v->dev);
    virtio_config_interrupt(&v->dev); /* nothing tells which it was */
}

static void queue_msix_interrupt(void *arg)
{
    virtio_queue_interrupt(arg);
}

static void intx_interrupt(void *arg)
{
    struct pci_virtio *v = arg;
    uint8_t isr = mmio_read8(v->regs[ISR]); /* reading it lowers the line (§4.1.4.5) */

    if (isr & 1)
        virtio_all_queues_interrupt(&v->dev);
    if (isr & VIRTIO_PCI_ISR_CONFIG)
        virtio_config_interrupt(&v->dev);
}

static bool msix_setup(struct pci_virtio *v)
{
    volatile char *c = v->regs[COMMON];
    int vector;

    if (pci_msix_enable(v->pci, &v->msix) < 0)
        return false;
    vector = irq_alloc_vector(shared_msix_interrupt, v);
    if (vector < 0)
        return false;
    pci_msix_set(&v->msix, 0, (uint8_t)vector);
    v->next_entry = 1;
    mmio_write16(c + VIRTIO_PCI_COMMON_MSIX, 0);
    return mmio_read16(c + VIRTIO_PCI_COMMON_MSIX) == 0; /* else NO_VECTOR: it has no room */
}

static int intx_setup(struct pci_virtio *v)
{
    bool level, low;
    int gsi = v->regs[ISR] ? pci_intx_gsi(v->pci, &level, &low) : -ENODEV;

    return gsi < 0 ? gsi : irq_route_gsi((unsigned)gsi, level, low, intx_interrupt, v);
}

static void interrupt_setup(struct pci_virtio *v)
{
    int r;

    v->interrupt_ready = true;
    v->use_msix = msix_setup(v);
    if (v->use_msix) {
        pci_command(v->pci, PCI_COMMAND_INTX_DISABLE, 0);
        return;
    }
    if (v->msix.cap)
        pci_write16(v->pci, v->msix.cap + PCI_MSIX_FLAGS, 0);
    r = intx_setup(v);
    if (r < 0)
        kprintf("%s: %s: no interrupt (error %d), the device can only be polled\n", v->dev.name,
                v->dev.where, -r);
}

/* A vector of its own for a queue that has a callback, as long as there are entries. */
static uint16_t queue_entry(struct pci_virtio *v, struct virtq *vq)
{
    int vector;

    if (!v->use_msix || !vq->callback)
        return VIRTIO_MSI_NO_VECTOR;
    if (v->next_entry >= v->msix.entries)
        return 0;
    vector = irq_alloc_vector(queue_msix_interrupt, vq);
    if (vector < 0)
        return 0;
    vq->msix_vector = vector;
    pci_msix_set(&v->msix, v->next_entry, (uint8_t)vector);
    return (uint16_t)v->next_entry++;
}

static void set_address(volatile char *reg, phys_t p)
{
    mmio_write32(reg, (uint32_t)p);
    mmio_write32(reg + 4, (uint32_t)(p >> 32));
}

/* §4.1.5.1.3 */
static int pci_queue_enable(struct virtio_device *dev, struct virtq *vq, phys_t desc, phys_t driver,
                            phys_t device)
{
    struct pci_virtio *v = pv(dev);
    volatile char *c = v->regs[COMMON];
    uint64_t notify;
    uint16_t entry;

    if (!v->interrupt_ready)
        interrupt_setup(v);
    mmio_write16(c + VIRTIO_PCI_COMMON_Q_SELECT, vq->index);
    notify = (uint64_t)mmio_read16(c + VIRTIO_PCI_COMMON_Q_NOFF) * v->notify_multiplier;
    if (notify + sizeof(uint16_t) > v->length[NOTIFY])
        return -EINVAL;
    vq->notify = v->regs[NOTIFY] + notify;
    vq->notify16 = true;
    vq->notify_value = vq->index;
    entry = queue_entry(v, vq);
    mmio_write16(c + VIRTIO_PCI_COMMON_Q_SIZE, vq->size);
    if (v->use_msix) {
        mmio_write16(c + VIRTIO_PCI_COMMON_Q_MSIX, entry);
        if (mmio_read16(c + VIRTIO_PCI_COMMON_Q_MSIX) != entry)
            return -EBUSY;
    }
    set_address(c + VIRTIO_PCI_COMMON_Q_DESCLO, desc);
    set_address(c + VIRTIO_PCI_COMMON_Q_AVAILLO, driver);
    set_address(c + VIRTIO_PCI_COMMON_Q_USEDLO, device);
    mmio_write16(c + VIRTIO_PCI_COMMON_Q_ENABLE, 1);
    return 0;
}

static uint32_t pci_generation(struct virtio_device *dev)
{
    return mmio_read8(common(dev) + VIRTIO_PCI_COMMON_CFGGENERATION);
}

static bool in_config(struct pci_virtio *v, unsigned off, unsigned len)
{
    return v->regs[CONFIG] && off <= v->length[CONFIG] && len <= v->length[CONFIG] - off;
}

static void pci_config_read(struct virtio_device *dev, unsigned off, void *buf, unsigned len)
{
    if (in_config(pv(dev), off, len))
        virtio_regs_read(pv(dev)->regs[CONFIG] + off, buf, len);
    else
        memset(buf, 0, len);
}

static void pci_config_write(struct virtio_device *dev, unsigned off, const void *buf, unsigned len)
{
    if (in_config(pv(dev), off, len))
        virtio_regs_write(pv(dev)->regs[CONFIG] + off, buf, len);
}

static const struct virtio_transport transport = {
    .name = "virtio-pci",
    .get_status = pci_get_status,
    .set_status = pci_set_status,
    .get_features = pci_get_features,
    .set_features = pci_set_features,
    .queue_count = pci_queue_count,
    .queue_max = pci_queue_max,
    .queue_enable = pci_queue_enable,
    .config_generation = pci_generation,
    .config_read = pci_config_read,
    .config_write = pci_config_write,
};

/* One capability (§4.1.4): maps what it points at. The first usable one of a type counts. */
static void take_cap(struct pci_virtio *v, unsigned cap)
{
    static const uint32_t least[NR_REGIONS] = {[COMMON] = COMMON_SIZE, [NOTIFY] = 2, [ISR] = 1};
    uint8_t type = pci_read8(v->pci, cap + VIRTIO_PCI_CAP_CFG_TYPE);
    enum region r = type - VIRTIO_PCI_CAP_COMMON_CFG;
    uint32_t off, length;
    phys_t base;

    if (type < VIRTIO_PCI_CAP_COMMON_CFG || r >= NR_REGIONS || v->regs[r])
        return;
    base = pci_bar(v->pci, pci_read8(v->pci, cap + VIRTIO_PCI_CAP_BAR));
    off = pci_read32(v->pci, cap + VIRTIO_PCI_CAP_OFFSET);
    length = pci_read32(v->pci, cap + VIRTIO_PCI_CAP_LENGTH);
    if (!base || length < least[r] || length == 0 || base + off + length < base)
        return;
    length = (uint32_t)MIN((uint64_t)length, REGION_MAX);
    v->regs[r] = mmio_map(base + off, length);
    v->length[r] = length;
    if (r == NOTIFY)
        v->notify_multiplier = pci_read32(v->pci, cap + VIRTIO_PCI_NOTIFY_CAP_MULT);
}

static void probe_function(const struct pci_device *d)
{
    struct pci_virtio *v = kzalloc(sizeof(*v));

    if (!v) {
        kprintf("virtio-pci: out of memory\n");
        return;
    }
    v->pci = d;
    v->dev.transport = &transport;
    /* A transitional device has its type in the subsystem ID, and the modern interface as well. */
    v->dev.id =
        d->device >= DEVICE_MODERN ? d->device - DEVICE_MODERN : pci_read16(d, PCI_SUBSYSTEM_ID);
    ksnprintf(v->dev.where, sizeof(v->dev.where), "pci %02x:%02x.%u", d->bus, d->slot, d->function);
    pci_assign_bars(d);
    pci_command(d, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    for (unsigned cap = pci_find_cap(d, PCI_CAP_ID_VNDR, 0), n = 0; cap && n < CAP_SIZE; n++) {
        take_cap(v, cap);
        cap = pci_find_cap(d, PCI_CAP_ID_VNDR, cap);
    }
    if (!v->regs[COMMON] || !v->regs[NOTIFY]) {
        kprintf("virtio %s: device %u has no modern interface%s\n", v->dev.where, v->dev.id,
                d->device < DEVICE_MODERN ? "; QEMU: disable-legacy=on" : "");
        kfree(v);
        return;
    }
    virtio_announce(&v->dev);
}

void virtio_pci_probe(void)
{
    list_for_each (d, &pci_devices, struct pci_device, link)
        if (d->vendor == VENDOR_REDHAT && d->device >= DEVICE_FIRST && d->device <= DEVICE_LAST)
            probe_function(d);
}
