"""What bench/run measures: one class a server. Each says how to boot it, and yields numbers from a
running guest: rates (without the counter, in interleaved rounds), and counts per request (with it).
A count is instructions without REP iterations, less what the idle guest would have executed in the
same time; for redis-benchmark, which also connects, the slope between n and 3n requests."""

import os
import re
import subprocess
import time

from guest import GUEST, BenchError

IDLE_SECONDS = 1.0
SETTLE = 0.02  # after the last answer: what the guest still does for it
PING = b"*1\r\n$4\r\nPING\r\n"
BULK_MIB = 64
CLIENT_LIMIT = 120


def client(*argv, limit=CLIENT_LIMIT, stdin=None):
    try:
        r = subprocess.run(argv, capture_output=True, text=True, timeout=limit, input=stdin)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{' '.join(argv)}: not done after {limit} s")
    if r.returncode != 0:
        raise BenchError(f"{' '.join(argv)}: {(r.stderr or r.stdout).strip()[-300:]}")
    return r.stdout


def total(counts):
    return sum(counts[0])


class Span:
    """Counts over a stretch of work: (lower, upper, rep) instructions, and the seconds."""

    def __init__(self, guest):
        self.guest = guest

    def __enter__(self):
        self.begin, self.t = self.guest.counts(), time.monotonic()
        return self

    def __exit__(self, *_):
        time.sleep(SETTLE)
        end = self.guest.counts()
        self.seconds = time.monotonic() - self.t
        self.plain = [b - a for a, b in zip(self.begin[0], end[0])]
        self.rep = sum(end[1]) - sum(self.begin[1])

    def idle(self, rate):
        self.plain = [max(0, p - r * self.seconds) for p, r in zip(self.plain, rate)]
        return self


def idle_rate(guest):
    with Span(guest) as s:
        time.sleep(IDLE_SECONDS)
    return [p / s.seconds for p in s.plain]


def per_request(name, plain, rep, n):
    """The four numbers of a count."""
    lower, upper = plain
    yield f"{name} instr", "instr/req", (lower + upper) / n
    yield f"{name} instr in the program", "instr/req", lower / n
    yield f"{name} instr in the kernel", "instr/req", upper / n
    yield f"{name} rep iterations", "rep/req", rep / n


