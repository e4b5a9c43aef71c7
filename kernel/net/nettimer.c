/*
 * Time for lwIP: its clock, the TCP timers of our patches (tcp_timer.c) and the periodic timers of
 * the other protocols, all on the kernel's one-shot timers, none of which is set while it has
 * nothing to do. Callbacks run in whatever context found the deadline passed; nothing sleeps.
 */
#include "net/net.h"

#include "lib/random.h"
#include "net/ethif.h"
#include "sched/clock.h"
#include "sched/timer.h"

#include "net/lwip/hooks.h"

#include "lwip/dhcp.h"
#include "lwip/prot/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/igmp.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/mld6.h"
#include "lwip/nd6.h"
#include "lwip/priv/tcp_priv.h"

#define TICK_NS (TCP_SLOW_INTERVAL * NSEC_PER_MSEC)

u32_t sys_now(void)
{
    return (u32_t)(clock_mono_ns() / NSEC_PER_MSEC);
}

/* ---- TCP ---- */

static uint64_t next_tick_ns; /* when tcp_ticks goes up */
static struct timer tcp_timer, delack_timer;

void tcp_sync_ticks(void)
{
    uint64_t now = clock_mono_ns();
    if (now >= next_tick_ns) {
        tcp_ticks = (u32_t)(now / TICK_NS);
        next_tick_ns = (now / TICK_NS + 1) * TICK_NS;
    }
}

static void set_in_ticks(struct timer *t, u32_t ticks)
{
    uint64_t deadline = next_tick_ns + (ticks - 1) * TICK_NS;
    if (!timer_pending(t) || deadline < t->deadline)
        timer_set(t, deadline);
}

void tcp_timer_request(u32_t ticks)
{
    set_in_ticks(&tcp_timer, ticks);
}

static void tcp_due(struct timer *t)
{
    ethif_reclaim(); /* or TCP finds its segments busy */
    tcp_timer_run();
    u32_t next = tcp_timer_next();
    if (next != 0)
        set_in_ticks(&tcp_timer, next);
    net_flush();
}

void tcp_delack_request(void)
{
    timer_set(&delack_timer, clock_mono_ns() + TCP_FAST_INTERVAL * NSEC_PER_MSEC);
}

static void delack_due(struct timer *t)
{
    tcp_sync_ticks();
    tcp_delack_run();
    net_flush();
}

/* ---- The others ---- */

/* A slow tick of a second for what ages, and a fast one of 100 ms while IGMP or MLD have reports to
 * send, which is shortly after a group was joined or asked for, or DHCP waits for an answer. */
#define SLOW_NS NSEC_PER_SEC
#define FAST_NS (100 * NSEC_PER_MSEC)

static struct timer slow_timer, fast_timer;
static unsigned fast_ticks, dhcp_coarse_left;
static unsigned fast_until; /* fast ticks to go without a reason */
#define FAST_LINGER 120     /* MLD and IGMP answer within 10 s */

static bool dhcp_negotiating(void)
{
    struct netif *n;
    NETIF_FOREACH(n)
    {
        struct dhcp *d = netif_dhcp_data(n);
        if (d != NULL && d->state != DHCP_STATE_BOUND && d->state != DHCP_STATE_OFF)
            return true;
    }
    return false;
}

static void fast_due(struct timer *t)
{
    tcp_sync_ticks();
    igmp_tmr();
    mld6_tmr();
    if (++fast_ticks % (DHCP_FINE_TIMER_MSECS / 100) == 0)
        dhcp_fine_tmr();
    if (fast_until > 0)
        fast_until--;
    if (fast_until > 0 || dhcp_negotiating())
        timer_set(t, clock_mono_ns() + FAST_NS);
    net_flush();
}

static void slow_due(struct timer *t)
{
    tcp_sync_ticks();
    ip_reass_tmr();
    ip6_reass_tmr();
    etharp_tmr();
    nd6_tmr();
    if (dhcp_coarse_left-- == 0) {
        dhcp_coarse_left = DHCP_COARSE_TIMER_SECS - 1;
        dhcp_coarse_tmr();
    }
    if (dhcp_negotiating() && !timer_pending(&fast_timer))
        timer_set(&fast_timer, clock_mono_ns() + FAST_NS);
    timer_set(t, clock_mono_ns() + SLOW_NS);
    net_flush();
}

void net_timers_start(void)
{
    fast_until = FAST_LINGER;
    if (!timer_pending(&slow_timer))
        timer_set(&slow_timer, clock_mono_ns() + SLOW_NS);
    if (!timer_pending(&fast_timer))
        timer_set(&fast_timer, clock_mono_ns() + FAST_NS);
}

void net_timers_init(void)
{
    timer_init(&tcp_timer, tcp_due);
    timer_init(&delack_timer, delack_due);
    timer_init(&slow_timer, slow_due);
    timer_init(&fast_timer, fast_due);
    dhcp_coarse_left = DHCP_COARSE_TIMER_SECS - 1;
    tcp_sync_ticks();
}

/* ---- Initial sequence numbers ---- */

/*
 * RFC 6528: a clock of 4 us plus a keyed hash of the connection. The hash: two rounds of
 * multiply-and-fold with a random key of 128 bits over what identifies the connection.
 */
u32_t net_tcp_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip,
                  u16_t remote_port)
{
    static uint64_t key[2];
    if (key[0] == 0) {
        key[0] = random_u64() | 1;
        key[1] = random_u64();
    }
    const u32_t *l = ip_2_ip6(local_ip)->addr, *r = ip_2_ip6(remote_ip)->addr;
    unsigned words = IP_IS_V6(remote_ip) ? 4 : 1;
    uint64_t h = key[1] ^ ((uint64_t)local_port << 16 | remote_port);
    for (unsigned i = 0; i < words; i++) {
        unsigned __int128 m = (unsigned __int128)(h ^ ((uint64_t)l[i] << 32 | r[i])) * key[0];
        h = (uint64_t)m ^ (uint64_t)(m >> 64) ^ key[1];
    }
    unsigned __int128 m = (unsigned __int128)h * key[0];
    h = (uint64_t)m ^ (uint64_t)(m >> 64);
    return (u32_t)h + (u32_t)(clock_mono_ns() / 4096);
}
