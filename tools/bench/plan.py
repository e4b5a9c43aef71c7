"""What a sweep does, in which order: boots, and points of each. Pure, and the same for the same
specification and seed, so that an interrupted sweep goes on where it was. Used by sweep.py."""

import random

import clients
import far
from spec import runs_on

COUNT_GUESS = 5.0  # seconds for one count of instructions
BOOT_GUESS = {"linux": 6.0, "dpdk": 10.0}  # seconds until the first answer, by the kind of system
OTHER_BOOT = 2.0
COUNTING = 2  # times as long: how much longer a boot takes that is counted
POINT_PAUSE = 0.3  # at least, after a point
KNEE_WARMUP_MAX = 0.5  # seconds, before a trial
STORES = ("redis", "memcached", "udpkv")  # their values have a size
CLOSED, RATE, KNEE, VALUE, COUNT, PAGES = "closed", "rate", "knee", "value-size", "instructions", "pages"
# Around the knee of the same boot: does it hold what it promises, and what happens far beyond?
BELOW, BEYOND = "below-knee", "beyond-knee"
AROUND = {BELOW: 0.95, BEYOND: 2.0}


class Point:
    """kind, client, workload; rate or None; closed: the entry of the workload's 'closed', or None."""

    def __init__(self, kind, client, workload, rate=None, closed=None, value=None):
        self.kind, self.client, self.workload = kind, client, workload
        self.rate, self.closed, self.value = rate, closed, value

    def key(self, attempt=1):
        parts = [self.workload["name"], self.kind, self.client or ""]
        parts += [f"{self.rate:g}" if self.rate else "", self.closed["name"] if self.closed else ""]
        parts += [f"{self.value:g}" if self.value is not None else ""]
        return "/".join(parts + ([f"attempt {attempt}"] if attempt > 1 else []))

    def options(self):
        o = dict(self.workload["options"])
        if self.closed:
            o.update(self.closed["options"])
        if self.value is not None:
            o.pop("value-dist", None)
            o["value-size"] = self.value
        return o

    def describe(self):
        what = f"{self.rate:.10g}/s" if self.rate else self.closed["name"] if self.closed else self.kind
        if self.value is not None:
            what += f", {self.value} bytes"
        return " ".join([self.workload["name"]] + ([self.client] if self.client else []) + [what])


class Job:
    """A boot: program, system and setting; the points it is for."""

    def __init__(self, repeat, program, system, setting, points, searches, counting=False):
        self.repeat, self.program, self.system, self.setting = repeat, program, system, setting
        self.points, self.searches, self.counting = points, searches, counting

    def key(self):
        setting = ",".join(f"{k}={v:g}" for k, v in sorted(self.setting.items()))
        kind = "counting" if self.counting else str(self.repeat)
        return f"{kind}/{self.program['name']}/{setting}/{self.system['name']}"


def generator(spec):
    """Of ours, the one that this network has."""
    return "pktgen" if spec.get("network") == "vhost-user" else "load"


def counted(workload):
    """The closed loops for which instructions are counted."""
    if workload.get("count") is not None:
        return [c for c in workload["closed"] if c["name"] in workload["count"]]
    return workload["closed"] or [{"name": "c1", "options": {"connections": 1}}]


def points_of(spec, workload):
    wanted = workload["clients"] or spec["clients"]
    out = []
    if far.swept(spec, workload):
        return out
    if workload["proto"] == PAGES:
        return [Point(PAGES, None, workload)]
    for closed in workload["closed"]:
        for client in wanted:
            if clients.can(client, workload, None):
                out.append(Point(CLOSED, client, workload, closed=closed))
    for client in wanted:
        for rate in (spec["rates"] if workload["rates"] is None else workload["rates"]):
            if clients.can(client, workload, rate):
                out.append(Point(RATE, client, workload, rate=rate))
    for sweep in spec["sweeps"]:
        if sweep["by"] == VALUE and concerns(sweep, workload) and workload["proto"] in STORES:
            out += [Point(VALUE, generator(spec), workload, closed=workload["closed"][0], value=v) for v in sweep["values"]]
    return out


def concerns(sweep, workload):
    return (workload["closed"] or workload["proto"] == PAGES) and workload["name"] in (sweep["workloads"] or [workload["name"]])


def settings_of(spec):
    """(setting, does it limit native programs too, the sweep) of every boot that a sweep asks for."""
    for sweep in spec["sweeps"]:
        if sweep["by"] != VALUE:
            for v in sweep["values"]:
                yield {sweep["by"]: v}, sweep["by"] not in ("memory", far.LOCAL), sweep


def jobs(spec, seed):
    """All boots. Within a repeat the systems of one program and setting follow each other, in random
    order, so that what the machine does meanwhile meets all of them alike."""
    shuffle, ours = random.Random(seed), generator(spec)
    out = []

    def block(repeat, program, setting, points, searches, counting=False, native=True):
        systems = [s for s in spec["systems"] if runs_on(program, s) and (native or s["kind"] != "native") and far.takes_part(s, setting)]
        shuffle.shuffle(systems)
        out.extend(Job(repeat, program, s, setting, points, searches, counting) for s in systems)

    for repeat in range(1, spec["repeats"] + 1):
        for program in spec["programs"]:
            workloads = [w for w in spec["workloads"] if program["name"] in w["programs"]]
            points = [p for w in workloads for p in points_of(spec, w)]
            searches = [w for w in workloads if spec["knee"]["trials"] and not far.swept(spec, w) and
                        (spec["rates"] if w["rates"] is None else w["rates"])]
            if points:
                block(repeat, program, {}, points, searches)
            for setting, native, sweep in settings_of(spec):
                closed = [Point(PAGES, None, w) if w["proto"] == PAGES else Point(CLOSED, ours, w, closed=w["closed"][0])
                          for w in workloads if concerns(sweep, w)]
                if closed:
                    block(repeat, program, setting, closed, [], native=native)
    if spec["instructions"]["requests"]:
        for program in spec["programs"]:
            counts = [Point(COUNT, ours, w, closed=c) for w in spec["workloads"]
                      if program["name"] in w["programs"] and w["proto"] != PAGES for c in counted(w)]
            if counts:
                block(0, program, {}, counts, [], counting=True, native=False)
    return out


def point_seconds(spec):
    return spec["seconds"] + spec["warmup"] + POINT_PAUSE + 0.3  # to start and end the client


def boot_guess(job):
    """Seconds until the first answer."""
    return BOOT_GUESS.get(job.system["kind"], OTHER_BOOT) * (COUNTING if job.counting else 1)


def trial_seconds(spec):
    return spec["knee"]["seconds"] + min(spec["warmup"], KNEE_WARMUP_MAX) + POINT_PAUSE + 0.3


def seconds_of(spec, job):
    """About how long a boot with its points takes."""
    if job.counting:
        return boot_guess(job) + len(job.points) * COUNT_GUESS
    trials = spec["knee"]["trials"] + (len(AROUND) if spec["knee"].get("around") else 0)
    return boot_guess(job) + len(job.points) * point_seconds(spec) + len(job.searches) * trials * trial_seconds(spec)
