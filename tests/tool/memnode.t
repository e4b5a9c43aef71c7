#!/usr/bin/python3
"""Proves what docs/memnode.md says of `wherry memnode`, by a client that shares no code with it
(memnode_client.py): data, authentication, quotas, leases, faults, statistics and the end, over UDP
sockets, TCP, and Ethernet frames on QEMU's unix sockets; and a capture that scapy and tshark check.
Takes about 15 seconds, most of it waiting for leases to end."""

import atexit
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import memnode_client as mc  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WHERRY = os.environ.get("WHERRY", TOP + "/build/bin/wherry")
NOBODY = 65534
DIR = tempfile.mkdtemp(prefix="memnode-t.")
os.chmod(DIR, 0o777)
if os.geteuid() == 0:  # the node runs without privileges, and may not see where the program lies
    WHERRY = shutil.copy(WHERRY, DIR + "/wherry")
    os.chmod(WHERRY, 0o755)
# Addresses of this run's own, all of them loopback's.
NET = f"127.{64 + os.getpid() % 64}.{os.getpid() // 64 % 256}"
NODE = NET + ".1"
started = []
nr = failed = 0


def clean_up():
    for p in started:
        if p.poll() is None:
            p.kill()
    shutil.rmtree(DIR)


atexit.register(clean_up)


def ok(good, name, *facts):
    global nr, failed
    nr += 1
    print(("ok" if good else "not ok"), nr, "-", name, flush=True)
    if not good:
        failed = 1
        for f in facts:
            print("#", str(f)[:2000].replace("\n", "\n# "))


def skip(name, why):
    global nr
    nr += 1
    print(f"ok {nr} - {name} # skip {why}", flush=True)


def refused(f, *args, **kw):
    try:
        f(*args, **kw)
        return "OK"
    except mc.Refused as e:
        return str(e)


class Node:
    """A node without privileges. What it prints is read line by line."""

    def __init__(self, *args):
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self.process = subprocess.Popen([WHERRY, "memnode", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, **user)
        started.append(self.process)
        self.line = self.process.stdout.readline()
        if not self.line:
            raise RuntimeError(self.process.stderr.read())
        control = self.line.split()[2].rstrip(",")
        self.port = int(control.split(":")[1]) if ":" in control else None

    def stats(self):
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())

    def end(self, number=signal.SIGTERM, limit=10):
        """(status, last statistics)"""
        self.process.send_signal(number)
        out, self.errors = self.process.communicate(timeout=limit)
        return self.process.returncode, json.loads(out.splitlines()[-1])


def udp_node(*args):
    return Node("--listen", NODE, "--control", ":0", *args)


def client(node, n, secret=b"", name="test", **kw):
    return mc.Client(mc.Udp(f"{NET}.{n}", NODE, node.port), secret, name, **kw)


def pattern(n, seed=1):
    return bytes((i * 31 + seed * 7 + (i >> 8)) & 0xFF for i in range(n))


def data_path(c, name):
    """READs and WRITEs of all shapes, at every MTU."""
    va, length, rkey = c.alloc(1 << 20)
    bad, checked = [], 0
    qp = c.connect(mtu=4096)
    if qp.read(va, rkey, 65536) != bytes(65536):
        bad.append("new memory is not zero")
    for mtu in (256, 1024, 4096):
        qp = c.connect(mtu=mtu)
        for i, n in enumerate((0, 1, 2, 3, 4, 5, mtu - 1, mtu, mtu + 1, 2 * mtu, 3 * mtu + 7)):
            data, at = pattern(n, i + mtu), va + 4096 * i * 4 + i % 4
            if qp.write(at, rkey, data) is not True:
                bad.append(f"WRITE of {n} at MTU {mtu}")
            if qp.read(at, rkey, n) != data:
                bad.append(f"READ of {n} at MTU {mtu}")
        checked += qp.checked
        c.request(mc.DISCONNECT, struct.pack("!I", qp.node_qpn))
    ok(not bad and checked > 70, f"{name}: READs and WRITEs of 0 to 12295 bytes at three MTUs; every ICRC is right", bad,
       checked)
    c.free(va, rkey)


# ---- UDP: the responder ----

key = DIR + "/key"
with open(key, "w", encoding="ascii") as f:
    f.write("a secret of this test\n")
