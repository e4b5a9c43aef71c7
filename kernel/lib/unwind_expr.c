/*
 * DWARF expressions in unwind tables: a stack machine (DWARF 5 §2.5). PLT stubs, signal frames and
 * hand-written assembly have them. See lib/unwind.h. A block is bounded, but may jump: its
 * steps are counted.
 */
#include "lib/unwind_impl.h"

#define EXPR_STACK 16  /* operands */
#define EXPR_STEPS 256 /* operations; only jumps can make it long */

/* Expression operations, DWARF 5 §7.7.1. */
enum {
    OP_ADDR = 0x03,
    OP_DEREF = 0x06,
    OP_CONST1U = 0x08,
    OP_CONST1S,
    OP_CONST2U,
    OP_CONST2S,
    OP_CONST4U,
    OP_CONST4S,
    OP_CONST8U,
    OP_CONST8S,
    OP_CONSTU,
    OP_CONSTS,
    OP_DUP,
    OP_DROP,
    OP_OVER,
    OP_PICK,
    OP_SWAP,
    OP_ROT,
    OP_ABS = 0x19,
    OP_AND,
    OP_DIV,
    OP_MINUS,
    OP_MOD,
    OP_MUL,
    OP_NEG,
    OP_NOT,
    OP_OR,
    OP_PLUS,
    OP_PLUS_UCONST,
    OP_SHL,
    OP_SHR,
    OP_SHRA,
    OP_XOR,
    OP_BRA,
    OP_EQ,
    OP_GE,
    OP_GT,
    OP_LE,
    OP_LT,
    OP_NE,
    OP_SKIP,
    OP_LIT0 = 0x30,
    OP_LIT31 = 0x4f,
    OP_BREG0 = 0x70,
    OP_BREG31 = 0x8f,
    OP_BREGX = 0x92,
    OP_DEREF_SIZE = 0x94,
    OP_NOP = 0x96,
};

struct expr {
    struct unwind_reader r;
    const struct unwind_cursor *cur;
    uint64_t stack[EXPR_STACK];
    unsigned depth;
};

static void push(struct expr *e, uint64_t v)
{
    if (e->depth == EXPR_STACK)
        unwind_fail(&e->r, UNWIND_BAD_TABLE);
    else
        e->stack[e->depth++] = v;
}

static uint64_t pop(struct expr *e)
{
    if (e->depth == 0) {
        unwind_fail(&e->r, UNWIND_BAD_TABLE);
        return 0;
    }
    return e->stack[--e->depth];
}

/* The i-th value from the top. */
static uint64_t peek(struct expr *e, unsigned i)
{
    if (i >= e->depth) {
        unwind_fail(&e->r, UNWIND_BAD_TABLE);
        return 0;
    }
    return e->stack[e->depth - 1 - i];
}

static void push_register(struct expr *e, uint64_t reg, int64_t off)
{
    if (reg >= UNWIND_REGS || !(e->cur->known & 1u << reg))
        unwind_fail(&e->r, UNWIND_BAD_TABLE);
    else
        push(e, e->cur->reg[reg] + (uint64_t)off);
}

static void push_memory(struct expr *e, unsigned bytes)
{
    virt_t addr = pop(e);
    uint64_t v = 0;
    if (bytes == 0 || bytes > sizeof(v))
        unwind_fail(&e->r, UNWIND_BAD_TABLE);
    else if (e->r.error == UNWIND_OK && !e->r.mem->read(e->r.mem->ctx, addr, &v, bytes))
        unwind_fail(&e->r, UNWIND_UNREADABLE);
    push(e, v);
}

/* a op b, a being the one pushed first. */
static uint64_t binary(struct expr *e, uint8_t op, uint64_t a, uint64_t b)
{
    int64_t sa = (int64_t)a, sb = (int64_t)b;
    switch (op) {
    case OP_AND:
        return a & b;
    case OP_OR:
        return a | b;
    case OP_XOR:
        return a ^ b;
    case OP_PLUS:
        return a + b;
    case OP_MINUS:
        return a - b;
    case OP_MUL:
        return a * b;
    case OP_SHL:
        return b < 64 ? a << b : 0;
    case OP_SHR:
        return b < 64 ? a >> b : 0;
    case OP_SHRA:
        return (uint64_t)(sa >> (b < 63 ? b : 63));
    case OP_EQ:
        return a == b;
    case OP_NE:
        return a != b;
    case OP_LT:
        return sa < sb;
    case OP_LE:
        return sa <= sb;
    case OP_GT:
        return sa > sb;
    case OP_GE:
        return sa >= sb;
    case OP_DIV:
        if (b != 0 && !(sb == -1 && sa == INT64_MIN))
            return (uint64_t)(sa / sb);
        break;
    case OP_MOD:
        if (b != 0)
            return a % b;
        break;
    }
    unwind_fail(&e->r, UNWIND_BAD_TABLE);
    return 0;
}

