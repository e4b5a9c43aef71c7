/*
 * Port forwardings: -p [ADDR:]HOST:GUEST[/tcp|/udp] or -p PORT[/udp], on the host's loopback
 * address unless ADDR says otherwise. Host code; does not block.
 */
#pragma once

#include "util.h"

struct port {
    char address[16]; /* dotted IPv4, as QEMU's user networking forwards IPv4 only */
    uint16_t host, guest;
    bool udp;
};

bool port_parse(const char *text, struct port *p, struct why *w);
/* Are they all free on this host? Checked by binding them, all at the same time. */
bool ports_free(const struct port *p, size_t n, struct why *w);
