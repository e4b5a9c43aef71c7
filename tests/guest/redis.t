#!/bin/sh
# Proves that Debian's redis-server serves redis-benchmark's commands without an error, keeps what
# it is given, holds thousands of connections at once, and gives back what they took.
# limit: 240
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need redis-server redis-cli redis-benchmark
CONNECTIONS=${CONNECTIONS:-10000}
[ -x $python ] || plan_skip "there is no $python"

use_tap || CONNECTIONS=200
cli() {
    client redis-cli -h "$host" -p "$port" "$@"
}
bench() { # NAME ARGS...: a benchmark without errors
    bench_name=$1
    shift
    # shellcheck disable=SC2086 # a prefix of words
    LIMIT=100 passes "$bench_name" $client redis-benchmark -h "$host" -p "$port" -q "$@"
    if [ "$(grep -c 'requests per second' "$dir/out")" -eq 0 ] || grep -qi error "$dir/out"; then
        ok 1 "$bench_name: results"
    else
        tr '\r' '\n' <"$dir/out" | grep 'per second' | sed 's/^/# /'
    fi
}

serve 6379 -m 256M redis-server -- --save '' --protected-mode no --maxclients 11000
# shellcheck disable=SC2086 # a prefix of words
wait_for 30 $client redis-cli -h "$host" -p "$port" ping
ok $? "redis-server boots"
[ "$(cli ping)" = PONG ]
ok $? "PING"

head -c 5000000 /dev/urandom | base64 -w0 >"$dir/value"
cli -x set large <"$dir/value" >"$dir/out" 2>&1 && cli --raw get large | head -c -1 |
    cmp - "$dir/value" >>"$dir/out" 2>&1
ok $? "a value of 6.7 MB goes and comes back"
cli set key 1 px 300 >/dev/null && [ "$(cli get key)" = 1 ] && sleep 0.5 && [ -z "$(cli get key)" ]
ok $? "a key expires after its time"
[ "$(cli eval 'return redis.call("incrby", KEYS[1], 41) + 1' 1 n)" = 42 ]
ok $? "Lua runs"
before=$(cli info clients | tr -d '\r' | sed -n 's/^connected_clients://p')

bench "30 connections" -n 20000 -c 30 -t get,set,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset
bench "30 connections, pipelines of 16" -n 200000 -c 30 -P 16 -t get,set
bench "one connection" -n 3000 -c 1 -t ping
bench "values of 100 KB" -n 1000 -c 10 -d 100000 -t get,set
bench "a connection for each request" -n 1500 -c 20 -k 0 -t ping

[ "$CONNECTIONS" -gt 200 ] || diag "$CONNECTIONS connections only"
cat >"$dir/many.py" <<'P'
"""Opens N connections, has each served in turn, twice; then all send at once; then closes them."""
import resource, selectors, socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, max(count + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
conns = []
def expect(s):
    got = b''
    while len(got) < 7:
        more = s.recv(7 - len(got))
        if not more:
            sys.exit("connection closed by the server")
        got += more
    if got != b'+PONG\r\n':
        sys.exit("wrong answer %r" % got)
for i in range(count):
    s = socket.create_connection((host, port), timeout=20)
    conns.append(s)
print(len(conns), "connections")
for turn in range(2):
    for s in conns:
        s.sendall(b'PING\r\n')
        expect(s)
print("served in turn")
for s in conns:
    s.sendall(b'PING\r\n')
for s in conns:
    expect(s)
print("served at once")
for s in conns:
    s.close()
P
# shellcheck disable=SC2086
LIMIT=120 passes "$CONNECTIONS connections are held and served" $client $python "$dir/many.py" \
    "$host" "$port" "$CONNECTIONS"
sed 's/^/# /' "$dir/out"
gone=1
for _ in $(seq 120); do
    [ "$(cli info clients | tr -d '\r' | sed -n 's/^connected_clients://p')" = "$before" ] &&
        gone=0 && break
    sleep 0.5
done
ok $gone "none of them is left"
cli info clients >"$dir/out"
healthy "nothing to complain of"

cli shutdown nosave >"$dir/out" 2>&1
wait "$guest"
ok $? "SHUTDOWN ends the guest with status 0"
finish
