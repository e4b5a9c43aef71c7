"""Systems under test: how each is started with a program, when it is up, what it uses, how it ends.
Guests are started with the command line that `wherry run --dry-run` prints. Every wait has a limit,
and nothing outlives this process. Used by sweep.py, agreement.py and instructions.py."""

import hashlib
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import time

import far
import net
import probe
import spec as specification
from cgroup import CpuShare
from common import BenchError, build_dir, sh, tool
from files import GUEST_DIR
from peer import Peer, PeerError

# String instructions are counted apart, and none is preferred because "fast" (docs/performance.md).
CPU = "max,-erms,-fsrm"
TAIL_BYTES = 4000
STOP_LIMIT = 5
PIN_LIMIT = 5
VCPU = re.compile(r"CPU \d+/")  # how QEMU's debug-threads=on names them
SETTLE_LIMIT, SETTLE_STEP, SETTLED = 5, 0.2, 0.2  # seconds, seconds, share of a CPU
RUN_DPDK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "apps", "udpkv", "run-dpdk")
DPDK_VCPUS, DPDK_HUGE = 2, 1024  # of a DPDK guest that the specification says nothing else of
ELF64, PT_NOTE = b"\x7fELF\x02", 4
PVH_NOTE = struct.pack("<I", 18) + b"Xen\0"  # XEN_ELFNOTE_PHYS32_ENTRY of Xen's public/elfnote.h
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


class Failure(BenchError):
    """A system did not boot, or died; .tail is the end of its console."""

    def __init__(self, what, tail):
        super().__init__(what)
        self.tail = tail


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def kernel_version(path):
    """Of a bzImage (Linux's Documentation/arch/x86/boot.rst, kernel_version); else None."""
    with open(path, "rb") as f:
        head = f.read(0x8000)
    if head[0x202:0x206] != b"HdrS":
        return None
    at = 0x200 + struct.unpack_from("<H", head, 0x20e)[0]
    return head[at:head.index(b"\0", at)].decode(errors="replace")


def kernel_image(path):
    """Is it an image that a machine boots by itself, a native application (an ELF file with the PVH note)?"""
    with open(path, "rb") as f:
        head = f.read(64)
        if head[:5] != ELF64:
            return False
        at, size, number = *struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54)
        f.seek(at)
        headers = f.read(size * number)
        for i in range(number):
            kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", headers, i * size)
            if kind == PT_NOTE:
                f.seek(offset)
                if PVH_NOTE in f.read(length):
                    return True
    return False


