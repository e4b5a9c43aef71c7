/*
 * What lwIP wants to know of the compiler and the platform. Included by every lwIP file and,
 * through lwip/arch.h, by whoever includes an lwIP header.
 */
#pragma once

#include "lib/base.h"
#include "lib/random.h"

#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_LIMITS_H   1
#define LWIP_NO_CTYPE_H    1
#define LWIP_NO_UNISTD_H   1
#define SSIZE_MAX          0x7fffffffffffffffl
#define INT_MAX            0x7fffffff

#define BYTE_ORDER 1234
#ifndef LITTLE_ENDIAN
#define LITTLE_ENDIAN 1234
#endif
#ifndef BIG_ENDIAN
#define BIG_ENDIAN 4321
#endif
#define lwip_htons(x) __builtin_bswap16(x)
#define lwip_htonl(x) __builtin_bswap32(x)
#define LWIP_DONT_PROVIDE_BYTEORDER_FUNCTIONS

#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define X8_F  "x"
#define SZT_F "zu"

#define PACK_STRUCT_STRUCT __attribute__((packed))

/* lwIP's assertions state what its own code relies on; most are in its data paths, which is why a
 * build has to ask for them: make KCFLAGS_EXTRA=-DWHERRY_LWIP_ASSERT. */
#ifdef WHERRY_LWIP_ASSERT
#define LWIP_PLATFORM_ASSERT(x) panic("lwip: %s (%s:%d)", (x), __FILE__, __LINE__)
#else
#define LWIP_NOASSERT
#define LWIP_PLATFORM_ASSERT(x)
#endif
#define LWIP_PLATFORM_DIAG(x)                                                                      \
    do {                                                                                           \
        kprintf x;                                                                                 \
    } while (0)
/* A caller's mistake is answered with an error, without a message. */
#define LWIP_ERROR(message, expression, handler)                                                   \
    do {                                                                                           \
        if (unlikely(!(expression))) {                                                             \
            handler;                                                                               \
        }                                                                                          \
    } while (0)

#define LWIP_RAND() ((uint32_t)random_u64())

/* netif_find() reads the number at the end of an interface's name. */
static inline int atoi(const char *s)
{
    uint64_t v = 0;
    return parse_u64(s, &v) != NULL ? (int)v : 0;
}

/* The Internet checksum, over 8 bytes at a time (RFC 1071 §2(A)-(C)). */
uint16_t net_checksum(const void *data, int len);
#define LWIP_CHKSUM net_checksum
