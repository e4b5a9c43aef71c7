#!/bin/sh
# Proves that Debian's knot, with its threads, gives every answer of 10,000, by UDP and by TCP.
# limit: 200
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
need knotd dnsperf
[ -x $python ] || plan_skip "there is no $python"
. "$(dirname "$0")/dns.sh"

use_tap
make_names
{
    # shellcheck disable=SC2016 # zone file words
    echo '$ORIGIN example.test.'
    # shellcheck disable=SC2016
    echo '$TTL 300'
    echo '@ SOA ns hostmaster 1 3600 600 86400 300'
    echo '@ NS ns'
    echo 'ns A 10.99.0.2'
    while read -r name a aaaa; do
        echo "$name A $a"
        echo "$name AAAA $aaaa"
    done <"$dir/names"
} >"$dir/zone"
mkdir -p "$dir/db" "$dir/run"
: >"$dir/db/keep"
: >"$dir/run/keep"
cat >"$dir/knot.conf" <<'C'
server:
    rundir: "/run/knot"
    listen: 0.0.0.0@53
    udp-workers: 2
    tcp-workers: 2
    background-workers: 1
log:
  - target: stdout
    any: info
database:
    storage: "/db"
    journal-db-max-size: 16M
    kasp-db-max-size: 16M
    timer-db-max-size: 1M
zone:
  - domain: example.test
    file: "/zone"
    journal-content: none
C
serve "53 53/udp" -m 512M -v "$dir/knot.conf:/etc/knot.conf" -v "$dir/zone:/zone" -v "$dir/db:/db" \
    -v "$dir/run:/run/knot" "$(command -v knotd)" -- -c /etc/knot.conf
# shellcheck disable=SC2086 # a prefix of words
wait_for 60 $client $python "$dir/ask.py" "$host" "$port" n0.example.test A
ok $? "knotd boots"
try_dns
healthy "nothing to complain of"
finish
