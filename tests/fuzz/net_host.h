/*
 * The machine under tests/fuzz/fuzz_net.c: what the network stack needs of the kernel, on the host
 * (net_host.c), and the frames a peer sends it (net_frames.c).
 *
 * Every allocation and every receive buffer is one of malloc's, so that ASan sees what is touched
 * beside it or after its end. Time stands still but for clock_advance(). Wherever the kernel might
 * sleep, host_sleep() runs: the fuzzer then lets other threads and the network do something. What
 * happens depends on the input alone, not on the inputs before it: chance, initial sequence
 * numbers and the phase of the clock's ticks begin anew with each.
 */
#pragma once

#include "net/inet.h"
#include "net/netdev.h"

/* ---- net_host.c ---- */

extern struct netdev host_dev;
extern unsigned host_allocs;  /* live: kmalloc's and receive buffers */
extern unsigned host_fail_in; /* so many allocations succeed, then one fails; 0: all succeed */
extern bool host_tx_hold;     /* the device keeps what it is given */
extern bool host_tx_full;     /* the device takes nothing */
extern bool host_link;
extern unsigned host_isn_step; /* 0: initial sequence numbers as RFC 6528 has them; else so near */
extern bool host_fault;        /* the next copy of application memory fails */
extern bool (*host_sleep)(bool copying); /* false: a signal has come */

/* What is live now is not to be counted; what has come to live since, with the place in the program
 * (addr2line tells the line). */
void host_forget_all(void);
void host_leaks(void);
extern const void *host_stack_base; /* the outermost frame whose callers are remembered */
void host_init(void);
/* The interface, up and with addresses; host_detach() takes it away, with all that depends on it.
 */
struct netif *host_attach(bool dhcp);
void host_detach(void);
void clock_advance(uint64_t ns);
/* Something has come: a frame of len bytes. How it lies in buffers is up to layout: bits 0-1: 0 at
 * the end of a block, 1 where the driver puts it, 2 cut into pieces; bit 2: checksum known. */
void host_receive(const uint8_t *frame, size_t len, uint8_t layout);
void host_poll(void);
void host_tx_complete(unsigned count);

/* What was sent, newest first: age 0... */
#define HOST_SENT     8
#define HOST_SENT_MAX 1536
struct host_sent {
    uint8_t data[HOST_SENT_MAX]; /* the beginning */
    size_t len;
};
extern struct host_sent host_sent[HOST_SENT];
extern unsigned host_sent_count;

/* ---- net_frames.c ---- */

#define FRAME_MAX 66000u

extern const uint8_t peer_mac[6];
#define OUR_IP4  0x0200000au /* 10.0.0.2 */
#define PEER_IP4 0x0100000au /* 10.0.0.1; .n for others */
#define MASK_IP4 0x00ffffffu

struct wire {
    uint8_t data[FRAME_MAX];
    size_t len;
};

/* The four headers of one's choice; payload follows, then finish. Addresses in network order. */
void wire_ip4(struct wire *f, uint32_t src, uint32_t dst, uint8_t proto);
void wire_ip6(struct wire *f, const void *src, const void *dst, uint8_t proto);
void wire_put(struct wire *f, const void *data, size_t n);
void wire_put8(struct wire *f, uint8_t v);
void wire_put16(struct wire *f, uint16_t v);
void wire_put32(struct wire *f, uint32_t v);
/* Makes lengths and checksums right as far as headers can be followed. */
void wire_repair(struct wire *f);
/* A peer's natural answer to a frame of ours; false if there is none. choice varies it. */
bool wire_answer(struct wire *f, const uint8_t *sent, size_t len, uint8_t choice);
