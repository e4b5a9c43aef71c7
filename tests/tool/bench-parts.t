#!/usr/bin/python3
"""Proves the parts of wherry bench that need neither network nor guests: what a bad specification is
told and on which line, statistics against values worked out by hand and against known
distributions, the store of records, the plan, what is read from other clients. (What is searched for:
bench-search.t.)"""
# limit: 60

import json
import math
import os
import random
import sys
import tempfile
import types

sys.dont_write_bytecode = True
from bench_unit import TOP, near, raises, run, same, test  # noqa: E402

import clients  # noqa: E402
import derive  # noqa: E402
import fallback  # noqa: E402
import instructions  # noqa: E402
import jsonsrc  # noqa: E402
import levels  # noqa: E402
import peer  # noqa: E402
import plan  # noqa: E402
import report  # noqa: E402
import spec  # noqa: E402
import stats  # noqa: E402
import store  # noqa: E402
import sweep  # noqa: E402
import systems  # noqa: E402
from common import BenchError  # noqa: E402

GOOD = """{
  "name": "t",
  "systems": [{"kind": "native"}],
  "programs": [{"name": "p", "program": "/bin/true"}],
  "workloads": [
    {"name": "w", "proto": "redis",
     "closed": [{"connections": 3}]}
  ],
  "rates": [100, 200],
  "seconds": 1,
  "short": {"repeats": 2}
}"""


def parse(text, full=False):
    return spec.parse(text, "f.json", full)


# What is changed in the good one, what the error says, and on which line.
BAD = [
    ('"name": "t",', '"nam": "t",', 2, "did you mean 'name'?"),
    ('"name": "t",\n', "", 1, "lacks 'name'"),
    ('"name": "t"', '"name": 3', 2, "must be a string"),
    ('"name": "t"', '"name": "a/b"', 2, "letters, digits"),
    ('"name": "t"', '"name": "t', 2, "does not end"),
    ('"seconds": 1', '"seconds": 0', 10, "between 0.2 and 3600"),
    ('"seconds": 1', '"seconds": "1"', 10, "must be a number"),
    ('"seconds": 1', '"seconds": 1, "seconds": 2', 10, "given twice"),
    ('"seconds": 1', '"seconds": 01', 10, "should be"),
    ('"seconds": 1', '"seconds": one', 10, "no JSON value"),
    ('"seconds": 1,', '"seconds": 1', 11, "',' or '}'"),
    ("[100, 200]", "[200, 100]", 9, "must ascend"),
    ("[100, 200]", "[100, true]", 9, "must be a number"),
    ("[100, 200]", '{"from": 10, "to": 5, "steps": 3}', 9, "must be above"),
    ("[100, 200]", '{"from": 10, "to": 50}', 9, "lacks 'steps'"),
    ('"kind": "native"', '"kind": "xen"', 3, "one of wherry, linux, dpdk, native, kernel"),
    ('"kind": "native"', '"kind": "kernel"', 3, "lacks 'kernel'"),
    ('"kind": "native"', '"kind": "native", "kernel": "x"', 3, "for kinds"),
    ('[{"kind": "native"}]', '[{"kind": "native"}, {"kind": "native"}]', 3, "two of"),
    ('[{"kind": "native"}]', "[]", 3, "must not be empty"),
    ('"proto": "redis"', '"proto": "gopher"', 6, "one of http"),
    ('"connections": 3', '"conections": 3', 7, "did you mean 'connections'?"),
    ('"connections": 3', '"connections": "3"', 7, "whole number"),
    ('"connections": 3', '"connections": -3', 7, "negative"),
    ('"proto": "redis",', '"proto": "redis", "programs": ["q"],', 6, "no program 'q'"),
    ('"proto": "redis",', '"proto": "redis", "clients": ["wrk"],', 6, "does not speak redis"),
    ('"proto": "redis",', '"proto": "redis", "options": {"queries": "q"},', 6, "no file 'q'"),
    ('"repeats": 2', '"name": "x"', 11, "unknown key 'name' in 'short'"),
    ('"repeats": 2', '"repeats": 2.5', 11, "whole number"),
    ('"seconds": 1', '"cpus": {"guest": "a-b"}', 10, "no list of CPUs"),
    ('"seconds": 1', '"cpus": {"devices": "0"}', 10, "'devices' needs 'guest'"),
    ('"seconds": 1', '"baseline": "x"', 10, "names no system"),
    ('"seconds": 1', '"sweeps": [{"by": "moon", "values": [1]}]', 10, "one of memory"),
    ('"seconds": 1', '"sweeps": [{"by": "cpu-time", "values": [150]}]', 10, "percentage"),
    ('"seconds": 1', '"files": {"/etc/x": []}', 10, "relative"),
    ('"seconds": 1', '"files": {"x": {"generate": "zone", "from": "y"}}', 10, "either"),
    ('"seconds": 1', '"seconds": "\\q"', 10, "unknown escape"),
    ('"kind": "native"', '"kind": "wherry", "vcpus": 2', 3, "for kind 'linux' and 'dpdk'"),
    ('"kind": "native"', '"kind": "linux", "huge": 64', 3, "for kind 'dpdk'"),
    ('"kind": "native"', '"kind": "dpdk", "memory": 64', 3, "give 'huge'"),
    ('"program": "/bin/true"', '"program": "/bin/true", "systems": ["x"]', 4, "there is no system 'x'"),
    ('"program": "/bin/true"', '"program": "/bin/true", "on": {"x": {}}', 4, "there is no system 'x'"),
    ('"program": "/bin/true"', '"program": "/bin/true", "on": {"native": {"arg": []}}', 4, "did you mean 'args'?"),
    ('"connections": 3', '"window": 3', 7, "'window' is for udp and udpkv"),
    ('"proto": "redis",', '"proto": "redis", "options": {"window": 3},', 6, "belongs into 'closed'"),
    ('"connections": 3', '"connections": 3, "window": 3', 7, "leave 'connections' out"),
    ('"connections": 3', '"window": 0', 7, "between 1 and"),
    ('"proto": "redis",', '"proto": "redis", "count": ["c4"],', 6, "no 'c4' in its 'closed'"),
    ('"seconds": 1', '"compare": [["native", "x"]]', 10, "no system 'x'"),
    ('"seconds": 1', '"compare": [["native", "native"]]', 10, "must be two systems"),
    ('"seconds": 1', '"agreement": {"program": "p", "system": "native"}', 10, "use vhost-user"),
    ('"seconds": 1', '"network": "wire"', 10, "one of tap, vhost-user"),
]


