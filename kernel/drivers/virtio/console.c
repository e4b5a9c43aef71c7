/*
 * The console device (virtio 1.2 §5.3), its first port: console hvc0. Output is copied into a few
 * buffers of our own and left to the device; input comes by interrupt. Called through struct
 * console in any context, by the virtio core and its interrupt. Never sleeps.
 *
 * When all buffers are with the device, it is waited for, with a limit: a host that does not read
 * costs the output, not the server (as in serial.c).
 */
#include "drivers/console.h"

#include "arch/x86_64/cpu.h"
#include "drivers/virtio/virtio.h"
#include "mm/layout.h"
#include "mm/slab.h"
#include "sched/clock.h"

#define QUEUE_RECEIVE  0
#define QUEUE_TRANSMIT 1
#define NR_OUT         8
#define OUT_SIZE       1024
#define NR_IN          2
#define IN_SIZE        256
#define WAIT_NS        (500 * NSEC_PER_MSEC)
#define WAIT_TRIES     50000000

struct buffer {
    struct buffer *next; /* free list */
    char data[OUT_SIZE];
};

struct hvc {
    struct console console;
    struct virtq *in, *out;
    struct buffer *free;
    bool stuck;
    uint64_t dropped, received;
    struct buffer buffers[NR_OUT];
    char input[NR_IN][IN_SIZE];
};

static void collect(struct hvc *h)
{
    struct buffer *b;
    uint32_t len;

    while ((b = virtq_pop(h->out, &len))) {
        b->next = h->free;
        h->free = b;
        h->stuck = false;
    }
}

/* Collects until all (or, one: any) output buffers are back; false if the host takes too long. */
static bool wait_free(struct hvc *h, bool all)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < WAIT_TRIES; i++) {
        collect(h);
        if (all ? virtq_nfree(h->out) == h->out->size : h->free != NULL)
            return true;
        if (h->stuck || h->out->broken)
            return false;
        if (!end)
            end = clock_mono_ns() + WAIT_NS;
        else if (clock_mono_ns() >= end)
            break;
        cpu_relax();
    }
    h->stuck = true;
    return false;
}

static void hvc_write(struct console *c, const char *s, size_t n)
{
    struct hvc *h = container_of(c, struct hvc, console);

    while (n) {
        size_t part = MIN(n, (size_t)OUT_SIZE);
        struct buffer *b;

        virtq_kick(h->out);
        if (!wait_free(h, false)) {
            h->dropped += n;
            return;
        }
        b = h->free;
        h->free = b->next;
        memcpy(b->data, s, part);
        if (virtq_add_one(h->out, virt_to_phys(b->data), (uint32_t)part, VIRTQ_READ, b) < 0) {
            b->next = h->free;
            h->free = b;
            h->dropped += n;
            return;
        }
        s += part;
        n -= part;
    }
    virtq_kick(h->out);
}

static void hvc_flush(struct console *c)
{
    (void)wait_free(container_of(c, struct hvc, console), true);
}

static void post_input(struct hvc *h, char *buf)
{
    (void)virtq_add_one(h->in, virt_to_phys(buf), IN_SIZE, VIRTQ_WRITE, buf);
}

static void input(struct virtq *vq)
{
    struct hvc *h = vq->arg;
    uint32_t len;
    char *buf;

    do {
        while ((buf = virtq_pop(vq, &len))) {
            h->received += len;
            console_input(buf, len);
            post_input(h, buf);
        }
        virtq_kick(vq);
    } while (!virtq_enable_irq(vq));
}

static int console_probe(struct virtio_device *dev)
{
    struct hvc *h = kzalloc(sizeof(*h));

    if (!h)
        return -ENOMEM;
    dev->priv = h;
    if (virtio_negotiate(dev, 0) < 0 || !(h->in = virtio_queue(dev, QUEUE_RECEIVE, 16, input, h)) ||
        !(h->out = virtio_queue(dev, QUEUE_TRANSMIT, 16, NULL, h))) {
        kfree(h);
        return -ENODEV;
    }
    virtio_ready(dev);
    for (unsigned i = 0; i < NR_OUT; i++) {
        h->buffers[i].next = h->free;
        h->free = &h->buffers[i];
    }
    for (unsigned i = 0; i < NR_IN; i++)
        post_input(h, h->input[i]);
    (void)virtq_enable_irq(h->in);
    virtq_kick(h->in);
    h->console.name = "hvc0";
    h->console.write = hvc_write;
    h->console.flush = hvc_flush;
    console_register(&h->console);
    return 0;
}
VIRTIO_DRIVER(VIRTIO_ID_CONSOLE, console_probe);
