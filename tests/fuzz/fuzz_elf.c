// fuzz: kernel/lib/elf.c
/*
 * Any bytes as an executable file: refused with a reason, or understood as segments that lie in the
 * file and in the application's half, in order. The corpus are the heads of Debian's programs.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/elf.h"
#include "mm/layout.h"

static void must(bool good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n = size < sizeof(Elf64_Ehdr) ? size : sizeof(Elf64_Ehdr), len;
    Elf64_Ehdr *h = malloc(n ? n : 1);
    struct elf_error e = {0};
    struct elf_image img;
    Elf64_Phdr *ph = NULL;
    uint64_t file_size = size, last = 0;
    int r;

    memcpy(h, data, n);
    r = elf_check_header(h, n, &e);
    must(r == 0 || (r < 0 && e.reason));
    if (r < 0)
        goto out;
    /* Only the head of a file is here; the file may be longer. */
    file_size += 1 << 20;
    len = h->e_phnum * sizeof(*ph);
    if (h->e_phoff > size || len > size - h->e_phoff)
        goto out;
    ph = malloc(len);
    memcpy(ph, data + h->e_phoff, len);
    r = elf_parse(h, ph, file_size, &img, &e);
    must(r == 0 || (r < 0 && e.reason && e.err == r));
    if (r < 0)
        goto out;
    must(img.nr_segments > 0 && img.nr_segments <= ELF_MAX_SEGMENTS && img.low < img.high);
    must(img.interp_size <= 4096 && img.interp_offset + img.interp_size <= file_size);
    for (unsigned i = 0; i < img.nr_segments; i++) {
        const struct elf_segment *s = &img.segments[i];
        must(s->filesz <= s->memsz && s->offset <= file_size && s->filesz <= file_size - s->offset);
        must(s->vaddr >= last && s->vaddr >= img.low && s->vaddr + s->memsz <= img.high);
        must(s->vaddr + s->memsz <= USER_MAX);
        must(((s->vaddr - s->offset) & ~PAGE_MASK) == 0);
        last = s->vaddr + s->memsz;
    }
out:
    free(ph);
    free(h);
    return 0;
}
