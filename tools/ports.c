/* See ports.h. */
#define _GNU_SOURCE
#include "ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool number(const char *s, uint16_t *out)
{
    unsigned long n = 0;
    size_t len = strspn(s, "0123456789");

    if (len == 0 || len > 5 || s[len])
        return false;
    n = strtoul(s, NULL, 10);
    *out = n;
    return n >= 1 && n <= UINT16_MAX;
}

static bool parse(char *s, struct port *p)
{
    char *slash = strchr(s, '/'), *part[3];
    size_t n = 0;
    struct in_addr a;

    *p = (struct port){.address = "127.0.0.1"};
    if (slash) {
        *slash++ = '\0';
        if (strcmp(slash, "udp") == 0)
            p->udp = true;
        else if (strcmp(slash, "tcp") != 0)
            return false;
    }
    for (char *c = s; c; n++) {
        if (n == ARRAY_LEN(part))
            return false;
        part[n] = c;
        c = strchr(c, ':');
        if (c)
            *c++ = '\0';
    }
    if (n == 3) {
        if (strlen(part[0]) >= sizeof(p->address) || inet_pton(AF_INET, part[0], &a) != 1)
            return false;
        strcpy(p->address, part[0]);
    }
    return number(part[n - 1], &p->guest) && number(part[n == 1 ? 0 : n - 2], &p->host);
}

bool port_parse(const char *text, struct port *p, struct why *w)
{
    char *s = xstrdup(text);
    bool ok = parse(s, p);

    free(s);
    return ok ? true
              : because(w, "-p %s: write [IPV4-ADDRESS:]HOSTPORT:GUESTPORT[/udp], ports 1 to 65535",
                        text);
}

static int try_bind(const struct port *p)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(p->host)};
    int one = 1, fd = socket(AF_INET, (p->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    inet_pton(AF_INET, p->address, &a.sin_addr);
    /* As QEMU does: connections in TIME_WAIT do not matter, listeners do. */
    if (!p->udp)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || (!p->udp && listen(fd, 1) < 0)) {
        int e = -errno;
        close(fd);
        return e;
    }
    return fd;
}

bool ports_free(const struct port *p, size_t n, struct why *w)
{
    int *fd = xcalloc(n, sizeof(*fd));
    bool ok = true;
    size_t i;

    for (i = 0; ok && i < n; i++) {
        const char *kind = p[i].udp ? "UDP" : "TCP";
        fd[i] = try_bind(&p[i]);
        if (fd[i] >= 0)
            continue;
        if (fd[i] == -EADDRINUSE)
            ok = because(w,
                         "%s port %u of this host (%s) is in use; choose another with -p "
                         "PORT:%u",
                         kind, p[i].host, p[i].address, p[i].guest);
        else if (fd[i] == -EACCES)
            ok = because(w,
                         "%s port %u of this host needs privileges; choose one above 1023 with "
                         "-p PORT:%u",
                         kind, p[i].host, p[i].guest);
        else
            ok = because(w, "%s port %u of this host (%s): %s", kind, p[i].host, p[i].address,
                         strerror(-fd[i]));
    }
    for (size_t k = 0; k < i; k++)
        if (fd[k] >= 0)
            close(fd[k]);
    free(fd);
    return ok;
}
