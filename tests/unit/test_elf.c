// unit: kernel/lib/elf.c
/* ELF headers: Debian's own programs are understood, each field that is damaged is found. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/elf.h"
#include "mm/layout.h"

#include <asm/errno.h>
#include <linux/mman.h>

static Elf64_Ehdr good_header;
static Elf64_Phdr good_phdrs[ELF_MAX_PHDRS];
static uint64_t good_size;

static bool read_program(const char *path, Elf64_Ehdr *h, Elf64_Phdr *ph, uint64_t *size)
{
    int fd = open(path, O_RDONLY);
    struct elf_error e = {0};

    if (fd < 0)
        return false;
    *size = (uint64_t)lseek(fd, 0, SEEK_END);
    assert_int_equal(pread(fd, h, sizeof(*h), 0), sizeof(*h));
    assert_int_equal(elf_check_header(h, sizeof(*h), &e), 0);
    assert_int_equal(pread(fd, ph, h->e_phnum * sizeof(*ph), (off_t)h->e_phoff),
                     h->e_phnum * sizeof(*ph));
    close(fd);
    return true;
}

static void real_programs(void **state)
{
    static const char *const paths[] = {
        "/bin/sh",          "/usr/bin/perl",     "/usr/bin/redis-server",
        "/usr/sbin/nginx",  "/bin/busybox",      "/lib64/ld-linux-x86-64.so.2",
        "/usr/bin/python3", "/usr/bin/memcached"};
    unsigned seen = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(paths); i++) {
        Elf64_Ehdr h;
        Elf64_Phdr ph[ELF_MAX_PHDRS];
        struct elf_image img;
        struct elf_error e = {0};
        uint64_t size;

        if (!read_program(paths[i], &h, ph, &size))
            continue;
        seen++;
        assert_int_equal(elf_parse(&h, ph, size, &img, &e), 0);
        assert_true(img.nr_segments >= 2 && img.low < img.high);
        assert_int_equal(img.pie, h.e_type == ET_DYN);
        assert_false(img.exec_stack);
        assert_true(img.entry >= img.low && img.entry < img.high);
        assert_int_equal(img.phdr_vaddr, img.low + h.e_phoff);
        if (i == 0) {
            assert_true(img.interp_size > 2);
            good_header = h;
            memcpy(good_phdrs, ph, sizeof(ph));
            good_size = size;
        }
        if (i == 5)
            assert_int_equal(img.interp_size, 0);
    }
    assert_true(seen >= 3);
}

static int parse(const Elf64_Ehdr *h, const Elf64_Phdr *ph, struct elf_error *e)
{
    /* In blocks of their size, so that ASan sees a look too far. */
    Elf64_Ehdr *hh = malloc(sizeof(*hh));
    Elf64_Phdr *pp;
    struct elf_image img;
    int r;

    memcpy(hh, h, sizeof(*h));
    r = elf_check_header(hh, sizeof(*hh), e);
    if (r == 0) {
        pp = malloc(hh->e_phnum * sizeof(*pp));
        memcpy(pp, ph, hh->e_phnum * sizeof(*pp));
        r = elf_parse(hh, pp, good_size, &img, e);
        free(pp);
    }
    free(hh);
    assert_true(r == 0 || (r < 0 && e->reason && e->err == r));
    return r;
}

static unsigned nth_load(unsigned n)
{
    for (unsigned i = 0; i < good_header.e_phnum; i++)
        if (good_phdrs[i].p_type == PT_LOAD && n-- == 0)
            return i;
    fail();
    return 0;
}

#define DAMAGED(change, text)                                                                      \
    do {                                                                                           \
        Elf64_Ehdr h = good_header;                                                                \
        Elf64_Phdr ph[ELF_MAX_PHDRS];                                                              \
        struct elf_error e = {0};                                                                  \
        memcpy(ph, good_phdrs, sizeof(ph));                                                        \
        change;                                                                                    \
        assert_int_equal(parse(&h, ph, &e), -ENOEXEC);                                             \
        assert_non_null(strstr(e.reason, text));                                                   \
    } while (0)

