"""How systems do when a part of a program's memory is local (sweeps by "local"): what is left of the throughput
with everything local, ratios to the baseline, demand stalls, and what others published; and what a page costs
that is not local (proto "pages"). Used by derive.py and table.py."""

import far
import pages
import published
import stats
from rows import Rows, duration, interval, labels, mark, quantity, spread

PAGE_KEYS = {"p50": "lower", "p99": "lower", "read": "higher", "write": "higher"}


def by_share(points, numbers):
    """{(system, share): {repeat: numbers}} of the valid points."""
    out = {}
    for p in points:
        if far.LOCAL in p["setting"] and p["result"] and p["valid"]:
            out.setdefault((p["system"], p["setting"][far.LOCAL]), {})[p["repeat"]] = numbers(p)
    return out


def of(values, key):
    return {repeat: v[key] for repeat, v in values.items()}


def case(points, numbers, spec, seed):
    """What a summary's case gets, or {}."""
    found = by_share(points, numbers)
    systems, baseline = [s["name"] for s in spec["systems"]], spec["baseline"]
    shares = sorted({share for _, share in found}, reverse=True)
    if len(shares) < 2:
        return {}
    out = {"shares": shares, "retention": [], "against": [], "cost": []}

    def add(where, system, a, b, key, **more):
        r = a in found and b in found and stats.paired_ratio(of(found[a], key), of(found[b], key), seed)
        if r:
            out[where].append({"system": system, **more, **r})

    for s in systems:
        for share in shares[1:]:
            add("retention", s, (s, share), (s, shares[0]), "good", share=share)
        for share in shares if s != baseline else []:
            add("against", s, (s, share), (baseline, share), "good", share=share, what="good", base_share=share)
            add("against", s, (s, share), (baseline, share), "p99", share=share, what="p99", base_share=share)
        for share in shares[:-1] if s != baseline else []:
            add("against", s, (s, shares[-1]), (baseline, share), "good", share=shares[-1], what="good", base_share=share)
    # What it costs to have far memory and not to need it: beside the same kind of system without.
    plain = {s["kind"]: s["name"] for s in reversed(spec["systems"]) if not s.get("far")}
    for s in spec["systems"]:
        if s.get("far") and s["kind"] in plain:
            add("cost", s["name"], (s["name"], shares[0]), (plain[s["kind"]], shares[0]), "good", against=plain[s["kind"]])
    return {"local": out}


def page_costs(records, spec, seed):
    """Of every program of proto "pages": its figures by system and share, and ratios to the baseline."""
    out = []
    for program, workload in [(p["name"], w["name"]) for p in spec["programs"] for w in spec["workloads"]
                              if w["proto"] == "pages" and p["name"] in w["programs"]]:
        found = {}
        for r in records:
            if r["record"] == "pages" and (r["program"], r["workload"]) == (program, workload):
                found.setdefault((r["setting"].get(far.LOCAL), r["system"]), {})[r["repeat"]] = pages.numbers(r["result"])
        shares = sorted({share for share, _ in found}, key=lambda v: -(v or far.ALL))
        for share in shares:
            for s in spec["systems"]:
                values = found.get((share, s["name"]))
                if not values:
                    continue
                theirs = found.get((share, spec["baseline"]), {}) if s["name"] != spec["baseline"] else {}
                out.append({"program": program, "workload": workload, "share": share, "system": s["name"],
                            **{k: stats.summary(list(of(values, k).values()), seed) for k in PAGE_KEYS},
                            "ratios": {k: stats.paired_ratio(of(values, k), of(theirs, k), seed) if theirs else None for k in PAGE_KEYS}})
    return out


# -- tables


def percent(v):
    return f"{v:g} %"


def throughput(summary, c):
    """Systems down, shares across."""
    label, shares = labels(summary), c["local"]["shares"]
    rows = {(s["system"], s["value"]): s for s in c["sweeps"] if s["by"] == far.LOCAL}
    kept = {(r["system"], r["share"]): r for r in c["local"]["retention"]}

    def line(s, share):
        g = rows.get((s["name"], share))
        return spread(g.get("good"), quantity) + mark(g) if g else "-"

    body = [[label[s["name"]]] + [line(s, share) for share in shares] +
            [interval(kept[(s["name"], shares[-1])]) if (s["name"], shares[-1]) in kept else "-"]
            for s in summary["systems"] if any((s["name"], share) in rows for share in shares)]
    return Rows(f"{c['program']}, {c['workload']}: good answers/s by local memory",
                ["system"] + [f"{percent(v)} local" for v in shares] + [f"retention ({percent(shares[-1])} / {percent(shares[0])})"], body,
                "Per cent of the program's footprint that may be in the guest; at 100 % there is no limit.")


def waiting(summary, c):
    """Latency, and how often a request waits for a page."""
    label = labels(summary)
    body = [[percent(s["value"]), label[s["system"]], spread(s.get("p50"), duration), spread(s.get("p99"), duration),
             spread(s.get("stalls"), quantity)] for share in c["local"]["shares"] for s in c["sweeps"]
            if s["by"] == far.LOCAL and s["value"] == share]
    return Rows(f"{c['program']}, {c['workload']}: latency and demand stalls by local memory", ["local", "system", "p50", "p99", "stalls/answer"],
                body, "Stalls: faults on pages that were away (Linux: major faults of the program).")


def against(summary, c):
    label = labels(summary)
    words = {"good": ("good answers/s", "higher"), "p99": ("p99", "lower")}
    body = [[words[r["what"]][0], f"{label[r['system']]} at {percent(r['share'])} / {label[summary['baseline']]} at {percent(r['base_share'])}",
             interval(r), words[r["what"]][1], str(r["n"])] for r in c["local"]["against"]]
    body += [["good answers/s", f"{label[r['system']]} / {label[r['against']]}, all local", interval(r), "higher", str(r["n"])]
             for r in c["local"]["cost"]]
    return Rows(f"{c['program']}, {c['workload']}: ratios by local memory", ["what", "systems", "ratio (95 %)", "better", "pairs"], body)


def others(c):
    """Published figures of the same kind of load."""
    body = []
    for e in published.data()["local"]:
        if e["workload"] == c["published"]:
            rates = {float(k): v for k, v in e["rates"].items()}
            shares = sorted(rates, reverse=True)
            body.append([e["system"]] + [quantity(rates[s]) for s in shares] + [f"{rates[shares[-1]] / rates[shares[0]]:.2f}", e["source"]])
            head = ["system"] + [f"{percent(s)} local" for s in shares] + ["retention", "source"]
    return Rows(f"{c['program']}, {c['workload']}: published, requests/s by local memory", head if body else [], body,
                "Other machines, 20 GB and RDMA cards: compare retention, not rates.")


def tables(summary, c):
    return [throughput(summary, c), waiting(summary, c), against(summary, c), others(c)] if c.get("local") else []


def page_table(summary):
    label, rows = labels(summary), []

    def ratio(p, key):
        r = p["ratios"][key]
        return f", x{interval(r)}" if r else ""

    for p in summary.get("pages", []):
        rows.append([p["program"], "-" if p["share"] is None else percent(p["share"]), label[p["system"]]] +
                    [spread(p[k], duration) + ratio(p, k) for k in ("p50", "p99")] +
                    [spread(p[k], lambda v: f"{v / 1e6:.3g} MB/s") + ratio(p, k) for k in ("read", "write")])
    return Rows("What a page costs", ["program", "local", "system", "random p50", "random p99", "read in order", "written in order"], rows,
                "Medians (and range) of boots; x: ratio to the baseline. Times of all pages, those too that happened to be here.")