@test("bad specifications: each error names the line and the reason")
def _():
    for old, new, line, text in BAD:
        assert old in GOOD
        e = raises(spec.SpecError, text, parse, GOOD.replace(old, new, 1))
        assert str(e).startswith(f"f.json:{line}: "), f"{e}: wanted line {line}"


LEVELS = """{
  "name": "t", "network": "vhost-user",
  "systems": [{"kind": "wherry", "name": "raw", "memory": 32}, {"kind": "linux"}, {"kind": "dpdk"}],
  "baseline": "dpdk", "compare": [["raw", "dpdk"], ["raw", "linux"]],
  "programs": [{"name": "echo", "program": "/bin/true", "args": ["-e"], "on": {"raw": {"program": "/bin/false", "args": []}}},
    {"name": "kv", "program": "/bin/true", "systems": ["raw", "dpdk"]}],
  "workloads": [
    {"name": "e", "proto": "udp", "programs": ["echo"], "closed": [{"window": 1}, {"window": 256}], "count": ["w256"]},
    {"name": "g", "proto": "udpkv", "programs": ["kv"], "closed": [{"window": 32}], "count": []}
  ],
  "knee": {"around": true, "highest": 5000}, "rates": [100], "agreement": {"program": "echo", "system": "raw"}, "seconds": 1
}"""
BAD_OVER_VHOST = [
    ('"seconds": 1', '"machine": "microvm"', 11, "q35 or pc"),
    ('"seconds": 1', '"clients": ["load"]', 11, "leave 'clients' out"),
    ('{"kind": "linux"}', '{"kind": "native", "name": "linux"}', 3, "no network card"),
    ('"seconds": 1', '"sweeps": [{"by": "bandwidth", "values": [1]}]', 11, "of a tap only"),
    ('"proto": "udpkv"', '"proto": "redis"', 9, "speaks udp and udpkv"),
    ('"programs": ["kv"]', '"programs": ["echo"]', 9, "must have one proto"),
    ('{"window": 32}', '{"connections": 32}', 9, "no option 'connections'"),
    ('"program": "echo", "system": "raw"}', '"program": "kv", "system": "raw"}', 11, "must send back"),
    ('"program": "echo", "system": "raw"}', '"program": "kv", "system": "linux"}', 11, "no program 'kv' on a system 'linux'"),
    ('"systems": ["raw", "dpdk"]', '"systems": ["dpdk"], "on": {"raw": {}}', 6, "does not run on 'raw'"),
]


