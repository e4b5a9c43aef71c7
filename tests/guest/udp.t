#!/bin/sh
# Proves that a blocking UDP server blocks: packets for others, which come while it looks for one of its
# own, do not end its recvfrom(); a time limit of its own does, with EAGAIN and not early. And that answers
# reach whom they are for, in whatever order many hosts ask, on the link and behind a gateway.
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
#include <unistd.h>
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
        if (n == 7 && buf[0] == 'c') { /* "connect": goes on with this one alone until it says "enough" */
            int one = socket(AF_INET, SOCK_DGRAM, 0);
            struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(7778)};
            if (bind(one, (void *)&here, sizeof(here)) < 0 ||
                connect(one, (void *)&from, sizeof(from)) < 0)
                return 3;
            do
                send(one, buf, n, 0);
            while ((n = recv(one, buf, sizeof(buf), 0)) > 0 && n != 6);
            send(one, buf, n, 0);
            close(one);
            continue;
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
    for (1 .. 20) { # datagrams may be lost, and at first refused: the program is not up yet
        if ($echo->send($text)) {
            while (IO::Select->new($echo)->can_read(1)) {
                defined $echo->recv(my $answer, 2048) or last;
                return $answer if $text eq "limit" || $answer eq $text;
            }
        }
        usleep(100000);
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
# Sockets of several hosts, asked in random order; answers come to the asked socket, from the asked
# address, with the text of that one. Then one with which the server connects, while others interfere.
cat >"$dir/peers" <<'P'
use strict;
use IO::Socket::INET;
use IO::Select;
my ($host, $port, @from) = @ARGV;
my @s = map { IO::Socket::INET->new(LocalAddr => $from[$_ % @from], Proto => "udp") or die "$from[$_ % @from]: $!\n" } 0 .. 39;
my $server = sockaddr_in($port, inet_aton($host));
sub ask {
    my ($s, $text, $to, $by) = @_;
    for (1 .. 5) { # datagrams may be lost
        $s->send($text, 0, $to);
        while (IO::Select->new($s)->can_read(1)) {
            my $who = $s->recv(my $answer, 2048) // last;
            die "an answer that belongs to another: $answer, not $text\n" if $answer ne $text && $answer !~ /^connect/;
            die "an answer from " . join(":", (sockaddr_in $who)[0]) . "\n" if $who ne $by;
            return 1 if $answer eq $text;
        }
    }
    die "no answer to $text\n";
}
srand 5;
for my $i (1 .. 2000) {
    my $n = int rand @s;
    ask($s[$n], "$i of socket $n", $server, $server);
}
my $connected = sockaddr_in(7778, inet_aton($host));
for my $n (0 .. @from - 1) {
    ask($s[$n], "connect", $server, $connected);
    for my $i (1 .. 20) {
        $s[$n + 1]->send("none of yours", 0, $connected);
        ask($s[$n], "$i of connected $n", $connected, $connected);
    }
    ask($s[$n], "enough", $connected, $connected);
    while (IO::Select->new($s[$n + 1])->can_read(0)) {
        $s[$n + 1]->recv(my $answer, 2048);
        die "answered to whom it is not connected: $answer\n" if $answer ne "";
    }
}
print "all answered\n";
P
serve 7777/udp "$dir/echo"
# shellcheck disable=SC2086 # $client is a prefix of words
LIMIT=60 passes "requests among packets for nobody are answered" \
    $client perl "$dir/client" "$host" "$port"
perl -ne 'exit !(/^EAGAIN (\d+)$/ && $1 >= 300 && $1 < 2000)' "$dir/out"
ok $? "SO_RCVTIMEO ends a receive, with EAGAIN and in time"
hosts=10.99.0.1
for i in 3 4 5 6 7; do
    client ip addr add 10.99.0.$i/24 dev wt0 && hosts="$hosts 10.99.0.$i"
done
for i in $(seq 1 20); do
    client ip addr add 198.51.100.$i/32 dev lo && hosts="$hosts 198.51.100.$i"
done
# shellcheck disable=SC2086 # $client and $hosts are words
LIMIT=60 passes "answers reach whom they are for: many ports, many hosts, on the link and behind a gateway" \
    $client perl "$dir/peers" "$host" "$port" $hosts
healthy "nothing to complain of"
finish
