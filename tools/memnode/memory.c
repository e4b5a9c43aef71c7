/* See memory.h. */
#define _GNU_SOURCE
#include "memory.h"

#include "auth.h"
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- words ---- */

bool memory_size_parse(uint64_t *size, const char *text)
{
    static const char units[] = "KMGT";
    char *end;
    const char *unit;
    unsigned shift = 0;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *size = strtoull(text, &end, 10);
    if (*end) {
        unit = strchr(units, *end);
        if (!unit || end[1])
            return false;
        shift = 10 * (unit - units + 1);
    }
    if (errno || *size > UINT64_MAX >> shift)
        return false;
    *size <<= shift;
    return true;
}

bool region_parse(struct region_spec *spec, const char *text, struct why *why)
{
    char *copy = xstrdup(text), *rest = copy, *word = strsep(&rest, ","), *value;
    bool good = true;

    *spec = (struct region_spec){0};
    value = strchr(word, '=');
    if (value)
        *value++ = '\0';
    if (!value || strlen(word) > NODE_NAME)
        good = because(why, "NAME=SIZE expected, a name of at most %d characters", NODE_NAME);
    if (good) {
        strcpy(spec->name, word);
        if (!node_name_good((uint8_t *)spec->name))
            good = because(why, "a name is made of letters, digits, '.', '_' and '-'");
        else if (!memory_size_parse(&spec->size, value))
            good = because(why, "%s is not a size", value);
    }
    while (good && (word = strsep(&rest, ","))) {
        if (strncmp(word, "file=", 5) == 0 && word[5])
            spec->file = xstrdup(word + 5);
        else if (strncmp(word, "quota=", 6) != 0 || !memory_size_parse(&spec->quota, word + 6))
            good = because(why, "file=PATH or quota=SIZE expected, not %s", word);
    }
    free(copy);
    return good;
}

/* ---- regions ---- */

