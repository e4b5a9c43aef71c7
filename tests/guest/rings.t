#!/bin/sh
# Proves that both kinds of rings carry packets and disk requests in several pieces, with and without indirect
# descriptors, of a card and of a disk: a file that is read from the disk and sent by TCP arrives unchanged,
# several times at once. And that the guest uses what the device offers.
# limit: 120
# shellcheck disable=SC1091,SC2154,SC2086 # lib.sh's variables; $client and $words are words
. "$(dirname "$0")/lib.sh"
need nginx curl md5sum
use_tap || plan_skip "needs a tap interface"
host=10.99.0.2

mkdir -p "$dir/site" "$dir/var/log/nginx" "$dir/var/lib/nginx"
head -c 20000001 /dev/urandom >"$dir/site/big"
sum=$(md5sum <"$dir/site/big" | cut -d' ' -f1)
cat >"$dir/nginx.conf" <<'C'
daemon off;
master_process off;
user root;
error_log /dev/stderr;
pid /var/nginx.pid;
events { worker_connections 64; }
http {
    access_log off;
    sendfile off;
    output_buffers 2 256k;
    server { listen 80; root /site; }
}
C

fetch() { # NUMBER
    timeout 40 $client curl -sS -m 30 "http://$host/big" 2>>"$dir/out" | md5sum | cut -d' ' -f1 >"$dir/sum$1"
}

# MACHINE KIND-OF-DEVICE RINGS WORDS...: the offers of both devices. The guest names what it uses.
try() {
    machine=$1 kind=$2 rings=$3
    shift 3
    name="$machine, $rings rings, $*"
    words=
    for word; do
        words="$words --vmm-arg -global --vmm-arg virtio-net-$kind.$word --vmm-arg -global --vmm-arg virtio-blk-$kind.$word"
    done
    guest_number=$((${guest_number:-0} + 1))
    console=$dir/console$guest_number
    $client "$WHERRY" run --timeout 60 --machine "$machine" -m 128M --root disk --net "tap:wt0,ip=$host/24,gw=10.99.0.1" \
        --verbose $words -v "$dir/site:/site" -v "$dir/var:/var" -v "$dir/nginx.conf:/etc/nginx.conf" \
        "$(command -v nginx)" -- -c /etc/nginx.conf >"$console" 2>&1 </dev/null &
    guest=$!
    guests="$guests $guest"
    : >"$dir/out"
    wait_for 30 $client curl -sS -m 3 -o /dev/null "http://$host/none"
    fetches=
    for i in 1 2 3; do
        fetch $i &
        fetches="$fetches $!"
    done
    wait $fetches
    [ "$(cat "$dir"/sum[123] | sort -u)" = "$sum" ]
    ok $? "$name: what is read from the disk arrives unchanged, three times at once"
    used=
    for device in net blk; do
        uses=$(tr -d '\r' <"$console" | grep "^virtio[0-9]: $device at .*; $rings rings ")
        uses=${uses#*; uses }
        uses=" ${uses%; leaves*} "
        for word; do
            case $word:$uses in
            packed=*) ;;
            *=on:*" ${word%=*} "*) ;;
            *=on:*) used="$used $device does not use ${word%=*}" ;;
            *" ${word%=*} "*) used="$used $device uses ${word%=*}" ;;
            esac
        done
        [ "$uses" != "  " ] || used="$used no $device with $rings rings"
    done
    [ -z "$used" ] || diag "$used"
    [ -z "$used" ]
    ok $? "... and both devices use what they have"
    healthy "... without a complaint"
    stop
}

try microvm device split indirect_desc=on
try q35 pci split indirect_desc=off
try q35 pci packed indirect_desc=on packed=on
try microvm device packed indirect_desc=off packed=on
if qemu-system-x86_64 -device virtio-net-pci,help | grep -q '^  in_order='; then
    try q35 pci split indirect_desc=on in_order=on
    try q35 pci packed indirect_desc=on in_order=on packed=on
else
    skip "rings in order" "this QEMU cannot (9.1 can)"
fi
finish
