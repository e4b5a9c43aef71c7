/*
 * The words of wherry-pktgen. What the generator shares with `wherry load` stands in a struct
 * load_options, which the workload and the result read. Host code; does not block.
 */
#pragma once

#include "../load/options.h"
#include "frame.h"

enum { BURST_MAX = 512 };

struct pktgen_options {
    struct load_options load;

    /* Where: the same for all runs of a process. */
    const char *socket;
    unsigned queues;
    int cpu; /* -1: any */
    bool huge_pages;
    bool lines;    /* more runs' words come on standard input */
    bool unread;   /* --load fills and does not read back */
    double wait_s; /* for the guest's first answer */

    uint32_t ip, guest_ip;
    uint8_t mac[MAC_LEN];
    uint16_t guest_port;
    uint32_t source_first, nr_sources; /* addresses to send from */
    unsigned nr_ports;

    bool echo;
    bool offload;   /* the guest's device shall see UDP checksums that are not made */
    unsigned frame; /* bytes of an echoed one */
    unsigned window, burst;
    unsigned queue;    /* frames that wait for room in the device; more are lost */
    unsigned bad_kind; /* its number + 1; 0: all */
    double bad;        /* bad frames for each right one */
};

/* False if help was printed. Dies on wrong words. */
bool pktgen_options_parse(struct pktgen_options *o, int argc, char **argv);
/* A line of standard input: words (without quotes) for one more run; those not given are as in the
 * process' own. Dies on wrong words. */
void pktgen_options_line(struct pktgen_options *o, const struct pktgen_options *first, char *line);
