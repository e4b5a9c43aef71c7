// fuzz: kernel/net/netcore.c kernel/net/nettimer.c kernel/net/netdev.c kernel/net/ethif.c kernel/net/lwip_mem.c kernel/net/ip4_fast.c kernel/net/udp_flow.c kernel/net/inet_addr.c kernel/net/inet_dgram.c kernel/net/inet_udp.c kernel/net/inet_raw.c kernel/net/inet_icmp.c kernel/net/inet_opt.c kernel/net/inet_ioctl.c kernel/net/inet_tcp.c kernel/net/inet_tcpio.c kernel/net/inet_tcpopt.c kernel/net/tcp_predict.c kernel/net/tcp_xmit.c kernel/net/socket.c kernel/net/sockopt.c kernel/sched/timer.c kernel/fs/iov.c tests/fuzz/net_host.c tests/fuzz/net_frames.c tests/fuzz/net_input.c tests/fuzz/net_peer.c tests/fuzz/net_app.c
/*
 * The whole network stack, from the device's buffers to the socket calls, under a hostile network
 * and a busy application: no memory error, no failed assertion, and in the end, when all sockets
 * are closed and the interface is gone, as many allocations as at the start.
 *
 * Input: a byte of mode (bit 0 DHCP, bit 1 the peer answers by itself, bit 2 wait for all timers at
 * the end, bits 3-7 what the device can do), then commands of a byte and its operands (enum
 * command). Frames get right lengths and checksums unless an operand says otherwise, and TCP
 * segments numbers near those that are expected, so that most input comes far. Where the kernel may
 * sleep (a copy of application memory, a blocking call), further commands run in the middle of the
 * call.
 */
#include "fuzz_net.h"

#include "sched/clock.h"

#include "lwip/dhcp.h"

#define MAX_DEPTH 3u
#define STEPS_MAX 2000u

enum command {
    C_RAW_FRAME,
    C_TCP_SEGMENT,
    C_TCP_SYN,
    C_UDP,
    C_FRAGMENT4,
    C_FRAGMENT6,
    C_ICMP_ERROR,
    C_ARP,
    C_ND,
    C_ANSWER,
    C_TIME,
    C_SOCKET,
    C_BIND,
    C_LISTEN,
    C_ACCEPT,
    C_CONNECT,
    C_SEND,
    C_RECEIVE,
    C_CLOSE,
    C_SHUTDOWN,
    C_SETSOCKOPT,
    C_GETSOCKOPT,
    C_DEVICE,
    C_FAIL,
    C_ADDRESS,
    C_GROUP_QUERY,
    C_EXTENSIONS,
    C_ECHO,
    C_POLL,
    C_POLL_SOCKET,
    C_BAD_FRAME,
    C_SEND_BIG,
    COMMANDS,
};

static void device(void)
{
    uint8_t c = in_u8();
    host_tx_hold = c & 1;
    host_tx_full = (c & 6) == 6;
    host_tx_complete(c >> 4);
    if (c & 8) {
        host_link = !host_link;
        host_dev.link_changed(&host_dev);
    }
}

static void change_something(void)
{
    uint8_t c = in_u8();
    ip4_addr_t ip = {c & 1 ? OUR_IP4 : 0x0500000a}, mask = {MASK_IP4}, gw = {PEER_IP4};
    switch (c >> 1 & 7) {
    case 0:
        netif_set_addr(eth, &ip, &mask, &gw);
        break;
    case 1:
        netif_set_down(eth);
        netif_set_up(eth);
        break;
    case 2:
        netif_ip6_addr_set_state(eth, (s8_t)(c >> 4 & 3),
                                 c & 0x80 ? IP6_ADDR_INVALID : IP6_ADDR_TENTATIVE);
        break;
    case 3:
        if (netif_dhcp_data(eth) == NULL)
            dhcp_start(eth);
        break;
    case 4:
        if (netif_dhcp_data(eth) != NULL)
            dhcp_release_and_stop(eth);
        break;
    case 5:
        if (netif_dhcp_data(eth) != NULL)
            dhcp_renew(eth);
        break;
    case 6:
        host_isn_step = c >> 4;
        break;
    default:
        host_fault = true;
    }
    net_timers_start();
    net_flush();
}

