#!/bin/sh
# Proves that a C program linked into the kernel boots, answers and ends: the tutorial's, typed in as it
# stands (docs/native.md), an echo and a key-value store on the raw network interface under verified load,
# a program that crashes, and that an image has nothing in it that it does not use.
# limit: 200
# shellcheck disable=SC1091,SC2154,SC2086 # lib.sh's variables; $client is words
. "$(dirname "$0")/lib.sh"
need gcc perl nm ping
[ -f "$WHERRY_B/native/config" ] || plan_skip "there is no $WHERRY_B/native/config (make apps)"
use_tap || plan_skip "needs a tap interface"
cd "$dir" || exit 1

block() { # NUMBER: a program of the tutorial
    awk -v n="$1" '/^```$/ { on = 0 } on { print } /^```c$/ { on = ++i == n }' "$top/docs/native.md"
}
block 1 >shout.c
passes "wherry cc links the tutorial's program" "$WHERRY" cc shout.c
[ -x shout ] && [ -f shout.elf ]
ok $? "... into an image, with its symbols beside it"
serve 7777/udp ./shout
cat >ask <<'P'
use strict;
use IO::Socket::INET;
use IO::Select;
my ($host, $port, $text, $wanted) = @ARGV;
my $s = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Proto => "udp") or die;
for (1 .. 20) {
    $s->send($text);
    next if !IO::Select->new($s)->can_read(0.5);
    defined $s->recv(my $answer, 2048) or next;
    die "answered $answer\n" if $answer ne $wanted;
    exit 0;
}
die "no answer\n";
P
LIMIT=30 passes "... which boots and answers" $client perl ask "$host" 7777 "hello, World" "HELLO, WORLD"
LIMIT=20 passes "the kernel answers pings beside it" $client ping -c 3 -i 0.2 -s 1000 -W 2 "$host"
printf 'x%.0s' $(seq 1400) >long
LIMIT=20 passes "... and the program long datagrams" $client perl ask "$host" 7777 "$(cat long)" "$(tr x X <long)"
stop

block 2 >lines.c
passes "wherry cc links the tutorial's program with TCP" "$WHERRY" cc lines.c
serve 7777 ./lines
cat >ask-lines <<'P'
use strict;
use IO::Socket::INET;
my ($host) = @ARGV;
my $s = IO::Socket::INET->new(PeerAddr => $host, PeerPort => 7777, Timeout => 3) or die "$@";
print $s "hello\nhow are ";
$s->flush;
<$s> eq "HELLO\n" or die;
print $s "you?\none\ntwo\n" . "x" x 1000 . "\n";
$s->flush;
join("", map { scalar <$s> } 1 .. 4) eq "HOW ARE YOU?\nONE\nTWO\n" . "X" x 1000 . "\n" or die;
print $s "y" x 2000;
$s->flush;
defined <$s> and die "a line that is too long";
P
wait_for 20 $client perl ask-lines "$host"
ok $? "... which boots and answers, whole lines and not"
LIMIT=20 passes "... and the stack answers pings beside it" $client ping -c 3 -i 0.2 -s 1000 -W 2 "$host"
for symbol in sys_read vfs_open socket_init; do
    ! nm lines.elf | grep -qw "$symbol"
    ok $? "... and has no $symbol"
done
healthy "... without a complaint"
stop

for symbol in tcp_input sys_read vfs_open; do
    ! nm "$WHERRY_B/apps/udpecho-raw.elf" | grep -qw "$symbol"
    ok $? "an image with the raw path alone has no $symbol"
done

serve 7777/udp "$WHERRY_B/apps/udpecho-raw"
wait_for 20 $client perl ask "$host" 7777 here here
LIMIT=30 passes "an echo under load, all of it verified" $client "$WHERRY" load udp --seconds 3 --warmup 0.2 \
    --connections 16 --size 200 --format text "$host:7777"
$client "$WHERRY" load udp --seconds 2 --warmup 0.2 --connections 16 --out echo.json "$host:7777" >/dev/null 2>&1
$python -c 'import json, sys
r = json.load(open("echo.json")); e = r["errors"]
sys.exit(not (r["good"] > 1000 and e["wrong"] == e["protocol"] == 0))'
ok $? "... without a wrong answer"
# What is no datagram of ours, or not whole, or wrong, between good ones.
cat >bad <<'P'
use strict;
use Socket;
my ($host) = @ARGV;
socket(my $s, PF_INET, SOCK_RAW, 255) or die "$!"; # IPPROTO_RAW: headers are ours
my $to = sockaddr_in(0, inet_aton($host));
sub sum { my $s = unpack("%32n*", $_[0] . (length($_[0]) % 2 ? "\0" : "")); $s = ($s >> 16) + ($s & 0xffff) while $s >> 16; ~$s & 0xffff }
srand 3;
for (1 .. 3000) {
    my $data = "x" x int rand 1200;
    my ($ulen, $frag, $off) = (8 + length $data, 0, 0);
    my $kind = int rand 6;
    $ulen = int rand 65536 if $kind == 0;       # a length that lies
    $frag = 0x2000 if $kind == 1;               # the first of fragments
    $frag = 1 + int rand 180 if $kind == 2;     # a later one
    my $src = inet_aton("10.99.0.1");
    my $udp = pack("nnnn", 5000, 7777, $ulen, 0) . $data;
    $udp = substr($udp, 0, int rand 8) if $kind == 3; # cut off in the header
    my $pseudo = $src . inet_aton($host) . pack("Cn", 0, 17) . pack("n", length $udp);
    my $c = sum($src . inet_aton($host) . pack("CCn", 0, 17, length $udp) . $udp);
    substr($udp, 6, 2) = pack("n", $kind == 4 ? $c ^ 0x1234 : $c) if length $udp >= 8;
    my $ip = pack("CCnnnCCna4a4", 0x45, 0, 20 + length $udp, $_, $frag, 64, 17, 0, $src, inet_aton($host));
    send($s, $ip . $udp, 0, $to);
}
P
LIMIT=30 passes "thousands of datagrams that are not whole, or lie" $client perl bad "$host"
LIMIT=20 passes "... and the service goes on" $client perl ask "$host" 7777 "still here" "still here"
healthy "... without a complaint"
stop

cat >crash.c <<'C'
#include <wherry/app.h>
static volatile int *volatile nowhere = (int *)0x123456;
__attribute__((noinline)) int deep_down(int n)
{
    *nowhere = n;
    return n + 1;
}
int main(int argc, char **argv)
{
    if (argc > 1)
        return 40 + argc;
    return deep_down(argc) + deep_down(2);
}
C
"$WHERRY" cc -o crash crash.c >out 2>&1
ends_with 42 "main()'s result is the exit status, and words behind -- are its arguments" ./crash -- word
ends_with 125 "a crash ends the machine" ./crash
contains "... with the program's functions in the backtrace" deep_down
w -m 5M ./crash -- word
[ "$status" -eq 42 ]
ok $? "5 MiB of memory are enough for it"
"$WHERRY" cc nothing.c >out 2>&1
[ $? -eq 125 ] && grep -q 'nothing.c: there is no such file' out
ok $? "a file that is not there is named"
echo 'int f(void) { return 1; }' >empty.c
"$WHERRY" cc empty.c >out 2>&1
[ $? -eq 125 ] && grep -q 'no main()' out
ok $? "a program without main() is told so"
finish
