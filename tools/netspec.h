/*
 * How the guest is connected: --net user | dhcp | none | tap:IF,ip=CIDR|dhcp[,gw=IP][,dns=IP].
 * Gives the kernel's ip= word and the addresses that go into /etc. Host code; does not block.
 */
#pragma once

#include "util.h"

enum net_kind { NET_USER, NET_TAP, NET_NONE };

struct netspec {
    enum net_kind kind;
    bool dhcp;
    char ifname[16];
    /* Static configuration, dotted; empty: none. */
    char ip[16], mask[16], gw[16], dns[16];
};

bool netspec_parse(const char *text, struct netspec *n, struct why *w);
/* The kernel's word, or NULL without a network. To be freed. */
char *netspec_ip_word(const struct netspec *n);
/* A MAC address that differs between guests with different addresses on one bridge. */
void netspec_mac(const struct netspec *n, char mac[18]);
/* For tap: does the interface exist, and may we use it? */
bool netspec_check(const struct netspec *n, struct why *w);
