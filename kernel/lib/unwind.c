/*
 * The call frame information interpreter. See lib/unwind.h for who uses it.
 *
 * .eh_frame is a sequence of entries: CIEs (what a group of functions has in common) and FDEs (one
 * function each, pointing back to its CIE). Both hold a small program which, run up to the wanted
 * pc, gives a row: how to compute the canonical frame address (CFA, the value of rsp before the
 * call) and, for each register, where the caller's value is. .eh_frame_hdr has the FDEs' addresses
 * sorted for a binary search (LSB core §10.6.2).
 *
 * Everything terminates: a program is bounded by its entry's length, and each instruction
 * consumes at least a byte; expressions may jump, so their steps are counted; the linear search
 * moves forward only; and a step must end with a higher stack pointer, except out of a signal
 * frame, which may have been on another stack (the caller bounds the number of frames).
 */
#include "lib/unwind_impl.h"

#define REMEMBER_MAX   8 /* nested DW_CFA_remember_state; compilers use one or two */
#define AUGMENTATION   8
#define LINEAR_ENTRIES 1000000
#define NO_LIMIT       UINT64_MAX

/* Call frame instructions, DWARF 5 §7.24. */
enum {
    CFA_NOP = 0x00,
    CFA_SET_LOC = 0x01,
    CFA_ADVANCE_LOC1 = 0x02,
    CFA_ADVANCE_LOC2 = 0x03,
    CFA_ADVANCE_LOC4 = 0x04,
    CFA_OFFSET_EXTENDED = 0x05,
    CFA_RESTORE_EXTENDED = 0x06,
    CFA_UNDEFINED = 0x07,
    CFA_SAME_VALUE = 0x08,
    CFA_REGISTER = 0x09,
    CFA_REMEMBER_STATE = 0x0a,
    CFA_RESTORE_STATE = 0x0b,
    CFA_DEF_CFA = 0x0c,
    CFA_DEF_CFA_REGISTER = 0x0d,
    CFA_DEF_CFA_OFFSET = 0x0e,
    CFA_DEF_CFA_EXPRESSION = 0x0f,
    CFA_EXPRESSION = 0x10,
    CFA_OFFSET_EXTENDED_SF = 0x11,
    CFA_DEF_CFA_SF = 0x12,
    CFA_DEF_CFA_OFFSET_SF = 0x13,
    CFA_VAL_OFFSET = 0x14,
    CFA_VAL_OFFSET_SF = 0x15,
    CFA_VAL_EXPRESSION = 0x16,
    CFA_GNU_ARGS_SIZE = 0x2e,
    CFA_GNU_NEGATIVE_OFFSET = 0x2f,
    CFA_ADVANCE_LOC = 0x40, /* with an operand in the low six bits */
    CFA_OFFSET = 0x80,
    CFA_RESTORE = 0xc0,
    CFA_PRIMARY = 0xc0,
};

enum rule_kind {
    RULE_SAME, /* first: what a register has that nothing was said about */
    RULE_UNDEFINED,
    RULE_OFFSET,     /* at CFA + value */
    RULE_VAL_OFFSET, /* is CFA + value */
    RULE_REGISTER,   /* in register value */
    RULE_EXPR,       /* at the result of the expression block at address value */
    RULE_VAL_EXPR,   /* is its result */
};

struct row {
    int64_t value[UNWIND_REGS];
    uint8_t kind[UNWIND_REGS];
    bool cfa_is_expr;
    uint32_t cfa_reg;
    int64_t cfa_value; /* offset, or the address of the expression block */
};

struct cie {
    uint64_t code_align;
    int64_t data_align;
    uint64_t return_reg;
    uint8_t fde_encoding;
    bool has_augmentation_data, signal_frame;
    virt_t program, end;
};

struct fde {
    struct cie cie;
    virt_t start, end; /* the code it covers */
    virt_t program, program_end;
};

/* The state of one program run. */
struct machine {
    struct row row, initial;
    struct row saved[REMEMBER_MAX];
    unsigned nr_saved;
};

const char *unwind_result_text(enum unwind_result r)
{
    switch (r) {
    case UNWIND_OK:
        return "not ended";
    case UNWIND_END:
        return "outermost frame";
    case UNWIND_NO_TABLE:
        return "no unwind information for this address";
    case UNWIND_BAD_TABLE:
        return "unwind information is damaged";
    case UNWIND_UNREADABLE:
        return "unwind information or stack is not readable";
    case UNWIND_LOOP:
        return "the stack does not grow upwards: overwritten";
    }
    return "?";
}

