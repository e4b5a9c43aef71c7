/*
 * memcached 1.6: a large value is asked for as a whole when its item is looked up. memcached
 * exports no functions to be watched, but a lookup that misses tells enough: the first thing it
 * reads of an item is the length of its key (assoc.c, assoc_find()), which lies 41 bytes behind the
 * item's beginning, and items begin at multiples of 8. When the page has come the item says how
 * long it is.
 *
 * Structures are those of memcached 1.6.18, memcached.h, on x86-64. Items of more than half a MiB
 * are chains of chunks, of which this gets the first.
 */
#include <wherry/guide.h>

enum { LOOKUPS, ITEMS, BYTES, LOST };

#define AT_NKEY 41
#define HEAD    48 /* then the key */
#define KEY_MAX 250

#define ITEM_LINKED 1
#define ITEM_CAS    2
#define ITEM_CFLAGS 256
#define VALUE_MAX   (1 << 20)

struct item {
    uint64_t next, prev, h_next;
    uint32_t time, exptime;
    int32_t nbytes;
    uint16_t refcount, it_flags;
    uint8_t slabs_clsid, nkey;
};

static bool fault(uint64_t address, bool coming)
{
    if (address % 8 != AT_NKEY % 8)
        return false;
    guide_count(LOOKUPS, 1);
    if (guide_tell(address, 0) < 0)
        guide_count(LOST, 1);
    return true;
}

static void arrived(uint64_t address, uint64_t cookie)
{
    uint64_t at = address - AT_NKEY, size;
    struct item i;

    /* Its first bytes may be on the page before, where they need not be looked at. */
    if (guide_read(&i.nbytes, at + offsetof(struct item, nbytes),
                   sizeof(i) - offsetof(struct item, nbytes)) < 0)
        return;
    if (!(i.it_flags & ITEM_LINKED) || i.nkey == 0 || i.nkey > KEY_MAX || i.nbytes < 2 ||
        i.nbytes > VALUE_MAX)
        return; /* that was something else */
    size = HEAD + i.nkey + 1u + (i.it_flags & ITEM_CAS ? 8 : 0) +
           (i.it_flags & ITEM_CFLAGS ? 4 : 0) + (uint32_t)i.nbytes;
    guide_count(ITEMS, 1);
    guide_count(BYTES, size);
    if (guide_want(at, size) < 0)
        guide_count(LOST, 1);
}

/* Debian 12's. */
static const char *const builds[] = {"cb4951e778913a1598cb9fa92e8c377dfc545320", NULL};

static const struct guide_hook none[] = {{NULL, NULL}};

static const struct guide_object objects[] = {{builds, none}, {NULL, NULL}};

const struct guide wherry_guide = {
    .api = WHERRY_GUIDE_API,
    .name = "memcached",
    .objects = objects,
    .fault = fault,
    .arrived = arrived,
    .counters = {"lookups", "items", "bytes", "lost"},
};
