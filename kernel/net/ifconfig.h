/*
 * The network's configuration at boot (net/ifconfig.c), and what an image's own side makes of it:
 * Linux programs get files and names (net/resolvconf.c), native ones nothing (native/stack.c). Each
 * image has one of them.
 */
#pragma once

#include "lib/base.h"

#include "lwip/ip_addr.h"

#define IFCONFIG_MAX_DNS 3

/* The machine's name, for the DHCP server; given: as ip= has it, or "". The string stays. */
const char *ifconfig_name(const char *given);
/* Interfaces are up. dns: name servers, as ip= or DHCP gave them; those that are 0 are none. */
void ifconfig_done(const ip_addr_t *dns, unsigned count);
