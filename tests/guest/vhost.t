#!/bin/sh
# Proves that a guest behind vhost-user answers wherry pktgen: every echo and every answer of the store is
# verified, in closed and open loops, from many addresses, after the peer went away and came back, and while
# frames come that no server should answer.
# limit: 240
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need "$python"
pktgen=$WHERRY_B/bin/wherry-pktgen
[ -x "$pktgen" ] || plan_skip "there is no wherry-pktgen, which needs DPDK (scripts/deps dpdk)"
socket=$dir/net.sock

# peer WORDS...: starts the generator, which goes on with what `again` tells it.
peer() {
    rm -f "$socket" "$dir/words" "$dir/results"
    mkfifo "$dir/words"
    results=0
    timeout -k 5 200 "$WHERRY" pktgen --socket "$socket" --lines "$@" \
        <"$dir/words" >"$dir/results" 2>"$dir/out" &
    peer=$!
    exec 3>"$dir/words"
    n=0
    while [ ! -S "$socket" ] && [ $n -lt 100 ]; do
        sleep 0.1
        n=$((n + 1))
    done
}

# result: waits for the generator's next one, $dir/result.
result() {
    results=$((results + 1))
    n=0
    while [ "$(wc -l <"$dir/results")" -lt $results ] && kill -0 $peer 2>/dev/null && [ $n -lt 900 ]; do
        sleep 0.1
        n=$((n + 1))
    done
    sed -n "${results}p" "$dir/results" >"$dir/result"
}

again() { # WORDS...: another run of the generator
    echo "$*" >&3
    result
}

end_peer() {
    exec 3>&-
    wait $peer
}

boot() { # ARGS...: the guest behind the peer; $words are for its network card
    guest_number=$((${guest_number:-0} + 1))
    console=$dir/console$guest_number
    "$WHERRY" run -q --timeout 300 --machine q35 \
        --net "vhost-user:$socket,ip=10.77.0.2/24,gw=10.77.0.1$words" "$@" >"$console" 2>&1 </dev/null 3>&- &
    guest=$!
    guests="$guests $guest"
    result
}

# judge NAME EXPRESSION: of r, the result, p, what it says of frames, and e, the number of errors.
judge() {
    "$python" - "$dir/result" "$2" >>"$dir/out" 2>&1 <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
p, e = r["pktgen"], sum(r["errors"].values())
odd = p["duplicate"] + p["unknown"] + p["in"]["ip_sum"] + p["in"]["udp_sum"] + p["in"]["short"]
ok = eval(sys.argv[2])
print({k: r[k] for k in ("sent", "good", "errors", "throughput", "invalid")}, p)
sys.exit(0 if ok else 1)
PY
    ok $? "$1"
}

words=
for kind in split packed; do
    [ $kind = split ] || words=,packed=on,mrg_rxbuf=off,event_idx=off,rx_queue_size=1024
    peer --echo --seconds 2 --window 32
    boot "$WHERRY_B/bench/udp_echo" -- -e
    judge "$kind ring: a closed loop of echoes, none lost or wrong" \
        'e == 0 and odd == 0 and r["good"] > 1000'
    again --seconds 2 --rate 2000 --arrivals constant
    judge "$kind ring: an open loop, none lost or wrong" \
        'e == 0 and odd == 0 and r["sent"] == 4000'
    if [ $kind = split ]; then
        again --seconds 1 --rate 5000000 --timeout 100
        judge "$kind ring: beyond what anybody can do it is late, which tells, and not busy, which does not" \
            'p["busy"] > 0.9 * p["wall"] and "was late" in str(r["invalid"]) and "short of CPU" not in str(r["invalid"])'
    fi
    again --seconds 2 --window 64 --bad 0.5
    judge "$kind ring: bad frames are not sent back" \
        'r["errors"]["wrong"] == 0 and odd == 0 and p["bad"]["sent"] > 500 and p["bad"]["wrong"] == 0'
    again --seconds 1 --window 32 --frame 1514
    judge "$kind ring: and then the largest frames are" 'e == 0 and odd == 0 and r["good"] > 500'
    end_peer
    if [ $kind = split ]; then # of a packed ring QEMU does not know where its dead peer was
        peer --echo --seconds 1
        result
        judge "$kind ring: another peer takes the dead one's place" 'e == 0 and odd == 0 and r["good"] > 500'
        end_peer
    fi
    healthy "$kind ring: the guest is well"
    stop
done

words=
if [ -x "$WHERRY_B/apps/udpkv-socket" ]; then
    peer --load --workload 95/5 --seconds 2
    boot "$WHERRY_B/apps/udpkv-socket" -- -n 20000 -v 1000
    judge "the store: filled, read back, and every answer right" \
        'e == 0 and odd == 0 and r["good"] > 1000'
    again --workload 50/50 --key-dist zipfian --value-size 1000 --keys 1000 --load --seconds 2 --window 64
    judge "the store: larger values" 'e == 0 and odd == 0 and r["good"] > 500'
    again --keys 1000 --value-size 1000 --seconds 2 --bad 1 --workload 50/50
    judge "the store: bad requests are told so or not answered, and change nothing" \
        'r["errors"]["wrong"] == 0 and odd == 0 and p["bad"]["wrong"] == 0 and p["bad"]["answered"] > 100'
    again --keys 1000 --value-size 1000 --seconds 2 --sources 10.77.0.0/25 --ports 1000
    judge "the store: from many addresses and ports" \
        'r["errors"]["wrong"] == 0 and odd == 0 and r["good"] > 500'
    end_peer
    healthy "the store: the guest is well"
    stop
else
    skip "the store" "there is no udpkv-socket"
fi
finish
