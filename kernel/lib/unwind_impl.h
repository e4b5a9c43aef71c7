/*
 * Between the parts of the unwinder (lib/unwind.h): reading tables byte by byte, and evaluating
 * DWARF expressions. Nobody else includes this.
 */
#pragma once

#include "lib/unwind.h"

#define UNWIND_CHUNK 64

/* Pointer encodings, LSB core §10.5.1. */
enum unwind_encoding {
    PE_ABSPTR = 0x00,
    PE_ULEB128 = 0x01,
    PE_UDATA2 = 0x02,
    PE_UDATA4 = 0x03,
    PE_UDATA8 = 0x04,
    PE_SLEB128 = 0x09,
    PE_SDATA2 = 0x0a,
    PE_SDATA4 = 0x0b,
    PE_SDATA8 = 0x0c,
    PE_FORMAT = 0x0f,
    PE_PCREL = 0x10,
    PE_DATAREL = 0x30,
    PE_RELATION = 0x70,
    PE_INDIRECT = 0x80,
    PE_OMIT = 0xff,
};

/* Reads forward from at, not beyond end. Errors stick; values read after one are 0. */
struct unwind_reader {
    const struct unwind_memory *mem;
    virt_t at, end;
    enum unwind_result error; /* UNWIND_OK while there is none */
    virt_t chunk_at;
    size_t chunk_len;
    uint8_t chunk[UNWIND_CHUNK];
};

void unwind_reader_init(struct unwind_reader *r, const struct unwind_memory *mem, virt_t at,
                        virt_t end);
/* Notes the first error. */
void unwind_fail(struct unwind_reader *r, enum unwind_result why);
uint8_t unwind_u8(struct unwind_reader *r);
/* 1 to 8 bytes, little-endian. */
uint64_t unwind_uint(struct unwind_reader *r, unsigned bytes);
int64_t unwind_sint(struct unwind_reader *r, unsigned bytes);
uint64_t unwind_uleb(struct unwind_reader *r);
int64_t unwind_sleb(struct unwind_reader *r);
/* Moves forward. */
void unwind_skip(struct unwind_reader *r, uint64_t n);
/* An encoded pointer. data_base is what PE_DATAREL counts from. */
uint64_t unwind_encoded(struct unwind_reader *r, uint8_t enc, virt_t data_base);
bool unwind_read_u64(const struct unwind_memory *mem, virt_t addr, uint64_t *out);

/* Evaluates the block at block (a length, then operations), which ends before limit. cfa, if not
 * NULL, is on the stack at the start (DWARF 5 §6.4.2.3). */
enum unwind_result unwind_evaluate(const struct unwind_memory *mem, const struct unwind_cursor *cur,
                                   virt_t block, virt_t limit, const uint64_t *cfa, uint64_t *out);
