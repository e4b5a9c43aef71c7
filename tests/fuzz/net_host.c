/*
 * The kernel and a network device for tests/fuzz/fuzz_net.c: see net_host.h.
 */
#include "net_host.h"

#include "fs/file.h"
#include "lib/random.h"
#include "linux/cred.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "net/ethif.h"
#include "net/netbuf.h"
#include "sched/clock.h"

#include <linux/if_ether.h>

#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/nd6.h"
#include "lwip/priv/tcp_priv.h"

void *malloc(size_t n);
void *calloc(size_t n, size_t m);
void *realloc(void *p, size_t n);
void *aligned_alloc(size_t align, size_t n);
void free(void *p);
__noreturn void abort(void);

#define START_NS (1000 * NSEC_PER_SEC)

/* ---- Memory ---- */

unsigned host_allocs, host_fail_in;

static bool refused(void)
{
    return host_fail_in != 0 && --host_fail_in == 0;
}

/* Who allocated what is live: a hash table, for host_leaks(). */
#define LIVE    4096u
#define CALLERS 6u
#define PROBES  64u /* what finds no place is counted, but not named */
const void *host_stack_base;
static struct {
    void *p;
    const void *callers[CALLERS];
} live[LIVE];

static void *remember(void *p)
{
    const uintptr_t *fp = __builtin_frame_address(0);
    if (p == NULL)
        return NULL;
    host_allocs++;
    unsigned i = (unsigned)((uintptr_t)p >> 4) % LIVE;
    unsigned probes = 0;
    while (live[i].p > (void *)1 && probes++ < PROBES)
        i = (i + 1) % LIVE;
    if (probes > PROBES)
        return p;
    live[i].p = p;
    for (unsigned k = 0; k < CALLERS; k++) {
        bool ours = (const void *)fp < host_stack_base && fp[0] > (uintptr_t)fp;
        live[i].callers[k] = ours ? (const void *)fp[1] : NULL;
        fp = ours ? (const uintptr_t *)fp[0] : fp;
    }
    return p;
}

static void forget(void *p)
{
    host_allocs--;
    unsigned i = (unsigned)((uintptr_t)p >> 4) % LIVE;
    for (unsigned probes = 0; live[i].p != p && live[i].p != NULL && probes < PROBES; probes++)
        i = (i + 1) % LIVE;
    if (live[i].p == p)
        live[i].p = (void *)1; /* a gravestone */
}

void host_forget_all(void)
{
    memset(live, 0, sizeof(live));
}

void host_leaks(void)
{
    for (unsigned i = 0; i < LIVE; i++) {
        if (live[i].p > (void *)1)
            kprintf("left over: %p %p %p %p %p\n", live[i].callers[1], live[i].callers[2],
                    live[i].callers[3], live[i].callers[4], live[i].callers[5]);
    }
}

void *kmalloc(size_t n)
{
    return remember(refused() ? NULL : malloc(n));
}

void *kzalloc(size_t n)
{
    return remember(refused() ? NULL : calloc(1, n));
}

/* Only the timers' heap grows, and stays. */
void *krealloc(void *p, size_t n)
{
    return realloc(p, n);
}

void kfree(void *p)
{
    if (p != NULL)
        forget(p);
    free(p);
}

struct netbuf *netbuf_host_alloc(void)
{
    struct netbuf *b = refused() ? NULL : aligned_alloc(NETBUF_SIZE, NETBUF_SIZE);
    if (b == NULL)
        return NULL;
    memset(b, 0xa5, NETBUF_SIZE);
    remember(b);
    netbuf_stats.in_use++;
    return b;
}

void netbuf_host_free(struct netbuf *b)
{
    forget(b);
    netbuf_stats.in_use--;
    free(b);
}

struct netbuf_stats netbuf_stats;
uint64_t netbuf_limit = 1024, netbuf_many = 768;

struct frame_stats frame_stats(void)
{
    return (struct frame_stats){.total = 1u << 18, .free = 1u << 17};
}

/* ---- Time, chance ---- */

static uint64_t now_ns = START_NS;

uint64_t clock_mono_ns(void)
{
    return now_ns;
}

uint64_t clock_real_ns(void)
{
    return now_ns;
}

void clockevent_request(uint64_t deadline)
{
}

void clock_advance(uint64_t ns)
{
    uint64_t end = now_ns + ns, next;
    while ((next = timer_run(now_ns)) <= end)
        now_ns = MAX(now_ns, next);
    now_ns = end;
}

