# Shell helpers of the tests that boot guests: TAP on stdout, a directory that goes away, guests
# that end with the test. Sourced; needs WHERRY (the tool) and WHERRY_KERNEL, as make gives them.
# shellcheck shell=sh disable=SC2034 # variables are for the tests
top=$(cd "$(dirname "$0")/../.." && pwd)
WHERRY=${WHERRY:-$top/build/bin/wherry}
WHERRY_B=${WHERRY_B:-$(dirname "$(dirname "$WHERRY")")}
export WHERRY_KERNEL="${WHERRY_KERNEL:-$WHERRY_B/wherry}"
python=/usr/bin/python3 # Debian's, whatever comes first in PATH

plan_skip() { # REASON: the whole file
    echo "1..0 # skip $1"
    exit 0
}

[ -x "$WHERRY" ] || plan_skip "there is no $WHERRY"
[ -f "$WHERRY_KERNEL" ] || plan_skip "there is no kernel $WHERRY_KERNEL"
command -v qemu-system-x86_64 >/dev/null || plan_skip "there is no QEMU"

dir=$(mktemp -d "${TMPDIR:-/tmp}/wherry-test.XXXXXX")
nr=0
failed=0
guests=   # process ids of running guests
netns=    # of use_tap
client=   # the words in front of a command that runs in it
console=/dev/null # of the newest guest, or what the last w printed
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

cleanup() {
    for pid in $guests; do
        stop_process "$pid"
    done
    [ -z "$netns" ] || ip netns del "$netns" 2>/dev/null
    rm -rf "$dir"
}

# need COMMAND...: skips the file where one is missing.
need() {
    for c; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "$c" >/dev/null || plan_skip "there is no $c"
    done
}

diag() {
    printf '%s\n' "$*" | sed 's/^/# /'
}

