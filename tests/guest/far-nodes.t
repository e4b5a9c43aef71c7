#!/bin/sh
# Proves that memory nodes come and go under load (farhold.c knows each byte it holds): pages that lie on one of two
# nodes each, a third that is added from outside, one that is removed and killed when it is empty; two mirrors
# of which one stops for 300 ms and is not waited for, and a third that does alone when it has got everything. 30 s.
# limit: 150
# shellcheck disable=SC1091,SC2034,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gcc perl ip
mib=${FAULT_MIB:-40}
key=0123456789abcdef
cd "$dir" || exit 1
passes "the test program compiles" gcc -O1 -Wall -Wextra -Werror -static -o farhold \
    "$top/tests/guest/farhold.c" -pthread
use_tap || plan_skip "needs a tap interface"
. "$top/tests/guest/farhold.sh"
node_words="--memory 64M --lease 2"
a=10.99.0.3
b=10.99.0.4
c=10.99.0.5
for address in $a $b $c; do
    ip -n "$netns" addr add "$address"/24 dev wt0 || plan_skip "cannot add an address to the tap interface"
done

# post KEY PATH TEXT: the status of the guest's answer.
post() {
    # shellcheck disable=SC2016,SC2086
    timeout 8 $client perl -MIO::Socket::INET -e '
        $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => 9100, Timeout => 5) or exit 1;
        print $s "POST $ARGV[2] HTTP/1.1\r\nHost: x\r\nauthorization: Bearer $ARGV[1]\r\nContent-Length: ",
            length($ARGV[3]), "\r\n\r\n$ARGV[3]";
        print +(split / /, <$s>)[1];' "$host" "$1" "$2" "$3" 2>&1
}

# has_share ADDRESS OTHER...: about as many pages lie there as on each of the others.
has_share() {
    tell /proc/wherry/nodes || return 1
    for has_share_of in "$@"; do
        awk -v name="wherry_node_pages{node=\"$has_share_of\"}" '$1 == name { print $2 }' answer
    done | awk -v n=$# '{ if (NR == 1 || $1 < least) least = $1; if ($1 > most) most = $1 }
        END { exit NR != n || least < 1000 || most - least > most / 20 }'
}

lacks_nothing() {
    [ "$(of_node state "$1" ',state="up"')" = 1 ] && [ "$(of_node stale_pages "$1")" = 0 ] &&
        [ "$(of_node pages "$1")" = "$(of_node pages "$2")" ]
}

is_gone() {
    tell /proc/wherry/nodes && ! grep -qF "\"$1\"" answer
}

held() { # NAME WORDS
    # shellcheck disable=SC2086
    serve 7000 -m 256M --append wherry.metrics=9100 --append wherry.control=$key $2 ./farhold -- hold "$mib" 3
    until_true 60 goes_on 0.2
    ok $? "$1"
}

ends_well() {
    tell end
    tries=75
    while alive && [ $tries -gt 0 ]; do
        sleep 0.2
        tries=$((tries - 1))
    done
    grep -qa '^farhold: .* pages verified, 0 wrong' "$console" && ! grep -qa WRONG "$console"
    ok $? "$1: 0 wrong bytes"
    stop
}

# ---- Stripes ----

node $a
node_a=$node
node $b
node_b=$node
node $c
node_c=$node
held "two nodes, one copy of each page" "--far $a,size=32M,copies=1,local=8M --far $b"
until_true 10 has_share $a $b
ok $? "... each has half of them"
[ "$(post wrong-key-of-16.. /proc/wherry/nodes "add $c")" = 403 ]
ok $? "without the key nothing is changed from outside"
[ "$(post $key /proc/wherry/nodes "add $c")" = 200 ]
ok $? "a third node is added, from outside"
until_true 40 has_share $a $b $c
ok $? "... and gets its share"
grep -qa "memory node $c has joined" "$console"
ok $? "... which the console says"
tell "nodes remove $a"
grep -qx "done" answer
ok $? "one is removed"
[ "$(post $key /proc/wherry/nodes "remove $a")" = 409 ] && [ "$(post $key /proc/wherry/nodes "remove 10.9.9.9")" = 404 ]
ok $? "... not twice, and not one that is none"
until_true 40 is_gone $a
ok $? "... its pages go to the others, and it is gone"
kill_hard "$node_a"
goes_on
ok $? "... it is killed: nobody notices"
[ "$(post $key /proc/wherry/nodes "remove $b")" = 507 ]
ok $? "the next one cannot go, as the last has not the room"
[ "$(value /proc/wherry/nodes wherry_nodes_lost_total)" = 0 ] && [ "$(value /proc/wherry/far wherry_far_errors_total)" = 0 ]
ok $? "no node was lost, and no transfer failed"
diag "$(value /proc/wherry/nodes wherry_nodes_moved_total) pages moved"
[ "$(post $key /proc/sys/wherry/far_local 6M)" = 200 ] && [ "$(value /proc/wherry/far wherry_far_limit_pages)" = 1536 ]
ok $? "the local share is changed from outside"
tell unmap
nothing_lies_there() {
    [ "$(value /proc/wherry/far wherry_far_slots_used)" = 0 ] && [ "$(of_node pages $b)" = 0 ] &&
        [ "$(of_node pages $c)" = 0 ]
}
until_true 20 nothing_lies_there
ok $? "all is unmapped: nothing lies on a node"
ends_well "stripes"

# ---- Mirrors ----

node $a
node_a=$node
held "two nodes, all pages on both" "--far $a,size=64M,local=8M,prefetch=none --far $b"
worst=0
hedged=$(value /proc/wherry/nodes wherry_nodes_hedges_won_total)
for _ in 1 2 3; do
    tell stall
    kill -STOP "$node_b"
    sleep 0.3
    kill -CONT "$node_b"
    stall=$(value stall stall_ms)
    [ "${stall:-9999}" -le "$worst" ] || worst=$stall
done
diag "one stopped for 300 ms three times: a page took $worst ms at most; $(($(value /proc/wherry/nodes \
    wherry_nodes_hedges_won_total) - hedged)) of $(value /proc/wherry/nodes wherry_nodes_hedged_total) second answers came first"
# Changed pages do not leave meanwhile, so some of it is felt all the same; and the machine may be busy.
[ "$worst" -lt 600 ]
ok $? "one stops for 300 ms: the other is asked"
[ "$(value /proc/wherry/nodes wherry_nodes_hedges_won_total)" -gt "$hedged" ]
ok $? "... by second answers that came first"
tell "nodes add $c"
until_true 40 lacks_nothing $c $b
ok $? "a third one is added, and gets all pages"
kill_hard "$node_a"
kill_hard "$node_b"
goes_on 2
ok $? "... the others are killed: it does alone"
ends_well "mirrors"
kill_hard "$node_c"
finish
