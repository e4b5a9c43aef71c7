#!/bin/sh
# Proves `wherry run` end to end with Debian's kernel: exit statuses, console, environment,
# arguments, network, time limit, signals; on both buses.
# shellcheck disable=SC1091,SC2016,SC2034,SC2059,SC2086,SC2123,SC2154,SC2238 # words on purpose
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1
bb=$(command -v busybox)
if ! ls /boot/vmlinuz-* >/dev/null 2>&1 || ! command -v qemu-system-x86_64 >/dev/null ||
    [ -z "$bb" ]; then
    echo "1..0 # skip needs QEMU, a Linux kernel and busybox-static"
    exit 0
fi
LIMIT=60
run="run --quiet --kernel linux --timeout 50"

for m in microvm q35; do
    w $run --machine $m -e "GREETING=good day" "$bb" -- sh -c \
        'echo "$GREETING" "$@"; test -c /dev/null && exit 7' sh 'two words' '' -- last
    [ $status -eq 7 ] && [ "$(tr -d '\r' <out)" = 'good day two words  -- last' ]
    ok $? "$m: console, environment, arguments and exit status"
done
w $run --machine q35 --net none "$bb" -- sh -c 'kill -9 $$'
[ $status -eq 137 ]
ok $? "death by a signal is 128 + its number"
w $run --net none /bin/true
[ $status -eq 0 ] && [ ! -s err ]
ok $? "a dynamic program, quietly"
w run --kernel linux --net none --timeout 4 "$bb" -- sleep 100
[ $status -eq 124 ] && grep -q 'timeout' err
ok $? "--timeout ends the guest with 124"

free_port() { # nobody else's
    /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
if [ -x /usr/bin/python3 ]; then
    port=$(free_port)
    mkdir site && echo hello >site/index.html
    "$WHERRY" $run -p "$port:80" -v "$dir/site:/site" "$bb" -- httpd -f -p 80 -h /site \
        >out 2>err </dev/null &
    pid=$!
    i=0
    got=
    while [ -z "$got" ] && [ $i -lt 100 ]; do
        sleep 0.2
        i=$((i + 1))
        got=$(/usr/bin/python3 -c "import urllib.request
print(urllib.request.urlopen('http://127.0.0.1:$port/', timeout=2).read().decode().strip())" \
            2>/dev/null)
    done
    [ "$got" = hello ]
    ok $? "a server answers through a forwarded port"
    children=$(cat "/proc/$pid/task/$pid/children")
    kill -TERM $pid
    wait $pid
    [ $? -eq 143 ]
    ok $? "SIGTERM ends the guest, with 128 + its number"
    left=0
    for c in $children; do
        [ -d "/proc/$c" ] && left=1
    done
    [ -n "$children" ] && [ $left -eq 0 ]
    ok $? "no monitor is left behind"
fi
finish
