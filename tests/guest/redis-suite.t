#!/bin/sh
# Redis's own test suite, as Debian's source package has it, in its external-server mode against
# redis-server in a guest. Each of its tests is one here. Those in redis-suite.skip, which need fork,
# are left out; those that the suite itself leaves out for external servers are counted.
# REDIS_SUITE=all adds the tests that the suite calls slow; else it may name units (of data types: list, or others:
# unit/scan). FAR: words for wherry run, of far memory. With an eighth here all takes hours, most of it in a few tests
# whose data are used at random: latency-monitor's set of a million is filled and deleted by some misses a member.
# limit: 1020
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need redis-server redis-cli tclsh perl
skipfile=$top/tests/guest/redis-suite.skip

silence=300 # seconds in which no test ends
if [ "${REDIS_SUITE:-}" = all ]; then
    limit=3500
    tags=
    if [ -n "${FAR:-}" ]; then
        limit=10800
        silence=5400
    fi
else
    limit=480
    tags="--tags -slow"
fi
GUEST_LIMIT=$((limit + 60))
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

# The suite turns the append-only file on where a test needs it, which takes a fork. The units with
# such tests get a server that has it from the start; the others do not, since each reload of the
# file would repeat all that was done before. expire comes first: seconds count in it.
aof_units="unit/expire unit/type/stream unit/type/stream-cgroups unit/functions unit/scripting
    unit/multi unit/other"
with_aof=
without_aof=
for unit in $aof_units; do
    with_aof="$with_aof --single $unit"
    without_aof="$without_aof --skipunit $unit"
done

run_suite() { # NAME SERVER-OPTIONS SUITE-OPTIONS
    # A clock half a second ahead: the suite takes this host's for the server's, and a key that is
    # to die at "now + 10 s" must not live for 10.001.
    # shellcheck disable=SC2086 # words
    serve 6379 -m 2G ${FAR:-} --append "wherry.time=$(($(date +%s%3N) + 600))" redis-server -- --save '' \
        --protected-mode no --enable-debug-command yes --enable-protected-configs yes $2
    # shellcheck disable=SC2086
    wait_for 30 $client redis-cli -h "$host" -p "$port" ping
    ok $? "$1: redis-server boots" || return
    # shellcheck disable=SC2086
    (cd "$dir/redis" && exec timeout -k 5 $limit $client tclsh tests/test_helper.tcl --host "$host" \
        --port "$port" --singledb --durable --timeout $silence --skipfile "$dir/skip" $tags $3) \
        >"$dir/log" 2>&1
    suite_status=$?
    perl -pe 's/\e\[[0-9;]*m//g' "$dir/log" >"$dir/out"
    sed -n 's/^\[\([a-z]*\)\]: \(.*\)/\1 \2/p' "$dir/out" | sed 's/#/no. /g' >"$dir/results"
    while read -r verdict name; do
        case $verdict in
        ok) echo "ok $((nr += 1)) - ${name% (*}" ;;
        err | exception | timeout)
            echo "not ok $((nr += 1)) - $name"
            grep -F -A 6 "[$verdict]: $name" "$dir/out" | sed 's/^/# /'
            failed=1
            ;;
        skip) skip "$name" "see redis-suite.skip" ;;
        esac
    done <"$dir/results"
    grep -o '[^ ]* ([0-9]* seconds)' "$dir/out" | sed 's/^/# /'
    diag "left out by the suite itself: $(grep -c '^ignore' "$dir/results") tests or blocks"
    grep -q 'All tests passed without errors' "$dir/out"
    ok $? "$1: the suite came to its end and is content (status $suite_status)"
    # shellcheck disable=SC2086
    diag "memory: $(timeout 20 $client redis-cli -h "$host" -p "$port" info memory |
        grep '^used_memory_peak:' | tr -d '\r')"
    healthy "$1: nothing to complain of"
    stop
}

if [ "${REDIS_SUITE:-}" = all ]; then
    run_suite "without AOF" "" "$without_aof"
    run_suite "with AOF" "--appendonly yes --auto-aof-rewrite-percentage 0" "$with_aof"
else
    # The data types: what make test has time for.
    types=
    for unit in ${REDIS_SUITE:-string incr hash set zset list list-2}; do
        case $unit in
        */*) types="$types --single $unit" ;;
        *) types="$types --single unit/type/$unit" ;;
        esac
    done
    run_suite "data types" "" "$types"
fi
finish
