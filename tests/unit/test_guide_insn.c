// unit: kernel/guide/insn.c
/* Proves that the instructions a breakpoint takes the place of do what the CPU does: every encoding
 * that is understood is also executed, with the same registers, and both results are compared. */
#include "guide/insn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define FLAGS 0x8c5ull /* OF, SF, ZF, PF, CF */
#define RSP   4

/* Registers by number; flags behind them. */
struct cpu {
    uint64_t r[16], flags;
};

static uint8_t *page;

/* Code that loads all registers but rsp, executes what stands at `insn`, and stores them again:
 * made of bytes, as no compiler lets all of them go. rdi: the struct. */
static void execute(const uint8_t *insn, unsigned n, struct cpu *c)
{
    static const uint8_t saved[] = {0x53, 0x55, 0x41, 0x54, 0x41,
                                    0x55, 0x41, 0x56, 0x41, 0x57}; /* push */
    static const uint8_t restored[] = {0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d,
                                       0x41, 0x5c, 0x5d, 0x5b, 0xc3};
    static struct cpu box;
    static uint64_t box_at;
    uint8_t *p = page;

    box = *c;
    box_at = (uint64_t)&box;
    memcpy(p, saved, sizeof(saved));
    p += sizeof(saved);
    *p++ = 0x48, *p++ = 0xb8; /* mov $box, %rax; then every register from its place; rax last */
    memcpy(p, &box_at, 8);
    p += 8;
    for (int i = 15; i >= 0; i--) {
        if (i == RSP)
            continue;
        *p++ = (uint8_t)(0x48 | (i >= 8 ? 4 : 0)), *p++ = 0x8b;
        *p++ = (uint8_t)(0x40 | (i & 7) << 3), *p++ = (uint8_t)(8 * i);
    }
    memcpy(p, insn, n);
    p += n;
    *p++ = 0x9c;              /* pushf */
    *p++ = 0x50;              /* push %rax */
    *p++ = 0x48, *p++ = 0xb8; /* mov $box, %rax */
    memcpy(p, &box_at, 8);
    p += 8;
    for (int i = 1; i < 16; i++) {
        if (i == RSP)
            continue;
        *p++ = (uint8_t)(0x48 | (i >= 8 ? 4 : 0)), *p++ = 0x89;
        *p++ = (uint8_t)(0x40 | (i & 7) << 3), *p++ = (uint8_t)(8 * i);
    }
    *p++ = 0x8f, *p++ = 0x00; /* pop (%rax) */
    *p++ = 0x8f, *p++ = 0x80; /* pop 128(%rax) */
    *p++ = 128, *p++ = 0, *p++ = 0, *p++ = 0;
    memcpy(p, restored, sizeof(restored));
    ((void (*)(void))(uintptr_t)page)();
    box.r[RSP] = c->r[RSP];
    *c = box;
}

static uint64_t seed = 88172645463325252ull;

static uint64_t random64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static struct trap_frame frame_of(const struct cpu *c)
{
    return (struct trap_frame){.rax = c->r[0],
                               .rcx = c->r[1],
                               .rdx = c->r[2],
                               .rbx = c->r[3],
                               .rsp = c->r[4],
                               .rbp = c->r[5],
                               .rsi = c->r[6],
                               .rdi = c->r[7],
                               .r8 = c->r[8],
                               .r9 = c->r[9],
                               .r10 = c->r[10],
                               .r11 = c->r[11],
                               .r12 = c->r[12],
                               .r13 = c->r[13],
                               .r14 = c->r[14],
                               .r15 = c->r[15]};
}

static void compare(const uint8_t *code, const struct insn *i)
{
    struct cpu c;
    struct trap_frame f, after;
    uint64_t push;

    for (int k = 0; k < 16; k++) /* some zeros, some with the top bits alone */
        c.r[k] = random64() % 4 == 0   ? 0
                 : random64() % 3 == 0 ? random64() & 0xffffffff80000000ull
                                       : random64();
    f = frame_of(&c);
    assert_false(insn_carry_out(i, &f, &push));
    execute(code, i->length, &c);
    after = frame_of(&c);
    assert_memory_equal(&f, &after, offsetof(struct trap_frame, vector));
    if (i->kind == INSN_TEST)
        assert_int_equal(f.rflags & FLAGS, c.flags & FLAGS);
}

