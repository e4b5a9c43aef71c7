"""The other end of a guest's network card over vhost-user: one `wherry pktgen` for each boot, which is
started before the guest and told its runs line by line (docs/pktgen.md). Used by systems.py (to boot)
and clients.py (to measure)."""

import json
import os
import selectors
import subprocess
import time

from common import BenchError, tool

HEAD = 42  # of a frame: Ethernet, IPv4, UDP; `size` of proto udp is what follows
START_LIMIT = 20
STOP_LIMIT = 5
PIPE = 1 << 16


class PeerError(BenchError):
    """The generator ended, or said nothing; .tail is what it said on standard error."""


def words(options, rate, seconds, warmup, seed, fill, requests):
    """A run's line. All that differs between runs is said each time, since the first run's words hold
    otherwise."""
    out = ["--seed", str(seed), "--requests", str(requests or 0), "--rate", f"{rate or 0:g}"]
    out += [] if requests else ["--seconds", f"{seconds:g}", "--warmup", f"{warmup:g}"]
    for key, value in sorted(options.items()):
        if key == "load":
            out += ["--load", "--unread"] if value and fill else []  # each answer of the run is verified
        elif key == "size":
            out += ["--frame", str(value + HEAD)]
        elif key == "window":
            out += [] if rate else ["--window", str(value)]
        elif key != "arrivals" or rate:
            out += [f"--{key}", str(value)]
    return out


class Peer:
    def __init__(self, socket, echo, cpu, log_path, wait):
        if os.path.lexists(socket):
            os.unlink(socket)
        self.argv = [tool(), "pktgen", "--socket", socket, "--lines", "--quiet", "--wait", f"{wait:g}"]
        self.argv += ["--cpu", cpu.split(",")[0].split("-")[0]] if cpu else []
        # The first run is but for meeting the guest: its answer is nobody's concern.
        first = ["--requests", "1"] + (["--echo"] if echo else ["--keys", "1"])
        self.log_path, self.out = log_path, b""
        self.log = open(log_path, "wb")
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL"] + self.argv + first, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, start_new_session=True)
        os.set_blocking(self.process.stdout.fileno(), False)
        try:
            end = time.monotonic() + START_LIMIT
            while not os.path.exists(socket):
                if self.process.poll() is not None or time.monotonic() > end:
                    raise PeerError(self.why("does not start"))
                time.sleep(0.01)
        except BaseException:
            self.close()
            raise

    def why(self, what):
        """Its own last words, if it has ended."""
        self.log.flush()
        with open(self.log_path, errors="replace") as f:
            last = f.read().strip().splitlines()[-1:]
        return f"wherry pktgen {what}" + (f": {last[0].removeprefix('wherry: ')}" if last else "")

    def answer(self, limit, alive):
        """The next result, a line. alive(): is the guest?"""
        end = time.monotonic() + limit
        with selectors.DefaultSelector() as s:
            s.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.out:
                piece = self.process.stdout.read(PIPE) if s.select(0.1) else None
                if piece == b"":
                    self.process.wait(STOP_LIMIT)
                    raise PeerError(self.why("ended"))
                self.out += piece or b""
                if not piece and not alive():
                    raise PeerError("the guest ended")
                if time.monotonic() > end:
                    raise PeerError(self.why(f"said nothing for {limit:g} s"))
        line, _, self.out = self.out.partition(b"\n")
        return json.loads(line)

    def run(self, line, limit, alive):
        try:
            self.process.stdin.write((" ".join(line) + "\n").encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise PeerError(self.why("ended")) from None
        return self.answer(limit, alive)

    def ended(self):
        return self.process.poll() is not None

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.terminate()
            try:
                self.process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_LIMIT)
        self.process.stdout.close()
        self.log.close()
