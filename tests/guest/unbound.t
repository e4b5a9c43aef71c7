#!/bin/sh
# Proves that Debian's unbound gives every answer of 10,000, by UDP and by TCP.
# limit: 200
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
need unbound dnsperf
[ -x $python ] || plan_skip "there is no $python"
. "$(dirname "$0")/dns.sh"

use_tap
make_names
{
    cat <<'C'
server:
    interface: 0.0.0.0
    access-control: 0.0.0.0/0 allow
    do-daemonize: no
    chroot: ""
    username: ""
    directory: "/"
    pidfile: ""
    use-syslog: no
    logfile: ""
    num-threads: 1
    module-config: "iterator"
    local-zone: "example.test." static
C
    while read -r name a aaaa; do
        echo "    local-data: \"$name.example.test. A $a\""
        echo "    local-data: \"$name.example.test. AAAA $aaaa\""
    done <"$dir/names"
    echo "remote-control:"
    echo "    control-enable: no"
} >"$dir/unbound.conf"
serve "53 53/udp" -m 256M -v "$dir/unbound.conf:/etc/unbound.conf" "$(command -v unbound)" -- \
    -d -c /etc/unbound.conf
# shellcheck disable=SC2086 # a prefix of words
wait_for 60 $client $python "$dir/ask.py" "$host" "$port" n0.example.test A
ok $? "unbound boots"
try_dns
healthy "nothing to complain of"
finish
