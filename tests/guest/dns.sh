# What is asked of any DNS server: 10,000 queries, each answered. Sourced behind lib.sh.
# shellcheck shell=sh disable=SC2034,SC2154 # variables of lib.sh and for it

# The zone example.test: 1,000 names with an address of each family.
make_names() {
    i=0
    while [ $i -lt 1000 ]; do
        echo "n$i 10.1.$((i / 250)).$((i % 250 + 1)) fd00::$i"
        i=$((i + 1))
    done >"$dir/names"
    while read -r name _ _; do
        echo "$name.example.test A"
        echo "$name.example.test AAAA"
    done <"$dir/names" >"$dir/queries1"
    for _ in 1 2 3 4 5; do
        cat "$dir/queries1"
    done >"$dir/queries"
}

cat >"$dir/ask.py" <<'P'
"""ask.py HOST PORT NAME TYPE [tcp]: prints the answers' data, one a line."""
import socket, struct, sys
host, port, name, qtype = sys.argv[1], int(sys.argv[2]), sys.argv[3], {'A': 1, 'AAAA': 28, 'TXT': 16}[sys.argv[4]]
query = struct.pack('>HHHHHH', 4711, 0x100, 1, 0, 0, 0)
query += b''.join(bytes([len(p)]) + p.encode() for p in name.split('.')) + b'\0' + struct.pack('>HH', qtype, 1)
if 'tcp' in sys.argv:
    s = socket.create_connection((host, port), 5)
    s.sendall(struct.pack('>H', len(query)) + query)
    f = s.makefile('rb')
    answer = f.read(struct.unpack('>H', f.read(2))[0])
else:
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(3)
    s.connect((host, port))
    s.send(query)
    answer = s.recv(65535)
ident, flags, _, count, _, _ = struct.unpack('>HHHHHH', answer[:12])
assert ident == 4711 and flags & 0x8000, flags
if flags & 15:
    print('rcode', flags & 15)
at = len(query)
for _ in range(count):
    while answer[at] and answer[at] < 192:
        at += answer[at] + 1
    at += 2 if answer[at] else 1
    rtype, _, _, n = struct.unpack('>HHIH', answer[at:at + 10])
    data = answer[at + 10:at + 10 + n]
    at += 10 + n
    if rtype in (1, 28):
        print(socket.inet_ntop(socket.AF_INET if rtype == 1 else socket.AF_INET6, data))
P

ask() {
    # shellcheck disable=SC2086 # a prefix of words
    timeout 10 $client $python "$dir/ask.py" "$host" "$port" "$@" 2>"$dir/out"
}

try_dns() {
    [ "$(ask n7.example.test A)" = 10.1.0.8 ]
    ok $? "an address by UDP"
    [ "$(ask n999.example.test AAAA)" = fd00::999 ]
    ok $? "an IPv6 address"
    [ "$(ask n300.example.test A tcp)" = 10.1.1.51 ]
    ok $? "an address by TCP"
    [ "$(ask nothing.example.test A)" = "rcode 3" ]
    ok $? "a name that does not exist"
    for clients in 1 20; do
        # shellcheck disable=SC2086
        timeout 60 $client dnsperf -s "$host" -p "$port" -d "$dir/queries" -c $clients -n 1 -l 50 \
            >"$dir/out" 2>&1
        grep -q 'Queries sent: *10000$' "$dir/out" &&
            grep -q 'Queries completed: *10000 (100.00%)' "$dir/out" &&
            grep -q 'Response codes: *NOERROR 10000 (100.00%)' "$dir/out"
        ok $? "dnsperf, $clients clients: 10,000 queries, every answer received"
        sed -n 's/^ *Queries per second/# Queries per second/p' "$dir/out"
    done
    # shellcheck disable=SC2086
    timeout 60 $client dnsperf -m tcp -s "$host" -p "$port" -d "$dir/queries" -c 5 -n 1 -l 50 \
        >"$dir/out" 2>&1
    grep -q 'Queries completed: *10000 (100.00%)' "$dir/out"
    ok $? "dnsperf over TCP: 10,000 queries, every answer received"
}
