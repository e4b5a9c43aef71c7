/*
 * Interrupt vectors and who handles them (irq.h). Vectors are handed out upwards and never
 * returned, as devices stay. A global system interrupt gets a vector when it is first routed;
 * more handlers may share it (PCI INTx). Called by drivers at set-up and by the trap code for each
 * device interrupt; never sleeps.
 */
#include "arch/x86_64/irq.h"

#include "arch/x86_64/ioapic.h"
#include "mm/slab.h"

#include <asm/errno.h>

#define VECTOR_FIRST 0x30
#define VECTOR_LAST  0xef
#define NR_VECTORS   (VECTOR_LAST - VECTOR_FIRST + 1)
#define NR_ISA       16

void irq_dispatch(unsigned vector);

static struct {
    irq_handler fn;
    void *arg;
} vectors[NR_VECTORS];
static unsigned nr_vectors;

struct irq_stats irq_stats;

/* A routed interrupt line and its handlers. */
struct line {
    struct line *next;
    unsigned gsi;
    bool level, active_low;
    struct action {
        struct action *next;
        irq_handler fn;
        void *arg;
    } * actions;
};
static struct line *lines;

static struct {
    unsigned gsi;
    bool overridden, level, active_low;
} isa[NR_ISA];

void irq_dispatch(unsigned vector)
{
    unsigned i = vector - VECTOR_FIRST;

    if (likely(i < nr_vectors)) {
        irq_stats.delivered++;
        vectors[i].fn(vectors[i].arg);
    } else {
        irq_stats.spurious++;
    }
}

int irq_alloc_vector(irq_handler fn, void *arg)
{
    if (nr_vectors == NR_VECTORS)
        return -ENOSPC;
    vectors[nr_vectors].fn = fn;
    vectors[nr_vectors].arg = arg;
    return (int)(VECTOR_FIRST + nr_vectors++);
}

static void line_interrupt(void *arg)
{
    struct line *l = arg;
    for (struct action *a = l->actions; a; a = a->next)
        a->fn(a->arg);
}

int irq_route_gsi(unsigned gsi, bool level, bool active_low, irq_handler fn, void *arg)
{
    struct action *a = kmalloc(sizeof(*a));
    struct line *l = lines;
    int vector, r = -ENOMEM;

    while (l && l->gsi != gsi)
        l = l->next;
    if (!a)
        return -ENOMEM;
    *a = (struct action){l ? l->actions : NULL, fn, arg};
    if (l) {
        /* An edge-triggered line would lose what a second device raises meanwhile. */
        if (!l->level || l->level != level || l->active_low != active_low) {
            kfree(a);
            return -EBUSY;
        }
        l->actions = a;
        return 0;
    }
    l = kmalloc(sizeof(*l));
    if (!l)
        goto fail;
    *l = (struct line){lines, gsi, level, active_low, a};
    r = vector = irq_alloc_vector(line_interrupt, l);
    if (vector < 0)
        goto fail;
    r = ioapic_route(gsi, (uint8_t)vector, level, active_low);
    if (r < 0) {
        nr_vectors--; /* the one just taken */
        goto fail;
    }
    lines = l;
    return 0;

fail:
    kfree(l);
    kfree(a);
    return r;
}

void isa_irq_override(unsigned irq, unsigned gsi, bool level, bool active_low)
{
    if (irq >= NR_ISA)
        return;
    isa[irq].gsi = gsi;
    isa[irq].overridden = true;
    isa[irq].level = level;
    isa[irq].active_low = active_low;
}

/* Without an override: identity, edge, active high, as on the ISA bus. */
unsigned isa_irq_gsi(unsigned irq, bool *level, bool *active_low)
{
    bool o = irq < NR_ISA && isa[irq].overridden;

    *level = o && isa[irq].level;
    *active_low = o && isa[irq].active_low;
    return o ? isa[irq].gsi : irq;
}