@test("over vhost-user: what that network cannot do is told, with the line")
def _():
    for old, new, line, text in BAD_OVER_VHOST:
        assert old in LEVELS, old
        e = raises(spec.SpecError, text, parse, LEVELS.replace(old, new, 1))
        assert str(e).startswith(f"f.json:{line}: "), f"{e}: wanted line {line}"


@test("programs run where they are said to, as they are said to be there")
def _():
    s = parse(LEVELS)
    systems_of = {s["name"]: s for s in s["systems"]}
    same([j.key() for j in plan.jobs({**s, "repeats": 1}, 1) if j.program["name"] == "kv" and j.system["name"] == "linux"], [])
    same(sorted(j.key() for j in plan.jobs(s, 1) if j.counting), ["counting/echo//dpdk", "counting/echo//linux", "counting/echo//raw"])
    same([[c.closed["name"] for c in j.points] for j in plan.jobs(s, 1) if j.counting], 3 * [["w256"]])
    assert all(p.client == "pktgen" for j in plan.jobs(s, 1) for p in j.points)
    echo = s["programs"][0]
    same((spec.variant(echo, systems_of["raw"])["program"], spec.variant(echo, systems_of["raw"])["args"]), ("/bin/false", []))
    same((spec.variant(echo, systems_of["linux"])["program"], spec.variant(echo, systems_of["linux"])["args"]), ("/bin/true", ["-e"]))


@test("without DPDK the rest is measured over a tap, and what is left out is said")
def _():
    s = {**parse(LEVELS), "path": "f.json"}
    fallback.lacks = lambda: "there is no DPDK"
    t = fallback.resolve(s)
    same((t["network"], t["clients"], [x["name"] for x in t["systems"]], t["compare"]), ("tap", ["load"], ["raw", "linux"], [["raw", "linux"]]))
    same((t["baseline"], t["agreement"], t["programs"][1]["systems"]), ("linux", None, ["raw"]))
    same((s["knee"]["highest"], t["knee"]), (5000, {**s["knee"], "highest": None}))
    same(len(t["left_out"]), 3)
    assert "there is no DPDK" in t["left_out"][0] and t["left_out"][1].startswith("Linux guest, DPDK: ")
    assert plan.jobs(t, 1) and all(p.client == "load" for j in plan.jobs(t, 1) for p in j.points)
    fallback.lacks = lambda: None
    same(fallback.resolve(s)["left_out"], [])
    same(fallback.resolve(s, "tap")["network"], "tap")
    raises(BenchError, "for a tap", fallback.resolve, t, "vhost-user")
    only_dpdk = {**s, "systems": s["systems"][2:]}
    raises(BenchError, "need vhost-user", fallback.resolve, only_dpdk, "tap")


@test("an image of its own is sent to Wherry only")
def _():
    note = b"\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0" + bytes(8)
    header = b"\x7fELF\x02" + bytes(27) + (64).to_bytes(8, "little") + bytes(14) + (56).to_bytes(2, "little") + (1).to_bytes(2, "little") + bytes(6)
    segment = (4).to_bytes(8, "little") + (120).to_bytes(8, "little") + bytes(16) + len(note).to_bytes(8, "little") + bytes(16)
    with tempfile.TemporaryDirectory() as d:
        image = os.path.join(d, "image")
        with open(image, "wb") as f:
            f.write(header + segment + note)
        os.chmod(image, 0o755)
        assert systems.kernel_image(image) and not systems.kernel_image("/bin/sh")
        s = {**parse(LEVELS.replace("/bin/false", image)), "path": "f.json"}
        fallback.check_programs(s)
        s = {**parse(LEVELS.replace("/bin/true", image)), "path": "f.json"}
        raises(BenchError, "program 'echo' on 'linux': image is an image of its own", fallback.check_programs, s)


