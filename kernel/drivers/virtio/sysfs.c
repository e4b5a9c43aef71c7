/*
 * /sys/bus/virtio/devices: of what Linux shows of virtio devices, the features as negotiated (one
 * digit a bit, from bit 0) and the device's type. Made once, after the drivers ran. Never sleeps.
 */
#include "drivers/virtio/virtio.h"

#include "fs/procfs.h"
#include "lib/init.h"
#include "mm/slab.h"

#include <linux/stat.h>

#define PLACE "/sys/bus/virtio/devices"

static void add(const struct virtio_device *dev, const char *name, const char *text)
{
    struct proc_file *f = kzalloc(sizeof(*f));
    char path[64];

    ksnprintf(path, sizeof(path), PLACE "/%s/%s", dev->name, name);
    if (f) {
        f->path = kstrdup(path);
        f->text = kstrdup(text);
        f->mode = 0444;
    }
    if (f && f->path && f->text)
        procfs_register_files(f, 1);
    else
        kprintf("%s: no memory for %s\n", dev->name, path);
}

static int virtio_sysfs_init(void)
{
    static struct proc_file place = {.path = PLACE,
                                     .mode = S_IFDIR | 0555}; /* also without devices */
    char text[64 + 2];

    procfs_register_files(&place, 1);
    list_for_each (dev, &virtio_devices, struct virtio_device, link) {
        for (unsigned bit = 0; bit < 64; bit++)
            text[bit] = virtio_has(dev, bit) ? '1' : '0';
        memcpy(text + 64, "\n", 2);
        add(dev, "features", text);
        ksnprintf(text, sizeof(text), "0x%04x\n", dev->id);
        add(dev, "device", text);
    }
    return 0;
}
INIT(INIT_NET, virtio_sysfs_init);
