/*
 * Pages on their way: the table of transfers, and what becomes of a page when one is done. Called
 * by fault.c and reclaim.c of this folder, by the backend with far_io_done(), and by mm/ through
 * far.h when pages that are away or on their way are unmapped or moved.
 */
#include "mm/far/internal.h"
#include "mm/far/slots.h"
#include "mm/frame.h"
#include "lib/random.h"
#include "mm/slab.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <asm/errno.h>

#define IOS 128u
/* So many are left for pages that somebody waits for. */
#define IOS_DEMAND 16u
#define COPIES     64u /* pages that are being sent, at most */
#define TRIES      3u  /* to get back a page that is not the one that was stored */

bool far_on;
struct far_stats far_stats;
const struct far_backend *far_backend;
unsigned far_reading, far_writing;

static struct far_io ios[IOS];
static struct far_io *free_ios[IOS];
static unsigned nr_free_ios;
static phys_t copies[COPIES];
static unsigned nr_copies;
static struct far_slots slots;
static uint32_t *words; /* of all frames */
static enum far_verify verify;
static struct waitq room = WAITQ_INIT(room);

uint32_t *far_word(phys_t frame)
{
    return &words[frame_number(frame)];
}

uint32_t far_slot_take(void)
{
    return far_slot_alloc(&slots);
}

void far_slot_give(uint32_t slot)
{
    far_slot_free(&slots, slot);
    if (far_backend->forget != NULL)
        far_backend->forget(slot);
}

struct far_space far_space(void)
{
    return (struct far_space){.slots = slots.most, .used = slots.used};
}

static uint64_t coming_entry(const struct far_io *io)
{
    return PTE_FAR | PTE_COMING | (uint64_t)(io - ios) << PAGE_SHIFT;
}

static uint64_t away_entry(uint32_t slot)
{
    return PTE_FAR | (uint64_t)slot << PAGE_SHIFT;
}

struct far_io *far_io_of(uint64_t pte)
{
    return &ios[(pte & PTE_ADDR) >> PAGE_SHIFT];
}

int far_wait_room(uint64_t ns)
{
    return waitq_sleep_uninterruptible(&room, 1, ns == WAIT_FOREVER ? ns : clock_mono_ns() + ns);
}

/* ---- Starting ---- */

static struct far_io *io_next(enum far_class class, virt_t va, uint32_t slot, phys_t page)
{
    struct far_io *io = free_ios[nr_free_ios - 1];

    io->used = true;
    io->class = class;
    io->va = va;
    io->slot = slot;
    io->page = page;
    io->at = 0;
    io->len = PAGE_SIZE;
    io->orphan = io->part = false;
    io->tries = 0;
    io->started = clock_mono_ns();
    return io;
}

static bool io_submit(struct far_io *io)
{
    if (!far_backend->submit(io)) {
        io->used = false;
        return false;
    }
    nr_free_ios--;
    return true;
}

bool far_read(virt_t va, uint64_t *pte, enum far_class class)
{
    uint32_t slot = (uint32_t)((*pte & PTE_ADDR) >> PAGE_SHIFT);
    struct far_io *io;
    phys_t page;

    if (nr_free_ios <= (class == FAR_DEMAND ? 0 : IOS_DEMAND))
        return false;
    page = frame_alloc(0);
    if (page == 0)
        return false;
    io = io_next(class, va, slot, page);
    if (!io_submit(io)) {
        frame_put(page);
        return false;
    }
    *pte = coming_entry(io);
    far_reading++;
    return true;
}

bool far_read_part(virt_t va, uint64_t pte, size_t n, void *to, unsigned tag)
{
    phys_t place = virt_to_phys(to);
    struct far_io *io;

    if (nr_free_ios <= IOS_DEMAND)
        return false;
    io = io_next(FAR_PREFETCH, va, (uint32_t)((pte & PTE_ADDR) >> PAGE_SHIFT), place);
    io->part = true;
    io->at = (uint16_t)(va & ~PAGE_MASK);
    io->len = (uint16_t)n;
    io->tag = (uint16_t)tag;
    if (!io_submit(io))
        return false;
    far_reading++;
    return true;
}

bool far_write(virt_t va, phys_t frame)
{
    uint32_t *word = far_word(frame);
    struct far_io *io;

    if (nr_free_ios <= IOS_DEMAND || nr_copies == 0)
        return false;
    far_seal(*word & SLOT_MASK, phys_to_virt(copies[nr_copies - 1]), phys_to_virt(frame));
    io = io_next(FAR_EVICT, va, *word & SLOT_MASK, copies[nr_copies - 1]);
    if (!io_submit(io))
        return false;
    nr_copies--;
    io->frame = frame;
    *word |= SLOT_WRITING;
    far_writing++;
    far_stats.written++;
    return true;
}

