"""The record of where a sweep ran: the machine, the programs, their versions. Used by sweep.py."""

import functools
import os
import platform
import re
import shutil
import subprocess
import time

from clients import OURS
from common import tool
from systems import sha256


def line_of(*argv):
    """The first line that a program prints, or None."""
    try:
        r = subprocess.run(argv, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = (r.stdout or r.stderr).strip()
    return text.splitlines()[0] if text else None


def text_of(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


@functools.lru_cache(None)
def package_of(program):
    """The Debian package of a program and its version, or None."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    owner = path and line_of("dpkg-query", "-S", os.path.realpath(path))
    if not owner or ": " not in owner:
        return None
    name = owner.split(":")[0]
    return f"{name} {line_of('dpkg-query', '-W', '-f', '${Version}', name)}"


def source_version():
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    version = line_of("git", "-C", top, "describe", "--always", "--dirty")
    return version if version and re.fullmatch(r"[\w.-]+", version) else None


def load_average():
    return list(os.getloadavg())


def record(spec):
    cpuinfo = text_of("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    memory = re.search(r"MemTotal:\s+(\d+)", text_of("/proc/meminfo"))
    programs = sorted({v["program"] for p in spec["programs"] for v in [p] + list(p["on"].values()) if v["program"]} | {
        c for w in spec["workloads"] for c in (w["clients"] or spec["clients"]) if c not in OURS})
    return {"record": "environment", "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "wherry": source_version(), "tool_sha256": sha256(tool()), "qemu": line_of("qemu-system-x86_64", "--version"),
            "host_kernel": platform.release(), "cpu": model.group(1) if model else platform.processor(),
            "cpus": os.cpu_count(), "cpus_usable": len(os.sched_getaffinity(0)),
            "hypervisor": "hypervisor" in cpuinfo, "memory": int(memory.group(1)) * 1024 if memory else None,
            "python": platform.python_version(), "load_average": load_average(),
            "packages": {p: package_of(p) for p in programs}}
