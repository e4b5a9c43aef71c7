/*
 * Reads what the instruction counter (sim/icount.c) has counted.
 *
 *     icount read FILE                 one line: lower and upper half, then the same for REP
 *     icount save FILE COPY            a consistent enough copy, to take differences
 *     icount profile [-b BEFORE] [-n LINES] [-d DIVISOR] FILE IMAGE[@BASE]...
 *
 * profile lists functions by instructions executed between BEFORE and FILE, divided by DIVISOR
 * (requests, say). An IMAGE is an ELF file, loaded at BASE if it is position independent, or a list
 * as nm writes it (System.map). Sums by image come first. Host program; errors are one line and
 * status 1.
 */
#include "../sim/icount.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define IMAGES_MAX    32
#define LINES_DEFAULT 40

struct image {
    const char *name;
    uint64_t start, end; /* of its code and data in memory */
    uint64_t insns;
};

struct symbol {
    uint64_t addr, size; /* size 0: up to the next one */
    char *name;
    unsigned image;
    uint64_t insns;
};

static struct image images[IMAGES_MAX + 2]; /* two more: addresses in no image, by half */
static unsigned nr_images;
static struct symbol *symbols;
static size_t nr_symbols, room;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "icount: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    exit(1);
}

static struct icount_file *open_counts(const char *path, size_t *size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        die("%s: %s", path, strerror(errno));
    if ((size_t)st.st_size < sizeof(struct icount_file))
        die("%s is not a file of counts", path);
    struct icount_file *f = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (f == MAP_FAILED)
        die("%s: %s", path, strerror(errno));
    if (f->magic != ICOUNT_MAGIC || f->version != ICOUNT_VERSION ||
        (size_t)st.st_size < sizeof(*f) + f->slots * sizeof(f->block[0]))
        die("%s is not a file of counts of this version", path);
    *size = (size_t)st.st_size;
    return f;
}

static int read_counts(const char *path)
{
    size_t size;
    const volatile struct icount_file *f = open_counts(path, &size);
    struct icount_counts c = icount_total(f);
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", c.insns[ICOUNT_LOWER],
           c.insns[ICOUNT_UPPER], c.reps[ICOUNT_LOWER], c.reps[ICOUNT_UPPER]);
    return 0;
}

static int save_counts(const char *path, const char *copy)
{
    size_t size;
    struct icount_file *f = open_counts(path, &size);
    FILE *out = fopen(copy, "w");
    if (out == NULL || fwrite(f, 1, size, out) != size || fclose(out) != 0)
        die("%s: %s", copy, strerror(errno));
    return 0;
}

/* ---- Symbols ----------------------------------------------------------------------------- */

static void add_symbol(uint64_t addr, uint64_t size, const char *name, unsigned image)
{
    if (nr_symbols == room) {
        room = room ? 2 * room : 4096;
        symbols = realloc(symbols, room * sizeof(*symbols));
        if (symbols == NULL)
            die("out of memory");
    }
    symbols[nr_symbols] = (struct symbol){addr, size, strdup(name), image, 0};
    if (symbols[nr_symbols++].name == NULL)
        die("out of memory");
}

static void read_section(Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh, uint64_t bias, unsigned image)
{
    Elf_Data *data = elf_getdata(scn, NULL);
    if (data == NULL || sh->sh_entsize == 0)
        return;
    for (size_t i = 0; i < sh->sh_size / sh->sh_entsize; i++) {
        GElf_Sym s;
        if (gelf_getsym(data, (int)i, &s) == NULL)
            break;
        unsigned type = GELF_ST_TYPE(s.st_info);
        const char *name = elf_strptr(elf, sh->sh_link, s.st_name);
        /* Assembly's labels have no type. */
        bool code = type == STT_FUNC || type == STT_GNU_IFUNC || (type == STT_NOTYPE && bias == 0);
        if (!code || s.st_shndx == SHN_UNDEF || s.st_shndx >= SHN_LORESERVE || name == NULL ||
            *name == '\0' || *name == '.')
            continue;
        add_symbol(s.st_value + bias, s.st_size, name, image);
    }
}