class Measure:
    """name, how to make its image, when it is up, and its numbers."""

    memory = 256
    boot_limit = 60

    def __init__(self, opt, build, work):
        self.opt, self.build, self.work = opt, build, work

    def tool(self, name):
        return os.path.join(self.build, "bench", name)

    def n(self, full):
        return max(200, full // (10 if self.opt.quick else 1))


class Udp(Measure):
    name = "udp"
    port = 7777

    def image(self):
        return {"program": self.tool("udp_echo")}

    def up(self, guest):
        return guest.wait_udp(self.port, b"12345678G\x01x", self.boot_limit)

    def load(self, window, n):
        out = client(self.tool("udp_load"), GUEST, str(self.port), str(window), str(n)).split()
        return int(out[1]) / float(out[0]), int(out[2])

    def rates(self, guest):
        for window, n in ((1, 10000), (32, 40000)):
            self.load(window, 1000)
            rate, resent = self.load(window, self.n(n))
            yield f"UDP window {window}", "req/s", rate
            if resent:
                yield f"UDP window {window} resent", "requests", resent

    def counts(self, guest, span):
        for window, n in ((1, 10000), (32, 40000)):
            self.load(window, 2000)
            rate = idle_rate(guest)
            with span(f"udp-w{window}", self.n(n)) as s:
                self.load(window, self.n(n))
            s.idle(rate)
            yield from per_request(f"UDP window {window}", s.plain, s.rep, self.n(n))


class Redis(Measure):
    name = "redis"
    port = 6379
    # connections, pipeline, requests: enough for a second or more on the slowest system
    loads = ((1, 1, 6000), (30, 1, 12000), (30, 16, 120000))

    def image(self):
        return {"program": "redis-server",
                "args": ["--save", "", "--protected-mode", "no", "--maxclients", "10100"]}

    def up(self, guest):
        return guest.wait_answer(self.port, self.boot_limit, PING, b"+PONG")

    def load(self, test, conns, pipeline, n):
        out = client("redis-benchmark", "-h", GUEST, "-p", str(self.port), "-t", test, "-c", str(conns),
                     "-P", str(pipeline), "-n", str(n), "-d", "3", "--csv")
        for line in out.splitlines():
            word = line.replace('"', "").split(",")
            if word[0].lower() == test:
                return float(word[1])
        raise BenchError(f"redis-benchmark printed no rate: {out[-200:]}")

    def rates(self, guest):
        self.load("set", 30, 16, 5000)
        for test in ("get", "set"):
            for conns, pipeline, n in self.loads:
                n = self.n(n)
                self.load(test, conns, pipeline, n // 4)
                yield (f"Redis {test.upper()} c={conns} P={pipeline}", "req/s",
                       self.load(test, conns, pipeline, 2 * n))

    def counts(self, guest, span):
        self.load("set", 30, 16, 5000)
        rate = idle_rate(guest)  # redis-server's ten times a second, above all
        for test in ("get", "set"):
            for conns, pipeline, n in self.loads:
                n = self.n(n)
                self.load(test, conns, pipeline, n)
                with Span(guest) as one:
                    self.load(test, conns, pipeline, n)
                with span(f"redis-{test}-c{conns}-p{pipeline}", 3 * n) as three:
                    self.load(test, conns, pipeline, 3 * n)
                one.idle(rate)
                three.idle(rate)
                plain = [b - a for a, b in zip(one.plain, three.plain)]
                yield from per_request(f"Redis {test.upper()} c={conns} P={pipeline}", plain,
                                       three.rep - one.rep, 2 * n)


NGINX_CONF = """daemon off;
master_process off;
pid /tmp/nginx.pid;
error_log stderr;
worker_rlimit_nofile 4096;
events { worker_connections 1024; }
http {
    access_log off;
    sendfile on;
    keepalive_requests 100000000;
    client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
    uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
    server { listen 80; root /srv; }
}
"""


class Nginx(Measure):
    name = "nginx"
    port = 80
    size = 612

    def site(self):
        """The configuration and the files, as volumes."""
        top = os.path.join(self.work, self.name)
        os.makedirs(os.path.join(top, "srv"), exist_ok=True)
        with open(os.path.join(top, "nginx.conf"), "w") as f:
            f.write(NGINX_CONF)
        with open(os.path.join(top, "srv", "file"), "wb") as f:
            block = bytes(range(32, 127)) * 128
            for left in range(self.size, 0, -len(block)):
                f.write(block[:left])
        return [f"{top}/nginx.conf:/etc/nginx/nginx.conf:ro", f"{top}/srv:/srv:ro"]

    def image(self):
        return {"program": "/usr/sbin/nginx", "args": ["-c", "/etc/nginx/nginx.conf"],
                "volumes": self.site(), "memory": self.memory}

    def up(self, guest):
        return guest.wait_answer(self.port, self.boot_limit, b"HEAD /file HTTP/1.0\r\n\r\n", b"HTTP/1.1 200")

    def load(self, seconds):
        out = client("wrk", "-t1", "-c30", f"-d{seconds}s", f"http://{GUEST}/file")
        if "Socket errors" in out or "Non-2xx" in out:
            raise BenchError(f"wrk: {out}")
        return int(re.search(r"(\d+) requests in", out).group(1)), \
            float(re.search(r"Requests/sec:\s*([\d.]+)", out).group(1))

    def rates(self, guest):
        self.load(1)
        yield "nginx 612 B, 30 connections", "req/s", self.load(1 if self.opt.quick else 4)[1]

    def counts(self, guest, span):
        self.load(1)
        rate = idle_rate(guest)
        with span("nginx", None) as s:
            requests = self.load(1 if self.opt.quick else 4)[0]
        s.idle(rate)
        yield from per_request("nginx 612 B, 30 connections", s.plain, s.rep, requests)


class Download(Nginx):
    name = "download"
    size = BULK_MIB << 20
    memory = 512

    def load(self):
        out = client(self.tool("tcp_peer"), "get", GUEST, str(self.port), "/file").split()
        return int(out[1]), float(out[0])

    def rates(self, guest):
        self.load()
        size, seconds = self.load()
        yield "TCP download", "MB/s", size / seconds / 1e6

    def counts(self, guest, span):
        self.load()
        rate = idle_rate(guest)
        with span("download", BULK_MIB << 10) as s:
            self.load()
        s.idle(rate)
        for name, _, value in per_request("TCP download", s.plain, s.rep, BULK_MIB << 10):
            yield name, "instr/KiB", value


class Upload(Measure):
    name = "upload"
    port = 7778

    def image(self):
        return {"program": self.tool("tcp_sink")}

    def up(self, guest):
        return guest.wait_answer(self.port, self.boot_limit)

    def load(self):
        out = client(self.tool("tcp_peer"), "put", GUEST, str(self.port), str(BULK_MIB << 20)).split()
        return int(out[1]), float(out[0])

    def rates(self, guest):
        self.load()
        size, seconds = self.load()
        yield "TCP upload", "MB/s", size / seconds / 1e6

    def counts(self, guest, span):
        self.load()
        rate = idle_rate(guest)
        with span("upload", BULK_MIB << 10) as s:
            self.load()
        s.idle(rate)
        for name, _, value in per_request("TCP upload", s.plain, s.rep, BULK_MIB << 10):
            yield name, "instr/KiB", value


class Boot(Redis):
    """VMM start to the first PONG of redis-server, firmware included."""

    name = "boot"

    def rates(self, guest):
        yield "boot to first PONG", "s", guest.ready

    def counts(self, guest, span):
        (lower, upper), rep = guest.ready_counts
        yield "boot to first PONG", "M instr", (lower + upper) / 1e6
        yield "boot to first PONG, rep iterations", "M", sum(rep) / 1e6


class Connections(Redis):
    """Many connections held, each served in turn: the cost must not grow with their number."""

    name = "connections"
    memory = 512

    def hold(self, guest, number, rounds):
        """Instructions and seconds a request, at that many open connections."""
        p = subprocess.Popen([self.tool("tcp_peer"), "hold", GUEST, str(self.port), str(number), str(rounds + 1)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        timeout = time.monotonic() + CLIENT_LIMIT

        def line(word):
            text = p.stdout.readline()  # tcp_peer limits each of its waits
            if not text.startswith(word) or time.monotonic() > timeout:
                p.kill()
                raise BenchError(f"{number} connections: {p.stderr.read().strip() or 'too slow'}")
            return float(text.split()[1])

        try:
            opened = line("open")
            p.stdin.write("\n")
            p.stdin.flush()
            line("round")  # the first one touches memory that the others find
            seconds, plain = 0.0, 0
            counting = guest.counts_path is not None
            for _ in range(rounds):
                before = total(guest.counts()) if counting else 0
                p.stdin.write("\n")
                p.stdin.flush()
                seconds += line("round")
                plain += total(guest.counts()) - before if counting else 0
        finally:
            p.stdin.close()
            p.wait(CLIENT_LIMIT)
        return opened, seconds / rounds / number, plain / rounds / number

    def rates(self, guest):
        for number, rounds in ((10, 50), (10000, 1)):
            opened, seconds, _ = self.hold(guest, number, rounds)
            yield f"{number} connections, opened", "conn/s", number / opened
            yield f"{number} connections, each in turn", "us/req", seconds * 1e6

    def counts(self, guest, span):
        for number, rounds in ((10, 50), (10000, 1)):
            yield f"{number} connections, each in turn", "instr/req", self.hold(guest, number, rounds)[2]


ALL = {m.name: m for m in (Udp, Redis, Nginx, Download, Upload, Boot, Connections)}
