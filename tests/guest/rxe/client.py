#!/usr/bin/python3
"""client.py SOCKET NODE KEY LIVE OPERATIONS: the client of tests/tool/memnode.t at the link of a Linux guest whose
memory nodes are rdma_rxe's (wherry memnode --verbs): the session's part of the node, and what the device was told.
Then it lends its socket and queue pairs to the program LIVE (live.c), the requester on the host. Prints a line for
each property, "0 NAME" if it holds, else "1 NAME" and facts behind '#'. Used by rxe.t."""

import os
import socket
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tool"))
import memnode_client as mc  # noqa: E402


class Link(mc.Frames):
    """Linux asks for its peers' addresses."""

    def frame(self, limit):
        f = super().frame(limit)
        if f and f[12:14] == b"\x08\x06" and f[20:22] == b"\0\1" and f[38:42] == socket.inet_aton(self.ours):
            self.send_frame(f[6:12] + self.mac + f[12:20] + b"\0\2" + self.mac + f[38:42] + f[22:32])
        return f


def pattern(n, seed=1):
    return bytes((i * 31 + seed * 7 + (i >> 8)) & 0xFF for i in range(n))


def ok(good, name, *facts):
    print(0 if good else 1, name)
    if not good:
        print("#", *facts)


def refused(f, *args):
    try:
        f(*args)
        return "OK"
    except mc.Refused as e:
        return str(e)


def data_path(c):
    va, _, rkey = c.alloc(1 << 20)
    bad, checked = [], 0
    for mtu in (256, 512, 1024, 2048, 4096):
        qp = c.connect(mtu=mtu)
        if qp.mtu != mtu:
            bad.append(f"MTU {qp.mtu}, not {mtu}")
        if mtu == 256 and qp.read(va, rkey, 65536) != bytes(65536):
            bad.append("new memory is not zero")
        for i, n in enumerate((0, 1, 2, 3, 4, 5, mtu - 1, mtu, mtu + 1, 2 * mtu, 3 * mtu + 7)):
            data, at = pattern(n, i + mtu), va + 16384 * i + i % 4
            if qp.write(at, rkey, data, tries=3) is not True:
                bad.append(f"WRITE of {n} at MTU {mtu}")
            if qp.read(at, rkey, n, tries=3) != data:
                bad.append(f"READ of {n} at MTU {mtu}")
        checked += qp.checked
        c.request(mc.DISCONNECT, struct.pack("!I", qp.node_qpn))
    c.free(va, rkey)
    ok(not bad and checked > 150, "READs and WRITEs of 0 to 12295 bytes at five MTUs; every ICRC is right", bad, checked)


def live(c, name, operations, ppm, mtu, window, reads, psn):
    """Random READs and WRITEs by the requester of the kernel."""
    va, length, rkey = c.alloc(1 << 20)
    qp = c.connect(mtu=mtu, rd_atomic=reads, psn=psn)
    while link.frame(0.05):  # the program gets the socket between two frames
        pass
    p = subprocess.run([sys.argv[4]] + [str(x) for x in (link.s.fileno(), operations, os.getpid(), ppm, qp.mtu, window,
                                                         qp.rd_atomic, qp.qpn, qp.node_qpn, psn, va, length)] +
                       [f"{x:x}" for x in (rkey, mc.ip_int(link.ours), mc.ip_int(link.node),
                                           int.from_bytes(link.mac, "big"), int.from_bytes(link.node_mac, "big"))],
                       pass_fds=[link.s.fileno()], capture_output=True, text=True, check=False)
    ok(p.returncode == 0 and not link.buffer and " 0 strange: 0 wrong" in p.stdout, name, p.stdout, p.stderr)
    print("#", p.stdout.strip())
    c.request(mc.DISCONNECT, struct.pack("!I", qp.node_qpn))
    c.free(va, rkey)


link = Link(sys.argv[1], "10.88.0.77", sys.argv[2], mac=b"\x02\x57\x0a\x58\0\x4d")
secret = sys.argv[3].encode()
mc.Qp.migrated = False  # rdma_rxe leaves the bit 0
while not isinstance(link.arp(), bytes):
    pass
a, b = mc.Client(link, secret, "alice"), mc.Client(link, secret, "bob")
welcome = a.login()
b.login()
ok(welcome["rd_atomic"] == 128 and welcome["mtu"] == 4096, "the node says what the device can do", welcome)
data_path(a)

va, length, rkey = a.alloc(65536)
qp = a.connect(mtu=4096)
first = qp.write(va, rkey, pattern(4096))
ro_va, _, ro_key = a.alloc(4096, mc.READ)
answers = [a.connect().read(va, rkey ^ 0x100, 4), a.connect().write(va + length - 3, rkey, b"over"),
           a.connect().write(ro_va, ro_key, b"no"), b.connect().read(va, rkey, 4)]
ok(first is True and answers == [mc.NAK_ACCESS] * 4 and qp.read(va, rkey, 4096) == pattern(4096) and
   a.connect().read(ro_va, ro_key, 4096) == bytes(4096),
   "a wrong key or range, a WRITE to what is read-only, and another session's key are refused", first, answers)

ok(refused(b.free, va, rkey) == "NOT_FOUND" and refused(a.request, mc.DISCONNECT, b"\0\0\x0f\xff") == "NOT_FOUND" and
   refused(lambda: [a.connect() for _ in range(17)]) == "LIMIT" and refused(a.alloc, 1 << 40) == "NO_MEMORY",
   "unknown keys and queue pairs, too many of them, and too much memory are refused")
a.free(va, rkey)
gone = qp.read(va, rkey, 16)
again = b.alloc(65536)
ok(gone == mc.NAK_ACCESS and again[0] == va and b.connect().read(va, again[2], 4096) == bytes(4096),
   "freed memory cannot be read, and is zero for who gets it next", gone, again, va)
dead = b.connect()
b.request(mc.DISCONNECT, struct.pack("!I", dead.node_qpn))
silent = dead.read(va, again[2], 4, limit=0.3)
b.request(mc.BYE)
a.request(mc.BYE)
a.login()
left = a.keepalive()
ok(silent is None and left["used"] == 0, "a queue pair that was given back is deaf; nothing is left of who has left", silent,
   left)
operations = int(sys.argv[5])
live(a, "the requester on the host: READs and WRITEs of 1 to 300000 bytes anywhere, PSNs that wrap", operations, 0,
     1024, 64, 16, 0xFFFF00)
live(a, "... at path MTU 256, one READ at a time", operations // 3, 0, 256, 128, 1, 5)
live(a, "... at 4096, 2 % of the packets lost each way", operations // 2, 20000, 4096, 32, 128, 0xFFFFF0)
a.request(mc.BYE)
link.close()
