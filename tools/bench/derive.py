"""From raw records to the summary: every number that a table, a plot or the page shows is made here,
from the records alone, and the same for the same records. Used by report.py."""

import knee
import plan
import shares
import stats
from clients import OURS
from stats import Histogram

PERCENTILES = (50, 90, 99, 99.9)


def percentile(result, p):
    """Of a point, in ns: from the histogram, or what the client said; None if unknown."""
    if result["latency"]:
        return Histogram(result["latency"]).quantile(p / 100)
    return (result.get("percentiles") or {}).get(f"{p:g}")


def numbers(record):
    """What a point contributes."""
    r = record["result"]
    by_time = r["good"] / r["seconds"] if r["seconds"] else None
    out = {"good": r.get("throughput", by_time),  # without what was answered after the recorded time
           "loss": 1 - r["good"] / r["sent"] if r["sent"] else None,
           "bandwidth": r["bytes_in"] / r["seconds"] if r.get("bytes_in") and r["seconds"] else None,
           "cpu": record["guest_cpu"] / record["elapsed"] if record["elapsed"] else None}
    if record.get("far"):  # since the fill and the warm-up; of late answers a few belong to no one
        out["stalls"] = record["far"]["stalls"] / r["good"] if r["good"] else None
    for p in PERCENTILES:
        out[f"p{p:g}"] = percentile(r, p)
    return out


def reason(why):
    """What is the same about it in several points."""
    return why.split(":")[0] if why.startswith("the generator") else why


def group(points, seed):
    """Points of several boots that are the same otherwise: statistics over the boots. Of attempts in one
    boot the valid one counts. Invalid boots count only where there is no valid one, and then the
    whole is marked."""
    boots = {}
    for p in points:
        if p["valid"] or not boots.get(p["repeat"], {}).get("valid"):
            boots[p["repeat"]] = p
    told = [p for p in boots.values() if p["result"]]
    good = [p for p in told if p["valid"]]
    used = good or told
    reasons = sorted({reason(why) for p in points if not p["valid"] for why in p["invalid"]})
    out = {"boots": len(boots), "invalid": sum(not p["valid"] for p in boots.values()), "valid": bool(good),
           "points": len(points), "invalid_points": sum(not p["valid"] for p in points), "reasons": reasons}
    values = [numbers(p) for p in used]
    for key in values[0] if values else ():
        out[key] = stats.summary([v[key] for v in values], seed)
    return out


def by(records, *keys):
    """In the order of their first appearance after sorting by the keys."""
    out = {}
    for r in records:
        out.setdefault(tuple(repr(r[k]) if isinstance(r[k], dict) else r[k] for k in keys), []).append(r)
    return out


