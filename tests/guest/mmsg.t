#!/bin/sh
# Proves that recvmmsg() and sendmmsg() do what Linux's do, message for message, on UDP sockets that speak to
# another machine, and within one: batches, odd messages among plain ones, errors and faults in the middle, time
# limits. tests/guest/mmsg.c checks it, first on Linux, which says what is right.
# limit: 120
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gcc
use_tap || plan_skip "needs a tap interface"
passes "mmsg.c compiles" gcc -O1 -Wall -Wextra -Werror -static -o "$dir/mmsg" "$top/tests/guest/mmsg.c" -pthread

# all_hold NAME: the newest output ended well, and every check in it holds.
all_hold() {
    grep -aE '^(not ok|# )|wherry:' "$dir/out" | head -n 20 | sed 's/^/# /'
    [ "$status" -eq 0 ] && grep -qa '^1\.\.[1-9]' "$dir/out" && ! grep -qa '^not ok' "$dir/out"
    ok $? "$1 ($(grep -ac '^ok' "$dir/out") checks)"
}

helper() { # ADDRESS
    # shellcheck disable=SC2086 # $client is a prefix of words
    timeout 100 $client "$dir/mmsg" echo "$1" 7777 &
    helper=$!
}

helper 127.0.0.1
status=0
# shellcheck disable=SC2086
timeout -k 5 40 $client "$dir/mmsg" 127.0.0.1 7777 >"$dir/out" 2>&1 </dev/null || status=$?
all_hold "on Linux"
stop_process $helper
helper 10.99.0.1
status=0
# shellcheck disable=SC2086
timeout -k 5 40 $client "$WHERRY" run -q --timeout 40 --net tap:wt0,ip=10.99.0.2/24,gw=10.99.0.1 "$dir/mmsg" \
    -- 10.99.0.1 7777 >"$dir/out" 2>&1 </dev/null || status=$?
all_hold "in Wherry, to another machine"
stop_process $helper
LIMIT=40 w "$dir/mmsg" -- 7777
all_hold "in Wherry, within it"
finish
