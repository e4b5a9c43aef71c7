#!/bin/sh
# Proves that several pairs of queues of a network card carry traffic at once, and that nothing is lost or
# wrong on any: a raw service and the TCP/IP stack, native and of a Debian binary, on a tap interface with
# two queues; the raw service behind vhost-user. And that a guest which is told to use one uses one.
# limit: 120
# shellcheck disable=SC1091,SC2154,SC2086 # lib.sh's variables; $client is words
. "$(dirname "$0")/lib.sh"
need gcc curl tc memcached
[ -x "$python" ] || plan_skip "there is no $python"
[ -f "$WHERRY_B/native/config" ] || plan_skip "there is no $WHERRY_B/native/config (make apps)"
use_tap || plan_skip "needs a tap interface"
if ! { ip -n "$netns" tuntap add dev wq0 mode tap multi_queue && ip -n "$netns" addr add 10.98.0.1/24 dev wq0 &&
    ip -n "$netns" link set wq0 up; } 2>"$dir/out"; then
    plan_skip "cannot make a tap interface with several queues"
fi
cd "$dir" || exit 1
host=10.98.0.2

boot() { # OPTIONS...: a guest on the interface with two queues
    guest_number=$((${guest_number:-0} + 1))
    console=$dir/console$guest_number
    $client "$WHERRY" run -q --timeout 100 --net tap:wq0,ip=$host/24,gw=10.98.0.1,queues=2 "$@" >"$console" 2>&1 \
        </dev/null 3>&- &
    guest=$!
    guests="$guests $guest"
}

cat >ask.py <<'P'
"""ask.py HOST TEXT: what a UDP service answers to it."""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.5)
for _ in range(40):
    try:
        s.sendto(sys.argv[2].encode(), (sys.argv[1], 7777))
        print(s.recv(2048).decode())
        sys.exit(0)
    except (TimeoutError, ConnectionRefusedError):
        pass
sys.exit("no answer")
P
cat >sizes.py <<'P'
"""sizes.py HOST: from many ports, one by one to a guest that sleeps, and then many at once of all lengths, every
answer is what was sent."""
import random, select, socket, sys, time
random.seed(4)
n = 0
socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(64)]
for s in socks:
    s.connect((sys.argv[1], 7777))
    s.settimeout(2)
    time.sleep(0.01)
    s.send(b"awake?")
    assert s.recv(100) == b"awake?"
for length in list(range(1, 1473, 23)) + [1472]:
    want = {}
    for s in random.sample(socks, 16):
        want[s] = random.randbytes(length)
        s.send(want[s])
    while want:
        ready = select.select(list(want), [], [], 2)[0]
        assert ready, f"{len(want)} of {length} bytes are not answered"
        for s in ready:
            assert s.recv(2048) == want.pop(s), length
            n += 1
print(n, "answers")
P
cat >good.py <<'P'
"""good.py RESULT GOOD: of a load, nothing was wrong or lost, and at least so many answers came."""
import json, sys
r = json.load(open(sys.argv[1]))
print(r["sent"], "sent,", r["good"], "good,", r["errors"])
sys.exit(not (r["good"] >= int(sys.argv[2]) and sum(r["errors"].values()) == 0))
P
cat >judge.py <<'P'
"""judge.py PAIRS SHARE: what pairs.c told last, on standard input, has so many pairs; each had that share of the packets
at least, as many answers left by each as came by it (but for one, or what is no datagram of ours), and each
has waked a guest that slept."""
import re, sys
text = [line for line in sys.stdin.read().splitlines() if line.startswith("pairs=")][-1]
print(text)
pairs, share = int(sys.argv[1]), float(sys.argv[2])
rx = [int(v) for v in re.findall(r"rx\d=(\d+)", text)]
tx = [int(v) for v in re.findall(r"tx\d=(\d+)", text)]
assert f"pairs={pairs} " in text and len(rx) == len(tx) == pairs
assert all(n >= share * sum(rx) for n in rx), "share"
assert all(int(v) > 0 for v in re.findall(r"irq\d=(\d+)", text)), "interrupts"
assert all(0 <= n - m <= 30 for n, m in zip(rx, tx)), "answers"
P
# What Linux has put into each queue of the interface since the last call: both have had so many packets.
shares() { # LEAST
    $client tc -s qdisc show dev wq0 >"$dir/qdisc"
    $python - "$1" <<'P'
import re, sys
now = {q: int(n) for q, n in re.findall(r"parent :([12]) .*?\n Sent \d+ bytes (\d+) pkt", open("qdisc").read())}
try:
    before = eval(open("before").read())
except FileNotFoundError:
    before = {"1": 0, "2": 0}
open("before", "w").write(repr(now))
print({q: now[q] - before[q] for q in now})
sys.exit(not all(now[q] - before[q] >= int(sys.argv[1]) for q in ("1", "2")))
P
}

