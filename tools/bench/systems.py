"""Systems under test: how each is started with a program, when it is up, what it uses, how it ends.
Guests are started with the command line that `wherry run --dry-run` prints. Every wait has a limit,
and nothing outlives this process. Used by sweep.py and instructions.py."""

import hashlib
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import time

import net
import probe
from cgroup import CpuShare
from common import BenchError, build_dir, sh, tool
from files import GUEST_DIR

# String instructions are counted apart, and none is preferred because "fast" (docs/performance.md).
CPU = "max,-erms,-fsrm"
TAIL_BYTES = 4000
STOP_LIMIT = 5
SETTLE_LIMIT, SETTLE_STEP, SETTLED = 5, 0.2, 0.2  # seconds, seconds, share of a CPU
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


class Image:
    """A system with a program: the command that starts it, and what is in it."""

    def __init__(self, spec, files, system, program, work):
        self.spec, self.files, self.system, self.program = spec, files, system, program
        self.native = system["kind"] == "native"
        self.work = os.path.join(work, f"{system['name']}-{program['name']}")
        os.makedirs(self.work, exist_ok=True)
        self.argv = self.native_argv() if self.native else self.guest_argv()

    def words(self, where):
        p = self.program
        return [w.replace("@DIR@", where).replace("@BUILD@", build_dir()) for w in [p["program"]] + p["args"]]

    def native_argv(self):
        argv = self.words(self.files.native)
        path = shutil.which(argv[0], path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if not path:
            raise BenchError(f"{self.program['name']}: there is no program {argv[0]} (package {self.program['package'] or 'unknown'})")
        return [path] + argv[1:]

    def guest_argv(self):
        s, spec = self.system, self.spec
        argv = self.words(GUEST_DIR)
        self.initrd = os.path.join(self.work, "root.cpio")
        command = [tool(), "run", "--dry-run", "--initrd-out", self.initrd, "--accel", spec["accel"], "--cpu", CPU,
                   "--machine", spec["machine"], "-m", f"{self.program['memory'] or spec['memory']}M",
                   "--net", f"tap:{net.TAP},ip={net.GUEST}/{net.BITS},gw={net.HOST}"]
        if s["kind"] == "linux":
            command += ["--kernel", "linux"]
        elif s["kind"] == "wherry" and s["kernel"]:
            command += ["--kernel", s["kernel"]]
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
        out = {"argv": self.argv, "kind": self.system["kind"]}
        if self.native:
            out["binary"] = {"path": self.argv[0], "sha256": sha256(self.argv[0])}
            return out
        kernel = self.option("-kernel")
        for path in (kernel, self.initrd):
            if path and not os.path.isfile(path):
                raise BenchError(f"{self.system['name']}: there is no file {path}")
        out["accelerator"] = (self.option("-accel") or "").split(",")[0]
        out["kernel"] = {"path": kernel, "bytes": os.path.getsize(kernel), "sha256": sha256(kernel),
                         "version": kernel_version(kernel)}
        if self.initrd:
            out["root"] = {"bytes": os.path.getsize(self.initrd), "sha256": sha256(self.initrd)}
        return out


class Boot:
    """A running system. setting: {"memory": MiB, "bandwidth": Mbit/s, "cpu-time": percent}, each or none.
    counts: a file, to count the guest's instructions into it."""

    def __init__(self, image, setting, counts=None):
        self.image, self.share, self.process, self.log = image, None, None, None
        self.log_path = os.path.join(image.work, "console.log")
        self.net = net.Network(image.native, setting.get("bandwidth"))
        try:
            self.start_process(setting, counts)
        except BaseException:
            self.stop()
            raise

    def start_process(self, setting, counts):
        image, argv = self.image, list(self.image.argv)
        if setting.get("memory") and not image.native:
            argv[argv.index("-m") + 1] = f"{setting['memory']}M"
        if counts:
            by_function = ",profile=on" if image.symbols() else ""
            argv += ["-plugin", f"{os.path.join(build_dir(), 'icount.so')},counts={counts}{by_function}"]
        prefix = ["setpriv", "--pdeathsig", "KILL"] + self.net.prefix
        if setting.get("cpu-time"):
            self.share = CpuShare(setting["cpu-time"])
            prefix = self.share.command + prefix
        if image.spec["cpus"]["guest"] and not counts:
            prefix += ["taskset", "-c", image.spec["cpus"]["guest"]]
        cwd = image.files.fresh_native() if image.native else image.work
        self.log = open(self.log_path, "wb")
        self.start = time.monotonic()
        self.process = subprocess.Popen(prefix + argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT, start_new_session=True)

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

    def fail(self, what):
        if not self.alive():
            status = self.process.returncode
            what += f"; it ended {'by signal ' + str(-status) if status < 0 else 'with status ' + str(status)}"
        return Failure(what, self.tail())

    def wait_ready(self, workload, first_query):
        """Until it answers; self.seconds is how long that took."""
        if probe.wait(net.GUEST, workload, first_query, self.image.spec["boot_limit"], self.alive) is None:
            raise self.fail(f"does not answer {workload['proto']} on port {workload['port']} within {self.image.spec['boot_limit']} s")
        self.seconds = time.monotonic() - self.start

    def memory(self):
        """Bytes of the host that it uses: of the whole virtual machine, or the native processes."""
        return sum(resident(pid) for pid in family(self.process.pid))

    def cpu_seconds(self):
        return sum(cpu_time(pid) for pid in family(self.process.pid))

    def settle(self, pause):
        """Waits, after a point, until the system has worked off what an overload left behind: it is idle, or
        nearly so. False: it is not, after SETTLE_LIMIT."""
        time.sleep(pause)
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
        self.net.close()

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


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
