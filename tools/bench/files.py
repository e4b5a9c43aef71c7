"""The files of a specification, made in two flavours that differ in the directory they live in:
/bench in a guest, a folder of ours for the native program. @DIR@ in their text (and in a program's
arguments) is that directory. Used by systems.py and the clients, who read them on the host."""

import os
import shutil

from common import BenchError

GUEST_DIR = "/bench"
ZONE = "example.test"


def address(i):
    """The IPv4 address of name number i."""
    return f"10.{1 + (i >> 16 & 127)}.{i >> 8 & 255}.{i & 255}"


def zone(n):
    yield f"$ORIGIN {ZONE}."
    yield "$TTL 300"
    yield "@ SOA ns hostmaster 1 3600 600 86400 300"
    yield "@ NS ns"
    yield "ns A 10.0.0.1"
    for i in range(n):
        yield f"n{i} A {address(i)}"
        yield f"n{i} AAAA fd00::{i:x}"


def unbound_data(n):
    """Lines of a server: clause; a configuration includes it."""
    yield "server:"
    yield f'    local-zone: "{ZONE}." static'
    for i in range(n):
        yield f'    local-data: "n{i}.{ZONE}. A {address(i)}"'
        yield f'    local-data: "n{i}.{ZONE}. AAAA fd00::{i:x}"'


def queries(n):
    """One name and type a line, as queryperf reads them."""
    for i in range(n):
        yield f"n{i}.{ZONE} A"
        yield f"n{i}.{ZONE} AAAA"


LINES = {"zone": zone, "unbound-data": unbound_data, "queries": queries}


def printable(size):
    block = bytes(range(32, 127)) * 128
    return (block * (size // len(block) + 1))[:size]


def write(path, source, spec_dir, where):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if source.get("from"):
        try:
            with open(os.path.join(spec_dir, source["from"]), "rb") as f:
                data = f.read()
        except OSError as e:
            raise BenchError(f"{e.filename}: {e.strerror}") from None
    elif source.get("generate") == "text":
        data = printable(source["size"])
    else:
        lines = source["lines"] if "lines" in source else LINES[source["generate"]](source["names"])
        data = "".join(line + "\n" for line in lines).replace("@DIR@", where).encode()
    with open(path, "wb") as f:
        f.write(data)


class Files:
    """Both flavours, below a work directory."""

    def __init__(self, spec, work):
        self.spec = spec
        self.guest, self.native = os.path.join(work, "files-guest"), os.path.join(work, "files-native")
        self.empty = not spec["files"]
        self.make(self.guest, GUEST_DIR)

    def make(self, top, where):
        shutil.rmtree(top, ignore_errors=True)
        os.makedirs(top)
        for name, source in self.spec["files"].items():
            write(os.path.join(top, name), source, os.path.dirname(self.spec["path"]), where)

    def path(self, name):
        """For a client on the host."""
        return os.path.join(self.guest, name)

    def fresh_native(self):
        """Made anew for each start, since a native program may change them, as a guest does its own."""
        self.make(self.native, self.native)
        return self.native