static bool read_elf(const char *path, int fd, uint64_t base, unsigned image)
{
    struct image *img = &images[image];
    size_t nr, before = nr_symbols;
    uint64_t lo = UINT64_MAX, hi = 0;

    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
    if (elf == NULL || elf_kind(elf) != ELF_K_ELF) {
        elf_end(elf);
        return false;
    }
    if (elf_getphdrnum(elf, &nr) != 0)
        die("%s: %s", path, elf_errmsg(-1));
    for (size_t i = 0; i < nr; i++) {
        GElf_Phdr ph;
        if (gelf_getphdr(elf, (int)i, &ph) == NULL || ph.p_type != PT_LOAD)
            continue;
        lo = ph.p_vaddr < lo ? ph.p_vaddr : lo;
        hi = ph.p_vaddr + ph.p_memsz > hi ? ph.p_vaddr + ph.p_memsz : hi;
    }
    if (lo > hi)
        die("%s has nothing to load", path);
    lo &= ~0xfffull;
    uint64_t bias = base != 0 ? base - lo : 0;
    img->start = lo + bias;
    img->end = hi + bias;
    /* The full table, or what a stripped file has. */
    for (int wanted = 0; wanted < 2 && nr_symbols == before; wanted++) {
        for (Elf_Scn *scn = elf_nextscn(elf, NULL); scn != NULL; scn = elf_nextscn(elf, scn)) {
            GElf_Shdr sh;
            if (gelf_getshdr(scn, &sh) != NULL && sh.sh_type == (wanted ? SHT_DYNSYM : SHT_SYMTAB))
                read_section(elf, scn, &sh, bias, image);
        }
    }
    elf_end(elf);
    return true;
}

static void read_list(const char *path, int fd, unsigned image)
{
    char line[1024], name[512], type;
    uint64_t addr;
    FILE *f = fdopen(dup(fd), "r");
    struct image *img = &images[image];

    img->start = UINT64_MAX;
    rewind(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%" SCNx64 " %c %511s", &addr, &type, name) != 3)
            continue;
        if (strchr("tTwW", type) == NULL || addr >> 63 == 0)
            continue;
        add_symbol(addr, 0, name, image);
        img->start = addr < img->start ? addr : img->start;
        img->end = addr > img->end ? addr : img->end;
    }
    fclose(f);
    if (img->start == UINT64_MAX)
        die("%s is neither an ELF file nor a list of symbols", path);
    img->end += 4096; /* the last function */
}

