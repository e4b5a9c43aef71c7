/*
 * The block device (virtio 1.2 §5.2). A transfer is one chain: header, pages, status byte.
 * Any number of threads may have one under way; each sleeps until the interrupt finds its own
 * done. A device that never answers costs its request a bounded wait and an error; the
 * request and its pages are then left to the device, for it may still write there.
 */
#include "drivers/blkdev.h"
#include "drivers/virtio/virtio.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/slab.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <linux/virtio_blk.h>

/* By tables, where the device can, each request takes one place; else as many as it has segments.
 */
#define QUEUE_SIZE 128
#define SEGMENTS   (BLK_MAX_SEGS + 2) /* of a transfer: header, pages, status */
#define TIMEOUT_NS (30 * NSEC_PER_SEC)

struct virtio_blk {
    struct blkdev dev;
    struct virtq *vq;
    struct waitq room; /* threads that found the queue full */
    bool can_flush;
};

struct request {
    struct virtio_blk_outhdr header;
    uint8_t status;
    bool done;
    struct thread *thread; /* NULL: it no longer waits */
    unsigned n;
    phys_t frames[BLK_MAX_SEGS]; /* referenced */
};

static unsigned nr_disks;

static void request_free(struct request *r)
{
    for (unsigned i = 0; i < r->n; i++)
        frame_put(r->frames[i]);
    kfree(r);
}

static void completed(struct virtq *vq)
{
    struct virtio_blk *vb = vq->arg;
    struct request *r;
    uint32_t len;

    do {
        virtq_disable_irq(vq);
        while ((r = virtq_pop(vq, &len))) {
            r->done = true;
            if (r->thread)
                thread_wake(r->thread);
            else
                request_free(r);
        }
    } while (!virtq_enable_irq(vq));
    waitq_wake(&vb->room, ~0u);
}

/* Queues the chain, waiting for room, and sleeps until it is done. */
static int submit(struct virtio_blk *vb, struct request *r, const struct virtq_seg *segs,
                  unsigned n)
{
    uint64_t deadline = clock_mono_ns() + TIMEOUT_NS;
    int err;

    r->thread = current();
    while ((err = virtq_add(vb->vq, segs, n, r)) == -ENOSPC)
        if (waitq_sleep_uninterruptible(&vb->room, ~0u, deadline) < 0)
            break;
    if (err < 0) {
        request_free(r);
        return -EIO;
    }
    if (!virtq_enable_irq(vb->vq))
        completed(vb->vq);
    virtq_kick(vb->vq);
    while (!r->done)
        if (!thread_block(deadline) && !r->done) {
            vb->dev.stats.timeouts++;
            r->thread = NULL;
            return -EIO; /* r stays the device's */
        }
    err = r->status == VIRTIO_BLK_S_OK ? 0 : r->status == VIRTIO_BLK_S_UNSUPP ? -EOPNOTSUPP : -EIO;
    request_free(r);
    return err;
}

static struct request *new_request(uint32_t type, uint64_t off)
{
    struct request *r = kzalloc(sizeof(*r));

    if (r) {
        r->header.type = type;
        r->header.sector = off / BLK_SECTOR;
        r->status = VIRTIO_BLK_S_IOERR;
    }
    return r;
}

static int blk_transfer(struct blkdev *b, bool write, uint64_t off, const phys_t *frames,
                        unsigned n)
{
    struct virtio_blk *vb = container_of(b, struct virtio_blk, dev);
    struct virtq_seg segs[SEGMENTS];
    uint64_t left = off < b->size ? b->size - off : 0;
    struct request *r;
    unsigned k = 0;
    int err;

    if (!n || n > BLK_MAX_SEGS || off % BLK_SECTOR || left <= (n - 1) * PAGE_SIZE)
        return -EINVAL;
    if (write && b->read_only)
        return -EROFS;
    r = new_request(write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, off);
    if (!r)
        return -ENOMEM;
    segs[k++] = (struct virtq_seg){virt_to_phys(&r->header), sizeof(r->header), VIRTQ_READ};
    for (unsigned i = 0; i < n; i++, left -= MIN(left, PAGE_SIZE)) {
        frame_get(frames[i]);
        r->frames[r->n++] = frames[i];
        segs[k++] =
            (struct virtq_seg){frames[i], MIN(left, PAGE_SIZE), write ? VIRTQ_READ : VIRTQ_WRITE};
    }
    segs[k++] = (struct virtq_seg){virt_to_phys(&r->status), 1, VIRTQ_WRITE};
    err = submit(vb, r, segs, k);
    if (err < 0) {
        b->stats.errors++;
    } else if (write) {
        b->stats.writes++;
        b->stats.write_bytes += n * PAGE_SIZE;
    } else {
        b->stats.reads++;
        b->stats.read_bytes += n * PAGE_SIZE;
    }
    return err;
}

static int blk_flush(struct blkdev *b)
{
    struct virtio_blk *vb = container_of(b, struct virtio_blk, dev);
    struct virtq_seg segs[2];
    struct request *r;

    if (!vb->can_flush)
        return 0;
    r = new_request(VIRTIO_BLK_T_FLUSH, 0);
    if (!r)
        return -ENOMEM;
    segs[0] = (struct virtq_seg){virt_to_phys(&r->header), sizeof(r->header), VIRTQ_READ};
    segs[1] = (struct virtq_seg){virt_to_phys(&r->status), 1, VIRTQ_WRITE};
    return submit(vb, r, segs, 2);
}

static int blk_probe(struct virtio_device *dev)
{
    struct virtio_blk *vb = kzalloc(sizeof(*vb));
    int err;

    if (!vb)
        return -ENOMEM;
    dev->priv = vb;
    waitq_init(&vb->room);
    err = virtio_negotiate(dev, VIRTIO_BIT(VIRTIO_BLK_F_RO) | VIRTIO_BIT(VIRTIO_BLK_F_FLUSH));
    if (err == 0 && (!(vb->vq = virtio_queue(dev, 0, QUEUE_SIZE, completed, vb)) ||
                     !virtio_queue_tables(vb->vq, SEGMENTS)))
        err = -ENODEV;
    if (err < 0) {
        kfree(vb);
        return err;
    }
    vb->can_flush = virtio_has(dev, VIRTIO_BLK_F_FLUSH);
    vb->dev.size = virtio_config_u64(dev, offsetof(struct virtio_blk_config, capacity));
    vb->dev.size = vb->dev.size > UINT64_MAX / BLK_SECTOR ? 0 : vb->dev.size * BLK_SECTOR;
    vb->dev.read_only = virtio_has(dev, VIRTIO_BLK_F_RO);
    vb->dev.transfer = blk_transfer;
    vb->dev.flush = blk_flush;
    ksnprintf(vb->dev.name, sizeof(vb->dev.name), "vd%c", 'a' + (char)(nr_disks++ % 26));
    virtio_ready(dev);
    blkdev_register(&vb->dev);
    return 0;
}
VIRTIO_DRIVER(VIRTIO_ID_BLOCK, blk_probe);
