"""Guest instructions per request, counted by a plugin of QEMU's emulator (sim/icount.c) in a boot of its
own, while wherry load or pktgen sends a known number of requests: the slope between n and 3n of them, less
what the idle guest executes in the same time. A guest that polls is never idle: of it all counts that
it executes from the first request to the last answer. How much of that was polls that found nothing is told
by the profile of the idle guest, which does nothing else: some block of it is executed by such a poll
only, and how often it was executed under load, beside idle, is the share of idling in the load. As that
block the one counts whose share is the smallest, so that rather too little is taken for idle. A Wherry
kernel that polls before it halts does so in functions of their own (haltpoll_*). REP
iterations are counted apart (docs/performance.md). Used by sweep.py."""

import mmap
import os
import re
import struct
import time

import clients
import net
from common import build_dir, sh

VCPUS = 8
# sim/icount.h: magic, version, insns[2], reps[2], slots, used, overflow, vcpus, unused[4]; vcpu[]: insns[2], reps[2]
LAYOUT = struct.Struct(f"<14Q{4 * VCPUS}Q")
SLOTS = 6  # where the number of blocks is, each an address and a count
IDLE_SHARE = 0.01  # of what a polling guest executes when idle: blocks with less tell nothing
BELOW, ABOVE, REP, VCPU = 0, 1, 2, 3  # in what read() gives
FAST_SECONDS = 0.5  # that n requests should take at least, for a generator that is fast enough
IDLE_SECONDS = 1.0
SETTLE = 0.02  # after the last answer: what the guest still does for it
REQUESTS_LIMIT = 120
GOOD_SHARE = 0.995
FUNCTIONS = 30  # listed at most
WAITING = "haltpoll_"  # kernel/sched/thread.h: functions that only wait
PROFILE_LINE = re.compile(r"^\s*([\d.]+)\s+[\d.]+ %\s+(\S+)\s+(\S+)$", re.M)


class Counter:
    def __init__(self, path):
        self.path, self.reader = path, os.path.join(build_dir(), "bench", "icount")
        with open(path, "rb") as f:
            self.map = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)

    def read(self):
        """Below and above the middle of the address space: the program, the kernel; REP iterations; the sum of
        each virtual CPU, where they are counted apart."""
        v = LAYOUT.unpack_from(self.map)
        each = [v[14 + 4 * i:18 + 4 * i] for i in range(VCPUS)]
        return [v[2] + sum(e[0] for e in each), v[3] + sum(e[1] for e in each), v[4] + v[5] + sum(e[2] + e[3] for e in each)] + \
            [e[0] + e[1] for e in each]

    def copy(self):
        """Of the whole file, quickly, since the guest goes on."""
        return bytes(self.map)

    def save(self):
        """A copy of all counts, to tell later what was added."""
        sh(self.reader, "save", self.path, self.path + ".before")

    def functions(self, elf, requests):
        """[name, instructions a request] of the kernel's functions since save(), most first."""
        out = sh(self.reader, "profile", "-b", self.path + ".before", "-n", str(FUNCTIONS * 2), "-d", str(requests), self.path, elf)
        image = os.path.basename(elf)
        return [[name, float(n)] for n, where, name in PROFILE_LINE.findall(out) if where == image]

    def close(self):
        self.map.close()


def available(image, build):
    return (image.option("-accel") or "").startswith("tcg") and os.path.exists(os.path.join(build, "icount.so"))


def span(counter, work):
    """What was executed, how long it took, and what work() returned."""
    before, start = counter.read(), time.monotonic()
    result = work()
    time.sleep(SETTLE)
    return [b - a for a, b in zip(before, counter.read())], time.monotonic() - start, result


def blocks(copy):
    """The profile: by slot, what was executed in that block."""
    at, slots = LAYOUT.size, LAYOUT.unpack_from(copy)[SLOTS]
    return memoryview(copy)[at:at + 16 * slots].cast("Q")[1::2].tolist()


def profiled(counter, work):
    """The same, and what was executed in each block."""
    before = counter.copy()
    executed, took, result = span(counter, work)
    after = counter.copy()
    return executed, took, result, [b - a for a, b in zip(blocks(before), blocks(after))]


def idle_share(idle, load):
    """How often, beside what an idle guest did in these blocks, a guest under load did the same."""
    total = sum(idle)
    return min((b / a for a, b in zip(idle, load) if a > IDLE_SHARE * total), default=0)


def idles(counter, load, n, elf):
    """A guest that is idle when it has nothing to do: the slope between n and 3n requests, less what it does
    besides all the time. If the kernel's elf is given: "functions", and how much is left ("busy") without what only waited."""
    idle, idle_time, _ = span(counter, lambda: time.sleep(IDLE_SECONDS))
    one, one_time, _ = span(counter, lambda: load(n))
    if elf:
        counter.save()
    three, three_time, _ = span(counter, lambda: load(3 * n))
    rest = [(c - a - i / idle_time * (three_time - one_time)) / (2 * n) for a, c, i in zip(one, three, idle)]
    functions = counter.functions(elf, 3 * n) if elf else []
    waiting = sum(count for name, count in functions if name.startswith(WAITING))
    return {"program": rest[BELOW], "kernel": rest[ABOVE], "rep": rest[REP], "requests": 2 * n,
            "busy": rest[BELOW] + rest[ABOVE] - waiting if waiting else None,
            "idle_per_second": (idle[BELOW] + idle[ABOVE]) / idle_time, "functions": functions[:FUNCTIONS] or None}


def polls(counter, load, n):
    """One that always polls: all that it does while requests are under way, and how much of that was for
    them ("busy"). "vcpus": of each virtual CPU."""
    idle, idle_time, _, idle_blocks = profiled(counter, lambda: time.sleep(IDLE_SECONDS))
    some, time_of_it, result, load_blocks = profiled(counter, lambda: load(3 * n))
    around = (time_of_it - result["seconds"]) / idle_time  # before the first request and after the last answer
    rest = [(s - i * around) / (3 * n) for s, i in zip(some, idle)]
    busy = sum(load_blocks) - idle_share(idle_blocks, load_blocks) * sum(idle_blocks)
    return {"program": rest[BELOW], "kernel": rest[ABOVE], "rep": rest[REP], "requests": 3 * n, "functions": None,
            "busy": busy / (3 * n), "idle_per_second": (idle[BELOW] + idle[ABOVE]) / idle_time,
            "vcpus": [v for v, executed in zip(rest[VCPU:], some[VCPU:]) if executed]}


def per_request(counter, load, n, elf, polling=False, enlarge=False):
    """Instructions a request: in the "program", in the "kernel", "rep" iterations. load(n) sends n requests and
    returns the result. enlarge: where n are answered too fast for a good count, more are sent."""
    first = load(n)
    if enlarge and first["seconds"]:
        n = max(n, round(first["good"] / first["seconds"] * FAST_SECONDS / (3 if polling else 1)))  # polls() sends 3n only
    return polls(counter, load, n) if polling else idles(counter, load, n, elf)


def measure(boot, counter, client, workload, options, n, seed, files, cpus, fill):
    fill = [fill]

    def load(number):
        task = clients.Task(workload, options, None, REQUESTS_LIMIT, 0, net.GUEST, cpus, seed, files, fill[0], number, boot)
        fill[0] = False
        _, result = clients.run(client, task)
        if result["good"] < GOOD_SHARE * number:  # a datagram may be lost
            raise clients.ClientError(f"{result['good']} of {number} requests were answered well")
        return result

    return per_request(counter, load, n, boot.image.symbols(), boot.image.polls, client == "pktgen")
