/*
 * What the files of kernel/native/ share.
 */
#pragma once

#include "lib/base.h"

/*
 * Who takes care of packets that are no raw queue's begins: the TCP/IP stack's user (tcp.c) if the
 * program calls anything of include/wherry/tcp.h, else responder.c. The linker takes the one or the
 * other (apps/native.mk). Once, in the program's thread, when all else is up.
 */
void native_net_start(void);

/* The direct map's address of a program's memory, of which *len bytes, or fewer then, lie together
 * (memory.c). */
const void *native_direct(const void *p, size_t *len);