os.chmod(key, 0o644)
SECRET = b"a secret of this test"
node = udp_node("--region", "a=8M,quota=2M", "--region", "b=4M", "--quota", "4M", "--key", key, "--lease", "1.5",
                "--grace", "1", "--qps", "6", "--clients", "4", "--extents", "5")
a = client(node, 2, SECRET, "alice")
welcome = a.login()
ok(welcome["quota"] == 4 << 20 and welcome["lease"] == 1500 and welcome["rd_atomic"] == 128 and welcome["used"] == 0,
   "a client logs in with the secret, and both sides' tags are right", welcome)
data_path(a, "UDP")

va, length, rkey = a.alloc(100000)
qp = a.connect(mtu=1024)
ok(length == 102400 and qp.mtu == 1024, "an extent is rounded up to pages", length)
psn = qp.next()
qp.post(mc.W_ONLY, psn, qp.reth(va, rkey, 8), b"spoiled!", ack=True, spoil=True)
silent = qp.packet(0.2)
qp.post(mc.W_ONLY, psn, qp.reth(va, rkey, 8), b"not bad!", ack=True)
p = qp.packet()
ok(silent is None and p and p[:4] == (mc.ACKNOWLEDGE, psn, mc.ACK, 1) and qp.read(va, rkey, 8) == b"not bad!",
   "a packet with a wrong ICRC is dropped without a word, its repetition acknowledged", silent, p)

lost, late = qp.next(), qp.next()
for _ in range(3):
    qp.post(mc.W_ONLY, late, qp.reth(va + 8, rkey, 4), b"late", ack=True)
p, again = qp.packet(), qp.packet(0.2)
qp.post(mc.W_ONLY, lost, qp.reth(va, rkey, 4), b"lost", ack=True)
q = qp.packet()
qp.post(mc.W_ONLY, late, qp.reth(va + 8, rkey, 4), b"late", ack=True)
r = qp.packet()
ok(p[:3] == (mc.ACKNOWLEDGE, lost, mc.NAK_SEQ) and again is None and q[:3] == (mc.ACKNOWLEDGE, lost, mc.ACK) and
   r[:3] == (mc.ACKNOWLEDGE, late, mc.ACK),
   "a gap gets one NAK, then silence until the missing packet comes", p, again, q, r)

qp.write(va, rkey, b"first")
old = (qp.psn - 1) & 0xFFFFFF
qp.write(va, rkey, b"other")
qp.post(mc.W_ONLY, old, qp.reth(va, rkey, 5), b"first", ack=True)
p = qp.packet()
first_read = qp.psn
qp.read(va, rkey, 3000)
ok(p and p[0] == mc.ACKNOWLEDGE and p[2] == mc.ACK and qp.read(va, rkey, 5) == b"other" and
   qp.read(va, rkey, 3000, psn=first_read) == qp.read(va, rkey, 3000) and
   qp.read(va + 1024, rkey, 1976, psn=(first_read + 1) & 0xFFFFFF) == qp.read(va + 1024, rkey, 1976),
   "a duplicate WRITE is acknowledged and not done again; a READ is replayed, whole and in part", p)

burst = [qp.next() for _ in range(50)]
node.process.send_signal(signal.SIGSTOP)
for i, psn in enumerate(burst):
    qp.post(mc.W_ONLY, psn, qp.reth(va + 64 * i, rkey, 64), pattern(64, i), ack=True)
node.process.send_signal(signal.SIGCONT)
acks = []
while (p := qp.packet(0.2)) is not None:
    acks.append(p[1])
ok(acks and acks[-1] == burst[-1] and len(acks) == 1 and
   qp.read(va, rkey, 3200) == b"".join(pattern(64, i) for i in range(50)),
   "one acknowledgement answers a batch of WRITEs", len(acks))

dead = a.connect(mtu=1024)
answers = [dead.read(va, rkey ^ 0x1000, 4), dead.read(va, rkey, 4, limit=0.2)]
dead = a.connect(mtu=1024)
answers += [dead.write(va + length - 3, rkey, b"over"), dead.write(va, rkey, b"dead", limit=0.2)]
ok(answers == [mc.NAK_ACCESS, None, mc.NAK_ACCESS, None] and qp.read(va, rkey, 64) == pattern(64, 0),
   "a wrong key or range is refused, its queue pair is dead, others are not", answers)

for q in (qp, dead):
    a.request(mc.DISCONNECT, struct.pack("!I", q.node_qpn))
