"""The summary as text, and the rows that the page's tables show too. Used by report.py and page.py."""

from statistics import median

import far
import levels
import published
import shares
from rows import Rows, duration, interval, labels, mark, mebibytes, quantity, seconds, spread

FUNCTIONS_SHOWN = 12


def boots(summary):
    label = labels(summary)
    return Rows("Boot time and memory", ["program", "system", "boot to first answer", "memory, idle", "memory, after load"],
                [[b["program"], label[b["system"]], spread(b["seconds"], seconds), spread(b["memory"], mebibytes),
                  spread(b["memory_loaded"], mebibytes)] for b in summary["boots"]],
                "Medians of the boots (and their range). Memory is what the host gives: of the whole virtual machine, or of the program.")


def cases_rates(summary, case):
    """Response rate and p99 by offered rate, one column a system; a table a client."""
    label, out = labels(summary), []
    for client in dict.fromkeys(r["client"] for r in case["rates"]):
        rows, points = [], [r for r in case["rates"] if r["client"] == client]
        for rate in dict.fromkeys(r["rate"] for r in points):
            row = [quantity(rate)]
            for s in summary["systems"]:
                g = next((r for r in points if r["rate"] == rate and r["system"] == s["name"]), None)
                row.append("-" if not g or not g.get("good") else
                           f"{quantity(g['good']['median'])}" + (f", {duration(g['p99']['median'])}" if g["p99"] else "") + mark(g))
            rows.append(row)
        out.append(Rows(f"{case['program']}, {case['workload']}: good answers/s, p99 by offered rate ({client})",
                        ["offered/s"] + [label[s["name"]] for s in summary["systems"]], rows))
    return out


def cases_closed(summary, case):
    label = labels(summary)
    rows = [[c["closed"], c["client"], label[c["system"]], spread(c.get("good"), quantity) + mark(c),
             spread(c.get("p50"), duration), spread(c.get("p99"), duration)] for c in case["closed"]]
    return Rows(f"{case['program']}, {case['workload']}: at saturation (closed loop)",
                ["load", "client", "system", "good answers/s", "p50", "p99"], rows)


def cases_knee(summary, case):
    label, rows = labels(summary), []
    for k in case["knee"]:
        text = spread(k["rate"], quantity)
        if k["at_least"]:
            text += f"; at least, in {k['at_least']} boots"
        if k["limited"]:
            text += f"; limited by the generator in {k['limited']}"
        if k["coarse"]:
            text += f"; the search ended early in {k['coarse']}"
        if k["none"]:
            text += f"; no rate was good in {k['none']}"
        rows.append([k["goal"], label[k["system"]], text])
    return Rows(f"{case['program']}, {case['workload']}: knee (highest rate within the goal)", ["goal", "system", "requests/s"], rows)


def cases_sweeps(summary, case):
    label, out = labels(summary), []
    units = {"memory": "MiB", "bandwidth": "Mbit/s", "cpu-time": "% of a core", "value-size": "bytes", "local": "% of the footprint"}
    for name in dict.fromkeys(s["by"] for s in case["sweeps"]):
        if name == far.LOCAL and case.get("local"):
            continue  # shares.py has them
        rows = [[quantity(s["value"]), s["closed"], label[s["system"]], spread(s.get("good"), quantity) + mark(s),
                 spread(s.get("p99"), duration), spread(s.get("bandwidth"), lambda v: f"{v / 1e6:.3g} MB/s")]
                for s in case["sweeps"] if s["by"] == name]
        out.append(Rows(f"{case['program']}, {case['workload']}: by {name}",
                        [f"{name} ({units[name]})", "load", "system", "good answers/s", "p99", "answers"], rows))
    return out


def cases_ratios(summary, case):
    label = labels(summary)
    rows = [[r["what"], f"{label[r['system']]} / {label[r['against']]}", interval(r), r["better"], str(r["n"])]
            for r in case["ratios"]]
    return Rows(f"{case['program']}, {case['workload']}: ratios between systems", ["what", "systems", "ratio (95 %)", "better", "pairs"],
                rows, "Geometric means over pairs of boots of one repeat, with bootstrap intervals over the pairs.")


def cases_published(summary, case):
    """Others' ratios beside ours."""
    return Rows(f"{case['program']}, {case['workload']}: published ratios", ["what", "published", "source", "ours here"],
                published.beside(summary, case))


def cases_clients(summary, case):
    label = labels(summary)
    return Rows(f"{case['program']}, {case['workload']}: other clients", ["client", "load", "system", "good answers/s / wherry load's (95 %)", "boots"],
                [[c["client"], c["load"], label[c["system"]], interval(c), str(c["n"])] for c in case["clients"]],
                "In the same boot, one after the other; geometric means.")


def instructions(summary):
    label = labels(summary)
    note = "Counted by a QEMU plugin under TCG; REP iterations are not in the sum."
    head = ["program", "workload", "load", "system", "all", "in the program", "in the kernel", "rep iterations"]
    rows = [[i["program"], i["workload"], i["closed"], label[i["system"]]] +
            [quantity(i[k]) for k in ("total", "in_program", "in_kernel", "rep")] for i in summary["instructions"]]
    if any(i["busy"] for i in summary["instructions"]):
        head += ["without idle polls", "each virtual CPU"]
        note += " Of a system that polls, all is what it executes meanwhile; without idle polls: less those that found nothing."
        for row, i in zip(rows, summary["instructions"]):
            row += [quantity(i["busy"]), ", ".join(quantity(v) for v in i["vcpus"])] if i["busy"] else ["", ""]
    return Rows("Guest instructions per request", head, rows, note)


