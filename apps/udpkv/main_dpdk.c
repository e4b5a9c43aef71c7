/*
 * udpkv on DPDK: one core polls one queue of one device, serves a burst in place and hands it back.
 * For virtio in a Linux guest, and for whatever else DPDK drives (net_af_packet, net_tap,
 * virtio-user). With -e it sends every datagram back as it came.
 *
 * It is a host of one address: it answers ARP, and takes whole IPv4 packets without options, of
 * right length and checksums, with UDP for its port; all else is counted and dropped. What is usual
 * is looked at and answered by the same code as in the raw front end (<wherry/burst.h>, which is
 * pure in that part), so that a comparison of both compares what is below.
 */
#include "quick.h"

#include <wherry/burst.h>
#include <wherry/inet.h>

#include <rte_arp.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    BURST = 32,
    BURST_MAX = 64,
    DESCRIPTORS = 1024,
    BUFFERS = 8191,
    CACHE = 256,
    ITEMS = 100000,
    VALUE = 64,
    ITEMS_LIMIT = 500000000,
    HEADERS =
        sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr),
    IHL_5 = RTE_IPV4_VHL_DEF,
    TTL = 64,
};

static struct server {
    struct kv *kv; /* NULL: echo */
    uint16_t port; /* DPDK's number */
    rte_be16_t udp_port;
    rte_be32_t ip;
    struct rte_ether_addr mac;
    struct wherry_netq q; /* the same, for wherry_usual() and wherry_udp_answer() */
    unsigned burst, descriptors;
    bool sums; /* the device fills in UDP checksums */
    uint32_t now;
    uint64_t second, next_second; /* in the time stamp counter's units */

    uint64_t received, sent, unsent, bursts, arp;
    uint64_t not_ours, cut_short, options, fragments, ip_sums, udp_sums;
} s;

static volatile sig_atomic_t print_now, stop;

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "udpkv-dpdk: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

static void print_statistics(void)
{
    printf("statistics: received %" PRIu64 " sent %" PRIu64 " unsent %" PRIu64 " bursts %" PRIu64
           " arp %" PRIu64 " not_ours %" PRIu64 " cut_short %" PRIu64 " options %" PRIu64
           " fragments %" PRIu64 " ip_sums %" PRIu64 " udp_sums %" PRIu64,
           s.received, s.sent, s.unsent, s.bursts, s.arp, s.not_ours, s.cut_short, s.options,
           s.fragments, s.ip_sums, s.udp_sums);
    if (s.kv) {
        const struct kv_stats *k = kv_stats(s.kv);

        printf(" gets %" PRIu64 " hits %" PRIu64 " sets %" PRIu64 " evicted %" PRIu64
               " expired %" PRIu64 " malformed %" PRIu64 " too_large %" PRIu64 " ignored %" PRIu64
               " items %" PRIu64,
               k->gets, k->hits, k->sets, k->evicted, k->expired, k->malformed, k->too_large,
               k->ignored, k->items);
    }
    printf("\n");
    fflush(stdout);
}

static void on_signal(int number)
{
    *(number == SIGUSR1 ? &print_now : &stop) = 1;
}

/* ---- packets ---- */

/* Answers in place. */
static bool answer_arp(struct rte_mbuf *m)
{
    struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
    struct rte_arp_hdr *arp = (struct rte_arp_hdr *)(eth + 1);

    if (m->data_len < sizeof(*eth) + sizeof(*arp) ||
        arp->arp_hardware != rte_cpu_to_be_16(RTE_ARP_HRD_ETHER) ||
        arp->arp_protocol != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) ||
        arp->arp_hlen != RTE_ETHER_ADDR_LEN || arp->arp_plen != sizeof(rte_be32_t) ||
        arp->arp_opcode != rte_cpu_to_be_16(RTE_ARP_OP_REQUEST) || arp->arp_data.arp_tip != s.ip)
        return false;
    arp->arp_opcode = rte_cpu_to_be_16(RTE_ARP_OP_REPLY);
    arp->arp_data.arp_tha = arp->arp_data.arp_sha;
    arp->arp_data.arp_tip = arp->arp_data.arp_sip;
    arp->arp_data.arp_sha = s.mac;
    arp->arp_data.arp_sip = s.ip;
    eth->dst_addr = eth->src_addr;
    eth->src_addr = s.mac;
    m->data_len = m->pkt_len = sizeof(*eth) + sizeof(*arp);
    s.arp++;
    return true;
}

