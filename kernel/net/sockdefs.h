/*
 * The socket ABI's numbers and structures that Linux's UAPI headers leave to the C
 * library: address families, socket types, MSG_* flags, protocol levels, and the
 * structures that sendmsg() and friends exchange. Included by all of net/; calls nothing.
 * The SO_* options and SOL_SOCKET are in <asm/socket.h>, sockaddr_in in <linux/in.h>,
 * sockaddr_un in <linux/un.h>.
 */
#pragma once

#include "lib/base.h"

#include <asm/fcntl.h>
#include <asm/socket.h>
#include <asm/sockios.h>
#include <linux/socket.h>
#include <linux/uio.h>

#define AF_UNSPEC    0
#define AF_UNIX      1
#define AF_LOCAL     AF_UNIX
#define AF_INET      2
#define AF_AX25      3
#define AF_IPX       4
#define AF_APPLETALK 5
#define AF_X25       9
#define AF_INET6     10
#define AF_KEY       15
#define AF_NETLINK   16
#define AF_ROUTE     AF_NETLINK
#define AF_PACKET    17
#define AF_CAN       29
#define AF_TIPC      30
#define AF_BLUETOOTH 31
#define AF_ALG       38
#define AF_VSOCK     40
#define AF_XDP       44
#define AF_MAX       46

#define SOCK_STREAM    1
#define SOCK_DGRAM     2
#define SOCK_RAW       3
#define SOCK_RDM       4
#define SOCK_SEQPACKET 5
#define SOCK_DCCP      6
#define SOCK_PACKET    10
#define SOCK_TYPE_MASK 0xf /* the rest of the type argument is flags */
#define SOCK_CLOEXEC   O_CLOEXEC
#define SOCK_NONBLOCK  O_NONBLOCK

#define SHUT_RD   0
#define SHUT_WR   1
#define SHUT_RDWR 2

#define SOMAXCONN 4096

#define MSG_OOB          0x1u
#define MSG_PEEK         0x2u
#define MSG_DONTROUTE    0x4u
#define MSG_CTRUNC       0x8u
#define MSG_PROBE        0x10u
#define MSG_TRUNC        0x20u
#define MSG_DONTWAIT     0x40u
#define MSG_EOR          0x80u
#define MSG_WAITALL      0x100u
#define MSG_FIN          0x200u
#define MSG_SYN          0x400u
#define MSG_CONFIRM      0x800u
#define MSG_RST          0x1000u
#define MSG_ERRQUEUE     0x2000u
#define MSG_NOSIGNAL     0x4000u
#define MSG_MORE         0x8000u
#define MSG_WAITFORONE   0x10000u
#define MSG_BATCH        0x40000u /* from sendmmsg: more messages follow at once */
#define MSG_ZEROCOPY     0x4000000u
#define MSG_FASTOPEN     0x20000000u
#define MSG_CMSG_CLOEXEC 0x40000000u
#define MSG_CMSG_COMPAT  0x80000000u /* 32-bit callers: refused */

/* SOL_SOCKET is in <asm/socket.h>; the IPPROTO_* levels in <linux/in.h>. */
#define SOL_IP      0
#define SOL_TCP     6
#define SOL_UDP     17
#define SOL_IPV6    41
#define SOL_ICMPV6  58
#define SOL_RAW     255
#define SOL_PACKET  263
#define SOL_NETLINK 270

/* Control messages of level SOL_SOCKET. */
#define SCM_RIGHTS      0x01
#define SCM_CREDENTIALS 0x02
#define SCM_SECURITY    0x03
#define SCM_MAX_FD      253 /* descriptors in one SCM_RIGHTS */

typedef uint16_t sa_family_t;
typedef uint32_t socklen_t;

struct sockaddr {
    sa_family_t sa_family;
    char sa_data[14];
};

struct msghdr {
    void *msg_name;
    int msg_namelen;
    struct iovec *msg_iov;
    size_t msg_iovlen;
    void *msg_control;
    size_t msg_controllen;
    unsigned msg_flags;
};

struct mmsghdr {
    struct msghdr msg_hdr;
    unsigned msg_len;
};

struct cmsghdr {
    size_t cmsg_len; /* header included, padding after the data not */
    int cmsg_level;
    int cmsg_type;
};

#define CMSG_ALIGN(n)   ALIGN_UP((size_t)(n), sizeof(size_t))
#define CMSG_SPACE(n)   (CMSG_ALIGN(n) + sizeof(struct cmsghdr))
#define CMSG_LEN(n)     (sizeof(struct cmsghdr) + (n))
#define CMSG_DATA(cmsg) ((void *)((struct cmsghdr *)(cmsg) + 1))
/* Is there room for a control message of cmsg's length at cmsg, in room bytes? */
#define CMSG_OK(cmsg, room)                                                                        \
    ((room) >= sizeof(struct cmsghdr) && (cmsg)->cmsg_len >= sizeof(struct cmsghdr) &&             \
     (cmsg)->cmsg_len <= (room))

struct linger {
    int l_onoff;
    int l_linger; /* seconds */
};

struct ucred {
    int pid;
    uint32_t uid;
    uint32_t gid;
};

_Static_assert(sizeof(struct msghdr) == 56 && sizeof(struct mmsghdr) == 64 &&
                   sizeof(struct cmsghdr) == 16,
               "socket(2) ABI of x86-64");
