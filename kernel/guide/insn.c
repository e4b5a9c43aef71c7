/*
 * See insn.h. Encodings: SDM vol. 2. INSN_ZERO (xor of a register with itself) and INSN_ROOM also
 * set the flags, which a function's first instruction leaves to nobody (System V psABI §3.2.1:
 * flags are not preserved across calls, and carry no argument).
 */
#include "guide/insn.h"

#define REX_W 8
#define REX_R 4
#define REX_B 1

#define FLAG_CF 0x001ull
#define FLAG_PF 0x004ull
#define FLAG_ZF 0x040ull
#define FLAG_SF 0x080ull
#define FLAG_OF 0x800ull

struct insn insn_decode(const uint8_t code[INSN_MAX])
{
    const uint8_t *p = code;
    struct insn i = {.kind = INSN_OTHER};
    unsigned rex = 0, reg, rm;

    if (p[0] == 0xf3 && p[1] == 0x0f && p[2] == 0x1e && p[3] == 0xfa) { /* endbr64 */
        i.kind = INSN_NOP;
        i.length = 4;
        return i;
    }
    if ((*p & 0xf0) == 0x40)
        rex = *p++ & 0xf;
    if (*p == 0x90 && rex == 0) {
        i.kind = INSN_NOP;
        i.length = 1;
    } else if (*p >= 0x50 && *p <= 0x57) { /* push r64 */
        i.kind = INSN_PUSH;
        i.from = (uint8_t)((*p & 7) | (rex & REX_B ? 8 : 0));
        i.length = (uint8_t)(p + 1 - code);
    } else if (*p >= 0xb8 && *p <= 0xbf && !(rex & REX_W)) { /* mov imm32, r32 */
        i.kind = INSN_LOAD;
        i.to = (uint8_t)((*p & 7) | (rex & REX_B ? 8 : 0));
        memcpy(&i.constant, p + 1, sizeof(i.constant));
        i.length = (uint8_t)(p + 5 - code);
    } else if ((*p == 0x89 || *p == 0x8b || *p == 0x31 || *p == 0x33 || *p == 0x85) &&
               p[1] >= 0xc0) {
        bool reversed = *p & 2; /* reg, r/m and not r/m, reg */

        reg = (p[1] >> 3 & 7) | (rex & REX_R ? 8 : 0);
        rm = (p[1] & 7) | (rex & REX_B ? 8 : 0);
        i.to = (uint8_t)(reversed ? reg : rm);
        i.from = (uint8_t)(reversed ? rm : reg);
        i.wide = rex & REX_W;
        i.length = (uint8_t)(p + 2 - code);
        if (*p == 0x89 || *p == 0x8b)
            i.kind = INSN_MOVE;
        else if (*p == 0x85)
            i.kind = INSN_TEST;
        else if (i.to == i.from)
            i.kind = INSN_ZERO;
    } else if ((*p == 0x83 || *p == 0x81) && p[1] == 0xec && rex == REX_W) { /* sub n, %rsp */
        i.kind = INSN_ROOM;
        if (*p == 0x83)
            i.constant = (int8_t)p[2];
        else
            memcpy(&i.constant, p + 2, sizeof(i.constant));
        i.length = (uint8_t)(p + (*p == 0x83 ? 3 : 6) - code);
    }
    return i;
}

static uint64_t *register_of(struct trap_frame *f, unsigned n)
{
    uint64_t *const registers[16] = {&f->rax, &f->rcx, &f->rdx, &f->rbx, &f->rsp, &f->rbp,
                                     &f->rsi, &f->rdi, &f->r8,  &f->r9,  &f->r10, &f->r11,
                                     &f->r12, &f->r13, &f->r14, &f->r15};

    return registers[n];
}

/* What TEST leaves: SDM vol. 1 §3.4.3.1; AF is undefined. */
static uint64_t tested(uint64_t value, bool wide)
{
    uint64_t sign = value >> (wide ? 63 : 31) & 1;
    unsigned low = (unsigned)value & 0xff;

    if (!wide)
        value = (uint32_t)value;
    return (value == 0 ? FLAG_ZF : 0) | (sign ? FLAG_SF : 0) |
           (__builtin_popcount(low) % 2 == 0 ? FLAG_PF : 0);
}

bool insn_carry_out(const struct insn *i, struct trap_frame *f, uint64_t *push)
{
    uint64_t from = *register_of(f, i->from);

    switch (i->kind) {
    case INSN_PUSH:
        *push = from;
        f->rsp -= 8;
        return true;
    case INSN_MOVE:
        *register_of(f, i->to) = i->wide ? from : (uint32_t)from;
        return false;
    case INSN_LOAD:
        *register_of(f, i->to) = (uint32_t)i->constant;
        return false;
    case INSN_TEST:
        f->rflags = (f->rflags & ~(FLAG_CF | FLAG_PF | FLAG_ZF | FLAG_SF | FLAG_OF)) |
                    tested(*register_of(f, i->to) & from, i->wide);
        return false;
    case INSN_ZERO:
        *register_of(f, i->to) = 0;
        return false;
    case INSN_ROOM:
        f->rsp -= (uint64_t)(int64_t)i->constant;
        return false;
    default:
        return false;
    }
}
