#!/bin/sh
# Proves that an address space keeps its contents whatever is done to it, with all pages here, and with most of
# them away in far memory: tests/guest/farshake, random operations of several threads against a
# model, first on Linux, which says what is right. FARSHAKE_OPERATIONS and FARSHAKE_SEED are for longer
# runs (and TEST_LIMIT). 25 s.
# limit: 240
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gcc
operations=${FARSHAKE_OPERATIONS:-12000}
seed=${FARSHAKE_SEED:-$$}
LIMIT=${TEST_LIMIT:-60}
passes "it compiles" gcc -O1 -Wall -Wextra -Werror -static -o "$dir/farshake" \
    "$top"/tests/guest/farshake/*.c -pthread
cd "$dir" || exit 1

# shaken NAME [MINIMUM COUNTER]...: nothing was wrong in the newest output, and so much was counted.
shaken() {
    name=$1
    shift
    good=$status
    grep -qa '^farshake: .* pages verified, 0 wrong' "$dir/out" || good=1
    while [ $# -gt 0 ] && [ "$good" -eq 0 ]; do
        counted=$(sed -n "s/^wherry_far_$2 \([0-9]*\).*/\1/p" "$dir/out")
        [ "${counted:-0}" -ge "$1" ] || { diag "$2: ${counted:-none}, not $1" && good=1; }
        shift 2
    done
    [ "$good" -eq 0 ] || diag "seed $seed"
    ok "$good" "$name"
}

status=0
timeout -k 5 "$LIMIT" ./farshake $((operations * 5)) "$seed" 32 >out 2>&1 </dev/null || status=$?
shaken "on Linux"
w -m 256M ./farshake -- "$operations" "$seed" 32
shaken "in Wherry"
w -m 256M ./farshake -- "$operations" "$seed" 16 1
shaken "... with a single thread"

far() { # NAME "WORDS" THREADS [MINIMUM COUNTER]...
    far_name=$1
    far_words=$2
    far_threads=$3
    shift 3
    w -m 384M --append "wherry.far.local=4M $far_words" ./farshake -- "$operations" "$seed" 32 "$far_threads"
    shaken "$far_name" "$@"
}
far "with 4 MiB here and the others away" "wherry.far=ram:256M" 4 10000 evicted_total 2000 faults_total
far "... encrypted by AES, with a single thread" \
    "wherry.far=ram:256M,latency=100000 wherry.far.verify=encrypt wherry.far.cipher=aes128" \
    1 10000 evicted_total 2000 faults_total
far "... with 100 us to it and prefetching" "wherry.far=ram:256M,latency=100000 wherry.far.prefetch=sequential" \
    4 10000 evicted_total 2000 prefetch_hits_total
far "... along trends, with 300 us, encrypted by ChaCha20" \
    "wherry.far=ram:256M,latency=300000 wherry.far.prefetch=trend wherry.far.verify=encrypt wherry.far.cipher=chacha20" \
    4 10000 evicted_total 300 prefetch_hits_total
far "... where there is too little room for all" "wherry.far=ram:8M wherry.far.prefetch=sequential" \
    4 3000 evicted_total
finish
