#!/usr/bin/python3
"""Proves that udpkv-socket and udpkv-batch serve their store on this host's own sockets: under load, each
answer verified; and that no datagram, however bad, ends or confuses them."""
# limit: 180

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WHERRY = os.environ.get("WHERRY", TOP + "/build/bin/wherry")
APPS = os.path.join(os.environ.get("WHERRY_B", os.path.dirname(os.path.dirname(WHERRY))), "apps")
PROGRAMS = ("udpkv-socket", "udpkv-batch")
GET, SET, DELETE, NOOP = 1, 2, 3, 4
OK, NOT_FOUND, MALFORMED, TOO_LARGE, NO_ROOM, BAD_VERSION, BAD_OP = range(7)
nr = failed = 0


def ok(good, name, *facts):
    global nr, failed
    nr += 1
    print(("ok" if good else "not ok"), nr, "-", name, flush=True)
    if not good:
        failed = 1
        for f in facts:
            print("#", str(f)[:2000].replace("\n", "\n# "))


class Server:
    def __init__(self, program, *args):
        self.process = subprocess.Popen([os.path.join(APPS, program), "-p", "0", *args], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(re.search(r"port (\d+)", self.process.stdout.readline())[1])
        self.at = f"127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def statistics(self, number=signal.SIGUSR1):
        self.process.send_signal(number)
        words = self.process.stdout.readline().split()
        if words[:1] != ["statistics:"]:
            return {}
        return {k: int(v) for k, v in zip(words[1::2], words[2::2])}

    def socket(self):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(2)
        s.connect(("127.0.0.1", self.port))
        return s


def head(op, status=0, key=0, value=0, ttl=0, id=0, version=1):
    return struct.pack("<BBBBHHQ", version, op, status, key, value, ttl, id)


def request(op, key=b"", value=b"", ttl=0, id=1):
    return head(op, 0, len(key), len(value), ttl, id) + key + value


def ask(s, datagram):
    """(status, id, value), or None if no answer comes before that of a NOOP behind it."""
    s.send(datagram)
    s.send(request(NOOP, id=0xfeed))
    got = s.recv(4096)
    if got == head(NOOP | 0x80, id=0xfeed):
        return None
    if s.recv(4096) != head(NOOP | 0x80, id=0xfeed):
        return "an answer too many"
    _, _, status, _, length, _, id = struct.unpack("<BBBBHHQ", got[:16])
    return status, id, got[16:] if len(got) == 16 + length else "of another length"


def load(*args):
    p = subprocess.run([WHERRY, "load", *args, "--quiet"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    if p.returncode:
        return {"sent": 0, "good": -1, "errors": p.stderr}
    return json.loads(p.stdout)


def clean(r):
    """All were answered well; in an open loop of datagrams some may be lost."""
    return r["sent"] > 0 and r["good"] >= 0.999 * r["sent"] and r["errors"]["wrong"] == r["errors"]["protocol"] == 0


def under_load(program):
    with Server(program, "-n", "20000", "-v", "1024") as server:
        for args in (["--workload", "get", "--value-size", "64"],
                     ["--workload", "set", "--value-size", "64"],
                     ["--workload", "ycsb-b", "--value-size", "64", "--key-dist", "uniform"],
                     ["--workload", "ycsb-a", "--value-size", "64"],
                     ["--workload", "ycsb-a", "--value-size", "1024", "--threads", "2"],
                     ["--workload", "ycsb-f", "--value-size", "1408"],
                     ["--workload", "ycsb-d", "--value-size", "20"],
                     ["--workload", "ycsb-b", "--value-size", "100", "--rate", "5000"]):
            closed = [] if "--rate" in args else ["--connections", "4", "--pipeline", "16"]
            r = load("udpkv", *args, *closed, "--load", "--keys", "5000", "--seconds", "0.5", server.at)
            ok(clean(r), f"{program}: {' '.join(args)}: every answer is good", r["errors"], r["sent"], r["good"])
        s = server.statistics()
        ok(s.get("hits", 0) > 40000 and s["misses"] == s["evicted"] == s["malformed"] == s["unsent"] == 0 and s["sent"] == s["received"],
           f"{program}: SIGUSR1 prints statistics, and they fit", s)
        s = server.statistics(signal.SIGTERM)
        ok(s.get("items", 0) >= 5000 and server.process.wait(5) == 0, f"{program}: SIGTERM prints them and ends it", s)
    with Server(program, "-e") as server:
        r = load("udp", "--size", "64", "--connections", "4", "--pipeline", "16", "--seconds", "0.3", server.at)
        ok(clean(r), f"{program} -e: echo", r["errors"], r["sent"])
        s = server.socket()
        s.send(b"")
        ok(s.recv(100) == b"", f"{program} -e: an empty datagram comes back, too")
        s.send(bytes(5000))
        s.send(b"x" * 2048)
        ok(s.recv(4096) == b"x" * 2048 and server.statistics().get("oversized") == 1,
           f"{program} -e: 2048 bytes come back, more are counted")


def lost_datagrams(program):
    """A relay that loses a tenth of all: the store is filled, and read back, all the same."""
    relay = """
import os, random, select, socket, sys
random.seed(1)
server = ("127.0.0.1", int(sys.argv[1]))
front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
front.bind(("127.0.0.1", 0))
print(front.getsockname()[1], flush=True)
backs, fronts = {}, {}
while True:
    for s in select.select([front, *backs.values()], [], [])[0]:
        data, peer = s.recvfrom(4096)
        if random.random() < 0.1:
            continue
        if s is front:
            if peer not in backs:
                backs[peer] = b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                fronts[b.fileno()] = peer
            backs[peer].sendto(data, server)
        else:
            front.sendto(data, fronts[s.fileno()])
"""
    with Server(program, "-n", "1000") as server:
        p = subprocess.Popen([sys.executable, "-c", relay, str(server.port)], stdout=subprocess.PIPE, text=True)
        try:
            port = p.stdout.readline().strip()
            r = load("udpkv", "--load", "--keys", "500", "--value-size", "64", "--seconds", "0.3", "--timeout", "300", f"127.0.0.1:{port}")
            errors = r["errors"]
            ok(r["good"] > 0 and errors["timeout"] > 0 and errors["wrong"] == errors["protocol"] == 0 and
               r["sent"] == r["good"] + errors["timeout"],
               f"{program}: --load repeats what was lost; a run counts it", errors, r["sent"], r["good"])
            ok(server.statistics()["items"] == 500, "... and fills the store")
        finally:
            p.kill()
            p.wait()
            p.stdout.close()


def bad_datagrams(program):
    with Server(program, "-n", "100", "-v", "0") as server:
        s = server.socket()
        cases = [
            ("an empty datagram", b"", None),
            ("15 bytes", request(GET, b"k")[:15], None),
            ("a reply", head(GET | 0x80, key=1) + b"k", None),
            ("a head without its key", request(GET, b"key")[:16], MALFORMED),
            ("a key that lies about its length", head(GET, key=5) + b"key", MALFORMED),
            ("bytes behind the end", request(GET, b"key") + b"x", MALFORMED),
            ("a value that lies about its length", head(SET, key=3, value=65535) + b"keyvalue", MALFORMED),
            ("a GET with a value", request(GET, b"key", b"v"), MALFORMED),
            ("a GET with a time to live", request(GET, b"key", ttl=1), MALFORMED),
            ("a GET with a status", head(GET, status=3, key=3) + b"key", MALFORMED),
            ("no key", request(GET), MALFORMED),
            ("a NOOP with a key", request(NOOP, b"key"), MALFORMED),
            ("version 0", head(GET, key=3, version=0) + b"key", BAD_VERSION),
            ("version 2", head(GET, key=3, version=2) + b"key", BAD_VERSION),
            ("op 0", head(0, key=3) + b"key", BAD_OP),
            ("op 5", head(5, key=3) + b"key", BAD_OP),
            ("a key of 251 bytes", request(GET, b"k" * 251), TOO_LARGE),
            ("a value of 1409 bytes", request(SET, b"key", b"v" * 1409), TOO_LARGE),
            ("a value without room", request(SET, b"key", b"v" * 1408), NO_ROOM),
            ("2049 bytes", request(SET, b"key", b"v" * 2030), None),
            ("65507 bytes", bytes(65507), None),
        ]
        for name, datagram, status in cases:
            got = ask(s, datagram)
            id = struct.unpack("<Q", datagram[8:16])[0] if len(datagram) >= 16 else 0
            ok(got == (None if status is None else (status, id, b"")), f"{program}: {name}: " +
               ("no answer" if status is None else f"status {status}"), got)
        good = [ask(s, request(SET, b"key", b"value", id=2**64 - 1)) == (OK, 2**64 - 1, b""),
                ask(s, request(GET, b"key", id=7)) == (OK, 7, b"value"),
                ask(s, request(SET, b"k" * 16, b"v" * 64)) == (OK, 1, b""),
                ask(s, request(GET, b"k" * 16)) == (OK, 1, b"v" * 64),
                ask(s, request(DELETE, b"key")) == (OK, 1, b""),
                ask(s, request(DELETE, b"key")) == (NOT_FOUND, 1, b""),
                ask(s, request(GET, b"key")) == (NOT_FOUND, 1, b""),
                ask(s, request(SET, b"short", b"life", ttl=1)) == (OK, 1, b""),
                ask(s, request(GET, b"short")) == (OK, 1, b"life")]
        ok(all(good), f"{program}: and good ones are served", good)
        time.sleep(2.1)
        ok(ask(s, request(GET, b"short")) == (NOT_FOUND, 1, b""), f"{program}: a time to live of a second is over after two")
        t = server.statistics()
        wanted = {"oversized": 2, "ignored": 3, "malformed": 9, "bad_version": 2, "bad_op": 2, "too_large": 2, "no_room": 1,
                  "expired": 1, "unsent": 0}
        ok(all(t.get(k) == v for k, v in wanted.items()), f"{program}: all of them are counted", t)


def refusals(program):
    def fails(text, *args):
        p = subprocess.run([os.path.join(APPS, program), *args], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
        return p.returncode == 1 and not p.stdout and p.stderr.count("\n") == 1 and text in p.stderr and p.stderr.startswith(program + ": ")
    good = [fails("-p 70000", "-p", "70000"), fails("needs a value", "-n"), fails("unknown option -x", "-x"),
            fails("unknown option --port", "--port"), fails("-v 1409", "-v", "1409"), fails("-n 0", "-n", "0"),
            fails("memory", "-n", "500000000", "-v", "1408"), fails("only options", "7777")]
    with Server(program) as server:
        good.append(fails("in use", "-p", str(server.port)))
    if program == "udpkv-batch":
        good.append(fails("-b 513", "-b", "513"))
    ok(all(good), f"{program}: mistakes are one line", good)
    p = subprocess.run([os.path.join(APPS, program), "--help"], capture_output=True, text=True, timeout=10)
    ok(p.returncode == 0 and "-n ITEMS" in p.stdout and ("-b BURST" in p.stdout) == (program == "udpkv-batch"), f"{program}: --help")


if not os.access(WHERRY, os.X_OK) or not all(os.access(os.path.join(APPS, p), os.X_OK) for p in PROGRAMS):
    print("1..0 # skip there is no wherry, or no udpkv")
    sys.exit(0)
for program in PROGRAMS:
    for part in (under_load, lost_datagrams, bad_datagrams, refusals):
        try:
            part(program)
        except (OSError, subprocess.TimeoutExpired, ValueError, TypeError, KeyError) as e:
            ok(False, f"{program}: {part.__name__}", repr(e))
print(f"1..{nr}")
sys.exit(failed)
