/*
 * Starting a program: maps the ELF file and its interpreter, builds the stack that the
 * System V ABI describes (psABI §3.4.1), and points the thread's frame at the entry.
 * Called at boot and by execve; may sleep (it faults pages in).
 */
#include "linux/exec.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/uaccess.h"
#include "fs/vfs.h"
#include "guide/guide.h"
#include "lib/cmdline.h"
#include "lib/random.h"
#include "lib/elf.h"
#include "linux/process.h"
#include "linux/vdso.h"
#include "mm/slab.h"
#include "mm/vma.h"
#include "sched/thread.h"

#include <linux/auxvec.h>

#define STACK_SIZE      (8 * MiB)
#define STACK_GAP       (256 * MiB) /* between the stack's lowest end and mappings */
#define PIE_BASE        0x555555554000ul
#define RANDOM_PAGES    (1ul << 28) /* Linux's mmap_rnd_bits default on x86-64 */
#define STACK_RANDOM    (16 * GiB)
#define BRK_RANDOM      (32 * MiB)
#define MAX_STRINGS     (STACK_SIZE / 4)
#define MAX_SCRIPT      4 /* interpreters of interpreters */
#define HWCAP2_FSGSBASE 2
#define SIGFRAME_ROOM   1024 /* what a signal frame needs beside the FPU state */

/* norandmaps, as in Linux: the same addresses at every boot, for profiles. */
static bool fixed_layout;

static int set_fixed_layout(const char *value)
{
    fixed_layout = true;
    return 0;
}
CMDLINE("norandmaps", set_fixed_layout);

static uint64_t layout_random(uint64_t range)
{
    return fixed_layout ? 0 : random_u64() % range;
}

/* A program or interpreter that was mapped. */
struct loaded {
    struct elf_image img;
    virt_t bias;
};

struct stack_builder {
    virt_t sp;
    int err;
};

static const char *why; /* of the last failure, for the console */

const char *exec_reason(void)
{
    return why ? why : "cannot be run";
}

static int read_headers(struct file *f, uint64_t size, struct elf_image *img)
{
    Elf64_Ehdr h;
    Elf64_Phdr *ph;
    struct elf_error e = {0};
    ssize_t n = file_read_at(f, &h, sizeof(h), 0);
    size_t len;
    int r;

    if (n < 0)
        return n;
    r = elf_check_header(&h, n, &e);
    if (r == 0) {
        len = h.e_phnum * sizeof(Elf64_Phdr);
        ph = kmalloc(len);
        if (!ph)
            return -ENOMEM;
        if (file_read_at(f, ph, len, h.e_phoff) != (ssize_t)len) {
            e.reason = "a truncated ELF file";
            r = -ENOEXEC;
        } else {
            r = elf_parse(&h, ph, size, img, &e);
        }
        kfree(ph);
    }
    if (r < 0)
        why = e.reason;
    return r;
}

