/*
 * For tests/guest/soak: a shared library that LD_PRELOAD puts into an unmodified program. A thread
 * of its own answers each connection to TCP port 9 with /proc/meminfo.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 9

static void *serve(void *arg)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), conn, fd;
    char buf[4096];
    ssize_t n;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        listen(listener, 8) < 0)
        return arg;
    while ((conn = accept(listener, NULL, NULL)) >= 0) {
        fd = open("/proc/meminfo", O_RDONLY);
        while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
            send(conn, buf, n, MSG_NOSIGNAL);
        close(fd);
        close(conn);
    }
    return arg;
}

__attribute__((constructor)) static void start(void)
{
    pthread_t thread;
    sigset_t all, old;

    /* The program's signals are for its own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    pthread_create(&thread, NULL, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}
