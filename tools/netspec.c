/* See netspec.h. */
#define _GNU_SOURCE
#include "netspec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool copy_address(char to[16], const char *s)
{
    struct in_addr a;

    if (strlen(s) >= 16 || inet_pton(AF_INET, s, &a) != 1)
        return false;
    strcpy(to, s);
    return true;
}

static bool copy_cidr(struct netspec *n, char *s)
{
    char *slash = strchr(s, '/'), *end;
    unsigned long bits;
    struct in_addr mask;

    if (!slash)
        return false;
    *slash++ = '\0';
    bits = strtoul(slash, &end, 10);
    if (!*slash || *end || bits < 1 || bits > 32)
        return false;
    mask.s_addr = htonl(UINT32_MAX << (32 - bits));
    inet_ntop(AF_INET, &mask, n->mask, sizeof(n->mask));
    return copy_address(n->ip, s);
}

static bool parse_tap(char *s, struct netspec *n, struct why *w)
{
    char *save = NULL, *word = strtok_r(s, ",", &save);

    n->kind = NET_TAP;
    if (!word || strlen(word) >= sizeof(n->ifname))
        return because(w,
                       "--net tap: name an interface, as in tap:tap0,ip=10.0.0.2/24,gw=10.0.0.1");
    strcpy(n->ifname, word);
    while ((word = strtok_r(NULL, ",", &save))) {
        bool ok;
        if (strcmp(word, "ip=dhcp") == 0)
            ok = n->dhcp = true;
        else if (strncmp(word, "ip=", 3) == 0)
            ok = copy_cidr(n, word + 3);
        else if (strncmp(word, "gw=", 3) == 0)
            ok = copy_address(n->gw, word + 3);
        else if (strncmp(word, "dns=", 4) == 0)
            ok = copy_address(n->dns, word + 4);
        else
            return because(w, "--net tap: unknown word %s (ip=, gw=, dns=)", word);
        if (!ok)
            return because(w, "--net tap: %s: write ip=ADDRESS/BITS, gw=ADDRESS, dns=ADDRESS",
                           word);
    }
    if (!n->dhcp && !n->ip[0])
        return because(w, "--net tap: give the guest an address with ip=ADDRESS/BITS or ip=dhcp");
    if (n->dhcp && (n->ip[0] || n->gw[0]))
        return because(w, "--net tap: ip=dhcp and fixed addresses exclude each other");
    return true;
}

bool netspec_parse(const char *text, struct netspec *n, struct why *w)
{
    *n = (struct netspec){.kind = NET_USER};
    if (strncmp(text, "tap:", 4) == 0) {
        char *s = xstrdup(text + 4);
        bool ok = parse_tap(s, n, w);
        free(s);
        return ok;
    }
    if (strcmp(text, "none") == 0) {
        n->kind = NET_NONE;
        return true;
    }
    if (strcmp(text, "user") != 0 && strcmp(text, "dhcp") != 0)
        return because(w, "--net %s: one of user, dhcp, none, tap:IF,ip=ADDRESS/BITS,gw=ADDRESS",
                       text);
    /* QEMU's user network: its DHCP server would hand out the same, only later. */
    n->dhcp = strcmp(text, "dhcp") == 0;
    strcpy(n->ip, "10.0.2.15");
    strcpy(n->mask, "255.255.255.0");
    strcpy(n->gw, "10.0.2.2");
    strcpy(n->dns, "10.0.2.3");
    return true;
}

char *netspec_ip_word(const struct netspec *n)
{
    if (n->kind == NET_NONE)
        return NULL;
    if (n->dhcp)
        return xstrdup("ip=dhcp");
    return xasprintf("ip=%s::%s:%s::eth0:off%s%s", n->ip, n->gw, n->mask, n->dns[0] ? ":" : "",
                     n->dns);
}

void netspec_mac(const struct netspec *n, char mac[18])
{
    struct in_addr a = {0};
    const unsigned char *b = (const unsigned char *)&a;

    /* QEMU's own default behind user networking; else locally administered, from the address. */
    if (n->kind != NET_TAP || inet_pton(AF_INET, n->ip, &a) != 1)
        strcpy(mac, "52:54:00:12:34:56");
    else
        snprintf(mac, 18, "02:57:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3]);
}

bool netspec_check(const struct netspec *n, struct why *w)
{
    struct ifreq r = {0};
    int fd, e;

    if (n->kind != NET_TAP)
        return true;
    char *path = xasprintf("/sys/class/net/%s/tun_flags", n->ifname);
    bool is_tap = access(path, F_OK) == 0;
    free(path);
    if (!is_tap)
        return because(w,
                       "there is no tap interface %s; make one: ip tuntap add %s mode tap user "
                       "$USER && ip link set %s up",
                       n->ifname, n->ifname, n->ifname);
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return because(w, "/dev/net/tun: %s", strerror(errno));
    memcpy(r.ifr_name, n->ifname, sizeof(r.ifr_name));
    r.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    e = ioctl(fd, TUNSETIFF, &r) < 0 ? errno : 0;
    close(fd);
    if (e == EBUSY)
        return because(w, "tap interface %s is in use by another program", n->ifname);
    return e ? because(w, "tap interface %s: %s", n->ifname, strerror(e)) : true;
}
