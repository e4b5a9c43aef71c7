"""Guest instructions per request, counted by a plugin of QEMU's emulator (sim/icount.c) in a boot of its
own, while wherry load sends a known number of requests: the slope between n and 3n of them, less what
the idle guest executes in the same time. REP iterations are counted apart (docs/performance.md).
Used by sweep.py."""

import mmap
import os
import re
import struct
import time

import clients
import net
from common import build_dir, sh

LAYOUT = struct.Struct("<6Q")  # sim/icount.h: magic, version, insns[2], reps[2]
IDLE_SECONDS = 1.0
SETTLE = 0.02  # after the last answer: what the guest still does for it
REQUESTS_LIMIT = 120
GOOD_SHARE = 0.995
FUNCTIONS = 30  # listed at most
PROFILE_LINE = re.compile(r"^\s*([\d.]+)\s+[\d.]+ %\s+(\S+)\s+(\S+)$", re.M)


class Counter:
    def __init__(self, path):
        self.path, self.reader = path, os.path.join(build_dir(), "bench", "icount")
        with open(path, "rb") as f:
            self.map = mmap.mmap(f.fileno(), LAYOUT.size, prot=mmap.PROT_READ)

    def read(self):
        """(below, above the middle of the address space, REP iterations): the program, the kernel."""
        v = LAYOUT.unpack_from(self.map)
        return v[2], v[3], v[4] + v[5]

    def save(self):
        """A copy of all counts, to tell later what was added."""
        sh(self.reader, "save", self.path, self.path + ".before")

    def functions(self, elf, requests):
        """[name, instructions a request] of the kernel's functions since save(), most first."""
        out = sh(self.reader, "profile", "-b", self.path + ".before", "-n", str(FUNCTIONS * 2), "-d", str(requests), self.path, elf)
        image = os.path.basename(elf)
        return [[name, float(n)] for n, where, name in PROFILE_LINE.findall(out) if where == image][:FUNCTIONS]

    def close(self):
        self.map.close()


def available(image, build):
    return (image.option("-accel") or "").startswith("tcg") and os.path.exists(os.path.join(build, "icount.so"))


def span(counter, work):
    before, start = counter.read(), time.monotonic()
    work()
    time.sleep(SETTLE)
    return [b - a for a, b in zip(before, counter.read())], time.monotonic() - start


def per_request(counter, load, n, elf):
    """{"program", "kernel", "rep"}: instructions a request; "functions", if the kernel's elf is given.
    load(n) sends n requests."""
    load(n)
    idle, idle_time = span(counter, lambda: time.sleep(IDLE_SECONDS))
    one, one_time = span(counter, lambda: load(n))
    if elf:
        counter.save()
    three, three_time = span(counter, lambda: load(3 * n))
    rest = [(c - a - i / idle_time * (three_time - one_time)) / (2 * n) for a, c, i in zip(one, three, idle)]
    return {"program": rest[0], "kernel": rest[1], "rep": rest[2], "requests": 2 * n,
            "idle_per_second": sum(idle[:2]) / idle_time,
            "functions": counter.functions(elf, 3 * n) if elf else None}


def measure(boot, counter, workload, options, n, seed, files, cpus):
    fill = [True]

    def load(number):
        task = clients.Task(workload, options, None, REQUESTS_LIMIT, 0, net.GUEST, cpus, seed, files, fill[0], number)
        fill[0] = False
        argv, result = clients.run("load", task)
        if result["good"] < GOOD_SHARE * number:  # a datagram may be lost
            raise clients.ClientError(f"{result['good']} of {number} requests were answered well")
        return argv, result

    return per_request(counter, load, n, boot.image.symbols())
