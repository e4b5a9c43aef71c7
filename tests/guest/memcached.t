#!/bin/sh
# Proves that Debian's memcached with four threads passes memcapable, the protocol's own checker, in
# ASCII and binary, answers over UDP, and stands load from many connections. FAR: words for wherry run.
# limit: 150
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need memcached memccapable
[ -x $python ] || plan_skip "there is no $python"

use_tap
# shellcheck disable=SC2086 # words
serve "11211 11211/udp" -m 256M ${FAR:-} memcached -- -u root -t 4 -U 11211 -m 64
cat >"$dir/version.py" <<'P'
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
s.sendall(b"version\r\n")
sys.exit(not s.recv(100).startswith(b"VERSION"))
P
# shellcheck disable=SC2086 # $client is a prefix of words
wait_for 30 $client $python "$dir/version.py" "$host" "$port"
ok $? "memcached boots"

# Each check of memcapable is a test of its own: first ASCII, then binary.
# shellcheck disable=SC2086
timeout 90 $client memccapable -h "$host" -p "$port" >"$dir/out" 2>&1
result=$?
sed -n 's/^\(.*[^ ]\)  *\[\(pass\|FAIL\)\]$/\2 \1/p' "$dir/out" >"$dir/checks"
while read -r verdict name; do
    [ "$verdict" = pass ]
    ok $? "memcapable: $name"
done <"$dir/checks"
[ $result -eq 0 ] && [ "$(grep -c ascii "$dir/checks")" -ge 27 ] &&
    [ "$(grep -c binary "$dir/checks")" -ge 27 ]
ok $? "memcapable: all checks ran"

cat >"$dir/udp.py" <<'P'
"""The UDP protocol (doc/protocol.txt): an 8-byte frame header, then ASCII."""
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
s.connect((sys.argv[1], int(sys.argv[2])))
def ask(i, text):
    s.send(struct.pack(">HHHH", i, 0, 1, 0) + text)
    got = s.recv(2000)
    assert struct.unpack(">H", got[:2])[0] == i, got
    return got[8:]
assert ask(1, b"set u 0 0 5\r\nhello\r\n") == b"STORED\r\n"
for i in range(2, 500):
    assert ask(i, b"get u\r\n") == b"VALUE u 0 5\r\nhello\r\nEND\r\n"
P
# shellcheck disable=SC2086
passes "UDP" $client $python "$dir/udp.py" "$host" "$port_11211"
if command -v memcslap >/dev/null; then
    # shellcheck disable=SC2086
    LIMIT=60 passes "memcslap, 20 connections" $client memcslap --servers="$host:$port" \
        --concurrency=20 --execute-number=500 --initial-load=1000 --test=get
    ! grep -qi 'fail\|error' "$dir/out"
    ok $? "... without errors"
fi
healthy "nothing to complain of"
finish
