#!/bin/sh
# Proves that a root file system larger than the memory serves: it stays on a disk, is read as it is
# used, and what was read gives way when memory runs out, without a byte going wrong.
# limit: 300
# shellcheck disable=SC1091,SC2154 # lib.sh sets variables
. "$(dirname "$0")/lib.sh"
need redis-server redis-cli redis-benchmark busybox openssl
bb=$(command -v busybox)

for machine in microvm q35; do
    serve 6379 --machine $machine -m 16M redis-server -- --save '' --protected-mode no
    wait_for 30 sh -c "redis-cli -h $host -p $port ping | grep -q PONG"
    ok $? "$machine: redis-server answers with -m 16M"
    LIMIT=40 passes "$machine: and survives redis-benchmark with 50 connections" \
        redis-benchmark -h "$host" -p "$port" -n 20000 -t get,set -c 50 -q
    timeout 5 redis-cli -h "$host" -p "$port" ping | grep -q PONG
    ok $? "$machine: and answers afterwards"
    stop
done

openssl rand 30000001 >"$dir/big"
sum=$(md5sum <"$dir/big" | cut -d' ' -f1)
for machine in microvm microvm-noacpi q35 pc; do
    LIMIT=60 w --machine $machine -m 10M -v "$dir/big:/big" "$bb" -- md5sum /big /big
    [ "$(tr -d '\r' <"$dir/out" | grep -c "^$sum  /big$")" -eq 2 ]
    ok $? "$machine: a file three times the memory is read right, twice"
done
w --root disk -v "$dir/big:/big" "$bb" -- sh -c 'echo more >>/big; exec md5sum /big'
{ cat "$dir/big" && echo more; } | md5sum | cut -d' ' -f1 >"$dir/sum"
contains "a file of the disk is written to, in memory" "$(cat "$dir/sum")"
w --root disk "$bb" -- cat /proc/cmdline
contains "--root disk says what it asks for" wherry.root=vda
w -m 1G "$bb" -- cat /proc/cmdline
! grep -q wherry.root "$dir/out"
ok $? "where memory is plenty the root file system is in it"
w --root disk --append wherry.root=vdb "$bb" -- true
contains "a disk that is not there ends the boot with one line" "names a disk that is not there"
finish
