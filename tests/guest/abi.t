#!/bin/sh
# Proves the Linux ABI: each program of tests/guest/abi checks the system's answers by itself. It has
# to pass on Linux, which says what the answers are, and then in Wherry: as Debian links it and
# statically.
# limit: 300
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gcc

# all_hold NAME: the newest output ended well, and every check in it holds.
all_hold() {
    grep -aE '^(not ok|# errno|Bail)|wherry:' "$dir/out" | head -n 20 | sed 's/^/# /'
    [ "$status" -eq 0 ] && grep -qa '^1\.\.[1-9]' "$dir/out" && ! grep -qa '^not ok' "$dir/out"
    ok $? "$1 ($(grep -ac '^ok' "$dir/out") checks)"
}

for source in "$top"/tests/guest/abi/*.c; do
    name=$(basename "$source" .c)
    for link in "" -static; do
        if ! gcc -O1 -Wall -Wextra $link -o "$dir/$name$link" "$source" -pthread -lm >"$dir/out" 2>&1; then
            ok 1 "$name$link compiles"
            continue
        fi
    done
    # Linux's /tmp may be any file system, Wherry's is a tmpfs.
    [ "$name" = files ] && set -- /dev/shm || set --
    status=0
    timeout -k 5 60 "$dir/$name" "$@" >"$dir/out" 2>&1 </dev/null || status=$?
    all_hold "$name on Linux"
    for link in "" -static; do
        LIMIT=60 w "$dir/$name$link"
        all_hold "$name$link in Wherry"
    done
done
finish
