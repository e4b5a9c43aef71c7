/*
 * The kernel's own symbols, for backtraces. The table is made from the linked image by
 * scripts/mksyms.c and linked in by a second pass (kernel/ksyms.mk); an image without it works,
 * and knows no names. Read only; any context; never blocks.
 *
 * Format, little-endian, byte by byte:
 *     uint32 magic, groups, symbols, size of names; uint64 base address
 *     128 pairs of codes: what code 0x80 + i stands for, each byte a character or a lower code
 *     per group, by rising address: uint32 address - base, index of its first symbol, position in
 *         names of that symbol's name
 *     per symbol: uint16 address - its group's address
 *     names: per symbol a length byte and that many codes
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define KSYMS_MAGIC      0x4d59534bu /* "KSYM" */
#define KSYMS_GROUP      32          /* symbols of a group, at most */
#define KSYMS_CODES      128
#define KSYMS_FIRST_CODE 0x80
#define KSYMS_NAME_MAX   64 /* longer names are cut */

/* The function that holds address pc and the distance from its start; NULL when pc is not in the
 * kernel or there is no table. The name is in a buffer that the next call overwrites. */
const char *ksym_lookup(uint64_t pc, uint64_t *off);

/* The same in a given table; name has KSYMS_NAME_MAX + 1 bytes. */
const char *ksym_lookup_in(const uint8_t *table, size_t size, uint64_t pc, uint64_t *off,
                           char *name);