qp = a.connect(mtu=1024)
ro_va, _, ro_key = a.alloc(4096, mc.READ)
b = client(node, 3, SECRET, "bob")
b.login()
bq = b.connect()
ok(qp.write(ro_va, ro_key, b"no") == mc.NAK_ACCESS and bq.read(va, rkey, 4) == mc.NAK_ACCESS,
   "a read-only extent is not written, another client's key does not open an extent")

# ---- memory ----

ok(refused(a.alloc, 2 << 20, region="a") == "QUOTA" and refused(a.alloc, 4 << 20) == "QUOTA" and
   refused(a.alloc, 1 << 20, region="c") == "NO_REGION" and refused(a.alloc, 0) == "MALFORMED" and
   refused(a.alloc, 4096, 8) == "MALFORMED" and refused(a.free, va, rkey ^ 0x1000) == "NOT_FOUND" and
   refused(b.free, va, rkey) == "NOT_FOUND",
   "quotas of a region and of all, unknown regions and keys are refused")
got = [a.alloc(4096) for _ in range(3)]
ok(refused(a.alloc, 4096) == "LIMIT" and refused(lambda: [a.connect() for _ in range(10)]) == "LIMIT",
   "so are too many extents and queue pairs")
for x in got:
    a.free(x[0], x[2])
a.request(mc.BYE)
b.request(mc.BYE)
a.login()
b.login()
va, length, rkey = a.alloc(1 << 20, region="b")
qp = a.connect(mtu=4096)
qp.write(va, rkey, pattern(65536))
a.free(va, rkey)
gone = qp.read(va, rkey, 4096)
seen = []
for _ in range(3):
    x = b.alloc(1 << 20, region="b")
    bq = b.connect(mtu=4096)
    seen.append((x[0], bq.read(x[0], x[2], 65536) == bytes(65536)))
ok(gone == mc.NAK_ACCESS and va in [s[0] for s in seen] and all(s[1] for s in seen),
   "freed memory cannot be read, and is zero for the next client who gets it", seen)

# ---- the control protocol ----

again = b.message(mc.ALLOC, struct.pack("!QI32s", 4096, 3, b""), b.key)
r1 = b.exchange(again, b.key)
r2 = b.exchange(again, b.key)
used = b.keepalive()["used"]
ok(r1 == r2 and used == (3 << 20) + 4096, "a repeated request gets the same reply and is not done twice", used)

wrong = client(node, 4, b"guess", "mallory", tries=1)
stranger = client(node, 5, SECRET, "eve", tries=1, patience=0.3)
proof = stranger.message(mc.LOGIN, os.urandom(32) + struct.pack("!Q32s", 0, b"eve"), b"guess", 0)
nonce = os.urandom(16)  # nonces that somebody has overheard
theirs = stranger.exchange(stranger.message(mc.HELLO, nonce, SECRET, 0), SECRET)
overheard = stranger.message(mc.LOGIN, nonce + theirs + struct.pack("!Q32s", 0, b"eve"), b"guess", 0)
forged = b.message(mc.KEEPALIVE, b"", b.key)
forged = forged[:-1] + bytes([forged[-1] ^ 1])
b.tries, b.patience = 1, 0.3
ok(refused(wrong.login) == "AUTH (by somebody else)" and refused(stranger.exchange, proof, b"guess") == "AUTH" and
   refused(stranger.exchange, overheard, b"guess") == "AUTH" and
   refused(b.exchange, forged, b.key) == "silence" and b.keepalive()["used"] == used,
   "a wrong secret, made-up and overheard nonces, and a changed tag get nothing")
b.tries, b.patience = 5, 1.0
for c in (wrong, stranger):
    c.carrier.close()

noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
good = b.message(mc.ALLOC, struct.pack("!QI32s", 4096, 3, b""), b.key)
for i in range(300):
    m = bytearray(good[: i % len(good)] if i % 3 else good)
    if m:
        m[i % len(m)] ^= 1 << i % 8
    noise.sendto(bytes(m), (NODE, node.port))
    noise.sendto(os.urandom(i), (NODE, mc.ROCE_PORT))
noise.close()
unknown = refused(b.request, 60)
short = refused(b.request, mc.ALLOC, b"123")
newer = bytearray(b.message(mc.KEEPALIVE, b"", b.key))
newer[4] = 9
ok(unknown == "TYPE" and short == "MALFORMED" and refused(b.exchange, bytes(newer), b.key) == "VERSION" and
   b.keepalive()["used"] == used, "noise, cut and changed messages, and unknown types and versions do no harm")

