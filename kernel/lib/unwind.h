/*
 * Walking a call stack by the compiler's own tables: DWARF call frame information as it is in
 * .eh_frame (System V ABI AMD64 §3.7, LSB core §10.6, DWARF 5 §6.4). Used for the kernel's stack
 * and the application's alike, by crash reports. Pure: memory, the tables included, is read
 * only through the caller's function, which decides what may be read, so that garbage ends
 * a trace and never faults. No allocation; sleeps only if the reader does. The host's unit tests
 * and a fuzzer compile it too.
 */
#pragma once

#include "lib/base.h"

/* DWARF's register numbers on x86-64 (System V ABI AMD64 figure 3.36). */
enum unwind_reg {
    UNWIND_RAX,
    UNWIND_RDX,
    UNWIND_RCX,
    UNWIND_RBX,
    UNWIND_RSI,
    UNWIND_RDI,
    UNWIND_RBP,
    UNWIND_RSP,
    UNWIND_R8,
    UNWIND_R9,
    UNWIND_R10,
    UNWIND_R11,
    UNWIND_R12,
    UNWIND_R13,
    UNWIND_R14,
    UNWIND_R15,
    UNWIND_RIP,
    UNWIND_REGS,
};

/* Copies n bytes at addr into buf, all or nothing; false when they cannot be read. */
struct unwind_memory {
    bool (*read)(void *ctx, virt_t addr, void *buf, size_t n);
    void *ctx;
};

/* Where the tables of one image are. Without a header (hdr 0) .eh_frame is searched from front
 * to end. With one, eh_frame may be 0: the header says where it is. */
struct unwind_tables {
    virt_t hdr, hdr_end;
    virt_t eh_frame, eh_frame_end;
};

/* A point in a program: the state of the innermost frame at first, then of its callers. */
struct unwind_cursor {
    uint64_t reg[UNWIND_REGS];
    uint32_t known; /* bit r: reg[r] is known */
    bool exact;     /* rip is the instruction that runs, not one after a call */
};

enum unwind_result {
    UNWIND_OK,         /* the cursor is at the caller */
    UNWIND_END,        /* this was the outermost frame */
    UNWIND_NO_TABLE,   /* no entry covers rip */
    UNWIND_BAD_TABLE,  /* the tables make no sense, or use what no compiler here emits */
    UNWIND_UNREADABLE, /* a table or the stack could not be read */
    UNWIND_LOOP,       /* the caller's frame is not above this one */
};

/* Moves the cursor to the caller of the function it is in. On any other result than UNWIND_OK the
 * cursor is unchanged. */
enum unwind_result unwind_step(const struct unwind_memory *mem, const struct unwind_tables *tables,
                               struct unwind_cursor *cur);
/* Why a trace ended, for people. */
const char *unwind_result_text(enum unwind_result r);

/* The address the tables are to be asked for: inside the call instruction for a return address. */
static inline virt_t unwind_pc(const struct unwind_cursor *cur)
{
    return cur->reg[UNWIND_RIP] - (cur->exact ? 0 : 1);
}
