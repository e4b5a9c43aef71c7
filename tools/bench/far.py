"""Far memory and its rival: what a system of kind wherry or linux with "far" is started with, the memory on
this host that it gets (`wherry memnode`, or qemu-nbd for Linux's swap), how much of the program's memory may
stay in the guest (sweeps by "local"), and the guests' counters of paging. Both reach this host over a tap of
their own with the same MTU (net.py makes it). Used by spec.py (to check), plan.py, systems.py and sweep.py."""

import os
import re
import socket
import subprocess
import time
import urllib.request

import net
from common import BenchError, build_dir, tool

LOCAL = "local"  # the sweep: per cent of a program's footprint
ALL = 100  # from here on nothing has to leave: no limit
HERE = "@LOCAL@"  # in a command line, until a boot says what it is
NBD_PORT, STATS_PORT = 10809, 7470  # bench/remote_swap.c
METRICS_PORT = 9100
NODE_SPARE = 16  # MiB that a node has more than it lends
START_LIMIT, STOP_LIMIT, ANSWER_LIMIT = 20, 5, 10
MIB = 1 << 20
# Of Linux: what went out, came in, came in on demand, was read ahead, and of that was used.
LINUX_COUNTERS = ("pswpout", "pswpin", "pgmajfault", "swap_ra", "swap_ra_hit")
# Of Wherry: pages missed, of those under way already, waits of system calls and of guides, pages that came ahead, those
# of use, those in vain, that left, that were sent.
WHERRY_COUNTERS = ("faults", "faults_late", "brought", "guide_waits", "prefetched", "prefetch_hits", "prefetch_wasted", "evicted",
                   "written")
# How often a thread had to wait for another machine.
STALLS = {"wherry": ("faults", "brought", "guide_waits"), "linux": ("pgmajfault",)}


def check(c, s, tree):
    """What a specification says of it in several places."""
    local = any(x["by"] == LOCAL for x in s["sweeps"])
    for i, x in enumerate(s["systems"]):
        line = tree["systems"].lines[i]
        if x["far"] and x["kind"] not in STALLS:
            c.fail(line, f"'far' is for kinds {' and '.join(STALLS)}, not {x['kind']!r}")
        if x["far"] and not s["far"]:
            c.fail(line, "a system has 'far', but the specification does not say how much memory there is: \"far\": {\"size\": MiB}")
        if x["far"] and (x["kind"] == "wherry") != bool(x["far"]["prefetch"]):
            c.fail(line, "'prefetch' in 'far': kind 'wherry' must say it, 'linux' has none")
        if x["far"] and x["far"]["set"] and x["kind"] != "linux":
            c.fail(line, "'set' in 'far' is for kind 'linux'")
    if not local:
        return
    if s["network"] != "tap":
        c.fail(tree.line, "'sweeps' by local: far memory is measured over a tap")
    if not any(x["far"] for x in s["systems"]):
        c.fail(tree.line, "'sweeps' by local: no system has 'far'")
    for x in s["sweeps"]:
        for w in s["workloads"] if x["by"] == LOCAL else []:
            for p in s["programs"]:
                if w["name"] in (x["workloads"] or [w["name"]]) and p["name"] in w["programs"] and not p["footprint"]:
                    c.fail(tree.line, f"'sweeps' by local: program {p['name']!r} does not say its 'footprint', of which local memory is a part")


def swept(spec, workload):
    """Is it measured by local share, and nowhere else?"""
    return any(x["by"] == LOCAL and workload["name"] in (x["workloads"] or [workload["name"]]) for x in spec["sweeps"])


def takes_part(system, setting):
    """One without far memory has its place where everything is local."""
    return bool(system.get("far")) or setting.get(LOCAL, ALL) >= ALL


def run_words(spec, system):
    """Options of `wherry run`."""
    size = spec["far"]["size"]
    words = ["--net", f"tap:{net.FAR_TAP},ip={net.FAR_GUEST}/{net.BITS},mtu={spec['far']['mtu']}"]
    if system["kind"] == "wherry":
        more = f",{system['far']['words']}" if system["far"]["words"] else ""
        return words + ["--far", f"{net.FAR_HOST},size={size}M,prefetch={system['far']['prefetch']}{more}",
                        "--append", f"wherry.far.local={HERE} wherry.metrics={METRICS_PORT}"]
    setup = ",".join(["/remote_swap", f"{net.FAR_HOST}:{NBD_PORT}", str(size), HERE] + system["far"]["set"])
    return words + ["--module", "nbd", "-v", f"{build_dir()}/bench/remote_swap:/remote_swap",
                    "--append", f"cgroup.memory=nokmem,nosocket wherry.setup={setup}"]


