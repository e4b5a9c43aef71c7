"""Tables that lay all systems of a sweep side by side, where the specification says which are to be
compared ("compare"): one row a level, and one table of all mixes. Used by table.py; plots.py takes the
same rows."""

from rows import Rows, duration, labels, mark, mebibytes, quantity, spread


def median_of(s, show):
    return show(s["median"]) if s else "-"


def share(s):
    """Of a summary, in percent: its median."""
    return "-" if not s else f"{100 * s['median']:.3g} %"


def first(rows, **want):
    return next((r for r in rows if all(r[k] == v for k, v in want.items())), None)


def side_by_side(summary, case):
    """A row a system: rates by window, latency, knee, overload, instructions, memory."""
    label, windows = labels(summary), list(case["windows"])
    counts = [i for i in summary["instructions"] if (i["program"], i["workload"]) == (case["program"], case["workload"])]
    counted = list(dict.fromkeys(i["closed"] for i in counts))
    goal = case["knee"][0]["goal"] if case["knee"] else None
    head = ["level"] + [f"answers/s, {w}" for w in windows] + [f"p50, p99 at {w}" for w in windows[:2]]
    head += [f"knee ({goal})", "loss at 95 % of it", "at twice the knee, of the peak"] if goal else []
    head += [f"instructions, {c}" for c in counted] + ["guest's memory", "of the host"]
    rows = []
    for s in summary["systems"]:
        closed = {w: first(case["closed"], system=s["name"], closed=w) for w in windows}
        if not any(closed.values()):
            continue
        row = [label[s["name"]]]
        row += [median_of(c.get("good"), quantity) + mark(c) if c else "-" for c in closed.values()]
        row += [f"{median_of(c.get('p50'), duration)}, {median_of(c.get('p99'), duration)}" if c else "-" for c in list(closed.values())[:2]]
        if goal:
            k, a = first(case["knee"], system=s["name"], goal=goal), first(case["around"], system=s["name"])
            row += [("at least " if k["at_least"] or k["limited"] else "") + median_of(k["rate"], quantity) if k else "-"]
            row += [share(a["loss_below"]), share(a["of_peak"]) + (f" [{a['invalid']} invalid]" if a["invalid"] else "")] if a else ["-", "-"]
        for c in counted:
            i = first(counts, system=s["name"], closed=c)
            row.append("-" if not i else f"{quantity(i['total'])} (busy {quantity(i['busy'])})" if i["busy"] else quantity(i["total"]))
        image = first(summary["images"], system=s["name"], program=case["program"])
        boot = first(summary["boots"], system=s["name"], program=case["program"])
        row += [mebibytes(image.get("guest_memory")) if image else "-", spread(boot["memory_loaded"], mebibytes) if boot else "-"]
        rows.append(row)
    return Rows(f"{case['program']}, {case['workload']}: all levels side by side", head, rows,
                "Medians of the boots. Windows (w) are requests under way in a closed loop. The peak is the best goodput of the same boot.")


def mixes(summary):
    """[(load, [(program and workload, {system: median})])] of loads that several workloads have."""
    out = {}
    for case in summary["cases"]:
        for c in case["closed"]:
            if c["closed"] in case["windows"] and c.get("good") and case["proto"] == "udpkv":
                out.setdefault(c["closed"], {}).setdefault(case["workload"], {})[c["system"]] = c["good"]["median"]
    return [(load, list(by_case.items())) for load, by_case in out.items() if len(by_case) > 2]


def mix_table(summary, load, cases):
    label = labels(summary)
    return Rows(f"All mixes: good answers/s at {load}", ["workload"] + [label[s["name"]] for s in summary["systems"]],
                [[what] + [quantity(by_system.get(s["name"])) for s in summary["systems"]] for what, by_system in cases])


def tables(summary):
    if not summary["compare"]:
        return []
    out = [side_by_side(summary, c) for c in summary["cases"] if c["windows"] and c["closed"] and len(c["windows"]) > 1]
    return out + [mix_table(summary, *m) for m in mixes(summary)]