class Deriver:
    def __init__(self, records):
        self.records = records
        self.spec, self.seed = records[0]["spec"], records[0]["seed"]
        self.systems = [s["name"] for s in self.spec["systems"]]

    def of(self, kind, **want):
        return [r for r in self.records if r["record"] == kind and all(r[k] == v for k, v in want.items())]

    def summary(self):
        spec = self.spec
        out = {"name": spec["name"], "title": spec["title"], "mode": spec["mode"], "seed": self.seed,
               "complete": bool(self.of("end")), "baseline": spec["baseline"], "compare": spec.get("compare", []),
               "left_out": spec.get("left_out", []),
               "systems": [{"name": s["name"], "label": s["label"], "kind": s["kind"]} for s in spec["systems"]],
               "environment": (self.of("environment") or [None])[-1], "environments": len(self.of("environment")),
               "images": [{k: v for k, v in i.items() if k != "record"} for i in self.images()],
               "selfcheck": [{k: r[k] for k in ("workload", "rate", "passed", "why")} for r in self.of("selfcheck")],
               "unproven": self.unproven(),
               "boots": self.boots(), "cases": [], "instructions": self.instructions(),
               "failures": [{k: r[k] for k in ("program", "system", "setting", "repeat", "what", "console")}
                            for r in self.of("failure")],
               "uncounted": [{k: r[k] for k in ("program", "system", "workload", "closed", "why")}
                             for r in self.of("instructions") if r["why"]],
               "unsettled": [{k: r[k] for k in ("program", "system", "repeat", "after")} for r in self.of("unsettled")],
               "skipped": [{k: r[k] for k in ("program", "system", "setting", "repeat", "why")} for r in self.of("skipped")],
               "agreement": [{k: r[k] for k in ("system", "program", "window", "result", "why")} for r in self.of("agreement")],
               "points": len(self.of("point")), "invalid_points": sum(not r["valid"] for r in self.of("point"))}
        for program in spec["programs"]:
            for workload in spec["workloads"]:
                if program["name"] in workload["programs"]:
                    out["cases"].append(self.case(program["name"], workload))
        if self.of("pages"):
            out["pages"] = shares.page_costs(self.records, spec, self.seed)
        return out

    def unproven(self):
        """Workloads whose top rate the generator did not reach twofold against the null server."""
        passed = {r["workload"] for r in self.of("selfcheck") if r["passed"] and r["rate"] >= 2 * self.top(r["workload"])}
        return [w["name"] for w in self.spec["workloads"] if self.top(w["name"]) and w["name"] not in passed]

    def top(self, name):
        workload = next(w for w in self.spec["workloads"] if w["name"] == name)
        return max(self.spec["rates"] if workload["rates"] is None else workload["rates"], default=0)

    def images(self):
        """Each once; a resumed sweep may have made some twice."""
        seen = {}
        for r in self.of("image"):
            seen[(r["system"], r["program"], repr(r.get("kernel")), repr(r.get("root")))] = r
        return seen.values()

    def boots(self):
        out = []
        for program in self.spec["programs"]:
            for system in self.systems:
                boots = self.of("boot", program=program["name"], system=system, setting={}, counting=False)
                loaded = self.of("done", program=program["name"], system=system, setting={}, counting=False)
                if boots:
                    out.append({"program": program["name"], "system": system,
                                "seconds": stats.summary([b["seconds"] for b in boots], self.seed),
                                "memory": stats.summary([b["memory"] for b in boots], self.seed),
                                "memory_loaded": stats.summary([b["memory"] for b in loaded], self.seed)})
        return out

    def instructions(self):
        """In the order of the specification, not of the boots."""
        out = []
        for case in [(p["name"], w["name"], c["name"]) for p in self.spec["programs"] for w in self.spec["workloads"]
                     for c in plan.counted(w)]:
            for system in self.systems:
                for r in self.of("instructions", program=case[0], workload=case[1], closed=case[2], system=system):
                    if c := r["result"]:
                        out.append({**{k: r[k] for k in ("program", "system", "workload", "closed")},
                                    "in_program": c["program"], "in_kernel": c["kernel"], "rep": c["rep"],
                                    "total": c["program"] + c["kernel"], "functions": c["functions"],
                                    "busy": c.get("busy"), "vcpus": c.get("vcpus", [])})
        return out

    # -- one program with one workload

    def case(self, program, workload):
        points = self.of("point", program=program, workload=workload["name"])
        order = lambda r: (r["client"] not in OURS, r["client"], r["rate"] or 0, r["closed"] or "", r["value_size"] or 0,
                           repr(r["setting"]), self.systems.index(r["system"]), r["repeat"], r["time"])
        points = sorted(points, key=order)
        base = [p for p in points if not p["setting"]]
        case = {"program": program, "workload": workload["name"], "proto": workload["proto"],
                "published": workload["published"], "rates": [], "closed": [], "knee": self.knees(base), "sweeps": [],
                "windows": {c["name"]: c["options"]["window"] for c in workload["closed"] if "window" in c["options"]},
                "around": self.around(base)}
        for (client, rate, system), rs in by([p for p in base if p["kind"] == plan.RATE], "client", "rate", "system").items():
            case["rates"].append({"client": client, "rate": rate, "system": system, **group(rs, self.seed)})
        for (client, closed, system), rs in by([p for p in base if p["kind"] == plan.CLOSED], "client", "closed", "system").items():
            case["closed"].append({"client": client, "closed": closed, "system": system, **group(rs, self.seed)})
        for (value, closed, system), rs in by([p for p in base if p["kind"] == plan.VALUE], "value_size", "closed", "system").items():
            case["sweeps"].append({"by": "value-size", "value": value, "closed": closed, "system": system, **group(rs, self.seed)})
        for (_, closed, system), rs in by([p for p in points if p["setting"]], "setting", "closed", "system").items():
            (name, value), = rs[0]["setting"].items()
            case["sweeps"].append({"by": name, "value": value, "closed": closed, "system": system, **group(rs, self.seed)})
        case["sweeps"].sort(key=lambda s: (s["by"], s["value"], s["closed"], self.systems.index(s["system"])))
        case["ratios"] = self.ratios(case, base)
        case["clients"] = self.client_agreement(base)
        case.update(shares.case(points, numbers, self.spec, self.seed))
        return case

    def trials(self, points):
        """What the search knew, by boot's repeat."""
        out = {}
        for p in sorted(points, key=lambda r: r["time"]):
            if p["client"] in OURS and p["kind"] in (plan.RATE, plan.KNEE):
                t = knee.trial_of(p)
                if t:
                    out.setdefault(p["repeat"], []).append(t)
        return out

    def knees(self, points):
        out = []
        for system in self.systems:
            for goal in knee.goals_of(self.spec):
                found = {r: knee.result(t, goal) for r, t in self.trials(
                    [p for p in points if p["system"] == system]).items()}
                if found:
                    out.append({"system": system, "goal": goal.name,
                                "rate": stats.summary([f["rate"] for f in found.values()], self.seed),
                                "none": sum(f["rate"] is None for f in found.values()),
                                "at_least": sum(f["at_least"] for f in found.values()),
                                "limited": sum(f["limited"] for f in found.values()),
                                "coarse": sum(knee.coarse(f, self.spec["knee"]) for f in found.values()),
                                "by_repeat": {str(r): f["rate"] for r, f in sorted(found.items())}})
        return out

    def around(self, points):
        """What is lost just below the knee, and what is left of the peak (the best goodput of all open loops in
        the same boot) far beyond it."""
        out = []
        for system in self.systems:
            mine = [p for p in points if p["system"] == system and p["result"] and p["client"] in OURS]
            below, beyond = (self.valid_by_repeat(p for p in mine if p["kind"] == k) for k in (plan.BELOW, plan.BEYOND))
            if not below and not beyond:
                continue
            peak = {}
            for p in mine:
                if p["rate"]:
                    peak[p["repeat"]] = max(peak.get(p["repeat"], 0), numbers(p)["good"])
            out.append({"system": system,
                        "loss_below": stats.summary([numbers(p)["loss"] for p in below.values()], self.seed),
                        "good_beyond": stats.summary([numbers(p)["good"] for p in beyond.values()], self.seed),
                        "of_peak": stats.summary([numbers(p)["good"] / peak[r] if peak[r] else None for r, p in beyond.items()], self.seed),
                        "invalid": sum(not p["valid"] for p in list(below.values()) + list(beyond.values()))})
        return out

    @staticmethod
    def valid_by_repeat(points):
        """One of each boot: of several attempts the valid one."""
        out = {}
        for p in points:
            if p["valid"] or not out.get(p["repeat"], {}).get("valid"):
                out[p["repeat"]] = p
        return out

    def ratios(self, case, points):
        """Every system against the baseline, or the pairs that the specification compares, by repeat."""
        baseline, out = self.spec["baseline"], []
        pairs = self.spec.get("compare") or [(s, baseline) for s in self.systems if s != baseline]

        def pair(what, values, better):
            for system, other in pairs:
                if values.get(system) and values.get(other):
                    r = stats.paired_ratio(values[system], values[other], self.seed)
                    if r:
                        out.append({"what": what, "system": system, "against": other, "better": better, **r})

        def values_of(chosen, key):
            v = {}
            for p in chosen:
                if p["result"] and p["valid"]:
                    v.setdefault(p["system"], {})[p["repeat"]] = numbers(p)[key]
            return v

        for (client, closed), rs in by([p for p in points if p["kind"] == plan.CLOSED], "client", "closed").items():
            pair(f"requests/s at saturation, {closed}, {client}", values_of(rs, "good"), "higher")
        for goal in sorted({k["goal"] for k in case["knee"]}):
            pair(f"knee, {goal}", {k["system"]: {int(r): v for r, v in k["by_repeat"].items()}
                                   for k in case["knee"] if k["goal"] == goal}, "higher")
        for (rate,), rs in by([p for p in points if p["kind"] == plan.RATE and p["client"] in OURS], "rate").items():
            for key in ("p50", "p99"):
                pair(f"{key} at {rate:g}/s", values_of(rs, key), "lower")
        return out

    def client_agreement(self, points):
        """Other clients' rates beside those of wherry load in the same boot, where both offered the same."""
        rates = {}
        for p in points:
            if p["kind"] in (plan.CLOSED, plan.RATE) and p["result"]:
                what = p["closed"] or f"{p['rate']:g}/s offered"
                boots = rates.setdefault((what, p["system"]), {}).setdefault(p["client"], {})
                if p["valid"] or p["repeat"] not in boots:
                    boots[p["repeat"]] = numbers(p)["good"]
        out = []
        for (what, system), by_client in rates.items():
            for client, boots in by_client.items():
                if client != "load" and "load" in by_client:
                    r = stats.paired_ratio(boots, by_client["load"], self.seed)
                    if r:
                        out.append({"client": client, "load": what, "system": system, **r})
        return out


def cdf_points(records, case, rate, system):
    """The merged latency histogram of all valid boots at a rate."""
    h = Histogram()
    for r in records:
        if r["record"] == "point" and r["kind"] == plan.RATE and r["client"] in OURS and r["rate"] == rate and \
                not r["setting"] and r["valid"] and r["result"] and r["result"]["latency"] and \
                (r["program"], r["workload"], r["system"]) == (case["program"], case["workload"], system):
            h.merge(r["result"]["latency"])
    return h
