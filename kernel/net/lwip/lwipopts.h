/*
 * lwIP's configuration: every option that differs from lwip/opt.h, with the reason where it is
 * not obvious. lwIP runs without threads of its own (NO_SYS), driven by the NIC's poller, the
 * kernel's timers and the socket calls through its raw API.
 */
#pragma once

#define NO_SYS               1
#define LWIP_NETCONN         0
#define LWIP_SOCKET          0
#define SYS_LIGHTWEIGHT_PROT 0 /* kernel code is never preempted */
#define LWIP_TIMERS          0 /* net/nettimer.c takes the place of its timeouts.c */

/* Memory: net/lwip_mem.c. Nothing is pooled in advance. */
#define MEM_LIBC_MALLOC          1
#define MEMP_MEM_MALLOC          1
#define MEM_ALIGNMENT            8
#define PBUF_POOL_FREE_OOSEQ     0
#define PBUF_POOL_BUFSIZE        1600
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define LWIP_PBUF_REF_T          u16_t

/*
 * Room before every packet that is built: struct virtio_net_hdr, so that a packet needs one
 * descriptor (virtio 1.2 §5.1.6); with the Ethernet header the IP header is then 2 off from a
 * multiple of 4, which x86 does not mind.
 */
#define PBUF_LINK_ENCAPSULATION_HLEN 12
#define PBUF_LINK_HLEN               14
#define ETH_PAD_SIZE                 0

/* For the device, in the 8 bytes that are left of the pbuf's 32: where the TCP or UDP header
 * starts, counted from the packet's end (0: nothing to do); the offset of the checksum in it; the
 * size of the segments the device is to make (0: one). See NETIF_OFFLOAD_CSUM. */
#define LWIP_PBUF_CUSTOM_DATA                                                                      \
    u8_t csum_off;                                                                                 \
    u16_t l4_len;                                                                                  \
    u16_t gso_size;
#define LWIP_PBUF_CUSTOM_DATA_INIT(p) ((p)->csum_off = 0, (p)->l4_len = 0, (p)->gso_size = 0)
#define LWIP_PBUF_CUSTOM_DATA_COPY(q, p)                                                           \
    ((q)->csum_off = (p)->csum_off, (q)->l4_len = (p)->l4_len, (q)->gso_size = (p)->gso_size)

/* A TCP segment that was split without a copy is referenced by its other half (tcp_split_seg). */
#define LWIP_IP_CHECK_PBUF_REF_COUNT_FOR_TX(p)
/* What waits for a neighbour's address is copied: TCP may repeat a segment meanwhile, and puts
 * headers into the one that waits. */
#define PBUF_NEEDS_COPY(p) 1

/* Interfaces */
#define LWIP_HAVE_LOOPIF             1
#define LWIP_NETIF_LOOPBACK          1 /* packets to our own addresses */
#define LWIP_LOOPBACK_MAX_PBUFS      1024
#define LWIP_LOOPIF_MULTICAST        1
#define LWIP_NETIF_STATUS_CALLBACK   1
#define LWIP_NETIF_HOSTNAME          1
#define LWIP_NETIF_HWADDRHINT        1 /* a PCB remembers its ARP entry */
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_ARP                     1
#define ARP_TABLE_SIZE               64
#define ARP_QUEUEING                 1
#define ARP_QUEUE_LEN                16
#define ETHARP_TRUST_IP_MAC          0

/* IPv4 */
#define LWIP_IPV4                 1
#define IP_REASSEMBLY             1
#define IP_REASS_MAX_PBUFS        192 /* four datagrams of 64 KiB */
#define IP_FRAG                   1
#define IP_OPTIONS_ALLOWED        1
#define IP_DEFAULT_TTL            64
#define IP_SOF_BROADCAST          0 /* net/inet_udp.c checks SO_BROADCAST, as Linux, at send only */
#define LWIP_ICMP                 1
#define LWIP_RAW                  1
#define LWIP_IGMP                 1
#define LWIP_MULTICAST_TX_OPTIONS 1
#define LWIP_DHCP                 1
#define LWIP_DHCP_MAX_DNS_SERVERS 3
#define DHCP_DOES_ARP_CHECK       0 /* costs seconds at boot */
#define LWIP_DNS                  1 /* DHCP hands over servers; net/ifconfig.c has the two functions it needs */

/* IPv6 */
#define LWIP_IPV6                     1
#define LWIP_IPV6_NUM_ADDRESSES       4
#define LWIP_IPV6_AUTOCONFIG          1
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 1
#define IPV6_FRAG_COPYHEADER                                                                       \
    1 /* with 64-bit pointers a fragment's header has no room for lwIP's notes */
#define LWIP_IPV6_MLD                   1
#define LWIP_ND6_NUM_NEIGHBORS          32
#define LWIP_ND6_NUM_DESTINATIONS       64
#define LWIP_ND6_NUM_PREFIXES           8
#define LWIP_ND6_TCP_REACHABILITY_HINTS 1
#define LWIP_IPV6_SEND_ROUTER_SOLICIT   1

/* TCP. Ticks of 100 ms make the least retransmission time-out 300 ms; they cost nothing while no
 * timer runs (the patches' tcp_timer.c). */
#define LWIP_TCP            1
#define TCP_TMR_INTERVAL    50
#define TCP_FAST_INTERVAL   40   /* delayed ACK, as Linux */
#define TCP_RTO_INITIAL     1000 /* RFC 6298 */
#define TCP_QUICKACK_SEGS   16   /* as Linux */
#define TCP_RTO_MAX         120000
#define TCP_MSL             30000 /* TIME-WAIT 60 s, as Linux */
#define TCP_MAX_TIME_WAIT   8192
#define TCP_SYNMAXRTX       6
#define TCP_MAXRTX          12
#define TCP_MSS             16344 /* upper bound (loopback); interfaces have their MTU's */
#define TCP_WND             (256 * 1024)
#define LWIP_WND_SCALE      1
#define TCP_RCV_SCALE       7 /* windows up to 8 MiB */
#define TCP_SND_BUF         (256 * 1024)
#define TCP_SND_QUEUELEN    8192
#define TCP_SEG_PBUFS       20 /* descriptors of a packet */
#define TCP_OVERSIZE        0
#define TCP_QUEUE_OOSEQ     1
#define LWIP_TCP_SACK_OUT   1
#define TCP_OOSEQ_MAX_BYTES TCP_WND
#define TCP_OOSEQ_MAX_PBUFS 128 /* each may hold a receive buffer */
#define TCP_LISTEN_BACKLOG  1
#define LWIP_TCP_KEEPALIVE  1
#define LWIP_TCP_TIMESTAMPS                                                                        \
    0 /* lwIP measures RTT without; costs 12 bytes and 60 instructions a packet */
#define TCP_SNDLOWAT (TCP_SND_BUF / 2)

#define LWIP_UDP 1

/* Counters of every reason to drop a packet, 32 bits wide. */
#define LWIP_STATS       1
#define LWIP_STATS_LARGE 1
#define MEM_STATS        0
#define MEMP_STATS       0
#define SYS_STATS        0
#define LINK_STATS       0 /* the interface has its own */

#define LWIP_DISABLE_TCP_SANITY_CHECKS 1 /* they assume tcp_write() and pools */

#define LWIP_HOOK_FILENAME "net/lwip/hooks.h"