bq = b.connect(mtu=4096)
bva, brkey = seen[0][0], None
b.request(mc.BYE)
b.login()
bva, _, brkey = b.alloc(65536)
bq = b.connect(mtu=4096)
bq.write(bva, brkey, pattern(65536, 3))
session = b.session
time.sleep(1.7)
lapsed = refused(b.keepalive)
deaf = bq.read(bva, brkey, 4, limit=0.2)
back = b.login(resume=session)
bq = b.connect(mtu=4096)
ok(lapsed == "NO_SESSION" and deaf is None and b.session == session and back["used"] == 65536 and
   back["extents"] == 1 and bq.read(bva, brkey, 65536) == pattern(65536, 3),
   "a client whose lease ended gets its memory back by its session's number, with what is in it", lapsed, deaf, back)
for _ in range(4):  # longer than a lease, with nothing but packets
    time.sleep(0.45)
    bq.read(bva, brkey, 4)
ok(refused(b.keepalive) == "OK", "packets of a queue pair keep a lease")
time.sleep(2.7)
ok(refused(b.login, resume=session) == "NO_SESSION" and node.stats()["memory"]["extents"] == 0,
   "after the grace period it is gone, and its memory free")

many = [client(node, 10 + i, SECRET, f"c{i}") for i in range(5)]
for c in many[:4]:
    c.login()
ok(refused(many[4].login) == "LIMIT", "more clients than --clients are refused")
for c in many:
    if c.session:
        c.request(mc.BYE)
    c.carrier.close()

# ---- TCP, statistics ----


class Stream:
    def __init__(self, address):
        self.ours, self.s = "0.0.0.0", socket.create_connection(address, 2)

    def ask(self, message, limit):
        self.s.sendall(struct.pack("!I", len(message)) + message)
        return self.heard(limit)

    def heard(self, limit):
        self.s.settimeout(limit)
        try:
            head = self.s.recv(4, socket.MSG_WAITALL)
            return self.s.recv(struct.unpack("!I", head)[0], socket.MSG_WAITALL) if len(head) == 4 else None
        except TimeoutError:
            return None


t = mc.Client(Stream((NODE, node.port)), SECRET, "tcp")
t.login()
x = t.alloc(4096)
t.free(x[0], x[2])
stats = json.loads(t.exchange(t.message(mc.STATS, b"", SECRET, 0), SECRET))
ok(stats["sessions"][-1]["name"] == "tcp" and refused(b.exchange, b.message(mc.STATS, b"", SECRET, 0), SECRET) == "CARRIER",
   "the same messages over TCP; statistics over TCP only", stats)
junk = socket.create_connection((NODE, node.port), 2)
junk.sendall(b"GET / HTTP/1.0\r\n\r\n")
ok(junk.recv(1) == b"", "a stream that is none of ours is closed")


def stats_of(*args):
    return subprocess.run([WHERRY, "memnode", "--stats", *args], capture_output=True, text=True, timeout=10)


right = stats_of(f"{NODE}:{node.port}", "--key", key)
open_to_all = stats_of(f"{NODE}:{node.port}")
counts = json.loads(right.stdout or "{}")
ok(right.returncode == 0 and counts["responder"]["nak_access"] >= 5 and counts["dropped"]["bad_icrc"] >= 1 and
   counts["responder"]["duplicate_reads"] >= 2 and counts["control"]["bad_tag"] >= 3 and
   open_to_all.returncode == 125 and "another key" in open_to_all.stderr,
   "wherry memnode --stats prints what was counted, to those who know the secret", right, open_to_all)

# ---- the end ----

a.login()
va, length, rkey = a.alloc(8192)
qp = a.connect(mtu=4096)
qp.write(va, rkey, b"still here")
node.process.send_signal(signal.SIGTERM)
notice = a.carrier.heard(2)
left = a.keepalive()
ok(notice and notice[5] == mc.NOTICE and a.sign(notice[:-16], a.key) == notice and left["drain"] > 5000 and
   a.flags == 1 and refused(a.alloc, 4096) == "DRAINING" and refused(client(node, 9, SECRET).login) == "DRAINING" and
   qp.read(va, rkey, 10) == b"still here", "SIGTERM tells clients, refuses what is new, and serves what is there", notice,
   left)
