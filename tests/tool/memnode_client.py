"""A client of `wherry memnode`, written from docs/memnode.md and the InfiniBand specification and not
from the node's sources, so that a mistake in those does not cancel itself out: HMAC by Python's own,
ICRC by zlib's CRC-32. Over UDP sockets, TCP, or Ethernet frames on QEMU's unix sockets.
Used by tests/tool/memnode.t."""

import hashlib
import hmac
import os
import select
import socket
import struct
import time
import zlib

MAGIC, VERSION, REPLY = 0x57684D6E, 1, 0x80
HELLO, LOGIN, CONNECT, DISCONNECT, ALLOC, FREE, KEEPALIVE, BYE, STATS = range(1, 10)
NOTICE = 0x40
STATUS = ("OK AUTH VERSION NO_SESSION MALFORMED TYPE DRAINING LIMIT QUOTA NO_MEMORY NO_REGION NOT_FOUND "
          "CARRIER").split()
READ, WRITE = 1, 2
ROCE_PORT = 4791
ACK, NAK_SEQ, NAK_INVALID, NAK_ACCESS = 0x1F, 0x60, 0x61, 0x62
W_FIRST, W_MIDDLE, W_LAST, W_ONLY, R_REQ, R_FIRST, R_MIDDLE, R_LAST, R_ONLY, ACKNOWLEDGE = (
    6, 7, 8, 10, 12, 13, 14, 15, 16, 17)


def ip_int(text):
    return struct.unpack("!I", socket.inet_aton(text))[0]


def checksum(b):
    if len(b) % 2:
        b += b"\0"
    s = sum(struct.unpack(f"!{len(b) // 2}H", b))
    while s >> 16:
        s = (s & 0xFFFF) + (s >> 16)
    return ~s & 0xFFFF


def ip_udp(src, dst, sport, dport, payload, ident=0):
    """IP and UDP headers as the ICRC sees them: DF, no UDP checksum."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), ident, 0x4000, 64, 17, 0,
                     socket.inet_aton(src), socket.inet_aton(dst))
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return ip + struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def icrc(packet):
    """Of an IP packet whose last four bytes are the ICRC (IBTA annex A17.3.3)."""
    p = bytearray(packet[:-4])
    p[1] = p[8] = 0xFF  # TOS, TTL
    p[10:12] = b"\xff\xff"  # IP checksum
    p[26:28] = b"\xff\xff"  # UDP checksum
    p[32] = 0xFF  # of the BTH: FECN, BECN
    return zlib.crc32(b"\xff" * 8 + bytes(p))


class Udp:
    """Sockets of this host: RoCE from our own address and port 4791, control from any port."""

    def __init__(self, ours, node, control_port, roce_port=ROCE_PORT):
        self.ours, self.node, self.port = ours, node, roce_port
        self.control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.control.bind((ours, 0))
        self.control_to = (node, control_port)
        self.roce = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.roce.setsockopt(socket.SOL_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
        self.roce.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.roce.bind((ours, ROCE_PORT))

    def ask(self, message, limit):
        self.control.sendto(message, self.control_to)
        return self.heard(limit)

    def heard(self, limit):
        r, _, _ = select.select([self.control], [], [], limit)
        return self.control.recv(65536) if r else None

    def send(self, transport):
        self.roce.sendto(transport, (self.node, self.port))

    def headers(self, transport):
        return ip_udp(self.ours, self.node, ROCE_PORT, self.port, transport)

    def receive(self, limit):
        """An IP packet, its headers made up again."""
        r, _, _ = select.select([self.roce], [], [], limit)
        if not r:
            return None
        data, (src, sport) = self.roce.recvfrom(65536)
        return ip_udp(src, self.ours, sport, ROCE_PORT, data)

    def close(self):
        self.control.close()
        self.roce.close()


class Frames:
    """A guest at the other end of QEMU's -netdev stream or dgram."""

    CONTROL_PORT = 7471

    def __init__(self, path, ours, node, dgram=False, mac=b"\x02\x57\0\0\0\1"):
        self.ours, self.node, self.mac, self.path = ours, node, mac, None
        self.port = ROCE_PORT
        self.log = []  # every frame, both ways
        self.waiting = []
        self.patience = 2
        if dgram:
            self.path = path + "." + mac.hex()
            self.s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.s.bind(self.path)
            os.chmod(self.path, 0o777)
            self.to = path  # as QEMU: not connected
        else:
            self.s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.s.connect(path)
        self.dgram, self.buffer, self.node_mac = dgram, b"", None

    def close(self):
        self.s.close()
        if self.path:
            os.unlink(self.path)

    def send_frame(self, f):
        self.log.append(f)
        if self.dgram:
            self.s.sendto(f, self.to)
        else:
            self.s.sendall(struct.pack("!I", len(f)) + f)

    def frame(self, limit):
        end = time.time() + limit
        while True:
            if not self.dgram and len(self.buffer) >= 4:
                n = struct.unpack("!I", self.buffer[:4])[0]
                if len(self.buffer) >= 4 + n:
                    f, self.buffer = self.buffer[4 : 4 + n], self.buffer[4 + n :]
                    self.log.append(f)
                    return f
            r, _, _ = select.select([self.s], [], [], max(0, end - time.time()))
            if not r:
                return None
            data = self.s.recv(1 << 16)
            if not data:
                return None
            if self.dgram:
                self.log.append(data)
                return data
            self.buffer += data

    def arp(self):
        self.send_frame(b"\xff" * 6 + self.mac + struct.pack("!HHHBBH", 0x806, 1, 0x800, 6, 4, 1) + self.mac +
                        socket.inet_aton(self.ours) + b"\0" * 6 + socket.inet_aton(self.node))
        f = self.frame(self.patience)
        if not f or f[12:14] != b"\x08\x06" or f[20:22] != b"\0\2" or f[28:32] != socket.inet_aton(self.node):
            return f and f.hex()
        self.node_mac = f[22:28]
        return self.node_mac

    def ping(self, data):
        body = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + data
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 77, 0, 64, 1, 0, socket.inet_aton(self.ours),
                         socket.inet_aton(self.node))
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        self.send_frame(self.node_mac + self.mac + b"\x08\0" + ip + body)
        f = self.frame(self.patience)
        return f and f[:6] == self.mac and f[34] == 0 and f[38:] == body[4:] and checksum(f[34:]) == 0 and \
            checksum(f[14:34]) == 0

    def packet(self, match, limit):
        """The next IP packet that match() likes; others wait for who wants them."""
        for i, p in enumerate(self.waiting):
            if match(p):
                return self.waiting.pop(i)
        end = time.time() + limit
        while (f := self.frame(max(0, end - time.time()))) is not None:
            p = f[14:]
            if f[12:14] != b"\x08\0" or f[:6] != self.mac or checksum(p[:20]):
                continue
            p = p[: struct.unpack("!H", p[2:4])[0]]
            if match(p):
                return p
            self.waiting.append(p)
        return None

    def ask(self, message, limit):
        p = ip_udp(self.ours, self.node, 40000, self.CONTROL_PORT, message)
        self.send_frame(self.node_mac + self.mac + b"\x08\0" + p)
        return self.heard(limit)

    def heard(self, limit):
        p = self.packet(lambda p: p[22:24] == struct.pack("!H", 40000), limit)
        if p is None:
            return None
        pseudo = p[12:20] + struct.pack("!HH", 17, len(p) - 20)
        return p[28:] if checksum(pseudo + p[20:]) == 0 else None

    def headers(self, transport):
        return ip_udp(self.ours, self.node, 50000, self.port, transport)

    def send(self, transport):
        self.send_frame(self.node_mac + self.mac + b"\x08\0" + self.headers(transport))

    def receive(self, limit):
        return self.packet(lambda p: p[22:24] == struct.pack("!H", ROCE_PORT), limit)


