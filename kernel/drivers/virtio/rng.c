/*
 * The entropy device (virtio 1.2 §5.4): feeds the kernel's generator. One buffer is asked for at
 * boot, more every few minutes. Boot does not wait for it unless the CPU has no generator of its
 * own, and then not for long. Called by the virtio core, its interrupt and a timer; never sleeps.
 */
#include "drivers/virtio/virtio.h"

#include "arch/x86_64/cpu.h"
#include "lib/random.h"
#include "mm/layout.h"
#include "mm/slab.h"
#include "sched/clock.h"
#include "sched/timer.h"

#define SEED_BYTES 64
#define REFILL_NS  (300 * NSEC_PER_SEC)
#define BOOT_WAIT  (2 * NSEC_PER_MSEC)
#define BOOT_TRIES 100000

struct rng {
    struct virtq *vq;
    struct timer refill;
    uint64_t bytes; /* received */
    uint8_t seed[SEED_BYTES];
};

static void ask(struct rng *r)
{
    if (virtq_add_one(r->vq, virt_to_phys(r->seed), SEED_BYTES, VIRTQ_WRITE, r) < 0)
        return; /* broken: the device is of no use any more, the generator goes on without */
    (void)virtq_enable_irq(r->vq);
    virtq_kick(r->vq);
}

static bool take(struct rng *r)
{
    uint32_t len;

    if (!virtq_pop(r->vq, &len))
        return false;
    random_seed(r->seed, len);
    r->bytes += len;
    memset(r->seed, 0, sizeof(r->seed));
    (void)timer_set(&r->refill, clock_mono_ns() + REFILL_NS);
    return true;
}

static void done(struct virtq *vq)
{
    (void)take(vq->arg);
}

static void refill(struct timer *t)
{
    ask(container_of(t, struct rng, refill));
}

static int rng_probe(struct virtio_device *dev)
{
    struct rng *r = kzalloc(sizeof(*r));
    uint64_t end;

    if (!r)
        return -ENOMEM;
    dev->priv = r;
    timer_init(&r->refill, refill);
    if (virtio_negotiate(dev, 0) < 0 || !(r->vq = virtio_queue(dev, 0, 8, done, r))) {
        kfree(r);
        return -ENODEV;
    }
    virtio_ready(dev);
    ask(r);
    if (cpu_features.rdrand || cpu_features.rdseed)
        return 0;
    end = clock_mono_ns() + BOOT_WAIT;
    for (unsigned i = 0; i < BOOT_TRIES && !take(r) && clock_mono_ns() < end; i++)
        cpu_relax();
    return 0;
}
VIRTIO_DRIVER(VIRTIO_ID_RNG, rng_probe);
