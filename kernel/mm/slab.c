/*
 * Size-class allocator. A slab is one block of frames whose first bytes hold its header;
 * kfree() finds the header from the frame metadata. Objects of one class come from the
 * first partly used slab; full slabs are on no list; an empty slab goes back to the
 * frame allocator unless it is the only partial one of its class.
 */
#include "mm/slab.h"

#include "mm/frame.h"
#include "lib/list.h"
#include "mm/layout.h"

#define SLAB_MAX   2048
#define SLAB_GRAIN 16

struct slab {
    struct list link; /* on class->partial while it has free objects */
    void *free;
    struct slab_class *class;
    uint32_t used, total;
    uint64_t pad[3]; /* objects start on a cache line */
};
_Static_assert(sizeof(struct slab) == 64, "objects start on a cache line");

struct slab_class {
    uint32_t size;
    uint8_t order; /* of a slab's block */
    struct list partial;
};

/* Sizes that fill their slab well: 4 KiB slabs up to 256 bytes, 16 KiB above. */
static struct slab_class classes[] = {
    {16, 0, {0}},  {32, 0, {0}},  {48, 0, {0}},  {64, 0, {0}},   {96, 0, {0}},   {128, 0, {0}},
    {192, 0, {0}}, {256, 0, {0}}, {384, 2, {0}}, {512, 2, {0}},  {768, 2, {0}},  {1024, 2, {0}},
    {1344, 2, {0}}, {1600, 2, {0}}, {2048, 2, {0}},
};

static uint8_t class_of_size[SLAB_MAX / SLAB_GRAIN + 1];
static struct slab_stats stats;

static void init_classes(void)
{
    unsigned c = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(classes); i++)
        list_init(&classes[i].partial);
    for (unsigned i = 0; i < ARRAY_SIZE(class_of_size); i++) {
        if (i * SLAB_GRAIN > classes[c].size)
            c++;
        class_of_size[i] = c;
    }
}

static struct slab *slab_create(struct slab_class *c)
{
    phys_t p = frame_alloc(c->order);
    struct slab *s;
    char *obj, *end;

    if (!p)
        return NULL;
    for (unsigned i = 0; i < 1u << c->order; i++) {
        struct frame *f = frame_of(p + i * PAGE_SIZE);
        f->state = FRAME_SLAB;
        f->order = c->order;
    }
    s = phys_to_virt(p);
    s->class = c;
    s->used = s->total = 0;
    s->free = NULL;
    end = (char *)s + (PAGE_SIZE << c->order);
    /* Chained so that the lowest address is handed out first. */
    for (obj = end - (end - (char *)(s + 1)) % c->size - c->size; obj >= (char *)(s + 1);
         obj -= c->size) {
        *(void **)obj = s->free;
        s->free = obj;
        s->total++;
    }
    list_push_front(&c->partial, &s->link);
    stats.bytes_reserved += PAGE_SIZE << c->order;
    return s;
}

static void slab_destroy(struct slab *s)
{
    struct slab_class *c = s->class;
    phys_t p = virt_to_phys(s);

    list_remove(&s->link);
    stats.bytes_reserved -= PAGE_SIZE << c->order;
    for (unsigned i = 0; i < 1u << c->order; i++)
        frame_of(p + i * PAGE_SIZE)->state = i ? FRAME_TAIL : FRAME_USED;
    frame_put(p);
}

static void *large_alloc(size_t size)
{
    unsigned order = 0;
    phys_t p;

    while ((PAGE_SIZE << order) < size)
        if (++order > FRAME_MAX_ORDER)
            return NULL;
    p = frame_alloc(order);
    if (!p)
        return NULL;
    stats.large_bytes += PAGE_SIZE << order;
    return phys_to_virt(p);
}

void *kmalloc(size_t size)
{
    struct slab_class *c;
    struct slab *s;
    void *obj;

    if (unlikely(size > SLAB_MAX))
        return large_alloc(size);
    c = &classes[class_of_size[(size + SLAB_GRAIN - 1) / SLAB_GRAIN]];
    if (unlikely(!c->partial.next)) {
        init_classes();
        return kmalloc(size);
    }
    s = list_first(&c->partial, struct slab, link);
    if (unlikely(!s)) {
        s = slab_create(c);
        if (!s)
            return NULL;
    }
    obj = s->free;
    s->free = *(void **)obj;
    s->used++;
    if (unlikely(!s->free))
        list_remove(&s->link);
    stats.bytes_used += c->size;
    return obj;
}

void *kzalloc(size_t size)
{
    void *p = kmalloc(size);

    if (likely(p != NULL))
        memset(p, 0, size);
    return p;
}

static struct slab *slab_of(void *p, struct frame **frame)
{
    struct frame *f = frame_of(virt_to_phys(p));

    assert(f != NULL);
    *frame = f;
    if (f->state != FRAME_SLAB)
        return NULL;
    return (struct slab *)ALIGN_DOWN((virt_t)p, PAGE_SIZE << f->order);
}

void kfree(void *p)
{
    struct frame *f;
    struct slab *s;

    if (!p)
        return;
    s = slab_of(p, &f);
    if (unlikely(!s)) {
        assert(f->state == FRAME_USED && !((virt_t)p & ~PAGE_MASK));
        stats.large_bytes -= PAGE_SIZE << f->order;
        frame_put(virt_to_phys(p));
        return;
    }
    assert(s->used > 0);
    stats.bytes_used -= s->class->size;
    if (unlikely(!s->free))
        list_push_front(&s->class->partial, &s->link);
    *(void **)p = s->free;
    s->free = p;
    if (unlikely(--s->used == 0) && s->class->partial.next->next != &s->class->partial)
        slab_destroy(s);
}

void *krealloc(void *p, size_t size)
{
    struct frame *f;
    struct slab *s;
    size_t old;
    void *n;

    if (!p)
        return kmalloc(size);
    s = slab_of(p, &f);
    old = s ? s->class->size : PAGE_SIZE << f->order;
    if (size <= old && size > old / 4)
        return p;
    n = kmalloc(size);
    if (!n)
        return NULL;
    memcpy(n, p, MIN(old, size));
    kfree(p);
    return n;
}

char *kstrdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = kmalloc(n);

    return p ? memcpy(p, s, n) : NULL;
}

struct slab_stats slab_stats(void)
{
    return stats;
}
