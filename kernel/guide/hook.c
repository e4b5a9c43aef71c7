/*
 * Hooks at functions of the application: a breakpoint (int3) in the place of the first
 * instruction's first byte, in a private copy of the page. When it is met the guide is called, then
 * the instruction that stood there is carried out, and the application goes on behind it. Which
 * objects a guide knows is told by their build-id; where a function is, by the object's dynamic
 * symbols, both read from the file.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/uaccess.h"
#include "fs/vfs.h"
#include "guide/insn.h"
#include "guide/internal.h"
#include "lib/elf.h"
#include "lib/elfimage.h"
#include "mm/far/prefetch.h"
#include "mm/slab.h"
#include "mm/vma.h"
#include "sched/clock.h"

#include <linux/mman.h>

#define HOOKS_MAX    64u
#define OBJECTS_MAX  16u
#define IDS_MAX      64u
#define NOTES_MAX    4096u
#define BUILD_ID_MAX 64u /* bytes */
#define FRONT_MAX    (4 * MiB)
#define INT3         0xcc

struct planted {
    virt_t at;
    struct guest_guide *guide;
    enum guide_verdict (*called)(const uint64_t arg[6]);
    struct insn insn;
};

static struct planted planted[HOOKS_MAX];
static unsigned nr_planted;

/* ---- The object's file ---- */

struct object {
    struct file *file;
    struct elf_image img;
    uint8_t *front; /* its first segment, where headers and symbols are; NULL: too large */
    char id[2 * BUILD_ID_MAX + 1]; /* empty: it has none */
};

/* Addresses of the file's own: what is not in the file reads as nothing. */
static bool read_object(void *ctx, virt_t addr, void *buf, size_t n)
{
    const struct object *o = ctx;

    for (unsigned i = 0; i < o->img.nr_segments; i++) {
        const struct elf_segment *s = &o->img.segments[i];

        if (addr < s->vaddr || addr - s->vaddr > s->filesz || n > s->filesz - (addr - s->vaddr))
            continue;
        if (i == 0 && o->front) {
            memcpy(buf, o->front + (addr - s->vaddr), n);
            return true;
        }
        return file_read_at(o->file, buf, n, s->offset + (addr - s->vaddr)) == (ssize_t)n;
    }
    return false;
}

static void read_id(struct object *o, const uint8_t *notes, size_t n)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= n;) {
        size_t name = at + sizeof(Elf64_Nhdr), desc, end;
        Elf64_Nhdr h;

        memcpy(&h, notes + at, sizeof(h));
        desc = name + ALIGN_UP((size_t)h.n_namesz, 4ul);
        end = desc + ALIGN_UP((size_t)h.n_descsz, 4ul);
        if (end > n)
            return;
        if (h.n_type == 3 /* NT_GNU_BUILD_ID */ && h.n_namesz == 4 &&
            memcmp(notes + name, "GNU", 4) == 0 && h.n_descsz <= BUILD_ID_MAX) {
            for (unsigned i = 0; i < h.n_descsz; i++) {
                o->id[2 * i] = digits[notes[desc + i] >> 4];
                o->id[2 * i + 1] = digits[notes[desc + i] & 15];
            }
            o->id[2 * h.n_descsz] = '\0';
            return;
        }
        at = end;
    }
}

