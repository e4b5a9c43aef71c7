#!/usr/bin/python3
"""check.py CAPTURE NODE [scapy=N]: what others say of the RoCE packets in a capture (pcap) of a link between a
guest and the node at that address. Every ICRC is recomputed by zlib's CRC-32 (memnode_client.py), that of
N packets of each direction by scapy too (default 1000), and tshark dissects all. Prints what it has
seen, one fact a line, NAME=NUMBER; "wrong..." are faults. Used by tests/guest/rxe.t."""

import collections
import os
import socket
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tool"))
import memnode_client as mc  # noqa: E402

OPCODES = {6: "write_first", 7: "write_middle", 8: "write_last", 10: "write_only", 12: "read", 13: "read_first",
           14: "read_middle", 15: "read_last", 16: "read_only", 17: "acknowledge"}
RESPONSES = (13, 14, 15, 16, 17)


def frames(path):
    with open(path, "rb") as f:
        data = f.read()
    assert struct.unpack("<I", data[:4])[0] == 0xA1B2C3D4, "no pcap with microseconds"
    at = 24
    while at + 16 <= len(data):  # the last may be cut short: QEMU was ended
        n, length = struct.unpack("<II", data[at + 8 : at + 16])
        if at + 16 + n > len(data):
            break
        assert n == length, "a frame was not captured whole"
        yield data[at + 16 : at + 16 + n]
        at += 16 + n


def is_roce(f):
    return len(f) > 58 and f[12:14] == b"\x08\0" and f[23] == 17 and f[36:38] == struct.pack("!H", mc.ROCE_PORT)


def scapy_wrong(sample):
    """How many of them scapy finds another ICRC for; None: there is no scapy."""
    try:
        from scapy.contrib.roce import BTH
        from scapy.layers.inet import IP
        from scapy.layers.l2 import Ether
        from scapy.packet import raw
    except ImportError:
        return None
    wrong = 0
    for f in sample:
        b = Ether(f)[IP].getlayer(BTH)
        b.icrc = None
        wrong += b.compute_icrc(raw(b)[:-4]) != f[-4:]
    return wrong


def tshark(path, count):
    """Its own count of opcodes; what it complains of goes to count. None: there is no tshark."""
    try:
        p = subprocess.run(["tshark", "-n", "-r", path, "-T", "fields", "-E", "occurrence=f", "-e", "udp.dstport", "-e",
                            "infiniband.bth.opcode", "-e", "_ws.malformed", "-e", "_ws.expert.severity", "-e",
                            "_ws.expert.message"], capture_output=True, text=True, timeout=100)
    except FileNotFoundError:
        return None
    seen = collections.Counter()
    for row in p.stdout.splitlines():
        port, opcode, *complaints = row.split("\t")
        if port != str(mc.ROCE_PORT):
            continue
        seen[opcode] += 1
        if any(complaints):
            count["wrong_tshark"] += 1
            print("#", row)
    return seen


def main():
    path, node = sys.argv[1], socket.inet_aton(sys.argv[2])
    each = int(dict(w.split("=") for w in sys.argv[3:]).get("scapy", 1000))
    count = collections.Counter(dict.fromkeys(("nak_fatal nak_sequence repeated wrong_icrc wrong_address wrong_direction "
                                               "wrong_scapy wrong_tshark").split(), 0))
    opcodes = collections.Counter()
    requests, sides = set(), ([], [])
    for f in frames(path):
        if not is_roce(f):
            continue
        packet = f[14 : 14 + struct.unpack("!H", f[16:18])[0]]
        opcode, psn, to_node = f[42], f[47:54], f[30:34] == node
        opcodes[opcode] += 1
        count["wrong_icrc"] += struct.pack("<I", mc.icrc(packet)) != packet[-4:]
        count["wrong_address"] += (f[26:30] if not to_node else f[30:34]) != node
        count["wrong_direction"] += to_node == (opcode in RESPONSES) or opcode not in OPCODES
        sides[to_node].append(f)
        if to_node:
            count["repeated"] += psn in requests  # queue pair and PSN
            requests.add(psn)
        if opcode == 17:
            count["nak_sequence"] += f[54] == mc.NAK_SEQ
            count["nak_fatal"] += f[54] in (0x61, 0x62, 0x63)
    sample = [f for side in sides for f in side[:: max(1, len(side) // max(1, each))][:each]]
    wrong = scapy_wrong(sample)
    if wrong is not None:
        count.update(wrong_scapy=wrong, scapy=len(sample))
    theirs = tshark(path, count)
    if theirs is not None:
        count["tshark"] = sum(theirs.values())
        count["wrong_tshark"] += sum(opcodes[o] != theirs[str(o)] for o in OPCODES)
    count["requests"], count["responses"] = len(sides[1]), len(sides[0])
    for opcode, name in OPCODES.items():
        count[name] = opcodes[opcode]
    for name, n in sorted(count.items()):
        print(f"{name}={n}")


main()
