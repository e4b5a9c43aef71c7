// fuzz: kernel/guide/image.c kernel/lib/elf.c kernel/lib/elfimage.c
/*
 * Any bytes as a guide: refused with a reason, or laid out within the memory that was reserved for
 * it. The corpus are guides of ours.
 */
#include <stdlib.h>
#include <string.h>

#include "guide/image.h"

static void must(bool good)
{
    if (!good)
        abort();
}

static uint64_t resolve(const char *name)
{
    return strncmp(name, "guide_", 6) == 0 || strncmp(name, "mem", 3) == 0 ? (uint64_t)must : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *file = malloc(size ? size : 1),
            *to; /* its own, so that every byte beyond it is noticed */
    struct elf_error e = {0};
    uint64_t symbol = 0;
    struct elf_image img;
    size_t room;
    int r;

    memcpy(file, data, size);
    r = guide_image_check(file, size, &img, &e);
    must(r == 0 || (r < 0 && e.reason));
    if (r < 0)
        goto out;
    room = img.high - img.low;
    must(room <= GUIDE_IMAGE_MAX);
    to = calloc(1, room);
    r = guide_image_load(file, size, &img, to, resolve, "wherry_guide", 64, &symbol, &e);
    must(r == 0 || (r < 0 && e.reason));
    must(r < 0 || (symbol >= (uint64_t)to && symbol - (uint64_t)to <= room - 64));
    free(to);
out:
    free(file);
    return 0;
}
