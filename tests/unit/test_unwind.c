// unit: kernel/lib/unwind.c kernel/lib/unwind_read.c kernel/lib/unwind_expr.c kernel/lib/elfimage.c
/*
 * Proves that the unwinder finds the callers that are really there: against the compiler's own
 * unwinder in this process (through libc frames and a signal frame), and against a shadow stack
 * kept while a Debian binary is single-stepped, dynamic linker and PLT stubs included. And that
 * damaged tables end a trace with the right reason.
 */
#define _GNU_SOURCE
#include "lib/elfimage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <cmocka.h>

#define MAX_IMAGES 64
#define MAX_DEPTH  64

/* ---- Images of a process, from /proc/PID/maps ------------------------------------------- */

struct range {
    virt_t base, start, end;
};

struct process {
    pid_t pid;
    struct range images[MAX_IMAGES];
    unsigned nr;
    struct loaded_image parsed; /* of the last lookup */
    virt_t parsed_base;
};

static bool read_process(void *ctx, virt_t addr, void *buf, size_t n)
{
    struct process *p = ctx;
    struct iovec local = {buf, n}, remote = {(void *)addr, n};
    return process_vm_readv(p->pid, &local, 1, &remote, 1, 0) == (ssize_t)n;
}

/* Consecutive mappings of one inode are an image. */
static void load_maps(struct process *p)
{
    char path[64], line[512], name[256], last[256] = "";
    virt_t start, end, base = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", p->pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    p->nr = 0;
    p->parsed_base = 0;
    while (fgets(line, sizeof(line), f) != NULL && p->nr < MAX_IMAGES) {
        name[0] = '\0';
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %255s", &start, &end, name) < 2)
            continue;
        if (name[0] == '\0' || (name[0] == '[' && strcmp(name, "[vdso]") != 0))
            continue;
        if (strcmp(name, last) != 0)
            base = start;
        strcpy(last, name);
        p->images[p->nr++] = (struct range){base, start, end};
    }
    fclose(f);
}

static bool image_of(struct process *p, virt_t pc, struct loaded_image *img)
{
    struct unwind_memory mem = {read_process, p};
    for (unsigned i = 0; i < p->nr; i++) {
        if (pc < p->images[i].start || pc >= p->images[i].end)
            continue;
        if (p->parsed_base != p->images[i].base) {
            if (!elf_image_read(&mem, p->images[i].base, &p->parsed))
                return false;
            p->parsed_base = p->images[i].base;
        }
        *img = p->parsed;
        return true;
    }
    return false;
}

static enum unwind_result step(struct process *p, struct unwind_cursor *c)
{
    struct unwind_memory mem = {read_process, p};
    struct loaded_image img;
    if (!image_of(p, unwind_pc(c), &img) || img.tables.hdr == 0)
        return UNWIND_NO_TABLE;
    return unwind_step(&mem, &img.tables, c);
}

/* ---- In this process --------------------------------------------------------------------- */

static virt_t expected[MAX_DEPTH];
static unsigned nr_expected;
static unsigned compared;

static _Unwind_Reason_Code collect(struct _Unwind_Context *ctx, void *arg)
{
    (void)arg;
    if (nr_expected < MAX_DEPTH)
        expected[nr_expected++] = _Unwind_GetIP(ctx);
    return _URC_NO_REASON;
}

/* All callers of this function must be the ones that libgcc finds. */
__attribute__((noinline)) static void compare_here(void)
{
    struct process self = {.pid = getpid()};
    struct unwind_cursor c = {.known = (1u << UNWIND_REGS) - 1, .exact = true};
    virt_t got[MAX_DEPTH];
    unsigned n = 0;
    enum unwind_result r;
    ucontext_t uc;

    load_maps(&self);
    nr_expected = 0;
    _Unwind_Backtrace(collect, NULL);
    getcontext(&uc);
    const greg_t *g = uc.uc_mcontext.gregs;
    c.reg[UNWIND_RIP] = (uint64_t)g[REG_RIP];
    c.reg[UNWIND_RSP] = (uint64_t)g[REG_RSP];
    c.reg[UNWIND_RBP] = (uint64_t)g[REG_RBP];
    c.reg[UNWIND_RBX] = (uint64_t)g[REG_RBX];
    c.reg[UNWIND_R12] = (uint64_t)g[REG_R12];
    c.reg[UNWIND_R13] = (uint64_t)g[REG_R13];
    c.reg[UNWIND_R14] = (uint64_t)g[REG_R14];
    c.reg[UNWIND_R15] = (uint64_t)g[REG_R15];
    while ((r = step(&self, &c)) == UNWIND_OK && n < MAX_DEPTH)
        got[n++] = c.reg[UNWIND_RIP];
    assert_int_equal(r, UNWIND_END);
    /* libgcc's list starts with this function itself and may end with a zero. */
    unsigned want = nr_expected;
    while (want > 0 && expected[want - 1] == 0)
        want--;
    assert_int_equal(n, want - 1);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(got[i], expected[i + 1]);
    assert_true(n >= 4);
    compared++;
}

