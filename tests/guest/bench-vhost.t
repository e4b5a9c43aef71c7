#!/bin/sh
# Proves wherry bench over vhost-user: the raw interface on Wherry and DPDK in a Linux guest are measured by
# one polling generator, a store in closed and open loops, with the knee and what lies around it, and
# instructions, idle polls told apart; that DPDK's testpmd counts what the generator counts; and that a tap takes its place where there is no DPDK.
# limit: 300
# shellcheck disable=SC1091,SC2016,SC2154,SC2181 # python's words; lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gnuplot unshare ip
[ -x "$python" ] || plan_skip "there is no $python"
unshare --net true 2>/dev/null || plan_skip "needs a network namespace"
[ -f "$WHERRY_B/apps/udpkv-raw" ] || plan_skip "there is no udpkv-raw"
cd "$dir" || exit 1
ready=
[ -x "$WHERRY_B/bin/wherry-pktgen" ] && [ -x "$WHERRY_B/apps/udpkv-dpdk" ] &&
    ls /boot/vmlinuz-*-cloud-amd64 >/dev/null 2>&1 && ready=yes

cat >spec.json <<'E'
{
  "name": "t", "network": "vhost-user", "boot_limit": 60,
  "systems": [
    {"kind": "wherry", "name": "raw", "memory": 32},
    {"kind": "dpdk", "huge": 128}
  ],
  "baseline": "dpdk", "compare": [["raw", "dpdk"]],
  "programs": [
    {"name": "kv", "program": "@BUILD@/apps/udpkv-dpdk", "args": ["-n", "2000", "-v", "64"],
      "on": {"raw": {"program": "@BUILD@/apps/udpkv-raw", "args": ["2000", "64"]}}},
    {"name": "echo", "program": "@BUILD@/apps/udpecho-raw", "systems": ["raw"]}
  ],
  "workloads": [
    {"name": "get", "proto": "udpkv", "programs": ["kv"], "closed": [{"window": 1}, {"window": 32}], "count": ["w32"],
      "options": {"workload": "ycsb-b", "key-dist": "zipfian", "keys": 1000, "value-size": 64, "load": true}},
    {"name": "large", "proto": "udpkv", "programs": ["kv"], "closed": [{"window": 32}], "count": [], "rates": [],
      "options": {"workload": "get", "keys": 100, "value-size": 60, "load": true}}
  ],
  "rates": [500], "seconds": 0.2, "warmup": 0, "repeats": 1, "attempts": 1, "goals": {"loss": 0.2},
  "knee": {"trials": 2, "seconds": 0.2, "around": true, "highest": 4000}, "instructions": {"requests": 1000},
  "agreement": {"program": "echo", "system": "raw", "rounds": 1, "seconds": 1}
}
E

# records EXPRESSION: how many records r there are for which it is true.
records() {
    $python -c 'import json, sys
print(sum(bool(eval("(" + sys.argv[1] + ")")) for r in map(json.loads, open("sweep/raw.jsonl"))))' "$1"
}
POINT='r["record"] == "point" and r["attempt"] == 1 and r["result"] and r["result"]["good"] > 0'

if [ "$ready" ]; then
    LIMIT=200 passes "a sweep over vhost-user" "$WHERRY" bench --out sweep --seed 3 spec.json
    [ "$(records 'r["record"] == "failure"')" -eq 0 ] &&
        [ "$(records 'r["record"] == "boot" and not r["counting"] and 0 < r["seconds"] < 60 and r["memory"] > 1 << 20')" -eq 2 ]
    ok $? "every system boots, and its memory is known"
    [ "$(records "$POINT and r['client'] == 'pktgen' and r['kind'] == 'closed'")" -eq 6 ] &&
        [ "$(records "$POINT and r['rate'] == 500")" -ge 2 ]
    ok $? "every point has good answers to one generator"
    [ "$(records 'r["record"] == "point" and r["result"] and r["result"]["errors"]["wrong"] > 0')" -eq 0 ]
    ok $? "none is wrong: the store was filled, and again for other values"
    [ "$(records "$POINT and r['kind'] == 'knee' and r['rate'] == 4000")" -eq 2 ]
    ok $? "the search for the knee begins where the closed loop points to, as far as it may go"
    [ "$(records "$POINT and r['kind'] == 'below-knee'")" -eq 2 ] && [ "$(records "$POINT and r['kind'] == 'beyond-knee'")" -eq 2 ]
    ok $? "the knee's surroundings are measured"
    [ "$(records 'r["record"] == "selfcheck" and r["command"] and r["rate"] == 4000')" -ge 1 ]
    ok $? "the generator was checked against a null server, from the highest rate on"
    [ "$(records 'r["record"] == "image" and r["system"] == "dpdk" and r["guest_memory"] == 512 << 20')" -eq 1 ] &&
        [ "$(records 'r["record"] == "image" and r["system"] == "raw" and r["guest_memory"] == 32 << 20 and "root" not in r')" -eq 2 ]
    ok $? "each system has the memory that it was given"
    if [ -f "$WHERRY_B/icount.so" ] && [ "$(records 'r["record"] == "image" and r["accelerator"] == "tcg"')" -eq 3 ]; then
        [ "$(records 'r["record"] == "instructions" and r["system"] != "dpdk" and r["result"] and
            50 < r["result"]["program"] + r["result"]["kernel"] < 2000')" -eq 1 ]
        ok $? "instructions per request are counted"
        [ "$(records 'r["record"] == "instructions" and r["system"] == "dpdk" and r["result"] and len(r["result"]["vcpus"]) >= 1 and
            100 < r["result"]["busy"] < 3000 and r["result"]["busy"] < r["result"]["program"] + r["result"]["kernel"]')" -eq 1 ]
        ok $? "... of a guest that polls, with and without idle polls"
    else
        skip "instructions per request are counted" "needs TCG and icount.so"
        skip "... of a guest that polls, with and without idle polls" "needs TCG and icount.so"
    fi
    [ "$(records 'r["record"] == "agreement" and r["result"] and 0.98 < r["result"]["ratio"] < 1.02 and
        r["result"]["same"][0]["errors"] == 0 and r["result"]["testpmd"][0]["rate"] > 1000')" -eq 1 ]
    ok $? "testpmd counts the frames that pktgen counts"
    contains "all levels stand side by side" "kv, get: all levels side by side"
    [ -s sweep/plots/c0-windows.svg ]
    ok $? "... and are plotted"
else
    skip "a sweep over vhost-user" "needs DPDK (scripts/deps dpdk) and Debian's cloud kernel"
fi

rm -rf sweep
if [ -c /dev/net/tun ]; then
    sed -i 's/"knee": {.*/"knee": {"trials": 0}, "instructions": {"requests": 0}, "agreement": null/; /^  "agreement"/d; s/"warmup": 0/"warmup": 0.1/' spec.json
    LIMIT=100 passes "a sweep without vhost-user" "$WHERRY" bench --network tap --out sweep --seed 3 spec.json
    [ "$(records "$POINT and r['client'] == 'load' and r['net']['tx_packets'] > 0 and not r['result']['errors']['wrong']")" -eq 4 ]
    ok $? "... is one over a tap, with what needs no DPDK"
    contains "... and says what is left out, and why" "Linux guest, DPDK: --network tap was asked for"
else
    skip "a sweep without vhost-user" "there is no /dev/net/tun"
fi
finish