/* ---- Done ---- */

/* Is it what was sent? Then it is the page, as it was before. */
static bool genuine(const struct far_io *io)
{
    if (far_unseal(io->slot, phys_to_virt(io->page)))
        return true;
    if (far_stats.forged++ == 0)
        kprintf("wherry: far memory (%s) gave back a page that is not what was stored\n",
                far_backend->name);
    return false;
}

/* The page is here: unless nobody wants it any more, it becomes present. */
static void came(struct far_io *io, int err)
{
    uint64_t *pte, entry;
    struct vma *v;

    far_reading--;
    if (io->orphan) {
        frame_put(io->page);
        far_slot_give(io->slot);
        return;
    }
    pte = pte_lookup(io->va, false, NULL);
    assert(pte && *pte == coming_entry(io));
    if (unlikely(err < 0)) {
        far_stats.errors++;
        frame_put(io->page);
        *pte = away_entry(io->slot) | PTE_LOST;
        return;
    }
    v = vma_find(io->va);
    entry = io->page | (mmu_rights(v->prot) & ~PTE_D) | PTE_ANON;
    *far_word(io->page) = io->slot;
    if (io->class == FAR_PREFETCH && list_empty(&io->waiters.waiters)) {
        entry &= ~PTE_A;
        *far_word(io->page) |= SLOT_AHEAD;
    } else if (io->class == FAR_PREFETCH) {
        far_stats.hits++;
    }
    *pte = entry; /* it was not present: nothing to be flushed */
    mmu_account(entry, 1);
    far_stats.remote--;
}

/* A copy has arrived: the page may leave, if it has not been touched or locked since. */
static void went(struct far_io *io, int err)
{
    uint32_t *word = far_word(io->frame);
    uint64_t *pte;

    far_writing--;
    histogram_add(&far_stats.write_ns, clock_mono_ns() - io->started);
    copies[nr_copies++] = io->page;
    if (io->orphan) {
        far_slot_give(io->slot);
        return;
    }
    *word &= ~SLOT_WRITING;
    if (unlikely(err < 0)) { /* without a slot it counts as never sent */
        far_stats.errors++;
        far_slot_give(io->slot);
        *word = 0;
        return;
    }
    pte = pte_lookup(io->va, false, NULL);
    if (pte && (*pte & PTE_ADDR) == io->frame && !(vma_find(io->va)->flags & VMA_LOCKED))
        far_evict_clean(io->va, pte);
}

static void part_came(struct far_io *io, int err)
{
    far_reading--;
    if (err < 0)
        far_stats.errors++;
    else
        far_unseal_part(io->slot, io->at, phys_to_virt(io->page), io->len);
    far_prefetcher->came_part(io->tag, err == 0);
}

void far_io_done(struct far_io *io, int err)
{
    if (err == 0 && !io->part && io->class != FAR_EVICT && !io->orphan && !genuine(io)) {
        /* Another copy of it, or another moment, may give the right one. */
        if (io->tries++ < TRIES && far_backend->submit(io)) {
            far_stats.retried++;
            return;
        }
        err = -EBADMSG;
    }
    if (io->class == FAR_EVICT) {
        went(io, err);
    } else if (io->part) {
        part_came(io, err);
    } else {
        came(io, err);
        if (far_prefetcher->came != NULL)
            far_prefetcher->came(io->va, err == 0 && !io->orphan);
    }
    io->used = false;
    free_ios[nr_free_ios++] = io;
    waitq_wake_all(&io->waiters, 1);
    waitq_wake_all(&room, 1);
}

bool far_evict_clean(virt_t va, uint64_t *pte)
{
    uint64_t entry = *pte;
    phys_t frame = entry & PTE_ADDR;
    uint32_t *word;

    if ((entry & (PTE_P | PTE_ANON | PTE_A | PTE_D)) != (PTE_P | PTE_ANON) ||
        frame_of(frame)->refs != 1)
        return false;
    word = far_word(frame);
    if (*word == 0 || *word & SLOT_WRITING)
        return false;
    *pte = away_entry(*word & SLOT_MASK);
    tlb_flush_page(va);
    mmu_account(entry, -1);
    if (*word & SLOT_AHEAD)
        far_stats.wasted++;
    *word = 0;
    frame_put(frame);
    far_stats.remote++;
    far_stats.evicted++;
    return true;
}