@test("a run of pktgen is told all that differs from the first, and of a window only what its loop takes")
def _():
    o = {"workload": "ycsb-b", "keys": 10, "load": True, "window": 32, "arrivals": "constant"}
    line = " ".join(peer.words(o, None, 2, 0.5, 7, True, None))
    same(line, "--seed 7 --requests 0 --rate 0 --seconds 2 --warmup 0.5 --keys 10 --load --unread --window 32 --workload ycsb-b")
    line = " ".join(peer.words(o, 1000, 2, 0.5, 7, False, None))
    same(line, "--seed 7 --requests 0 --rate 1000 --seconds 2 --warmup 0.5 --arrivals constant --keys 10 --workload ycsb-b")
    line = " ".join(peer.words({"size": 22, "window": 1}, None, 2, 0, 7, False, 50))
    same(line, "--seed 7 --requests 50 --rate 0 --frame 64 --window 1")


@test("a window is as many sockets of wherry load, each with its share")
def _():
    for window, sockets, pipeline in ((1, 1, 1), (32, 32, 1), (64, 64, 1), (256, 64, 4)):
        argv = clients.load_command(task("udp", window=window))
        same(argv[argv.index("--connections") + 1:argv.index("--connections") + 4], [str(sockets), "--pipeline", str(pipeline)])
    assert "--pipeline" not in clients.load_command(task("udp", 100, window=32))


@test("idle polls are told from work by the block that only they execute")
def _():
    poll, serve = [100, 50, 10, 0, 0], [80, 30, 0, 400, 90]  # a poll that finds nothing; one that finds a burst
    idle = [1000 * a for a in poll]
    for empty, full in ((0, 50), (700, 50), (5000, 1)):
        load = [empty * a + full * b for a, b in zip(poll, serve)]
        near(instructions.idle_share(idle, load) * 1000, empty, 1e-9)
        near(sum(load) - instructions.idle_share(idle, load) * sum(idle), full * sum(serve), 1e-9)
    same(instructions.idle_share([0, 0], [5, 5]), 0)


class FakeCounter:
    """A guest with a clock of its own that counts what work() tells it."""

    def __init__(self):
        self.program, self.idle_blocks, self.busy_blocks = 0, 0, 0

    def read(self):
        return [self.program, 0, 0] + 8 * [0]

    def copy(self):
        head = instructions.LAYOUT.pack(*[0] * instructions.SLOTS, 2, *[0] * (13 + 32 - instructions.SLOTS))
        return head + b"".join(v.to_bytes(8, "little") for v in (1, self.idle_blocks, 2, self.busy_blocks))


@test("instructions a request: of a guest that polls without what it idles, of another by the slope")
def _():
    sleep = instructions.time.sleep
    try:
        c, idles = FakeCounter(), 0

        def add(idle, busy):
            c.program += idle + busy
            c.idle_blocks += idle
            c.busy_blocks += busy
        instructions.time.sleep = lambda s: add(10 ** 6, 0) if s == instructions.IDLE_SECONDS else None

        def load(n):
            add(400000 if idles else 0, 500 * n + (0 if idles else 123))
            return {"good": n, "seconds": 1e-9 if idles else 1.0}
        idles = 1
        r = instructions.per_request(c, load, 1000, None, True)
        near(r["busy"], 500, 1e-9)
        assert r["program"] < 500 + 400000 / 3000 + 1 and r["requests"] == 3000, r
        c, idles = FakeCounter(), 0
        instructions.time.sleep = lambda s: None
        near(instructions.per_request(c, load, 1000, None)["program"], 500, 1e-9)
        sent = []
        instructions.per_request(c, lambda n: sent.append(n) or {"good": n, "seconds": 0.001}, 1000, None, enlarge=True)
        same(sent, [1000, 500000, 1500000])
    finally:
        instructions.time.sleep = sleep


