#!/bin/sh
# Proves that the key-value store's Linux programs, udpkv-socket and udpkv-batch, run unmodified: every answer
# under load is verified, small and large values, bursts, expiry; bad datagrams leave them as they are.
# limit: 150
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
[ -x "$python" ] || plan_skip "there is no $python"
for program in udpkv-socket udpkv-batch; do
    [ -x "$WHERRY_B/apps/$program" ] || plan_skip "there is no $WHERRY_B/apps/$program (make apps)"
done

use_tap
cat >"$dir/ask.py" <<'P'
"""Datagrams by hand: NOOP until it is answered; with a third word also bad ones, and expiry."""
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.connect((sys.argv[1], int(sys.argv[2])))
def head(op, status=0, key=0, value=0, ttl=0, id=1, version=1):
    return struct.pack("<BBBBHHQ", version, op, status, key, value, ttl, id)
def ask(datagram):
    for _ in range(5): # datagrams may be lost
        s.send(datagram)
        try:
            return s.recv(4096)
        except socket.timeout:
            pass
    sys.exit("no answer")
if ask(head(4)) != head(0x84):
    sys.exit("no NOOP")
if len(sys.argv) > 3:
    for bad in (b"", b"x", head(1)[:15], head(0x81, key=3) + b"key", bytes(1400), b"\xff" * 64):
        s.send(bad)
    for bad, status in ((head(1, key=3), 2), (head(1, key=5) + b"key", 2), (head(2, key=3, value=65535) + b"keyv", 2),
                        (head(1, key=251) + bytes(251), 3), (head(9, key=3) + b"key", 6), (head(1, version=7), 5)):
        for _ in range(8): # answers to the others may come first
            got = ask(bad)
            if got == head(bad[1] | 0x80, status):
                break
        else:
            sys.exit(f"{bad[:20]}: {got}")
    s.settimeout(0.2)
    try:
        while True:
            s.recv(4096)
    except socket.timeout:
        s.settimeout(1)
    assert ask(head(2, key=5, value=4, ttl=1) + b"shortlife") == head(0x82)
    assert ask(head(1, key=5) + b"short") == head(0x81, value=4) + b"life"
    time.sleep(2.2)
    assert ask(head(1, key=5) + b"short") == head(0x81, 1)
P
cat >"$dir/check.py" <<'P'
"""A result in which nothing was wrong, and hardly anything lost."""
import json, sys
r = json.load(open(sys.argv[1]))
e = r["errors"]
print(r["sent"], "sent,", r["good"], "good,", e)
sys.exit(not (r["sent"] > 500 and e["wrong"] == e["protocol"] == 0 and r["good"] >= 0.99 * r["sent"]))
P

for program in udpkv-socket udpkv-batch; do
    serve 7777/udp -m 128M "$WHERRY_B/apps/$program" -- -n 5000 -v 1024
    # shellcheck disable=SC2086 # $client is a prefix of words
    wait_for 30 $client $python "$dir/ask.py" "$host" "$port"
    ok $? "$program boots"
    for words in "get --value-size 64" "ycsb-b --value-size 64 --key-dist uniform" "ycsb-a --value-size 1024" \
        "ycsb-f --value-size 1408"; do
        # shellcheck disable=SC2086 # words
        timeout 40 $client "$WHERRY" load udpkv --load --keys 2000 --connections 2 --pipeline 16 --seconds 1 \
            --out "$dir/result" --quiet --workload $words "$host:$port" >"$dir/out" 2>&1 </dev/null &&
            $python "$dir/check.py" "$dir/result" >"$dir/out" 2>&1
        ok $? "$program: $words: every answer is good"
    done
    # shellcheck disable=SC2086
    passes "$program: bad datagrams, expiry" $client $python "$dir/ask.py" "$host" "$port" all
    # shellcheck disable=SC2086
    wait_for 5 $client $python "$dir/ask.py" "$host" "$port"
    healthy "$program: nothing to complain of"
    stop
done
serve 7777/udp -m 64M "$WHERRY_B/apps/udpkv-batch" -- -e
cat >"$dir/echo.py" <<'P'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.connect((sys.argv[1], int(sys.argv[2])))
s.send(b"hello")
sys.exit(s.recv(100) != b"hello")
P
# shellcheck disable=SC2086
wait_for 30 $client $python "$dir/echo.py" "$host" "$port"
ok $? "udpkv-batch -e boots, and echoes"
healthy "nothing to complain of"
finish
