/*
 * The internet checksum's last step (RFC 1071 §2). Pure.
 */
#pragma once

#include "lib/base.h"

/* A sum of 32-bit words, of which any two halves may have been swapped, folded to 16 bits with the
 * carries added: adding a number to itself rotated by half leaves that in the upper half. */
static __always_inline uint16_t csum_fold(uint64_t s)
{
    uint32_t t;

    s += s << 32 | s >> 32;
    t = (uint32_t)(s >> 32);
    t += t << 16 | t >> 16;
    return (uint16_t)(t >> 16);
}
