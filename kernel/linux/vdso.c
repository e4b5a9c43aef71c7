/*
 * Mapping the vDSO; see vdso.h. Its pages are the kernel image's own.
 */
#include "linux/vdso.h"

#include "arch/x86_64/tsc.h"
#include "mm/frame.h"
#include "mm/vma.h"

#include <asm/errno.h>

extern char vdso_image[], vdso_image_end[];

static virt_t base;

virt_t vdso_base(void)
{
    return base;
}

static phys_t image_page(const void *at)
{
    phys_t p = virt_to_phys(at);

    frame_get(p);
    return p;
}

static phys_t data_page(struct vma *v, uint64_t pgoff, bool write, int *err)
{
    return image_page(tsc_params);
}

static phys_t code_page(struct vma *v, uint64_t pgoff, bool write, int *err)
{
    return image_page(vdso_image + pgoff * PAGE_SIZE);
}

/* The frames are the kernel image's, which the allocator never had: it gets to know them, with a
 * reference that stays. */
static void adopt_image(size_t len)
{
    phys_t data = virt_to_phys(tsc_params), code = virt_to_phys(vdso_image);

    frame_adopt(data, data + PAGE_SIZE);
    frame_adopt(code, code + len);
}

static const struct vma_ops data_ops = {.page = data_page};
static const struct vma_ops code_ops = {.page = code_page};

static int map(virt_t at, size_t len, unsigned prot, const struct vma_ops *ops, const char *name)
{
    long r = vma_map(at, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | VMA_NOHUGE, NULL, 0,
                     name);

    if (r < 0)
        return r;
    vma_find(at)->ops = ops;
    vma_find(at)->flags |= VMA_KERNEL;
    return 0;
}

int vdso_map(void)
{
    size_t len = ALIGN_UP((size_t)(vdso_image_end - vdso_image), PAGE_SIZE);
    long at = vma_map(0, PAGE_SIZE + len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0, NULL);
    int r;

    if (at < 0)
        return at;
    if (!base)
        adopt_image(len);
    vma_unmap(at, PAGE_SIZE + len);
    base = at + PAGE_SIZE;
    r = map(at, PAGE_SIZE, PROT_READ, &data_ops, "[vvar]");
    return r < 0 ? r : map(base, len, PROT_READ | PROT_EXEC, &code_ops, "[vdso]");
}