class Refused(Exception):
    pass


class Client:
    """A session."""

    def __init__(self, carrier, secret=b"", name="test", tries=5, patience=1.0):
        self.carrier, self.secret, self.name = carrier, secret, name
        self.tries, self.patience = tries, patience
        self.session, self.seq, self.key = 0, 1000, None
        self.last = None

    def sign(self, message, key):
        return message + hmac.new(key, message, hashlib.sha256).digest()[:16]

    def message(self, kind, body, key, session=None):
        self.seq += 1
        head = struct.pack("!IBBHQIHH", MAGIC, VERSION, kind, 40 + len(body),
                           self.session if session is None else session, self.seq, 0, 0)
        return self.sign(head + body, key)

    def exchange(self, message, key):
        """The reply's body, verified. Raises what the node refuses with, or None for silence."""
        self.last = message
        for _ in range(self.tries):
            reply = self.carrier.ask(message, self.patience)
            while reply is not None:
                magic, version, kind, length, session, seq, status, flags = struct.unpack("!IBBHQIHH", reply[:24])
                assert magic == MAGIC and version == VERSION and length == len(reply), reply
                if kind == message[5] | REPLY and seq == struct.unpack("!I", message[16:20])[0]:
                    early = STATUS[status] in ("AUTH", "VERSION", "NO_SESSION") or kind & 0x7F in (HELLO, STATS)
                    good = self.sign(reply[:-16], self.secret if early else key) == reply
                    if status:
                        raise Refused(STATUS[status] + ("" if good else " (by somebody else)"))
                    assert good, "the reply's tag is wrong"
                    self.flags, self.reply_session, self.raw = flags, session, reply
                    return reply[24:-16]
                reply = self.carrier.heard(self.patience)
        raise Refused("silence")

    def request(self, kind, body=b""):
        return self.exchange(self.message(kind, body, self.key), self.key)

    def login(self, resume=0):
        nonce = os.urandom(16)
        theirs = self.exchange(self.message(HELLO, nonce, self.secret, 0), self.secret)
        key = hmac.new(self.secret, b"wherry memnode 1" + nonce + theirs, hashlib.sha256).digest()
        body = nonce + theirs + struct.pack("!Q32s", resume, self.name.encode())
        r = self.exchange(self.message(LOGIN, body, key, 0), key)
        self.key, self.session = key, self.reply_session
        names = "lease grace quota used extents max_extents max_qps mtu rd_atomic".split()
        return dict(zip(names, struct.unpack("!IIQQIIIHH", r)))

    def alloc(self, size, access=READ | WRITE, region=""):
        return struct.unpack("!QQI", self.request(ALLOC, struct.pack("!QI32s", size, access, region.encode())))

    def free(self, va, rkey):
        self.request(FREE, struct.pack("!QI", va, rkey))

    def keepalive(self):
        return dict(zip("lease drain quota used free".split(), struct.unpack("!IIQQQ", self.request(KEEPALIVE))))

    def connect(self, mtu=1024, rd_atomic=16, psn=None):
        return Qp(self, mtu, rd_atomic, psn)


