#!/usr/bin/python3
"""Proves that `wherry load` measures what it says: against the null server, whose delays, stalls and
mistakes are known, and against the real servers of this host, whose every answer it verifies."""

import hashlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WHERRY = os.environ.get("WHERRY", TOP + "/build/bin/wherry")
DIR = tempfile.mkdtemp(prefix="load-t.")
started = []
nr = failed = 0


def ok(good, name, *facts):
    global nr, failed
    nr += 1
    print(("ok" if good else "not ok"), nr, "-", name, flush=True)
    if not good:
        failed = 1
        for f in facts:
            print("#", str(f)[:2000].replace("\n", "\n# "))


def skip(name, why):
    global nr
    nr += 1
    print(f"ok {nr} - {name} # skip {why}", flush=True)


# A real-time priority, which children inherit, keeps other programs of a busy machine out of the
# timing. It is not there for everybody, and not needed on an idle machine.
try:
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
except OSError:
    pass


def spawn(args, **kw):
    p = subprocess.Popen(args, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw)
    started.append(p)
    return p


def stop(p):
    if p.poll() is None:
        p.terminate()
        try:
            p.wait(5)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


class Null:
    """The null server, ready, on a port of its own."""

    def __init__(self, *args):
        self.process = spawn([WHERRY, "load", "serve", *args], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.at = line.split()[-1] if line else "127.0.0.1:1"

    def __enter__(self):
        return self.at

    def __exit__(self, *exc):
        stop(self.process)
        self.process.stdout.close()


def run(*args, limit=20):
    """Runs `wherry load`: (status, stdout, stderr, seconds)."""
    start = time.monotonic()
    p = subprocess.run([WHERRY, "load", *args], capture_output=True, text=True, timeout=limit,
                       stdin=subprocess.DEVNULL)
    return p.returncode, p.stdout, p.stderr, time.monotonic() - start


def load(*args, limit=20):
    status, out, err, _ = run(*args, "--quiet", limit=limit)
    if status:
        raise RuntimeError(f"wherry load {' '.join(args)}: status {status}\n{err}")
    return json.loads(out)


def value(i):
    """The middle of bucket i, as docs/load.md has it."""
    if i < 2048:
        return i
    e = i // 1024 - 1
    return ((1024 + i % 1024) << e) + (1 << e) // 2


def quantile(hist, q):
    rank = max(1, math.ceil(q * hist["count"]))
    i = 0
    for step, n in zip(hist["buckets"][::2], hist["buckets"][1::2]):
        i += step
        rank -= n
        if rank <= 0:
            return value(i) / 1e6
    return float("nan")


def errors(r):
    return sum(r["errors"].values())


def clean(r):
    return errors(r) == 0 and r["good"] == r["sent"] > 0


def near(got, truth, share=0.02):
    return abs(got - truth) <= share * truth


def again(attempt, tries=4):
    """A busy machine can spoil a measurement of time, but not make it right: one good try is enough."""
    for left in reversed(range(tries)):
        good, facts = attempt()
        if good or not left:
            return good, facts


# ---- time ----

def rates():
    with Null("udp") as at:
        def constant():
            r = load("udp", "--rate", "4000", "--arrivals", "constant", "--seconds", "2", "--warmup", "0.2", at)
            return clean(r) and near(r["throughput"], 4000, 0.005) and r["sent"] == 8000, r["throughput"]
        good, facts = again(constant)
        ok(good, "constant rate is met within 0.5 %", facts)

        r = load("udp", "--rate", "8000", "--seconds", "2", "--threads", "2", at)
        ok(clean(r) and near(r["sent"] / 2, 8000, 3 / math.sqrt(16000)), "Poisson rate is met within 3 sigma by two threads", r["sent"])
        same = load("udp", "--rate", "8000", "--seconds", "0.5", "--threads", "2", at)
        other = load("udp", "--rate", "8000", "--seconds", "0.5", "--threads", "2", "--seed", "2", at)
        repeat = load("udp", "--rate", "8000", "--seconds", "0.5", "--threads", "2", at)
        ok(same["sent"] == repeat["sent"] != other["sent"], "a seed repeats a run's requests", same["sent"], repeat["sent"])
        ok(sum(r["latency"]["buckets"][1::2]) == r["latency"]["count"] == r["good"]
           and len(r["per_second"]) == 2, "the histogram holds every good answer")


def percentiles():
    cases = [
        ("fixed:100000", {0.01: 100, 0.5: 100, 0.9: 100, 0.99: 100}),
        ("two:80000,300000,0.1", {0.5: 80, 0.85: 80, 0.95: 300, 0.99: 300}),
        ("uniform:100000-300000", {0.1: 120, 0.5: 200, 0.9: 280}),
    ]
    for proto, (delay, truth) in zip(("udp", "redis", "udp"), cases):
        def attempt():
            with Null(proto, "--delay", delay) as at:
                r = load(proto, "--rate", "3000", "--seconds", "2", at)
            got = {q: quantile(r["latency"], q) for q in truth}
            return clean(r) and all(near(got[q], truth[q]) for q in truth), got
        good, facts = again(attempt)
        ok(good, f"percentiles are those of delay {delay}, within 2 %", facts)


def stalls():
    def attempt():
        with Null("udp", "--stall", "1000:1000") as at:
            r = load("udp", "--rate", "1000", "--arrivals", "constant", "--seconds", "4", "--timeout", "3000", at)
        # The requests of the stalled second, a quarter of all, wait for what is left of it.
        got = {q: quantile(r["latency"], q) for q in (0.5, 0.85, 0.9, 0.99)}
        good = (clean(r) and got[0.5] < 100 and near(got[0.85], 400) and near(got[0.9], 600) and near(got[0.99], 960))
        return good, (got, r["send_lag"]["max"], r["invalid"])
    good, facts = again(attempt)
    ok(good, "a stall shows in the open loop's tail, each percentile within 2 %", facts)
    with Null("redis", "--stall", "1000:1000") as at:
        r = load("redis", "--connections", "1", "--seconds", "3", "--timeout", "3000", at)
    ok(clean(r) and quantile(r["latency"], 0.99) < 50 and r["latency"]["max"] >= 980e6,
       "a closed loop hides it: one request saw it", quantile(r["latency"], 0.99), r["latency"]["max"])


def lateness():
    """A generator that was stopped sends late: latency counts from the intended time, and the point is
    marked."""
    with Null("udp") as at:
        p = spawn([WHERRY, "load", "udp", "--rate", "1000", "--arrivals", "constant", "--seconds", "2", "--quiet", at],
                  stdout=subprocess.PIPE, text=True)
        time.sleep(0.8)
        p.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        p.send_signal(signal.SIGCONT)
        r = json.loads(p.communicate(timeout=10)[0])
    ok(not r["valid"] and "late" in r["invalid"][0] and quantile(r["latency"], 0.9) > 100
       and quantile(r["service"], 0.5) < 50, "a late generator marks its own result", r["valid"], r["invalid"])


# ---- errors ----

def mistakes():
    for proto, extra in (("http", []), ("dns", []), ("dns", ["--transport", "tcp"]), ("redis", []), ("memcached", []),
                         ("memcached", ["--binary"]), ("udp", []), ("udpkv", [])):
        with Null(proto, "--wrong", "10") as at:
            r = load(proto, *extra, "--requests", "1000", "--connections", "4", at)
        name = " ".join([proto, *extra])
        ok((r["errors"]["wrong"], r["good"], r["answered"]) == (100, 900, 1000), f"{name}: wrong answers are errors, not throughput", r["errors"], r["good"])


def null_store():
    with Null("redis", "--value-size", "1000") as at:
        for w in "adef":
            r = load("redis", "--workload", f"ycsb-{w}", "--requests", "500", "--threads", "2", at)
            ok(clean(r), f"the null server serves YCSB {w.upper()}", r["errors"], r["sent"])


def silence():
    for proto, args in (("http", ["--rate", "100"]), ("redis", ["--connections", "5"]), ("udp", ["--rate", "100"]),
                        ("dns", ["--connections", "5"])):
        with Null(proto, "--mute") as at:
            status, out, _, seconds = run(proto, *args, "--seconds", "0.5", "--timeout", "200", "--quiet", at)
        r = json.loads(out)
        ok(status == 0 and seconds < 5 and r["errors"]["timeout"] == r["sent"] > 0 and r["good"] == 0,
           f"{proto}: a server that never answers ends in time-outs, in time", seconds, r["errors"])


def nobody():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
    status, out, err, _ = run("redis", f"127.0.0.1:{port}")
    ok(status == 125 and not out and err.count("\n") == 1 and "refused" in err, "a refused port is one line", err)
    r = load("udp", "--seconds", "0.3", "--connections", "2", "--timeout", "100", f"127.0.0.1:{port}")
    ok(r["errors"]["refused"] + r["errors"]["timeout"] == r["sent"] > 0 and r["errors"]["refused"], "a refused datagram is an error", r["errors"])
    s.close()
    for proto, args in (("redis", ["--rate", "500"]), ("http", []), ("http", ["--rate", "500", "--keepalive", "no"])):
        server = Null(proto)
        p = spawn([WHERRY, "load", proto, *args, "--seconds", "1.5", "--timeout", "500", "--quiet", server.at], stdout=subprocess.PIPE, text=True)
        time.sleep(0.7)
        server.__exit__()
        r = json.loads(p.communicate(timeout=10)[0])
        ok(p.returncode == 0 and r["good"] > 0 and r["errors"]["refused"] > 0 and r["sent"] == r["good"] + errors(r),
           f"{proto} {' '.join(args)}: a server that dies shows as errors, in time", r["errors"], r["good"])


def ports():
    """In a network of its own where the kernel has twenty ports to give."""
    script = """ip link set lo up && echo 40000 40019 >/proc/sys/net/ipv4/ip_local_port_range || exit 77
"$0" load serve http --port 8000 --delay fixed:100000 & trap 'kill $!' EXIT; sleep 0.3
"$0" load http --keepalive no --requests 200 --connections 60 --sources "$1" --quiet 127.0.0.1:8000"""
    for sources, short in (("127.0.0.1", True), ("127.66.0.0/25", False)):
        p = subprocess.run(["unshare", "-rn", "sh", "-c", script, WHERRY, sources], capture_output=True, text=True, timeout=20)
        name = "ports run out: counted, and the result is marked" if short else "... but not with many source addresses"
        if p.returncode:
            skip(name, "no network of its own")
            continue
        r = json.loads(p.stdout.splitlines()[-1])
        ok((r["errors"]["short_of_ports"] > 0 and not r["valid"] and "ports" in r["invalid"][-1]) if short
           else (clean(r) and r["good"] == 200), name, r["errors"], r["invalid"])


def refusals():
    bad = [
        ("no protocol", "name a protocol", []),
        ("unknown protocol", "protocol gopher: one of http", ["gopher", "h:1"]),
        ("no port", "HOST:PORT", ["redis", "localhost"]),
        ("port 0", "1 to 65535", ["redis", "localhost:0"]),
        ("unknown option", "did you mean --connections", ["redis", "--conections", "1", "h:1"]),
        ("no value", "needs a value", ["redis", "h:1", "--rate"]),
        ("rate 0", "--rate 0", ["redis", "--rate", "0", "127.0.0.1:1"]),
        ("arrivals in a closed loop", "--rate", ["redis", "--arrivals", "constant", "127.0.0.1:1"]),
        ("requests in an open loop", "closed loop", ["redis", "--rate", "1", "--requests", "1", "127.0.0.1:1"]),
        ("lists in memcached", "no lists", ["memcached", "--workload", "lrange", "127.0.0.1:1"]),
        ("scans in memcached", "no lists", ["memcached", "--workload", "ycsb-e", "127.0.0.1:1"]),
        ("scans in udpkv", "no lists", ["udpkv", "--workload", "ycsb-e", "127.0.0.1:1"]),
        ("a large value in udpkv", "1408", ["udpkv", "--value-size", "1409", "127.0.0.1:1"]),
        ("workload of http", "are for redis", ["http", "--workload", "get", "127.0.0.1:1"]),
        ("pipelined http", "in order", ["http", "--pipeline", "4", "127.0.0.1:1"]),
        ("path of redis", "for http", ["redis", "--path", "/", "127.0.0.1:1"]),
        ("bad sources", "--sources", ["udp", "--sources", "10.0.0.0/8", "127.0.0.1:1"]),
        ("bad CPUs", "--cpus", ["udp", "--cpus", "1-0", "127.0.0.1:1"]),
        ("no such CPU", "CPU 999", ["udp", "--cpus", "999", "127.0.0.1:9"]),
        ("no query file", "No such file", ["dns", "--queries", "/nonexistent", "127.0.0.1:1"]),
        ("bad query file", "queries:2: ", ["dns", "--queries", DIR + "/queries", "127.0.0.1:1"]),
        ("no expected file", "No such file", ["http", "--expect-file", "/nonexistent", "127.0.0.1:1"]),
        ("bad hash", "64 hexadecimal", ["http", "--expect-sha256", "12", "127.0.0.1:1"]),
        ("bad delay", "fixed:US", ["serve", "udp", "--delay", "5ms"]),
        ("bad stall", "AT:LENGTH", ["serve", "udp", "--stall", "5"]),
        ("port in use", "in use", None),
    ]
    with open(DIR + "/queries", "w") as f:
        f.write("a.b A\nc..d A\n")
    with Null("redis") as at:
        for name, text, args in bad:
            status, out, err, _ = run(*(args if args is not None else ["serve", "redis", "--port", at.split(":")[1]]))
            ok(status == 125 and not out and err.count("\n") == 1 and text in err, f"refused: {name}", status, out, err)
        status, _, err, _ = run("redis", "--seconds", "0.1", "--out", DIR + "/none/x", "--quiet", at)
        ok(status == 125 and "--out" in err, "a result that cannot be written is an error", err)
        status, _, err, _ = run("redis", "--seconds", "0.1", "--out", DIR + "/result", "--quiet", at)
        with open(DIR + "/result") as f:
            ok(status == 0 and json.load(f)["wherry_load"] == 1 and os.listdir(DIR).count("result") == 1, "--out gets the result whole", err)
        with open("/dev/full", "w") as full:
            p = subprocess.run([WHERRY, "load", "redis", "--seconds", "0.1", "--quiet", at], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20)
        ok(p.returncode == 125 and "cannot write" in p.stderr, "a full disk is an error", p.stderr)
        status, out, _, _ = run("redis", "--seconds", "0.1", "--format", "text", at)
        ok(status == 0 and "p99" in out and not out.startswith("{"), "--format text is for people", out)
    status, out, _, _ = run("--help")
    ok(status == 0 and "--pipeline" in out, "--help lists the options")


# ---- real servers ----

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.05)
    return False


