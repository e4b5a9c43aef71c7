#!/bin/sh
# Proves guides: a shared object given beside a program sees calls of its functions and its faults, reads what is here of
# its memory, gets pages and parts of pages, makes calls wait for them, and is switched off, and nothing else, when it
# crashes or does not end; a build that it does not know is not touched. And the guide for Redis, on Debian's own
# redis-server: GETs of 16 KiB and LRANGEs at a quarter of their memory wait once each at most. 40 s.
# limit: 200
# shellcheck disable=SC1091,SC2034,SC2086,SC2154 # lib.sh's variables; words are options
. "$(dirname "$0")/lib.sh"
need gcc curl readelf
LIMIT=60
cd "$dir" || exit 1

guide() { # NAME MODE: compiles probe.c
    gcc -std=gnu11 -O2 -Wall -Wextra -Werror -Wno-unused-parameter -shared -fPIC -ffreestanding -nostdlib -mgeneral-regs-only \
        -mno-red-zone -fcf-protection=none -I"$top/include" -DMODE="$2" -o "$1.so" "$top/tests/guest/guide/probe.c"
}

program() { # NAME BUILD-ID
    gcc -O1 -Wall -Wextra -Werror -rdynamic -Wl,--build-id=0x"$2" -o "$1" "$top/tests/guest/guide/pattern.c"
}

program pattern c0ffee0123456789 >out 2>&1
ok $? "the program compiles"
guide probe 0 >out 2>&1
ok $? "the guide compiles, as it is documented"

far="wherry.far=ram:64M,latency=200000 wherry.far.local=4M"
run() { # GUIDE WORDS PROGRAM VISITS
    w -m 128M -v "$dir/$1.so:/lib/wherry/guides/$1.so" --append "$far wherry.far.guide=$1 $2" "./$3" -- 16 "$4"
}
count() { # NAME: the last one printed
    sed -n "s/^wherry_$1 \([0-9]*\)\r*$/\1/p" out | tail -n 1
}
own() { # COUNTER of the guide
    sed -n "s/^wherry_guide_own_total{guide=\"$name\",counter=\"$1\"} \([0-9]*\)\r*$/\1/p" out | tail -n 1
}

run probe wherry.far.verify=encrypt pattern 1000
name=probe
[ "$status" -eq 0 ] && grep -qa 'pattern: 1000 visits, 0 wrong' out
ok $? "a program and its guide: every word is right"
[ "$(own visits)" = 1000 ] && [ "$(own refused)" = 1000 ] && [ "$(own accepted)" = 0 ]
ok $? "every call is seen, and what a guide may not do is refused"
waits=$(sed -n 's/^wherry_guide_waits_total{guide="probe"} \([0-9]*\).*/\1/p' out)
[ "${waits:-0}" -ge 700 ] && [ "$waits" -le 1000 ]
ok $? "calls wait for their four pages, once"
before=$(sed -n 's/^wherry_far_faults_total \([0-9]*\).*/\1/p' out | head -n 1)
after=$(count far_faults_total)
[ -n "$before" ] && [ $((after - before)) -le 100 ]
ok $? "... which are here then: nearly none is missed"
[ "$(own parts_right)" -ge 500 ] && [ "$(own parts_wrong)" -eq 0 ]
ok $? "parts of pages that are away, encrypted, hold what the pages hold"
[ "$(own arrived)" -ge 500 ]
ok $? "it is told when a page has come, and reads it"

run probe "" pattern 0
cp pattern plain
w -m 128M --append "$far" ./plain -- 16 1000
after=$(count far_faults_total)
[ "$status" -eq 0 ] && [ "${after:-0}" -ge 2000 ]
ok $? "without a guide each page is missed"

