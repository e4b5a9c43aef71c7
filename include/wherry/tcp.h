/*
 * TCP for programs linked into a Wherry image, over IPv4 and IPv6, driven by events. A program
 * that calls any of this gets the TCP/IP stack into its image, which then has the addresses that
 * the command line gives it (ip= with DHCP if asked for, wherry.ip6=, router advertisements),
 * answers ARP and pings, and may share its network device with a raw queue (<wherry/netdev.h>).
 *
 *     static size_t received(struct wherry_tcp *c, const uint8_t *data, size_t len)
 *     {
 *         wherry_tcp_send(c, &(struct wherry_tcp_span){.data = data, .len = len}, 1);
 *         return len;
 *     }
 *     static const struct wherry_tcp_service echo = {.port = 7, .received = received};
 *
 *     wherry_tcp_listen(&echo);
 *     for (;;)
 *         if (!wherry_tcp_run())
 *             wherry_tcp_wait(WHERRY_FOREVER);
 *
 * Everything runs in the program's one thread. The service's functions are called by
 * wherry_tcp_run() and by nothing else, never one within another; all functions here may be called
 * from them, but wherry_tcp_run() and those that sleep. What is sent leaves when the service's
 * function returns, or, if it is sent outside of one, within the next wherry_tcp_run().
 *
 * Beside a raw queue, in one loop (packets that are not steered to the queue come to the stack
 * within wherry_netq_rx() and wherry_netq_wait(); TCP's events end the latter):
 *
 *     for (;;) {
 *         unsigned n = wherry_netq_rx(&q, p, 32);
 *         ... answers, wherry_netq_tx() ...
 *         if (!wherry_tcp_run() && n == 0)
 *             wherry_netq_wait(&q, WHERRY_FOREVER);
 *     }
 *
 * A program must call wherry_tcp_run() often: acknowledgements and retransmissions wait for it
 * while the program does not sleep.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wherry/errno.h>
#include <wherry/netdev.h> /* WHERRY_FOREVER */

/* A connection. It is the program's from opened() on until closed() has returned, or until it calls
 * wherry_tcp_close() or wherry_tcp_abort() itself. */
struct wherry_tcp;

/* What to send. Bytes are copied, unless keep says that they stay as they are until gone() is
 * called for them, or, without gone(), for ever: then the device may read them where they lie. */
struct wherry_tcp_span {
    const void *data;
    size_t len;
    bool keep;
    /* Called, with keep, for the pieces of the span that were taken, when they are neither to be
     * repeated nor being read any more: for each byte once, from inside any function here, and may
     * call none of them. */
    void (*gone)(const void *data, size_t len);
};

#define WHERRY_TCP_KEEP_MIN 1024u /* spans of less are always copied */
/* Bytes that a peer may send before the program takes them. */
#define WHERRY_TCP_WINDOW 65536u
/* Bytes of a program that may be on their way to a peer, or wait for it. */
#define WHERRY_TCP_SEND_MAX 262144u

/* What a program does with connections; stays as it is once it listens. */
struct wherry_tcp_service {
    uint16_t port;
    unsigned max;   /* connections at once, 0: 1024; those above are not answered, and ask again */
    unsigned idle;  /* seconds without a byte coming or going after which one is reset; 0: never */
    size_t context; /* bytes of the program's with each connection: wherry_tcp_context() */

    /* A peer has connected. NULL: nothing to do. */
    void (*opened)(struct wherry_tcp *c);
    /*
     * len bytes have come, in one piece, where the device put them if possible. Returns how many of
     * them are done with. The others come again, in front of what follows, when there is more or
     * after wherry_tcp_resume(): at most WHERRY_TCP_WINDOW bytes wait, then the peer does. They
     * must not be looked at after the return.
     */
    size_t (*received)(struct wherry_tcp *c, const uint8_t *data, size_t len);
    /* There is room again after a wherry_tcp_send() that did not take everything, or a
     * wherry_tcp_has_room() that said no. May be NULL for those who never send so much. */
    void (*writable)(struct wherry_tcp *c);
    /* The peer will send no more, and received() has seen what it sent; it may still wait for
     * answers. NULL: closed() is called, and the connection closed. */
    void (*ended)(struct wherry_tcp *c);
    /* The connection is no more: -ECONNRESET, -ETIMEDOUT, -ENOMEM; 0: see ended(). The last call
     * for c; there is none for one that the program ended. NULL: nothing to do. */
    void (*closed)(struct wherry_tcp *c, int error);
};

/* 0; -EADDRINUSE, -ENOMEM, or -EINVAL: no port or no received(). */
int wherry_tcp_listen(const struct wherry_tcp_service *s);

/* Looks after devices and timers, and calls the services' functions for what has happened. False:
 * nothing had. */
bool wherry_tcp_run(void);
/* Sleeps until there is something for wherry_tcp_run(), or the deadline (wherry_now()). For a
 * program with a raw queue wherry_netq_wait() does it. */
void wherry_tcp_wait(uint64_t deadline);

/*
 * Takes as much of the spans, in their order, as there is room for; how many bytes that is: if not
 * all, writable() will be called. -EPIPE: the connection is closed or lost (closed() will be
 * called); -ENOMEM: it is lost for want of memory.
 */
long wherry_tcp_send(struct wherry_tcp *c, const struct wherry_tcp_span *spans, unsigned n);
/* Would wherry_tcp_send() take so many bytes now, at most WHERRY_TCP_SEND_MAX? If not, writable()
 * will be called. False for a connection that is closed or lost, too. */
bool wherry_tcp_has_room(struct wherry_tcp *c, size_t bytes);
/* received() is called again with the bytes that it has not taken. */
void wherry_tcp_resume(struct wherry_tcp *c);
/* Ends the connection when all that was sent has arrived; what comes in meanwhile is dropped. c is
 * no longer the program's. */
void wherry_tcp_close(struct wherry_tcp *c);
/* Ends it at once: the peer is told by a reset, and what was not sent yet is lost. */
void wherry_tcp_abort(struct wherry_tcp *c);

/* The program's own bytes, zero at first, aligned to 16. */
void *wherry_tcp_context(struct wherry_tcp *c);
/* The peer as text, "10.0.0.1:4242" or "[fd00::1]:4242"; at most 56 bytes with the end. */
void wherry_tcp_peer(const struct wherry_tcp *c, char *to, size_t size);

struct wherry_tcp_stats {
    uint64_t connections; /* now, with those that are being closed */
    uint64_t accepted;
    uint64_t refused;    /* no memory for it */
    uint64_t lost;       /* reset, or given up: the peer does not answer */
    uint64_t idle;       /* reset for being idle, or for not ending after wherry_tcp_close() */
    uint64_t no_memory;  /* lost so */
    uint64_t kept_bytes; /* received, not taken by the program, now */
};
void wherry_tcp_stats(struct wherry_tcp_stats *stats);
