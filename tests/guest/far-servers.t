#!/bin/sh
# Proves that Debian's servers pass their own tests with an eighth of their memory here and the rest on a memory node:
# memcached.t (memcapable, ASCII and binary, then UDP and many connections) and redis-suite.t (one unit of Redis's own
# suite; FAR_SUITE=all, as make soak has it, runs all of it), which are run as they are. FAR_LOCAL says how much is
# here; less than 128 pages it never is. 15 s.
# limit: 300
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need memcached memccapable redis-server redis-cli tclsh perl
[ -c /dev/net/tun ] || plan_skip "needs a tap interface"
suite=${FAR_SUITE:-incr}
local=${FAR_LOCAL:-12.5%}

# passes_far NAME MINIMUM FILE: it says "ok" at least so often, never "not ok", and its pages were away.
passes_far() {
    far_name=$1
    minimum=$2
    file=$3
    rm -f "$dir/node"
    "$WHERRY" memnode --memory 1G --netdev "stream:$dir/node" --drain 0 >"$dir/log" 2>&1 </dev/null &
    node=$!
    guests="$guests $node"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -S "$dir/node" ] && break
        sleep 0.1
    done
    FAR="--far unix:$dir/node,size=1G,local=$local,prefetch=sequential" REDIS_SUITE=$suite sh "$top/tests/guest/$file" >"$dir/tap" 2>&1 </dev/null
    status=$?
    cp "$dir/tap" "$dir/out"
    good=$(grep -c '^ok' "$dir/tap")
    [ $status -eq 0 ] && [ "$good" -ge "$minimum" ] && ! grep '^not ok' "$dir/tap"
    ok $? "$far_name: $good tests" || sed -n '/^not ok/,/^ok/s/^/# /p' "$dir/tap" | head -n 50
    stop_process $node
    reads=$(sed -n 's/.*"reads": *\([0-9]*\).*/\1/p' "$dir/log" | tail -n 1)
    [ "${reads:-0}" -ge 100 ]
    ok $? "... with ${reads:-no} pages fetched"
}

passes_far "memcached" 54 memcached.t
passes_far "Redis's suite, $suite" 25 redis-suite.t
finish
