#!/bin/sh
# Proves that a blocking UDP server blocks: packets for others, which come while it looks for one of its
# own, do not end its recvfrom(); a time limit of its own does, with EAGAIN and not early.
# limit: 90
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gcc perl
use_tap || plan_skip "needs a tap interface"

cat >"$dir/echo.c" <<'C'
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
int main(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7777)}, from;
    struct timeval limit = {.tv_usec = 300000};
    char buf[2048];
    int fd = socket(AF_INET, SOCK_DGRAM, 0), late = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(fd, (void *)&a, sizeof(a)) < 0)
        return 1;
    for (;;) {
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (void *)&from, &len);
        if (n < 0) {
            perror("recvfrom");
            return 2;
        }
        if (n == 5) { /* "limit": measure one */
            double t = now();
            setsockopt(late, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
            n = recv(late, buf, sizeof(buf), 0);
            n = sprintf(buf, "%s %d", n < 0 && errno == EAGAIN ? "EAGAIN" : "wrong",
                        (int)((now() - t) * 1000));
        }
        sendto(fd, buf, n, 0, (void *)&from, len);
    }
}
C
gcc -O1 -static -o "$dir/echo" "$dir/echo.c" || exit 1

# Packets to a port that nobody has come all the time, from a second process, and requests in between;
# each must be answered.
cat >"$dir/client" <<'P'
use strict;
use IO::Socket::INET;
use IO::Select;
use Time::HiRes qw(time usleep);
my ($host, $port) = @ARGV;
my $echo = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Proto => "udp") or die;
sub ask {
    my $text = shift;
    for (1 .. 5) { # datagrams may be lost
        $echo->send($text) or next;
        while (IO::Select->new($echo)->can_read(1)) {
            defined $echo->recv(my $answer, 2048) or last;
            return $answer if $text eq "limit" || $answer eq $text;
        }
    }
    die "no answer to $text\n";
}
ask("hello 0");
my $noise = fork // die;
if (!$noise) {
    my $other = IO::Socket::INET->new(Proto => "udp") or die;
    my ($end, $elsewhere) = (time + 5, scalar sockaddr_in(9, inet_aton($host)));
    while (time < $end) {
        $other->send("noise", 0, $elsewhere);
        usleep(int rand 200);
    }
    exit 0;
}
my ($asked, $end) = (0, time + 4);
ask("hello " . ++$asked) while time < $end;
die "only $asked requests\n" if $asked < 100;
waitpid $noise, 0;
print ask("limit"), "\n";
P
serve 7777/udp "$dir/echo"
# shellcheck disable=SC2086 # $client is a prefix of words
LIMIT=60 passes "requests among packets for nobody are answered" \
    $client perl "$dir/client" "$host" "$port"
perl -ne 'exit !(/^EAGAIN (\d+)$/ && $1 >= 300 && $1 < 2000)' "$dir/out"
ok $? "SO_RCVTIMEO ends a receive, with EAGAIN and in time"
healthy "nothing to complain of"
finish
