#!/bin/sh
# Proves that the requester (kernel/roce) works with another implementation than our own: Linux's rdma_rxe, in a
# guest with Debian's generic kernel, where wherry memnode --verbs gives it memory and queue pairs and rests. The
# requester on the host (rxe/live.c) reads and writes there at random; then tests/guest/farshake has most of its memory
# there, at path MTU 4096 and 1024, and with 1 % of the packets lost each way. Captures of that are dissected by
# tshark, their ICRCs recomputed by zlib's CRC and scapy. A client that shares no code with the node shows that its
# sessions hold on such a device. 60 s; TEST_LIMIT=1800 FARSHAKE_OPERATIONS=20000 for more.
# limit: 300
# shellcheck disable=SC1091,SC2034,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gcc busybox modprobe rdma tc ldd
operations=${FARSHAKE_OPERATIONS:-1000}
seed=${FARSHAKE_SEED:-$$}
LIMIT=${TEST_LIMIT:-90}

# The newest kernel that has rdma_rxe, and the modules that the guest needs, in the order of their loading.
for kernel in $(find /boot -name 'vmlinuz-*' | sort -rV) none; do
    version=${kernel#/boot/vmlinuz-}
    [ ! -f "/lib/modules/$version/kernel/drivers/infiniband/sw/rxe/rdma_rxe.ko" ] || break
done
[ "$kernel" != none ] || plan_skip "no kernel here has rdma_rxe (scripts/deps rdma; the cloud kernel has not)"
driver=$(find /usr/lib -name 'librxe-rdmav*.so' 2>/dev/null | head -n 1)
[ -n "$driver" ] || plan_skip "there is no librxe-rdmav*.so (scripts/deps rdma)"
! "$WHERRY" memnode --memory 1M --verbs none 2>&1 | grep -q 'without libibverbs' ||
    plan_skip "wherry was built without libibverbs (scripts/deps rdma, then make)"

cd "$dir" || exit 1
passes "the test program compiles" gcc -O1 -Wall -Wextra -Werror -static -o farshake \
    "$top"/tests/guest/farshake/*.c -pthread
# shellcheck disable=SC2016 # the inner shell's
passes "the requester compiles for the host" sh -c 'cd "$0" && gcc -std=gnu11 -O1 -Wall -Wextra -Werror \
    -Wno-unused-parameter -DWHERRY_HOST_TEST -fno-strict-aliasing -iquote kernel -Iinclude -o "$1" \
    tests/guest/rxe/live.c tests/unit/shim.c kernel/roce/qp.c kernel/roce/qp_input.c kernel/roce/icrc.c \
    kernel/roce/crc_sparse.c kernel/roce/crc_pclmul.c' "$top" "$dir/live"
mkdir modules
PATH="$PATH:/usr/sbin:/sbin"
for module in virtio_net rdma_rxe crc32_generic sch_prio sch_netem sch_ingress cls_u32 act_mirred ifb; do
    modprobe -S "$version" --show-depends "$module"
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r file; do
    cp "$file" modules/
    basename "$file" >>order
done
echo secret >key

# All that the guest runs is packed with its libraries, which wherry run does for a program by itself.
set -- -v "$dir/modules:/rxe/modules" -v "$dir/order:/rxe/order" -v "$dir/key:/rxe/key" \
    -v "$top/tests/guest/rxe/guest:/rxe/guest" -v "$driver:$driver" \
    -v /etc/libibverbs.d/rxe.driver:/etc/libibverbs.d/rxe.driver
for program in "$WHERRY" "$(command -v rdma)" "$(command -v tc)"; do
    set -- "$@" -v "$program:/rxe/$(basename "$program")"
done
for library in $(ldd "$WHERRY" "$(command -v rdma)" "$(command -v tc)" "$driver" |
    sed -n 's#^[^/]*\(/[^ ]*\) (.*#\1#p' | sort -u); do
    set -- "$@" -v "$library:$library"
done
GUEST_LIMIT=${TEST_LIMIT:-290}
serve "" --kernel "$kernel" --net none -m 640M "$@" \
    --vmm-arg -netdev --vmm-arg "stream,id=link,server=on,addr.type=unix,addr.path=$dir/link" \
    --vmm-arg -device --vmm-arg virtio-net-device,netdev=link,host_mtu=9000 busybox -- sh /rxe/guest
linux=$console
# shellcheck disable=SC2016 # the inner shell's
wait_for 90 sh -c '[ "$(grep -c "^listening: .* device rxe0" "$1")" -eq 3 ]' sh "$linux"
ok $? "a Linux guest lends memory at three addresses of its rdma_rxe" || finish

"$python" "$top/tests/guest/rxe/client.py" "$dir/link" 10.88.0.1 secret "$dir/live" $((operations * 3 / 10)) >out 2>&1
status=$?
cp out client
while read -r result name; do
    case $result in
    [01]) ok "$result" "$name" ;;
    '#') diag "$name" ;;
    *) diag "$result $name" ;;
    esac
done <client
[ "$status" -eq 0 ] && [ "$(grep -c '^0' client)" -eq 9 ]
ok $? "... to a client that is none of ours"

fact() { # NAME: of the newest capture
    sed -n "s/^$1=//p" facts
}

# shaken NAME ADDRESS OPERATIONS [MINIMUM FACT]...: farshake finds nothing wrong on that node, check.py nothing in the
# capture, and so much of it is there.
shaken() {
    name=$1
    address=$2
    number=$3
    shift 3
    w -m 256M --far "unix:$dir/link,ip=$address,size=64M,local=4M,prefetch=sequential,key=key" \
        --vmm-arg -object --vmm-arg "filter-dump,id=dump,netdev=net0,file=$dir/capture" \
        ./farshake -- "$number" "$seed" 32 4
    evicted=$(sed -n 's/^wherry_far_evicted_total \([0-9]*\).*/\1/p' out)
    faults=$(sed -n 's/^wherry_far_faults_total \([0-9]*\).*/\1/p' out)
    diag "${evicted:-no} evictions, ${faults:-no} faults"
    [ "$status" -eq 0 ] && grep -qa '^farshake: .* pages verified, 0 wrong' out && [ "${evicted:-0}" -ge 2000 ] &&
        [ "${faults:-0}" -ge 300 ]
    good=$?
    if grep -qa 'is lost' out; then # and is back: with losses rxe sometimes ends a connection (CAVEATS.md)
        times=$(grep -ac 'is lost' out)
        diag "$times times the node was lost$(sed -n 's/.* is lost: /, it /p' out | tr '\r\n' '  ')"
        case $name in
        *lost*) [ "$times" -le 3 ] || good=1 ;;
        *) good=1 ;;
        esac
    fi
    ok $good "$name" || diag "seed $seed, status $status: $(grep -a '^farshake: .* wrong\|is lost\|operation .* of seed' out | tail -n 3)"
    "$python" "$top/tests/guest/rxe/check.py" capture "$address" >facts 2>&1
    good=$?
    cp facts out
    rm -f capture
    [ "$good" -eq 0 ] && [ "$(fact wrong_icrc)$(fact wrong_address)$(fact wrong_direction)" = 000 ]
    ok $? "... $(fact requests) requests, $(fact responses) responses: every ICRC is right"
    if [ "$(fact scapy)" ]; then
        [ "$(fact wrong_scapy)" = 0 ] && [ "$(fact scapy)" -ge 1500 ]
        ok $? "... and scapy's of $(fact scapy) of them is the same"
    else
        skip "... and scapy's is the same" "python3-scapy is not installed"
    fi
    if [ "$(fact tshark)" ]; then
        [ "$(fact wrong_tshark)" = 0 ] && [ "$(fact tshark)" -eq $(($(fact requests) + $(fact responses))) ]
        ok $? "... and tshark dissects all, without complaint"
    else
        skip "... and tshark dissects all" "tshark is not installed"
    fi
    good=0
    while [ $# -gt 0 ]; do
        [ "$(fact "$2")" -ge "$1" ] || { diag "$2: $(fact "$2"), not $1" && good=1; }
        shift 2
    done
    [ "$(fact nak_fatal)" = 0 ] || good=1
    ok $good "... of all kinds that belong there, and no fatal NAK"
}

shaken "far memory on rdma_rxe, a page in a packet" 10.88.0.1 "$operations" \
    1000 write_only 1000 read 1000 read_only 200 acknowledge
shaken "... at path MTU 1024" 10.89.0.1 "$operations" \
    1000 write_first 2000 write_middle 1000 write_last 1000 read 1000 read_first 2000 read_middle 1000 read_last
shaken "... and 1 % of the packets lost, each way" 10.90.0.1 $((operations / 2)) \
    1000 write_first 1000 read_first 20 nak_sequence 500 repeated
! grep -aE 'rxe guest:|BUG:|WARNING:|Oops|rdma_rxe:|memnode:' "$linux" >out
ok $? "Linux has complained of nothing"
finish
