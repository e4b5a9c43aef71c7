#!/bin/sh
# Proves sweeps of wherry bench end to end with native programs (the null server of wherry load, good and
# bad): records, report, a changed summary, SIGINT, SIGKILL and going on, a server that does not answer,
# answers wrongly, dies; a full disk; the page in a browser.
# limit: 400
# shellcheck disable=SC1091,SC2016,SC2034,SC2154 # words on purpose; lib.sh sets variables
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1
python=/usr/bin/python3
if [ ! -x $python ] || ! command -v gnuplot >/dev/null; then
    echo "1..0 # skip needs python3 and gnuplot (scripts/deps bench)"
    exit 0
fi
if ! unshare --net true 2>/dev/null && ! unshare --user --map-root-user --net true 2>/dev/null; then
    echo "1..0 # skip needs a network namespace"
    exit 0
fi

# spec FILE PROGRAMS: a specification for udp with these programs.
spec() {
    cat >"$1" <<E
{
  "name": "t",
  "systems": [{"kind": "native"}, {"kind": "native", "name": "again"}],
  "baseline": "native",
  "boot_limit": 3,
  "programs": [$2],
  "workloads": [{"name": "w", "proto": "udp", "options": {"size": 64, "timeout": 200}, "closed": [{"connections": 1}]}],
  "rates": [200, 400],
  "seconds": 0.5, "warmup": 0.1, "repeats": 2,
  "goals": {"loss": 0.01, "p99": 50},
  "instructions": {"requests": 0},
  "knee": {"trials": 1, "seconds": 0.3, "precision": 0.1}
}
E
}
serve='{"name": "good", "program": "@BUILD@/bin/wherry", "args": ["load", "serve", "udp", "--port", "7777", "--bind", "0.0.0.0"]}'

# count DIR EXPRESSION: records r for which it is true; checks that each line is one, and none twice.
count() {
    $python - "$1/raw.jsonl" "$2" <<'P'
import json, sys
records = [json.loads(line) for line in open(sys.argv[1])]
keys = [r["key"] for r in records if "key" in r]
assert len(keys) == len(set(keys)), "a point twice"
print(sum(bool(eval("(" + sys.argv[2] + ")")) for r in records))
P
}
POINTS='r["record"] == "point" and r["kind"] != "knee" and r["attempt"] == 1'

spec good.json "$serve"
LIMIT=120 w bench --out good --seed 7 good.json
[ "$status" -eq 0 ] && [ "$(count good 'r["record"] == "boot"')" -eq 4 ] &&
    [ "$(count good "$POINTS")" -eq 12 ] && [ "$(count good 'r["record"] == "selfcheck"')" -ge 1 ] &&
    [ "$(count good 'r["record"] == "end"')" -eq 1 ]
ok $? "a sweep measures every point of every boot"
for f in index.html summary.json points.csv table.txt plots/c0-rate-load.svg plots/c0-latency-load.svg \
    plots/boot.svg plots/memory.svg; do
    [ -s "good/$f" ]
    ok $? "... and leaves $f"
done
grep -q 'left: ' err && grep -q '\[1/4\]' err
ok $? "progress says how far it is, and the time left"
w report good
prints "wherry report derives the same again" "Boot time and memory"
cp -r good alone
(cd alone && rm -rf plots summary.json points.csv table.txt index.html && gzip raw.jsonl)
w report alone
[ "$status" -eq 0 ] && cmp good/summary.json alone/summary.json && cmp good/points.csv alone/points.csv &&
    cmp good/index.html alone/index.html
ok $? "... from the raw records alone, compressed ones too, to the byte"

tampered() { # NAME FILE SED-EXPRESSION TEXT
    rm -rf bad
    cp -r good bad
    sed -i "$3" "bad/$2"
    w report bad
    [ "$status" -eq 1 ] && grep -qF "$4" err && [ ! -s out ] && ! cmp -s "good/$2" "bad/$2"
    ok $? "$1"
}
tampered "a changed number in the summary is found, and named" summary.json '0,/"median": /s//"median": 9/' \
    "is stored as 9"
