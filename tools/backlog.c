/* See backlog.h. */
#define _GNU_SOURCE
#include "backlog.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BACKLOG 4096 /* the kernel takes less if net.core.somaxconn is less */

/* Is it the socket that listens on one of the ports? */
static bool listens(int fd, const struct port *ports, size_t n)
{
    struct sockaddr_in a;
    socklen_t len = sizeof(a), int_len = sizeof(int);
    int listening = 0;
    char address[INET_ADDRSTRLEN];

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_len) < 0 || !listening ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0 || a.sin_family != AF_INET)
        return false;
    inet_ntop(AF_INET, &a.sin_addr, address, sizeof(address));
    for (size_t i = 0; i < n; i++)
        if (!ports[i].udp && ports[i].host == ntohs(a.sin_port) &&
            strcmp(ports[i].address, address) == 0)
            return true;
    return false;
}

/* One descriptor of the process: 1 if it is a listener, wide now, 0 if not, -1 without the right.
 */
static int widen(int pidfd, int number, const struct port *ports, size_t n)
{
    int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0), wide;

    if (fd < 0)
        return errno == EPERM || errno == ENOSYS ? -1 : 0;
    wide = listens(fd, ports, n) && listen(fd, BACKLOG) == 0;
    close(fd);
    return wide;
}

bool backlog_widen(pid_t pid, const struct port *ports, size_t n)
{
    char path[64];
    struct dirent *e;
    size_t left = 0;
    int pidfd, r = 0;
    DIR *dir;

    for (size_t i = 0; i < n; i++)
        left += !ports[i].udp;
    if (!left)
        return true;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    dir = opendir(path);
    if (pidfd < 0 || !dir) {
        left = 0;
    } else {
        while (left && r >= 0 && (e = readdir(dir)))
            if (e->d_name[0] != '.' && (r = widen(pidfd, atoi(e->d_name), ports, n)) > 0)
                left--;
    }
    if (dir)
        closedir(dir);
    if (pidfd >= 0)
        close(pidfd);
    return !left || r < 0;
}