static void add_image(char *arg)
{
    char *at = strrchr(arg, '@');
    uint64_t base = 0;
    if (nr_images == IMAGES_MAX)
        die("more than %d images", IMAGES_MAX);
    if (at != NULL) {
        base = strtoull(at + 1, NULL, 16);
        *at = '\0';
    }
    int fd = open(arg, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die("%s: %s", arg, strerror(errno));
    const char *slash = strrchr(arg, '/');
    images[nr_images].name = slash != NULL ? slash + 1 : arg;
    if (!read_elf(arg, fd, base, nr_images))
        read_list(arg, fd, nr_images);
    close(fd);
    nr_images++;
}

static int by_address(const void *a, const void *b)
{
    const struct symbol *x = a, *y = b;
    return x->addr != y->addr ? (x->addr > y->addr ? 1 : -1) : (x->size > y->size ? -1 : 1);
}

static int by_insns(const void *a, const void *b)
{
    const struct symbol *x = a, *y = b;
    return x->insns < y->insns ? 1 : x->insns > y->insns ? -1 : strcmp(x->name, y->name);
}

static unsigned image_of(uint64_t addr)
{
    for (unsigned i = 0; i < nr_images; i++) {
        if (addr >= images[i].start && addr < images[i].end)
            return i;
    }
    return nr_images + (addr >> 63 ? 1 : 0);
}

/* The last symbol at or before addr in the same image. Where symbols are sparse (a stripped file
 * exports few), code after one's end is not its own. */
static struct symbol *symbol_of(uint64_t addr, unsigned image)
{
    size_t lo = 0, hi = nr_symbols;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (symbols[mid].addr <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0)
        return NULL;
    struct symbol *s = &symbols[lo - 1];
    while (s > symbols && s[-1].addr == s->addr)
        s--; /* the largest of several at one address */
    if (s->image != image || (s->size != 0 && addr - s->addr >= s->size))
        return NULL;
    return s;
}

static uint64_t lookup(const struct icount_file *f, uint64_t addr)
{
    if (f == NULL)
        return 0;
    for (uint32_t i = icount_slot(addr); f->block[i].addr != 0; i = (i + 1) % ICOUNT_SLOTS) {
        if (f->block[i].addr == addr)
            return f->block[i].insns;
    }
    return 0;
}

static void print_line(uint64_t insns, uint64_t total, double divisor, const char *image,
                       const char *name)
{
    printf("%14.*f %6.2f %%  %-20s %s\n", divisor > 1 ? 1 : 0, (double)insns / divisor,
           total ? 100.0 * (double)insns / (double)total : 0, image, name);
}

static void report(const struct icount_file *after, const struct icount_file *before,
                   unsigned lines, double divisor)
{
    struct symbol *unknown = calloc(nr_images + 2, sizeof(*unknown));
    uint64_t total = 0;

    images[nr_images].name = "other, lower half";
    images[nr_images + 1].name = "other, upper half";
    if (nr_symbols > 0)
        qsort(symbols, nr_symbols, sizeof(*symbols), by_address);
    for (uint32_t i = 0; i < ICOUNT_SLOTS; i++) {
        uint64_t addr = after->block[i].addr;
        if (addr == 0)
            continue;
        uint64_t insns = after->block[i].insns - lookup(before, addr);
        unsigned image = image_of(addr);
        struct symbol *s = image < nr_images ? symbol_of(addr, image) : NULL;
        (s != NULL ? s : &unknown[image])->insns += insns;
        images[image].insns += insns;
        total += insns;
    }
    uint64_t lost = after->overflow - (before != NULL ? before->overflow : 0);
    print_line(total, total, divisor, "all", "");
    for (unsigned i = 0; i < nr_images + 2; i++) {
        if (images[i].insns > 0)
            print_line(images[i].insns, total, divisor, images[i].name, "");
    }
    if (lost > 0)
        print_line(lost, total, divisor, "not in the table", "");
    printf("\n");
    for (unsigned i = 0; i < nr_images + 2; i++) {
        if (unknown[i].insns > 0) {
            add_symbol(0, 0, "(no symbol)", i);
            symbols[nr_symbols - 1].insns = unknown[i].insns;
        }
    }
    free(unknown);
    if (nr_symbols > 0)
        qsort(symbols, nr_symbols, sizeof(*symbols), by_insns);
    for (size_t i = 0; i < nr_symbols && i < lines && symbols[i].insns > 0; i++)
        print_line(symbols[i].insns, total, divisor, images[symbols[i].image].name,
                   symbols[i].name);
}

static int profile(int argc, char **argv)
{
    const char *before_path = NULL;
    unsigned lines = LINES_DEFAULT;
    double divisor = 1;
    size_t size;
    int opt;

    while ((opt = getopt(argc, argv, "b:n:d:")) != -1) {
        if (opt == 'b')
            before_path = optarg;
        else if (opt == 'n')
            lines = (unsigned)strtoul(optarg, NULL, 10);
        else if (opt == 'd')
            divisor = strtod(optarg, NULL);
        else
            exit(1);
    }
    if (optind >= argc || divisor <= 0)
        die("usage: icount profile [-b BEFORE] [-n LINES] [-d DIVISOR] FILE IMAGE[@BASE]...");
    struct icount_file *after = open_counts(argv[optind], &size);
    struct icount_file *before = before_path != NULL ? open_counts(before_path, &size) : NULL;
    if (after->slots != ICOUNT_SLOTS || (before != NULL && before->slots != ICOUNT_SLOTS))
        die("no profile was counted: the plugin wants profile=on");
    for (int i = optind + 1; i < argc; i++)
        add_image(argv[i]);
    report(after, before, lines, divisor);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "read") == 0)
        return read_counts(argv[2]);
    if (argc == 4 && strcmp(argv[1], "save") == 0)
        return save_counts(argv[2], argv[3]);
    if (argc >= 3 && strcmp(argv[1], "profile") == 0)
        return profile(argc - 1, argv + 1);
    fprintf(stderr, "usage: icount read FILE | save FILE COPY | profile [OPTIONS] FILE IMAGE...\n");
    return 1;
}
