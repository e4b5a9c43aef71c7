#!/bin/sh
# Proves that a guest has several network cards: a raw service on each, with addresses by the command line
# and by the program; TCP on the first beside a raw service on the second; a Linux program on both; and that
# one card's packets are not the other's.
# limit: 120
# shellcheck disable=SC1091,SC2154,SC2086 # lib.sh's variables; $client is words
. "$(dirname "$0")/lib.sh"
need gcc ping memcached
[ -x "$python" ] || plan_skip "there is no $python"
[ -f "$WHERRY_B/native/config" ] || plan_skip "there is no $WHERRY_B/native/config (make apps)"
use_tap || plan_skip "needs a tap interface"
if ! { ip -n "$netns" tuntap add dev wt1 mode tap && ip -n "$netns" addr add 10.98.0.1/24 dev wt1 &&
    ip -n "$netns" link set wt1 up; } 2>"$dir/out"; then
    plan_skip "cannot make a second tap interface"
fi
# Nothing comes but what is sent here.
$client sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6' 2>/dev/null
cd "$dir" || exit 1
one=10.99.0.2
two=10.98.0.2
first=tap:wt0,ip=$one/24,gw=10.99.0.1
second=tap:wt1,ip=$two/24

boot() { # OPTIONS...
    guest_number=$((${guest_number:-0} + 1))
    console=$dir/console$guest_number
    $client "$WHERRY" run -q --timeout 100 "$@" >"$console" 2>&1 </dev/null &
    guest=$!
    guests="$guests $guest"
}

cat >ask.py <<'P'
"""ask.py HOST PORT TEXT WANTED: a UDP service answers so."""
import socket, sys
host, port, text, wanted = sys.argv[1:]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.5)
for _ in range(40):
    try:
        s.sendto(text.encode(), (host, int(port)))
        got, who = s.recvfrom(2048)
        assert got.decode() == wanted and who == (host, int(port)), (got, who)
        sys.exit(0)
    except (TimeoutError, ConnectionRefusedError):
        pass
sys.exit("no answer")
P
cat >turns.py <<'P'
"""turns.py ONE TWO: many datagrams to both cards in turns and in bursts; each has its answer."""
import select, socket, sys
a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in "ab")
a.connect((sys.argv[1], 7777))
b.connect((sys.argv[2], 8888))
for i in range(300):
    want = {a: [], b: []}
    for k in range(1 + i % 7):
        text = f"question {i} {k} of many"
        for s in ((a, b) if i % 3 else (b,)):
            s.send(text.encode())
            want[s].append(text.upper() if s is a else text[::-1])
    while want[a] or want[b]:
        ready = select.select([s for s in want if want[s]], [], [], 3)[0]
        assert ready, (i, want)
        for s in ready:
            want[s].remove(s.recv(2048).decode())
P
cat >lines.py <<'P'
"""lines.py HOST: a line comes back in capitals."""
import socket, sys
s = socket.create_connection((sys.argv[1], 7777), 3)
for i in range(50):
    s.sendall(b"line %d\n" % i)
    got = b""
    while not got.endswith(b"\n"):
        got += s.recv(100)
    assert got == b"LINE %d\n" % i, got
P
cat >nap.py <<'P'
"""nap.py HOST: one that came while the program took none, to the queue that it then does not wait for."""
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
s.connect((sys.argv[1], 8888))
s.send(b"nap")
assert s.recv(100) == b"pan"
time.sleep(0.1)
s.send(b"hello")
assert s.recv(100) == b"olleh"
P
asks() { # NAME HOST PORT TEXT WANTED
    LIMIT=30 passes "$1" $client $python ask.py "$2" "$3" "$4" "$5"
}
silent() { # NAME HOST PORT
    ! timeout 10 $client $python -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.2)
s.connect(('$2', $3))
for _ in range(2):
    s.send(b'hello')
    try:
        s.recv(2048)
        break
    except OSError:
        pass
else:
    raise SystemExit(1)" >/dev/null 2>&1
    ok $? "$1"
}

passes "a program with two cards" "$WHERRY" cc -o cards "$top/tests/guest/cards.c"
for machine in microvm q35 microvm-noacpi; do
    boot --machine $machine --net "$first" --net "$second" ./cards
    asks "$machine: the first card's service answers" $one 7777 hello HELLO
    asks "... and the second's" $two 8888 hello olleh
    LIMIT=30 passes "... both, in turns and in bursts" $client $python turns.py $one $two
    LIMIT=20 passes "... one that came during a nap, too" $client $python nap.py $two
    silent "... and neither on the other card" $two 7777
    LIMIT=20 passes "... pings are answered on the first" $client ping -c 2 -i 0.2 -W 2 $one
    LIMIT=20 passes "... and on the second" $client ping -c 2 -i 0.2 -W 2 $two
    healthy "... without a complaint"
    stop
done

boot --net "$first" --net tap:wt1,ip=10.98.0.77/24 ./cards -- after 0300620a 00ffffff
asks "an address that the program gives its card is answered" 10.98.0.3 8888 hello olleh
LIMIT=20 passes "... pings, too" $client ping -c 2 -i 0.2 -W 2 10.98.0.3
silent "... and the one before it is no more" 10.98.0.77 8888
asks "... and the other card has its own" $one 7777 hello HELLO
stop

{ echo "#define CARDS_TCP" && cat "$top/tests/guest/cards.c"; } >cards-tcp.c
passes "a program with TCP on one card and a raw service on the other" "$WHERRY" cc -o cards-tcp cards-tcp.c
boot --net "$first" --net "$second" ./cards-tcp
wait_for 20 $client $python lines.py $one
ok $? "... TCP on the first card"
asks "... the raw service on the second" $two 8888 hello olleh
LIMIT=20 passes "... TCP still" $client $python lines.py $one
LIMIT=20 passes "... pings are answered on the second" $client ping -c 2 -i 0.2 -W 2 $two
healthy "... without a complaint"
stop
boot --net "$first" --net tap:wt1,ip=10.98.0.77/24 ./cards-tcp -- before 0300620a 00ffffff
asks "... with an address that the program gives the second" 10.98.0.3 8888 hello olleh
LIMIT=20 passes "... where the stack answers pings" $client ping -c 2 -i 0.2 -W 2 10.98.0.3
stop

boot --net "$first" --net "$second" memcached -- -u root
for address in $one $two; do
    wait_for 30 $client $python -c "
import socket
s = socket.create_connection(('$address', 11211), 2)
s.sendall(b'version\r\n')
assert s.recv(100).startswith(b'VERSION')"
    ok $? "memcached answers on $address"
done
healthy "... without a complaint"
stop
finish
