/*
 * What the TCP/IP stack expects of an image beside TCP's user (tcp.c), in images of native
 * programs.
 */
#include "net/ifconfig.h"
#include "net/lwip/hooks.h"
#include "net/net.h"

const bool net_sockets = false;

/* To a server's connections errors by ICMP are hints that may be forged; TCP finds out by itself
 * (RFC 5461). */
void net_icmp_error(struct pbuf *p, struct netif *netif)
{
}

const char *ifconfig_name(const char *given)
{
    return given[0] != '\0' ? given : "wherry";
}

void ifconfig_done(const ip_addr_t *dns, unsigned count)
{
}
