/*
 * Loading guides and calling them; the prefetcher of far memory that asks them first. Guides are
 * loaded at boot from /lib/wherry/guides, one for each wherry.far.guide=NAME.
 */
#include "guide/internal.h"

#include "arch/x86_64/guard.h"
#include "arch/x86_64/paging.h"
#include "fs/vfs.h"
#include "guide/image.h"
#include "lib/cmdline.h"
#include "lib/init.h"
#include "mm/far/far.h"
#include "mm/far/prefetch.h"
#include "mm/slab.h"
#include "sched/clock.h"

#include <linux/mman.h>

#define FOLDER "/lib/wherry/guides/"

struct guest_guide guides[GUIDES_MAX];
unsigned nr_guides;
bool guide_force;
struct guide_context guide_now = {.job = NO_JOB};

static const char *wanted[GUIDES_MAX];
static unsigned nr_wanted;
static const struct far_prefetcher *otherwise; /* for faults that no guide sees to */

/* ---- The command line ---- */

static bool name_good(const char *s)
{
    size_t n = strlen(s);

    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '-' ||
              s[i] == '_'))
            return false;
    return n > 0 && n < sizeof(guides[0].name);
}

static int guide_option(const char *value)
{
    if (value == NULL || nr_wanted == GUIDES_MAX || !name_good(value))
        return -EINVAL;
    wanted[nr_wanted++] = value;
    return 0;
}
CMDLINE("wherry.far.guide", guide_option);

static int force_option(const char *value)
{
    guide_force = true;
    return 0;
}
CMDLINE("wherry.far.guide.force", force_option);

/* ---- Calls ---- */

bool guide_owns(const struct guest_guide *g, const void *p, size_t n)
{
    virt_t a = (virt_t)p;

    return a >= g->start && a < g->end && n <= g->end - a;
}

bool guide_string(const struct guest_guide *g, const char *s, char *to, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!guide_owns(g, s + i, 1))
            return false;
        to[i] = s[i];
        if (s[i] == '\0')
            return true;
    }
    to[size - 1] = '\0';
    return true;
}

static void failed(struct guest_guide *g)
{
    const struct guard_failure *f = &guard_failure;

    g->off = true;
    if (f->vector == GUARD_EXPIRED)
        kprintf(
            "wherry: guide %s: not done after %u ms, at its offset %#lx: it is off from now on\n",
            g->name, GUIDE_LIMIT_MS, f->at - g->start);
    else
        kprintf(
            "wherry: guide %s: exception %lu at its offset %#lx (address %#lx): it is off from now "
            "on\n",
            g->name, f->vector, f->at - g->start, f->address);
}

bool guide_run(struct guest_guide *g, uint8_t job, const void *fn, uint64_t a, uint64_t b,
               uint64_t c, uint64_t d, uint64_t *value)
{
    struct guard_result r;

    if (g->off)
        return false;
    g->calls++;
    guide_now = (struct guide_context){g, job};
    r = guard_call(&(struct guard){g->start, g->end, GUIDE_LIMIT_MS * NSEC_PER_MSEC}, fn, a, b, c,
                   d);
    guide_now = (struct guide_context){.job = NO_JOB};
    if (r.failed)
        failed(g);
    else if (value)
        *value = r.value;
    return !r.failed;
}

/* ---- The prefetcher ---- */

static void on_fault(const struct far_fault *f)
{
    for (unsigned i = 0; i < nr_guides; i++) {
        uint64_t handled;

        if (guides[i].off || !guides[i].g->fault || (guides[i].g->objects && !guides[i].known))
            continue;
        guides[i].faults++;
        if (guide_run(&guides[i], NO_JOB, guides[i].g->fault, f->address, f->late, 0, 0,
                      &handled) &&
            (bool)handled)
            return;
    }
    otherwise->fault(f);
}

static const struct far_prefetcher guided = {.name = "guide",
                                             .fault = on_fault,
                                             .came = want_came,
                                             .came_part = want_came_part,
                                             .poll = want_poll};

/* ---- Loading ---- */

static int refuse(const char *name, const char *why, int error)
{
    kprintf("wherry: guide %s cannot be loaded: %s\n", name, why);
    return error;
}

