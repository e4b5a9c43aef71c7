#!/bin/sh
# Redis's own test suite, as Debian's source package has it, in its external-server mode against
# redis-server in a guest. Each of its tests is one here. Those in redis-suite.skip, which need fork,
# are left out; those that the suite itself leaves out for external servers are counted.
# REDIS_SUITE=all adds the tests that the suite calls slow.
# limit: 420
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need redis-server redis-cli tclsh perl
skipfile=$top/tests/guest/redis-suite.skip

if [ "${REDIS_SUITE:-}" = all ]; then
    limit=7000
    tags=
else
    limit=400
    tags="--tags -slow"
fi
# The suite expects requests of two connections in the order in which they were sent, and the
# user-mode network does not keep it.
use_tap || plan_skip "needs a tap interface"
if [ ! -f "$WHERRY_B/src/redis/runtest" ]; then
    "$top/scripts/fetch-src" redis "$WHERRY_B/src/redis" runtest tests >"$dir/out" 2>&1 ||
        plan_skip "cannot fetch Redis's source package: $(tail -n 1 "$dir/out")"
fi
cp -r "$WHERRY_B/src/redis" "$dir/redis"
mkdir -p "$dir/redis/src"
rm -f "$dir"/redis/src/redis-*
for program in cli benchmark server; do
    ln -s "$(command -v redis-$program)" "$dir/redis/src/redis-$program"
done
grep -v '^#' "$skipfile" | grep . >"$dir/skip"

# With the append-only file on from the start: turning it on later takes a fork.
serve 6379 -m 2G redis-server -- --save '' --protected-mode no --enable-debug-command yes \
    --enable-protected-configs yes --appendonly yes --auto-aof-rewrite-percentage 0
# shellcheck disable=SC2086 # $client and $tags are words
wait_for 30 $client redis-cli -h "$host" -p "$port" ping
ok $? "redis-server boots"
cd "$dir/redis" || exit 1
# shellcheck disable=SC2086
timeout -k 5 $limit $client tclsh tests/test_helper.tcl --host "$host" --port "$port" --singledb \
    --durable --timeout 120 --skipfile "$dir/skip" $tags >"$dir/log" 2>&1
status=$?
perl -pe 's/\e\[[0-9;]*m//g' "$dir/log" >"$dir/out"

sed -n 's/^\[\([a-z]*\)\]: \(.*\)/\1 \2/p' "$dir/out" | sed 's/#/no. /g' >"$dir/results"
while read -r verdict name; do
    case $verdict in
    ok) echo "ok $((nr += 1)) - ${name% (*}" ;;
    err | exception | timeout)
        echo "not ok $((nr += 1)) - $name"
        failed=1
        ;;
    skip) skip "$name" "needs fork" ;;
    esac
done <"$dir/results"
diag "left out by the suite itself: $(grep -c '^ignore' "$dir/results") tests or blocks"
if [ $failed -ne 0 ]; then
    grep -A 6 '^\[err\]\|^\[exception\]\|^\[timeout\]' "$dir/out" | head -n 200 | sed 's/^/# /'
fi
grep -q 'All tests passed without errors' "$dir/out"
ok $? "the suite came to its end and is content (status $status)"
healthy "nothing to complain of"
finish