/* Reads an entry's length and limits the reader to it. false at the terminator or an error. */
static bool entry_open(struct unwind_reader *r)
{
    uint64_t len = unwind_uint(r, 4);
    if (r->error != UNWIND_OK || len == 0)
        return false;
    /* 0xffffffff announces a 64-bit length, which no x86-64 compiler emits in .eh_frame. */
    if (len == 0xffffffff || len > r->end - r->at) {
        unwind_fail(r, UNWIND_BAD_TABLE);
        return false;
    }
    r->end = r->at + len;
    return true;
}

static enum unwind_result cie_parse(const struct unwind_memory *mem, virt_t at, virt_t limit,
                                    struct cie *c)
{
    struct unwind_reader r;
    char aug[AUGMENTATION];
    size_t n = 0;

    unwind_reader_init(&r, mem, at, limit);
    if (!entry_open(&r))
        return r.error != UNWIND_OK ? r.error : UNWIND_BAD_TABLE;
    if (unwind_uint(&r, 4) != 0)
        return UNWIND_BAD_TABLE;
    uint8_t version = unwind_u8(&r);
    do {
        if (n == sizeof(aug))
            return UNWIND_BAD_TABLE;
        aug[n] = (char)unwind_u8(&r);
    } while (aug[n++] != '\0');
    if (version == 4) { /* address and segment selector size */
        if (unwind_u8(&r) != 8 || unwind_u8(&r) != 0)
            return UNWIND_BAD_TABLE;
    } else if (version != 1 && version != 3) {
        return r.error != UNWIND_OK ? r.error : UNWIND_BAD_TABLE;
    }
    *c = (struct cie){.fde_encoding = PE_ABSPTR};
    c->code_align = unwind_uleb(&r);
    c->data_align = unwind_sleb(&r);
    c->return_reg = version == 1 ? unwind_u8(&r) : unwind_uleb(&r);
    if (aug[0] == 'z') {
        uint64_t len = unwind_uleb(&r);
        virt_t data = r.at;
        c->has_augmentation_data = true;
        for (const char *a = aug + 1; *a != '\0' && r.error == UNWIND_OK; a++) {
            if (*a == 'R') {
                c->fde_encoding = unwind_u8(&r);
            } else if (*a == 'P') {
                uint8_t enc = unwind_u8(&r);
                unwind_encoded(&r, enc & ~PE_INDIRECT, 0);
            } else if (*a == 'L') {
                unwind_u8(&r);
            } else if (*a == 'S') {
                c->signal_frame = true;
            } else {
                break; /* the length says where the program starts all the same */
            }
        }
        r.at = data;
        unwind_skip(&r, len);
    } else if (aug[0] != '\0') {
        return UNWIND_BAD_TABLE;
    }
    c->program = r.at;
    c->end = r.end;
    if (r.error == UNWIND_OK && c->return_reg >= UNWIND_REGS)
        return UNWIND_BAD_TABLE;
    return r.error;
}

/* Reads the entry at at. UNWIND_NO_TABLE: it is a CIE, or does not cover pc. *next is where the
 * following entry is, 0 at the terminator. */
static enum unwind_result fde_parse(const struct unwind_memory *mem, virt_t at, virt_t limit,
                                    virt_t pc, struct fde *f, virt_t *next)
{
    struct unwind_reader r;

    *next = 0;
    unwind_reader_init(&r, mem, at, limit);
    if (!entry_open(&r))
        return r.error != UNWIND_OK ? r.error : UNWIND_NO_TABLE;
    *next = r.end;
    virt_t id_at = r.at;
    uint64_t id = unwind_uint(&r, 4);
    if (r.error != UNWIND_OK)
        return r.error;
    if (id == 0)
        return UNWIND_NO_TABLE;
    enum unwind_result e = cie_parse(mem, id_at - id, limit, &f->cie);
    if (e != UNWIND_OK)
        return e;
    f->start = unwind_encoded(&r, f->cie.fde_encoding, 0);
    f->end = f->start + unwind_encoded(&r, f->cie.fde_encoding & PE_FORMAT, 0);
    if (f->cie.has_augmentation_data)
        unwind_skip(&r, unwind_uleb(&r));
    f->program = r.at;
    f->program_end = r.end;
    if (r.error != UNWIND_OK)
        return r.error;
    return pc >= f->start && pc < f->end ? UNWIND_OK : UNWIND_NO_TABLE;
}

