/*
 * The first instruction of a function, which a breakpoint takes the place of: told apart, and
 * carried out on a trap frame. Only what functions begin with and what touches no memory but the
 * stack: pushes, moves between registers and of constants, a register set to zero or tested, room
 * on the stack, endbr64, nop. Pure; used by hook.c.
 */
#pragma once

#include "arch/x86_64/trap.h"

#define INSN_MAX 15 /* bytes: SDM vol. 2 §2.3.11 */

enum insn_kind {
    INSN_OTHER,
    INSN_NOP,
    INSN_PUSH,
    INSN_MOVE,
    INSN_LOAD,
    INSN_ZERO,
    INSN_TEST,
    INSN_ROOM
};

struct insn {
    uint8_t kind, length;
    uint8_t to, from; /* registers by number */
    bool wide;        /* INSN_MOVE, INSN_TEST: 64 bits */
    int32_t constant; /* INSN_ROOM: bytes; INSN_LOAD */
};

/* What stands at code; INSN_OTHER: something that cannot be carried out. */
struct insn insn_decode(const uint8_t code[INSN_MAX]);
/* Carries it out, but for what is pushed: *push is to be written to f->rsp. True: there is such. */
bool insn_carry_out(const struct insn *i, struct trap_frame *f, uint64_t *push);
