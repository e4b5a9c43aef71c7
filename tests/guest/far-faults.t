#!/bin/sh
# Proves that far memory survives what happens to memory nodes and to the network between, with nodes over UDP on two
# networks (path MTU 1024) and a program that knows each byte it holds (farhold.c): a node that is
# killed and started anew is filled again, and then does alone; networks that are gone for longer than a lease; nodes
# that stop, end, or have too little memory; a local share that shrinks to 5 %; and no place is lost.
# FAULT_ROUNDS=N repeats the faults (make soak does). 60 s.
# limit: 300
# shellcheck disable=SC1091,SC2034,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gcc perl ip
rounds=${FAULT_ROUNDS:-1}
mib=${FAULT_MIB:-48}
cd "$dir" || exit 1
passes "the test program compiles" gcc -O1 -Wall -Wextra -Werror -static -o farhold \
    "$top/tests/guest/farhold.c" -pthread
use_tap || plan_skip "needs a tap interface"
. "$top/tests/guest/farhold.sh"
node_words="--memory 256M --lease 1 --grace 60"
if ! ip -n "$netns" tuntap add dev wt1 mode tap || ! ip -n "$netns" addr add 10.98.0.1/24 dev wt1 ||
    ! ip -n "$netns" link set wt1 up; then
    plan_skip "cannot make a second tap interface"
fi
a=10.99.0.1
b=10.98.0.1

is_up() { # ADDRESS
    [ "$(of_node state "$1" ',state="up"')" = 1 ]
}

is_lost() {
    [ "$(of_node state "$1" ',state="up"')" = 0 ]
}

lacks_nothing() {
    is_up "$1" && [ "$(of_node stale_pages "$1")" = 0 ]
}

has_joined() {
    [ "$(value /proc/wherry/far wherry_far_joined_total)" -ge 2 ]
}

now_ms() {
    date +%s%3N
}

# held NAME WORDS: a guest with farhold on the nodes of the words.
held() {
    # shellcheck disable=SC2086
    serve 7000 -m 256M --net tap:wt1,ip=10.98.0.2/24 $2 ./farhold -- hold "$mib" 3
    until_true 60 goes_on 0.2
    ok $? "$1"
}

wait_end() { # SECONDS: until the guest has ended, at most
    tries=$(($1 * 5))
    while alive && [ $tries -gt 0 ]; do
        sleep 0.2
        tries=$((tries - 1))
    done
}

# The program says that all is right, and the guest ends.
ends_well() {
    tell end
    wait_end 60 # it looks at all pages once more
    grep -qa '^farhold: .* pages verified, 0 wrong' "$console" && ! grep -qa WRONG "$console"
    ok $? "$1: 0 wrong bytes"
    stop
}

# ---- Two nodes ----

killed() { # NODE OTHER: NODE is killed under load, comes back empty, is filled again
    tell stall
    kill_hard "$1"
    until_true 10 is_lost "$2"
    ok $? "a node is killed"
    goes_on
    ok $? "... and the other one does"
    stall=$(value stall stall_ms)
    diag "a page took $stall ms at most"
    [ "${stall:-9999}" -le 2000 ]
    ok $? "... without a stall of more than 2 s"
    node "$2"
    start=$(now_ms)
    until_true 60 lacks_nothing "$2"
    ok $? "... it is started anew, and filled again"
    diag "$(value /proc/wherry/nodes wherry_nodes_replicated_total) pages, $(($(now_ms) - start)) ms"
}

node $a
node_a=$node
node $b
node_b=$node
held "two nodes over UDP" "--far $a,size=128M,local=8M --far $b"

round=0
while [ $round -lt "$rounds" ]; do
    round=$((round + 1))
    killed "$node_a" $a
    node_a=$node
    killed "$node_b" $b
    node_b=$node

    ip -n "$netns" link set wt1 down
    until_true 10 is_lost $b
    goes_on 2
    ok $? "the network to one node is gone for longer than its lease"
    ip -n "$netns" link set wt1 up
    until_true 60 lacks_nothing $b
    ok $? "... and is there again: the node gets what it lacks"
    ip -n "$netns" link set wt0 down
    sleep 3
    ip -n "$netns" link set wt0 up
    until_true 60 lacks_nothing $a
    ok $? "... that to the other one"

    tell "limit 5%"
    sleep 1
    goes_on
    ok $? "a local share of 5 %"
    limit=$(value /proc/wherry/far wherry_far_limit_pages)
    here=$(value /proc/wherry/far wherry_far_local_pages)
    [ "$here" -le $((limit + limit / 8)) ]
    ok $? "... $here pages are here, of $limit"
    tell "limit 100%"
    until_true 30 has_joined
    ok $? "... and all of it: there are pages of 2 MiB again"
    goes_on
    ok $? "... with what was in them"
    tell "limit 512K"
    sleep 1
    goes_on
    here=$(value /proc/wherry/far wherry_far_local_pages)
    [ "$here" -ge 104 ] && [ "$here" -le 136 ]
    ok $? "... of the least that there is, 128, $here are here: few are kept free"
    tell "limit 8M"
done
tell unmap
no_slots() {
    [ "$(value /proc/wherry/far wherry_far_slots_used)" = 0 ]
}
until_true 60 no_slots
ok $? "all is unmapped: no place on a node is taken any more"
ends_well "two nodes"
kill_hard "$node_b"

# ---- One node ----

one="--far $a,size=128M,local=8M"
held "a node alone" "$one"
kill -STOP "$node_a"
until_true 10 is_lost $a
sleep 1
kill -CONT "$node_a"
until_true 20 goes_on
ok $? "... stops for longer than its lease, and goes on: so does the guest"
grep -qa "10.99.0.1 is back, and lacks" "$console"
ok $? "... by the same memory again"
ip -n "$netns" link set wt0 down
sleep 2.5
ip -n "$netns" link set wt0 up
until_true 20 goes_on
ok $? "... the network is gone for longer than a lease, and there again"
ends_well "a node alone"

held "a node alone" "$one"
kill_hard "$node_a"
node $a
node_a=$node
wait_end 20
! alive && ! grep -qa 'WRONG' "$console"
ok $? "... that is started anew, empty: the program ends"
grep -qa 'memory node 10.99.0.1 has forgotten us: what it held is lost' "$console"
ok $? "... and the console says why"
stop
kill_hard "$node_a"

# ---- Too little ----

node $a --quota 16M
node_a=$node
far() { # PROGRAM'S WORDS: with 16 MiB elsewhere, to its end
    # shellcheck disable=SC2086
    serve 7000 -m 64M --far $a,size=16M,local=8M ./farhold -- $1
    wait_end 30
    wait "$guest" 2>/dev/null
    status=$?
}
far "grow 256"
[ $status -eq 0 ] && grep -qa 'after .* MiB: Cannot allocate memory' "$console" &&
    grep -qa '^farhold: .* pages verified, 0 wrong' "$console"
ok $? "no memory is left, here and there: ENOMEM, and what there is is whole"
grep -a '^farhold: after' "$console" | sed 's/^/# /'
far "touch 256"
[ $status -ne 0 ] && grep -qa 'out of memory' "$console" && ! grep -qa WRONG "$console"
ok $? "... and a program that does not ask ends, with a report"
finish