@test("what is lost below the knee and left of the peak beyond it, and ratios of the pairs asked for")
def _():
    def point(system, kind, rate, good, valid=True, closed=None, sent=1000):
        return {"record": "point", "program": "echo", "workload": "e", "system": system, "setting": {}, "repeat": 1, "boot": 1, "attempt": 1,
                "kind": kind, "client": "pktgen", "rate": rate, "closed": closed, "value_size": None, "valid": valid, "invalid": [],
                "time": 1, "elapsed": 1, "guest_cpu": 1,
                "result": {"good": good, "sent": sent, "seconds": 1.0, "latency": None, "throughput": good}}
    s = parse(LEVELS)
    s["workloads"], s["programs"] = s["workloads"][:1], s["programs"][:1]
    points = [point("raw", plan.CLOSED, None, 1200, closed="w256"), point("dpdk", plan.CLOSED, None, 300, closed="w256"),
              point("linux", plan.CLOSED, None, 100, closed="w256"), point("raw", plan.RATE, 100, 800),
              point("raw", plan.BELOW, 760, 990), point("raw", plan.BEYOND, 1600, 600, sent=1600), point("raw", plan.KNEE, 50, 900, sent=900)] + \
        3 * [point("raw", plan.KNEE, 70, 10, valid=False)]
    out = derive.Deriver([{"record": "sweep", "spec": s, "seed": 1}] + points).summary()
    case, = out["cases"]
    a, = case["around"]
    near(a["loss_below"]["median"], 0.01, 1e-9)
    near(a["of_peak"]["median"], 600 / 990, 1e-9)  # the peak is the best open loop, not the closed one
    same([(r["system"], r["against"], round(r["ratio"], 9)) for r in case["ratios"] if "w256" in r["what"]],
         [("raw", "dpdk", 4.0), ("raw", "linux", 12.0)])
    table, = levels.tables(out)
    same((len(table.rows), table.rows[0][0]), (3, "raw"))
    assert "1 %" in table.rows[0] and "60.6 %" in table.rows[0], table.rows[0]
    assert "at least 50" in table.rows[0], table.rows[0]  # the generator was late above


@test("JSON that is cut off anywhere is an error with a line")
def _():
    for n in range(len(GOOD) - 1):
        raises(spec.SpecError, "f.json:", parse, GOOD[:n])
    raises(spec.SpecError, "follows the end", parse, GOOD + "\n}")
    raises(spec.SpecError, "too deeply", parse, "[" * 10000)


@test("the reader reads what the standard library's does")
def _():
    text = '{"a": [1, -2.5e3, true, false, null, "x\\u00e9\\n\\"\\\\"], "b": {"c": {}, "d": []}, "": 0}'
    same(json.loads(json.dumps(jsonsrc.read(text))), json.loads(text))


@test("short settings apply unless the whole is asked for; rates are spread as told")
def _():
    same(parse(GOOD)["repeats"], 2)
    same(parse(GOOD, True)["repeats"], 5)
    same(parse(GOOD, True)["mode"], "full")
    s = GOOD.replace("[100, 200]", '{"from": 100, "to": 10000, "steps": 3, "log": true}')
    same(parse(s)["rates"], [100, 1000, 10000])
    s = GOOD.replace("[100, 200]", '{"from": 100, "to": 300, "steps": 3}')
    same(parse(s)["rates"], [100, 200, 300])


@test("the ready specifications are good, whole and short")
def _():
    found = 0
    for name in sorted(os.listdir(os.path.join(TOP, "bench"))):
        if name.endswith(".json"):
            for full in (False, True):
                s = spec.load(os.path.join(TOP, "bench", name), full)
                assert plan.jobs(s, 1)
            found += 1
    assert found >= 5, found


@test("histogram: the rule of buckets, at its borders")
def _():
    for v, i in ((0, 0), (1, 1), (2047, 2047), (2048, 2048), (2049, 2048), (2050, 2049), (4095, 3071), (4096, 3072),
                 (4100, 3073), (1 << 20, 1024 * 11)):
        same(stats.bucket_of(v), i)
    for i in list(range(0, 60000, 7)):
        same(stats.bucket_of(stats.middle_of(i)), i)
    for v in (5000, 123456, 10**9, 3 * 10**12 + 1):
        near(stats.middle_of(stats.bucket_of(v)), v, 0.001)


@test("histogram: percentiles against sorted exact data, of three distributions")
def _():
    r = random.Random(7)
    for draw in (lambda: r.expovariate(1 / 2e6), lambda: r.uniform(1e3, 1e9), lambda: r.lognormvariate(13, 2)):
        values = sorted(int(draw()) for _ in range(20000))
        h = stats.Histogram()
        for v in values:
            h.add(v)
        for q in (0.01, 0.5, 0.9, 0.99, 0.999, 1.0):
            near(h.quantile(q), values[max(1, math.ceil(q * len(values))) - 1], 0.001)
        near(h.mean(), sum(values) / len(values), 1e-12)