static int read_file(const char *name, uint8_t **bytes, size_t *n)
{
    char path[sizeof(FOLDER) + sizeof(guides[0].name) + 3] = FOLDER;
    struct file *f;
    struct kstat st;
    ssize_t got;

    strlcpy(path + strlen(path), name, sizeof(path) - strlen(path));
    strlcpy(path + strlen(path), ".so", sizeof(path) - strlen(path));
    if (vfs_open(AT_FDCWD, path, O_RDONLY, 0, &f) < 0)
        return refuse(name, "there is no such file in " FOLDER, -ENOENT);
    if (vfs_stat_file(f, &st) < 0 || st.size == 0 || st.size > GUIDE_IMAGE_MAX) {
        file_put(f);
        return refuse(name, "too large", -EFBIG);
    }
    *n = st.size;
    *bytes = vmalloc(*n);
    got = *bytes ? file_read_at(f, *bytes, *n, 0) : -ENOMEM;
    file_put(f);
    if (got == (ssize_t)*n)
        return 0;
    vfree(*bytes);
    return refuse(name, "it cannot be read", -EIO);
}

/* Code is not written to any more, and nothing else is code. */
static void protect(const struct elf_image *img, virt_t base)
{
    for (unsigned i = 0; i < img->nr_segments; i++) {
        const struct elf_segment *s = &img->segments[i];
        virt_t from = base + ALIGN_DOWN(s->vaddr, PAGE_SIZE) - img->low;
        virt_t end = base + s->vaddr + s->memsz - img->low;

        for (virt_t va = from; va < end; va += PAGE_SIZE) {
            uint64_t *pte = pte_lookup(va, false, NULL);

            if (s->prot & PROT_EXEC)
                *pte &= ~(PTE_NX | PTE_W);
            else if (!(s->prot & PROT_WRITE))
                *pte &= ~PTE_W;
            tlb_flush_page(va);
        }
    }
}

/* What the guide says of itself lies in its image. */
static bool sane(struct guest_guide *g)
{
    const struct guide *d = g->g;
    static char name[48];

    if (d->api != WHERRY_GUIDE_API)
        return false;
    for (unsigned i = 0; i < GUIDE_COUNTERS && d->counters[i]; i++) {
        if (!guide_string(g, d->counters[i], name, sizeof(name)))
            return false;
        g->counter_name[i] = d->counters[i];
    }
    return (!d->fault || guide_owns(g, (void *)d->fault, 1)) &&
           (!d->arrived || guide_owns(g, (void *)d->arrived, 1)) &&
           (!d->fetched || guide_owns(g, (void *)d->fetched, 1));
}

static int load(const char *name)
{
    struct guest_guide *g = &guides[nr_guides];
    struct elf_error e = {0};
    struct elf_image img;
    uint64_t symbol;
    uint8_t *file, *to;
    size_t n;
    int r = read_file(name, &file, &n);

    if (r < 0)
        return r;
    r = guide_image_check(file, n, &img, &e);
    to = r == 0 ? vmalloc(img.high - img.low) : NULL;
    if (r == 0 && !to) {
        vfree(file);
        return refuse(name, "no memory", -ENOMEM);
    }
    if (r == 0) {
        memset(to, 0, img.high - img.low);
        r = guide_image_load(file, n, &img, to, guide_resolve, "wherry_guide", sizeof(struct guide),
                             &symbol, &e);
    }
    vfree(file);
    if (r < 0)
        return refuse(name, e.reason, r);
    *g = (struct guest_guide){.g = (const struct guide *)symbol,
                              .start = (virt_t)to,
                              .end = (virt_t)to + (img.high - img.low)};
    strlcpy(g->name, name, sizeof(g->name));
    protect(&img, (virt_t)to);
    if (!sane(g))
        return refuse(name, "it is made for another version of guides", -ENOEXEC);
    nr_guides++;
    return 0;
}

static int start(void)
{
    int r = 0;

    if (nr_wanted == 0)
        return 0;
    r = want_init();
    for (unsigned i = 0; r == 0 && i < nr_wanted; i++)
        r = load(wanted[i]);
    if (r < 0)
        return r;
    otherwise = far_set_prefetcher(&guided);
    return 0;
}
INIT(INIT_REMOTE, start);
