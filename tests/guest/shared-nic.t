#!/bin/sh
# Proves that a raw UDP service and a TCP service share one network card (udpkv-control): each under
# verified load alone and both at once, with pings and ARP beside them; that counters add up; and that a
# flood of datagrams from many senders, whole and not, stops neither.
# limit: 120
# shellcheck disable=SC1091,SC2154,SC2086 # lib.sh's variables; $client is words
. "$(dirname "$0")/lib.sh"
need curl perl ping nm
[ -x "$python" ] || plan_skip "there is no $python"
[ -x "$WHERRY_B/apps/udpkv-control" ] || plan_skip "there is no $WHERRY_B/apps/udpkv-control (make apps)"
use_tap || plan_skip "needs a tap interface"
cd "$dir" || exit 1

cat >check.py <<'P'
"""check.py RESULT GOOD: of a load, nothing was wrong, and at least so many answers came."""
import json, sys
r = json.load(open(sys.argv[1]))
e = r["errors"]
print(sys.argv[1], r["sent"], "sent,", r["good"], "good,", e)
sys.exit(not (r["good"] >= int(sys.argv[2]) and e["wrong"] == e["protocol"] == 0))
P
cat >counters.py <<'P'
"""counters.py BEFORE AFTER [UDP-RESULT HTTP-RESULT]: every datagram between the two was carried out, or refused
with a reason; every one that has an answer got it; and what the clients saw happened."""
import json, sys
def stats(name):
    return {k: int(v) for k, v in (line.split() for line in open(name))}
a, b = stats(sys.argv[1]), stats(sys.argv[2])
d = {k: b[k] - a[k] for k in a}
print(d)
refused = d["malformed"] + d["too_large"] + d["no_room"] + d["bad_version"] + d["bad_op"]
carried = d["gets"] + d["sets"] + d["deletes"] + d["noops"]
assert d["received"] == carried + refused + d["ignored"], "received"
assert d["sent"] + d["unsent"] == d["received"] - d["ignored"] - d["unanswered"], "sent"
assert d["gets"] == d["hits"] + d["misses"]
assert d["elsewhere"] > 0 and d["unanswered"] == 0
if len(sys.argv) > 3:
    udp, http = (json.load(open(n)) for n in sys.argv[3:5])
    assert carried >= udp["good"], "udp"
    assert d["http_requests"] >= http["good"], "http"