passes "a program that tells of its pairs" "$WHERRY" cc -o pairs "$top/tests/guest/pairs.c"
for machine in microvm q35; do
    boot --machine $machine ./pairs
    LIMIT=30 passes "$machine: a raw service on two pairs answers" $client $python ask.py $host hello
    LIMIT=30 passes "... datagrams of all lengths from many ports" $client $python sizes.py $host
    timeout 30 $client "$WHERRY" load udp --seconds 1 --warmup 0.2 --connections 32 --size 200 --quiet --out load.json \
        $host:7777 >out 2>&1 && $python good.py load.json 500 >out 2>&1
    ok $? "... a load, without loss"
    $client $python ask.py $host stats 2>out | $python judge.py 2 0.1 >>out 2>&1
    ok $? "... by both pairs, and the answers go where the questions came from"
    shares 200 >out
    ok $? "... as Linux saw it"
    diag "$(cat out)"
    healthy "... without a complaint"
    stop
done

boot --append wherry.net.queues=1 ./pairs
LIMIT=30 passes "with wherry.net.queues=1 a raw service answers" $client $python ask.py $host hello
LIMIT=30 passes "... datagrams from many ports" $client $python sizes.py $host
$client $python ask.py $host stats 2>out | $python judge.py 1 1 >>out 2>&1
ok $? "... by one pair"
stop

boot --append wherry.net.queues=2 memcached -- -u root
wait_for 30 $client $python -c "import socket; socket.create_connection(('$host', 11211), 2)"
ok $? "memcached on two pairs boots"
shares 0 >out
timeout 40 $client "$WHERRY" load memcached --seconds 1 --warmup 0.2 --connections 32 --size 2000 --keys 500 --load --quiet \
    --out load.json $host:11211 >out 2>&1 && $python good.py load.json 500 >out 2>&1
ok $? "... and every answer is good"
shares 200 >>out
ok $? "... with segments on both"
diag "$(cat out)"
healthy "... without a complaint"
stop

if [ -x "$WHERRY_B/apps/udpkv-control" ]; then
    boot -m 128M "$WHERRY_B/apps/udpkv-control" -- 5000
    wait_for 30 $client curl -sS -m 3 -o before "http://$host/stats"
    ok $? "a raw service and TCP on two pairs boot"
    rm -f before
    shares 0 >out
    timeout 40 $client "$WHERRY" load udpkv --load --keys 2000 --value-size 64 --connections 16 --pipeline 4 --seconds 1 --warmup 0.2 --quiet \
        --out udp.json $host:7777 >udp.out 2>&1 &
    udp=$!
    timeout 40 $client "$WHERRY" load http --path / --connections 16 --seconds 1 --warmup 0.2 --quiet --out load.json \
        $host:80 >out 2>&1 && $python good.py load.json 200 >out 2>&1
    ok $? "... every answer by TCP is good"
    diag "$(cat out)"
    wait $udp
    cat udp.out >out
    $python good.py udp.json 500 >>out 2>&1
    ok $? "... and of the raw service"
    diag "$(cat out)"
    shares 200 >out
    ok $? "... by both pairs"
    diag "$(cat out)"
    healthy "... without a complaint"
    stop
else
    skip "a raw service and TCP" "there is no udpkv-control"
fi

$client "$WHERRY" run -q --net tap:wq0,ip=$host/24 ./pairs >out 2>&1
[ $? -eq 125 ] && grep -q 'say how many' out
ok $? "one queue of an interface made for several: a line says so"
$client "$WHERRY" run -q --net tap:wt0,ip=$host/24,queues=2 ./pairs >out 2>&1
[ $? -eq 125 ] && grep -q 'made for one queue' out
ok $? "two of one made for one: a line says so"

# ---- Behind vhost-user: the peer deals its frames out to the queues in turn ----
behind_vhost() { # NAME WORDS LEAST-SHARE
    socket=$dir/net.sock
    rm -f "$socket"
    timeout -k 5 60 "$WHERRY" pktgen --socket "$socket" --queues 2 --echo --seconds 1 --window 64 --ports 64 \
        >result 2>peer.err &
    peer=$!
    n=0
    while [ ! -S "$socket" ] && [ $n -lt 100 ]; do
        sleep 0.1
        n=$((n + 1))
    done
    guest_number=$((guest_number + 1))
    console=$dir/console$guest_number
    "$WHERRY" run -q --timeout 60 --machine q35 --net "vhost-user:$socket,ip=10.77.0.2/24,gw=10.77.0.1,queues=2$2" \
        ./pairs >"$console" 2>&1 </dev/null &
    guest=$!
    guests="$guests $guest"
    wait $peer
    $python good.py result 2000 >out 2>&1
    ok $? "$1: echoes by two pairs, none lost or wrong"
    diag "$(cat out)"
    $python judge.py 2 "$3" <"$console" >out 2>&1
    ok $? "... each had its share"
    diag "$(cat out)"
    healthy "... without a complaint"
    stop
}
if [ -x "$WHERRY_B/bin/wherry-pktgen" ]; then
    behind_vhost "split rings" "" 0.3
    behind_vhost "packed rings" ",packed=on" 0.3
else
    skip "vhost-user" "there is no wherry-pktgen, which needs DPDK (scripts/deps dpdk)"
fi
finish
