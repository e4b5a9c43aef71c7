"""Specifications of `wherry bench` (docs/bench.md has the format): reads one, checks every key,
type and range, and says on which line a mistake is. The result is plain dicts with all defaults
filled in. Used by main.py; report.py reads the checked form back from the raw records."""

import difflib
import os

import far
import jsonsrc
from common import BenchError

REQUIRED = object()
PROTOS = ("http", "dns", "redis", "memcached", "udp", "udpkv", "pages")
KINDS = ("wherry", "linux", "dpdk", "native", "kernel")
NETWORKS = ("tap", "vhost-user")
VHOST_PROTOS = ("udp", "udpkv")  # what wherry pktgen speaks
VHOST_MACHINES = ("q35", "pc")  # docs/pktgen.md
CLIENTS = ("load", "httperf", "dnsperf", "wrk", "redis-benchmark")
CLIENT_PROTO = {"httperf": "http", "wrk": "http", "dnsperf": "dns", "redis-benchmark": "redis"}
PORTS = {"http": 80, "dns": 53, "redis": 6379, "memcached": 11211, "udp": 7777, "udpkv": 7777, "pages": 1}
SWEEPS = ("memory", "bandwidth", "cpu-time", "value-size", far.LOCAL)
RATE_STEPS_MAX = 200

# Options of wherry load that a workload may give. What the sweep itself sets is not among them.
LOAD_OPTIONS = {
    "arrivals": str, "connections": int, "pipeline": int, "threads": int, "sources": str, "timeout": int,
    "keepalive": bool, "path": str, "expect-size": int, "expect-sha256": str, "expect-file": str,
    "queries": str, "transport": str, "workload": str, "keys": int, "key-dist": str, "value-size": int,
    "value-dist": str, "list-length": int, "load": "flag", "ascii": "flag", "binary": "flag", "size": int,
    "format": str, "window": int,
}
# Of them, those that wherry pktgen has as well.
PKTGEN_OPTIONS = ("arrivals", "sources", "timeout", "workload", "keys", "key-dist", "value-size", "load", "size", "window")
WINDOW_MAX = 65536


class SpecError(BenchError):
    pass


class Checker:
    """Names the file in errors."""

    def __init__(self, path):
        self.path = path

    def fail(self, line, what):
        raise SpecError(f"{self.path}:{line}: {what}")

    def fields(self, obj, table, what, line):
        """An object with the keys of the table: name -> (check, default)."""
        if not isinstance(obj, dict):
            self.fail(line, f"{what} must be an object {{...}}")
        for key in obj:
            if key not in table:
                near = difflib.get_close_matches(key, table, 1)
                self.fail(obj.lines[key], f"unknown key {key!r} in {what}" +
                          (f"; did you mean {near[0]!r}?" if near else ""))
        out = {}
        for key, (check, default) in table.items():
            if key in obj:
                out[key] = check(self, obj[key], f"{key!r}", obj.lines[key])
            elif default is REQUIRED:
                self.fail(obj.line, f"{what} lacks {key!r}")
            else:
                out[key] = default() if callable(default) else default
        return out


def text(c, v, what, line):
    if not isinstance(v, str) or not v:
        c.fail(line, f"{what} must be a string that is not empty")
    return v


def word(c, v, what, line):
    """A string, an empty one too."""
    return v if v == "" else text(c, v, what, line)


def name(c, v, what, line):
    text(c, v, what, line)
    if not all(ch.isalnum() or ch in "-_.+" for ch in v) or v.startswith("."):
        c.fail(line, f"{what}: {v!r} may hold letters, digits and -_.+ only")
    return v


def one_of(*words):
    def check(c, v, what, line):
        if v not in words:
            c.fail(line, f"{what} must be one of {', '.join(words)}, not {v!r}")
        return v
    return check


def number(low, high, whole=False):
    def check(c, v, what, line):
        if isinstance(v, bool) or not isinstance(v, int if whole else (int, float)):
            c.fail(line, f"{what} must be a {'whole ' if whole else ''}number")
        if not low <= v <= high:
            c.fail(line, f"{what} must be between {low} and {high}, not {v}")
        return v
    return check