static uint64_t chance;

uint64_t random_u64(void)
{
    chance = chance * 6364136223846793005ull + 1442695040888963407ull;
    return chance ^ chance >> 29;
}

/* In the place of kernel/net/nettimer.c's (the linker's --wrap), whose key is made only once.
 * Numbers near each other are what no hash would give before the year is out: a segment of one
 * connection lies in the window of another. */
unsigned host_isn_step;
static unsigned isn_count;
static uint64_t isn_start;

u32_t __wrap_net_tcp_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip,
                         u16_t remote_port);
u32_t __wrap_net_tcp_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip,
                         u16_t remote_port)
{
    if (host_isn_step != 0)
        return 0x1000 + host_isn_step * isn_count++;
    uint32_t h = (uint32_t)local_port << 16 | remote_port;
    for (unsigned i = 0; i < (IP_IS_V6(remote_ip) ? 4 : 1); i++)
        h = (h ^ ip_2_ip6(local_ip)->addr[i]) * 0x9e3779b1u + ip_2_ip6(remote_ip)->addr[i];
    return h * 0x85ebca6bu + (uint32_t)((now_ns - isn_start) / 4096);
}

/* ---- Threads, application memory, files ---- */

struct thread *current_thread;
struct cred cred;
struct fd_entry *fd_entries; /* no descriptors here, only sockets */
unsigned fd_limit;
bool host_fault;
bool (*host_sleep)(bool copying);

size_t user_copy(void *dst, const void *src, size_t n)
{
    host_sleep(true);
    if (host_fault) {
        host_fault = false;
        memcpy(dst, src, n / 2);
        return n - n / 2;
    }
    memcpy(dst, src, n);
    return 0;
}

size_t user_zero(void *dst, size_t n)
{
    memset(dst, 0, n);
    return 0;
}

int waitq_sleep(struct waitq *q, uint32_t events, uint64_t deadline)
{
    if (!host_sleep(false))
        return -ERESTARTSYS;
    return deadline <= now_ns ? -ETIMEDOUT : 0;
}

void waitq_wake_slow(struct waitq *q, uint32_t events)
{
}

void thread_yield(void)
{
    clock_advance(20 * NSEC_PER_MSEC);
    host_poll();
}

int signal_send_thread(struct thread *t, int sig, const void *info)
{
    return 0;
}

void file_init(struct file *f, const struct file_ops *ops, uint32_t flags, uint32_t kind)
{
    *f = (struct file){.ops = ops, .refs = 1, .flags = flags, .kind = kind};
    waitq_init(&f->waitq);
    list_init(&f->watches);
}

void file_put_last(struct file *f)
{
    f->refs = 1;
    f->ops->release(f);
}

void file_sigio(struct file *f, int band)
{
}

void dns_init(void)
{
}

void dns_setserver(u8_t i, const ip_addr_t *server)
{
}

size_t strlcpy(char *dst, const char *src, size_t size)
{
    size_t n = strlen(src), k = size == 0 ? 0 : MIN(n, size - 1);
    memcpy(dst, src, k);
    if (size != 0)
        dst[k] = '\0';
    return n;
}

const char *parse_u64(const char *s, uint64_t *out)
{
    return NULL; /* lwIP's own names of interfaces are of no interest */
}

/* ---- The device ---- */

#define RX_MAX 64u
#define TX_MAX 128u

bool host_tx_hold, host_tx_full, host_link = true;
struct host_sent host_sent[HOST_SENT];
unsigned host_sent_count;

static struct netbuf *rx_ring[RX_MAX];
static unsigned rx_count;
static void *tx_ring[TX_MAX];
static unsigned tx_count;
static struct poller *poller;

void poller_register(struct poller *p)
{
    poller = p;
}

bool pollers_run(void)
{
    return poller != NULL && poller->poll(poller);
}

void host_poll(void)
{
    while (pollers_run())
        ;
}

static unsigned rx_burst(struct netdev *d, unsigned queue, struct netbuf **packets, unsigned max)
{
    unsigned n = MIN(rx_count, max);
    memcpy(packets, rx_ring, n * sizeof(*packets));
    rx_count -= n;
    memmove(rx_ring, rx_ring + n, rx_count * sizeof(*rx_ring));
    return n;
}