static int by_value(const void *a, const void *b)
{
    if (compared == 0)
        compare_here();
    return *(const int *)a - *(const int *)b;
}

static void on_signal(int sig)
{
    (void)sig;
    int v[] = {3, 1, 2};
    compared = 0;
    qsort(v, 3, sizeof(v[0]), by_value);
}

static void finds_what_the_compiler_finds(void **state)
{
    (void)state;
    compared = 0;
    compare_here();
    assert_int_equal(compared, 1);
}

static void crosses_libc_and_signal_frames(void **state)
{
    (void)state;
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    assert_int_equal(compared, 1);
}

static void names_dynamic_symbols(void **state)
{
    (void)state;
    struct process self = {.pid = getpid()};
    struct unwind_memory mem = {read_process, &self};
    struct loaded_image img;
    char name[64];
    uint64_t off;
    load_maps(&self);
    virt_t addr = (virt_t)&lfind + 5; /* libc's; the sanitizers do not replace it */
    assert_true(image_of(&self, addr, &img));
    assert_true(img.nr_syms > 1000);
    assert_true(elf_image_symbol(&mem, &img, addr, name, sizeof(name), &off));
    assert_string_equal(name, "lfind");
    assert_int_equal(off, 5);
    assert_true(elf_image_symbol(&mem, &img, addr, name, 3, &off));
    assert_string_equal(name, "lf");
}

/* ---- A Debian binary, step by step ------------------------------------------------------- */

#define STEPS      60000
#define FULL_EVERY 257
#define SHADOW_MAX 512

static struct unwind_cursor cursor_of(const struct user_regs_struct *u)
{
    struct unwind_cursor c = {.known = (1u << UNWIND_REGS) - 1, .exact = true};
    uint64_t r[UNWIND_REGS] = {u->rax, u->rdx, u->rcx, u->rbx, u->rsi, u->rdi,
                               u->rbp, u->rsp, u->r8,  u->r9,  u->r10, u->r11,
                               u->r12, u->r13, u->r14, u->r15, u->rip};
    memcpy(c.reg, r, sizeof(r));
    return c;
}

static bool is_call(const uint8_t *b)
{
    while ((*b >= 0x40 && *b <= 0x4f) || *b == 0xf2 || *b == 0x3e || *b == 0x66 || *b == 0x67)
        b++;
    return *b == 0xe8 || (*b == 0xff && (b[1] >> 3 & 7) == 2);
}

static bool is_ret(const uint8_t *b)
{
    while (*b == 0xf2 || *b == 0xf3)
        b++;
    return *b == 0xc3 || *b == 0xc2;
}

static void agrees_with_a_shadow_stack(void **state)
{
    (void)state;
    static virt_t shadow[SHADOW_MAX];
    unsigned depth = 0, full = 0, checked = 0;
    struct user_regs_struct u;
    int status;

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        unsetenv("LD_PRELOAD");
        freopen("/dev/null", "w", stdout);
        execl("/usr/bin/ls", "ls", "-l", "/", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSTOPPED(status)) {
        print_message("ptrace is not allowed here\n");
        skip();
    }
    struct process p = {.pid = pid};
    load_maps(&p);
    for (unsigned i = 0; i < STEPS; i++) {
        uint8_t code[16] = {0};
        struct user_regs_struct after;
        assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &u), 0);
        read_process(&p, u.rip, code, 15);
        struct loaded_image img;
        if (!image_of(&p, u.rip, &img))
            load_maps(&p); /* something was mapped since */
        if (depth > 0) {
            struct unwind_cursor c = cursor_of(&u);
            enum unwind_result r = step(&p, &c);
            if (r != UNWIND_OK || c.reg[UNWIND_RIP] != shadow[depth - 1])
                fail_msg("step %u at %llx: %s, caller %lx instead of %lx", i, u.rip,
                         unwind_result_text(r), c.reg[UNWIND_RIP], shadow[depth - 1]);
            checked++;
            if (i % FULL_EVERY == 0) {
                for (unsigned d = depth - 1; d > 0; d--) {
                    assert_int_equal(step(&p, &c), UNWIND_OK);
                    assert_int_equal(c.reg[UNWIND_RIP], shadow[d - 1]);
                }
                full++;
            }
        }
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0)
            break;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSTOPPED(status))
            break;
        assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &after), 0);
        if (is_call(code)) {
            uint64_t ret;
            assert_true(read_process(&p, after.rsp, &ret, 8) && depth < SHADOW_MAX);
            shadow[depth++] = ret;
        } else if (is_ret(code) && depth > 0) {
            depth--;
        }
    }
    if (WIFSTOPPED(status)) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    print_message("%u steps checked, %u of them to the outermost frame\n", checked, full);
    assert_true(checked > STEPS / 2 && full > 50);
}

