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
#include <sys/stat.h>
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

/* What may be said of the device (virtio 1.2 §5.1, §6), as QEMU calls it. in_order needs a QEMU
 * that has it (9.1). */
static const char *const switches[] = {"mrg_rxbuf", "packed", "event_idx", "indirect_desc",
                                       "in_order"};
static const char *const sizes[] = {"rx_queue_size", "tx_queue_size"};
enum { QUEUE_SIZE_MIN = 256, QUEUE_SIZE_MAX = 1024, QUEUES_MAX = 8 };
enum { MTU_MIN = 576, MTU_MAX = 65521 };

static bool is_name(const char *word, const char *name)
{
    size_t n = strlen(name);

    return strncmp(word, name, n) == 0 && word[n] == '=';
}

static bool device_word(struct netspec *n, const char *word)
{
    size_t len = strlen(n->device);

    if (len + 1 + strlen(word) >= sizeof(n->device))
        return false;
    snprintf(n->device + len, sizeof(n->device) - len, ",%s", word);
    return true;
}

/* 1: it is one; 0: it is none; -1: its value is wrong. mtu=N is what the device offers the guest.
 */
static int parse_device_word(const char *word, struct netspec *n)
{
    const char *value = strchr(word, '=') ? strchr(word, '=') + 1 : "";
    unsigned long number;
    char *end;

    for (size_t i = 0; i < ARRAY_LEN(switches); i++)
        if (is_name(word, switches[i]))
            return (!strcmp(value, "on") || !strcmp(value, "off")) && device_word(n, word) ? 1 : -1;
    number = *value >= '0' && *value <= '9' ? strtoul(value, &end, 10) : 0;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        if (is_name(word, sizes[i]))
            return number >= QUEUE_SIZE_MIN && number <= QUEUE_SIZE_MAX && !*end &&
                           !(number & (number - 1)) && device_word(n, word)
                       ? 1
                       : -1;
    if (is_name(word, "mtu")) {
        char *text = xasprintf("host_%s", word);
        bool ok = number >= MTU_MIN && number <= MTU_MAX && !*end && device_word(n, text);

        free(text);
        return ok ? 1 : -1;
    }
    if (!is_name(word, "queues"))
        return 0;
    if (number < 1 || number > QUEUES_MAX || *end)
        return -1;
    n->queues = number;
    return 1;
}

/* tap:NAME,WORDS, vhost-user:NAME,WORDS or unix:NAME,WORDS */
static bool parse_link(char *s, const char *kind, char *name, size_t room, struct netspec *n,
                       struct why *w)
{
    bool socket = net_kind_is_socket(n->kind);
    char *save = NULL, *word = strtok_r(s, ",", &save);

    if (!word || strlen(word) >= room)
        return because(w, "--net %s: name %s, as in %s:%s,ip=10.0.0.2/24,gw=10.0.0.1", kind,
                       socket ? "the peer's socket" : "an interface", kind,
                       socket ? "/tmp/net.sock" : "tap0");
    strcpy(name, word);
    while ((word = strtok_r(NULL, ",", &save))) {
        int of_device = parse_device_word(word, n);
        bool ok;
        if (of_device)
            ok = of_device > 0;
        else if (strcmp(word, "ip=dhcp") == 0)
            ok = n->dhcp = true;
        else if (strncmp(word, "ip=", 3) == 0)
            ok = copy_cidr(n, word + 3);
        else if (strncmp(word, "gw=", 3) == 0)
            ok = copy_address(n->gw, word + 3);
        else if (strncmp(word, "dns=", 4) == 0)
            ok = copy_address(n->dns, word + 4);
        else
            return because(w,
                           "--net %s: unknown word %s (ip=, gw=, dns=; of the device mrg_rxbuf=, "
                           "packed=, event_idx=, indirect_desc=, in_order=, rx_queue_size=, "
                           "tx_queue_size=, queues=, mtu=)",
                           kind, word);
        if (!ok)
            return because(
                w,
                "--net %s: %s: write ip=ADDRESS/BITS, gw=ADDRESS, dns=ADDRESS, "
                "mrg_rxbuf=on|off, rx_queue_size=256, 512 or 1024, queues=1 to %d, mtu=9000",
                kind, word, QUEUES_MAX);
    }
    if (!n->dhcp && !n->ip[0])
        return because(w, "--net %s: give the guest an address with ip=ADDRESS/BITS or ip=dhcp",
                       kind);
    if (n->dhcp && (n->ip[0] || n->gw[0]))
        return because(w, "--net %s: ip=dhcp and fixed addresses exclude each other", kind);
    return true;
}

static bool parse_link_copy(const char *text, const char *kind, char *name, size_t room,
                            struct netspec *n, struct why *w)
{
    char *s = xstrdup(text);
    bool ok = parse_link(s, kind, name, room, n, w);

    free(s);
    return ok;
}