/* A block with at most n bytes of data; how many it took. */
static size_t fill_block(struct netbuf *b, const uint8_t *data, size_t n, uint8_t layout,
                         bool first)
{
    size_t head = NETBUF_HEAD + (first ? NETDEV_HEADROOM : 0), room = NETBUF_SIZE - head;
    if ((layout & 3) == 2)
        room = MIN(room, first ? 54u + (layout >> 3) : 1u + (layout >> 3) * 5u);
    n = MIN(n, room);
    b->data = (uint16_t)((layout & 3) == 0 ? NETBUF_SIZE - n : head);
    b->len = (uint16_t)n;
    memcpy((uint8_t *)b + b->data, data, n);
    return n;
}

void host_receive(const uint8_t *frame, size_t len, uint8_t layout)
{
    struct netbuf *first = NULL, **link = &first;
    unsigned fail = host_fail_in, blocks = 0;
    size_t done = 0;
    if (len < ETH_HLEN || len > 0xffff + ETH_HLEN || rx_count == RX_MAX ||
        netbuf_stats.in_use > netbuf_limit)
        return; /* the driver drops it */
    host_fail_in = 0;
    while (done < len) {
        struct netbuf *b = netbuf_host_alloc();
        done += fill_block(b, frame + done, len - done, layout, first == NULL);
        b->next = NULL;
        *link = b;
        link = &b->next;
        blocks++;
    }
    host_fail_in = fail;
    first->total = (uint32_t)len;
    first->nbufs = (uint8_t)blocks;
    first->flags = layout & 4 ? NETBUF_CSUM_OK : 0;
    if (blocks > 65) { /* the driver's limit */
        netbuf_free_packet(first);
        return;
    }
    rx_ring[rx_count++] = first;
}

static void remember_sent(const uint8_t *frame, size_t len)
{
    struct host_sent *s = &host_sent[host_sent_count++ % HOST_SENT];
    s->len = MIN(len, sizeof(s->data));
    memcpy(s->data, frame, s->len);
}

static int tx(struct netdev *d, unsigned queue, const struct netdev_tx *t)
{
    static uint8_t whole[0x20000];
    size_t len = 0;
    if (host_tx_full || tx_count == TX_MAX)
        return -ENOSPC;
    assert(t->nfrags >= 1 && t->nfrags <= NETDEV_MAX_FRAGS);
    if (t->headroom)
        memset((uint8_t *)t->frags[0].data - NETDEV_HEADROOM, 0, NETDEV_HEADROOM);
    for (unsigned i = 0; i < t->nfrags; i++) {
        assert(len + t->frags[i].len <= sizeof(whole));
        memcpy(whole + len, t->frags[i].data, t->frags[i].len);
        len += t->frags[i].len;
    }
    assert(len >= ETH_HLEN && len <= 0xffff + ETH_HLEN);
    assert(t->frags[0].len >= ETH_HLEN);
    if (t->csum_start != 0)
        assert(t->csum_start >= ETH_HLEN + 20 && t->csum_start + t->csum_off + 2u <= len);
    if (t->gso_size != 0)
        assert(t->csum_start != 0 && t->hdr_len <= t->frags[0].len && t->hdr_len > t->csum_start);
    else
        assert(len <= ETH_HLEN + (size_t)d->mtu);
    remember_sent(whole, len);
    tx_ring[tx_count++] = t->cookie;
    return 0;
}

/* Cookies of raw frames: their block, and this bit. */
#define RAW 1ul

static unsigned tx_raw(struct netdev *d, const struct wherry_packet *p, unsigned n)
{
    unsigned i;
    for (i = 0; i < n && !host_tx_full && tx_count < TX_MAX; i++) {
        uintptr_t block = ALIGN_DOWN((uintptr_t)p[i].data, (uintptr_t)NETBUF_SIZE);
        memset(p[i].data - NETDEV_HEADROOM, 0, NETDEV_HEADROOM);
        assert((uintptr_t)p[i].data - NETDEV_HEADROOM >= block + NETBUF_HEAD);
        assert(p[i].len >= ETH_HLEN && p[i].len <= ETH_HLEN + (size_t)d->mtu);
        assert((uintptr_t)p[i].data + p[i].len <= block + NETBUF_SIZE);
        if (p[i].flags & WHERRY_CSUM_TODO)
            assert(p[i].csum_start >= ETH_HLEN + 20 &&
                   p[i].csum_start + p[i].csum_off + 2u <= p[i].len);
        remember_sent(p[i].data, p[i].len);
        tx_ring[tx_count++] = (void *)(block | RAW);
    }
    return i;
}

