#!/usr/bin/python3
"""Proves what wherry bench knows of far memory without booting a guest: what a bad specification is told, which
boots a sweep by local share has and with which words each is started, what is derived from records worked out by
hand, and that the guest's counters are read as it writes them."""
# limit: 60

import os
import sys

sys.dont_write_bytecode = True
from bench_unit import TOP, near, raises, run, same, test  # noqa: E402

import far  # noqa: E402
import pages  # noqa: E402
import plan  # noqa: E402
import shares  # noqa: E402
import spec  # noqa: E402

GOOD = """{
  "name": "t", "far": {"size": 64},
  "systems": [{"kind": "wherry", "name": "none", "far": {"prefetch": "none"}},
    {"kind": "wherry"}, {"kind": "linux", "far": {"set": ["page-cluster=0"]}}],
  "programs": [{"name": "p", "program": "/bin/true", "footprint": 32},
    {"name": "m", "program": "/bin/false", "footprint": 8}],
  "workloads": [{"name": "w", "proto": "redis", "programs": ["p"], "closed": [{"connections": 3}]},
    {"name": "c", "proto": "pages", "programs": ["m"]}],
  "sweeps": [{"by": "local", "values": [100, 25]}],
  "rates": [100], "seconds": 1, "repeats": 2, "instructions": {"requests": 0}
}"""
BAD = [
    ('"far": {"size": 64}', '"far": {"size": 1}', 2, "between 16 and"),
    ('"far": {"size": 64},', "", 3, "does not say how much memory"),
    ('{"prefetch": "none"}', "{}", 3, "kind 'wherry' must say it"),
    ('{"prefetch": "none"}', '{"prefetch": "none", "set": ["x=1"]}', 3, "'set' in 'far' is for kind 'linux'"),
    ('{"set": ["page-cluster=0"]}', '{"prefetch": "none"}', 4, "'linux' has none"),
    ('{"kind": "wherry"}', '{"kind": "native", "far": {}}', 4, "'far' is for kinds wherry and linux"),
    (', "footprint": 32', "", 1, "'p' does not say its 'footprint'"),
    ("[100, 25]", "[100, 0.5]", 9, "a local share is a percentage"),
    ('"proto": "pages",', '"proto": "pages", "closed": [{"connections": 1}],', 8, "proto pages has neither"),
]


def parse(text):
    return spec.parse(text, "f.json", True)


@test("bad specifications: each error names the line and the reason")
def _():
    for old, new, line, text in BAD:
        assert old in GOOD, old
        e = raises(spec.SpecError, text, parse, GOOD.replace(old, new, 1))
        assert str(e).startswith(f"f.json:{line}: "), f"{e}: wanted line {line}"
    same(parse(GOOD.replace('"none"}', '"guide:redis"}'))["systems"][0]["far"]["prefetch"], "guide:redis")


@test("each share has boots of its own, and a system without far memory takes part where all is local")
def _():
    jobs = plan.jobs(parse(GOOD), 1)
    same(sorted(j.key() for j in jobs if j.repeat == 1),
         ["1/m/local=100/linux", "1/m/local=100/none", "1/m/local=100/wherry", "1/m/local=25/linux", "1/m/local=25/none",
          "1/p/local=100/linux", "1/p/local=100/none", "1/p/local=100/wherry", "1/p/local=25/linux", "1/p/local=25/none"])
    assert all(len(j.points) == 1 and not j.searches for j in jobs)


@test("a boot is told its limit: of Linux in MiB, 0 for none; of Wherry a size, or everything")
def _():
    s = parse(GOOD)
    program = s["programs"][0]
    words = far.run_words(s, s["systems"][0])
    assert f"wherry.far.local={far.HERE} wherry.metrics=9100" in words and "10.78.0.1,size=64M,prefetch=none" in words
    same(far.with_limit([f"x={far.HERE} y"], "wherry", program, {"local": 25}), ["x=8M y"])
    same(far.with_limit([f"x={far.HERE}"], "wherry", program, {"local": 100}), ["x=100%"])
    same(far.with_limit([f"x={far.HERE}"], "linux", program, {"local": 12.5}), ["x=4"])
    same(far.with_limit([f"x={far.HERE}"], "linux", program, {}), ["x=0"])
    assert any(f"wherry.setup=/remote_swap,10.78.0.1:10809,64,{far.HERE},page-cluster=0" in w
               for w in far.run_words(s, s["systems"][2]))


