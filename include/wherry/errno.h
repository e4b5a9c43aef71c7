/*
 * The errors that functions of include/wherry/ return, negative, with Linux's numbers.
 */
#pragma once

#define ENOMEM     12
#define EBUSY      16
#define ENODEV     19
#define EINVAL     22
#define EPIPE      32
#define EADDRINUSE 98
#define ECONNRESET 104
#define ETIMEDOUT  110