static bool open_object(struct object *o, struct file *f)
{
    struct elf_error e;
    struct kstat st;
    Elf64_Phdr *ph;
    Elf64_Ehdr h;
    uint8_t *notes;
    size_t len;
    bool good;

    *o = (struct object){.file = f};
    if (vfs_stat_file(f, &st) < 0 || file_read_at(f, &h, sizeof(h), 0) != sizeof(h) ||
        elf_check_header(&h, sizeof(h), &e) < 0)
        return false;
    len = h.e_phnum * sizeof(*ph);
    ph = kmalloc(len);
    notes = kmalloc(NOTES_MAX);
    good = ph && notes && file_read_at(f, ph, len, h.e_phoff) == (ssize_t)len &&
           elf_parse(&h, ph, st.size, &o->img, &e) == 0;
    for (unsigned i = 0; good && i < h.e_phnum && !o->id[0]; i++)
        if (ph[i].p_type == PT_NOTE && ph[i].p_filesz <= NOTES_MAX &&
            file_read_at(f, notes, ph[i].p_filesz, ph[i].p_offset) == (ssize_t)ph[i].p_filesz)
            read_id(o, notes, ph[i].p_filesz);
    kfree(ph);
    kfree(notes);
    if (good && o->img.segments[0].filesz <= FRONT_MAX)
        o->front = vmalloc(o->img.segments[0].filesz);
    if (o->front && file_read_at(f, o->front, o->img.segments[0].filesz,
                                 o->img.segments[0].offset) != (ssize_t)o->img.segments[0].filesz) {
        vfree(o->front);
        o->front = NULL;
    }
    return good;
}

/* ---- Setting breakpoints ---- */

/* Where in the file a function begins; 0: nowhere. */
static uint64_t offset_of(const struct object *o, const struct loaded_image *symbols,
                          const char *function)
{
    struct unwind_memory mem = {read_object, (void *)o};
    uint64_t value;

    if (!elf_image_lookup(&mem, symbols, function, &value))
        return 0;
    for (unsigned i = 0; i < o->img.nr_segments; i++) {
        const struct elf_segment *s = &o->img.segments[i];

        if (s->prot & PROT_EXEC && value >= s->vaddr && value - s->vaddr < s->filesz)
            return s->offset + (value - s->vaddr);
    }
    return 0;
}

static void plant(struct guest_guide *g, const char *function, void *called, virt_t at)
{
    uint8_t code[INSN_MAX] = {0}, int3 = INT3;
    struct insn insn;

    for (unsigned i = 0; i < nr_planted && nr_planted < HOOKS_MAX; i++) {
        if (planted[i].at != at)
            continue;
        if (planted[i].guide != g) /* two guides watch it */
            planted[nr_planted++] = (struct planted){at, g, called, planted[i].insn};
        return;
    }
    /* The page's end may be the end of what is mapped. */
    (void)copy_from_user(code, (void *)at, MIN((size_t)INSN_MAX, PAGE_SIZE - (at & ~PAGE_MASK)));
    insn = insn_decode(code);
    if (insn.kind == INSN_OTHER || insn.length > PAGE_SIZE - (at & ~PAGE_MASK)) {
        kprintf(
            "wherry: guide %s: %s() begins with an instruction that cannot be replaced (%02x %02x "
            "%02x): not watched\n",
            g->name, function, code[0], code[1], code[2]);
        return;
    }
    if (nr_planted == HOOKS_MAX || vma_poke(at, &int3, 1) < 0) {
        kprintf("wherry: guide %s: no breakpoint at %s(): not watched\n", g->name, function);
        return;
    }
    planted[nr_planted++] = (struct planted){at, g, called, insn};
}

/* Does the guide know this build? */
static bool knows(const struct guest_guide *g, const struct guide_object *k, const char *id)
{
    char known[2 * BUILD_ID_MAX + 1];

    for (unsigned i = 0; i < IDS_MAX && guide_owns(g, &k->build_ids[i], sizeof(k->build_ids[0]));
         i++) {
        if (!k->build_ids[i])
            break;
        if (guide_string(g, k->build_ids[i], known, sizeof(known)) && strcmp(known, id) == 0)
            return true;
    }
    return false;
}

/* Which of the functions are there? With plant_at, breakpoints are set where they lie in [from,
 * end) of the file, which begins at start. */
