"""Is the server up? One question of its own protocol, asked until it is answered; and who is asked is
watched meanwhile. Used by systems.py."""

import socket
import struct
import time

REDIS_PING = b"*1\r\n$4\r\nPING\r\n"
UDP_PROBE = bytes(16)
UDPKV_NOOP = struct.pack("<BBBBHHQ", 1, 4, 0, 0, 0, 0, 4711)  # docs/udpkv.md
UDPKV_DONE = struct.pack("<BBBBHHQ", 1, 0x84, 0, 0, 0, 0, 4711)
CONNECT_LIMIT, ANSWER_LIMIT, PAUSE = 0.2, 1.0, 0.003


def dns_query(name):
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split("."))
    return struct.pack(">HHHHHH", 4711, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)


def question(workload, first_query):
    """(datagram?, request, is this an answer?)"""
    proto = workload["proto"]
    if proto == "http":
        path = workload["options"].get("path", "/")
        return False, f"HEAD {path} HTTP/1.0\r\n\r\n".encode(), lambda a: a.startswith((b"HTTP/1.1 ", b"HTTP/1.0 "))
    if proto == "redis":
        return False, REDIS_PING, lambda a: a.startswith(b"+PONG")
    if proto == "memcached":
        return False, b"get wherry\r\n", lambda a: a.startswith((b"END", b"VALUE"))
    if proto == "dns":
        query = dns_query(first_query or "n0.example.test")
        return True, query, lambda a: a[:2] == query[:2] and len(a) > 12 and a[2] & 0x80 and not a[3] & 15
    if proto == "udpkv":
        return True, UDPKV_NOOP, lambda a: a == UDPKV_DONE
    return True, UDP_PROBE, lambda a: len(a) > 0


def ask(address, port, datagram, request, good):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if datagram else socket.SOCK_STREAM) as s:
        s.settimeout(0.05 if datagram else CONNECT_LIMIT)
        s.connect((address, port))
        s.sendall(request)
        if not datagram:
            s.settimeout(ANSWER_LIMIT)
        return good(s.recv(4096))


def wait(address, workload, first_query, limit, alive):
    """Seconds until the first answer, or None: the time is over, or alive() is false."""
    datagram, request, good = question(workload, first_query)
    start = time.monotonic()
    while time.monotonic() - start < limit and alive():
        try:
            if ask(address, workload["port"], datagram, request, good):
                return time.monotonic() - start
        except OSError:
            pass
        time.sleep(PAUSE)
    return None
