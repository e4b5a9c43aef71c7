/*
 * The application's frames in a backtrace (crash/backtrace.h): a frame is printed as OBJECT+OFFSET,
 * which `addr2line -e OBJECT OFFSET` understands. Runs in any state the system may be in: allocates
 * nothing, never sleeps.
 */
#include "crash/backtrace.h"

#include "fs/vfs.h"
#include "lib/elfimage.h"
#include "lib/init.h"
#include "mm/frame.h"
#include "mm/vma.h"

#define PATH_ROOM    256
#define SYMBOL_ROOM  96
#define IMAGE_PIECES 32 /* mappings of one image, at most */

static struct loaded_image image; /* of the frame looked up last */
static virt_t image_start;        /* 0: none */

/* A page of the application that is not mapped yet but whose content is at hand, in a file: true of
 * most unwind tables, which nothing else reads. */
static const char *file_page(virt_t page)
{
    struct vma *v = vma_find(page);
    if (v == NULL || v->ops == NULL || v->ops->page_ready == NULL)
        return NULL;
    phys_t p = v->ops->page_ready(v, v->pgoff + ((page - v->start) >> PAGE_SHIFT));
    if (p == 0)
        return NULL;
    frame_put(p); /* the file keeps its own reference */
    return phys_to_virt(p);
}

/* Where the ELF header of the image that v belongs to is mapped: the lowest of the adjacent
 * mappings of the same file. The vDSO is an image without a file. */
static virt_t image_base(struct vma *v)
{
    virt_t base = v->start;
    if (v->file == NULL || v->file->inode == NULL)
        return base;
    struct inode *inode = v->file->inode;
    for (unsigned i = 0; i < IMAGE_PIECES; i++) {
        struct vma *below = vma_find(v->start - 1);
        if (below == NULL || below->file == NULL || below->file->inode != inode)
            break;
        v = below;
        base = v->start;
    }
    return base;
}

/* Finds the image that holds an application address. */
static bool find_image(struct unwind_memory *mem, virt_t pc)
{
    struct vma *v = vma_find(pc);
    if (v == NULL || !(v->prot & PROT_EXEC))
        return false;
    virt_t base = image_base(v);
    if (base != image_start) {
        image_start = 0;
        if (!elf_image_read(mem, base, &image))
            return false;
        image_start = base;
    }
    return true;
}

static void print_frame(struct unwind_memory *mem, unsigned nr, const struct unwind_cursor *c)
{
    char path[PATH_ROOM], symbol[SYMBOL_ROOM];
    virt_t pc = unwind_pc(c);
    struct vma *v = vma_find(pc);
    const char *object = NULL;
    uint64_t off;

    if (v != NULL && v->file != NULL)
        object = vfs_path_of(v->file, path, sizeof(path));
    else if (v != NULL)
        object = v->name != NULL ? v->name : "[anonymous]";
    kprintf("    #%-2u %016lx  ", nr, c->reg[UNWIND_RIP]);
    if (object == NULL) {
        kprintf("not mapped\n");
    } else if (!find_image(mem, pc)) {
        kprintf("%s, no ELF image\n", object);
    } else {
        kprintf("%s+0x%lx", object, pc - image.bias);
        if (elf_image_symbol(mem, &image, pc, symbol, sizeof(symbol), &off))
            kprintf(" (%s+0x%lx)", symbol, off);
        kprintf("\n");
    }
}

static bool tables_of(struct unwind_memory *mem, virt_t pc, struct unwind_tables *t)
{
    if (!find_image(mem, pc))
        return false;
    *t = image.tables;
    return true;
}

static const struct backtrace_app frames = {
    .print = print_frame,
    .tables = tables_of,
    .file_page = file_page,
};

static int backtrace_init(void)
{
    backtrace_app = &frames;
    return 0;
}
INIT(INIT_LATE, backtrace_init);
