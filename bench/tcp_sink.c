/*
 * Receives uploads, one connection after the other: reads until the peer has sent all, then
 * answers with the number of bytes as text and closes. An ordinary Linux program, the server
 * side of bench/run's upload measurement.
 *
 *     tcp_sink [PORT]
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT   7778
#define BUFFER (256 * 1024)

int main(int argc, char **argv)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    static char buf[BUFFER];
    char text[32];
    int one = 1;

    addr.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : PORT));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 16) < 0) {
        perror("tcp_sink");
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        uint64_t total = 0;
        ssize_t n;
        int c = accept(fd, NULL, NULL);
        if (c < 0) {
            perror("accept");
            return 1;
        }
        while ((n = recv(c, buf, sizeof(buf), 0)) > 0)
            total += (uint64_t)n;
        snprintf(text, sizeof(text), "%lu\n", total);
        if (n < 0 || send(c, text, strlen(text), MSG_NOSIGNAL) < 0)
            perror("tcp_sink: connection");
        close(c);
    }
}