a.request(mc.BYE)
t.request(mc.BYE)
out, err = node.process.communicate(timeout=5)
ok(node.process.returncode == 0 and json.loads(out.splitlines()[-1])["draining"] and err == "",
   "it ends when the last client has said good-bye, with a last line of statistics", out, err)
a.carrier.close()
b.carrier.close()

# ---- files, HTTP, faults ----

probe = socket.create_server((NODE, 0))
metrics = probe.getsockname()[1]
probe.close()
os.mkdir(DIR + "/d", 0o777)
os.chmod(DIR + "/d", 0o777)
node = udp_node("--region", f"f=1M,file={DIR}/d/file", "--region", f"u=1M,file={DIR}/d", "--metrics",
                f"{NODE}:{metrics}", "--drain", "0")
a = client(node, 2)
a.login()
qp = a.connect(mtu=4096)
seen = []
for region in ("f", "u"):
    va, length, rkey = a.alloc(1 << 20, region=region)
    seen.append(qp.write(va + 4096, rkey, pattern(8192)))
with open(DIR + "/d/file", "rb") as f:
    f.seek(4096)
    seen.append(f.read(8192) == pattern(8192))
ok(seen == [True] * 3 and os.listdir(DIR + "/d") == ["file"], "regions in a file and in an unnamed one", seen)
text = urllib.request.urlopen(f"http://{NODE}:{metrics}/metrics", timeout=5).read().decode()
values = dict(x.rsplit(" ", 1) for x in text.splitlines() if not x.startswith("#"))
try:
    missing = urllib.request.urlopen(f"http://{NODE}:{metrics}/x", timeout=5).status
except urllib.error.HTTPError as e:
    missing = e.code
ok(values["wherry_memnode_roce_writes_total"] == "2" and missing == 404 and
   values['wherry_memnode_region_used_bytes{region="f"}'] == str(1 << 20), "Prometheus' format over HTTP", text[-500:],
   missing)
