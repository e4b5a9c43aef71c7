/*
 * The control port of udpkv-control, an image that is udpkv-raw and the TCP/IP stack on one network
 * device: GET /stats on TCP port 80. In udpkv-raw (without UDPKV_CONTROL) there is none of it.
 */
#pragma once

#include <stdbool.h>

#include "service.h"

struct wherry_netq;

#ifdef UDPKV_CONTROL
/* 0, or a negative error. */
int control_start(const struct kv *kv, const struct wherry_netq *q);
/* Looks after it, once a burst. False: there was nothing to do. */
bool control_run(void);
#else
static inline int control_start(const struct kv *kv, const struct wherry_netq *q)
{
    return 0;
}

static inline bool control_run(void)
{
    return false;
}
#endif
