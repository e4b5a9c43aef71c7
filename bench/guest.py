"""Guests for measurements: the machine's command line as `wherry run` makes it, start, counters, end, on
the private network of `wherry bench` (tools/bench/net.py). Used by bench/run and bench/measures.py. Every
wait has a limit."""

import mmap
import os
import shlex
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools", "bench"))
from common import BenchError, sh  # noqa: E402
from net import BITS, GUEST, HOST, TAP  # noqa: E402
from systems import CPU  # noqa: E402

ICOUNT = struct.Struct("<9Q")  # sim/icount.h: struct icount_file without its padding


class System:
    """A kernel to measure: 'wherry', 'linux' or a path; with a label for tables."""

    def __init__(self, name, build, machine):
        self.label, _, kernel = name.partition("=")
        self.kernel = kernel or name
        if self.kernel == "wherry" and build:
            self.kernel = os.path.join(build, "wherry")
        self.build = build
        self.machine = machine
        self.linux = self.kernel == "linux"
        self.elf = None if self.linux else self.kernel + ".elf"

    def wherry_run(self):
        return [os.path.join(self.build, "bin", "wherry"), "run", "--kernel", self.kernel]


class Image:
    """A packed root file system with the command line that boots it."""

    def __init__(self, system, work, program, args=(), volumes=(), memory=256, append=""):
        self.system, self.program = system, program
        self.initrd = os.path.join(work, f"{system.label}-{os.path.basename(program)}.cpio")
        command = system.wherry_run() + [
            "--dry-run", "--initrd-out", self.initrd, "--accel", "tcg", "--cpu", CPU,
            "--machine", system.machine, "-m", f"{memory}M",
            "--net", f"tap:{TAP},ip={GUEST}/{BITS},gw={HOST}"]
        if append:
            command += ["--append", append]
        for v in volumes:
            command += ["-v", v]
        self.argv = shlex.split(sh(*command, program, "--", *args).splitlines()[0])

    def with_memory(self, mib):
        argv = list(self.argv)
        argv[argv.index("-m") + 1] = f"{mib}M"
        return argv


class Guest:
    """A running guest. counts=PATH: count instructions into that file."""

    def __init__(self, image, work, counts=None, profile=False, memory=None):
        self.image = image
        argv = image.with_memory(memory) if memory else list(image.argv)
        self.counter = None
        if counts:
            if os.path.exists(counts):
                os.unlink(counts)
            plugin = os.path.join(image.system.build, "icount.so")
            argv += ["-plugin", f"{plugin},counts={counts}" + (",profile=on" if profile else "")]
        self.log_path = os.path.join(work, f"{image.system.label}.log")
        self.log = open(self.log_path, "wb")
        self.counts_path = counts
        self.start = time.monotonic()
        self.process = subprocess.Popen(argv, cwd=work, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def alive(self):
        return self.process.poll() is None

    def fail(self, what):
        with open(self.log_path, "rb") as f:
            tail = f.read()[-1500:].decode(errors="replace")
        return BenchError(f"{self.image.system.label}: {what}; its console:\n{tail}")

    def wait_answer(self, port, limit, request=None, answer=None):
        """Until the TCP port answers the request; returns seconds since the start."""
        while time.monotonic() - self.start < limit:
            if not self.alive():
                raise self.fail("the guest ended")
            try:
                with socket.create_connection((GUEST, port), timeout=0.2) as s:
                    if request is None:
                        return time.monotonic() - self.start
                    s.settimeout(1)
                    s.sendall(request)
                    if s.recv(64).startswith(answer):
                        return time.monotonic() - self.start
            except OSError:
                time.sleep(0.002)
        raise self.fail(f"port {port} does not answer after {limit} s")

    def wait_udp(self, port, request, limit):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect((GUEST, port))
            s.settimeout(0.05)
            while time.monotonic() - self.start < limit:
                if not self.alive():
                    raise self.fail("the guest ended")
                try:
                    s.send(request)
                    s.recv(2048)
                    return time.monotonic() - self.start
                except OSError:
                    time.sleep(0.01)
        raise self.fail(f"UDP port {port} does not answer after {limit} s")

    def counts(self):
        """(lower half, upper half) of instructions but for REP iterations, and those."""
        if self.counter is None:
            with open(self.counts_path, "rb") as f:
                self.counter = mmap.mmap(f.fileno(), 4096 if os.fstat(f.fileno()).st_size >= 4096 else 0,
                                         prot=mmap.PROT_READ)
        v = ICOUNT.unpack_from(self.counter)
        return v[2:4], v[4:6]

    def save_counts(self, path):
        sh(os.path.join(self.image.system.build, "bench", "icount"), "save", self.counts_path, path)

    def stop(self):
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        if self.counter is not None:
            self.counter.close()
            self.counter = None
        self.log.close()