/* ---- Damaged tables ---------------------------------------------------------------------- */

#define BLOB_BASE  0x10000ul
#define STACK_BASE 0x20000ul
#define CODE_BASE  0x40000ul

struct blob {
    uint8_t data[512];
    size_t len;
    uint64_t stack[64];
};

static bool read_blob(void *ctx, virt_t addr, void *buf, size_t n)
{
    struct blob *b = ctx;
    if (addr >= BLOB_BASE && addr - BLOB_BASE <= b->len && n <= b->len - (addr - BLOB_BASE)) {
        memcpy(buf, b->data + (addr - BLOB_BASE), n);
        return true;
    }
    if (addr >= STACK_BASE && addr - STACK_BASE <= sizeof(b->stack) - n && n <= 8) {
        memcpy(buf, (uint8_t *)b->stack + (addr - STACK_BASE), n);
        return true;
    }
    return false;
}

static void put(struct blob *b, const void *p, size_t n)
{
    assert_true(b->len + n <= sizeof(b->data));
    memcpy(b->data + b->len, p, n);
    b->len += n;
}

static void put_entry(struct blob *b, const uint8_t *body, uint32_t len)
{
    put(b, &len, 4);
    put(b, body, len);
}

/* A CIE "zR" with absolute pointers, and an FDE for 0x100 bytes of code with the given program. */
static void build(struct blob *b, const uint8_t *program, size_t n)
{
    static const uint8_t cie[] = {
        0,    0,  0, 0, 1,    'z', 'R', 0,    1,
        0x78, 16, 1, 0, 0x0c, 7,   8,   0x90, 1}; /* CFA = rsp + 8, rip at CFA - 8 */
    uint8_t fde[256] = {0};
    uint64_t start = CODE_BASE, size = 0x100;
    memset(b, 0, sizeof(*b));
    put_entry(b, cie, sizeof(cie));
    uint32_t back = (uint32_t)b->len + 4;
    memcpy(fde, &back, 4);
    memcpy(fde + 4, &start, 8);
    memcpy(fde + 12, &size, 8);
    assert_true(n + 21 <= sizeof(fde));
    memcpy(fde + 21, program, n);
    put_entry(b, fde, (uint32_t)(21 + n));
    put(b, (uint32_t[]){0}, 4);
    for (unsigned i = 0; i < 64; i++)
        b->stack[i] = 0x5000 + i;
}

static enum unwind_result run(struct blob *b, struct unwind_cursor *c)
{
    struct unwind_memory mem = {read_blob, b};
    struct unwind_tables t = {0, 0, BLOB_BASE, BLOB_BASE + b->len};
    *c = (struct unwind_cursor){.known = (1u << UNWIND_REGS) - 1, .exact = true};
    for (unsigned i = 0; i < UNWIND_REGS; i++)
        c->reg[i] = 100 + i;
    c->reg[UNWIND_RIP] = CODE_BASE + 0x10;
    c->reg[UNWIND_RSP] = STACK_BASE + 16;
    return unwind_step(&mem, &t, c);
}

static enum unwind_result run_program(const uint8_t *program, size_t n, struct unwind_cursor *c)
{
    struct blob b;
    build(&b, program, n);
    return run(&b, c);
}
#define RUN(c, ...)                                                                                \
    run_program((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), c)