static void jump(struct expr *e, virt_t start, int64_t off)
{
    virt_t to = e->r.at + (uint64_t)off;
    if (to < start || to > e->r.end)
        unwind_fail(&e->r, UNWIND_BAD_TABLE);
    else
        e->r.at = to;
}

static void expr_op(struct expr *e, virt_t start, uint8_t op)
{
    struct unwind_reader *r = &e->r;
    uint64_t a, b, c;
    int64_t off;

    if (op >= OP_LIT0 && op <= OP_LIT31) {
        push(e, op - OP_LIT0);
        return;
    }
    if (op >= OP_BREG0 && op <= OP_BREG31) {
        push_register(e, op - OP_BREG0, unwind_sleb(r));
        return;
    }
    switch (op) {
    case OP_NOP:
        break;
    case OP_BREGX:
        a = unwind_uleb(r);
        push_register(e, a, unwind_sleb(r));
        break;
    case OP_ADDR:
    case OP_CONST8U:
    case OP_CONST8S:
        push(e, unwind_uint(r, 8));
        break;
    case OP_CONST1U:
        push(e, unwind_u8(r));
        break;
    case OP_CONST1S:
        push(e, (uint64_t)unwind_sint(r, 1));
        break;
    case OP_CONST2U:
        push(e, unwind_uint(r, 2));
        break;
    case OP_CONST2S:
        push(e, (uint64_t)unwind_sint(r, 2));
        break;
    case OP_CONST4U:
        push(e, unwind_uint(r, 4));
        break;
    case OP_CONST4S:
        push(e, (uint64_t)unwind_sint(r, 4));
        break;
    case OP_CONSTU:
        push(e, unwind_uleb(r));
        break;
    case OP_CONSTS:
        push(e, (uint64_t)unwind_sleb(r));
        break;
    case OP_DUP:
        push(e, peek(e, 0));
        break;
    case OP_DROP:
        pop(e);
        break;
    case OP_OVER:
        push(e, peek(e, 1));
        break;
    case OP_PICK:
        push(e, peek(e, unwind_u8(r)));
        break;
    case OP_SWAP:
        b = pop(e);
        a = pop(e);
        push(e, b);
        push(e, a);
        break;
    case OP_ROT: /* the top becomes the third */
        c = pop(e);
        b = pop(e);
        a = pop(e);
        push(e, c);
        push(e, a);
        push(e, b);
        break;
    case OP_DEREF:
        push_memory(e, 8);
        break;
    case OP_DEREF_SIZE:
        push_memory(e, unwind_u8(r));
        break;
    case OP_ABS:
        a = pop(e);
        push(e, (int64_t)a < 0 ? -a : a);
        break;
    case OP_NEG:
        push(e, -pop(e));
        break;
    case OP_NOT:
        push(e, ~pop(e));
        break;
    case OP_PLUS_UCONST:
        a = pop(e);
        push(e, a + unwind_uleb(r));
        break;
    case OP_SKIP:
        off = unwind_sint(r, 2);
        jump(e, start, off);
        break;
    case OP_BRA:
        off = unwind_sint(r, 2);
        if (pop(e) != 0)
            jump(e, start, off);
        break;
    default:
        b = pop(e);
        a = pop(e);
        push(e, binary(e, op, a, b));
    }
}

enum unwind_result unwind_evaluate(const struct unwind_memory *mem, const struct unwind_cursor *cur,
                                   virt_t block, virt_t limit, const uint64_t *cfa, uint64_t *out)
{
    struct expr e;
    e.cur = cur;
    e.depth = 0;
    unwind_reader_init(&e.r, mem, block, limit);
    uint64_t len = unwind_uleb(&e.r);
    if (e.r.error == UNWIND_OK && len > limit - e.r.at)
        return UNWIND_BAD_TABLE;
    virt_t start = e.r.at;
    e.r.end = start + len;
    if (cfa != NULL)
        push(&e, *cfa);
    for (unsigned i = 0; e.r.at < e.r.end && e.r.error == UNWIND_OK; i++) {
        if (i == EXPR_STEPS)
            return UNWIND_BAD_TABLE;
        expr_op(&e, start, unwind_u8(&e.r));
    }
    *out = pop(&e);
    return e.r.error;
}