void host_tx_complete(unsigned count)
{
    while (tx_count > 0 && count-- > 0) {
        void *cookie = tx_ring[0];
        tx_count--;
        memmove(tx_ring, tx_ring + 1, tx_count * sizeof(*tx_ring));
        if ((uintptr_t)cookie & RAW)
            netbuf_free((struct netbuf *)((uintptr_t)cookie - RAW));
        else
            host_dev.tx_done(&host_dev, cookie);
    }
}

static void tx_reclaim(struct netdev *d, unsigned queue)
{
    if (!host_tx_hold)
        host_tx_complete(TX_MAX);
}

static void kick(struct netdev *d, unsigned queue)
{
    tx_reclaim(d, queue);
}

static bool arm(struct netdev *d, unsigned queue)
{
    return rx_count == 0;
}

static bool link_up(struct netdev *d)
{
    return host_link;
}

static const struct netdev_ops ops = {
    .rx_burst = rx_burst,
    .tx = tx,
    .kick = kick,
    .tx_reclaim = tx_reclaim,
    .arm = arm,
    .link_up = link_up,
    .tx_raw = tx_raw,
};

struct netdev host_dev = {
    .name = "eth0",
    .mac = {0x52, 0x54, 0, 0, 0, 2},
    .mtu = 1500,
    .queues = 1,
    .ops = &ops,
};

/* ---- A life ---- */

void host_init(void)
{
    net_timers_init();
    lwip_init();
    net_lo = netif_list;
    net_lo->mtu = net_lo->mtu6 = 16384;
    NETIF_SET_CHECKSUM_CTRL(net_lo, NETIF_CHECKSUM_DISABLE_ALL);
    netdev_register(&host_dev);
}

struct netif *host_attach(bool dhcp)
{
    static const ip6_addr_t global = {.addr = {PP_HTONL(0xfd000000), 0, 0, PP_HTONL(2)}};
    ip4_addr_t ip = {OUR_IP4}, mask = {MASK_IP4}, gw = {PEER_IP4};
    chance = 1;
    clock_advance(NSEC_PER_SEC - now_ns % NSEC_PER_SEC);
    isn_start = now_ns;
    isn_count = host_isn_step = 0;
    host_sent_count = 0;
    host_tx_hold = host_tx_full = host_fault = false;
    host_link = true;
    host_fail_in = 0;
    if (ethif_attach(&host_dev) < 0)
        panic("no memory for the interface");
    struct netif *n = host_dev.user;
    n->hostname = "fuzz";
    netif_set_default(n);
    netif_create_ip6_linklocal_address(n, 1);
    netif_ip6_addr_set_state(n, 0, IP6_ADDR_PREFERRED);
    netif_set_ip6_autoconfig_enabled(n, 1);
    netif_ip6_addr_set(n, 1, &global);
    netif_ip6_addr_set_state(n, 1, IP6_ADDR_PREFERRED);
    if (!dhcp)
        netif_set_addr(n, &ip, &mask, &gw);
    netif_set_up(n);
    if (dhcp)
        dhcp_start(n);
    net_timers_start();
    net_flush();
    return n;
}

void host_detach(void)
{
    struct netif *n = host_dev.user;
    host_tx_hold = host_tx_full = false;
    host_fail_in = 0;
    host_poll();
    net_flush();
    while (tcp_active_pcbs != NULL)
        tcp_abort(tcp_active_pcbs);
    while (tcp_tw_pcbs != NULL)
        tcp_abort(tcp_tw_pcbs);
    assert(tcp_listen_pcbs.pcbs == NULL && tcp_bound_pcbs == NULL);
    for (unsigned i = 0; i < 256; i++) {
        ip_reass_tmr();
        ip6_reass_tmr();
    }
    net_flush();
    if (netif_dhcp_data(n) != NULL) {
        dhcp_release_and_stop(n);
        dhcp_cleanup(n);
    }
    net_flush();
    netif_remove(n);
    while (rx_count > 0)
        netbuf_free_packet(rx_ring[--rx_count]);
    host_tx_complete(TX_MAX);
    net_flush();
    poller = NULL;
    kfree(n);
    host_dev.user = NULL;
}
