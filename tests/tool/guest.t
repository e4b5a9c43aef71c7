#!/bin/sh
# Proves `wherry run` end to end, with Wherry and with Debian's kernel and the same root file
# system: exit statuses, console, environment, arguments, network, time limit, signals.
# shellcheck disable=SC1091,SC2016,SC2034,SC2086,SC2154 # words on purpose; lib.sh sets variables
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1
bb=$(command -v busybox)
if ! command -v qemu-system-x86_64 >/dev/null || [ -z "$bb" ]; then
    echo "1..0 # skip needs QEMU and busybox-static"
    exit 0
fi
kernels=
[ -e "${WHERRY_KERNEL:-$(dirname "$WHERRY")/../wherry}" ] && kernels=wherry
ls /boot/vmlinuz-* >/dev/null 2>&1 && kernels="$kernels linux"
LIMIT=60

free_port() { # nobody else's
    /usr/bin/python3 -c \
        'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A process that has ended may stay for a moment until it is reaped.
gone() {
    for i in 1 2 3 4 5 6 7 8 9 10; do
        [ -d "/proc/$1" ] || return 0
        sleep 0.1
    done
    return 1
}

serve() { # KERNEL
    port=$(free_port)
    "$WHERRY" $run -p "$port:6379" redis-server -- --save '' --protected-mode no \
        >out 2>err </dev/null &
    pid=$!
    i=0
    got=
    while [ "$got" != PONG ] && [ $i -lt 50 ]; do
        sleep 0.2
        i=$((i + 1))
        got=$(timeout 5 redis-cli -p "$port" ping 2>/dev/null)
    done
    [ "$got" = PONG ]
    ok $? "$1: Debian's redis-server answers through a forwarded port"
    refuses "$1: the port is in use meanwhile" "is in use" run --kernel $1 -p "$port:1" "$bb"
    children=$(cat "/proc/$pid/task/$pid/children")
    kill -TERM $pid
    wait $pid
    [ $? -eq 143 ]
    ok $? "$1: SIGTERM ends the guest, with 128 + its number"
    left=0
    for c in $children; do
        gone "$c" || left=1
    done
    [ -n "$children" ] && [ $left -eq 0 ]
    ok $? "$1: no monitor is left behind"
}

for k in $kernels; do
    run="run --quiet --kernel $k --timeout 50"
    machines="microvm q35 pc"
    [ $k = linux ] || machines="$machines microvm-noacpi"
    for m in $machines; do
        w $run --machine $m -e "GREETING=good day" "$bb" -- sh -c \
            'echo "$GREETING" "$@"; test -c /dev/null && exit 7' sh 'two words' '' -- last
        [ $status -eq 7 ] && [ "$(tr -d '\r' <out)" = 'good day two words  -- last' ]
        ok $? "$k on $m: console, environment, arguments and exit status"
    done
    w $run --net none "$bb" -- sh -c 'kill -9 $$'
    [ $status -eq 137 ]
    ok $? "$k: death by a signal is 128 + its number"
    w $run --net none /bin/true
    [ $status -eq 0 ] && [ ! -s err ]
    ok $? "$k: a dynamic program, quietly"
    for c in gzip zstd; do
        w $run --net none --compress $c "$bb" -- echo unpacked
        [ "$(tr -d '\r' <out)" = unpacked ]
        ok $? "$k: a root file system compressed with $c"
    done
    w run --kernel $k --net none --timeout 4 "$bb" -- sleep 100
    [ $status -eq 124 ] && grep -q 'timeout' err
    ok $? "$k: --timeout ends the guest with 124"
    if command -v redis-server >/dev/null && command -v redis-cli >/dev/null &&
        [ -x /usr/bin/python3 ]; then
        serve $k
    fi
done
finish