for mode in "crash 1 exception 14" "touch 3 exception 14" "divide 4 exception 0" "loop 2 not done after 20 ms"; do
    name=${mode%% *}
    rest=${mode#* }
    guide "$name" "${rest%% *}"
    run "$name" "" pattern 200
    [ "$status" -eq 0 ] && grep -qa 'pattern: 200 visits, 0 wrong' out && grep -qa "guide $name: ${rest#* }.*it is off from now on" out &&
        grep -qa "wherry_guide_on{guide=\"$name\"} 0" out
    ok $? "a guide that misbehaves ($name) is switched off, and the program goes on"
done

program other 1111111111111111
run probe "" other 100
name=probe
[ "$status" -eq 0 ] && grep -qa 'this build (1111111111111111) is not one that it knows: not watched' out && [ "$(own visits)" = 0 ]
ok $? "another build is not watched, and the console says so"
run probe wherry.far.guide.force other 100
[ "$status" -eq 0 ] && [ "$(own visits)" = 100 ]
ok $? "... unless it is to be"
w --append "$far wherry.far.guide=nosuch" ./pattern -- 16 1
[ "$status" -ne 0 ] && grep -qa 'guide nosuch cannot be loaded: there is no such file' out
ok $? "a guide that is not there: no boot, and the console says why"
echo "no ELF" >bad.so
run bad "" pattern 1
[ "$status" -ne 0 ] && grep -qa 'guide bad cannot be loaded: a truncated ELF file' out
ok $? "... or is none"
cp pattern wrong.so
run wrong "" pattern 1
[ "$status" -ne 0 ] && grep -qa 'guide wrong cannot be loaded' out
ok $? "... or is a program"

# The guide of docs/far-memory.md, typed in as it stands, for a program that walks records in an order of its own.
sed -n '/^#include <wherry\/guide.h>$/,/^```$/p' "$top/docs/far-memory.md" | grep -v '^```' >walk.c
command=$(grep '^gcc .*walk\.so walk\.c$' "$top/docs/far-memory.md")
gcc -O1 -rdynamic -Wl,--build-id=0x0123456789abcdef -o records "$top/tests/guest/guide/records.c" >out 2>&1 &&
    ln -s "$top/include" include && eval "$command" >out 2>&1
ok $? "the tutorial's guide compiles as it stands"
w -m 128M --append "$far" ./records
without=$(count far_faults_total)
good=$status
run walk "" records 1
with=$(count far_faults_total)
late=$(count far_faults_late_total)
name=walk
diag "misses without it: $without, with it: $with, of which late: $late"
[ "$good" -eq 0 ] && [ "$status" -eq 0 ] && [ "$(own records)" = 4096 ] && [ "$with" -lt $((without / 4)) ]
ok $? "... and fetches ahead: most records are here before they are used"

redis_per_request() { # WORKLOAD OPTIONS: stalls per hundred requests
    client curl -s -m 5 "http://$host:$port_9100/metrics" >m0
    # shellcheck disable=SC2154
    client "$WHERRY" load redis --workload "$1" --connections 1 --timeout 20000 --requests 400 --quiet $2 --out load.json "$host:$port" || return 1
    client curl -s -m 5 "http://$host:$port_9100/metrics" >m1
    awk '/_faults_total|far_brought|guide_waits/ {n[FILENAME] += $NF} END {printf "%d", 100 * (n["m1"] - n["m0"]) / 400}' m0 m1
}
fill() { # NAME WORKLOAD OPTIONS
    LIMIT=100 passes "$1" $client "$WHERRY" load redis --load --workload "$2" $3 --requests 1 --timeout 20000 --quiet \
        --out load.json "$host:$port"
}

id=$(readelf -n /usr/bin/redis-server 2>/dev/null | sed -n "s/.*Build ID: //p")
if [ -n "$id" ] && grep -q "$id" "$top/guides/redis.c"; then
    use_tap
    serve "6379 9100" -m 256M --append "wherry.far=ram:128M,latency=100000 wherry.far.local=9M wherry.far.guide=redis wherry.metrics=9100" \
        -v "$WHERRY_B/guides/redis.so:/lib/wherry/guides/redis.so" /usr/bin/redis-server -- --protected-mode no --save ''
    wait_for 30 $client redis-cli -h "$host" -p "$port" ping
    ok $? "redis-server boots with its guide"
    strings="--keys 1500 --value-size 16384"
    fill "... and is filled with strings" get "$strings"
    stalls=$(redis_per_request get "$strings")
    diag "stalls per hundred GETs: $stalls"
    [ "${stalls:-999}" -le 110 ] && [ "$stalls" -ge 30 ]
    ok $? "a GET of 16 KiB waits at most 1.1 times"
    lists="--keys 800 --value-size 100 --list-length 200"
    fill "... with lists" lrange "$lists"
    stalls=$(redis_per_request lrange "$lists")
    diag "stalls per hundred LRANGEs: $stalls"
    [ "${stalls:-999}" -le 150 ] && [ "$stalls" -ge 30 ]
    ok $? "an LRANGE of 200 elements waits at most 1.5 times"
    client "$WHERRY" top -n 2 -i 0.2 -m far_ "$host:$port_9100" >out 2>&1
    [ "$(grep -c '^far_remote_pages  *[1-9]' out)" -eq 2 ] && grep -q '^far_faults_total  *[1-9][0-9]*  *[0-9.]*$' out && ! grep -q guide_ out
    ok $? "wherry top shows them"
    client curl -s -m 5 "http://$host:$port_9100/nothing" -o out -w '%{http_code}\n' >code
    [ "$(cat code)" = 404 ] && [ "$(client curl -s -m 5 -X POST "http://$host:$port_9100/" -o out -w '%{http_code}')" = 405 ]
    ok $? "the counters' port answers GET of / and /metrics only"
else
    skip "Redis with its guide" "needs the redis-server that the guide knows"
fi
finish