def find_program(name):
    """Its path, or None."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Image:
    """A system with a program: the command that starts it, and what is in it."""

    def __init__(self, spec, files, system, program, work):
        self.spec, self.files, self.system = spec, files, system
        self.program = specification.variant(program, system)
        self.native = system["kind"] == "native"
        self.polls = system["kind"] == "dpdk"  # is never idle
        # One for all, since only one guest is up at a time; its name has to be short.
        self.socket = os.path.join(work, "net.sock") if spec.get("network") == "vhost-user" else None
        self.work = os.path.join(work, f"{system['name']}-{program['name']}")
        os.makedirs(self.work, exist_ok=True)
        self.argv = self.native_argv() if self.native else self.guest_argv()

    def words(self, where):
        p = self.program
        return [w.replace("@DIR@", where).replace("@BUILD@", build_dir()) for w in [p["program"]] + p["args"]]

    def native_argv(self):
        argv = self.words(self.files.native)
        path = find_program(argv[0])
        if not path:
            raise BenchError(f"{self.program['name']}: there is no program {argv[0]} (package {self.program['package'] or 'unknown'})")
        return [path] + argv[1:]

    def network(self):
        """As `wherry run --net` takes it."""
        where = f"vhost-user:{self.socket}" if self.socket else f"tap:{net.TAP}"
        return f"{where},ip={net.GUEST}/{net.BITS},gw={net.HOST}"

    def guest_argv(self):
        s, spec = self.system, self.spec
        argv = self.words(GUEST_DIR)
        path, machine = find_program(argv[0]), ["--accel", spec["accel"], "--cpu", CPU, "--machine", spec["machine"]]
        self.initrd = None
        if not (path and kernel_image(path)):
            self.initrd = os.path.join(self.work, "root.cpio")
            machine += ["--initrd-out", self.initrd]
        if s["kind"] == "dpdk":
            return self.dpdk_argv(argv, machine)
        command = [tool(), "run", "--dry-run", *machine, "-m", f"{self.program['memory'] or s.get('memory') or spec['memory']}M",
                   "--net", self.network()]
        if s["kind"] == "linux":
            command += ["--kernel", "linux"] + (["--cpus", str(s["vcpus"])] if s.get("vcpus") else [])
        elif s["kind"] == "wherry" and s["kernel"]:
            command += ["--kernel", s["kernel"]]
        if s.get("far"):
            command += far.run_words(spec, s)
        if s["kind"] != "kernel":
            command += s["options"]
            if s["append"]:
                command += ["--append", s["append"]]
        if not self.files.empty:
            command += ["-v", f"{self.files.guest}:{GUEST_DIR}"]
        for v in self.program["volumes"]:
            command += ["-v", v]
        qemu = shlex.split(sh(*command, argv[0], "--", *argv[1:]).splitlines()[0])
        if s["kind"] == "kernel":
            qemu = self.any_kernel(qemu)
        return qemu

    def dpdk_argv(self, argv, machine):
        """A Linux guest that gives its card to a DPDK program: apps/udpkv/run-dpdk has how."""
        if not os.path.exists(RUN_DPDK):
            raise BenchError(f"{self.system['name']}: there is no {os.path.basename(RUN_DPDK)}: systems of kind 'dpdk' need Wherry's sources")
        more = machine + self.system["options"]
        for v in self.program["volumes"] + ([] if self.files.empty else [f"{self.files.guest}:{GUEST_DIR}"]):
            more += ["-v", v]
        words = [w for m in more for w in ("--run", m)]
        # With mergeable buffers DPDK's driver would take slower functions; Wherry's raw images leave them, too.
        network = self.network() + (",mrg_rxbuf=off" if self.socket else "")
        out = sh("sh", RUN_DPDK, "--build", build_dir(), "--dry-run", "--cpus", str(self.system["vcpus"] or DPDK_VCPUS),
                 "--huge", str(self.system["huge"] or DPDK_HUGE), "--program", argv[0], *words, network, *argv[1:])
        return shlex.split(out.splitlines()[0])

    def any_kernel(self, qemu):
        """The same machine with an image, an initrd and a command line that are none of ours."""
        s = self.system

        def drop(option):
            at = qemu.index(option)
            del qemu[at:at + 2]

        for option in ("-kernel", "-initrd", "-append"):
            drop(option)
        append = s["append"].replace("@GUEST@", net.GUEST).replace("@HOST@", net.HOST)
        self.initrd = s["initrd"]
        return qemu + ["-kernel", s["kernel"], "-append", append] + (["-initrd", s["initrd"]] if s["initrd"] else []) + s["options"]

    def option(self, name):
        return self.argv[self.argv.index(name) + 1] if name in self.argv else None

    def symbols(self):
        """The ELF file of a kernel of ours, which names its functions; None if there is none."""
        elf = f"{self.option('-kernel')}.elf"
        return elf if self.system["kind"] == "wherry" and os.path.exists(elf) else None

    def describe(self):
        """For the record: what exactly is booted."""
        out = {"argv": self.argv, "kind": self.system["kind"], "guest_memory": None}
        if self.native:
            out["binary"] = {"path": self.argv[0], "sha256": sha256(self.argv[0])}
            return out
        kernel = self.option("-kernel")
        for path in (kernel, self.initrd):
            if path and not os.path.isfile(path):
                raise BenchError(f"{self.system['name']}: there is no file {path}")
        out["guest_memory"] = int(self.option("-m").rstrip("M")) << 20
        out["accelerator"] = (self.option("-accel") or "").split(",")[0]
        out["kernel"] = {"path": kernel, "bytes": os.path.getsize(kernel), "sha256": sha256(kernel),
                         "version": kernel_version(kernel)}
        if self.initrd:
            out["root"] = {"bytes": os.path.getsize(self.initrd), "sha256": sha256(self.initrd)}
        return out


class Boot:
    """A running system. setting: {"memory": MiB, "bandwidth": Mbit/s, "cpu-time": percent}, each or none.
    counts: a file, to count the guest's instructions into it. echo: does the program send back what it
    gets? (Of the generator over vhost-user, which is up before the guest.)"""

    def __init__(self, image, setting, counts=None, echo=False):
        self.image, self.share, self.process, self.log = image, None, None, None
        self.net, self.peer, self.echo = None, None, echo
        self.far, self.far_counters = None, None
        self.log_path = os.path.join(image.work, "console.log")
        try:
            if image.socket:
                self.start_peer()
            else:
                self.net = net.Network(image.native, setting.get("bandwidth"), image.system.get("far") and image.spec["far"]["mtu"])
            if image.system.get("far"):
                self.far = far.Server(image.spec, image.system, os.path.join(image.work, "far.log"))
            self.start_process(setting, counts)
        except BaseException:
            self.stop()
            raise

    def start_process(self, setting, counts):
        image, argv = self.image, list(self.image.argv)
        if setting.get("memory") and not image.native:
            argv[argv.index("-m") + 1] = f"{setting['memory']}M"
        if self.far:
            argv = far.with_limit(argv, image.system["kind"], image.program, setting)
            self.far_counters = far.Counters(image)
        if counts:
            how = ",profile=on" if image.symbols() or image.polls else ""
            how += ",vcpus=on" if image.polls else ""
            argv += ["-plugin", f"{os.path.join(build_dir(), 'icount.so')},counts={counts}{how}"]
        prefix = ["setpriv", "--pdeathsig", "KILL"] + (self.net.prefix if self.net else [])
        if setting.get("cpu-time"):
            self.share = CpuShare(setting["cpu-time"])
            prefix = self.share.command + prefix
        guest, devices = ((image.spec["cpus"][x], None)[bool(counts)] for x in ("guest", "devices"))
        if guest:
            prefix += ["taskset", "-c", devices or guest]
        if guest and devices and not image.native:
            argv += ["-name", "guest,debug-threads=on"]
        cwd = image.files.fresh_native() if image.native else image.work
        self.log = open(self.log_path, "wb")
        self.start = time.monotonic()
        self.process = subprocess.Popen(prefix + argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        if guest and devices and not image.native:
            self.pin_vcpus(guest)

    def pin_vcpus(self, cpus):
        """The threads that are virtual CPUs, by their names; all others stay where the process began."""
        end = time.monotonic() + PIN_LIMIT
        while self.alive() and time.monotonic() < end:
            try:
                tasks = os.listdir(f"/proc/{self.process.pid}/task")
                found = [t for t in tasks if VCPU.match(comm(self.process.pid, t))]
            except OSError:
                continue
            if found:
                for t in found:
                    sh("taskset", "-p", "-c", cpus, t)
                return
            time.sleep(0.01)
        raise self.fail("has no thread for a virtual CPU")

    def start_peer(self):
        self.peer = Peer(self.image.socket, self.echo, self.image.spec["cpus"]["generator"],
                         os.path.join(self.image.work, "pktgen.log"), self.image.spec["boot_limit"])

    def ask_peer(self, line, limit):
        """A run of the generator. One that has ended is started again: QEMU connects to it by itself."""
        if self.peer.ended():
            self.peer.close()
            self.start_peer()
            self.peer.answer(limit, self.alive)
        return self.peer.argv + line, self.peer.run(line, limit, self.alive)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def alive(self):
        return self.process.poll() is None

    def tail(self):
        with open(self.log_path, "rb") as f:
            f.seek(max(0, os.path.getsize(self.log_path) - TAIL_BYTES))
            text = f.read().decode(errors="replace").replace("\r", "")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc", "", text)

    def guest_status(self):
        """What the guest's program ended with, as text; empty if it has not."""
        path = os.path.join(self.image.work, "status.txt")  # as of wherry run --dry-run
        if not os.path.exists(path):
            return ""
        with open(path) as f:
            return f.read().strip()

    def fail(self, what):
        if not self.alive():
            status = self.process.returncode
            what += f"; it ended {'by signal ' + str(-status) if status < 0 else 'with status ' + str(status)}"
        return Failure(what, self.tail())

    def wait_ready(self, workload, first_query):
        """Until it answers; self.seconds is how long that took."""
        if self.peer:
            try:
                self.peer.answer(self.image.spec["boot_limit"] + STOP_LIMIT, self.alive)
            except PeerError as e:
                raise self.fail(f"does not answer: {e}") from None
        elif probe.wait(net.GUEST, workload, first_query, self.image.spec["boot_limit"], self.alive) is None:
            raise self.fail(f"does not answer {workload['proto']} on port {workload['port']} within {self.image.spec['boot_limit']} s")
        self.seconds = time.monotonic() - self.start

    def counters(self):
        """Of our end of the link; None where it has none."""
        return self.net.counters() if self.net else None

    def memory(self):
        """Bytes of the host that it uses: of the whole virtual machine, or the native processes."""
        return sum(resident(pid) for pid in family(self.process.pid))

    def cpu_seconds(self):
        return sum(cpu_time(pid) for pid in family(self.process.pid))

    def settle(self, pause):
        """Waits, after a point, until the system has worked off what an overload left behind: it is idle, or
        nearly so. False: it is not, after SETTLE_LIMIT."""
        time.sleep(pause)
        if self.image.polls:
            return True
        end = time.monotonic() + SETTLE_LIMIT
        while self.alive() and time.monotonic() < end:
            before = self.cpu_seconds()
            time.sleep(SETTLE_STEP)
            if self.cpu_seconds() - before <= SETTLED * SETTLE_STEP:
                return True
        return not self.alive()

    def stop(self):
        if self.process and self.alive():
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                pass
        if self.process:
            self.signal(signal.SIGKILL)  # workers that a native program left behind, too
            self.process.wait(STOP_LIMIT)
        if self.log:
            self.log.close()
        if self.share:
            self.share.close()
        for end in (self.peer, self.far, self.net):
            if end:
                end.close()

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


def comm(pid, task):
    with open(f"/proc/{pid}/task/{task}/comm") as f:
        return f.read()


def family(pid):
    """A process and all below it."""
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/children") as f:
                    todo += [int(x) for x in f.read().split()]
        except OSError:
            pass  # it ended meanwhile
    return out


def resident(pid):
    try:
        with open(f"/proc/{pid}/statm") as f:
            return int(f.read().split()[1]) * PAGE
    except OSError:
        return 0


def cpu_time(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            v = f.read().rpartition(")")[2].split()
        return (int(v[11]) + int(v[12])) / TICK
    except OSError:
        return 0.0