def whole(low, high):
    return number(low, high, True)


def list_of(item, least=0):
    def check(c, v, what, line):
        if not isinstance(v, list):
            c.fail(line, f"{what} must be a list [...]")
        if len(v) < least:
            c.fail(line, f"{what} must not be empty")
        return [item(c, x, f"item {i + 1} of {what}", v.lines[i]) for i, x in enumerate(v)]
    return check


def unique_names(items):
    check_items = list_of(items, 1)

    def check(c, v, what, line):
        out = check_items(c, v, what, line)
        seen = set()
        for i, x in enumerate(out):
            if x["name"] in seen:
                c.fail(v.lines[i], f"two of {what} are called {x['name']!r}")
            seen.add(x["name"])
        return out
    return check


def obj(table):
    return lambda c, v, what, line: c.fields(v, table, what, line)


def system(c, v, what, line):
    s = c.fields(v, {"kind": (one_of(*KINDS), REQUIRED), "name": (name, None), "label": (text, None),
                     "kernel": (text, None), "initrd": (text, None), "append": (text, ""),
                     "options": (list_of(text), list), "memory": (whole(1, 1 << 20), None),
                     "vcpus": (whole(1, 64), None), "huge": (whole(2, 1 << 20), None), "far": (obj(SYSTEM_FAR), None)}, what, line)
    if s["kind"] == "kernel" and not s["kernel"]:
        c.fail(line, f"{what}: kind 'kernel' lacks 'kernel', the path of an image")
    if s["kind"] != "kernel" and s["initrd"]:
        c.fail(v.lines["initrd"], f"'initrd' is for kind 'kernel'; {s['kind']} gets the program's root file system")
    if s["kind"] in ("native", "linux", "dpdk") and s["kernel"]:
        c.fail(v.lines["kernel"], f"'kernel' is for kinds 'kernel' and 'wherry', not {s['kind']!r}")
    for key, kinds in (("vcpus", ("linux", "dpdk")), ("huge", ("dpdk",))):
        if s[key] and s["kind"] not in kinds:
            c.fail(v.lines[key], f"{key!r} is for kind {' and '.join(map(repr, kinds))}, not {s['kind']!r}")
    for key, kind, instead in (("memory", "dpdk", "give 'huge', its huge pages"), ("memory", "native", "it is not limited"),
                               ("append", "dpdk", "it has none")):
        if s[key] and s["kind"] == kind:
            c.fail(v.lines[key], f"{key!r} is not for kind {kind!r}: {instead}")
    s["name"] = s["name"] or s["kind"]
    s["label"] = s["label"] or {"wherry": "Wherry", "linux": "Linux guest", "dpdk": "Linux guest, DPDK", "native": "native Linux"}.get(
        s["name"], s["name"])
    return s


def file_source(c, v, what, line):
    """Lines; or a file beside the specification; or something that files.py makes."""
    if isinstance(v, list):
        return {"lines": list_of(word)(c, v, what, line)}
    s = c.fields(v, {"from": (text, None), "generate": (one_of("text", "zone", "unbound-data", "queries"), None),
                     "size": (whole(0, 1 << 30), 1024), "names": (whole(1, 250000), 1000)}, what, line)
    if bool(s["from"]) == bool(s["generate"]):
        c.fail(line, f"{what} needs either 'from' or 'generate'")
    return s


def file_table(c, v, what, line):
    if not isinstance(v, dict):
        c.fail(line, f"{what} must be an object {{...}}")
    for key in v:
        if key.startswith("/") or ".." in key.split("/") or not key:
            c.fail(v.lines[key], f"{key!r}: a file's name is relative to its directory")
    return {key: file_source(c, v[key], f"file {key!r}", v.lines[key]) for key in v}


