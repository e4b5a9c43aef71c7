/* See peer.h. */
#define _GNU_SOURCE
#include "peer.h"

#include "../util.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mempool.h>

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BUFFERS_OVER = 4096, /* beyond what waits: in the device's bursts, from the guest */
    CACHE = 256,
    RING = 1024, /* net_vhost ignores it: the guest says how large its rings are */
};

/* A socket that nobody listens on any more is in the way; one that somebody does is his. */
static void clear_socket(const char *option, const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    int s;

    if (strlen(path) >= sizeof(a.sun_path))
        die("%s %s: at most %zu characters", option, path, sizeof(a.sun_path) - 1);
    if (strpbrk(path, ",="))
        die("%s %s: a path without commas and equals signs", option, path);
    if (lstat(path, &st) < 0)
        return;
    if (!S_ISSOCK(st.st_mode))
        die("%s %s: there is something else", option, path);
    strcpy(a.sun_path, path);
    s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s >= 0 && connect(s, (struct sockaddr *)&a, sizeof(a)) == 0)
        die("%s %s is in use by another program", option, path);
    close(s);
    if (unlink(path) < 0)
        die("%s %s: %s", option, path, strerror(errno));
}

/* However this program ends: the next peer is waited for, and a dead socket is none. */
static const char *our_socket;

static void remove_socket(void)
{
    unlink(our_socket);
}

/* "0@(0,1)": one thread of DPDK's, on any CPU that we may use. */
static char *lcore_word(int cpu)
{
    struct strbuf b = {0};
    cpu_set_t set;

    if (cpu >= 0)
        return xasprintf("--lcores=0@%d", cpu);
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        die("sched_getaffinity: %s", strerror(errno));
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set))
            sb_addf(&b, "%s%d", b.len ? "," : "--lcores=0@(", i);
    sb_addf(&b, ")");
    return b.s;
}

static void start_dpdk(const struct peer_config *o)
{
    struct words w = {0};
    char *lcores = lcore_word(o->cpu);

    words_add(&w, o->program);
    words_add(&w, lcores);
    words_add(&w, "--no-pci");
    words_add(&w, "--no-telemetry");
    words_add(&w, "--log-level=error");
    words_add(&w, "--iova-mode=va");
    words_add(&w, "-m");
    words_addf(&w, "%u", o->memory_mib);
    /* Nothing is shared with other DPDK programs. */
    if (o->huge_pages) {
        words_add(&w, "--in-memory");
    } else {
        words_add(&w, "--no-huge");
        words_add(&w, "--no-shconf");
    }
    words_addf(&w, "--vdev=net_vhost0,iface=%s,queues=%u", o->socket, o->queues);
    free(lcores);
    if (rte_eal_init(w.n, w.v) < 0)
        die("DPDK does not start: %s%s", rte_strerror(rte_errno),
            o->huge_pages ? " (are there huge pages?)" : "");
    /* The words stay: DPDK keeps pointers to them. */
}

void peer_open(struct peer *p, const struct peer_config *o)
{
    struct rte_eth_conf conf = {0};
    unsigned buffers = BUFFERS_OVER + o->frames;
    int err;

    clear_socket(o->option, o->socket);
    start_dpdk(o);
    *p = (struct peer){.queues = o->queues, .socket = o->socket};
    if (rte_eth_dev_get_port_by_name("net_vhost0", &p->port) != 0)
        die("DPDK has no net_vhost driver (package librte-net-vhost23)");
    p->pool = rte_pktmbuf_pool_create("frames", buffers, CACHE, 0,
                                      o->frame_max + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
    if (!p->pool)
        die("no memory for %u frames: %s", buffers, rte_strerror(rte_errno));
    /* Without offloads of received frames asked for, the driver here completes a checksum that the
     * guest left to its device; so every frame has one that can be verified. And one that we leave
     * to the guest's device (--offload), if the guest wants none of that. */
    conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    err = rte_eth_dev_configure(p->port, p->queues, p->queues, &conf);
    for (unsigned i = 0; i < p->queues && err == 0; i++) {
        err = rte_eth_rx_queue_setup(p->port, i, RING, SOCKET_ID_ANY, NULL, p->pool);
        if (err == 0)
            err = rte_eth_tx_queue_setup(p->port, i, RING, SOCKET_ID_ANY, NULL);
    }
    if (err == 0)
        err = rte_eth_dev_start(p->port);
    our_socket = o->socket;
    atexit(remove_socket);
    if (err)
        die("%s %s: %s", o->option, o->socket, rte_strerror(-err));
}

void peer_close(struct peer *p)
{
    rte_eth_dev_stop(p->port);
    rte_eth_dev_close(p->port);
    rte_eal_cleanup();
}

bool peer_connected(const struct peer *p)
{
    struct rte_eth_link link;

    return rte_eth_link_get_nowait(p->port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

unsigned peer_receive(struct peer *p, struct rte_mbuf **frames, unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 0; i < p->queues && n < max; i++)
        n += rte_eth_rx_burst(p->port, i, frames + n, max - n);
    return n;
}

unsigned peer_send(struct peer *p, struct rte_mbuf **frames, unsigned n)
{
    unsigned queue = p->next_queue;

    p->next_queue = (queue + 1) % p->queues;
    return rte_eth_tx_burst(p->port, queue, frames, n);
}

struct rte_mbuf *peer_frame(struct peer *p)
{
    return rte_pktmbuf_alloc(p->pool);
}

void peer_offload(struct rte_mbuf *m)
{
    m->l2_len = RTE_ETHER_HDR_LEN;
    m->l3_len = sizeof(struct rte_ipv4_hdr);
    m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
}