tampered "... and in the CSV" points.csv '3s/,load,/,lead,/' "points.csv differs in line 3"
tampered "... and in the table" table.txt '1s/t/T/' "table.txt differs in line 1"
tampered "a summary that is cut off is found" summary.json '40,$d' "not JSON"
w report --rewrite bad
[ "$status" -eq 0 ] && cmp -s good/summary.json bad/summary.json
ok $? "--rewrite replaces it"
sed -i '5s/^{/[/' bad/raw.jsonl
w report bad
[ "$status" -eq 125 ] && grep -q 'raw.jsonl:5: ' err
ok $? "a damaged record is named by its line"
cut_off=0
for lines in $(seq 1 "$(wc -l <good/raw.jsonl)"); do
    rm -rf part
    mkdir part
    head -n "$lines" good/raw.jsonl >part/raw.jsonl
    w report part
    [ "$status" -eq 0 ] || cut_off=$lines
done
[ "$cut_off" -eq 0 ]
ok $? "wherever a sweep ends, what there is can be reported"
refuses "a directory without records" "there is no raw.jsonl" report "$dir"
refuses "no such specification" "No such file" bench none.json
echo '{"name": 1}' >wrong.json
refuses "a bad specification" "wrong.json:1: 'name'" bench wrong.json
refuses "neither specification nor --resume" "name a specification" bench
refuses "both" "name a specification" bench --resume good good.json
refuses "an unknown option" "--frob" bench --frob good.json
w bench --out good good.json
[ "$status" -eq 125 ] && grep -q -- '--resume good' err
ok $? "a directory with a sweep in it is not written over"

# Starts a sweep and sends it a signal when four points are recorded.
interrupt() { # DIR SIGNAL
    "$WHERRY" bench --out "$1" --seed 7 good.json >out 2>err </dev/null &
    pid=$!
    n=0
    while [ "$(grep -c '"record":"point"' "$1/raw.jsonl" 2>/dev/null)0" -lt 40 ] && [ $n -lt 300 ]; do
        sleep 0.1
        n=$((n + 1))
    done
    kill "-$2" $pid
    status=0
    wait $pid || status=$?
}
interrupt int INT
[ $status -eq 130 ] && grep -q -- '--resume int' err && [ "$(count int 'r["record"] == "end"')" -eq 0 ]
ok $? "SIGINT ends a sweep cleanly and says how it goes on"
LIMIT=120 w bench --resume int
[ "$status" -eq 0 ] && [ "$(count int "$POINTS")" -eq 12 ] && [ "$(count int 'r["record"] == "end"')" -eq 1 ]
ok $? "--resume measures what is missing, and nothing twice"
w bench --resume int
[ "$status" -eq 0 ]
ok $? "... and has nothing to do then"
interrupt kill KILL
printf '{"record":"point","key":"to' >>kill/raw.jsonl
w report kill
prints "what SIGKILL left can be reported" "INCOMPLETE"
LIMIT=120 w bench --resume kill
[ "$status" -eq 0 ] && [ "$(count kill "$POINTS")" -eq 12 ]
ok $? "... and resumed, though its last line was cut off"

spec mute.json '{"name": "mute", "program": "@BUILD@/bin/wherry",
    "args": ["load", "serve", "udp", "--port", "7777", "--bind", "0.0.0.0", "--mute"]}, '"$serve"
