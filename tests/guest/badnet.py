"""badnet.py INTERFACE ADDRESS ADDRESS6 ATTACK: sends one kind of bad input to a guest on a tap.

Raw Ethernet frames, written by hand. Runs in the test's network namespace, as root. Random choices
have a fixed seed: what fails, fails again."""

import random
import socket
import struct
import sys

interface, address, address6, attack = sys.argv[1:5]
random.seed(4711)
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind((interface, 0))
us = raw.getsockname()[4]
US4, THEM4 = socket.inet_aton("10.99.0.1"), socket.inet_aton(address)
US6, THEM6 = socket.inet_pton(socket.AF_INET6, "fd99::1"), socket.inet_pton(socket.AF_INET6, address6)


def guest_mac():
    """As the kernel learned it: the test has talked to the guest before."""
    for line in open("/proc/net/arp"):
        words = line.split()
        if words[0] == address:
            return bytes.fromhex(words[3].replace(":", ""))
    sys.exit("the guest's Ethernet address is not known")


them = guest_mac()


def send(kind, payload, to=them):
    frame = to + us + struct.pack(">H", kind) + payload
    try:
        raw.send(frame[:1514])
    except OSError:
        pass  # too short for the interface: the kernel refuses it


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip4(proto, payload, src=US4, flags=0, ident=1, options=b"", length=None, version=4, ttl=64, ihl=None):
    ihl = 5 + len(options) // 4 if ihl is None else ihl
    head = struct.pack(">BBHHHBBH4s4s", version << 4 | ihl, 0, len(payload) + 20 + len(options) if length is None else length,
                       ident, flags, ttl, proto, 0, src, THEM4) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ip6(proto, payload, length=None, src=US6, dst=THEM6, hops=255):
    return struct.pack(">IHBB", 6 << 28, len(payload) if length is None else length, proto, hops) + src + dst + payload


def transport(proto, data, at, src=US4, dst=THEM4):
    """Fills in the checksum at that offset."""
    pseudo = src + dst + (struct.pack(">BBH", 0, proto, len(data)) if len(src) == 4 else struct.pack(">II", len(data), proto))
    return data[:at] + struct.pack(">H", checksum(pseudo + data) or 0xffff) + data[at + 2:]


def tcp(sport, dport, seq, ack, flags, window=65535, options=b"", payload=b"", src=US4, offset=None):
    options += b"\0" * (-len(options) % 4)
    offset = 5 + len(options) // 4 if offset is None else offset
    return transport(6, struct.pack(">HHIIBBHHH", sport, dport, seq, ack, offset << 4, flags, window, 0, 0) + options + payload, 16, src)


def udp(sport, dport, payload, length=None, src=US4):
    return transport(17, struct.pack(">HHHH", sport, dport, len(payload) + 8 if length is None else length, 0) + payload, 6, src)


def noise(most):
    return random.randbytes(random.randrange(most))


def rand32():
    return random.getrandbits(32)


def frames():
    """No protocol at all, every length and type."""
    for _ in range(3000):
        send(random.choice([0x800, 0x86dd, 0x806, 0x8100, 0x88cc, rand32() & 0xffff]), noise(1500),
             random.choice([them, b"\xff" * 6, b"\x33\x33\0\0\0\1", random.randbytes(6)]))


def arp():
    for _ in range(1500):
        head = struct.pack(">HHBBH", random.choice([1, 1, rand32() & 0xffff]), random.choice([0x800, 0x806]),
                           random.choice([6, 6, 0, 255]), random.choice([4, 4, 0, 255]), random.choice([1, 2, 3, rand32() & 0xffff]))
        body = head + us + random.choice([US4, THEM4, b"\0" * 4]) + random.randbytes(6) + random.choice([THEM4, b"\xff" * 4])
        send(0x806, body[:random.choice([28, 28, 27, 8, 4, 0])] + noise(40), random.choice([them, b"\xff" * 6]))


def ipv4():
    for i in range(4000):
        payload = noise(1400)
        send(0x800, random.choice([
            lambda: ip4(random.randrange(256), payload),
            lambda: ip4(17, payload, length=random.randrange(65536)),
            lambda: ip4(6, payload, ihl=random.randrange(16)),
            lambda: ip4(6, payload, version=random.randrange(16)),
            lambda: ip4(17, payload, options=random.randbytes(4 * random.randrange(1, 10))),
            lambda: ip4(1, payload, src=random.choice([THEM4, b"\xff" * 4, b"\0" * 4, b"\x7f\0\0\1", b"\xe0\0\0\1"])),
            lambda: ip4(17, payload, flags=random.getrandbits(16), ident=i & 7),
            lambda: ip4(6, payload, ttl=0)])()[:random.choice([1500, 1500, 20, 19, 1])])