# ok STATUS NAME. A failure shows the end of the newest guest's console and of $dir/out.
ok() {
    nr=$((nr + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $nr - $2"
        return 0
    fi
    echo "not ok $nr - $2"
    for f in "$dir/out" "$console"; do
        [ -s "$f" ] && tail -n 25 "$f" | tr -d '\r' | sed "s/^/# $(basename "$f"): /"
    done
    failed=1
    return 1
}

# passes NAME COMMAND...: the command, whose output is kept in $dir/out, succeeds in its time.
passes() {
    passes_name=$1
    shift
    timeout -k 5 "${LIMIT:-60}" "$@" >"$dir/out" 2>&1 </dev/null
    ok $? "$passes_name"
}

# contains NAME TEXT: the newest output ($dir/out) has TEXT.
contains() {
    grep -qF -- "$2" "$dir/out"
    ok $? "$1"
}

skip() { # NAME REASON
    nr=$((nr + 1))
    echo "ok $nr - $1 # skip $2"
}

finish() {
    echo "1..$nr"
    exit $failed
}

# w ARGS...: wherry run to its end, in at most LIMIT seconds; $status and $dir/out are its result.
w() {
    status=0
    console=$dir/out
    timeout -k 5 "${LIMIT:-30}" "$WHERRY" run -q --net none "$@" >"$dir/out" 2>&1 </dev/null ||
        status=$?
}

# ends_with STATUS NAME ARGS...: so does wherry run ARGS.
ends_with() {
    wanted=$1
    ends_name=$2
    shift 2
    w "$@"
    [ "$status" -eq "$wanted" ] || diag "status $status, not $wanted"
    [ "$status" -eq "$wanted" ]
    ok $? "$ends_name"
}

# A port that nothing listens on, TCP and UDP, below the range the system gives out by itself.
free_port() {
    perl -MIO::Socket::INET -e '
        for (1 .. 200) {
            my $p = 20000 + int rand 12000;
            my @a = (LocalAddr => "127.0.0.1", LocalPort => $p);
            my $t = IO::Socket::INET->new(@a, Proto => "tcp", Listen => 1) or next;
            my $u = IO::Socket::INET->new(@a, Proto => "udp") or next;
            print "$p\n";
            exit 0;
        }
        exit 1;'
}

# use_tap: guests get a tap interface in a network namespace of the test's own, so that load meets
# no user-mode network. False, with a diagnostic, where that needs privileges we lack. Clients run
# as: client COMMAND...
use_tap() {
    netns=wherry-$$
    if [ "$(id -u)" -ne 0 ] || [ ! -c /dev/net/tun ] || ! ip netns add "$netns" 2>/dev/null; then
        netns=
        diag "no tap interface (needs root, /dev/net/tun and ip netns): user-mode network"
        return 1
    fi
    if ip -n "$netns" link set lo up && ip -n "$netns" tuntap add dev wt0 mode tap &&
        ip -n "$netns" addr add 10.99.0.1/24 dev wt0 && ip -n "$netns" link set wt0 up &&
        ip -n "$netns" -6 addr add fd99::1/64 dev wt0 nodad 2>/dev/null; then
        client="ip netns exec $netns"
        # Clients that connect again and again keep half the ports in TIME_WAIT; then Linux looks
        # for a free one for milliseconds.
        $client sh -c 'echo 2000 >/proc/sys/net/ipv4/tcp_max_tw_buckets
            echo 2000 65000 >/proc/sys/net/ipv4/ip_local_port_range' 2>/dev/null
        return 0
    fi
    ip netns del "$netns" 2>/dev/null
    netns=
    diag "cannot make a tap interface: user-mode network"
    return 1
}

client() {
    # shellcheck disable=SC2086 # a prefix of words
    $client "$@"
}

# serve "PORT[/udp] ..." ARGS...: boots a guest in the background; $host and $port_PORT say where
# its ports are reached, $port is the first. $guest is the tool's process id. Should the test be
# killed, the guest ends after GUEST_LIMIT seconds.
serve() {
    ports=$1
    shift
    port=
    options=
    for p in $ports; do
        number=${p%/udp}
        if [ -n "$netns" ]; then
            host=10.99.0.2
            here=$number
        else
            host=127.0.0.1
            eval "here=\${port_$number:-}"
            [ -n "$here" ] || here=$(free_port)
            options="$options -p $here:$p"
        fi
        eval "port_$number=$here"
        port=${port:-$here}
    done
    [ -z "$netns" ] || options="--net tap:wt0,ip=10.99.0.2/24,gw=10.99.0.1"
    guest_number=$((${guest_number:-0} + 1))
    console=$dir/console$guest_number
    # shellcheck disable=SC2086 # options are words
    $client "$WHERRY" run -q --timeout "${GUEST_LIMIT:-1200}" $options "$@" >"$console" 2>&1 \
        </dev/null &
    guest=$!
    guests="$guests $guest"
}

alive() {
    kill -0 "$guest" 2>/dev/null
}

# wait_for SECONDS COMMAND...: until it succeeds; false if it never does or the guest ends.
wait_for() {
    tries=$(($1 * 5))
    shift
    while [ $tries -gt 0 ]; do
        timeout -k 1 5 "$@" >"$dir/wait" 2>&1 </dev/null && return 0
        alive || return 1
        sleep 0.2
        tries=$((tries - 1))
    done
    return 1
}

stop_process() {
    kill -TERM "$1" 2>/dev/null || :
    n=0
    while kill -0 "$1" 2>/dev/null && [ $n -lt 50 ]; do
        sleep 0.1
        n=$((n + 1))
    done
    kill -KILL "$1" 2>/dev/null || :
    wait "$1" 2>/dev/null || :
}

# Ends the newest guest.
stop() {
    stop_process "$guest"
    # shellcheck disable=SC2086 # one a line
    guests=$(printf '%s\n' $guests | grep -vx "$guest" | tr '\n' ' ')
}

# healthy NAME: the newest guest runs, and its kernel has complained of nothing.
healthy() {
    alive && ! grep -qE 'wherry: panic|application died' "$console"
    ok $? "$1"
}
