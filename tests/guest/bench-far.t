#!/bin/sh
# Proves wherry bench with far memory: Wherry with a memory node and a Linux guest that swaps to a network block device
# on this host are both measured with half of a store's memory, by the same client; both really page, their counters
# are read in the running guest, and what a page costs is told of both. 60 s.
# limit: 300
# shellcheck disable=SC1091,SC2154,SC2181 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need redis-server gnuplot unshare ip nm qemu-nbd
[ -x "$python" ] || plan_skip "there is no $python"
[ -c /dev/net/tun ] || plan_skip "there is no /dev/net/tun"
unshare --net true 2>/dev/null || plan_skip "needs a network namespace"
ls /boot/vmlinuz-*cloud* >/dev/null 2>&1 || plan_skip "there is no Linux kernel to compare with"
cd "$dir" || exit 1

cat >spec.json <<'E'
{
  "name": "t", "memory": 192, "far": {"size": 128},
  "systems": [{"kind": "wherry", "name": "far", "far": {"prefetch": "sequential"}},
    {"kind": "linux", "far": {"set": ["page-cluster=0", "scheduler=none"]}}],
  "programs": [{"name": "redis", "program": "redis-server", "args": ["--save", "", "--protected-mode", "no"], "footprint": 14},
    {"name": "farmicro", "program": "@BUILD@/bench/farmicro", "args": ["8", "1"], "footprint": 8}],
  "workloads": [
    {"name": "get", "proto": "redis", "programs": ["redis"], "closed": [{"connections": 4}], "published": "far-get",
      "options": {"workload": "get", "keys": 256, "value-dist": "six", "load": true, "timeout": 30000}},
    {"name": "pages", "proto": "pages", "programs": ["farmicro"]}],
  "sweeps": [{"by": "local", "values": [100, 50], "workloads": ["get"]},
    {"by": "local", "values": [50], "workloads": ["pages"]}],
  "seconds": 1, "warmup": 0.2, "repeats": 1, "attempts": 1, "knee": {"trials": 0}, "instructions": {"requests": 0}
}
E

# records EXPRESSION: how many records r there are for which it is true.
records() {
    $python -c 'import json, sys
print(sum(bool(eval("(" + sys.argv[1] + ")")) for r in map(json.loads, open("sweep/raw.jsonl"))))' "$1"
}
LIMIT=250 passes "a sweep over local memory" "$WHERRY" bench --out sweep --seed 3 spec.json
[ "$(records 'r["record"] in ("failure", "skipped")')" -eq 0 ] || diag "$(grep '"record":"failure"' sweep/raw.jsonl | cut -c1-3000)"
[ "$(records 'r["record"] == "done"')" -eq 6 ]
ok $? "every boot comes to its end"
[ "$(records 'r["record"] == "point" and r["result"] and r["result"]["good"] > 0 and
    r["result"]["good"] == r["result"]["answered"]')" -eq 4 ]
ok $? "every answer of the store is right, whatever is local"
[ "$(records 'r["record"] == "point" and r["setting"]["local"] == 100 and r["far"]["stalls"] == 0')" -eq 2 ]
ok $? "where all is local no request waits for a page"
[ "$(records 'r["record"] == "point" and r["setting"]["local"] == 50 and r["system"] == "far" and
    r["far"]["stalls"] > 10 and r["far"]["evicted"] > 10')" -eq 1 ]
ok $? "with half of it Wherry's faults and evictions are counted"
[ "$(records 'r["record"] == "point" and r["setting"]["local"] == 50 and r["system"] == "linux" and
    r["far"]["stalls"] > 10 and r["far"]["pswpin"] > 10')" -eq 1 ]
ok $? "... and Linux's major faults and pages that came in"
[ "$(records 'r["record"] == "pages" and r["result"]["pages"] == 2048 and r["result"]["wrong"] == 0 and
    r["result"]["p99"] > 20000')" -eq 2 ]
ok $? "what a page costs is told of both, and every page came back right"
contains "the table has what is left of the throughput" "retention (50 % / 100 %)"
contains "... the published figures" "27,701"
contains "... and the pages" "What a page costs"
finish