@test("histogram: merging is the same as counting together, in any order")
def _():
    r = random.Random(3)
    parts, whole = [stats.Histogram() for _ in range(4)], stats.Histogram()
    for i in range(4000):
        v = int(r.expovariate(1e-6))
        parts[i % 4].add(v)
        whole.add(v)
    merged = stats.Histogram()
    for p in reversed(parts):
        merged.merge(p.record())
    same(merged.record(), whole.record())
    merged.merge(stats.Histogram().record())
    same(merged.record(), whole.record())
    same(stats.Histogram().quantile(0.5), None)


@test("median, geometric mean, ratios of pairs: by hand")
def _():
    same(stats.median([3, 1, 2]), 2)
    same(stats.median([4, 1, 2, 3]), 2.5)
    near(stats.geometric_mean([1, 100]), 10, 1e-12)
    r = stats.paired_ratio({1: 10, 2: 40, 3: 5}, {1: 5, 2: 5, 4: 7})
    near(r["ratio"], 4, 1e-12)
    same((r["n"], r["low"], r["high"]), (2, 2.0, 8.0))
    near(r["ci"][0], 2, 1e-12)
    near(r["ci"][1], 8, 1e-12)
    same(stats.paired_ratio({1: 0}, {1: 1}), None)


@test("bootstrap of two and three values: all resamples, by hand")
def _():
    same(stats.bootstrap([1, 2]), [1, 2])
    # Of 27 resamples of three, 7 have median 1 and 7 have median 9: both tails are wider than 2.5 %.
    same(stats.bootstrap([1, 5, 9]), [1, 9])
    same(stats.bootstrap([4]), None)
    same(stats.bootstrap([4, 4, 4]), [4, 4])


@test("bootstrap: the interval holds the truth about as often as it says, and repeats")
def _():
    r, hit, rounds = random.Random(11), 0, 200
    for _ in range(rounds):
        values = [r.gauss(100, 10) for _ in range(20)]
        low, high = stats.bootstrap(values, lambda v: sum(v) / len(v))
        hit += low <= 100 <= high
    assert 0.86 <= hit / rounds <= 0.99, hit / rounds
    same(stats.bootstrap(values), stats.bootstrap(values))


@test("the plan's guess: boots by kind, all trials, and what lies around the knee")
def _():
    s = parse(LEVELS)
    s.update(seconds=1, warmup=1, knee={"trials": 4, "seconds": 2, "precision": 0.1, "around": True})
    point, trials = 1 + 1 + 0.6, 6 * (2 + 0.5 + 0.6)
    jobs = {j.key(): plan.seconds_of(s, j) for j in plan.jobs(s, 1)}
    near(jobs["1/echo//raw"], 2 + 3 * point + trials, 1e-9)
    near(jobs["1/echo//dpdk"], 10 + 3 * point + trials, 1e-9)
    near(jobs["counting/echo//linux"], 12 + plan.COUNT_GUESS, 1e-9)


@test("store: a line that was cut off is taken away, and what is no record is named")
def _():
    with tempfile.TemporaryDirectory() as d:
        s = store.Store(d, False)
        s.add({"record": "a", "n": 1})
        s.add({"record": "b"})
        s.close()
        with open(os.path.join(d, store.NAME), "ab") as f:
            f.write(b'{"record":"c","x":[1,2')
        same([r["record"] for r in store.read(d)], ["a", "b"])
        s = store.Store(d, True)
        s.add({"record": "d"})
        s.close()
        same([r["record"] for r in store.read(d)], ["a", "b", "d"])
        raises(BenchError, "--resume", store.Store, d, False)
        with open(os.path.join(d, store.NAME), "ab") as f:
            f.write(b"[1]\n")
        raises(BenchError, f"{store.NAME}:4:", store.read, d)
        raises(BenchError, "there is no", store.read, os.path.join(d, "none"))


@test("plan: the same for the same seed, each system in each repeat, in changing order")
def _():
    s = parse(GOOD.replace('{"kind": "native"}', '{"kind": "native"}, {"kind": "wherry"}, {"kind": "linux"}'))
    s["repeats"] = 12
    keys = [j.key() for j in plan.jobs(s, 5)]
    same(keys, [j.key() for j in plan.jobs(s, 5)])
    assert keys != [j.key() for j in plan.jobs(s, 6)]
    same(len(keys), len(set(keys)))
    orders = {tuple(k.rpartition("/")[2] for k in keys[i:i + 3]) for i in range(0, 36, 3)}
    assert len(orders) > 2 and all(sorted(o) == ["linux", "native", "wherry"] for o in orders), orders
    assert all(k.startswith("counting/") for k in keys[36:]) and len(keys) == 38  # none for native


