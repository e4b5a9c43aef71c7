/*
 * The implementations of CRC-32, for icrc.c, which chooses one. Others include icrc.h.
 */
#pragma once

#include "roce/icrc.h"

extern const struct roce_crc_impl roce_crc_slice16; /* icrc.c */
extern const struct roce_crc_impl roce_crc_sparse;  /* crc_sparse.c */
extern const struct roce_crc_impl roce_crc_pclmul;  /* crc_pclmul.c */
