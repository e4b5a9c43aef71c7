"""The generator's check of itself: before a sweep it is measured against the null server of `wherry load
serve` at twice the top rate, in the sweep's own way; where it does not keep up, at half of that, and so
on. Where the search for the knee may go higher ("highest"), from there down, so that the generator's own limit
is known. Over vhost-user udpkv-dpdk takes that part, on this host without a guest (DPDK's virtio-user). What the
generator kept up with stands on the page and, without "highest", limits the search for the knee; each point tells
by itself whether it was late then. Used by sweep.py."""

import os
import signal
import socket
import subprocess
import time

import clients
import net
import probe
from common import BenchError, build_dir, tool
from peer import Peer, PeerError

ADDRESS = "127.0.0.1"
SECONDS_MAX, WARMUP = 2, 0.2
START_LIMIT = 10
HALVINGS = 4
TRIES = 2  # at a rate, unless "attempts" is less: one bad moment of the machine is forgiven
GOOD_SHARE = 0.99
NULL_NAME = "w0.wherry.test"
LATE = 2  # seconds before the last of the answers is missed


# What the null server answers is its own: no file of the specification's, nothing to be filled.
NOT_ASKED = ("expect-size", "expect-sha256", "expect-file", "queries", "load")
SHARED = ("value-size", "value-dist", "list-length", "keys")  # its values are those that load expects