static unsigned visit(struct guest_guide *g, const struct guide_object *k, const struct object *o,
                      const struct loaded_image *symbols, virt_t start, uint64_t from, uint64_t end,
                      unsigned *all)
{
    unsigned found = 0;

    for (const struct guide_hook *h = k->hooks;
         guide_owns(g, h, sizeof(*h)) && h->function && *all < HOOKS_MAX; h++, ++*all) {
        char name[64];
        uint64_t off;

        if (!guide_string(g, h->function, name, sizeof(name)))
            continue;
        off = offset_of(o, symbols, name);
        if (off == 0)
            continue;
        found++;
        if (start != 0 && off >= from && off < end && guide_owns(g, (void *)h->called, 1))
            plant(g, name, (void *)h->called, start + (off - from));
    }
    return found;
}

static void look_at(struct guest_guide *g, const struct guide_object *k, const struct object *o,
                    const struct loaded_image *symbols, virt_t start, size_t len, uint64_t off)
{
    unsigned all = 0, found;

    bool known = knows(g, k, o->id);

    if (!known) {
        found = visit(g, k, o, symbols, 0, 0, 0, &all);
        if (all == 0 || found < all)
            return; /* another program */
        kprintf("wherry: guide %s: this build (%s) is not one that it knows: %s\n", g->name,
                o->id[0] ? o->id : "no build-id",
                guide_force ? "watched all the same" : "not watched");
        if (!guide_force)
            return;
        all = 0;
    }
    g->known = true;
    found = visit(g, k, o, symbols, start, off, off + len, &all);
    if (found < all)
        kprintf("wherry: guide %s: %u of %u functions are not there\n", g->name, all - found, all);
}

void guide_mapped(struct file *f, virt_t start, size_t len, uint64_t pgoff)
{
    struct unwind_memory mem = {read_object, NULL};
    struct loaded_image symbols;
    struct object *o;
    bool any = false;

    for (unsigned i = 0; i < nr_guides; i++)
        any |= guides[i].g->objects != NULL;
    o = any ? kzalloc(sizeof(*o)) : NULL;
    if (o && open_object(o, f)) {
        mem.ctx = o;
        if (elf_image_read(&mem, o->img.low, &symbols))
            for (unsigned i = 0; i < nr_guides; i++) {
                struct guest_guide *g = &guides[i];
                const struct guide_object *k = g->g->objects;

                for (unsigned n = 0; n < OBJECTS_MAX && k && guide_owns(g, k, sizeof(*k)) &&
                                     k->build_ids && !g->off;
                     n++, k++)
                    look_at(g, k, o, &symbols, start, len, pgoff << PAGE_SHIFT);
            }
    }
    if (o)
        vfree(o->front);
    kfree(o);
}

void guide_unmapped_all(void)
{
    nr_planted = 0;
}

/* ---- Meeting them ---- */

static void call(const struct planted *p, const struct trap_frame *f)
{
    const uint64_t arg[6] = {f->rdi, f->rsi, f->rdx, f->rcx, f->r8, f->r9};
    uint64_t verdict, start, asked = p->guide->asked;
    uint8_t job = job_new();
    bool wait;

    wait = guide_run(p->guide, job, p->called, (uint64_t)arg, 0, 0, 0, &verdict) &&
           (uint32_t)verdict == GUIDE_WAIT;

    if (p->guide->asked != asked)
        far_kick();
    if (wait) {
        start = clock_mono_ns();
        if (job_wait(job)) {
            p->guide->waits++;
            p->guide->wait_ns += clock_mono_ns() - start;
        }
    }
    job_end(job);
}

int guide_breakpoint(struct trap_frame *f)
{
    const struct planted *any = NULL;
    struct insn insn;
    uint64_t push;

    for (unsigned i = 0; i < nr_planted; i++) {
        if (planted[i].at != f->rip - 1)
            continue;
        any = &planted[i];
        call(any, f);
    }
    if (!any)
        return -ENOENT;
    insn = any->insn;
    if (insn_carry_out(&insn, f, &push) && put_user(push, (uint64_t *)f->rsp) < 0) {
        f->rsp += 8;
        f->rip--;
        return -EFAULT;
    }
    f->rip += insn.length - 1u;
    return 0;
}
