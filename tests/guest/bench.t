#!/bin/sh
# Proves wherry bench with guests: Wherry and Linux are booted and measured, their instructions counted, and
# guests whose kernel panics, or whose monitor is killed, in the middle are reported as such while the sweep
# goes on. And that any kernel with an initrd and a command line can take part.
# limit: 300
# shellcheck disable=SC1091,SC2013,SC2154,SC2181 # words on purpose; lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gcc redis-server gnuplot unshare ip
[ -x "$python" ] || plan_skip "there is no $python"
[ -c /dev/net/tun ] || plan_skip "there is no /dev/net/tun"
unshare --net true 2>/dev/null || plan_skip "needs a network namespace"
cd "$dir" || exit 1

systems='{"kind": "wherry"}'
ls /boot/vmlinuz-*cloud* >/dev/null 2>&1 && systems="$systems, {\"kind\": \"linux\"}"
cat >spec.json <<E
{
  "name": "t", "systems": [$systems], "memory": 128,
  "programs": [{"name": "redis", "program": "redis-server", "args": ["--save", "", "--protected-mode", "no"]}],
  "workloads": [{"name": "get", "proto": "redis", "options": {"workload": "get", "keys": 100, "value-size": 32, "load": true},
    "closed": [{"connections": 4}]}],
  "rates": [200, 400], "seconds": 1, "warmup": 0.2, "repeats": 1,
  "knee": {"trials": 0}, "instructions": {"requests": 300}
}
E

# records EXPRESSION: how many records r there are for which it is true.
records() {
    $python -c 'import json, sys
print(sum(bool(eval("(" + sys.argv[1] + ")")) for r in map(json.loads, open("sweep/raw.jsonl"))))' "$1"
}
count=$(echo "$systems" | grep -o kind | wc -l)
LIMIT=150 passes "a sweep over guests" "$WHERRY" bench --out sweep --seed 3 spec.json
[ "$(records 'r["record"] == "boot" and not r["counting"] and 0 < r["seconds"] < 60 and r["memory"] > 1 << 20')" -eq "$count" ]
ok $? "every guest boots, and its memory is known"
[ "$(records 'r["record"] == "point" and r["attempt"] == 1 and r["result"] and r["result"]["good"] > 0 and r["net"]["tx_packets"] > 0')" -eq $((3 * count)) ]
ok $? "every point has good answers, and packets on the link"
[ "$(records 'r["record"] == "image" and len(r["kernel"]["sha256"]) == len(r["root"]["sha256"]) == 64')" -eq "$count" ]
ok $? "kernels and root file systems are recorded with their hashes"
if [ -f "$WHERRY_B/icount.so" ] && [ "$(records 'r["record"] == "image" and r["accelerator"] == "tcg"')" -eq "$count" ]; then
    [ "$(records 'r["record"] == "instructions" and r["result"] and 1000 < r["result"]["program"] < 50000')" -eq "$count" ]
    ok $? "instructions per request are counted"
else
    skip "instructions per request are counted" "needs TCG and icount.so"
fi

rm -rf sweep
sed -i 's/"repeats": 1/"repeats": 2/; s/"requests": 300/"requests": 0/' spec.json
"$WHERRY" bench --out sweep --seed 3 spec.json >"$dir/out" 2>&1 </dev/null &
bench=$!
guests="$guests $bench"
n=0
while [ "$(grep -c '"record":"point"' sweep/raw.jsonl 2>/dev/null)0" -lt 10 ] && [ $n -lt 600 ]; do
    sleep 0.1
    n=$((n + 1))
done
monitor=
for child in $(cat /proc/$bench/task/$bench/children); do
    grep -q qemu "/proc/$child/comm" && monitor=$child
done
[ -n "$monitor" ] && kill -KILL "$monitor"
ok $? "the first guest is killed in the middle"
wait $bench
[ $? -eq 0 ] && [ "$(records 'r["record"] == "failure" and "by signal 9" in r["what"]')" -eq 1 ]
ok $? "... which is recorded as such"
[ "$(records 'r["record"] == "done"')" -eq $((2 * count - 1)) ] && contains "... and told in the table" "by signal 9"
ok $? "... while the others are measured"
# Answers so many datagrams; then the kernel panics.
cat >panic.c <<'C'
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7777)}, from;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), left = atoi(argv[1]);
    char buf[2048];
    if (bind(fd, (void *)&a, sizeof(a)) < 0)
        return 1;
    while (left--) {
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (void *)&from, &len);
        if (n >= 0)
            sendto(fd, buf, n, 0, (void *)&from, len);
    }
    mount("proc", "/proc", "proc", 0, NULL);
    return write(open("/proc/sysrq-trigger", O_WRONLY), "c", 1) != 1;
}
C
gcc -O1 -static -w -o panic panic.c || exit 1
cat >panic.json <<E
{
  "name": "t", "systems": [$systems], "memory": 128,
  "programs": [{"name": "panics", "program": "$dir/panic", "args": ["300"]},
    {"name": "lives", "program": "$dir/panic", "args": ["100000"]}],
  "workloads": [{"name": "echo", "proto": "udp", "options": {"timeout": 300}}],
  "rates": [100, 200], "seconds": 1, "warmup": 0.5, "repeats": 1,
  "knee": {"trials": 0}, "instructions": {"requests": 0}
}
E
rm -rf sweep
LIMIT=120 passes "a sweep in which kernels panic" "$WHERRY" bench --out sweep --seed 3 panic.json
[ "$(records 'r["record"] == "failure" and r["program"] == "panics" and "died during echo load" in r["what"] and
    "sysrq triggered crash" in r["console"]')" -eq "$count" ]
ok $? "... is told of each, with its console"
[ "$(records 'r["record"] == "point" and r["program"] == "panics" and not r["valid"] and
    "the system ended during this point" in r["invalid"]')" -eq "$count" ] &&
    [ "$(records 'r["record"] == "done" and r["program"] == "lives"')" -eq "$count" ]
ok $? "... the points are marked, and the sweep goes on"

# A kernel with its initrd and words, as somebody else's would be: what wherry run would boot.
"$WHERRY" run --dry-run --initrd-out root.cpio --accel tcg -m 128M --net tap:tap0,ip=10.9.9.2/24,gw=10.9.9.1 \
    "$dir/panic" -- 100000 >command || exit 1
$python - >kernel.json <<'P'
import json, shlex
argv = shlex.split(open("command").readline())
append = argv[argv.index("-append") + 1].replace("10.9.9.2", "@GUEST@").replace("10.9.9.1", "@HOST@")
print(json.dumps({"name": "t", "memory": 128, "repeats": 1, "rates": [200], "seconds": 1, "warmup": 0.2,
    "systems": [{"kind": "kernel", "name": "other", "kernel": argv[argv.index("-kernel") + 1],
        "initrd": argv[argv.index("-initrd") + 1], "append": append}],
    "programs": [{"name": "echo", "program": "/bin/true"}], "workloads": [{"name": "echo", "proto": "udp"}],
    "knee": {"trials": 0}, "instructions": {"requests": 0}}))
P
rm -rf sweep
LIMIT=60 passes "a sweep of any kernel" "$WHERRY" bench --out sweep --seed 3 kernel.json
[ "$(records 'r["record"] == "point" and r["attempt"] == 1 and r["system"] == "other" and r["result"]["good"] > 100')" -eq 1 ]
ok $? "... measures it"
finish