static enum unwind_result fde_search(const struct unwind_memory *mem, virt_t at, virt_t end,
                                     virt_t pc, struct fde *f)
{
    for (unsigned i = 0; i < LINEAR_ENTRIES && at < end; i++) {
        virt_t next;
        enum unwind_result e = fde_parse(mem, at, end, pc, f, &next);
        if (e != UNWIND_NO_TABLE)
            return e;
        if (next == 0)
            break;
        at = next;
    }
    return UNWIND_NO_TABLE;
}

/* By the header's table of (start of function, FDE) pairs; both are 4-byte offsets from the header,
 * the only form linkers write. Any other form falls back to the search. */
static enum unwind_result fde_find(const struct unwind_memory *mem, const struct unwind_tables *t,
                                   virt_t pc, struct fde *f)
{
    struct unwind_reader r;
    virt_t unused;

    if (t->hdr == 0)
        return fde_search(mem, t->eh_frame, t->eh_frame_end, pc, f);
    unwind_reader_init(&r, mem, t->hdr, t->hdr_end);
    if (unwind_u8(&r) != 1)
        return r.error != UNWIND_OK ? r.error : UNWIND_BAD_TABLE;
    uint8_t frame_enc = unwind_u8(&r), count_enc = unwind_u8(&r), table_enc = unwind_u8(&r);
    virt_t eh_frame = t->eh_frame, eh_frame_end = t->eh_frame != 0 ? t->eh_frame_end : NO_LIMIT;
    if (frame_enc != PE_OMIT) {
        virt_t p = unwind_encoded(&r, frame_enc, t->hdr);
        if (eh_frame == 0)
            eh_frame = p;
    }
    if (r.error != UNWIND_OK)
        return r.error;
    if (count_enc == PE_OMIT || table_enc != (PE_DATAREL | PE_SDATA4))
        return fde_search(mem, eh_frame, eh_frame_end, pc, f);
    uint64_t count = unwind_encoded(&r, count_enc, t->hdr);
    virt_t table = r.at;
    if (r.error != UNWIND_OK)
        return r.error;
    if (count > (t->hdr_end - table) / 8)
        return UNWIND_BAD_TABLE;
    uint64_t lo = 0, hi = count; /* entries below lo start at or before pc */
    virt_t found = 0;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        int32_t pair[2];
        if (!mem->read(mem->ctx, table + mid * 8, pair, sizeof(pair)))
            return UNWIND_UNREADABLE;
        if (t->hdr + (uint64_t)(int64_t)pair[0] <= pc) {
            found = t->hdr + (uint64_t)(int64_t)pair[1];
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (found == 0)
        return UNWIND_NO_TABLE;
    return fde_parse(mem, found, eh_frame_end, pc, f, &unused);
}

static void set_rule(struct row *row, uint64_t reg, enum rule_kind kind, int64_t value)
{
    if (reg >= UNWIND_REGS)
        return; /* a vector register: no caller's frame is found by it */
    row->kind[reg] = kind;
    row->value[reg] = value;
}

static void restore_rule(struct machine *m, uint64_t reg)
{
    if (reg < UNWIND_REGS)
        set_rule(&m->row, reg, m->initial.kind[reg], m->initial.value[reg]);
}

static int64_t factored(int64_t v, const struct cie *c)
{
    return (int64_t)((uint64_t)v * (uint64_t)c->data_align);
}

/* Notes where an expression block is and steps over it. */
static int64_t read_block(struct unwind_reader *r)
{
    virt_t at = r->at;
    unwind_skip(r, unwind_uleb(r));
    return (int64_t)at;
}

static void run_extended(struct machine *m, struct unwind_reader *r, const struct cie *c,
                         uint8_t op)
{
    struct row *row = &m->row;
    uint64_t reg;

    switch (op) {
    case CFA_NOP:
        break;
    case CFA_OFFSET_EXTENDED:
        reg = unwind_uleb(r);
        set_rule(row, reg, RULE_OFFSET, factored((int64_t)unwind_uleb(r), c));
        break;
    case CFA_OFFSET_EXTENDED_SF:
        reg = unwind_uleb(r);
        set_rule(row, reg, RULE_OFFSET, factored(unwind_sleb(r), c));
        break;
    case CFA_GNU_NEGATIVE_OFFSET:
        reg = unwind_uleb(r);
        set_rule(row, reg, RULE_OFFSET, -factored((int64_t)unwind_uleb(r), c));
        break;
    case CFA_VAL_OFFSET:
        reg = unwind_uleb(r);
        set_rule(row, reg, RULE_VAL_OFFSET, factored((int64_t)unwind_uleb(r), c));
        break;
    case CFA_VAL_OFFSET_SF:
        reg = unwind_uleb(r);
        set_rule(row, reg, RULE_VAL_OFFSET, factored(unwind_sleb(r), c));
        break;
    case CFA_RESTORE_EXTENDED:
        restore_rule(m, unwind_uleb(r));
        break;
    case CFA_UNDEFINED:
        set_rule(row, unwind_uleb(r), RULE_UNDEFINED, 0);
        break;
    case CFA_SAME_VALUE:
        set_rule(row, unwind_uleb(r), RULE_SAME, 0);
        break;
    case CFA_REGISTER:
        reg = unwind_uleb(r);
        set_rule(row, reg, RULE_REGISTER, (int64_t)unwind_uleb(r));
        break;
    case CFA_EXPRESSION:
        reg = unwind_uleb(r);
        set_rule(row, reg, RULE_EXPR, read_block(r));
        break;
    case CFA_VAL_EXPRESSION:
        reg = unwind_uleb(r);
        set_rule(row, reg, RULE_VAL_EXPR, read_block(r));
        break;
    case CFA_REMEMBER_STATE:
        if (m->nr_saved == REMEMBER_MAX)
            unwind_fail(r, UNWIND_BAD_TABLE);
        else
            m->saved[m->nr_saved++] = *row;
        break;
    case CFA_RESTORE_STATE:
        if (m->nr_saved == 0)
            unwind_fail(r, UNWIND_BAD_TABLE);
        else
            *row = m->saved[--m->nr_saved];
        break;
    case CFA_DEF_CFA:
    case CFA_DEF_CFA_SF:
        row->cfa_is_expr = false;
        row->cfa_reg = (uint32_t)MIN(unwind_uleb(r), (uint64_t)UNWIND_REGS);
        row->cfa_value = op == CFA_DEF_CFA ? (int64_t)unwind_uleb(r) : factored(unwind_sleb(r), c);
        break;
    case CFA_DEF_CFA_REGISTER:
        row->cfa_is_expr = false;
        row->cfa_reg = (uint32_t)MIN(unwind_uleb(r), (uint64_t)UNWIND_REGS);
        break;
    case CFA_DEF_CFA_OFFSET:
        row->cfa_value = (int64_t)unwind_uleb(r);
        break;
    case CFA_DEF_CFA_OFFSET_SF:
        row->cfa_value = factored(unwind_sleb(r), c);
        break;
    case CFA_DEF_CFA_EXPRESSION:
        row->cfa_is_expr = true;
        row->cfa_value = read_block(r);
        break;
    case CFA_GNU_ARGS_SIZE:
        unwind_uleb(r);
        break;
    default:
        unwind_fail(r, UNWIND_BAD_TABLE);
    }
}

/* Runs a program from its first row, at loc, to the row that holds for pc. */
static enum unwind_result run_program(const struct unwind_memory *mem, struct machine *m,
                                      const struct cie *c, virt_t at, virt_t end, virt_t loc,
                                      virt_t pc)
{
    struct unwind_reader r;
    unwind_reader_init(&r, mem, at, end);
    while (r.at < r.end && r.error == UNWIND_OK) {
        uint8_t op = unwind_u8(&r);
        uint8_t low = op & ~CFA_PRIMARY;
        uint64_t advance = 0;
        virt_t next = loc;
        switch (op & CFA_PRIMARY) {
        case CFA_ADVANCE_LOC:
            advance = low;
            break;
        case CFA_OFFSET:
            set_rule(&m->row, low, RULE_OFFSET, factored((int64_t)unwind_uleb(&r), c));
            continue;
        case CFA_RESTORE:
            restore_rule(m, low);
            continue;
        default:
            if (op == CFA_SET_LOC) {
                next = unwind_encoded(&r, c->fde_encoding, 0);
            } else if (op == CFA_ADVANCE_LOC1) {
                advance = unwind_u8(&r);
            } else if (op == CFA_ADVANCE_LOC2) {
                advance = unwind_uint(&r, 2);
            } else if (op == CFA_ADVANCE_LOC4) {
                advance = unwind_uint(&r, 4);
            } else {
                run_extended(m, &r, c, op);
                continue;
            }
        }
        next += advance * c->code_align;
        if (next > pc)
            break;
        loc = next;
    }
    return r.error;
}

static enum unwind_result caller_register(const struct unwind_memory *mem, const struct row *row,
                                          const struct unwind_cursor *cur, uint64_t cfa,
                                          virt_t limit, unsigned reg, struct unwind_cursor *out)
{
    int64_t v = row->value[reg];
    uint64_t result = 0;
    bool known = true;
    enum unwind_result e = UNWIND_OK;

    switch (row->kind[reg]) {
    case RULE_SAME:
        known = cur->known & 1u << reg;
        result = cur->reg[reg];
        break;
    case RULE_UNDEFINED:
        known = false;
        break;
    case RULE_OFFSET:
        known = unwind_read_u64(mem, cfa + (uint64_t)v, &result);
        break;
    case RULE_VAL_OFFSET:
        result = cfa + (uint64_t)v;
        break;
    case RULE_REGISTER:
        known = (uint64_t)v < UNWIND_REGS && (cur->known & 1u << v);
        result = known ? cur->reg[v] : 0;
        break;
    case RULE_EXPR:
    case RULE_VAL_EXPR:
        e = unwind_evaluate(mem, cur, (virt_t)v, limit, &cfa, &result);
        if (e == UNWIND_OK && row->kind[reg] == RULE_EXPR)
            known = unwind_read_u64(mem, result, &result);
        break;
    }
    out->reg[reg] = known ? result : 0;
    if (known)
        out->known |= 1u << reg;
    /* Other registers may be missing and the trace still goes on. */
    if (e == UNWIND_OK && !known && (reg == UNWIND_RIP || reg == UNWIND_RSP) &&
        row->kind[reg] != RULE_UNDEFINED)
        e = UNWIND_UNREADABLE;
    return e;
}

enum unwind_result unwind_step(const struct unwind_memory *mem, const struct unwind_tables *tables,
                               struct unwind_cursor *cur)
{
    virt_t pc = unwind_pc(cur);
    struct fde f;
    enum unwind_result e = fde_find(mem, tables, pc, &f);
    if (e != UNWIND_OK)
        return e;

    struct machine m;
    m.row = (struct row){.cfa_reg = UNWIND_REGS};
    m.nr_saved = 0;
    e = run_program(mem, &m, &f.cie, f.cie.program, f.cie.end, 0, NO_LIMIT);
    if (e != UNWIND_OK)
        return e;
    m.initial = m.row;
    e = run_program(mem, &m, &f.cie, f.program, f.program_end, f.start, pc);
    if (e != UNWIND_OK)
        return e;

    /* A block lies in the FDE or its CIE, whichever set the rule. */
    virt_t limit = MAX(f.program_end, f.cie.end);
    uint64_t cfa;
    if (m.row.cfa_is_expr) {
        e = unwind_evaluate(mem, cur, (virt_t)m.row.cfa_value, limit, NULL, &cfa);
        if (e != UNWIND_OK)
            return e;
    } else {
        if (m.row.cfa_reg >= UNWIND_REGS || !(cur->known & 1u << m.row.cfa_reg))
            return UNWIND_BAD_TABLE;
        cfa = cur->reg[m.row.cfa_reg] + (uint64_t)m.row.cfa_value;
    }
    if (f.cie.return_reg != UNWIND_RIP)
        return UNWIND_BAD_TABLE;
    if (m.row.kind[UNWIND_RSP] == RULE_SAME)
        set_rule(&m.row, UNWIND_RSP, RULE_VAL_OFFSET, 0); /* the CFA by definition */

    struct unwind_cursor next = {.exact = f.cie.signal_frame};
    for (unsigned reg = 0; reg < UNWIND_REGS; reg++) {
        e = caller_register(mem, &m.row, cur, cfa, limit, reg, &next);
        if (e != UNWIND_OK)
            return e;
    }
    if (!(next.known & 1u << UNWIND_RIP) || next.reg[UNWIND_RIP] == 0)
        return UNWIND_END;
    if (!f.cie.signal_frame && next.reg[UNWIND_RSP] <= cur->reg[UNWIND_RSP])
        return UNWIND_LOOP;
    *cur = next;
    return UNWIND_OK;
}
