"""Load generators: `wherry load`, `wherry pktgen` over vhost-user, and httperf, dnsperf, wrk and redis-benchmark beside it, run and read into
one result format, which is the JSON of wherry load (docs/bench.md). What a client does not tell is
null; percentiles that it gives stand in "percentiles", since it has no histogram. Used by sweep.py."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess

import peer
from common import BenchError, tool
from spec import CLIENT_PROTO

# Beyond the time it was asked to run, for connecting, filling a store and waiting for the last answers.
GRACE = 60
FILL_GRACE = 600  # and for a store behind a slow system, as one that swaps
OURS = ("load", "pktgen")  # wherry's own: whole histograms, every answer verified
OPEN_LOOP = OURS + ("httperf", "dnsperf")
CLOSED_LOOP = OURS + ("dnsperf", "wrk", "redis-benchmark")
# How ours say that the machine did something else meanwhile (tools/load/result.c, tools/pktgen/main.c).
LATE = ("the generator was late", "the generator had its CPU for only")
SOCKETS = 64  # over which `wherry load` spreads a window
HTTPERF_CALLS = 10  # a connection, where connections are kept
REDIS_PILOT = 2000  # requests that tell redis-benchmark's rate: it takes a number, not a time
REDIS_TESTS = ("get", "set")


class ClientError(BenchError):
    """A client failed; the sweep goes on, and the point says so. .result if it told one."""

    result = None


class Task:
    """What to run: workload options, rate (None: closed loop), seconds, warmup, where."""

    def __init__(self, workload, options, rate, seconds, warmup, host, cpus, seed, files, fill=False, requests=None, boot=None):
        self.workload, self.options, self.rate = workload, options, rate
        self.seconds, self.warmup, self.host, self.cpus = seconds, warmup, host, cpus
        self.seed, self.files, self.fill, self.requests, self.boot = seed, files, fill, requests, boot
        self.target = f"{host}:{workload['port']}"


def can(client, workload, rate):
    """Is there such a point for this client?"""
    if CLIENT_PROTO.get(client, workload["proto"]) != workload["proto"]:
        return False
    if client == "redis-benchmark" and workload["options"].get("workload", "get") not in REDIS_TESTS:
        return False
    return client in (OPEN_LOOP if rate else CLOSED_LOOP)


def run(client, task):
    """(its command line, its result). Raises ClientError."""
    if client == "redis-benchmark" and not task.requests:
        task.requests = REDIS_PILOT * max(1, task.options.get("pipeline", 1))
        _, pilot = run(client, task)
        task.requests = max(1000, round(pilot["good"] / pilot["seconds"] * task.seconds))
    if client == "pktgen":
        return run_pktgen(task)
    argv = COMMANDS[client](task)
    out = execute(argv, task)
    try:
        return argv, RESULTS[client](out, task)
    except (ValueError, KeyError, AttributeError, IndexError, TypeError, ZeroDivisionError):
        raise ClientError(f"{client} printed what is no result: {out.strip()[-200:]!r}") from None


def execute(argv, task):
    if task.cpus and argv[0] != tool():
        argv = ["taskset", "-c", task.cpus] + argv
    limit = task.seconds + task.warmup + GRACE + (FILL_GRACE if task.fill else 0)
    try:
        p = subprocess.Popen(["setpriv", "--pdeathsig", "KILL"] + argv, stdin=subprocess.DEVNULL, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    except FileNotFoundError as e:
        raise BenchError(f"{e.filename} is not installed (scripts/deps bench)") from None
    try:
        out, err = p.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        raise ClientError(f"{shlex.join(argv)}: not done after {limit:g} s") from None
    finally:
        if p.poll() is None:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait(10)
    if p.returncode != 0:
        last = (err.strip() or out.strip()).splitlines()
        raise ClientError(f"{argv[0] if argv[0] != tool() else 'wherry load'}: {last[-1] if last else f'status {p.returncode}'}")
    return out


def run_pktgen(task):
    line = peer.words(task.options, task.rate, task.seconds, task.warmup, task.seed, task.fill, task.requests)
    limit = task.seconds + task.warmup + GRACE + (FILL_GRACE if task.fill else 0)
    try:
        argv, result = task.boot.ask_peer(line, limit)
    except (peer.PeerError, ValueError) as e:
        raise ClientError(str(e)) from None
    return argv, checked(result)


def load_command(task):
    argv = [tool(), "load", task.workload["proto"], "--seconds", f"{task.seconds:g}", "--warmup", f"{task.warmup:g}",
            "--seed", str(task.seed)]
    if task.rate:
        argv += ["--rate", f"{task.rate:g}"]
    if task.requests:
        argv += ["--requests", str(task.requests)]
    if task.cpus:
        argv += ["--cpus", task.cpus]
    for key, value in sorted(task.options.items()):
        if key == "load":
            argv += ["--load"] if value and task.fill else []
        elif key == "keepalive":
            argv += ["--keepalive", "yes" if value else "no"]
        elif key in ("pipeline", "window") and task.rate:
            pass  # an open loop sends when it is time
        elif key == "window":
            sockets = min(value, SOCKETS)
            argv += ["--connections", str(sockets), "--pipeline", str(max(1, value // sockets))]
        elif value is True:
            argv += [f"--{key}"]
        elif value is not False:
            argv += [f"--{key}", task.files.path(value) if key in ("queries", "expect-file") else str(value)]
    return argv + [task.target]


def load_result(out, task):
    return checked(json.loads(out))


def checked(r):
    if r.get("wherry_load") != 1:
        raise ValueError
    for key in ("sent", "answered", "good", "errors", "seconds", "latency", "valid"):
        r[key]
    return r


def result(task, client, **known):
    """The common form, with null for what is not known."""
    r = {"client": client, "proto": task.workload["proto"], "target": task.target,
         "loop": "open" if task.rate else "closed", "arrivals": "constant" if task.rate else None, "rate": task.rate,
         "seconds": None, "warmup": 0, "seed": None, "connections": task.options.get("connections"), "sent": None,
         "answered": None, "good": None, "errors": None, "bytes_out": None, "bytes_in": None, "cpu": None,
         "per_second": None, "latency": None, "service": None, "send_lag": None, "ops": None, "percentiles": {},
         "mean": None, "valid": True, "invalid": []}
    r.update(known)
    return r


def find(pattern, text, kind=float):
    m = re.search(pattern, text)
    return kind(m.group(1)) if m else None


def must(pattern, text, kind=float):
    v = find(pattern, text, kind)
    if v is None:
        raise ValueError(pattern)
    return v


def url_path(task):
    return task.options.get("path", "/")


def httperf_command(task):
    keep = task.options.get("keepalive", True)
    calls = HTTPERF_CALLS if keep else 1
    connections = max(1, round((task.rate or 0) * task.seconds / calls))
    argv = ["httperf", "--hog", "--server", task.host, "--port", str(task.workload["port"]), "--uri", url_path(task),
            "--num-conns", str(connections), "--num-calls", str(calls), "--rate", f"{task.rate / calls:g}",
            "--timeout", f"{task.options.get('timeout', 1000) / 1000:g}"]
    return argv


def httperf_result(out, task):
    counts = re.search(r"Total: connections (\d+) requests (\d+) replies (\d+) test-duration ([\d.]+) s", out)
    status = re.search(r"Reply status: 1xx=\d+ 2xx=(\d+)", out)
    errors = re.search(r"Errors: total (\d+) client-timo (\d+) socket-timo (\d+) connrefused (\d+) connreset (\d+)", out)
    other = re.search(r"Errors: fd-unavail (\d+) addrunavail (\d+) ftab-full (\d+) other (\d+)", out)
    sent, replies, good = int(counts.group(2)), int(counts.group(3)), int(status.group(1))
    short = sum(int(other.group(i)) for i in (1, 2, 3))
    response = find(r"Reply time \[ms\]: response ([\d.]+)", out)
    return result(task, "httperf", seconds=float(counts.group(4)), sent=sent, answered=replies, good=good,
                  errors={"wrong": replies - good, "timeout": int(errors.group(2)), "refused": int(errors.group(4)),
                          "reset": int(errors.group(5)), "short_of_ports": short},
                  mean=response and response * 1e6, valid=short == 0,
                  invalid=["httperf ran short of descriptors or ports"] if short else [])


def dnsperf_command(task):
    argv = ["dnsperf", "-s", task.host, "-p", str(task.workload["port"]), "-d", task.files.path(task.options["queries"]),
            "-l", f"{max(1, round(task.seconds))}", "-c", str(task.options.get("connections", 1)), "-T", "1",
            "-t", f"{max(1, task.options.get('timeout', 1000) // 1000)}",
            "-m", task.options.get("transport", "udp")]
    # As many queries under way as a closed loop of ours has.
    return argv + (["-Q", str(round(task.rate))] if task.rate else ["-q", str(task.options.get("connections", 1))])


def dnsperf_result(out, task):
    sent = must(r"Queries sent:\s+(\d+)", out, int)
    done = must(r"Queries completed:\s+(\d+)", out, int)
    good = find(r"Response codes:.*?NOERROR (\d+)", out, int) or 0
    mean = find(r"Average Latency \(s\):\s+([\d.]+)", out)
    return result(task, "dnsperf", seconds=must(r"Run time \(s\):\s+([\d.]+)", out), sent=sent, answered=done, good=good,
                  errors={"wrong": done - good, "timeout": must(r"Queries lost:\s+(\d+)", out, int)},
                  mean=mean and mean * 1e9)


def wrk_command(task):
    argv = ["wrk", "-t1", f"-c{task.options.get('connections', 1)}", f"-d{max(1, round(task.seconds))}s", "--latency",
            "--timeout", f"{max(1, task.options.get('timeout', 1000) // 1000)}s"]
    if not task.options.get("keepalive", True):
        argv += ["-H", "Connection: close"]
    return argv + [f"http://{task.target}{url_path(task)}"]


UNITS = {"us": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9}


def wrk_result(out, task):
    percentiles = {m.group(1): float(m.group(2)) * UNITS[m.group(3)]
                   for m in re.finditer(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s|m)$", out, re.M)}
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", out)
    number, seconds = int(total.group(1)), float(total.group(2)) * UNITS[total.group(3)] / 1e9
    wrong = find(r"Non-2xx or 3xx responses: (\d+)", out, int) or 0
    socket = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    refused, reset, write, late = (int(x) for x in socket.groups()) if socket else (0, 0, 0, 0)
    mean = re.search(r"Latency\s+([\d.]+)(us|ms|s|m)\s", out)
    return result(task, "wrk", seconds=seconds, answered=number,
                  good=number - wrong, percentiles=percentiles,
                  errors={"wrong": wrong, "timeout": late, "refused": refused, "reset": reset + write},
                  mean=mean and float(mean.group(1)) * UNITS[mean.group(2)])


def redis_command(task):
    argv = ["redis-benchmark", "-h", task.host, "-p", str(task.workload["port"]),
            "-t", task.options.get("workload", "get"), "-c", str(task.options.get("connections", 1)),
            "-P", str(task.options.get("pipeline", 1)), "-d", str(task.options.get("value-size", 3)),
            "-n", str(task.requests), "--csv"]
    if "keys" in task.options:
        argv += ["-r", str(task.options["keys"])]
    return argv


def redis_result(out, task):
    for row in csv.reader(out.splitlines()):
        if row and row[0].lower() == task.options.get("workload", "get"):
            rate, mean, p50, p95, p99 = (float(row[i]) for i in (1, 2, 4, 5, 6))
            number = task.requests
            return result(task, "redis-benchmark", seconds=number / rate, sent=number, answered=number, good=number,
                          percentiles={"50": p50 * 1e6, "95": p95 * 1e6, "99": p99 * 1e6}, mean=mean * 1e6)
    raise ValueError(out)


COMMANDS = {"load": load_command, "httperf": httperf_command, "dnsperf": dnsperf_command, "wrk": wrk_command,
            "redis-benchmark": redis_command}
RESULTS = {"load": load_result, "httperf": httperf_result, "dnsperf": dnsperf_result, "wrk": wrk_result,
           "redis-benchmark": redis_result}