raw = socket.create_connection((NODE, metrics), 5)
raw.sendall(b"POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
answer = raw.makefile("rb").read()  # to the end that the node makes
ok(answer.startswith(b"HTTP/1.0 405 ") and b"GET /metrics" in answer, "other methods are refused, and the connection ends",
   answer)
raw.close()
a.carrier.close()
status, last = node.end()
ok(status == 0 and last["responder"]["write_bytes"] == 16384, "with --drain 0 it ends at once", status, last)

node = udp_node("--memory", "4M", "--fault", "drop=0.1,dup=0.1,reorder=0.1,corrupt=0.1,delay=300", "--seed", "7")
a = client(node, 2)
a.login()
va, length, rkey = a.alloc(1 << 20)
qp = a.connect(mtu=256)
wrong_bytes = lost = checks = 0


def patient(f, *args, **kw):
    """A packet that the faults have spoilt is as good as lost."""
    for _ in range(50):
        try:
            r = f(*args, limit=0.05, **kw)
        except AssertionError:
            continue
        if r is not None:
            return r
    return None


for i in range(30):
    data, first = pattern(100 + 37 * i, i), qp.psn
    good = None
    for _ in range(50):
        qp.psn = first
        try:
            good = qp.write(va + 4096 * i, rkey, data, limit=0.02)
        except AssertionError:
            continue
        if good:
            break
    lost += good is not True
    first = qp.next(max(1, -(-len(data) // 256)))
    got = patient(qp.read, va + 4096 * i, rkey, len(data), psn=first)
    wrong_bytes += got is not None and got != data
    lost += got is None
faults = node.stats()["faults"]
ok(wrong_bytes == 0 and lost == 0 and min(faults[x] for x in ("dropped", "repeated", "reordered", "corrupted")) > 5,
   "through loss, repetition, reordering and damage all requests succeed in the end, with right bytes", wrong_bytes, lost,
   faults)
a.carrier.close()
node.process.kill()
node.process.communicate()

node = udp_node("--memory", "4M", "--fault", "stale=0.5,forge=0.5", "--drain", "0")
a = client(node, 2)
a.login()
va, length, rkey = a.alloc(4096)
qp = a.connect(mtu=4096)
qp.write(va, rkey, pattern(4096, 1))
qp.write(va, rkey, pattern(4096, 2))
kinds = {"new": 0, "old": 0, "forged": 0}
for _ in range(60):
    d = qp.read(va, rkey, 4096)
    kinds["new" if d == pattern(4096, 2) else "old" if d == pattern(4096, 1) else "forged"] += 1
status, last = node.end()
ok(min(kinds.values()) > 5 and last["faults"]["stale"] > 5 and last["faults"]["forged"] == kinds["forged"],
   "a lying node answers with old and with changed bytes, under a right ICRC", kinds, last["faults"])
a.carrier.close()

# ---- frames ----

guest_log = []
for kind in ("stream", "dgram"):
    path = f"{DIR}/{kind}"
    node = Node("--netdev", f"{kind}:{path}", "--ip", "10.9.0.1", "--memory", "4M", "--drain", "0")
    guests = [mc.Frames(path, f"10.9.0.{2 + i}", "10.9.0.1", kind == "dgram", bytes([2, 0x57, 0, 0, 0, 2 + i]))
              for i in range(2)]
    macs = [g.arp() for g in guests]
    ok(macs[0] and macs[0] == macs[1] == bytes([2, 0x4E, 10, 9, 0, 1]) and
       all(g.ping(pattern(n)) for g in guests for n in (0, 1, 56, 1400)), f"{kind}: two guests' ARP and pings are answered",
       macs)
    others = guests[0]
    mac, address = others.node_mac, others.node
    others.patience, others.node_mac = 0.2, b"\x02\x4e\0\0\0\1"
    deaf = [others.ping(b"another MAC")]
    others.node_mac, others.node = mac, "10.9.0.77"
    deaf += [others.ping(b"another address"), others.arp()]
    others.patience, others.node_mac, others.node = 2, mac, address
    ok(deaf == [None] * 3, f"{kind}: what is for other hosts is not answered", deaf)
    clients = [mc.Client(g, b"", "guest") for g in guests]
    for c in clients:
        c.login()
    data_path(clients[0], kind)
    shared = clients[1].alloc(4096)
    qp = clients[1].connect(mtu=4096)
    first = qp.write(shared[0], shared[2], pattern(4096))
    guests[0].ours = guests[1].ours  # a neighbour that pretends
    theft = clients[0].connect(mtu=4096).read(shared[0], shared[2], 16, limit=0.3)
    guests[0].ours = "10.9.0.2"
    ok(first is True and theft != pattern(16), f"{kind}: a guest does not get at another's memory", theft)
    guests[1].arp()
    for i in range(200):  # frames that nobody should send
        f = bytearray(guests[1].log[i % len(guests[1].log)])
        f[12 + i % max(1, len(f) - 12)] ^= 1 << i % 8
        guests[1].send_frame(bytes(f[: len(f) - i % 7]))
    while guests[1].frame(0.1):
        pass
    guests[1].waiting.clear()
    ok(clients[1].keepalive()["used"] == 4096 and qp.read(shared[0], shared[2], 4096) == pattern(4096),
       f"{kind}: broken frames do no harm")
    guest_log += guests[0].log
    guests[0].close()
    late = mc.Frames(path, "10.9.0.9", "10.9.0.1", kind == "dgram", bytes([2, 0x57, 0, 0, 0, 9]))
    ok(late.arp() == macs[0] and clients[1].keepalive()["lease"] == 5000, f"{kind}: a guest may go and another come")
    control = stats_of(f"unix:{path}.control")
    ok(control.returncode == 0 and json.loads(control.stdout)["net"]["arp"] >= 4, f"{kind}: statistics by the socket beside it",
       control)
    for g in (guests[1], late):
        g.close()
    status, last = node.end()
    ok(status == 0 and not os.path.exists(path) and not os.path.exists(path + ".control"), f"{kind}: it cleans up", status)

# ---- others' opinions ----


def pcap(name, frames):
    with open(name, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for i, x in enumerate(frames):
            f.write(struct.pack("<IIII", i, 0, len(x), len(x)) + x)


is_roce = lambda f: len(f) > 58 and f[12:14] == b"\x08\0" and f[23] == 17 and f[36:38] == struct.pack("!H", mc.ROCE_PORT)
name = "Linux's own frames from the node's socket have DF and identification 0, and right ICRCs"
try:
    eye = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    eye.bind(("lo", 0))
    eye.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
except (PermissionError, OSError) as e:
    eye = None
    skip(name, e)
lo = []
if eye:
    node = udp_node("--memory", "4M", "--drain", "0")
    a = client(node, 2)
    a.login()
    data_path(a, "UDP, watched")
    node.end()
    a.carrier.close()
    eye.settimeout(0.3)
    try:
        while True:
            f, where = eye.recvfrom(65536)
            if where[2] == socket.PACKET_OUTGOING and is_roce(f) and NODE in (
                    socket.inet_ntoa(f[26:30]), socket.inet_ntoa(f[30:34])):
                lo.append(f)
    except TimeoutError:
        pass
    from_node = [f for f in lo if f[26:30] == socket.inet_aton(NODE)]
    bad = [f[:60].hex() for f in from_node
           if f[18:20] != b"\0\0" or f[20:22] != b"\x40\0" or f[40:42] != b"\0\0" or
           struct.pack("<I", mc.icrc(f[14:])) != f[-4:]]
    ok(len(from_node) > 80 and not bad, name, len(from_node), bad[:3])

frames = [f for f in guest_log if is_roce(f)] + lo
pcap(DIR + "/all.pcap", frames)
name = "scapy recomputes the ICRC of every packet"
probe = subprocess.run(["/usr/bin/python3", "-c", """
import sys
from scapy.all import rdpcap, IP, raw
from scapy.contrib.roce import BTH
good = bad = 0
for p in rdpcap(sys.argv[1]):
    b = p[IP].getlayer(BTH)
    icrc = raw(p)[-4:]
    b.icrc = None
    if b.compute_icrc(raw(b)[:-4]) == icrc:
        good += 1
    else:
        bad += 1
print(good, bad)
""", DIR + "/all.pcap"], capture_output=True, text=True, timeout=100)
if "No module named" in probe.stderr:
    skip(name, "python3-scapy is not installed")
else:
    ok(probe.stdout == f"{len(frames)} 0\n", name, probe, len(frames))
name = "tshark dissects every packet as InfiniBand and finds none malformed"
if shutil.which("tshark"):
    probe = subprocess.run(["tshark", "-n", "-r", DIR + "/all.pcap", "-T", "fields", "-e", "infiniband.bth.opcode", "-e",
                            "_ws.malformed", "-e", "_ws.expert.severity"], capture_output=True, text=True, timeout=100)
    rows = [x.split("\t") for x in probe.stdout.splitlines()]
    strange = [r for r in rows if not r[0] or any(r[1:])]
    ok(len(rows) == len(frames) > 500 and not strange, name, len(rows), strange[:5], probe.stderr)
else:
    skip(name, "tshark is not installed")

# ---- words ----

with open(DIR + "/full", "w", encoding="ascii") as f:
    f.write("of value")
bad_words = [
    ([], "how much memory"), (["--memory", "12Q"], "size"), (["--region", "x"], "NAME=SIZE"),
    (["--region", "a b=1M"], "letters"), (["--region", "a=1M,colour=red"], "colour=red"), (["--memory", "5000"], "4K"),
    (["--memory", "1M", "--netdev", "tap:x"], "stream:PATH"),
    (["--memory", "1M", "--fault", "drop=2"], "0 to 1"), (["--memory", "1M", "--mtu", "1500"], "4096"),
    (["--memory", "1M", "--key", DIR + "/none"], "none"), (["--memory", "1M", "--listen", "everywhere"], "IPv4"),
    (["--region", f"a=1M,file={DIR}/full"], "holds something"), (["--memory", "1M", "--ip", "1.2.3.4"], "--netdev"),
    (["--stats", f"{NODE}:1"], "refused"), (["--memory", "1M", "--verbs", ":1"], "DEVICE:PORT"),
    (["--memory", "1M", "--verbs", "none0"], "--verbs none0"), (["--memory", "1M", "--verbs", "none0:0"], "1 to 255"),
    (["--memory", "1M", "--verbs", "none0", "--netdev", "stream:/x"], "exclude"),
    (["--memory", "1M", "--verbs", "none0", "--fault", "drop=1"], "the device makes"),
    (["--memory", "1M", "--verbs", "none0", "--port", "4792"], "4791 only"),
]
wrong = []
for words, text in bad_words:
    p = subprocess.run([WHERRY, "memnode", *words, "--listen", NODE, "--control", ":0"] if "--listen" not in words and
                       "--netdev" not in words else [WHERRY, "memnode", *words],
                       capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
    if p.returncode != 125 or text not in p.stderr or p.stderr.count("\n") != 1:
        wrong.append((words, p))
ok(not wrong, "wrong words are refused, in one line each", wrong)

print(f"1..{nr}")
sys.exit(failed)