static inline bool udp_sum_good(const struct rte_mbuf *m, const struct rte_ipv4_hdr *ip,
                                const struct rte_udp_hdr *udp)
{
    switch (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) {
    case RTE_MBUF_F_RX_L4_CKSUM_GOOD:
    case RTE_MBUF_F_RX_L4_CKSUM_NONE: /* it has not been on a wire and has none yet */
        return true;
    case RTE_MBUF_F_RX_L4_CKSUM_BAD:
        return false;
    default: /* of a right sum's own bytes the sum is 0, which UDP writes as this */
        return udp->dgram_cksum == 0 || rte_ipv4_udptcp_cksum(ip, udp) == 0xffff;
    }
}

/* Nobody is there: this network's, loopback, multicast and higher, ourselves (RFC 1122 §3.2.1.3).
 */
static inline bool from_nobody(rte_be32_t from)
{
    uint8_t first = (uint8_t)from;

    return (uint8_t)(first - 1) >= 0xe0 - 1 || first == 127 || from == s.ip;
}

/* The length of the datagram that a frame holds for us, or -1. */
static inline int accept_frame(const struct rte_mbuf *m)
{
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(eth + 1);
    const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)(ip + 1);
    uint64_t *why = NULL;
    uint16_t total, len;

    if (m->nb_segs > 1 || m->data_len < HEADERS) {
        why = &s.cut_short;
    } else if (eth->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) ||
               !rte_is_same_ether_addr(&eth->dst_addr, &s.mac)) {
        why = &s.not_ours;
    } else if (ip->version_ihl != IHL_5) {
        why = &s.options;
    } else {
        total = rte_be_to_cpu_16(ip->total_length);
        len = rte_be_to_cpu_16(udp->dgram_len);
        if (total > m->data_len - sizeof(*eth) || len > total - sizeof(*ip) ||
            total < sizeof(*ip) + sizeof(*udp) || len < sizeof(*udp))
            why = &s.cut_short;
        else if (rte_raw_cksum(ip, sizeof(*ip)) != 0xffff)
            why = &s.ip_sums;
        else if (ip->fragment_offset & rte_cpu_to_be_16((uint16_t)~RTE_IPV4_HDR_DF_FLAG))
            why = &s.fragments;
        else if (ip->dst_addr != s.ip || ip->next_proto_id != IPPROTO_UDP ||
                 udp->dst_port != s.udp_port || from_nobody(ip->src_addr))
            why = &s.not_ours;
        else if (!udp_sum_good(m, ip, udp))
            why = &s.udp_sums;
        else
            return len - sizeof(*udp);
    }
    ++*why;
    return -1;
}

/* Makes a frame that was accepted a reply with a payload of n bytes. */
static inline void turn_round(struct rte_mbuf *m, uint16_t n)
{
    struct wherry_packet p = {.data = rte_pktmbuf_mtod(m, uint8_t *)};

    wherry_udp_answer(&s.q, &p, n);
    m->data_len = m->pkt_len = p.len;
    m->ol_flags = 0;
    if (s.sums) {
        m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
        m->tx_offload = sizeof(struct rte_ether_hdr) | sizeof(struct rte_ipv4_hdr)
                                                           << RTE_MBUF_L2_LEN_BITS;
    } else {
        struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(p.data + sizeof(struct rte_ether_hdr));
        struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);

        udp->dgram_cksum = rte_ipv4_udptcp_cksum(ip, udp);
    }
}

/* The same where the payload stays: neither checksum changes when its ends change places. */
static inline void send_back(struct rte_mbuf *m)
{
    struct wherry_packet p = {.data = rte_pktmbuf_mtod(m, uint8_t *)};
    const uint8_t *ip = p.data + sizeof(struct rte_ether_hdr);

    if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE) {
        /* It has been on no wire, and has none yet. */
        turn_round(m, __builtin_bswap16(wherry_get16(ip + 24)) - sizeof(struct rte_udp_hdr));
        return;
    }
    wherry_udp_turn(&s.q, &p);
    m->data_len = m->pkt_len =
        sizeof(struct rte_ether_hdr) + __builtin_bswap16(wherry_get16(ip + 2));
    m->ol_flags = 0;
}

static inline int accept_any(const struct rte_mbuf *m)
{
    uint64_t sum = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
    bool known = sum == RTE_MBUF_F_RX_L4_CKSUM_GOOD || sum == RTE_MBUF_F_RX_L4_CKSUM_NONE;

    if (likely(
            m->nb_segs == 1 && m->data_len >= HEADERS &&
            wherry_usual(&s.q, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len - HEADERS, known)))
        return m->data_len - HEADERS;
    return accept_frame(m);
}

static inline size_t handle(struct kv_request *r, uint8_t *data, size_t room)
{
    if (kv_is_here(r->home, data, r->verdict, s.now)) {
        s.kv->stats.hits++;
        return kv_reply_quick(r->home, data, data);
    }
    return kv_handle_other(s.kv, r, data, room, s.now);
}