sed -i 's/"boot_limit": 3/"boot_limit": 0.6/; s/"repeats": 2/"repeats": 3/' mute.json
LIMIT=120 w bench --out mute mute.json
[ "$status" -eq 0 ] && [ "$(count mute 'r["record"] == "failure" and r["program"] == "mute" and
    "does not answer" in r["what"] and "listening on" in r["console"]')" -eq 4 ]
ok $? "a server that never answers is recorded, with its console"
[ "$(count mute 'r["record"] == "skipped"')" -eq 2 ]
ok $? "... and left out after two boots that failed"
[ "$(count mute 'r["record"] == "point" and r["program"] == "good" and r["attempt"] == 1 and r["kind"] == "rate"')" -eq 12 ] &&
    grep -q Failures out
ok $? "... while the sweep goes on with the others"

spec wrong.json '{"name": "wrong", "program": "@BUILD@/bin/wherry",
    "args": ["load", "serve", "udp", "--port", "7777", "--bind", "0.0.0.0", "--wrong", "4"]}'
LIMIT=120 w bench --out wrong wrong.json
[ "$status" -eq 0 ] && [ "$(count wrong 'r["record"] == "point" and r["attempt"] == 1 and r["kind"] == "rate" and
    r["result"]["errors"]["wrong"] > 0 and abs(r["result"]["good"] / r["result"]["sent"] - 0.75) < 0.05')" -eq 8 ]
ok $? "wrong answers are errors, not throughput"

spec dies.json '{"name": "dies", "program": "/bin/sh", "args": ["-c",
    "timeout 1.2 '"$WHERRY"' load serve udp --port 7777 --bind 0.0.0.0; echo I am gone; exit 3"]}, '"$serve"
LIMIT=120 w bench --out dies dies.json
[ "$status" -eq 0 ] && [ "$(count dies 'r["record"] == "failure" and "died during" in r["what"] and
    "status 3" in r["what"] and "I am gone" in r["console"]')" -ge 1 ]
ok $? "a server that dies in the middle is recorded, with its status and console"
[ "$(count dies 'r["record"] == "point" and not r["valid"] and
    "the system ended during this point" in r["invalid"]')" -ge 1 ]
ok $? "... and the point it died in is marked"
[ "$(count dies 'r["record"] == "point" and r["program"] == "good" and r["attempt"] == 1 and r["kind"] == "rate"')" -eq 8 ]
ok $? "... and the sweep goes on"

if [ "$(id -u)" -eq 0 ] && mkdir tiny && unshare --mount true 2>/dev/null; then
    cat >full.sh <<'E'
mount -t tmpfs -o size=48k none tiny || exit 77
"$WHERRY" bench --out tiny/sweep --seed 7 good.json
echo $? >status
cp tiny/sweep/raw.jsonl tiny.jsonl
mount -o remount,size=4m tiny
"$WHERRY" bench --resume tiny/sweep
echo $? >>status
mkdir -p resumed
cp tiny/sweep/raw.jsonl resumed/
E
    export WHERRY
    timeout 150 unshare --mount sh full.sh >out 2>err </dev/null
    if [ $? -eq 77 ]; then
        skip "a full disk" "no tmpfs can be mounted"
        skip "... can be resumed" "no tmpfs can be mounted"
    else
        [ "$(sed -n 1p status)" -eq 125 ] && grep -q 'raw.jsonl: the disk is full' err &&
            $python -c 'import json; [json.loads(line) for line in open("tiny.jsonl")]'
        ok $? "a full disk is one clear error, and every record is whole"
        [ "$(sed -n 2p status)" -eq 0 ] && [ "$(count resumed "$POINTS")" -eq 12 ]
        ok $? "... and with space again the sweep is resumed"
    fi
else
    skip "a full disk" "needs root"
    skip "... can be resumed" "needs root"
fi

if command -v chromium >/dev/null; then
    for page in good dies; do
        timeout 100 $python "$top/tests/tool/page_check.py" "$dir/$page/index.html" >out 2>err
        ok $? "$page/index.html in Chromium: no error, nothing from the network, fits 360 px and 1200 px, light and dark"
    done
else
    skip "the page in Chromium" "there is no chromium"
fi
finish