def fragments():
    """Overlapping, never-ending, beyond 64 KiB, by many senders."""
    for i in range(6000):
        offset = random.choice([0, 1, 185, 8190, 8191, random.getrandbits(13)])
        more = random.choice([0x2000, 0x2000, 0])
        send(0x800, ip4(random.choice([17, 6, 1]), random.randbytes(random.choice([8, 64, 1480, 7])), flags=more | offset, ident=i // 3,
                        src=bytes([10, 99, 0, random.randrange(1, 255)])))
        if i % 4 == 0:
            send(0x86dd, ip6(44, struct.pack(">BBHI", 17, 0, (random.getrandbits(13) << 3) | (more >> 13), i // 5) + noise(1200)))


def icmp():
    for _ in range(3000):
        inner = ip4(random.choice([6, 17, 1]), noise(100), src=THEM4)
        body = struct.pack(">BBHI", random.choice([3, 4, 5, 8, 11, 12, 13, 17, random.randrange(256)]), random.randrange(16), 0, rand32()) + random.choice([inner, noise(600)])
        send(0x800, ip4(1, body[:2] + struct.pack(">H", checksum(body)) + body[4:]))
        body6 = struct.pack(">BBHI", random.choice([1, 2, 3, 4, 128, 130, 131, 132, 133, 134, 135, 136, 137, 143, random.randrange(256)]),
                            random.randrange(8), 0, rand32()) + random.choice([THEM6 + bytes([1, 1]) + us, ip6(6, noise(60), src=THEM6), noise(400)])
        send(0x86dd, ip6(58, transport(58, body6, 2, US6, THEM6), hops=random.choice([255, 1])))


def ipv6():
    for _ in range(4000):
        chain = b"".join(struct.pack(">BB", random.choice([0, 43, 44, 60, 51, 6, 17, 59]), random.choice([0, 0, 1, 255])) + random.randbytes(6)
                         for _ in range(random.randrange(12)))
        send(0x86dd, ip6(random.choice([0, 43, 44, 60, 6, 17, 58, random.randrange(256)]), chain + noise(800),
                         length=random.choice([None, None, random.randrange(65536)]),
                         src=random.choice([US6, THEM6, b"\0" * 16, b"\xff" * 16]), dst=random.choice([THEM6, b"\xff\2" + b"\0" * 13 + b"\1"])))


def udps():
    for _ in range(4000):
        send(0x800, ip4(17, udp(random.choice([0, 53, 67, rand32() & 0xffff]), random.choice([0, 68, 11211, 546, rand32() & 0xffff]), noise(1200),
                                length=random.choice([None, None, 0, 7, 8, 65535]))))


def dhcp():
    """Answers to nobody's question, with rotten options."""
    for _ in range(2000):
        head = struct.pack(">BBBBIHH4s4s4s4s16s192s4s", random.choice([1, 2, 3]), 1, random.choice([6, 255]), 0, rand32(), 0, 0,
                           b"\0" * 4, THEM4, US4, b"\0" * 4, random.choice([them, b""]), b"", bytes([99, 130, 83, 99]))
        options = b"".join(bytes([random.randrange(256), random.randrange(256)]) + noise(20) for _ in range(random.randrange(20)))
        send(0x800, ip4(17, udp(67, 68, head[:random.choice([240, 240, 239, 44])] + options)), random.choice([them, b"\xff" * 6]))


def tcps():
    """Segments of no connection, with every flag, bad options, bad offsets."""
    for _ in range(6000):
        options = random.choice([b"", random.randbytes(random.randrange(1, 40)), b"\2\4\0\0", b"\2\4\0\1", b"\3\3\xff", b"\5\xff", b"\x08\0", b"\xfe" * 40])
        send(0x800, ip4(6, tcp(random.randrange(65536), random.choice([6379, 6379, random.randrange(65536)]), rand32(), rand32(), random.randrange(256),
                               random.choice([0, 1, 65535]), options, noise(500), offset=random.choice([None, None, 0, 4, 15]))))


def synflood():
    """From thousands of addresses that never answer, against the open port."""
    for i in range(30000):
        src = bytes([10, 99, 1 + (i >> 8) % 250, i & 255])
        send(0x800, ip4(6, tcp(1024 + i % 60000, 6379, rand32(), 0, 2, options=b"\2\4\5\xb4", src=src), src=src))


def land():
    """From the guest's own address and port."""
    for _ in range(2000):
        send(0x800, ip4(6, tcp(6379, 6379, rand32(), 0, 2, src=THEM4), src=THEM4))


def resets():
    """Guessed resets and data for all ports of a live connection."""
    for port in range(32768, 61000, 3):
        send(0x800, ip4(6, tcp(port, 6379, rand32(), rand32(), random.choice([4, 20, 16, 1, 17]), payload=noise(20))))


globals()[attack]()
print("sent")
