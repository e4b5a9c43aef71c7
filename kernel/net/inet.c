/*
 * The families AF_INET and AF_INET6: which sockets exist. Registers with the socket layer.
 */
#include "net/inet.h"

#include "lib/init.h"

static int create(int family, int type, int protocol, struct socket **out)
{
    switch (type) {
    case SOCK_STREAM:
        if (protocol != 0 && protocol != IPPROTO_TCP)
            return -EPROTONOSUPPORT;
        return inet_tcp_create(family, out);
    case SOCK_DGRAM:
    case SOCK_RAW:
        return inet_dgram_create(family, type, protocol, out);
    default:
        return -ESOCKTNOSUPPORT;
    }
}

static int create_v4(int type, int protocol, struct socket **out)
{
    return create(AF_INET, type, protocol, out);
}

static int create_v6(int type, int protocol, struct socket **out)
{
    return create(AF_INET6, type, protocol, out);
}

static struct socket_family inet_family = {.family = AF_INET, .create = create_v4};
static struct socket_family inet6_family = {.family = AF_INET6, .create = create_v6};

static int inet_init(void)
{
    socket_family_register(&inet_family);
    socket_family_register(&inet6_family);
    socket_dev_ioctl = inet_ioctl;
    return 0;
}
INIT(INIT_FS, inet_init);