def functions(summary):
    """Where a kernel's instructions go: a table a case."""
    label, out = labels(summary), []
    for i in summary["instructions"]:
        if i["functions"]:
            out.append(Rows(f"{label[i['system']]}'s kernel, {i['program']}, {i['workload']}, {i['closed']}: instructions per request by function",
                            ["instructions", "function"], [[f"{n:.1f}", name] for name, n in i["functions"][:FUNCTIONS_SHOWN]]))
    return out


def failures(summary):
    label = labels(summary)
    return Rows("Failures", ["program", "system", "repeat", "what"],
                [[f["program"], label[f["system"]], str(f["repeat"]), f["what"]] for f in summary["failures"]] +
                [[f["program"], label[f["system"]], str(f["repeat"]), f"left out: {f['why']}"] for f in summary["skipped"]] +
                [[f["program"], label[f["system"]], "counting", f"{f['workload']}, {f['closed']}: {f['why']}"]
                 for f in summary["uncounted"]])


def invalid(summary):
    """Which points must not be trusted, and why."""
    label, rows = labels(summary), []
    for case in summary["cases"]:
        for g in case["rates"] + case["closed"] + case["sweeps"]:
            if g["invalid_points"]:
                what = f"{g['rate']:g}/s" if g.get("rate") else g["closed"]
                rows.append([case["program"], case["workload"], label[g["system"]], g.get("client", "load"), what,
                             f"{g['invalid_points']} of {g['points']}", "; ".join(g["reasons"])])
    return Rows("Invalid points", ["program", "workload", "system", "client", "point", "invalid", "why"], rows,
                "Shown, never dropped. Where the generator was late the point was measured again; medians are of valid boots where there are any.")


def unsettled(summary):
    label = labels(summary)
    return Rows("Not idle before the next point", ["program", "system", "repeat", "after"],
                [[u["program"], label[u["system"]], str(u["repeat"]), u["after"].split("/", 4)[-1]] for u in summary["unsettled"]],
                "What an overload left behind was not worked off after some seconds: what followed may have suffered.")


def selfcheck(summary):
    return Rows("Self-check of the generator against a null server", ["workload", "rate/s", "passed", "why not"],
                [[s["workload"], quantity(s["rate"]), "yes" if s["passed"] else "no", "; ".join(s["why"])] for s in summary["selfcheck"]])


def left_out(summary):
    return Rows("Left out", ["what, and why"], [[line] for line in summary["left_out"]])


def agreement(summary):
    label, rows = labels(summary), []
    for a in summary["agreement"]:
        r = a["result"]
        cells = [f"{a['program']}, window {a['window']}", label[a["system"]]]
        if r:
            cells += [quantity(median(x[k] for x in r["same"])) for k in ("pktgen", "testpmd")]
            cells += [f"{r['ratio']:.4f}", quantity(median(x["rate"] for x in r["testpmd"]))]
        else:
            cells += ["-", "-", a["why"], "-"]
        rows.append(cells)
    return Rows("A second opinion: frames/s by wherry pktgen and by DPDK's testpmd",
                ["load", "system", "pktgen", "testpmd", "ratio (furthest from 1)", "testpmd alone"], rows,
                "pktgen's traffic passes through testpmd, and both count it; alone testpmd is the peer and looks at no answer. Medians of rounds.")


def all_tables(summary):
    out = [left_out(summary)] + levels.tables(summary) + [boots(summary)]
    for case in summary["cases"]:
        out += shares.tables(summary, case) + cases_rates(summary, case)
        out += [cases_knee(summary, case), cases_closed(summary, case)] + cases_sweeps(summary, case)
        out += [cases_ratios(summary, case), cases_published(summary, case), cases_clients(summary, case)]
    out += [shares.page_table(summary), instructions(summary)] + functions(summary) + [agreement(summary), failures(summary), invalid(summary), unsettled(summary), selfcheck(summary)]
    return [t for t in out if t.rows]


def heading(summary):
    e = summary["environment"] or {}
    kinds = sorted({i["accelerator"] for i in summary["images"] if i.get("accelerator")})
    return [f"{summary['title']} ({summary['mode']} version{'' if summary['complete'] else ', INCOMPLETE'})",
            f"{e.get('cpu') or 'unknown CPU'}, {e.get('cpus')} CPUs, {', '.join(kinds) or 'no guest'}; {e.get('qemu') or 'no QEMU'}; "
            f"wherry {e.get('wherry') or 'of unknown version'}; {e.get('time')}; seed {summary['seed']}",
            f"{summary['points']} points, {summary['invalid_points']} of them invalid; load average "
            + ", ".join(f"{x:.2f}" for x in e.get("load_average", []))] + \
        ([f"SELF-CHECK NOT PASSED at twice the top rate: {', '.join(summary['unproven'])}"] if summary["unproven"] else [])


def text(summary):
    lines = heading(summary)
    for t in all_tables(summary):
        widths = [max(len(r[i]) for r in [t.head] + t.rows) for i in range(len(t.head))]
        lines += ["", t.title]
        for row in [t.head] + t.rows:
            lines.append("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip())
        if t.note:
            lines.append(f"  {t.note}")
    return "\n".join(lines) + "\n"