def load_options(c, v, what, line):
    if not isinstance(v, dict):
        c.fail(line, f"{what} must be an object {{...}}")
    for key, value in v.items():
        kind = LOAD_OPTIONS.get(key)
        if kind is None:
            near = difflib.get_close_matches(key, LOAD_OPTIONS, 1)
            c.fail(v.lines[key], f"unknown key {key!r} in {what}" + (f"; did you mean {near[0]!r}?" if near else ""))
        wanted = bool if kind == "flag" else kind
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            c.fail(v.lines[key], f"{key!r} must be {'true or false' if wanted is bool else 'a whole number' if wanted is int else 'a string'}")
        if wanted is int and value < 0:
            c.fail(v.lines[key], f"{key!r} must not be negative")
    if "window" in v:
        if not 1 <= v["window"] <= WINDOW_MAX:
            c.fail(v.lines["window"], f"'window' must be between 1 and {WINDOW_MAX}, not {v['window']}")
        for key in ("connections", "pipeline"):
            if key in v:
                c.fail(v.lines[key], f"'window' says how many requests are under way: leave {key!r} out")
    return dict(v)


def workload_options(c, v, what, line):
    o = load_options(c, v, what, line)
    if "window" in o:
        c.fail(v.lines["window"], "'window' is for a closed loop: it belongs into 'closed'")
    return o


def closed(c, v, what, line):
    named = v.pop("name", None) if isinstance(v, dict) else None
    o = load_options(c, v, what, line)
    name = f"w{o['window']}" if "window" in o else \
        f"c{o.get('connections', 1)}" + (f" P{o['pipeline']}" if "pipeline" in o else "")
    return {"name": named or name, "options": o}


def rates(c, v, what, line):
    """A list, or from, to and steps, evenly or (log) by equal factors."""
    if isinstance(v, dict):
        r = c.fields(v, {"from": (number(1, 1e8), REQUIRED), "to": (number(1, 1e8), REQUIRED),
                         "steps": (whole(2, RATE_STEPS_MAX), REQUIRED), "log": (boolean, False)}, what, line)
        if r["to"] <= r["from"]:
            c.fail(v.lines["to"], f"'to' ({r['to']}) must be above 'from' ({r['from']})")
        n = r["steps"] - 1
        if r["log"]:
            return [round(r["from"] * (r["to"] / r["from"]) ** (i / n)) for i in range(n + 1)]
        return [round(r["from"] + (r["to"] - r["from"]) * i / n) for i in range(n + 1)]
    out = list_of(number(1, 1e8))(c, v, what, line)
    if out != sorted(set(out)):
        c.fail(line, f"{what} must ascend")
    return out


def boolean(c, v, what, line):
    if not isinstance(v, bool):
        c.fail(line, f"{what} must be true or false")
    return v


def cpu_list(c, v, what, line):
    text(c, v, what, line)
    for part in v.split(","):
        a, dash, b = part.partition("-")
        if not a.isdigit() or (dash and (not b.isdigit() or int(b) < int(a))):
            c.fail(line, f"{what}: {v!r} is no list of CPUs such as 0 or 0,2-3")
    return v


def nullable(check):
    return lambda c, v, what, line: None if v is None else check(c, v, what, line)


def sweep(c, v, what, line):
    s = c.fields(v, {"by": (one_of(*SWEEPS), REQUIRED),
                     "values": (list_of(number(0.001, 1e9), 1), REQUIRED),
                     "workloads": (list_of(name, 1), None)}, what, line)
    for i, x in enumerate(s["values"]):
        if s["by"] in ("memory", "value-size") and not isinstance(x, int):
            c.fail(v["values"].lines[i], f"a {s['by']} is a whole number, not {x}")
        if s["by"] == "cpu-time" and not 1 <= x <= 100:
            c.fail(v["values"].lines[i], f"a cpu-time is a percentage of one core, 1 to 100, not {x}")
        if s["by"] == far.LOCAL and not 1 <= x <= far.ALL:
            c.fail(v["values"].lines[i], f"a local share is a percentage of the footprint, 1 to {far.ALL}, not {x}")
    return s


def pair(c, v, what, line):
    out = list_of(name)(c, v, what, line)
    if len(out) != 2 or out[0] == out[1]:
        c.fail(line, f"{what} must be two systems, as [\"wherry\", \"linux\"]")
    return out


def variants(c, v, what, line):
    """What a program is on some of the systems: "on": {SYSTEM: {...}}."""
    if not isinstance(v, dict):
        c.fail(line, f"{what} must be an object {{...}}")
    return {key: c.fields(v[key], VARIANT, f"{what}, {key!r}", v.lines[key]) for key in v}