static void understands_every_rule(void **state)
{
    (void)state;
    struct unwind_cursor c;
    assert_int_equal(RUN(&c, 0), UNWIND_OK);
    assert_int_equal(c.reg[UNWIND_RIP], 0x5002);
    assert_int_equal(c.reg[UNWIND_RSP], STACK_BASE + 24);
    assert_false(c.exact);
    /* rbx at CFA-24, then forgotten by restore_state */
    assert_int_equal(RUN(&c, 0x0a, 0x83, 3, 0x0b), UNWIND_OK);
    assert_int_equal(c.reg[UNWIND_RBX], 100 + UNWIND_RBX);
    assert_int_equal(RUN(&c, 0x0e, 24, 0x83, 3, 0x09, 6, 12), UNWIND_OK);
    assert_int_equal(c.reg[UNWIND_RIP], 0x5004);
    assert_int_equal(c.reg[UNWIND_RBX], 0x5002);
    assert_int_equal(c.reg[UNWIND_RBP], 100 + UNWIND_R12);
    /* A row that starts after pc does not count; one at it does. */
    assert_int_equal(RUN(&c, 0x51, 0x0e, 24), UNWIND_OK);
    assert_int_equal(c.reg[UNWIND_RIP], 0x5002);
    assert_int_equal(RUN(&c, 0x50, 0x0e, 24), UNWIND_OK);
    assert_int_equal(c.reg[UNWIND_RIP], 0x5004);
    assert_int_equal(RUN(&c, 0x03, 0x10, 0, 0x13, 0x7d), UNWIND_OK); /* def_cfa_offset_sf 24 */
    assert_int_equal(c.reg[UNWIND_RIP], 0x5004);
    /* CFA = rsp + 8 + (rsp & 15 >= 11) * 8, what a PLT stub says; then rsp + 24 by val_expression
     */
    assert_int_equal(RUN(&c, 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22),
                     UNWIND_OK);
    assert_int_equal(c.reg[UNWIND_RIP], 0x5002);
    assert_int_equal(RUN(&c, 0x16, 3, 2, 0x23, 16), UNWIND_OK); /* CFA + 16: CFA is pushed first */
    assert_int_equal(c.reg[UNWIND_RBX], STACK_BASE + 40);
    assert_int_equal(RUN(&c, 0x10, 3, 2, 0x77, 0), UNWIND_OK); /* at rsp */
    assert_int_equal(c.reg[UNWIND_RBX], 0x5002);
    assert_int_equal(RUN(&c, 0x07, 16), UNWIND_END); /* rip undefined: outermost */
}

static void damage_ends_the_trace(void **state)
{
    (void)state;
    struct unwind_cursor c;
    assert_int_equal(RUN(&c, 0x0b), UNWIND_BAD_TABLE); /* restore without remember */
    assert_int_equal(RUN(&c, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a),
                     UNWIND_BAD_TABLE);
    assert_int_equal(RUN(&c, 0x3f), UNWIND_BAD_TABLE);        /* unknown instruction */
    assert_int_equal(RUN(&c, 0x0c, 7), UNWIND_BAD_TABLE);     /* cut off */
    assert_int_equal(RUN(&c, 0x0c, 40, 8), UNWIND_BAD_TABLE); /* no such register */
    assert_int_equal(RUN(&c, 0x0f, 3, 0x2f, 0xfd, 0xff), UNWIND_BAD_TABLE); /* jumps for ever */
    assert_int_equal(RUN(&c, 0x0f, 3, 0x2f, 0xf0, 0xff), UNWIND_BAD_TABLE); /* jumps out */
    assert_int_equal(RUN(&c, 0x0f, 1, 0x22), UNWIND_BAD_TABLE);             /* empty stack */
    assert_int_equal(RUN(&c, 0x0f, 3, 0x31, 0x30, 0x1b), UNWIND_BAD_TABLE); /* 1 / 0 */
    assert_int_equal(RUN(&c, 0x0f, 2, 0x30, 0x06), UNWIND_UNREADABLE);
    assert_int_equal(RUN(&c, 0x0e, 0x80, 0x80, 4), UNWIND_UNREADABLE); /* CFA beyond the stack */
    assert_int_equal(RUN(&c, 0x13, 0), UNWIND_LOOP);                   /* CFA = rsp */
    assert_int_equal(RUN(&c, 0x0e, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80),
                     UNWIND_BAD_TABLE); /* endless LEB128 */
    struct blob b;
    build(&b, (const uint8_t[]){0}, 1);
    b.data[4] = 1; /* the CIE is none */
    assert_int_equal(run(&b, &c), UNWIND_BAD_TABLE);
    build(&b, (const uint8_t[]){0}, 1);
    b.data[0] = 0xff; /* longer than the section */
    b.data[1] = 0xff;
    assert_int_equal(run(&b, &c), UNWIND_BAD_TABLE);
    build(&b, (const uint8_t[]){0}, 1);
    b.len = 10; /* cut off within the CIE */
    assert_int_equal(run(&b, &c), UNWIND_BAD_TABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_the_compiler_finds),
        cmocka_unit_test(crosses_libc_and_signal_frames),
        cmocka_unit_test(names_dynamic_symbols),
        cmocka_unit_test(agrees_with_a_shadow_stack),
        cmocka_unit_test(understands_every_rule),
        cmocka_unit_test(damage_ends_the_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
