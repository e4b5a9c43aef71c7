/*
 * What the files of the internet families (inet*.c) share: sockets of AF_INET and AF_INET6 over
 * lwIP's raw API. TCP is in inet_tcp*.c, UDP, raw and ping sockets in inet_dgram*.c.
 */
#pragma once

#include "net/net.h"
#include "net/sockdefs.h"
#include "net/socket.h"
#include "net/socket_io.h"

#include "sched/thread.h"

#include <asm/ioctls.h>
#include <linux/eventpoll.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ipv6.h>
#include <linux/sockios.h>

#include "lwip/ip_addr.h"

/* Options of the IP and IPv6 levels; what is not here is in struct socket. */
struct ip_options {
    uint8_t tos;       /* IP_TOS, IPV6_TCLASS */
    int16_t ttl;       /* IP_TTL, IPV6_UNICAST_HOPS; -1: the default */
    int16_t mcast_ttl; /* -1: the default, 1 */
    bool mcast_loop;
    bool mcast_all;
    uint8_t mcast_if; /* interface index, 0: by route */
    ip4_addr_t mcast_if_addr;
    uint8_t unicast_if;
    bool v6only;
    bool freebind, transparent;
    uint8_t mtu_discover;
    bool recv_pktinfo, recv_ttl, recv_tos, recv_origdst; /* IP_*, and for IPv6 packets IPV6_* */
    bool recv_pktinfo6, recv_hoplimit, recv_tclass;
    bool recverr, recverr6;
    bool hdrincl;
    bool bind_no_port, dontfrag;
    uint16_t mtu6; /* IPV6_MTU, 0: none */
    int port_low, port_high; /* IP_LOCAL_PORT_RANGE is newer than our ABI; 0 */
};

struct inet_sock {
    struct socket sock;
    struct list bind_link; /* in the table of local ports; self-linked while not bound */
    ip_addr_t bind_ip;     /* of type ANY for a dual-stack socket bound to :: */
    uint16_t bind_port;    /* 0: not bound */
    bool is_tcp;
    uint8_t device; /* SO_BINDTODEVICE: interface index, 0: none */
    struct ip_options opt;
};

static inline struct inet_sock *inet_of(struct socket *s)
{
    return container_of(s, struct inet_sock, sock);
}

/* ---- inet_addr.c ---- */

/*
 * An application's address as lwIP's. An AF_INET6 socket takes IPv4-mapped addresses unless
 * v6only; any is what it becomes for :: on such a socket (IPADDR_TYPE_ANY for bind).
 * 0, -EINVAL (too short), -EAFNOSUPPORT.
 */
int inet_addr_import(const struct inet_sock *s, const struct sock_addr *a, ip_addr_t *ip,
                     uint16_t *port, bool for_bind);
/* The other way, in the socket's own family. */
void inet_addr_export(const struct inet_sock *s, struct sock_addr *a, const ip_addr_t *ip,
                      uint16_t port);
/* The address type of a socket's protocol control block. */
u8_t inet_ip_type(const struct inet_sock *s);
int inet_errno(err_t e); /* lwIP's error as a negative errno */

/* The table of local ports. */
void inet_sock_init(struct inet_sock *s, bool is_tcp);
/* 0, -EADDRINUSE, -EADDRNOTAVAIL, -EACCES. port 0: a free one, chosen at random. */
int inet_bind(struct inet_sock *s, const ip_addr_t *ip, uint16_t port);
void inet_unbind(struct inet_sock *s);
/* May another socket listen on the address this one is bound to? -EADDRINUSE if not. */
int inet_listen_check(const struct inet_sock *s);

/* ---- inet_opt.c: levels IPPROTO_IP and IPPROTO_IPV6 ---- */
int inet_setsockopt(struct inet_sock *s, int level, int name, const void *val, unsigned len);
int inet_getsockopt(struct inet_sock *s, int level, int name, void *val, unsigned *len);
int inet_get_int(const void *val, unsigned len, int *out); /* 0 or -EINVAL */
int inet_put_int(int v, void *val, unsigned *len);         /* 0 */
int inet_set_device(struct inet_sock *s, const void *val, unsigned len);
int inet_get_device(struct inet_sock *s, void *val, unsigned *len);
/* Leaves all multicast groups a socket has joined. */
void inet_leave_groups(struct inet_sock *s);
/* Has this very socket joined a group? (IP_MULTICAST_ALL) */
bool inet_in_group(const struct inet_sock *s, const struct netif *netif, const ip_addr_t *group);

/* ---- the families' members ---- */
int inet_tcp_create(int family, struct socket **out);
int inet_dgram_create(int family, int type, int protocol, struct socket **out);

/* ---- inet_ioctl.c ---- */
long inet_ioctl(unsigned cmd, uint64_t arg); /* SIOCGIF*: -ENOTTY for others */