class Qp:
    """A queue pair, and a requester that waits for each answer."""

    nr = 0x111
    migrated = True  # the peer's MigReq

    def __init__(self, client, mtu, rd_atomic, psn):
        Qp.nr += 1
        self.carrier = client.carrier
        self.qpn, self.psn = Qp.nr, 0xFFFFF0 if psn is None else psn
        r = client.request(CONNECT, struct.pack("!IIIHHHH", self.qpn, self.psn, ip_int(self.carrier.ours), 0, mtu,
                                                rd_atomic, 0))
        self.node_qpn, _, self.node_ip, self.node_port, self.mtu, self.rd_atomic, _ = struct.unpack("!IIIHHHH", r)
        self.checked = 0

    def post(self, opcode, psn, ext=b"", payload=b"", ack=False, pad=None, spoil=False, qpn=None):
        if pad is None:
            pad = -len(payload) % 4
        bth = struct.pack("!BBHIBBH", opcode, 0x40 | pad << 4, 0xFFFF, qpn or self.node_qpn, ack << 7,
                          psn >> 16 & 0xFF, psn & 0xFFFF)
        t = bth + ext + payload + b"\0" * pad + b"\0" * 4
        crc = icrc(self.carrier.headers(t))
        if spoil:
            crc ^= 0x00010000
        self.carrier.send(t[:-4] + struct.pack("<I", crc))

    def packet(self, limit=1.0):
        """(opcode, psn, syndrome, msn, payload) of the next packet for us, its ICRC verified."""
        while (p := self.carrier.receive(limit)) is not None:
            assert icrc(p) == struct.unpack("<I", p[-4:])[0], "a wrong ICRC from the node"
            self.checked += 1
            op, flags, pkey, qpn, _, psn_hi, psn = struct.unpack("!BBHIBBH", p[28:40])
            if qpn != self.qpn:
                continue
            assert pkey == 0xFFFF and bool(flags & 0x40) == self.migrated
            body, pad = p[40:-4], flags >> 4 & 3
            syndrome = msn = None
            if op in (R_FIRST, R_LAST, R_ONLY, ACKNOWLEDGE):
                syndrome, msn = body[0], int.from_bytes(body[1:4], "big")
                body = body[4:]
            return op, psn_hi << 16 | psn, syndrome, msn, body[: len(body) - pad]
        return None

    def reth(self, va, rkey, n):
        return struct.pack("!QII", va, rkey, n)

    def next(self, n=1):
        psn = self.psn
        self.psn = (self.psn + n) & 0xFFFFFF
        return psn

    def write(self, va, rkey, data, tries=1, limit=1.0):
        """True: acknowledged; else the syndrome, or None for silence."""
        parts = [data[i : i + self.mtu] for i in range(0, len(data), self.mtu)] or [b""]
        first = self.next(len(parts))
        last = (first + len(parts) - 1) & 0xFFFFFF
        for _ in range(tries):
            for i, part in enumerate(parts):
                op = W_ONLY if len(parts) == 1 else W_FIRST if i == 0 else W_LAST if i == len(parts) - 1 else W_MIDDLE
                self.post(op, (first + i) & 0xFFFFFF, self.reth(va, rkey, len(data)) if i == 0 else b"", part,
                          ack=i == len(parts) - 1)
            while (p := self.packet(limit)) is not None:
                if p[0] == ACKNOWLEDGE and p[2] == ACK and p[1] == last:
                    return True
                if p[0] == ACKNOWLEDGE and p[2] in (NAK_INVALID, NAK_ACCESS):
                    return p[2]
        return None

    def read(self, va, rkey, n, tries=1, limit=1.0, psn=None):
        """The bytes; else the syndrome, or None for silence."""
        packets = max(1, -(-n // self.mtu))
        first = self.next(packets) if psn is None else psn
        for _ in range(tries):
            self.post(R_REQ, first, self.reth(va, rkey, n))
            data, i = b"", 0
            while (p := self.packet(limit)) is not None:
                if p[0] == ACKNOWLEDGE:
                    if p[2] in (NAK_INVALID, NAK_ACCESS):
                        return p[2]
                    continue
                want = R_ONLY if packets == 1 else R_FIRST if i == 0 else R_LAST if i == packets - 1 else R_MIDDLE
                if p[1] != (first + i) & 0xFFFFFF or p[0] != want:
                    continue
                data += p[4]
                i += 1
                if i == packets:
                    return data
        return None
