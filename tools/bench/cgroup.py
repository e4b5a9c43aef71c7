"""A share of one core for a guest, by the kernel's CPU bandwidth controller, in either of its versions.
Used by systems.py for sweeps over CPU time."""

import os

from common import BenchError

PERIOD_US = 10000  # short beside a time-out, long beside a context switch
V1, V2 = "/sys/fs/cgroup/cpu", "/sys/fs/cgroup"


class CpuShare:
    """`command` are the words in front of the program that is to be limited."""

    def __init__(self, percent):
        quota = int(PERIOD_US * percent / 100)
        v2 = os.path.exists(f"{V2}/cgroup.controllers")
        self.dir = f"{V2 if v2 else V1}/wherry-bench-{os.getpid()}"
        try:
            os.makedirs(self.dir, exist_ok=True)
            if v2:
                self.write("cpu.max", f"{quota} {PERIOD_US}")
            else:
                self.write("cpu.cfs_period_us", PERIOD_US)
                self.write("cpu.cfs_quota_us", quota)
        except OSError as e:
            self.close()
            raise BenchError(f"no share of CPU time can be set: {e.filename}: {e.strerror} (needs root and the cpu cgroup)")
        self.command = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', self.dir]

    def write(self, name, value):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(str(value))

    def close(self):
        try:
            os.rmdir(self.dir)
        except OSError:
            pass  # never made, or its last process is not reaped yet: then it stays empty