static void damage(void **state)
{
    struct elf_error e = {0};
    unsigned a = nth_load(0), b = nth_load(1), interp = 0;

    for (unsigned i = 0; i < good_header.e_phnum; i++)
        if (good_phdrs[i].p_type == PT_INTERP)
            interp = i;
    DAMAGED(h.e_ident[0] = '#', "not an ELF");
    DAMAGED(h.e_ident[EI_CLASS] = ELFCLASS32, "32-bit");
    DAMAGED(h.e_ident[EI_DATA] = ELFDATA2MSB, "big-endian");
    DAMAGED(h.e_machine = EM_AARCH64, "architecture");
    DAMAGED(h.e_type = ET_REL, "not a program");
    DAMAGED(h.e_phentsize = 55, "program headers");
    DAMAGED(h.e_phnum = 0, "program headers");
    DAMAGED(h.e_phnum = 65535, "program headers");
    DAMAGED(ph[a].p_filesz = ph[a].p_memsz + 1, "segment");
    DAMAGED(ph[a].p_vaddr = UINT64_MAX - 100, "segment");
    DAMAGED(ph[a].p_vaddr += 1, "segment");
    DAMAGED(ph[b].p_memsz = USER_MAX, "segment");
    DAMAGED((ph[b].p_filesz = ph[b].p_memsz, ph[b].p_offset += 1ul << 40), "truncated");
    DAMAGED(ph[b].p_offset = UINT64_MAX & ~0xffful, "");
    DAMAGED(ph[b].p_vaddr = ph[a].p_vaddr, "overlapping");
    DAMAGED(h.e_entry = UINT64_MAX, "entry point");
    DAMAGED(ph[interp].p_filesz = 1, "interpreter");
    DAMAGED(ph[interp].p_filesz = 5000, "interpreter");
    DAMAGED(ph[interp].p_offset = UINT64_MAX, "interpreter");
    DAMAGED(for (unsigned i = 0; i < h.e_phnum; i++) ph[i].p_type = PT_NULL, "anything to load");
    assert_int_equal(elf_check_header(&good_header, 3, &e), -ENOEXEC);
    assert_int_equal(elf_check_header(&good_header, 63, &e), -ENOEXEC);
    assert_int_equal(parse(&good_header, good_phdrs, &e), 0);
}

/* Whatever is accepted makes sense: inside the file, inside the address space, in order. */
static void random_damage(void **state)
{
    uint64_t seed = 88172645463325252ull;

    for (unsigned k = 0; k < 300000; k++) {
        Elf64_Ehdr h = good_header;
        Elf64_Phdr ph[ELF_MAX_PHDRS];
        struct elf_error e = {0};
        struct elf_image img;

        memcpy(ph, good_phdrs, sizeof(ph));
        for (unsigned n = 1 + k % 4; n; n--) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            uint8_t *at = (uint8_t *)ph + (seed >> 10) % (good_header.e_phnum * sizeof(*ph));
            *at = seed >> 40 & 1 ? (uint8_t)(seed >> 41) : *at ^ (1 << (seed >> 50 & 7));
        }
        if (elf_parse(&h, ph, good_size, &img, &e) < 0)
            continue;
        uint64_t last = 0;
        for (unsigned i = 0; i < img.nr_segments; i++) {
            const struct elf_segment *s = &img.segments[i];
            assert_true(s->filesz <= s->memsz && s->offset + s->filesz <= good_size);
            assert_true(s->vaddr + s->memsz <= USER_MAX && s->vaddr >= last);
            assert_int_equal((s->vaddr - s->offset) & ~PAGE_MASK, 0);
            last = s->vaddr + s->memsz;
        }
        assert_true(img.low < img.high && img.high >= last && img.entry < img.high);
        assert_true(img.align >= PAGE_SIZE && (img.align & (img.align - 1)) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_programs),
        cmocka_unit_test(damage),
        cmocka_unit_test(random_damage),
    };
    return cmocka_run_group_tests_name("elf", tests, NULL, NULL);
}
