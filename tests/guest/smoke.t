#!/bin/sh
# Proves the one thing that must always hold: redis-server boots, answers, and ends with a status.
# limit: 60
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need redis-server redis-cli redis-benchmark

serve 6379 redis-server -- --save '' --protected-mode no
wait_for 30 redis-cli -h "$host" -p "$port" ping
ok $? "redis-server boots"
passes "it stores" redis-cli -h "$host" -p "$port" set key value
passes "... and answers" redis-cli -h "$host" -p "$port" get key
contains "... with what was stored" value
if command -v ss >/dev/null; then
    # QEMU itself leaves room for one.
    ss -Hltn "sport = :$port" >"$dir/out" 2>&1
    awk '$3 >= 50 { ok = 1 } END { exit !ok }' "$dir/out"
    ok $? "the forwarded port has room for fifty clients that wait to be accepted"
else
    skip "the forwarded port has room for clients that wait" "there is no ss"
fi
LIMIT=20 passes "... and fifty clients that come at once" \
    redis-benchmark -h "$host" -p "$port" -c 50 -n 2000 -t get -q
healthy "nothing to complain of"
redis-cli -h "$host" -p "$port" shutdown nosave >"$dir/out" 2>&1
wait "$guest"
ok $? "SHUTDOWN ends the guest with status 0"
finish