/* A directory gets an unnamed file; a file must be ours, or new: what it holds is lost. */
static int open_file(const struct region_spec *spec, struct why *why)
{
    struct stat st;
    int fd;

    if (stat(spec->file, &st) == 0 && S_ISDIR(st.st_mode))
        fd = open(spec->file, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    else
        fd = open(spec->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &st) < 0) {
        because(why, "%s: %s", spec->file, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        because(why, "%s is not a file", spec->file);
    } else if (st.st_size && (uint64_t)st.st_size != spec->size) {
        because(why, "%s holds something: it is neither empty nor as long as the region",
                spec->file);
    } else if (ftruncate(fd, 0) < 0 || ftruncate(fd, spec->size) < 0 ||
               (fallocate(fd, 0, 0, spec->size) < 0 && errno != EOPNOTSUPP)) {
        because(why, "%s: %s", spec->file, strerror(errno));
    } else {
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

bool memory_add(struct memory *m, const struct region_spec *spec, struct why *why)
{
    struct region r = {.spec = *spec, .fd = -1};
    uint64_t grain = spec->huge_pages ? MEMORY_HUGE : NODE_GRAIN;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;

    if (m->nr_regions == MEMORY_REGIONS)
        return because(why, "at most %d regions", MEMORY_REGIONS);
    for (unsigned i = 0; i < m->nr_regions; i++)
        if (strcmp(m->regions[i].spec.name, spec->name) == 0)
            return because(why, "there are two regions %s", spec->name);
    if (spec->size < grain || spec->size % grain || spec->size >> MEMORY_VA_SHIFT)
        return because(why, "region %s: its size must be a multiple of %s below 16 TiB", spec->name,
                       spec->huge_pages ? "2M" : "4K");
    if (spec->file && spec->huge_pages)
        return because(why, "region %s: a file has huge pages if it lies in hugetlbfs", spec->name);
    if (spec->file) {
        r.fd = open_file(spec, why);
        if (r.fd < 0)
            return false;
        flags = MAP_SHARED;
    } else if (spec->huge_pages) {
        flags |= MAP_HUGETLB;
    }
    r.base = mmap(NULL, spec->size, PROT_READ | PROT_WRITE, flags, r.fd, 0);
    if (r.base == MAP_FAILED) {
        if (r.fd >= 0)
            close(r.fd);
        return because(why, "region %s: %s%s", spec->name, strerror(errno),
                       spec->huge_pages ? " (see /proc/sys/vm/nr_hugepages)" : "");
    }
    if (!spec->file && !spec->huge_pages)
        madvise(r.base, spec->size, MADV_HUGEPAGE); /* a wish */
    /* Neither belongs into a core file nor into a child. */
    madvise(r.base, spec->size, MADV_DONTDUMP);
    r.room = 16;
    r.pieces = xcalloc(r.room, sizeof(*r.pieces));
    r.pieces[0] = (struct free_piece){0, spec->size};
    r.nr_pieces = 1;
    m->regions[m->nr_regions++] = r;
    return true;
}

void memory_close(struct memory *m)
{
    for (unsigned i = 0; i < MEMORY_EXTENTS; i++) {
        if (m->extents[i].rkey && m->device)
            m->device->ops->close(m->device, &m->extents[i]);
        m->extents[i] = (struct extent){0};
    }
    m->nr_extents = 0;
    for (unsigned i = 0; i < m->nr_regions; i++) {
        struct region *r = &m->regions[i];

        munmap(r->base, r->spec.size);
        if (r->fd >= 0)
            close(r->fd);
        free(r->pieces);
    }
    m->nr_regions = 0;
}

/* Makes bytes zero again, by giving the pages back where that is possible: of huge pages, those
 * that are whole (kernels differ in what they do with the others, and say nothing). A file keeps
 * its blocks, or gets new ones: a store into one that the disk has no room for would be a SIGBUS.
 */
static void clear(struct region *r, uint64_t offset, uint64_t length)
{
    if ((r->fd >= 0 || r->spec.huge_pages) && (offset | length) % MEMORY_HUGE) {
        memset(r->base + offset, 0, length);
        return;
    }
    if (r->fd < 0) {
        if (madvise(r->base + offset, length, MADV_DONTNEED) == 0)
            return;
    } else if (fallocate(r->fd, FALLOC_FL_ZERO_RANGE, offset, length) == 0 ||
               (fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) == 0 &&
                fallocate(r->fd, 0, offset, length) == 0)) {
        return;
    }
    memset(r->base + offset, 0, length);
}

static uint64_t align_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static void piece_insert(struct region *r, size_t at, uint64_t offset, uint64_t length)
{
    if (r->nr_pieces == r->room) {
        r->room *= 2;
        r->pieces = xrealloc(r->pieces, r->room * sizeof(*r->pieces));
    }
    memmove(&r->pieces[at + 1], &r->pieces[at], (r->nr_pieces - at) * sizeof(*r->pieces));
    r->pieces[at] = (struct free_piece){offset, length};
    r->nr_pieces++;
}

static void piece_remove(struct region *r, size_t at)
{
    r->nr_pieces--;
    memmove(&r->pieces[at], &r->pieces[at + 1], (r->nr_pieces - at) * sizeof(*r->pieces));
}

/* First fit. */
static bool take(struct region *r, uint64_t length, uint64_t *offset)
{
    uint64_t align = length >= MEMORY_HUGE ? MEMORY_HUGE : NODE_GRAIN;

    for (size_t i = 0; i < r->nr_pieces; i++) {
        struct free_piece *p = &r->pieces[i];
        uint64_t end = p->offset + p->length, from = align_up(p->offset, align);

        if (from > end || end - from < length)
            continue;
        p->length = from - p->offset;
        if (end - from > length)
            piece_insert(r, i + 1, from + length, end - from - length);
        if (r->pieces[i].length == 0)
            piece_remove(r, i);
        r->used += length;
        *offset = from;
        return true;
    }
    return false;
}

static void give_back(struct region *r, uint64_t offset, uint64_t length)
{
    size_t i = 0;

    clear(r, offset, length);
    r->used -= length;
    while (i < r->nr_pieces && r->pieces[i].offset < offset)
        i++;
    piece_insert(r, i, offset, length);
    if (i + 1 < r->nr_pieces && offset + length == r->pieces[i + 1].offset) {
        r->pieces[i].length += r->pieces[i + 1].length;
        piece_remove(r, i + 1);
    }
    if (i > 0 && r->pieces[i - 1].offset + r->pieces[i - 1].length == offset) {
        r->pieces[i - 1].length += r->pieces[i].length;
        piece_remove(r, i);
    }
}

/* ---- extents ---- */

static uint64_t used_of_region(const struct memory *m, uint32_t owner, unsigned region)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < MEMORY_EXTENTS; i++)
        if (m->extents[i].rkey && m->extents[i].owner == owner && m->extents[i].region == region)
            sum += m->extents[i].length;
    return sum;
}