def real(name, program, arguments, cases):
    """Runs a server of this host and every case of load on it: clean, or the test fails."""
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not path:
        for case in cases:
            skip(f"{name}: {' '.join(case)}", f"no {program}")
        return
    port = free_port()
    server = spawn([path, *arguments(port)], stdout=subprocess.DEVNULL, cwd=DIR)
    if not wait_port(port):
        ok(False, f"{name} starts", server.poll())
        return
    for case in cases:
        r = load(*case, f"127.0.0.1:{port}")
        ok(clean(r), f"{name}: {' '.join(case)}: every answer is good", r["errors"], r["sent"], r["good"])
    stop(server)


def real_servers():
    short = ["--seconds", "0.2", "--timeout", "5000"]
    real("redis", "redis-server", lambda p: ["--port", str(p), "--bind", "127.0.0.1", "--save", ""],
         [["redis", "--workload", w, "--load", "--keys", "1000", *short]
          for w in ("get", "set", "lrange", "ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-e", "ycsb-f")]
         + [["redis", "--load", "--keys", "100", "--value-dist", "six", *short],
            ["redis", "--workload", "set", "--value-dist", "six", "--keys", "100", "--pipeline", "4", *short],
            ["redis", "--workload", "ycsb-a", "--load", "--keys", "1000", "--pipeline", "16", "--threads", "2", *short],
            ["redis", "--workload", "ycsb-d", "--load", "--keys", "1000", "--rate", "2000", *short]])
    real("memcached", "memcached", lambda p: ["-p", str(p), "-l", "127.0.0.1", "-u", "root", "-m", "64"],
         [["memcached", proto, "--workload", w, "--load", "--keys", "1000", *short]
          for proto in ("--ascii", "--binary") for w in ("get", "ycsb-a", "ycsb-d", "ycsb-f")]
         + [["memcached", "--load", "--value-dist", "six", "--keys", "100", *short]])
    body = os.urandom(20000)
    with open(DIR + "/file", "wb") as f:
        f.write(body)
    os.chmod(DIR, 0o755)

    def nginx(port):
        with open(DIR + "/nginx.conf", "w") as f:
            f.write(f"""daemon off; master_process off; pid {DIR}/nginx.pid; error_log {DIR}/nginx.log;
events {{ worker_connections 2048; }}
http {{ access_log off; keepalive_requests 100; client_body_temp_path {DIR}/t1; proxy_temp_path {DIR}/t2;
fastcgi_temp_path {DIR}/t3; uwsgi_temp_path {DIR}/t4; scgi_temp_path {DIR}/t5;
server {{ listen 127.0.0.1:{port} backlog=1024; root {DIR}; }} }}
""")
        return ["-c", DIR + "/nginx.conf", "-e", DIR + "/nginx.log"]
    real("nginx", "nginx", nginx,
         [["http", "--path", "/file", "--expect-file", DIR + "/file", *short],
          ["http", "--path", "/file", "--expect-sha256", hashlib.sha256(body).hexdigest(), "--rate", "1000", *short],
          ["http", "--path", "/file", "--expect-size", "20000", "--keepalive", "no", *short],
          ["http", "--path", "/file", "--keepalive", "no", "--rate", "500", "--linger0", *short]])

    with open(DIR + "/names", "w") as f:
        f.write("".join(f"h{i}.example.test A 192.0.2.{i}\n" for i in range(1, 100))
                + "none.example.test A NXDOMAIN\nh1.example.test MX NODATA\nv6.example.test AAAA 2001:db8::1\n")

    def unbound(port):
        data = "".join(f'local-data: "h{i}.example.test. A 192.0.2.{i}"\n' for i in range(1, 100))
        with open(DIR + "/unbound.conf", "w") as f:
            f.write(f"""server:
interface: 127.0.0.1
port: {port}
do-daemonize: no
username: ""
chroot: ""
directory: "{DIR}"
pidfile: ""
use-syslog: no
logfile: "{DIR}/unbound.log"
incoming-num-tcp: 100
local-zone: "example.test." static
{data}local-data: "v6.example.test. AAAA 2001:db8::1"
remote-control:
control-enable: no
""")
        return ["-c", DIR + "/unbound.conf"]
    real("unbound", "unbound", unbound,
         [["dns", "--queries", DIR + "/names", *short], ["dns", "--queries", DIR + "/names", "--rate", "2000", *short],
          ["dns", "--queries", DIR + "/names", "--transport", "tcp", "--connections", "10", *short]])


try:
    if not os.access(WHERRY, os.X_OK):
        print(f"1..0 # skip there is no {WHERRY}")
        sys.exit(0)
    for part in (rates, percentiles, stalls, lateness, mistakes, null_store, silence, nobody, ports, refusals, real_servers):
        start = time.monotonic()
        try:
            part()
        except (RuntimeError, subprocess.TimeoutExpired, ValueError) as e:
            ok(False, part.__name__, e)
        print(f"# {part.__name__}: {time.monotonic() - start:.1f} s")
    print(f"1..{nr}")
finally:
    for p in started:
        stop(p)
    shutil.rmtree(DIR, ignore_errors=True)
sys.exit(failed)