static void pass_time(void)
{
    uint8_t c = in_u8();
    clock_advance((uint64_t)(c & 0x7f) * (c & 0x80 ? NSEC_PER_SEC / 2 : 5 * NSEC_PER_MSEC));
}

static void step(void)
{
    unsigned sent = host_sent_count;
    in.depth++;
    in.steps++;
    switch (in_u8() % COMMANDS) {
    case C_RAW_FRAME:
        peer_raw_frame(true);
        break;
    case C_BAD_FRAME:
        peer_raw_frame(false);
        break;
    case C_TCP_SEGMENT:
        peer_tcp_segment();
        break;
    case C_TCP_SYN:
        peer_tcp_syn();
        break;
    case C_UDP:
        peer_udp();
        break;
    case C_FRAGMENT4:
        peer_fragment4();
        break;
    case C_FRAGMENT6:
        peer_fragment6();
        break;
    case C_ICMP_ERROR:
        peer_icmp_error();
        break;
    case C_ARP:
        peer_arp();
        break;
    case C_ND:
        peer_nd();
        break;
    case C_ANSWER: {
        uint8_t c = in_u8();
        peer_answer(c & 7, in_u8());
        break;
    }
    case C_TIME:
        pass_time();
        break;
    case C_SOCKET:
        app_open();
        break;
    case C_BIND:
        app_bind();
        break;
    case C_LISTEN:
        app_listen();
        break;
    case C_ACCEPT:
        app_accept();
        break;
    case C_CONNECT:
        app_connect();
        break;
    case C_SEND:
        app_send(false);
        break;
    case C_SEND_BIG:
        app_send(true);
        break;
    case C_RECEIVE:
        app_receive();
        break;
    case C_CLOSE:
        app_close(in_u8());
        break;
    case C_SHUTDOWN:
        app_shutdown();
        break;
    case C_SETSOCKOPT:
        app_set_option();
        break;
    case C_GETSOCKOPT:
        app_get_option();
        break;
    case C_DEVICE:
        device();
        break;
    case C_FAIL:
        host_fail_in = in_u8();
        break;
    case C_ADDRESS:
        change_something();
        break;
    case C_GROUP_QUERY:
        peer_group_query();
        break;
    case C_EXTENSIONS:
        peer_extensions();
        break;
    case C_ECHO:
        peer_echo();
        break;
    case C_POLL_SOCKET:
        app_poll();
        break;
    default:
        host_poll();
        net_flush();
    }
    if (in.answers && in.depth == 1) {
        for (unsigned i = 0; i < 4 && sent != host_sent_count; i++) {
            sent = host_sent_count;
            peer_answer(0, 0);
        }
    }
    in.depth--;
}

/* The call under way sleeps: others run. */
static bool others(bool copying)
{
    uint8_t mask = in.may_sleep;
    if (copying && !(mask & 1))
        return true;
    if (in.left == 0 || in.depth >= MAX_DEPTH || in.steps > STEPS_MAX)
        return false;
    unsigned n = 1 + (mask >> 1 & 1);
    in.may_sleep = 0;
    while (n-- > 0 && in.left > 0)
        step();
    if (!copying)
        clock_advance(NSEC_PER_MSEC);
    in.may_sleep = mask;
    return !(mask & 4) || copying;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    static unsigned before;
    host_stack_base = __builtin_frame_address(0);
    if (!ready) {
        ready = true;
        host_sleep = others;
        host_init();
        eth = host_attach(false); /* what is made once, is made now */
        host_detach();
        before = host_allocs;
    }
    if (size < 2 || size > 8192)
        return 0;
    memset(&in, 0, sizeof(in));
    host_forget_all();
    in.p = data;
    in.left = size;
    uint8_t mode = in_u8();
    host_dev.features = mode >> 3;
    in.answers = mode & 2;
    eth = host_attach(mode & 1);
    while (in.left > 0 && in.steps < STEPS_MAX)
        step();
    host_fail_in = 0;
    for (unsigned i = 0; i < SOCKS; i++)
        app_close((uint8_t)i);
    if (mode & 4) {
        host_tx_hold = host_tx_full = false;
        clock_advance(130 * NSEC_PER_SEC);
    }
    host_detach();
    if (net_stats.local_dropped != 0)
        panic("two local ends answered each other for ever");
    if (host_allocs != before) {
        host_leaks();
        panic("%u allocations left over", host_allocs - before);
    }
    return 0;
}