uint64_t memory_used(const struct memory *m, uint32_t owner, unsigned *extents)
{
    uint64_t sum = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < MEMORY_EXTENTS; i++)
        if (m->extents[i].rkey && m->extents[i].owner == owner) {
            sum += m->extents[i].length;
            n++;
        }
    if (extents)
        *extents = n;
    return sum;
}

static bool over(uint64_t used, uint64_t more, uint64_t quota)
{
    return quota && (used > quota || more > quota - used);
}

/* What a region has to say to a request; *offset is set if it is NODE_OK. */
static enum node_status try_region(struct memory *m, unsigned region, uint32_t owner,
                                   uint64_t length, uint64_t *offset)
{
    struct region *r = &m->regions[region];

    if (over(used_of_region(m, owner, region), length, r->spec.quota))
        return NODE_E_QUOTA;
    return take(r, length, offset) ? NODE_OK : NODE_E_NO_MEMORY;
}

enum node_status memory_alloc(struct memory *m, uint32_t owner, const char *name, uint64_t bytes,
                              unsigned access, struct extent **out)
{
    enum node_status status = NODE_E_NO_REGION;
    uint64_t length, offset = 0;
    unsigned slot = 0, region;

    if (bytes == 0 || bytes >> MEMORY_VA_SHIFT)
        return bytes ? NODE_E_NO_MEMORY : NODE_E_MALFORMED;
    length = align_up(bytes, NODE_GRAIN);
    while (slot < MEMORY_EXTENTS && m->extents[slot].rkey)
        slot++;
    if (slot == MEMORY_EXTENTS)
        return NODE_E_LIMIT;
    if (over(memory_used(m, owner, NULL), length, m->quota))
        return NODE_E_QUOTA;
    for (region = 0; region < m->nr_regions; region++) {
        if (name && strcmp(m->regions[region].spec.name, name) != 0)
            continue;
        status = try_region(m, region, owner, length, &offset);
        if (status == NODE_OK)
            break;
    }
    if (status != NODE_OK)
        return status;
    *out = &m->extents[slot];
    **out = (struct extent){
        .owner = owner, .region = region, .access = access, .offset = offset, .length = length};
    do
        (*out)->rkey = (auth_random32() & ~(uint32_t)(MEMORY_EXTENTS - 1)) | slot;
    while ((*out)->rkey < MEMORY_EXTENTS);
    (*out)->key = (*out)->rkey;
    if (m->device && !m->device->ops->open(m->device, *out, m->regions[region].base + offset)) {
        give_back(&m->regions[region], offset, length);
        **out = (struct extent){0};
        return NODE_E_NO_MEMORY;
    }
    m->nr_extents++;
    return NODE_OK;
}

struct extent *memory_find(struct memory *m, uint32_t owner, uint32_t key)
{
    for (unsigned i = 0; i < MEMORY_EXTENTS; i++) {
        struct extent *e = &m->extents[i];

        if (e->rkey && e->key == key && e->owner == owner)
            return e;
    }
    return NULL;
}

uint64_t memory_va(const struct extent *e)
{
    return (((uint64_t)e->region + 1) << MEMORY_VA_SHIFT) + e->offset;
}

void memory_free(struct memory *m, struct extent *e)
{
    if (m->device)
        m->device->ops->close(m->device, e);
    give_back(&m->regions[e->region], e->offset, e->length);
    *e = (struct extent){0};
    m->nr_extents--;
}

void memory_free_all(struct memory *m, uint32_t owner)
{
    for (unsigned i = 0; i < MEMORY_EXTENTS; i++)
        if (m->extents[i].rkey && m->extents[i].owner == owner)
            memory_free(m, &m->extents[i]);
}

uint64_t memory_largest(const struct memory *m)
{
    uint64_t most = 0;

    for (unsigned i = 0; i < m->nr_regions; i++)
        for (size_t j = 0; j < m->regions[i].nr_pieces; j++)
            if (m->regions[i].pieces[j].length > most)
                most = m->regions[i].pieces[j].length;
    return most;
}

uint64_t memory_total(const struct memory *m)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < m->nr_regions; i++)
        sum += m->regions[i].spec.size;
    return sum;
}