def task(proto="http", rate=None, **options):
    w = {"name": "w", "proto": proto, "port": 80, "options": options}
    return clients.Task(w, options, rate, 2, 0, "10.0.0.1", None, 1, None)


@test("wrk's output is read")
def _():
    r = clients.wrk_result("""  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.05ms    1.18ms  25.47ms   90.29%
    Req/Sec     7.47k   514.07     8.32k    75.00%
  Latency Distribution
     50%    3.79ms
     99%    1.02s
  14863 requests in 2.00s, 12.31MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:   7428.28
""", task(connections=30))
    same((r["answered"], r["good"], r["seconds"], r["sent"]), (14863, 14858, 2.0, None))
    same(r["errors"], {"wrong": 5, "timeout": 4, "refused": 1, "reset": 5})
    near(r["percentiles"]["50"], 3.79e6, 1e-9)
    near(r["percentiles"]["99"], 1.02e9, 1e-9)
    near(r["mean"], 4.05e6, 1e-9)


@test("httperf's output is read")
def _():
    r = clients.httperf_result("""Total: connections 100 requests 1000 replies 990 test-duration 1.990 s
Reply time [ms]: response 0.6 transfer 0.0
Reply status: 1xx=0 2xx=980 3xx=0 4xx=10 5xx=0
Errors: total 7 client-timo 1 socket-timo 0 connrefused 2 connreset 4
Errors: fd-unavail 0 addrunavail 3 ftab-full 0 other 0
""", task(rate=500))
    same((r["sent"], r["answered"], r["good"], r["valid"]), (1000, 990, 980, False))
    same(r["errors"], {"wrong": 10, "timeout": 1, "refused": 2, "reset": 4, "short_of_ports": 3})


@test("dnsperf's output is read")
def _():
    r = clients.dnsperf_result("""Statistics:
  Queries sent:         20000
  Queries completed:    19990 (99.95%)
  Queries lost:         10 (0.05%)
  Response codes:       NOERROR 19980 (99.95%), SERVFAIL 10 (0.05%)
  Run time (s):         2.000100
  Queries per second:   9995.0
  Average Latency (s):  0.000345 (min 0.000020, max 0.012)
""", task("dns", 10000))
    same((r["sent"], r["answered"], r["good"], r["seconds"]), (20000, 19990, 19980, 2.0001))
    same(r["errors"], {"wrong": 10, "timeout": 10})
    near(r["mean"], 345e3, 1e-9)


@test("redis-benchmark's output is read")
def _():
    t = task("redis", workload="get", connections=30)
    t.requests = 100000
    r = clients.redis_result('"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms",'
                             '"max_latency_ms"\n"GET","50000.00","0.5","0.1","0.479","0.7","1.2","3.0"\n', t)
    same((r["good"], r["seconds"]), (100000, 2.0))
    near(r["percentiles"]["99"], 1.2e6, 1e-9)


@test("what a client cannot do is not asked of it")
def _():
    w = {"proto": "redis", "options": {"workload": "ycsb-a"}}
    assert not clients.can("redis-benchmark", w, None) and not clients.can("wrk", w, None)
    assert clients.can("load", w, 100) and clients.can("load", w, None)
    assert not clients.can("wrk", {"proto": "http", "options": {}}, 100)
    assert not clients.can("httperf", {"proto": "http", "options": {}}, None)


@test("differences between a stored and a derived summary are named")
def _():
    a = {"x": [1, {"y": 2.0}], "z": "s"}
    same(list(report.differences(a, json.loads(json.dumps(a)))), [])
    same(list(report.differences({"x": 1.0}, {"x": 1.0 + 1e-12})), [])
    same(list(report.differences({"x": 1.0}, {"x": 1.01})), ["summary.x is stored as 1.0, derived is 1.01"])
    same(list(report.differences({"x": [1]}, {"y": [1]})), ["summary.x is not in the records", "summary.y is not stored"])
    assert list(report.differences({"v": True}, {"v": 1}))


