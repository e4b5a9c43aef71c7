#!/bin/sh
# Proves that Debian's python3 runs with threads and sockets: http.server serves a directory, and
# Python's own tests of threads, sockets, signals, files and memory pass, but for those in
# python.skip, which need fork.
# limit: 480
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
python=$(readlink -f $python)
[ -x "$python" ] || plan_skip "there is no python3"
need curl
library=/usr/lib/$(basename "$python")

mkdir -p "$dir/site/sub"
echo "hello, python" >"$dir/site/hello.txt"
head -c 5000000 /dev/urandom >"$dir/site/large.bin"
serve 8000 -m 512M -v "$library:$library" -v "$dir/site:/site" "$python" -- \
    -m http.server 8000 -d /site
wait_for 60 curl -sS -m 3 "http://$host:$port/hello.txt"
ok $? "python3 -m http.server boots"
[ "$(curl -sS -m 20 "http://$host:$port/hello.txt" 2>"$dir/out")" = "hello, python" ]
ok $? "it serves a file"
curl -sS -m 20 "http://$host:$port/" >"$dir/out" 2>&1 && grep -q 'href="large.bin"' "$dir/out"
ok $? "... and a listing of the directory"
[ "$(curl -sS -m 60 "http://$host:$port/large.bin" 2>"$dir/out" | md5sum)" = "$(md5sum <"$dir/site/large.bin")" ]
ok $? "... and 5 MB unchanged"
i=0
jobs=
while [ $i -lt 20 ]; do
    curl -sS -m 30 -o "$dir/copy$i" "http://$host:$port/hello.txt" 2>/dev/null &
    jobs="$jobs $!"
    i=$((i + 1))
done
result=0
for job in $jobs; do
    wait "$job" || result=1
done
ok $result "twenty clients at once (a thread each)"
healthy "nothing to complain of"
stop

cat >"$dir/lib.py" <<'P'
import asyncio, concurrent.futures, ctypes, decimal, hashlib, json, lzma, math, multiprocessing.dummy
import os, queue, random, re, sqlite3, ssl, struct, sys, tempfile, threading, time, uuid, zlib
assert sum(multiprocessing.dummy.Pool(8).map(lambda x: x * x, range(1000))) == 332833500
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    assert len({f.result() for f in [pool.submit(lambda i=i: hashlib.sha256(b'%d' % i).hexdigest()) for i in range(200)]}) == 200
db = sqlite3.connect(tempfile.mktemp())
db.execute("create table t (a)")
db.executemany("insert into t values (?)", ((i,) for i in range(1000)))
db.commit()
assert db.execute("select sum(a) from t").fetchone() == (499500,)
async def main():
    async def serve(r, w):
        w.write((await r.readline()).upper())
        await w.drain()
        w.close()
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    at = server.sockets[0].getsockname()
    async def ask(i):
        r, w = await asyncio.open_connection(*at)
        w.write(b'line %d\n' % i)
        assert await r.readline() == b'LINE %d\n' % i
        w.close()
    await asyncio.gather(*(ask(i) for i in range(100)))
asyncio.run(main())
assert ctypes.CDLL(None).getpid() == os.getpid()
before = time.monotonic()
time.sleep(0.2)
assert 0.19 < time.monotonic() - before < 2
print("all is well on Python", sys.version.split()[0])
P
LIMIT=90 w -m 512M -v "$library:$library" -v "$dir/lib.py:/lib.py" "$python" -- /lib.py
[ "$status" -eq 0 ] && grep -q 'all is well' "$dir/out"
ok $? "threads, asyncio, sqlite3, ctypes, hashes"

# Without the network there is a loopback still, which these use.
modules="test_select test_poll test_epoll test_selectors test_mmap test_thread test_threading
    test_signal test_os test_socket test_time test_queue test_fileio test_posix"
if [ -f "$library/test/test_socket.py" ]; then
    # shellcheck disable=SC2086 # words
    LIMIT=400 w -m 1G -v "$library:$library" -v /etc/services -v /etc/protocols \
        -v "$top/tests/guest/python.skip:/skip" -e HOME=/root "$python" -- \
        -m test -v --ignorefile /skip $modules
    tr -d '\r' <"$dir/out" >"$dir/log"
    for module in $modules; do
        # The summary names those that failed, indented; what ran before is in the log.
        grep -q "\] $module" "$dir/log" && grep -q '^Total duration' "$dir/log" &&
            ! sed -n '/tests\{0,1\} failed/,$p' "$dir/log" | grep -qw "$module"
        ok $? "Python's own $module" >"$dir/verdict" || verdicts=bad
        grep -a '^ok\|^not ok' "$dir/verdict"
    done
    grep -aE '^Ran [0-9]+ tests' "$dir/log" | awk '{ n += $2 } END { print "# " n " tests ran" }'
    if [ -n "${verdicts:-}" ]; then
        grep -aE '^(FAIL|ERROR):|^[A-Za-z]*Error:' "$dir/log" | head -n 60 | sed 's/^/# /'
        tail -n 20 "$dir/log" | sed 's/^/# /'
    fi
else
    skip "Python's own tests" "libpython3-testsuite is not installed"
fi
finish
