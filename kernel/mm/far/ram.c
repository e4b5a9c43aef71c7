/*
 * A backend in this machine's own memory, "ram:SIZE[,latency=NSEC]" of wherry.far=: far memory
 * without a network, to test mm/far with and to see what it costs itself. A transfer takes the
 * latency, as many as there are at the same time.
 */
#include "mm/far/internal.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "sched/clock.h"

static phys_t *places; /* by slot, made when first written */
static uint64_t latency;
static struct list queue = LIST_INIT(queue);

static bool ram_submit(struct far_io *io)
{
    if (io->class == FAR_EVICT && places[io->slot] == 0) {
        places[io->slot] = frame_alloc(0);
        if (places[io->slot] == 0)
            return false;
    }
    io->ready = io->started + latency;
    list_push_back(&queue, &io->link);
    return true;
}

static void ram_kick(void)
{
}

static bool ram_poll(void)
{
    bool any = false;

    while (!list_empty(&queue)) {
        struct far_io *io = list_first(&queue, struct far_io, link);

        if (io->ready > clock_mono_ns())
            break;
        list_remove(&io->link);
        if (io->class == FAR_EVICT)
            memcpy(phys_to_virt(places[io->slot]), phys_to_virt(io->page), PAGE_SIZE);
        else
            memcpy(phys_to_virt(io->page), (uint8_t *)phys_to_virt(places[io->slot]) + io->at,
                   io->len);
        far_io_done(io, 0);
        any = true;
    }
    return any;
}

static bool ram_arm(void)
{
    return list_empty(&queue);
}

static bool ram_idle(void)
{
    return list_empty(&queue);
}

static struct far_backend ram = {.name = "ram",
                                 .submit = ram_submit,
                                 .kick = ram_kick,
                                 .poll = ram_poll,
                                 .arm = ram_arm,
                                 .idle = ram_idle};

const struct far_backend *far_ram_open(uint64_t bytes, uint64_t latency_ns)
{
    uint64_t n = bytes / PAGE_SIZE;

    if (n == 0 || n > SLOT_MASK)
        return NULL;
    places = vmalloc((n + 1) * sizeof(*places));
    if (places == NULL)
        return NULL;
    memset(places, 0, (n + 1) * sizeof(*places));
    latency = latency_ns;
    ram.slots = (uint32_t)n;
    return &ram;
}