/* ---- Unmapped, moved ---- */

void far_zap(uint64_t pte)
{
    far_stats.remote--;
    if (pte & PTE_COMING)
        far_io_of(pte)->orphan = true;
    else
        far_slot_give((uint32_t)((pte & PTE_ADDR) >> PAGE_SHIFT));
}

void far_forget(phys_t frame)
{
    uint32_t *word = far_word(frame);

    if (*word & SLOT_WRITING) {
        for (unsigned i = 0; i < IOS; i++)
            if (ios[i].used && ios[i].class == FAR_EVICT && ios[i].frame == frame)
                ios[i].orphan = true;
    } else if (*word != 0) {
        far_slot_give(*word & SLOT_MASK);
    }
    *word = 0;
}

void far_moved(uint64_t pte, virt_t to)
{
    if (pte & PTE_COMING)
        far_io_of(pte)->va = to;
}

/* ---- Start ---- */

/* Where nothing is under way others use memory too, and what is here may become too much; which
 * need not be noticed at once. */
#define LOOK_NS NSEC_PER_MSEC

static bool poll(struct poller *p)
{
    static uint64_t look;
    bool any = false, quiet = far_reading + far_writing == 0;
    uint64_t now;

    if (!quiet || !far_backend->idle())
        any = far_backend->poll();
    if (far_prefetcher->poll != NULL)
        far_prefetcher->poll();
    now = clock_mono_ns();
    if (quiet && now < look)
        return any;
    look = now + LOOK_NS;
    if (far_is_tight())
        far_reclaim();
    else
        far_join(now);
    return any;
}

/* While somebody waits for a page the CPU does not halt. */
static bool arm(struct poller *p)
{
    return far_reading == 0 && far_backend->arm();
}

static bool haltpoll_far(const struct poller *p)
{
    return far_backend->idle();
}

static struct poller poller = {.poll = poll, .arm = arm, .idle = haltpoll_far, .first = true};

int far_start(const struct far_backend *b, enum far_verify how, const struct far_cipher *cipher)
{
    uint64_t *map = vmalloc(far_slots_bytes(b->slots));
    size_t bytes = far_seal_bytes(how, b->slots);
    void *table = bytes > 0 ? vmalloc(bytes) : NULL;
    uint8_t key[FAR_CIPHER_KEY];

    words = vmalloc(frame_numbers() * sizeof(*words));
    for (nr_copies = 0; nr_copies < COPIES; nr_copies++) {
        copies[nr_copies] = frame_alloc(0);
        if (copies[nr_copies] == 0)
            break;
    }
    if (!map || !words || nr_copies < COPIES || (bytes > 0 && !table))
        return -ENOMEM; /* the boot ends */
    random_bytes(far_key, sizeof(far_key));
    random_bytes(key, sizeof(key));
    far_seal_init(how, b->slots, table, cipher, key);
    verify = how;
    memset(key, 0, sizeof(key));
    barrier();
    memset(map, 0, far_slots_bytes(b->slots));
    memset(words, 0, frame_numbers() * sizeof(*words));
    far_slots_init(&slots, map, b->slots);
    for (struct far_io *io = ios; io < ios + IOS; io++) {
        waitq_init(&io->waiters);
        free_ios[nr_free_ios++] = io;
    }
    far_backend = b;
    far_on = true;
    poller_register(&poller);
    return 0;
}

/* Slots with the numbers that there are now have all that belongs to them; larger ones get it. */
static int grow(uint32_t nr)
{
    size_t bytes = far_seal_bytes(verify, nr);
    uint64_t *old = slots.map, *map = vmalloc(far_slots_bytes(nr));
    void *table = bytes > 0 ? vmalloc(bytes) : NULL;

    if (map == NULL || (bytes > 0 && table == NULL)) {
        if (map != NULL)
            vfree(map);
        if (table != NULL)
            vfree(table);
        return -ENOMEM;
    }
    table = far_seal_move(slots.nr, nr, table);
    if (table != NULL)
        vfree(table);
    memset(map, 0, far_slots_bytes(nr));
    far_slots_grow(&slots, map, nr);
    vfree(old);
    return 0;
}

int far_resize(uint32_t nr)
{
    if (nr > slots.nr && grow(nr) < 0)
        return -ENOMEM;
    slots.most = nr;
    return 0;
}
