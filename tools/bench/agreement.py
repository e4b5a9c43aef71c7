"""Do testpmd and wherry pktgen agree? At the end of a sweep over vhost-user pktgen's traffic with one guest that
sends back what it gets passes through testpmd, and both count it; and testpmd is the peer itself, for what it
has alone (bench/testpmd). Used by sweep.py."""

import json
import os
import subprocess
import time

import net
import systems
from common import BenchError, tool

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench", "testpmd")
WARMUP = 0.5
START = 30  # seconds a round, for both to start and to meet the guest, at most
START_GUESS = 1.5


def argv_of(spec, socket):
    a, cpus = spec["agreement"], [c for c in (spec["cpus"]["generator"],) if c]
    return ["/usr/bin/python3", "-B", SCRIPT, "--socket", socket, "--window", str(a["window"]), "--seconds", f"{a['seconds']:g}",
            "--warmup", f"{WARMUP:g}", "--rounds", str(a["rounds"]), "--guest", f"{net.GUEST}:7777", "--ip", net.HOST,
            "--wherry", tool()] + [w for c in cpus for w in ("--cpus", c)]


def seconds_of(spec):
    """About how long it takes."""
    a = spec["agreement"]
    return a["rounds"] * 2 * (a["seconds"] + WARMUP + START_GUESS)


def take_turns(sweep, image):
    a = sweep.spec["agreement"]
    with systems.Boot(image, {}, None, True) as boot:
        boot.wait_ready({}, None)
        boot.peer.close()  # they take its place
        limit = a["rounds"] * 2 * (a["seconds"] + WARMUP + START)
        argv = argv_of(sweep.spec, image.socket)
        try:
            r = subprocess.run(argv, capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise BenchError(f"testpmd: not done after {limit:g} s") from None
        if r.returncode != 0:
            raise BenchError((r.stderr.strip().splitlines() or [f"testpmd: status {r.returncode}"])[-1])
        return argv, json.loads(r.stdout)


def run(sweep):
    """Adds a record: the rates, or why there are none."""
    a = sweep.spec["agreement"]
    system = next(s for s in sweep.spec["systems"] if s["name"] == a["system"])
    program = next(p for p in sweep.spec["programs"] if p["name"] == a["program"])
    sweep.progress.show("testpmd and pktgen", f"{system['label']}, {program['name']}, window {a['window']}")
    record = {"record": "agreement", "system": a["system"], "program": a["program"], "window": a["window"], "time": time.time(),
              "command": None, "result": None, "why": None}
    try:
        image = sweep.image(system, program)
        record["command"], record["result"] = take_turns(sweep, image)
    except BenchError as e:
        record["why"] = str(e)
    sweep.store.add(record)