@test("the guest's counters are read as it writes them")
def _():
    found = far.metrics('# TYPE wherry_far_faults_total counter\nwherry_far_faults_total 12\nwherry_far_local_pages 7\n'
                        'wherry_far_fault_duration_nanoseconds_bucket{cause="late",le="1023"} 5\n'
                        'wherry_guide_waits_total{guide="a"} 3\nwherry_guide_waits_total{guide="b"} 4\n')
    same(found, {"faults": 12, "local_pages": 7, "guide_waits": 7})
    with open(os.path.join(TOP, "kernel", "fs", "proc_far.c")) as f:
        shown = f.read()
    for name in far.WHERRY_COUNTERS:
        assert f'"wherry_far_{name}_total"' in shown or name == "guide_waits", f"the kernel shows no {name}"
    assert all(k in far.WHERRY_COUNTERS for k in far.STALLS["wherry"])


def point(system, share, repeat, good, p99, stalls):
    return {"record": "point", "setting": {"local": share}, "system": system, "repeat": repeat, "valid": True,
            "result": {"good": good, "p99": p99, "stalls": stalls}}


@test("retention, ratios at the same share and at others, and the cost of what is not used")
def _():
    s = parse(GOOD)
    points = [point(*p) for r in (1, 2) for p in (
        ("none", 100, r, 90 * r, 2, 0), ("none", 25, r, 45 * r, 8, 3), ("wherry", 100, r, 100 * r, 2, 0),
        ("linux", 100, r, 60 * r, 4, 0), ("linux", 25, r, 15 * r, 80, 30))]
    c = shares.case(points, lambda p: p["result"], s, 1)["local"]
    same(c["shares"], [100, 25])
    near({r["system"]: r["ratio"] for r in c["retention"]}["none"], 0.5, 1e-9)
    near({r["system"]: r["ratio"] for r in c["retention"]}["linux"], 0.25, 1e-9)
    against = {(r["system"], r["what"], r["share"], r["base_share"]): r["ratio"] for r in c["against"]}
    near(against["none", "good", 25, 25], 3, 1e-9)
    near(against["none", "good", 25, 100], 0.75, 1e-9)
    near(against["none", "p99", 25, 25], 0.1, 1e-9)
    near({r["system"]: r["ratio"] for r in c["cost"]}["none"], 0.9, 1e-9)
    same(shares.case([p for p in points if p["setting"]["local"] == 25], lambda p: p["result"], s, 1), {})


CONSOLE = 'x\r\nfarmicro: {"pages": 1000, "fill_seconds": 1, "read_seconds": 0.5, "write_seconds": 2, "random_seconds": 4, ' \
    '"p50": 1000, "p90": 2000, "p99": 9000, "max": 9999, "wrong": 0}\n'


@test("what farmicro prints is read, and anything less is not")
def _():
    r = pages.result_of(CONSOLE.replace("\r", ""))
    near(pages.numbers(r)["read"], 8192000, 1e-9)
    near(pages.numbers(r)["random"], 4e6, 1e-9)
    for bad in (CONSOLE.replace('"p90": 2000, ', ""), CONSOLE.replace("0.5", '"x"'), CONSOLE.replace("0.5", "0"), CONSOLE[:-20], ""):
        same(pages.result_of(bad), None)
    records = [{"record": "pages", "program": "m", "workload": "c", "system": name, "setting": {"local": 25}, "repeat": 1,
                "result": dict(r, p50=p50)} for name, p50 in (("none", 100), ("linux", 500))]
    costs = shares.page_costs(records, parse(GOOD), 1)
    same([c["system"] for c in costs], ["none", "linux"])
    near(costs[0]["ratios"]["p50"]["ratio"], 0.2, 1e-9)
    same(costs[1]["ratios"]["p50"], None)


@test("the published figures give the published retention")
def _():
    t = shares.others({"program": "p", "workload": "w", "published": "far-lrange"})
    same([(row[0], row[-2]) for row in t.rows], [("Fastswap", "0.45"), ("DiLOS, no guide", "0.48"), ("DiLOS, guide", "0.81")])
    same(shares.others({"program": "p", "workload": "w", "published": None}).rows, [])


run()
