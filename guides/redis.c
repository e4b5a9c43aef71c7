/*
 * Redis 7.0: what GET and LRANGE are about to read is asked for as a whole before they begin, so
 * that each waits once and not for each page.
 *
 *   GET      addReplyBulk(client, object): the string's length stands before its bytes (sds.h)
 *   LRANGE   addListRangeReply(client, object, start, end, reverse): a list is a chain of nodes,
 * each of which leads to a listpack of some KiB and says how long it is (quicklist.h)
 *
 * Where a link of the way is away itself the guide waits for that page, and goes on when it has
 * come. Structures are those of Redis 7.0.x, src/server.h, sds.h, quicklist.h, on x86-64.
 */
#include <wherry/guide.h>

enum { GETS, LRANGES, STRING_BYTES, LIST_NODES, LOST };

/* What a cookie says: which link of the way has come, and of which walk by number; 0: of a string.
 */
enum { AT_OBJECT, AT_STRING, AT_LIST, AT_NODE };
#define COOKIE(at, number) ((uint64_t)(at) | (uint64_t)(number) << 8)

#define TYPE_STRING   0
#define TYPE_LIST     1
#define ENCODING_RAW  0
#define ENCODING_LIST 9
#define STRING_MAX    (512u << 20)
#define NODES_MAX     4096

struct object {
    uint32_t kind; /* type 4 bits, encoding 4, lru 24 */
    int32_t references;
    uint64_t ptr;
};

struct list {
    uint64_t head, tail, count, nodes;
};

struct node {
    uint64_t prev, next, entry, size;
    uint32_t count; /* 16 bits; then flags */
};

/* Lists on the way through; the newest walk takes the oldest one's place. */
#define WALKS 16
static struct walk {
    uint64_t number; /* from 1 on */
    bool back;       /* towards the head */
    int64_t first, last, skip, left;
    uint64_t node;
    unsigned nodes;
} walks[WALKS];
static uint64_t newest;

/* The bytes of a string, whose header is here. */
static bool want_string(uint64_t ptr)
{
    uint8_t flags, head[8] = {0};
    uint64_t len = 0;
    unsigned size;

    if (guide_read(&flags, ptr - 1, 1) < 0)
        return false;
    size = (flags & 7) == 0 ? 0 : 1u << ((flags & 7) - 1);
    if (size == 0 || size > 8)
        return true; /* a few bytes behind their header */
    if (guide_read(head, ptr - 1 - 2 * size, size) < 0)
        return false;
    for (unsigned i = size; i-- > 0;)
        len = len << 8 | head[i];
    if (len > STRING_MAX)
        return true;
    guide_count(STRING_BYTES, len);
    if (guide_want(ptr, len + 1) < 0)
        guide_count(LOST, 1);
    return true;
}

static void tell(uint64_t address, uint64_t cookie)
{
    if (guide_tell(address, cookie) < 0)
        guide_count(LOST, 1);
}

/* From node to node, up to one that is away. */
static void walk(struct walk *w)
{
    while (w->node && w->left > 0 && w->nodes++ < NODES_MAX) {
        struct node n;
        int r = guide_read(&n, w->node, sizeof(n));
        int64_t count;

        if (r == -EAGAIN) {
            tell(w->node, COOKIE(AT_NODE, w->number));
            return;
        }
        if (r < 0)
            break;
        guide_count(LIST_NODES, 1);
        count = n.count & 0xffff;
        if (w->skip >= count) {
            w->skip -= count;
        } else {
            if (guide_want(n.entry, n.size) < 0)
                guide_count(LOST, 1);
            w->left -= count - w->skip;
            w->skip = 0;
        }
        w->node = w->back ? n.prev : n.next;
    }
}

/* The list's head is here, or asked for. */
static void begin_list(uint64_t ptr, struct walk *w)
{
    struct list l;
    int r = guide_read(&l, ptr, sizeof(l));
    int64_t count;

    if (r == -EAGAIN) {
        tell(ptr, COOKIE(AT_LIST, w->number));
        return;
    }
    count = (int64_t)l.count;
    if (r < 0 || count <= 0)
        return;
    w->first = w->first < 0 ? w->first + count : w->first;
    w->last = w->last < 0 ? w->last + count : w->last;
    if (w->first < 0)
        w->first = 0;
    if (w->last >= count)
        w->last = count - 1;
    if (w->first > w->last)
        return;
    /* Redis seeks from the nearer end; what follows is the same range from either. */
    w->left = w->last - w->first + 1;
    w->back = w->first > count / 2;
    w->skip = w->back ? count - 1 - w->last : w->first;
    w->node = w->back ? l.tail : l.head;
    walk(w);
}

/* An object; w: the elements of a list that are wanted, NULL: a string is. */
static void begin(uint64_t object, struct walk *w)
{
    struct object o;
    int r = guide_read(&o, object, sizeof(o));

    if (r == -EAGAIN) {
        tell(object, COOKIE(AT_OBJECT, w ? w->number : 0));
    } else if (r == 0 && w && (o.kind & 0xff) == (TYPE_LIST | ENCODING_LIST << 4)) {
        begin_list(o.ptr, w);
    } else if (r == 0 && !w && (o.kind & 0xff) == (TYPE_STRING | ENCODING_RAW << 4)) {
        if (!want_string(o.ptr))
            tell(o.ptr - 1, COOKIE(AT_STRING, 0));
    }
}

static enum guide_verdict get(const uint64_t arg[6])
{
    guide_count(GETS, 1);
    begin(arg[1], NULL);
    return GUIDE_WAIT;
}

static enum guide_verdict lrange(const uint64_t arg[6])
{
    struct walk *w = &walks[++newest % WALKS];

    guide_count(LRANGES, 1);
    *w = (struct walk){.number = newest, .first = (int64_t)arg[2], .last = (int64_t)arg[3]};
    begin(arg[1], w);
    return GUIDE_WAIT;
}

static void arrived(uint64_t address, uint64_t cookie)
{
    uint64_t number = cookie >> 8;
    struct walk *w = number ? &walks[number % WALKS] : NULL;

    if (w && w->number != number)
        return; /* others were begun since */
    switch (cookie & 0xff) {
    case AT_OBJECT:
        begin(address, w);
        break;
    case AT_STRING:
        (void)want_string(address + 1);
        break;
    case AT_LIST:
        begin_list(address, w);
        break;
    case AT_NODE:
        walk(w);
        break;
    }
}

/* Debian 12's. */
static const char *const builds[] = {"a50d6825e71f1473372299161f75fe50e80452de", NULL};

static const struct guide_hook hooks[] = {
    {"addReplyBulk", get}, {"addListRangeReply", lrange}, {NULL, NULL}};

static const struct guide_object objects[] = {{builds, hooks}, {NULL, NULL}};

const struct guide wherry_guide = {
    .api = WHERRY_GUIDE_API,
    .name = "redis",
    .objects = objects,
    .arrived = arrived,
    .counters = {"gets", "lranges", "string_bytes", "list_nodes", "lost"},
};
