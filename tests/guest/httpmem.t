#!/bin/sh
# Proves that the HTTP server from memory (apps/httpmem, a native image) gives whole answers to whole, cut,
# pipelined and wrong requests, under verified load, to readers who do not read, and on many connections.
# limit: 90
# shellcheck disable=SC1091,SC2154,SC2086 # lib.sh's variables; $client is words
. "$(dirname "$0")/lib.sh"
need curl
[ -x "$python" ] || plan_skip "there is no $python"
[ -x "$WHERRY_B/apps/httpmem" ] || plan_skip "there is no $WHERRY_B/apps/httpmem (make apps)"
use_tap || plan_skip "needs a tap interface"
cd "$dir" || exit 1

cat >ask.py <<'P'
"""ask.py HOST WHAT"""
import email.utils, hashlib, socket, sys, time
host, what = sys.argv[1:3]
def body(n):
    return b"".join(b"%08x object\n" % i for i in range((n + 15) // 16))[:n]
SIZES = {"/": 64, "/64": 64, "/612": 612, "/1k": 1024, "/4k": 4096, "/16k": 16384, "/64k": 65536, "/1m": 1 << 20}
def connect(**options):
    s = socket.socket()
    for name, value in options.items():
        s.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    s.settimeout(15)
    s.connect((host, 80))
    return s
class Answers:
    def __init__(self, s):
        self.s, self.got = s, b""
    def more(self):
        b = self.s.recv(1 << 16)
        self.got += b
        return b
    def one(self, head=False):
        """Status, fields and body; None: the connection has ended."""
        while b"\r\n\r\n" not in self.got:
            if not self.more():
                assert not self.got
                return None
        text, self.got = self.got.split(b"\r\n\r\n", 1)
        first, *lines = text.decode().split("\r\n")
        fields = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        n = 0 if head else int(fields["content-length"])
        while len(self.got) < n:
            assert self.more(), "cut short"
        content, self.got = self.got[:n], self.got[n:]
        return int(first.split()[1]), fields, content
def get(path, more="", version="1.1", method="GET"):
    return f"{method} {path} HTTP/{version}\r\nHost: x\r\n{more}\r\n".encode()
def objects():
    s = connect()
    a = Answers(s)
    for path, n in SIZES.items():
        s.sendall(get(path))
        status, fields, content = a.one()
        assert status == 200 and content == body(n) and fields["content-type"] == "text/plain", path
        assert abs(email.utils.parsedate_to_datetime(fields["date"]).timestamp() - time.time()) < 5, fields
        s.sendall(get(path, method="HEAD"))
        status, fields, content = a.one(head=True)
        assert status == 200 and fields["content-length"] == str(n), path
    s.sendall(get("/%36%31%32?query") + get("/none") + get("/%zz") + get("/64"))
    assert a.one()[2] == body(612)
    assert [a.one()[0] for _ in range(3)] == [404, 400, 200]
def pipelined():
    s = connect()
    a = Answers(s)
    order = list(SIZES) * 12
    s.sendall(b"".join(map(get, order)))
    s.shutdown(socket.SHUT_WR) # half closed: it is still answered
    for path in order:
        assert a.one()[2] == body(SIZES[path]), path
    assert a.one() is None
def cut():
    """A request in two pieces, cut anywhere; and one a byte at a time."""
    request = get("/612", "User-Agent: cut\r\nAccept: */*\r\n")
    s = connect()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    a = Answers(s)
    for at in range(1, len(request)):
        s.sendall(request[:at])
        time.sleep(0.002)
        s.sendall(request[at:])
        assert a.one()[2] == body(612), at
    for b in request:
        s.sendall(bytes([b]))
    assert a.one()[2] == body(612)
def connection():
    for version, more, field, stays in (("1.1", "", None, True), ("1.1", "Connection: close\r\n", "close", False),
                                        ("1.0", "", "close", False),
                                        ("1.0", "Connection: keep-alive\r\n", "keep-alive", True)):
        s = connect()
        a = Answers(s)
        s.sendall(get("/64", more, version))
        status, fields, content = a.one()
        assert status == 200 and content == body(64) and fields.get("connection") == field, (version, more)
        if stays:
            s.sendall(get("/64", more, version))
            assert a.one()[0] == 200
        else:
            assert a.one() is None
def wrong():
    for text, status in ((b"GET / HTTP/1.1\r\n\r\n", 400), (b"nonsense\r\n\r\n", 400), (b"\x16\x03\x01\x02\0\x01", 400),
                         (get("/", "Content-Length: x\r\n"), 400), (get("/", "A : b\r\n"), 400),
                         (get("/", "Content-Length: 5\r\n") + b"hello", 413),
                         (get("/", "Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n", 413),
                         (get("/", method="POST"), 405), (get("/", method="BREW"), 501),
                         (get("/", version="2.0"), 505), (get("/" + "x" * 3000), 414),
                         (get("/", "A: " + "b" * 9000 + "\r\n"), 431), (b"\r\n" * 5000, 431),
                         (get("/", "A: " + "b" * 300000 + "\r\n"), 431)): # more than its window: it takes it all
        s = connect()
        a = Answers(s)
        s.sendall(get("/64") + text + get("/64"))
        assert a.one()[0] == 200
        got, fields, content = a.one()
        assert got == status and fields["connection"] == "close" and content, (text[:20], got)
        assert (fields.get("allow") == "GET, HEAD") == (status == 405)
        assert a.one() is None, text[:20] # what follows is not looked at
def slow():
    """Readers who do not read wait by themselves."""
    waiting = [connect(SO_RCVBUF=4096) for _ in range(30)]
    for s in waiting:
        s.sendall(get("/1m") * 3)
    t, n = time.time() + 1.5, 0
    a = Answers(connect())
    while time.time() < t:
        a.s.sendall(get("/64k"))
        assert a.one()[2] == body(65536)
        n += 1
    assert n > 20, n
    for s in waiting[:3]:
        b = Answers(s)
        for _ in range(3):
            assert hashlib.md5(b.one()[2]).digest() == hashlib.md5(body(1 << 20)).digest()
globals()[what]()
P
cat >check.py <<'P'
import json, sys
r = json.load(open(sys.argv[1]))
e = r["errors"]
print(r["good"], "good,", e)
sys.exit(not (r["good"] >= int(sys.argv[2]) and e["wrong"] == e["protocol"] == e["reset"] == 0))
P

serve 80 -m 64M "$WHERRY_B/apps/httpmem"
wait_for 30 $client curl -sS -m 3 -o wait "http://$host/"
ok $? "it boots"
while read -r what name; do
    LIMIT=30 passes "$name" $client $python ask.py "$host" "$what"
done <<'W'
objects objects of all sizes, with date and type, GET and HEAD
pipelined a hundred requests in one go, from a peer that has ended
cut requests cut anywhere
connection connections that stay and such that end
wrong wrong requests are told so, and end the connection
slow readers who do not read are in nobody's way
W
for words in "--path /612 --expect-size 612 --connections 16" "--path /1m --expect-size 1048576 --connections 4" \
    "--path /1k --expect-size 1024 --connections 8 --keepalive no"; do
    timeout 30 $client "$WHERRY" load http $words --seconds 1 --warmup 0.2 --quiet --out load "$host:80" >out 2>&1 </dev/null &&
        $python check.py load 20 >>out 2>&1
    ok $? "load: $words: every answer is good"
    diag "$(tail -n 1 out)"
done
wait_for 5 $client curl -sS -m 3 -o wait "http://$host/"
healthy "nothing to complain of"
finish
