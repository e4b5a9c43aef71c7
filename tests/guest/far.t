#!/bin/sh
# Proves that pages which are away on memory nodes come back as they were, whatever happens to network and nodes:
# tests/guest/farshake (random operations on an address space, against a model) with most of its memory on wherry
# memnode, over a network that loses, repeats, reorders and damages packets, on nodes that give back stale or
# forged pages, are stopped for a while, or are killed and come back empty; partly with pages encrypted. 55 s.
# limit: 300
# shellcheck disable=SC1091,SC2034,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gcc
operations=${FARSHAKE_OPERATIONS:-7000}
seed=${FARSHAKE_SEED:-$$}
LIMIT=${TEST_LIMIT:-60}
passes "the test program compiles" gcc -O1 -Wall -Wextra -Werror -static -o "$dir/farshake" \
    "$top"/tests/guest/farshake/*.c -pthread
cd "$dir" || exit 1

node() { # NAME OPTIONS...: starts one at the socket NAME; $node is its process
    node_name=$1
    shift
    rm -f "$dir/$node_name"
    "$WHERRY" memnode --memory 1G --netdev "stream:$dir/$node_name" --drain 0 "$@" >"$dir/$node_name.log" 2>&1 </dev/null &
    node=$!
    guests="$guests $node"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -S "$dir/$node_name" ] && return 0
        sleep 0.1
    done
    diag "$(cat "$dir/$node_name.log")"
    return 1
}

counted() { # COUNTER: of the newest run
    sed -n "s/^wherry_far_$1 \([0-9]*\).*/\1/p" "$dir/out"
}

# shaken NAME WORDS OPERATIONS [MINIMUM COUNTER]...: nothing was wrong, and so much was counted.
shaken() {
    name=$1
    words=$2
    number=$3
    shift 3
    # shellcheck disable=SC2086 # words are options
    w -m 256M $words ./farshake -- "$number" "$seed" 32 4
    good=$status
    grep -qa '^farshake: .* pages verified, 0 wrong' out || good=1
    while [ $# -gt 0 ] && [ "$good" -eq 0 ]; do
        count=$(counted "$2")
        [ "${count:-0}" -ge "$1" ] || { diag "$2: ${count:-none}, not $1" && good=1; }
        shift 2
    done
    [ "$good" -eq 0 ] || diag "seed $seed"
    ok "$good" "$name"
}

one="--far unix:$dir/a,size=128M,local=4M"

node a
shaken "on a node" "$one" "$operations" 5000 evicted_total 1000 faults_total
shaken "... with prefetching" "$one,prefetch=sequential" "$operations" 500 prefetch_hits_total
# A call that reads 16 pages which nobody foresees waits for all at once, and not for one after the other.
cat >save.c <<'E'
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
enum { PIECE = 65536, PIECES = 256 };
static char memory[PIECES][PIECE], back[PIECE];
int main(void)
{
    int file = open("/saved", O_RDWR | O_CREAT, 0600), far;
    ssize_t n;
    for (int i = 0; i < PIECES; i++)
        memset(memory[i], i + 1, PIECE);
    for (int i = 0; i < PIECES; i++)
        if (pwrite(file, memory[i * 97 % PIECES], PIECE, i * PIECE) != PIECE)
            return 1;
    far = open("/proc/wherry/far", O_RDONLY);
    while ((n = read(far, back, PIECE)) > 0)
        write(1, back, n);
    for (int i = 0; i < PIECES; i++)
        if (pread(file, back, PIECE, i * PIECE) != PIECE || back[0] != (char)(i * 97 % PIECES + 1) ||
            memcmp(back, back + 1, PIECE - 1))
            return 2;
    return 0;
}
E
gcc -O1 -Wall -static -o save save.c || diag "gcc does not work"
ends_with 0 "what a call reads is right" -m 256M "--far" "unix:$dir/a,size=64M,local=2M,prefetch=sequential" ./save
[ "$(counted brought_total)" -ge 200 ] && [ "$(counted faults_total)" -le 128 ]
ok $? "... and comes at once" || diag "$(counted brought_total) waits, $(counted faults_total) faults"
(sleep 2 && kill -STOP "$node" && sleep 1 && kill -CONT "$node" && touch stopped) 2>/dev/null &
shaken "... that is not there for a second" "$one" "$operations" 1000 evicted_total
[ -e stopped ]
ok $? "... in the middle"
stop_process $node

node a --mtu 1024
shaken "at path MTU 1024, which fills the card's queue" "$one,prefetch=sequential" "$operations" 1000 evicted_total
stop_process $node
node a --fault drop=0.01,dup=0.01,reorder=0.01,corrupt=0.01
shaken "over a network that loses, repeats, reorders and damages 1 % each" "$one" "$operations" 1000 evicted_total
stop_process $node
node a --fault drop=0.1
shaken "... and 10 % lost" "$one" $((operations / 4)) 500 evicted_total
stop_process $node

node a --fault stale=0.01,forge=0.01
half=$((operations / 2))
shaken "on a node that gives back stale and forged pages" "$one" $half 5 forged_total 5 retried_total
shaken "... which are encrypted" "$one,verify=encrypt" $half 5 forged_total 5 retried_total
stop_process $node
node a --fault forge=1
for verify in checksum encrypt; do
    # shellcheck disable=SC2086 # words are options
    w -m 256M $one,verify=$verify ./farshake -- "$operations" "$seed" 32 1
    [ "$status" -ne 0 ] && grep -qa 'not what was stored' out && ! grep -qa 'WRONG' out
    ok $? "a node that forges every page: the program ends, and the console says why ($verify)"
done
stop_process $node

two="--far unix:$dir/a,size=128M,local=4M,verify=encrypt --far unix:$dir/b,ip=10.89.0.1"
node a
first=$node
node b --ip 10.89.0.1
(sleep 3 && kill -9 $first) &
shaken "encrypted, on two nodes of which one is killed" "$two" $((operations * 2)) 1000 evicted_total
grep -qa 'memory node 10.88.0.1 is lost' out
ok $? "... in the middle"
stop_process $node

node a
first=$node
ends_with 125 "no size: refused" --far "unix:$dir/a" ./farshake
echo secret >key
echo other >other
node c --key key
w --far "unix:$dir/c,size=64M,key=other" ./farshake -- 1 1
[ "$status" -ne 0 ] && grep -qa 'it does not accept the key' out
ok $? "another key: refused, and the console says so"
w --far "unix:$dir/c,size=64M,key=key" -m 128M ./farshake -- 200 1 8 1
grep -qa '0 wrong' out
ok $? "the right key"
w --far "unix:$dir/c,size=64G,key=key" ./farshake -- 1 1
[ "$status" -ne 0 ] && grep -qa 'it has not so much memory' out
ok $? "more than it has: refused"
finish