FAR = {"size": (whole(16, 1 << 20), REQUIRED), "mtu": (whole(1500, 65521), 9000)}  # 9000: a page is one frame
SYSTEM_FAR = {"prefetch": (text, None), "words": (text, None), "set": (list_of(text), list)}
VARIANT = {"program": (text, None), "args": (list_of(word), None), "volumes": (list_of(text), None),
           "memory": (whole(1, 1 << 20), None)}
PROGRAM = {"name": (name, REQUIRED), "program": (text, REQUIRED), "args": (list_of(word), list),
           "volumes": (list_of(text), list), "memory": (whole(1, 1 << 20), None), "package": (text, None),
           "systems": (list_of(name, 1), None), "on": (variants, dict), "footprint": (whole(1, 1 << 20), None)}
WORKLOAD = {"name": (name, REQUIRED), "proto": (one_of(*PROTOS), REQUIRED), "port": (whole(1, 65535), None),
            "options": (workload_options, dict), "closed": (list_of(closed), list),
            "programs": (list_of(name, 1), None), "rates": (rates, None), "published": (name, None),
            "clients": (list_of(one_of(*CLIENTS), 1), None), "count": (list_of(text), None)}
GOALS = {"loss": (number(0, 0.5), 0.01), "p99": (nullable(number(0.001, 1e6)), None)}
KNEE = {"trials": (whole(0, 40), 8), "seconds": (number(0.2, 600), 2), "precision": (number(0.005, 0.5), 0.05),
        "around": (boolean, False), "highest": (nullable(number(1, 1e8)), None)}
CPUS = {"generator": (nullable(cpu_list), None), "guest": (nullable(cpu_list), None), "devices": (nullable(cpu_list), None)}
INSTRUCTIONS = {"requests": (whole(0, 10000000), 2000)}
AGREEMENT = {"program": (name, REQUIRED), "system": (name, REQUIRED), "window": (whole(1, WINDOW_MAX), 32),
             "rounds": (whole(1, 100), 3), "seconds": (number(0.5, 600), 3)}

# What a short version may set differently, with what both have.
MAY_BE_SHORT = {
    "memory": (whole(1, 1 << 20), 256),
    "rates": (rates, list),
    "seconds": (number(0.2, 3600), 10),
    "warmup": (number(0, 600), 1),
    "repeats": (whole(1, 100), 5),
    "attempts": (whole(1, 10), 3),
    "clients": (list_of(one_of(*CLIENTS), 1), lambda: ["load"]),
    "knee": (obj(KNEE), lambda: {k: d for k, (_, d) in KNEE.items()}),
    "sweeps": (list_of(sweep), list),
    "instructions": (obj(INSTRUCTIONS), lambda: {"requests": 2000}),
    "only": (list_of(name, 1), None),
}
TOP = {
    **MAY_BE_SHORT,
    "name": (name, REQUIRED),
    "title": (text, None),
    "network": (one_of(*NETWORKS), "tap"),
    "compare": (list_of(pair), list),
    "agreement": (nullable(obj(AGREEMENT)), None),
    "far": (nullable(obj(FAR)), None),
    "machine": (one_of("microvm", "microvm-noacpi", "q35", "pc"), "q35"),
    "accel": (one_of("auto", "kvm", "tcg"), "auto"),
    "boot_limit": (number(0.5, 3600), 60),
    "systems": (unique_names(system), REQUIRED),
    "baseline": (name, None),
    "programs": (unique_names(obj(PROGRAM)), REQUIRED),
    "files": (file_table, dict),
    "workloads": (unique_names(obj(WORKLOAD)), REQUIRED),
    "cpus": (obj(CPUS), lambda: {"generator": None, "guest": None, "devices": None}),
    "goals": (obj(GOALS), lambda: {"loss": 0.01, "p99": None}),
    "short": (None, None),
}