@test("invalid points do not count where there are valid ones, and are told")
def _():
    def point(rate, valid, repeat):
        return {"repeat": repeat, "result": {"good": rate * 2, "sent": 1000, "seconds": 2, "latency": None}, "valid": valid, "elapsed": 2.0,
                "guest_cpu": 1.0, "invalid": [] if valid else ["late"]}
    g = derive.group([point(100, True, 1), point(110, True, 2), point(10, False, 3)], 1)
    same((g["good"]["low"], g["good"]["n"], g["invalid"], g["boots"], g["valid"], g["reasons"]), (100.0, 2, 1, 3, True, ["late"]))
    g = derive.group([point(10, False, 1), point(11, False, 1)], 1)
    same((g["good"]["median"], g["valid"], g["boots"]), (11.0, False, 1))
    g = derive.group([point(10, False, 1), point(100, True, 1), point(9, False, 2), point(90, True, 2)], 1)
    same((g["good"]["low"], g["good"]["high"], g["invalid"], g["invalid_points"], g["points"]), (90.0, 100.0, 0, 2, 4))


@test("what came after the recorded time is not in the rate")
def _():
    r = {"good": 200, "sent": 200, "seconds": 2.0, "latency": None, "throughput": 40.0}
    same(derive.numbers({"result": r, "elapsed": 2.0, "guest_cpu": 0.0})["good"], 40.0)
    del r["throughput"]  # another client's
    same(derive.numbers({"result": r, "elapsed": 2.0, "guest_cpu": 0.0})["good"], 100.0)


@test("a system that still works off an overload is waited for, but not for ever")
def _():
    def settles(busy_steps, polls=False):
        b, used, steps = systems.Boot.__new__(systems.Boot), [0.0], [0]

        def cpu_seconds():
            steps[0] += 1
            if steps[0] % 2 == 0 and steps[0] // 2 <= busy_steps:
                used[0] += systems.SETTLE_STEP
            return used[0]
        b.cpu_seconds, b.alive, b.image = cpu_seconds, lambda: True, types.SimpleNamespace(polls=polls)
        return b.settle(0), steps[0] // 2

    limits = systems.SETTLE_LIMIT, systems.SETTLE_STEP
    systems.SETTLE_LIMIT, systems.SETTLE_STEP = 0.2, 0.01
    try:
        same(settles(0), (True, 1))
        same(settles(3), (True, 4))
        same(settles(10**6)[0], False)
        same(settles(10**6, True), (True, 0))  # it is never idle
    finally:
        systems.SETTLE_LIMIT, systems.SETTLE_STEP = limits


@test("records do not tell where things lie")
def _():
    with tempfile.TemporaryDirectory() as d:
        s = store.Store(d, False)
        s.alias("/home/x/build", "@BUILD@")
        s.add({"record": "a", "command": ["/home/x/build/bin/wherry", "/usr/bin/true"]})
        s.close()
        same(store.read(d)[0]["command"], ["@BUILD@/bin/wherry", "/usr/bin/true"])


@test("a point for which the generator was late is measured again, one with another fault is not")
def _():
    def measured(*outcomes, known=0, attempts=3):
        """How often a point is asked for, if its attempts end so; the first ones are known already."""
        s, asked = sweep.Sweep.__new__(sweep.Sweep), []
        p = plan.Point(plan.RATE, "load", {"name": "w"}, rate=100)
        job = plan.Job(1, {"name": "p"}, {"name": "s"}, {}, [p], [])
        key = lambda attempt: f"{job.key()}/{p.key(attempt)}"
        s.attempts = attempts
        s.known = {key(i + 1): {"invalid": why} for i, why in enumerate(outcomes[:known])}

        def point(_job, _boot, _title, _point, _filled, attempt):
            assert key(attempt) not in s.known and (attempt == 1 or key(attempt) != key(1))
            asked.append(attempt)
            return {"invalid": outcomes[attempt - 1]}
        s.point = point
        s.points(job, None, "")
        return asked

    late, busy = ["the generator was late: send lag p99 2.1 ms"], ["the generator was short of CPU: 99 %"]
    robbed = ["the generator had its CPU for only 70 % of the time"]
    same(measured([]), [1])
    same(measured(late, []), [1, 2])
    same(measured(late, late, late, []), [1, 2, 3])
    same(measured(late + robbed, robbed, []), [1, 2, 3])
    same(measured(late, [], attempts=1), [1])
    same(measured(busy), [1])
    same(measured(late + busy), [1])
    same(measured(late, [], known=1), [2])
    same(measured(late, [], known=2), [])


run()