static void moves_and_tests_do_what_the_cpu_does(void **state)
{
    static const uint8_t opcodes[] = {0x89, 0x8b, 0x31, 0x33, 0x85};
    unsigned compared = 0;

    for (unsigned rex = 0x3f; rex < 0x50; rex++)
        for (unsigned o = 0; o < sizeof(opcodes); o++)
            for (unsigned modrm = 0; modrm < 256; modrm++) {
                uint8_t code[INSN_MAX] = {0};
                unsigned n = 0;
                struct insn i;

                if (rex >= 0x40)
                    code[n++] = (uint8_t)rex;
                code[n++] = opcodes[o];
                code[n++] = (uint8_t)modrm;
                i = insn_decode(code);
                if (modrm < 0xc0 || (i.to != i.from && (o == 2 || o == 3))) {
                    assert_int_equal(i.kind, INSN_OTHER);
                    continue;
                }
                assert_int_not_equal(i.kind, INSN_OTHER);
                assert_int_equal(i.length, n);
                if (i.to == RSP || i.from == RSP)
                    continue; /* the stack is in use here */
                for (int k = 0; k < 8; k++, compared++)
                    compare(code, &i);
            }
    assert_true(compared > 20000);
}

static void constants_are_loaded(void **state)
{
    for (unsigned rex = 0x3f; rex < 0x48; rex++)
        for (unsigned op = 0xb8; op < 0xc0; op++) {
            uint8_t code[INSN_MAX] = {0};
            unsigned n = 0;
            uint32_t constant = (uint32_t)random64();
            struct insn i;

            if (rex >= 0x40)
                code[n++] = (uint8_t)rex;
            code[n++] = (uint8_t)op;
            memcpy(code + n, &constant, 4);
            i = insn_decode(code);
            assert_int_equal(i.kind, INSN_LOAD);
            assert_int_equal(i.length, n + 4);
            if (i.to != RSP)
                compare(code, &i);
        }
}

static void the_stack_is_used_as_by_the_cpu(void **state)
{
    static const uint8_t push_r13[INSN_MAX] = {0x41, 0x55}, push_rsp[INSN_MAX] = {0x54},
                         small[INSN_MAX] = {0x48, 0x83, 0xec, 0x28},
                         negative[INSN_MAX] = {0x48, 0x83, 0xec, 0x80},
                         large[INSN_MAX] = {0x48, 0x81, 0xec, 0x98, 0x10, 0, 0},
                         endbr[INSN_MAX] = {0xf3, 0x0f, 0x1e, 0xfa}, nop[INSN_MAX] = {0x90};
    struct trap_frame f = {.rsp = 0x7000, .r13 = 42};
    struct insn i = insn_decode(push_r13);
    uint64_t push;

    assert_int_equal(i.length, 2);
    assert_true(insn_carry_out(&i, &f, &push));
    assert_int_equal(push, 42);
    assert_int_equal(f.rsp, 0x6ff8);
    i = insn_decode(push_rsp);
    assert_true(insn_carry_out(&i, &f, &push));
    assert_int_equal(push, 0x6ff8); /* as it was before: SDM vol. 2, PUSH */
    assert_int_equal(f.rsp, 0x6ff0);
    i = insn_decode(small);
    assert_false(insn_carry_out(&i, &f, &push));
    assert_int_equal(f.rsp, 0x6fc8);
    i = insn_decode(negative);
    assert_false(insn_carry_out(&i, &f, &push));
    assert_int_equal(f.rsp, 0x7048);
    i = insn_decode(large);
    assert_int_equal(i.length, 7);
    assert_false(insn_carry_out(&i, &f, &push));
    assert_int_equal(f.rsp, 0x5fb0);
    i = insn_decode(endbr);
    assert_int_equal(i.length, 4);
    assert_false(insn_carry_out(&i, &f, &push));
    i = insn_decode(nop);
    assert_int_equal(i.length, 1);
    assert_int_equal(f.rsp, 0x5fb0);
}

static void others_are_refused(void **state)
{
    static const uint8_t codes[][INSN_MAX] = {
        {0xe9},       {0xff, 0x25}, {0x80, 0x3d}, {0x48, 0x83, 0xc4, 8}, {0xc3}, {0xcc},
        {0x66, 0x50}, {0x48, 0xb8}, {0x0f, 0x0b}, {0x83, 0xec, 8},       {0}};

    for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        assert_int_equal(insn_decode(codes[i]).kind, INSN_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(moves_and_tests_do_what_the_cpu_does),
                                       cmocka_unit_test(constants_are_loaded),
                                       cmocka_unit_test(the_stack_is_used_as_by_the_cpu),
                                       cmocka_unit_test(others_are_refused)};

    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