static int map_segment(struct file *f, const struct elf_segment *s, virt_t bias)
{
    virt_t start = bias + ALIGN_DOWN(s->vaddr, PAGE_SIZE);
    virt_t file_end = bias + s->vaddr + s->filesz, end = bias + s->vaddr + s->memsz;
    virt_t file_pages = ALIGN_UP(file_end, PAGE_SIZE);
    long r;

    if (s->filesz) {
        r = vma_map(start, file_end - start, s->prot, MAP_PRIVATE | MAP_FIXED, f,
                    ALIGN_DOWN(s->offset, PAGE_SIZE) >> PAGE_SHIFT, NULL);
        if (r < 0)
            return r;
        if (s->prot & PROT_EXEC)
            guide_mapped(f, start, file_end - start,
                         ALIGN_DOWN(s->offset, PAGE_SIZE) >> PAGE_SHIFT);
        /* The rest of the last page is .bss, and beyond it zero too: ld.so's first allocations
         * come from there. */
        if (s->memsz > s->filesz && file_pages > file_end && s->prot & PROT_WRITE &&
            clear_user((void *)file_end, file_pages - file_end) < 0)
            return -EFAULT;
    } else {
        file_pages = start;
    }
    if (ALIGN_UP(end, PAGE_SIZE) > file_pages) {
        r = vma_map(file_pages, end - file_pages, s->prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                    NULL, 0, NULL);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Maps a whole image; wanted: where a position-independent one shall go, 0: anywhere. */
static int map_image(struct file *f, struct loaded *l, virt_t wanted)
{
    const struct elf_image *img = &l->img;
    size_t span = img->high - img->low;
    long base;

    l->bias = 0;
    if (img->pie) {
        /* Reserve the whole span, so that the segments' own mappings land in one place. */
        base = vma_map(wanted ? ALIGN_DOWN(wanted, img->align) : 0, span + img->align, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0, NULL);
        if (base < 0)
            return base;
        virt_t at = ALIGN_UP((virt_t)base, img->align);
        vma_unmap(base, span + img->align);
        l->bias = at - img->low;
    } else if (img->low < USER_MIN) {
        why = "linked at too low an address";
        return -ENOEXEC;
    }
    for (unsigned i = 0; i < img->nr_segments; i++) {
        int r = map_segment(f, &img->segments[i], l->bias);
        if (r < 0)
            return r;
    }
    return 0;
}

static int load(struct file *f, struct loaded *l, virt_t wanted)
{
    struct kstat st;
    int r = vfs_stat_file(f, &st);

    if (r == 0 && (st.mode & S_IFMT) != S_IFREG) {
        why = "not a regular file";
        r = -EACCES;
    }
    if (r == 0)
        r = read_headers(f, st.size, &l->img);
    return r == 0 ? map_image(f, l, wanted) : r;
}

static int open_program(const char *path, struct file **f)
{
    int r = vfs_open(AT_FDCWD, path, O_RDONLY, 0, f);
    struct kstat st;

    if (r < 0) {
        why = r == -ENOENT ? "no such file in the root file system" : "cannot be opened";
        return r;
    }
    if (vfs_stat_file(*f, &st) == 0 && (st.mode & S_IFMT) == S_IFREG && !(st.mode & 0111)) {
        why = "not executable";
        file_put(*f);
        *f = NULL;
        return -EACCES;
    }
    return 0;
}

static void push_bytes(struct stack_builder *b, const void *data, size_t n)
{
    b->sp -= n;
    if (b->err == 0)
        b->err = copy_to_user((void *)b->sp, data, n);
}

static virt_t push_string(struct stack_builder *b, const char *s)
{
    push_bytes(b, s, strlen(s) + 1);
    return b->sp;
}

static void put_word(struct stack_builder *b, virt_t *at, uint64_t v)
{
    if (b->err == 0)
        b->err = copy_to_user((void *)*at, &v, sizeof(v));
    *at += sizeof(v);
}

static unsigned count_strings(char *const *v, size_t *bytes)
{
    unsigned n = 0;

    for (; v[n]; n++)
        *bytes += strlen(v[n]) + 1;
    return n;
}

/* Strings last to first, so that they lie in order; then auxv, envp, argv, argc below. */
static virt_t build_stack(virt_t top, const char *path, char *const *argv, char *const *envp,
                          const struct loaded *prog, const struct loaded *interp, int *err)
{
    struct stack_builder b = {.sp = top - sizeof(uint64_t)};
    size_t bytes = 0;
    unsigned argc = count_strings(argv, &bytes), envc = count_strings(envp, &bytes);
    uint64_t random[2] = {random_u64(), random_u64()};
    virt_t execfn, platform, random_at, at, sp, str;
    const struct cred *c = &cred;

    if (bytes > MAX_STRINGS) {
        *err = -E2BIG;
        return 0;
    }
    execfn = push_string(&b, path);
    mm_layout.env_end = b.sp;
    for (unsigned i = envc; i-- > 0;)
        push_string(&b, envp[i]);
    mm_layout.env_start = mm_layout.arg_end = b.sp;
    for (unsigned i = argc; i-- > 0;)
        push_string(&b, argv[i]);
    mm_layout.arg_start = b.sp;
    platform = push_string(&b, "x86_64");
    b.sp = ALIGN_DOWN(b.sp, 16);
    push_bytes(&b, random, sizeof(random));
    random_at = b.sp;

    const uint64_t aux[][2] = {
        {AT_SYSINFO_EHDR, vdso_base()},
        {AT_HWCAP, cpu_features.hwcap},
        {AT_PAGESZ, PAGE_SIZE},
        {AT_CLKTCK, 100},
        {AT_PHDR, prog->img.phdr_vaddr ? prog->bias + prog->img.phdr_vaddr : 0},
        {AT_PHENT, sizeof(Elf64_Phdr)},
        {AT_PHNUM, prog->img.phnum},
        {AT_BASE, interp ? interp->bias + interp->img.low : 0},
        {AT_FLAGS, 0},
        {AT_ENTRY, prog->bias + prog->img.entry},
        {AT_UID, c->uid},
        {AT_EUID, c->euid},
        {AT_GID, c->gid},
        {AT_EGID, c->egid},
        {AT_SECURE, 0},
        {AT_RANDOM, random_at},
        {AT_HWCAP2, cpu_features.fsgsbase ? HWCAP2_FSGSBASE : 0},
        {AT_EXECFN, execfn},
        {AT_PLATFORM, platform},
        {AT_MINSIGSTKSZ, cpu_features.xsave_size + SIGFRAME_ROOM},
        {AT_NULL, 0},
    };
    sp = ALIGN_DOWN(b.sp - sizeof(aux) - (argc + envc + 3) * sizeof(uint64_t), 16);
    at = sp;
    put_word(&b, &at, argc);
    str = mm_layout.arg_start;
    for (unsigned i = 0; i < argc; i++, str += strlen(argv[i - 1]) + 1)
        put_word(&b, &at, str);
    put_word(&b, &at, 0);
    for (unsigned i = 0; i < envc; i++, str += strlen(envp[i - 1]) + 1)
        put_word(&b, &at, str);
    put_word(&b, &at, 0);
    mm_layout.auxv = at;
    for (unsigned i = 0; i < ARRAY_SIZE(aux); i++) {
        put_word(&b, &at, aux[i][0]);
        put_word(&b, &at, aux[i][1]);
    }
    *err = b.err;
    return sp;
}

/* "#!interpreter [argument]": a new argv, allocated with its strings in *buf. */
static int script_args(const char *line, const char *path, char *const *argv, char ***out,
                       char **buf)
{
    const char *end = line, *arg;
    unsigned n = 0, extra;
    size_t len, arg_len = 0;
    char **v;

    line += 2;
    while (*line == ' ' || *line == '\t')
        line++;
    for (end = line; *end && *end != '\n'; end++)
        ;
    while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    for (arg = line; arg < end && *arg != ' ' && *arg != '\t'; arg++)
        ;
    len = arg - line;
    if (!len)
        return -ENOEXEC;
    while (arg < end && (*arg == ' ' || *arg == '\t'))
        arg++;
    arg_len = end - arg;
    while (argv[n])
        n++;
    extra = arg_len ? 3 : 2;
    v = kmalloc((n + extra + 1) * sizeof(*v));
    *buf = kmalloc(len + arg_len + 2 + strlen(path) + 1);
    if (!v || !*buf) {
        kfree(v);
        kfree(*buf);
        return -ENOMEM;
    }
    v[0] = memcpy(*buf, line, len);
    v[0][len] = '\0';
    if (arg_len) {
        v[1] = memcpy(*buf + len + 1, arg, arg_len);
        v[1][arg_len] = '\0';
    }
    v[extra - 1] = strcpy(*buf + len + arg_len + 2, path);
    for (unsigned i = 1; i < n; i++)
        v[extra + i - 1] = argv[i];
    v[extra + (n ? n - 1 : 0)] = NULL;
    *out = v;
    return 0;
}

static void choose_layout(virt_t *stack_top)
{
    *stack_top = USER_MAX - PAGE_SIZE - (layout_random(STACK_RANDOM) & PAGE_MASK);
    vma_mmap_top =
        *stack_top - STACK_SIZE - STACK_GAP - (layout_random(RANDOM_PAGES) << PAGE_SHIFT);
}

static int enter_image(struct file *f, const char *path, char *const *argv, char *const *envp)
{
    struct loaded *prog = kzalloc(2 * sizeof(*prog)), *interp = prog ? prog + 1 : NULL;
    struct file *inf = NULL;
    struct trap_frame *regs = thread_user_frame(current());
    virt_t stack_top, sp;
    bool dynamic;
    int r;

    if (!prog)
        return -ENOMEM;
    choose_layout(&stack_top);
    memset(&mm_layout, 0, sizeof(mm_layout));
    r = load(f, prog, PIE_BASE + (layout_random(RANDOM_PAGES) << PAGE_SHIFT));
    dynamic = r == 0 && prog->img.interp_size;
    if (dynamic) {
        static char name[PATH_MAX];
        ssize_t n = file_read_at(f, name, prog->img.interp_size, prog->img.interp_offset);

        r = n < 0 ? (int)n : 0;
        name[n > 0 ? n - 1 : 0] = '\0';
        if (r == 0)
            r = open_program(name, &inf);
        if (r < 0)
            why = "its interpreter (PT_INTERP) is missing";
        if (r == 0)
            r = load(inf, interp, 0);
    }
    if (r == 0)
        r = vdso_map();
    if (r == 0) {
        const struct elf_image *img = &prog->img;
        const struct elf_segment *last = &img->segments[img->nr_segments - 1];
        unsigned prot = PROT_READ | PROT_WRITE | (img->exec_stack ? PROT_EXEC : 0);
        long s = vma_map(stack_top - STACK_SIZE, STACK_SIZE, prot,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | VMA_STACK, NULL, 0,
                         "[stack]");
        r = s < 0 ? (int)s : 0;
        mm_layout.stack_top = stack_top;
        mm_layout.code_start = prog->bias + img->segments[0].vaddr;
        for (unsigned i = 0; i < img->nr_segments; i++)
            if (img->segments[i].prot & PROT_EXEC)
                mm_layout.code_end = prog->bias + img->segments[i].vaddr + img->segments[i].filesz;
        mm_layout.data_start = prog->bias + last->vaddr;
        mm_layout.data_end = prog->bias + last->vaddr + last->filesz;
        mm_layout.brk = mm_layout.brk_start =
            ALIGN_UP(prog->bias + img->high + layout_random(BRK_RANDOM), PAGE_SIZE);
    }
    if (r == 0)
        sp = build_stack(stack_top, path, argv, envp, prog, dynamic ? interp : NULL, &r);
    if (r == 0) {
        memset(regs, 0, sizeof(*regs));
        regs->rip = dynamic ? interp->bias + interp->img.entry : prog->bias + prog->img.entry;
        regs->rsp = sp;
        regs->cs = SEL_CODE;
        regs->ss = SEL_DATA;
        regs->rflags = RFLAGS_IF | 2;
    }
    if (inf)
        file_put(inf);
    kfree(prog);
    return r;
}

int exec_load(const char *path, char *const *argv, char *const *envp, void (*commit)(void))
{
    char **args = (char **)argv, *buf = NULL, line[128];
    struct file *f = NULL;
    int depth = 0, r;

    why = NULL;
    for (;;) {
        ssize_t n;
        char **next;
        char *next_buf;

        r = open_program(path, &f);
        if (r < 0)
            break;
        n = file_read_at(f, line, sizeof(line) - 1, 0);
        line[n > 0 ? n : 0] = '\0';
        if (n < 2 || line[0] != '#' || line[1] != '!')
            break;
        r = depth++ < MAX_SCRIPT ? script_args(line, path, args, &next, &next_buf) : -ELOOP;
        file_put(f);
        f = NULL;
        if (r < 0)
            break;
        if (buf)
            kfree(args);
        /* The former buffer's strings may still be arguments: it is kept until the end of the boot
         * or lost with a failed exec, a few bytes. */
        args = next;
        buf = next_buf;
        path = args[0];
    }
    if (r == 0) {
        struct elf_image *probe = kmalloc(sizeof(*probe));
        struct kstat st;

        /* Whatever can be told before the old program is gone. */
        r = probe ? vfs_stat_file(f, &st) : -ENOMEM;
        if (r == 0 && (st.mode & S_IFMT) != S_IFREG) {
            why = "not a regular file";
            r = -EACCES;
        }
        if (r == 0)
            r = read_headers(f, st.size, probe);
        kfree(probe);
    }
    if (r == 0) {
        char *name = vfs_path_of(f, process.exe, sizeof(process.exe));
        const char *base;

        if (name && name != process.exe)
            memmove(process.exe, name, strlen(name) + 1);
        base = strrchr(path, '/');
        strlcpy(process.comm, base ? base + 1 : path, sizeof(process.comm));
        strlcpy(current()->name, process.comm, sizeof(current()->name));
        commit();
        r = enter_image(f, path, args, envp);
    }
    if (f)
        file_put(f);
    if (buf) {
        kfree(args);
        kfree(buf);
    }
    return r;
}