/* Serves a burst: replies are in out, the rest is freed. Returns how many replies there are. */
static inline unsigned serve(struct rte_mbuf **in, unsigned n, struct rte_mbuf **out)
{
    struct kv_request request[BURST_MAX];
    int len[BURST_MAX];
    unsigned k = 0;

    for (unsigned i = 0; i < n; i++)
        rte_prefetch0(rte_pktmbuf_mtod(in[i], void *));
    for (unsigned i = 0; i < n; i++) {
        uint8_t *data = rte_pktmbuf_mtod_offset(in[i], uint8_t *, HEADERS);

        len[i] = accept_any(in[i]);
        if (s.kv && len[i] >= 0 && !kv_likely(kv_begin_quick(s.kv, &request[i], data, len[i])))
            kv_begin_other(s.kv, &request[i], data, len[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        struct rte_mbuf *m = in[i];
        size_t reply;

        if (unlikely(len[i] < 0)) {
            if (answer_arp(m))
                out[k++] = m;
            else
                rte_pktmbuf_free(m);
        } else if (!s.kv) {
            send_back(m);
            out[k++] = m;
        } else {
            reply = handle(&request[i], rte_pktmbuf_mtod_offset(m, uint8_t *, HEADERS),
                           m->buf_len - m->data_off - HEADERS);
            if (likely(reply)) {
                turn_round(m, reply);
                out[k++] = m;
            } else {
                rte_pktmbuf_free(m);
            }
        }
    }
    return k;
}

static void loop(void)
{
    struct rte_mbuf *in[BURST_MAX], *out[BURST_MAX];

    while (!stop) {
        unsigned n = rte_eth_rx_burst(s.port, 0, in, s.burst), k, sent;

        if (unlikely(print_now)) {
            print_now = 0;
            print_statistics();
        }
        if (n == 0)
            continue;
        while (rte_rdtsc() >= s.next_second) {
            s.next_second += s.second;
            s.now++;
        }
        s.received += n;
        s.bursts++;
        k = serve(in, n, out);
        sent = rte_eth_tx_burst(s.port, 0, out, k);
        s.sent += sent;
        if (unlikely(sent < k)) {
            s.unsent += k - sent;
            rte_pktmbuf_free_bulk(out + sent, k - sent);
        }
    }
}

/* ---- what it needs ---- */

struct words {
    uint64_t items;
    size_t value;
    bool echo;
};

static void help(void)
{
    printf("Usage: udpkv-dpdk [DPDK's options] -- [-i ADDRESS] [-p PORT] [-n ITEMS] [-v BYTES]\n"
           "           [-b BURST] [-d DESCRIPTORS] [-e]\n\n"
           "A key-value store over UDP (docs/udpkv.md) on DPDK's first device.\n\n"
           "  -i ADDRESS  of this host (default 10.77.0.2)\n"
           "  -p PORT     (default %d)\n"
           "  -n ITEMS    items to make room for (default %d)\n"
           "  -v BYTES    size of their values (default %d); 0: none that do not fit into a slot\n"
           "  -b BURST    frames taken at a time, at most %d (default %d)\n"
           "  -d N        descriptors of a queue (default %d)\n"
           "  -e          echo: every datagram back as it came, no store\n\n"
           "SIGUSR1 prints statistics; SIGTERM and SIGINT do, too, and end it.\n",
           KV_PORT, ITEMS, VALUE, BURST_MAX, BURST, DESCRIPTORS);
}

static uint64_t number(char option, const char *text, uint64_t min, uint64_t max)
{
    char *end;
    uint64_t n;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || n < min || n > max)
        fail("-%c %s: a number from %" PRIu64 " to %" PRIu64, option, text, min, max);
    return n;
}

static void parse(struct words *w, int argc, char **argv)
{
    int c;

    optind = 1;
    while ((c = getopt(argc, argv, "i:p:n:v:b:d:eh")) != -1) {
        switch (c) {
        case 'i':
            if (inet_pton(AF_INET, optarg, &s.ip) != 1)
                fail("-i %s: write an address as 10.77.0.2", optarg);
            break;
        case 'p':
            s.udp_port = rte_cpu_to_be_16(number(c, optarg, 1, 65535));
            break;
        case 'n':
            w->items = number(c, optarg, 1, ITEMS_LIMIT);
            break;
        case 'v':
            w->value = number(c, optarg, 0, KV_VALUE_MAX);
            break;
        case 'b':
            s.burst = number(c, optarg, 1, BURST_MAX);
            break;
        case 'd':
            s.descriptors = number(c, optarg, 64, 32768);
            break;
        case 'e':
            w->echo = true;
            break;
        case 'h':
            help();
            exit(0);
        default:
            exit(1); /* getopt has said why */
        }
    }
    if (optind < argc)
        fail("%s: there are only options (-- -h lists them)", argv[optind]);
}

static void make_store(const struct words *w)
{
    size_t bytes = kv_bytes(w->items, w->value);
    uint64_t seed;
    void *mem;

    if (bytes == 0)
        fail("-n %" PRIu64 " -v %zu: too many for any memory", w->items, w->value);
    mem = rte_zmalloc("store", bytes, RTE_CACHE_LINE_SIZE);
    if (!mem)
        fail("-n %" PRIu64 " -v %zu: DPDK has no %zu MiB of memory in one piece (its -m)", w->items,
             w->value, bytes >> 20);
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        fail("getrandom: %s", strerror(errno));
    s.kv = kv_init(mem, bytes, w->value, seed);
    if (!s.kv)
        fail("the store does not take %zu bytes", bytes);
}

static void check(int err, const char *what)
{
    if (err < 0)
        fail("%s: %s", what, rte_strerror(-err));
}

static void start_device(void)
{
    struct rte_eth_conf conf = {0};
    struct rte_eth_dev_info info;
    struct rte_eth_txconf tx;
    struct rte_mempool *pool;
    uint16_t rx_nr = s.descriptors, tx_nr = s.descriptors;

    if (rte_eth_dev_count_avail() == 0)
        fail("DPDK found no device: bind one to uio_pci_generic or vfio-pci, or name a --vdev");
    s.port = rte_eth_find_next(0);
    check(rte_eth_dev_info_get(s.port, &info), "the device");
    /* An echo needs no new checksum. To have received ones verified by a virtio device would only
     * mean slower functions of its driver: it would leave us those that are not made yet, which
     * without it are made. */
    s.sums = s.kv && (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
    conf.txmode.offloads = s.sums ? RTE_ETH_TX_OFFLOAD_UDP_CKSUM : 0;
    pool = rte_pktmbuf_pool_create("frames", BUFFERS, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                                   SOCKET_ID_ANY);
    if (!pool)
        fail("no memory for %d buffers: %s", BUFFERS, rte_strerror(rte_errno));
    check(rte_eth_dev_configure(s.port, 1, 1, &conf), "configuring the device");
    check(rte_eth_dev_adjust_nb_rx_tx_desc(s.port, &rx_nr, &tx_nr), "descriptors");
    check(rte_eth_rx_queue_setup(s.port, 0, rx_nr, SOCKET_ID_ANY, NULL, pool), "receive queue");
    tx = info.default_txconf;
    tx.offloads = conf.txmode.offloads;
    check(rte_eth_tx_queue_setup(s.port, 0, tx_nr, SOCKET_ID_ANY, &tx), "transmit queue");
    check(rte_eth_dev_start(s.port), "starting the device");
    check(rte_eth_macaddr_get(s.port, &s.mac), "the device's address");
    s.q = (struct wherry_netq){.ip = s.ip,
                               .port = s.udp_port,
                               .tx_csum = s.sums,
                               .csum_mask = s.sums ? 0xffff0000 : 0,
                               .from = (uint64_t)rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) << 48,
                               .to = (uint64_t)s.udp_port << 48 | s.ip,
                               .to_mask = 0xffff0000ffffffff};
    memcpy(&s.q.from, &s.mac, sizeof(s.mac));
    printf("udpkv-dpdk: %s (%s), " RTE_ETHER_ADDR_PRT_FMT
           ", descriptors %u and %u, UDP checksums by %s\n",
           rte_dev_name(info.device), info.driver_name, RTE_ETHER_ADDR_BYTES(&s.mac), rx_nr, tx_nr,
           s.sums ? "the device" : "software");
}

int main(int argc, char **argv)
{
    struct words w = {.items = ITEMS, .value = VALUE};
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    int used = rte_eal_init(argc, argv);

    if (used < 0)
        fail("DPDK does not start: %s", rte_strerror(rte_errno));
    s.burst = BURST;
    s.descriptors = DESCRIPTORS;
    s.udp_port = rte_cpu_to_be_16(KV_PORT);
    s.ip = rte_cpu_to_be_32(RTE_IPV4(10, 77, 0, 2));
    parse(&w, argc - used, argv + used);
    if (!w.echo)
        make_store(&w);
    sigaction(SIGUSR1, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGINT, &a, NULL);
    start_device();
    printf("udpkv-dpdk: %s on port %u\n", w.echo ? "echo" : "store", rte_be_to_cpu_16(s.udp_port));
    fflush(stdout);
    s.second = rte_get_tsc_hz();
    s.next_second = rte_rdtsc() + s.second;
    loop();
    print_statistics();
    rte_eth_dev_stop(s.port);
    rte_eth_dev_close(s.port);
    rte_eal_cleanup();
    return 0;
}