def parse(source, path, full):
    """The checked specification, with the short version's settings unless full."""
    c = Checker(path)
    try:
        tree = jsonsrc.read(source)
    except jsonsrc.SourceError as e:
        c.fail(e.line, e)
    if not isinstance(tree, dict):
        c.fail(1, "a specification is an object {...}")
    short = tree.pop("short", None)
    s = c.fields(tree, {k: v for k, v in TOP.items() if k != "short"}, "the specification", tree.line)
    if short is not None:
        over = c.fields(short, MAY_BE_SHORT, "'short'", tree.lines["short"])
        if not full:
            s.update({k: over[k] for k in short})
    s["mode"] = "full" if full or short is None else "short"
    finish(c, s, tree)
    return s


def finish(c, s, tree):
    """What concerns more than one key."""
    names = [x["name"] for x in s["systems"]]
    if s["network"] == "vhost-user":
        over_vhost_user(c, s, tree)
    systems_of_programs(c, s, tree, names)
    if s["baseline"] is None:
        s["baseline"] = next((x["name"] for x in s["systems"] if x["kind"] == "linux"), names[-1])
    elif s["baseline"] not in names:
        c.fail(tree.lines["baseline"], f"'baseline' names no system: there are {', '.join(names)}")
    programs = [x["name"] for x in s["programs"]]
    for i, w in enumerate(s["workloads"]):
        node = tree["workloads"][i]
        for p in w["programs"] or []:
            if p not in programs:
                c.fail(node.lines["programs"], f"there is no program {p!r}: there are {', '.join(programs)}")
        w["programs"] = w["programs"] or programs
        w["port"] = w["port"] or PORTS[w["proto"]]
        for x in w["count"] or []:
            if x not in [o["name"] for o in w["closed"]]:
                c.fail(node.lines["count"], f"'count' of workload {w['name']!r}: there is no {x!r} in its 'closed'")
        if any("window" in o["options"] for o in w["closed"]) and w["proto"] not in VHOST_PROTOS:
            c.fail(node.lines["closed"], f"'window' is for {' and '.join(VHOST_PROTOS)}; {w['proto']} has 'connections' and 'pipeline'")
        for client in w["clients"] or []:
            if CLIENT_PROTO.get(client, w["proto"]) != w["proto"]:
                c.fail(node.lines["clients"], f"{client} does not speak {w['proto']}")
        for key in ("queries", "expect-file"):
            if key in w["options"] and w["options"][key] not in s["files"]:
                c.fail(node["options"].lines[key], f"{key!r}: there is no file {w['options'][key]!r} in 'files'")
        if w["proto"] == "pages":
            if w["rates"] or w["closed"] or w["options"]:
                c.fail(node.line, f"workload {w['name']!r}: proto pages has neither 'rates' nor 'closed' nor 'options'")
            w["rates"] = []
        elif not (w["rates"] or s["rates"] or w["closed"] or s["sweeps"]):
            c.fail(node.line, f"workload {w['name']!r} has nothing to do: neither 'rates' nor 'closed'")
    far.check(c, s, tree)
    if s["cpus"]["devices"] and not s["cpus"]["guest"]:
        c.fail(tree.lines["cpus"], "'cpus': 'devices' needs 'guest', which tells where the virtual CPUs are")
    workloads = [w["name"] for w in s["workloads"]]
    for sweep in s["sweeps"]:
        for w in sweep["workloads"] or []:
            if w not in workloads:
                c.fail(tree.line, f"'sweeps' by {sweep['by']}: there is no workload {w!r}: there are {', '.join(workloads)}")
        if not any(w["closed"] or w["proto"] == "pages" for w in s["workloads"] if w["name"] in (sweep["workloads"] or workloads)):
            c.fail(tree.line, f"'sweeps' by {sweep['by']}: none of its workloads has 'closed', and sweeps are measured at saturation")
    if s["only"]:
        for p in s["only"]:
            if p not in programs:
                c.fail(tree.line, f"'only': there is no program {p!r}: there are {', '.join(programs)}")
        s["programs"] = [p for p in s["programs"] if p["name"] in s["only"]]
        for w in s["workloads"]:
            w["programs"] = [p for p in w["programs"] if p in s["only"]]
        s["workloads"] = [w for w in s["workloads"] if w["programs"]]
    s["title"] = s["title"] or s["name"]