class NullServer:
    def __init__(self, workload, cpus):
        proto = workload["proto"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if proto in ("udp", "udpkv", "dns") else socket.SOCK_STREAM) as s:
            s.bind((ADDRESS, 0))
            self.port = s.getsockname()[1]
        shared = [w for k in SHARED if k in workload["options"] for w in (f"--{k}", str(workload["options"][k]))]
        argv = ["setpriv", "--pdeathsig", "KILL"] + (["taskset", "-c", cpus] if cpus else [])
        self.process = subprocess.Popen(argv + [tool(), "load", "serve", proto, "--port", str(self.port), "--bind", ADDRESS] + shared,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True, start_new_session=True)

    def wait(self, workload, query):
        if probe.wait(ADDRESS, dict(workload, port=self.port), query, START_LIMIT, lambda: self.process.poll() is None) is None:
            self.process.kill()
            why = self.process.communicate()[1].strip().splitlines()
            raise BenchError(f"wherry load serve {workload['proto']} does not answer" + (f": {why[-1]}" if why else ""))

    def run(self, task):
        return clients.run("load", task)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(LATE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(LATE)


class VhostServer:
    """udpkv-dpdk as a guest's network card and server in one, without a guest: the null server of vhost-user.
    A store of its own is filled, since it is a real one."""

    MEMORY = 512  # MiB, of ordinary pages
    RING = 1024  # four times a guest's: a moment without its CPU is not the generator's limit

    def __init__(self, workload, cpus, generator_cpu, work):
        self.port, echo = workload["port"], workload["proto"] == "udp"
        program, socket_path = os.path.join(build_dir(), "apps", "udpkv-dpdk"), os.path.join(work, "null.sock")
        self.peer, self.process = Peer(socket_path, echo, generator_cpu, os.path.join(work, "null.log"), START_LIMIT), None
        cpu = (cpus or "0").split(",")[0].split("-")[0]
        words = ["-e"] if echo else ["-n", str(workload["options"].get("keys", 10000)), "-v", str(workload["options"].get("value-size", 64))]
        argv = ["setpriv", "--pdeathsig", "KILL", program, "--vdev=net_virtio_user0,queues=1," +
                f"path={socket_path},queue_size={self.RING},mac={net.GUEST_MAC}",
                "--no-pci", "--no-huge", "--no-shconf", "-m", str(self.MEMORY), "--no-telemetry", "--log-level=error", "-l", cpu, "--"]
        try:
            self.process = subprocess.Popen(argv + words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL, start_new_session=True)
        except OSError as e:
            self.stop()
            raise BenchError(f"{program}: {e.strerror}") from None

    def alive(self):
        return self.process.poll() is None

    def wait(self, _workload, _query):
        self.peer.answer(START_LIMIT, self.alive)

    def ask_peer(self, line, limit):
        return self.peer.argv + line, self.peer.run(line, limit, self.alive)

    def run(self, task):
        task.boot, task.options = self, task.workload["options"]
        return clients.run("pktgen", task)

    def stop(self):
        if self.process:
            NullServer.stop(self)
        self.peer.close()


def null_server(sweep, workload):
    cpus = sweep.spec["cpus"]
    if sweep.spec.get("network") == "vhost-user":
        return VhostServer(workload, cpus["guest"], cpus["generator"], sweep.work)
    return NullServer(workload, cpus["guest"])


def against_null(sweep, workload, rate):
    """A record of one run."""
    server = None
    try:
        server = null_server(sweep, workload)
        server.wait(dict(workload, options={}), NULL_NAME)
        target = dict(workload, port=server.port)
        options = {k: v for k, v in workload["options"].items() if k not in NOT_ASKED}
        task = clients.Task(target, options, rate, min(SECONDS_MAX, sweep.spec["seconds"]), WARMUP, ADDRESS,
                            sweep.spec["cpus"]["generator"], sweep.seed, sweep.files, True)
        record = {"record": "selfcheck", "workload": workload["name"], "rate": rate, "time": time.time()}
        try:
            argv, result = server.run(task)
        except clients.ClientError as e:
            return {**record, "command": None, "result": None, "passed": False, "why": [str(e)]}
        why = list(result.get("invalid") or [])
        if result["good"] < GOOD_SHARE * result["sent"]:
            why.append(f"{result['good']} good answers to {result['sent']} requests")
        return {**record, "command": argv, "result": result, "passed": result["valid"] and not why, "why": why}
    except PeerError as e:
        return {"record": "selfcheck", "workload": workload["name"], "rate": rate, "time": time.time(), "command": None,
                "result": None, "passed": False, "why": [str(e)]}
    finally:
        if server:
            server.stop()


def rates_of(spec, workload):
    """The rates to be tried, from high to low, and the one that has to be kept up with, twice the top rate.
    They begin higher if the search for the knee may go there, for the generator's own limit."""
    rates = spec["rates"] if workload["rates"] is None else workload["rates"]
    needed, knee = 2 * max(rates, default=0), spec["knee"]
    first = knee["trials"] and knee.get("highest") or 0
    beyond = [first / 2 ** i for i in range(HALVINGS) if first / 2 ** i > needed]
    return (beyond + [needed / 2 ** i for i in range(HALVINGS)] if rates else []), needed


def limit(check, rates, needed, tries=TRIES):
    """The first of the rates that check(rate) passes, or 0. Where it is higher than needed, and not the
    first, the middle between it and the one that failed is tried, too."""
    def passes(rate):
        return any(check(rate) for _ in range(tries))

    found = next((i for i, rate in enumerate(rates) if passes(rate)), None)
    if found is None:
        return 0
    if found and rates[found] > needed:
        middle = round((rates[found] * rates[found - 1]) ** 0.5)
        return middle if passes(middle) else rates[found]
    return rates[found]


def run(sweep):
    """By workload, the rate that the generator kept up with."""
    proven = {}
    for workload in sweep.spec["workloads"]:
        rates, needed = rates_of(sweep.spec, workload)

        def check(rate, workload=workload, needed=needed):
            sweep.progress.restart()
            sweep.progress.show("self-check", f"{workload['name']} {rate:.10g}/s against a null server")
            record = against_null(sweep, workload, rate)
            sweep.store.add(record)
            if not record["passed"] and rate <= needed:
                sweep.progress.say(f"self-check, {workload['name']}: the generator does not keep up at {rate:.10g}/s: "
                                   f"{'; '.join(record['why'])}")
            return record["passed"]

        proven[workload["name"]] = limit(check, rates, needed, min(TRIES, sweep.attempts))
    return proven