bool netspec_parse(const char *text, struct netspec *n, struct why *w)
{
    *n = (struct netspec){.kind = NET_USER, .queues = 1};
    if (strncmp(text, "tap:", 4) == 0) {
        n->kind = NET_TAP;
        return parse_link_copy(text + 4, "tap", n->ifname, sizeof(n->ifname), n, w);
    }
    if (strncmp(text, "vhost-user:", 11) == 0) {
        n->kind = NET_VHOST_USER;
        return parse_link_copy(text + 11, "vhost-user", n->socket, sizeof(n->socket), n, w);
    }
    if (strncmp(text, "unix:", 5) == 0) {
        n->kind = NET_UNIX;
        return parse_link_copy(text + 5, "unix", n->socket, sizeof(n->socket), n, w);
    }
    if (strcmp(text, "none") == 0) {
        n->kind = NET_NONE;
        return true;
    }
    if (strcmp(text, "user") != 0 && strcmp(text, "dhcp") != 0)
        return because(w,
                       "--net %s: one of user, dhcp, none, tap:IF,ip=ADDRESS/BITS,gw=ADDRESS, "
                       "vhost-user:SOCKET,ip=ADDRESS/BITS,gw=ADDRESS, "
                       "unix:SOCKET,ip=ADDRESS/BITS,gw=ADDRESS",
                       text);
    /* QEMU's user network: its DHCP server would hand out the same, only later. */
    n->dhcp = strcmp(text, "dhcp") == 0;
    strcpy(n->ip, "10.0.2.15");
    strcpy(n->mask, "255.255.255.0");
    strcpy(n->gw, "10.0.2.2");
    strcpy(n->dns, "10.0.2.3");
    return true;
}

bool netspec_together(const struct netspec *n, size_t count, struct why *w)
{
    for (size_t i = 0; i < count; i++) {
        if (n[i].kind == NET_NONE && count > 1)
            return because(w, "--net none excludes others");
        for (size_t k = 0; k < i; k++) {
            if (n[i].kind == NET_USER && n[k].kind == NET_USER)
                return because(w, "--net: a guest has one user network; the others are tap:, "
                                  "vhost-user: or unix:");
            if (n[i].kind == NET_TAP && n[k].kind == NET_TAP && !strcmp(n[i].ifname, n[k].ifname))
                return because(w, "--net tap:%s is given twice", n[i].ifname);
            if (net_kind_is_socket(n[i].kind) && n[i].kind == n[k].kind &&
                !strcmp(n[i].socket, n[k].socket))
                return because(w, "--net: the socket %s is given twice", n[i].socket);
            if (n[i].ip[0] && !strcmp(n[i].ip, n[k].ip))
                return because(w, "--net: two cards have the address %s", n[i].ip);
        }
    }
    return true;
}

char *netspec_ip_word(const struct netspec *n, unsigned i)
{
    if (n->kind == NET_NONE)
        return NULL;
    if (n->dhcp)
        return i == 0 ? xstrdup("ip=dhcp") : xasprintf("ip=:::::eth%u:dhcp", i);
    return xasprintf("ip=%s::%s:%s::eth%u:off%s%s", n->ip, n->gw, n->mask, i, n->dns[0] ? ":" : "",
                     n->dns);
}

void netspec_mac(const struct netspec *n, unsigned i, char mac[18])
{
    struct in_addr a = {0};
    const unsigned char *b = (const unsigned char *)&a;

    /* QEMU's own default behind user networking; else locally administered, from the address. */
    if ((n->kind != NET_TAP && !net_kind_is_socket(n->kind)) || inet_pton(AF_INET, n->ip, &a) != 1)
        snprintf(mac, 18, "52:54:00:12:34:%02x", 0x56 + i);
    else
        snprintf(mac, 18, "02:57:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3]);
}

static bool check_socket(const struct netspec *n, struct why *w)
{
    const char *path = n->socket;
    bool vhost = n->kind == NET_VHOST_USER;
    struct stat st;

    if (stat(path, &st) == 0)
        return S_ISSOCK(st.st_mode) || because(w, "--net: %s is no socket", path);
    return because(w, "--net: %s: %s; start the peer first: wherry %s%s", path, strerror(errno),
                   vhost ? "pktgen --socket " : "memnode --netdev stream:", path);
}

/* An interface that was made for several queues takes one opener for each, and no other. */
static bool check_queues(const struct netspec *n, const char *flags, struct why *w)
{
    bool several = strtoul(flags, NULL, 16) & IFF_MULTI_QUEUE;

    if (several == (n->queues > 1))
        return true;
    if (several)
        return because(w,
                       "tap interface %s was made for several queues (multi_queue): say how many, "
                       "--net tap:%s,queues=2,...",
                       n->ifname, n->ifname);
    return because(w,
                   "tap interface %s was made for one queue; make one for more: ip tuntap add %s "
                   "mode tap multi_queue",
                   n->ifname, n->ifname);
}

bool netspec_check(const struct netspec *n, struct why *w)
{
    struct ifreq r = {0};
    int fd, e;
    bool ok;

    if (net_kind_is_socket(n->kind))
        return check_socket(n, w);
    if (n->kind != NET_TAP)
        return true;
    char *path = xasprintf("/sys/class/net/%s/tun_flags", n->ifname);
    char *flags = read_text(path);
    free(path);
    if (!flags)
        return because(w,
                       "there is no tap interface %s; make one: ip tuntap add %s mode tap user "
                       "$USER && ip link set %s up",
                       n->ifname, n->ifname, n->ifname);
    ok = check_queues(n, flags, w);
    free(flags);
    if (!ok)
        return false;
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return because(w, "/dev/net/tun: %s", strerror(errno));
    memcpy(r.ifr_name, n->ifname, sizeof(r.ifr_name));
    r.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (n->queues > 1 ? IFF_MULTI_QUEUE : 0);
    e = ioctl(fd, TUNSETIFF, &r) < 0 ? errno : 0;
    close(fd);
    if (e == EBUSY)
        return because(w, "tap interface %s is in use by another program", n->ifname);
    return e ? because(w, "tap interface %s: %s", n->ifname, strerror(e)) : true;
}