def runs_on(program, system):
    """Does this program take part there?"""
    return not program.get("systems") or system["name"] in program["systems"]


def variant(program, system):
    """The program as it is on that system."""
    return {**program, **{k: v for k, v in program.get("on", {}).get(system["name"], {}).items() if v is not None}}


def systems_of_programs(c, s, tree, names):
    """That whatever names a system names one that there is."""
    for i, p in enumerate(s["programs"]):
        node = tree["programs"][i]
        for key in ("systems", "on"):
            for x in p[key] or []:
                if x not in names:
                    c.fail(node.lines[key], f"{key!r} of program {p['name']!r}: there is no system {x!r}: there are {', '.join(names)}")
        for x in p["on"]:
            if p["systems"] and x not in p["systems"]:
                c.fail(node.lines["on"], f"'on' of program {p['name']!r}: it does not run on {x!r} ('systems')")
    for i, two in enumerate(s["compare"]):
        for x in two:
            if x not in names:
                c.fail(tree["compare"].lines[i], f"'compare': there is no system {x!r}: there are {', '.join(names)}")
    a = s["agreement"]
    if a:
        line = tree.lines["agreement"]
        if s["network"] != "vhost-user":
            c.fail(line, "'agreement' is between two programs that use vhost-user: give \"network\": \"vhost-user\"")
        program = next((p for p in s["programs"] if p["name"] == a["program"]), None)
        if not program or a["system"] not in names or not runs_on(program, {"name": a["system"]}):
            c.fail(line, f"'agreement': there is no program {a['program']!r} on a system {a['system']!r}")
        if any(w["proto"] != "udp" for w in s["workloads"] if a["program"] in (w["programs"] or [a["program"]])):
            c.fail(line, f"'agreement': {a['program']!r} must send back what it gets (its workloads have proto udp)")


def over_vhost_user(c, s, tree):
    """What that network cannot do."""
    why = "\"network\": \"vhost-user\""
    if s["machine"] not in VHOST_MACHINES:
        c.fail(tree.lines["machine"], f"{why} needs 'machine' {' or '.join(VHOST_MACHINES)}, not {s['machine']}")
    if "clients" in tree or any("clients" in w for w in tree["workloads"]):
        c.fail(tree.lines.get("clients", tree.lines["workloads"]), f"{why}: wherry pktgen is the client; leave 'clients' out")
    s["clients"] = ["pktgen"]
    for i, x in enumerate(s["systems"]):
        if x["kind"] == "native":
            c.fail(tree["systems"].lines[i], f"{why}: a native program has no network card")
    for x in s["sweeps"]:
        if x["by"] == "bandwidth":
            c.fail(tree.lines.get("sweeps", tree.line), f"{why}: bandwidth can be limited of a tap only")
    speaks = {}
    for i, w in enumerate(s["workloads"]):
        node = tree["workloads"][i]
        if w["proto"] not in VHOST_PROTOS:
            c.fail(node.lines["proto"], f"{why}: wherry pktgen speaks {' and '.join(VHOST_PROTOS)}, not {w['proto']}")
        for key in list(w["options"]) + [k for o in w["closed"] for k in o["options"]]:
            if key not in PKTGEN_OPTIONS:
                c.fail(node.line, f"{why}: wherry pktgen has no option {key!r} (workload {w['name']!r})")
        for p in w["programs"] or [p["name"] for p in s["programs"]]:
            if speaks.setdefault(p, w["proto"]) != w["proto"]:
                c.fail(node.lines["proto"], f"{why}: all workloads of program {p!r} must have one proto")


def load(path, full):
    try:
        with open(path, encoding="utf-8") as f:
            source = f.read()
    except (OSError, UnicodeDecodeError) as e:
        raise BenchError(f"{path}: {getattr(e, 'strerror', None) or 'not UTF-8 text'}") from None
    s = parse(source, path, full)
    s["path"] = os.path.abspath(path)
    for system in s["systems"]:
        for key in ("kernel", "initrd"):
            if system[key]:
                system[key] = os.path.join(os.path.dirname(s["path"]), system[key])
    return s