P
cat >pipeline.py <<'P'
"""pipeline.py HOST: many requests in one go, more than a frame of them; all are answered, in order."""
import socket, sys, time
s = socket.create_connection((sys.argv[1], 80), 10)
one = b"GET / HTTP/1.1\r\nHost: x\r\nX-Filler: " + b"y" * 60 + b"\r\n\r\n"
start = time.time()
s.sendall(one * 100 + b"GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
got = b""
while True:
    piece = s.recv(65536)
    if not piece:
        break
    got += piece
print(f"{time.time() - start:.2f} s")
assert got.count(b"HTTP/1.1 200 OK") == 100 and got.count(b"has its counters") == 100
assert got.count(b"HTTP/1.1 404") == 1 and got.endswith(b"Not Found")
P
# Datagrams from senders that are not there: answers go nowhere. Of all kinds that fuzzing and care have
# thought of, in IP, UDP and the store's protocol.
cat >flood <<'P'
use strict;
use Socket;
use Time::HiRes 'time';
my ($host, $seconds) = @ARGV;
socket(my $s, PF_INET, SOCK_RAW, 255) or die "$!"; # IPPROTO_RAW: headers are ours
my $to = sockaddr_in(0, inet_aton($host));
my $dst = inet_aton($host);
sub sum { my $s = unpack("%32n*", $_[0] . (length($_[0]) % 2 ? "\0" : "")); $s = ($s >> 16) + ($s & 0xffff) while $s >> 16; ~$s & 0xffff }
srand 7;
my ($end, $n) = (time + $seconds, 0);
while (time < $end) {
    my $kind = int rand 12;
    my $key = "key" . int rand 50;
    my $data = pack("CCCCvvVV", 1, 1, 0, length $key, 0, 0, $n, 0) . $key;          # a GET
    $data = pack("CCCCvvVV", 1, 2, 0, length $key, 4, 0, $n, 0) . $key . "liar" if $kind == 1;
    $data = substr($data, 0, int rand 16) if $kind == 2;
    substr($data, int rand 8, 1) = chr int rand 256 if $kind == 3;
    $data = pack("CCCCvvVV", 1, 0x81, 0, 0, 0, 0, $n, 0) if $kind == 4;             # a reply
    my ($ulen, $frag) = (8 + length $data, 0);
    $ulen = int rand 65536 if $kind == 5;
    $frag = 0x2000 if $kind == 6;
    $frag = 1 + int rand 180 if $kind == 7;
    my $src = pack("C4", 10, 99, int rand 200, 3 + int rand 250);
    $src = pack("C4", int rand 256, int rand 256, int rand 256, int rand 256) if $kind == 8;
    my $udp = pack("nnnn", 1024 + int rand 60000, $kind == 9 ? 7778 : 7777, $ulen, 0) . $data;
    $udp = substr($udp, 0, int rand 8) if $kind == 10;
    my $c = sum($src . $dst . pack("CCn", 0, 17, length $udp) . $udp) || 0xffff;
    substr($udp, 6, 2) = pack("n", $kind == 11 ? $c ^ 0x1234 : $c) if length $udp >= 8;
    my $ip = pack("CCnnnCCna4a4", 0x45, 0, 20 + length $udp, $n & 0xffff, $frag, 64, 17, 0, $src, $dst);
    send($s, $ip . $udp, 0, $to);
    $n++;
}
print "$n sent\n";
P

stats() { # FILE
    timeout 10 $client curl -sS -m 8 -o "$1" "http://$host/stats" 2>"$dir/out"
}
udp_load() { # RESULT SECONDS
    timeout 40 $client "$WHERRY" load udpkv --load --workload ycsb-b --keys 2000 --value-size 64 --connections 2 --pipeline 16 \
        --seconds "$2" --warmup 0.2 --quiet --out "$1" "$host:7777"
}
http_load() { # RESULT SECONDS
    timeout 40 $client "$WHERRY" load http --path / --connections 8 --seconds "$2" --warmup 0.2 --quiet --out "$1" \
        "$host:80"
}

for symbol in sys_read vfs_open socket_init; do
    ! nm "$WHERRY_B/apps/udpkv-control.elf" | grep -qw "$symbol"
    ok $? "an image with both has no $symbol"
done
serve "7777/udp 80" -m 128M "$WHERRY_B/apps/udpkv-control" -- 5000
wait_for 30 $client curl -sS -m 3 -o before "http://$host/stats"
ok $? "udpkv-control boots, and its control port answers"

udp_load alone-udp 1 >out 2>&1 && $python check.py alone-udp 500 >>out 2>&1
ok $? "the raw service alone: every answer is good"
http_load alone-http 1 >out 2>&1 && $python check.py alone-http 200 >>out 2>&1
ok $? "the TCP service alone: every answer is good"
LIMIT=20 passes "... and to a hundred requests in one go" $client $python pipeline.py "$host"
diag "$(cat out)"

stats before
udp_load both-udp 4 >udp.out 2>&1 &
udp=$!
http_load both-http 4 >http.out 2>&1 &
http=$!
sleep 1.5
$client ip neigh flush dev wt0
LIMIT=20 passes "pings and ARP are answered while both are loaded" $client ping -c 10 -i 0.1 -W 2 -q "$host"
wait $udp && $python check.py both-udp 500 >out 2>&1
ok $? "both at once: every answer of the raw service is good"
diag "$(cat out)"
wait $http && $python check.py both-http 200 >out 2>&1
ok $? "... and every one of the TCP service"
diag "$(cat out)"
stats after && $python counters.py before after both-udp both-http >out 2>&1
ok $? "... and the counters add up"

stats before
$client perl flood "$host" 4 >flood.out 2>&1 &
flood=$!
http_load flood-http 3 >out 2>&1 && $python check.py flood-http 30 >>out 2>&1
ok $? "the TCP service answers during a flood of datagrams from many senders"
diag "$(tail -n 1 out)"
wait $flood
diag "$(cat flood.out)"
stats after && $python counters.py before after >out 2>&1
ok $? "... of which each is carried out or refused for a reason"
diag "$(cat out)"
LIMIT=20 passes "afterwards many requests in one go are answered" $client $python pipeline.py "$host"
udp_load last-udp 1 >out 2>&1 && $python check.py last-udp 500 >>out 2>&1
ok $? "... and the raw service gives good answers"
healthy "nothing to complain of"
finish
