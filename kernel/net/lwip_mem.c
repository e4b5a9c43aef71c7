/*
 * lwIP's memory functions (lwip/mem.h, lwip/memp.h) over the kernel heap; they take the place of
 * its mem.c and memp.c. Called by lwIP and by net/. Never sleeps; any context.
 *
 * Fixed-size objects that come and go with every packet (segments, references) and packet
 * buffers of up to FAST_BUF bytes are kept on free lists: taking one from there is four
 * instructions. The lists are bounded; what is over goes back to the heap.
 */
#include "mm/slab.h"

#include "lwip/opt.h"

#include "lwip/etharp.h"
#include "lwip/igmp.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/mem.h"
#include "lwip/memp.h"
#include "lwip/mld6.h"
#include "lwip/priv/nd6_priv.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/raw.h"
#include "lwip/udp.h"

#include "net/netmem.h"

#ifdef WHERRY_HOST_TEST /* nothing is kept, so that a sanitizer sees each object's life and size */
#define FAST_BUF  8
#define FAST_KEEP 0
#else
#define FAST_BUF  512 /* a small packet with its headers */
#define FAST_KEEP 512 /* most objects kept on one list */
#endif

struct free_object {
    struct free_object *next;
};

struct free_list {
    struct free_object *first;
    uint32_t count;
    uint32_t size;
};

struct net_mem_stats net_mem_stats;

static struct free_list small = {.size = FAST_BUF};

/* By memp_t. */
static struct free_list types[MEMP_MAX] = {
#define LWIP_MEMPOOL(name, num, size_, desc) [MEMP_##name] = {.size = (size_)},
#include "lwip/priv/memp_std.h"
};

/* With lwIP's assertions (arch/cc.h): what is free is filled with a pattern, and nobody writes to
 * it. */
#ifdef WHERRY_LWIP_ASSERT
#define POISON 0xdb
static void poison(const struct free_list *l, void *p)
{
    memset((uint8_t *)p + sizeof(struct free_object), POISON, l->size - sizeof(struct free_object));
}

static void check_poison(const struct free_list *l, const void *p)
{
    for (size_t i = sizeof(struct free_object); i < l->size; i++) {
        if (((const uint8_t *)p)[i] != POISON)
            panic("lwip: free object %p of %u bytes was written to at %zu", p, l->size, i);
    }
}
#else
static __always_inline void poison(const struct free_list *l, void *p)
{
}

static __always_inline void check_poison(const struct free_list *l, const void *p)
{
}
#endif

static __always_inline void *list_take(struct free_list *l)
{
    struct free_object *o = l->first;
    if (likely(o != NULL)) {
        l->first = o->next;
        l->count--;
        check_poison(l, o);
        return o;
    }
    void *p = kmalloc(l->size);
    if (unlikely(p == NULL))
        net_mem_stats.failed++;
    return p;
}

static __always_inline void list_give(struct free_list *l, void *p)
{
    if (unlikely(l->count >= FAST_KEEP)) {
        kfree(p);
        return;
    }
    struct free_object *o = p;
    poison(l, p);
    o->next = l->first;
    l->first = o;
    l->count++;
}

/*
 * mem_malloc() is for packet buffers (PBUF_RAM) and for a few things at set-up. The block begins
 * with its kind, in 8 bytes that keep what follows aligned.
 */
#define MEM_HEADER 8
#define KIND_SMALL 0x5a110cull
#define KIND_HEAP  0x4ea9ull

void *mem_malloc(mem_size_t size)
{
    uint64_t *p;
    if (likely(size <= FAST_BUF - MEM_HEADER)) {
        p = list_take(&small);
        if (unlikely(p == NULL))
            return NULL;
        *p = KIND_SMALL;
    } else {
        p = kmalloc((size_t)size + MEM_HEADER);
        if (unlikely(p == NULL)) {
            net_mem_stats.failed++;
            return NULL;
        }
        *p = KIND_HEAP;
    }
    return p + 1;
}

void mem_free(void *mem)
{
    uint64_t *p = (uint64_t *)mem - 1;
    if (likely(*p == KIND_SMALL)) {
        list_give(&small, p);
    } else {
        assert(*p == KIND_HEAP);
        kfree(p);
    }
}

void *mem_calloc(mem_size_t count, mem_size_t size)
{
    void *p = mem_malloc(count * size);
    if (p != NULL)
        memset(p, 0, (size_t)count * size);
    return p;
}

void *mem_trim(void *mem, mem_size_t size)
{
    return mem; /* the buffer is short-lived: moving it would cost more */
}

void mem_init(void)
{
}

void memp_init(void)
{
}

void *memp_malloc(memp_t type)
{
    return list_take(&types[type]);
}

void memp_free(memp_t type, void *mem)
{
    if (mem != NULL)
        list_give(&types[type], mem);
}
