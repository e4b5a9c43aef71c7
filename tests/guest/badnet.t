#!/bin/sh
# Proves that malformed frames, garbage in each protocol, SYN floods and connection churn neither
# stop a guest nor the service in it: after each attack redis-server answers, a connection that was
# open before still works, and in the end no memory is missing.
# limit: 240
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need redis-server redis-cli
[ -x $python ] || plan_skip "there is no $python"
use_tap || plan_skip "needs root for a tap interface and raw frames"

serve 6379 -m 128M redis-server -- --save '' --protected-mode no
# shellcheck disable=SC2086 # $client is a prefix of words
wait_for 30 $client redis-cli -h "$host" -p "$port" ping
ok $? "redis-server boots"

# A connection that lives through it all: a line on the FIFO is a request.
: >"$dir/replies"
mkfifo "$dir/requests"
# shellcheck disable=SC2086
$client redis-cli -h "$host" -p "$port" <"$dir/requests" >"$dir/replies" 2>&1 &
witness=$!
exec 8>"$dir/requests"
lines=0
witness_answers() {
    echo "echo alive$lines" >&8
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        grep -q "^\"*alive$lines\"*$" "$dir/replies" && lines=$((lines + 1)) && return 0
        sleep 0.25
    done
    return 1
}
witness_answers
ok $? "a connection to watch"

guest_free() { # KiB, as the guest's kernel counts them
    client redis-cli -h "$host" -p "$port" --raw eval \
        'local f = redis.call("info", "memory") return f' 0 2>/dev/null | tr -d '\r' |
        sed -n 's/^used_memory_rss://p'
}
before=$(guest_free)

for attack in frames arp ipv4 fragments icmp ipv6 udps dhcp tcps land resets synflood; do
    # shellcheck disable=SC2086
    timeout 60 $client $python "$top/tests/guest/badnet.py" wt0 "$host" fd99::2 $attack \
        >"$dir/out" 2>&1
    ok $? "$attack: sent"
    # shellcheck disable=SC2086
    wait_for 10 $client redis-cli -h "$host" -p "$port" ping && grep -q PONG "$dir/wait"
    ok $? "$attack: service goes on"
    witness_answers
    ok $? "$attack: the open connection lives"
done

# shellcheck disable=SC2086
LIMIT=90 passes "connections that end in every way" $client $python "$top/tests/guest/churn.py" \
    "$host" "$port" 10
sed 's/^/# /' "$dir/out"
witness_answers
ok $? "churn: the open connection lives"
after=$(guest_free)
diag "redis-server's memory: $before bytes, then $after"
kill $witness 2>/dev/null
exec 8>&-
healthy "nothing to complain of"
finish