def with_limit(argv, kind, program, setting):
    """The command line with the local share of a boot in it."""
    share = setting.get(LOCAL, ALL)
    if share >= ALL:
        text = {"wherry": "100%", "linux": "0"}[kind]
    else:
        text = f"{program['footprint'] * share / 100:.0f}" + {"wherry": "M", "linux": ""}[kind]
    return [w.replace(HERE, text) for w in argv]


class Server:
    """The memory on this host, for one boot."""

    def __init__(self, spec, system, log_path):
        size, cpus = spec["far"]["size"], spec["cpus"]["generator"]
        self.memory = None
        if system["kind"] == "wherry":
            argv = [tool(), "memnode", "--memory", f"{size + NODE_SPARE}M", "--listen", net.FAR_HOST, "--drain", "0"]
            ready = b"listening"
        else:
            self.memory = os.memfd_create("swap")
            os.truncate(self.memory, size * MIB)
            argv = ["qemu-nbd", "--format", "raw", "--persistent", "--shared", "2", "--bind", net.FAR_HOST, "--port", str(NBD_PORT),
                    "--export-name", "", f"/proc/self/fd/{self.memory}"]
            ready = None
        self.log_path = log_path
        self.log = open(log_path, "wb")
        try:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL"] + (["taskset", "-c", cpus] if cpus else []) + argv,
                                            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
                                            pass_fds=[self.memory] if self.memory is not None else [], start_new_session=True)
            self.wait(argv[0], ready)
        except BaseException:
            self.close()
            raise

    def wait(self, name, ready):
        end = time.monotonic() + START_LIMIT
        while True:
            with open(self.log_path, "rb") as f:
                said = f.read()
            if ready and ready in said or not ready and self.answers():
                return
            if self.process.poll() is not None or time.monotonic() > end:
                last = said.decode(errors="replace").strip().splitlines()[-1:]
                raise BenchError(f"{os.path.basename(name)} does not start" + (f": {last[0]}" if last else ""))
            time.sleep(0.02)

    @staticmethod
    def answers():
        try:
            socket.create_connection((net.FAR_HOST, NBD_PORT), 1).close()
            return True
        except OSError:
            return False

    def close(self):
        process = getattr(self, "process", None)
        if process:
            process.terminate()
            try:
                process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_LIMIT)
        self.log.close()
        if self.memory is not None:
            os.close(self.memory)


def metrics(text):
    """Prometheus' text format: what begins with wherry_far_, by the rest of its name; guides' waits are added up."""
    out = {"guide_waits": 0}
    for line in text.splitlines():
        m = re.fullmatch(r"wherry_(far|guide)_(\w+?)(?:_total)?(\{[^}]*\})? (\d+)", line)
        if m and m[1] == "far" and not m[3]:
            out[m[2]] = int(m[4])
        elif m and m[1] == "guide" and m[2] == "waits":
            out["guide_waits"] += int(m[4])
    return out


class Counters:
    """Of a guest that runs, over the card that its far memory has."""

    def __init__(self, image):
        self.kind = image.system["kind"]

    def read(self):
        try:
            return self.of_wherry() if self.kind == "wherry" else self.of_linux()
        except (OSError, ValueError, KeyError) as e:
            raise BenchError(f"the guest's counters of paging: {e}") from None

    def of_wherry(self):
        with urllib.request.urlopen(f"http://{net.FAR_GUEST}:{METRICS_PORT}/metrics", timeout=ANSWER_LIMIT) as f:
            found = metrics(f.read().decode())
        return {k: found[k] for k in WHERRY_COUNTERS}

    def of_linux(self):
        out = b""
        with socket.create_connection((net.FAR_GUEST, STATS_PORT), ANSWER_LIMIT) as s:
            while piece := s.recv(65536):
                out += piece
        # The group's counters come last, and replace the machine's of the same name.
        found = dict(line.split() for line in out.decode().splitlines() if line.count(" ") == 1)
        return {k: int(found[k]) for k in LINUX_COUNTERS}

    def difference(self, before):
        """What happened since, with "stalls"; None if there is no answer any more."""
        try:
            after = self.read()
        except BenchError:
            return None
        out = {k: after[k] - before[k] for k in after}
        return {"stalls": sum(out[k] for k in STALLS[self.kind]), **out}
