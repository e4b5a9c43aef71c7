"""Plots by gnuplot, as SVG that follows the page's colours: what gnuplot draws black becomes the text's
colour, and nothing has a background. Used by report.py."""

import math
import os
import re
import subprocess

import derive
import levels
from clients import OURS
from common import BenchError

# Distinct for colour-blind eyes (Okabe and Ito), readable on light and on dark.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
GNUPLOT_LIMIT = 60
CDF_POINTS = 400


class Picture:
    """title, the file's name, what a person who cannot see it is told, and the SVG."""

    def __init__(self, title, name, alt, svg):
        self.title, self.name, self.alt, self.svg = title, name, alt, svg


def gnuplot(script, name):
    head = f'set terminal svg size 640,400 dynamic font "sans-serif,13" name "{name}" linewidth 1.5\n' \
           'set encoding utf8\nset border 3\nset tics nomirror\nset grid lc rgb "#888888" dt 3 lw 0.5\nset key top left\n' \
           'set format x "%g"\n'
    try:
        r = subprocess.run(["gnuplot"], input=head + script, capture_output=True, text=True, timeout=GNUPLOT_LIMIT)
    except FileNotFoundError:
        raise BenchError("gnuplot is not installed (package gnuplot-nox)") from None
    except subprocess.TimeoutExpired:
        raise BenchError(f"gnuplot: {name} is not done after {GNUPLOT_LIMIT} s") from None
    if r.returncode != 0 or "<svg" not in r.stdout:
        raise BenchError(f"gnuplot: {name}: {(r.stderr.strip().splitlines() or ['no picture'])[-1]}")
    return clean(r.stdout, name)


def clean(svg, name):
    """For a page: no XML head, the text's colour instead of black, ids that no other picture has."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r'\s(width|height)="[\d.%]+"(?=[^>]*viewBox)', "", svg, count=2)
    svg = re.sub(r'rgb\( *0, *0, *0\)|(?<=["\'])black(?=["\'])', "currentColor", svg)
    svg = re.sub(r'\b(id=["\']|href=["\']#|url\(["\']?#)', lambda m: m.group(1) + name + "-", svg)
    return svg


def block(name, rows):
    return f"${name} << EOD\n" + "".join(" ".join("NaN" if v is None else f"{v:.9g}" if isinstance(v, (int, float)) else v
                                                  for v in row) + "\n" for row in rows) + "EOD\n"


def settings(*words):
    return "".join(f"set {w}\n" for w in words)


def plot(plots):
    return "plot " + ", \\\n".join(plots) + "\n"


def axis(name, values):
    """The format of an axis up to the largest value: k, M and G, where no two labels become the same."""
    top = max(values)
    if top < 10000:
        return f'format {name} "%g"'
    lead = top / 1000 ** (math.floor(math.log10(top)) // 3)
    return f'format {name} "%.{1 if lead < 8 else 0}s%c"'


def short(v):
    """A number above a bar."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if v >= limit:
            return f"{v / limit:.3g}{letter}"
    return f"{v:.3g}"


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("_", "\\\\_") + '"'


class Drawing:
    def __init__(self, records, summary):
        self.records, self.summary = records, summary
        self.systems = summary["systems"]
        self.colour = {s["name"]: COLOURS[i % len(COLOURS)] for i, s in enumerate(self.systems)}
        self.label = {s["name"]: s["label"] for s in self.systems}

    def pictures(self):
        for number, case in enumerate(self.summary["cases"]):
            what = f"{case['program']}, {case['workload']}"
            name = f"c{number}"
            clients = list(dict.fromkeys(r["client"] for r in case["rates"]))
            for client in clients:
                rates = [r for r in case["rates"] if r["client"] == client and r.get("good")]
                if len({r["rate"] for r in rates}) > 1:
                    yield self.rate(f"{what}: response rate against offered rate ({client})", f"{name}-rate-{client}", rates)
                rates = [r for r in rates if r["p50"]]
                if len({r["rate"] for r in rates}) > 1:
                    yield self.latency(f"{what}: latency against offered rate ({client})", f"{name}-latency-{client}", rates)
            rate = self.common_rate(case)
            if rate:
                yield self.cdf(f"{what}: latencies at {rate:g} requests/s", f"{name}-cdf", case, rate)
            if len(set(case["windows"].values())) > 1:
                yield self.windows(f"{what}: good answers/s by requests under way", f"{name}-windows", case)
            elif case["closed"] and not case["windows"]:
                bars = [(c["closed"] + ", " + c["client"], c["system"], c["good"]["median"]) for c in case["closed"] if c.get("good")]
                if bars:
                    yield self.bars(f"{what}: good answers/s at saturation", f"{name}-closed", bars, "requests/s")
            for by in dict.fromkeys(s["by"] for s in case["sweeps"]):
                for closed in dict.fromkeys(s["closed"] for s in case["sweeps"] if s["by"] == by):
                    rows = [s for s in case["sweeps"] if (s["by"], s["closed"]) == (by, closed) and s.get("good")]
                    if len({r["value"] for r in rows}) > 1:
                        yield self.sweep(f"{what}: good answers/s by {by} ({closed})", f"{name}-{by}-{slug(closed)}", rows, by)
        for number, (load, cases) in enumerate(levels.mixes(self.summary)):
            yield self.bars(f"All mixes: good answers/s at {load}", f"mixes-{number}",
                            [(what, system, v) for what, by_system in cases for system, v in by_system.items()], "requests/s")
        boots = self.summary["boots"]
        if boots:
            yield self.bars("Boot to first answer", "boot", [(b["program"], b["system"], b["seconds"]["median"]) for b in boots], "s")
            loaded = [(b["program"], b["system"], b["memory_loaded"]["median"] / (1 << 20)) for b in boots if b["memory_loaded"]]
            if loaded:  # some boot came to its end
                yield self.bars("Memory in use after the load", "memory", loaded, "MiB")
        counts = self.summary["instructions"]
        if counts:
            title = "Guest instructions per request" + (", without idle polls" if any(i["busy"] for i in counts) else "")
            yield self.bars(title, "instructions", [(f"{i['program']}, {i['workload']} {i['closed']}", i["system"], i["busy"] or i["total"])
                                                    for i in counts if i["total"] > 0], "instructions")

    def by_system(self, rows):
        return [(s["name"], [r for r in rows if r["system"] == s["name"]]) for s in self.systems
                if any(r["system"] == s["name"] for r in rows)]

    def rate(self, title, name, rates):
        script, plots = "", []
        top = max(r["rate"] for r in rates)
        for i, (system, rows) in enumerate(self.by_system(rates)):
            script += block(f"d{i}", [(r["rate"], r["good"]["median"], r["good"]["low"], r["good"]["high"]) for r in rows])
            script += block(f"x{i}", [(r["rate"], r["good"]["median"]) for r in rows if r["invalid"]] or [(None, None)])
            c = self.colour[system]
            plots += [f'$d{i} using 1:2 with lines lc rgb "{c}" notitle',
                      f'$d{i} using 1:2:3:4 with yerrorbars lc rgb "{c}" pt {5 + 2 * (i % 5)} ps 0.5 title {quoted(self.label[system])}',
                      f'$x{i} using 1:2 with points lc rgb "{c}" pt 2 ps 1.4 notitle']
        script += settings('xlabel "offered rate, requests/s (x: has invalid points)"', 'ylabel "good answers/s"',
                           axis("x", [top]), axis("y", [top]), "yrange [0:*]", f"xrange [0:{top * 1.03:g}]")
        plots.insert(0, f'x<={top} ? x : NaN with lines lc rgb "#888888" dt 2 title "all answered"')
        script += plot(plots)
        return self.picture(title, name, script)

    def windows(self, title, name, case):
        """Rates over the window, both by factors: levels are far apart."""
        script, plots = "", []
        rows = [dict(c, window=case["windows"][c["closed"]]) for c in case["closed"] if c["closed"] in case["windows"] and c.get("good")]
        for i, (system, mine) in enumerate(self.by_system(rows)):
            script += block(f"d{i}", sorted((r["window"], r["good"]["median"], r["good"]["low"], r["good"]["high"]) for r in mine))
            c = self.colour[system]
            plots += [f'$d{i} using 1:2 with lines lc rgb "{c}" notitle',
                      f'$d{i} using 1:2:3:4 with yerrorbars lc rgb "{c}" pt {5 + 2 * (i % 5)} ps 0.5 title {quoted(self.label[system])}']
        if not plots:
            return None
        tics = ", ".join(str(w) for w in sorted(set(case["windows"].values())))
        script += settings('xlabel "requests under way"', 'ylabel "good answers/s"', "logscale xy", f"xtics ({tics})", 'format y "%.0s%c"',
                           "key outside bottom center maxrows 2", "offsets graph 0.03, graph 0.03, graph 0.05, graph 0.05") + plot(plots)
        return self.picture(title, name, script)

    def latency(self, title, name, rates):
        script, plots = "", []
        for i, (system, rows) in enumerate(self.by_system(rates)):
            script += block(f"d{i}", [(r["rate"], r["p50"]["median"] / 1e6, r["p99"]["median"] / 1e6 if r["p99"] else None) for r in rows])
            c = self.colour[system]
            p50, p99 = (quoted(f"{self.label[system]} {p}") for p in ("p50", "p99"))
            plots += [f'$d{i} using 1:2 with linespoints lc rgb "{c}" pt {5 + 2 * (i % 5)} ps 0.5 title {p50}',
                      f'$d{i} using 1:3 with linespoints lc rgb "{c}" dt 2 pt {4 + 2 * (i % 5)} ps 0.6 title {p99}']
        script += settings('xlabel "offered rate, requests/s"', 'ylabel "latency, ms"', "logscale y", "xrange [0:*]",
                           axis("x", [r["rate"] for r in rates]),
                           "key outside bottom center maxrows 3") + plot(plots)
        return self.picture(title, name, script)

    def common_rate(self, case):
        """The highest rate that every system answered well; else the lowest that all were asked for."""
        rates = [r for r in case["rates"] if r["client"] in OURS and r.get("good")]
        names = {r["system"] for r in rates}
        shared = [x for x in sorted({r["rate"] for r in rates}) if {r["system"] for r in rates if r["rate"] == x and r["valid"]} == names]
        held = [x for x in shared if all(r["loss"] and r["loss"]["median"] < 0.01 for r in rates if r["rate"] == x)]
        return (held[-1] if held else shared[0] if shared else None)

    def cdf(self, title, name, case, rate):
        script, plots = "", []
        for i, s in enumerate(self.systems):
            points = list(derive.cdf_points(self.records, case, rate, s["name"]).cumulative())
            if points:
                step = max(1, len(points) // CDF_POINTS)
                rows = points[::step] + points[-1:]
                script += block(f"d{i}", [(v / 1e6, f * 100) for v, f in rows])
                plots.append(f'$d{i} using 1:2 with steps lc rgb "{self.colour[s["name"]]}" title {quoted(s["label"])}')
        script += settings('xlabel "latency, ms"', 'ylabel "% of answers within"', "logscale x", 'format x "%g"',
                           "yrange [0:100]", "key bottom right") + plot(plots)
        return self.picture(title, name, script)

    def sweep(self, title, name, rows, by):
        script, plots = "", []
        for i, (system, mine) in enumerate(self.by_system(rows)):
            script += block(f"d{i}", [(r["value"], r["good"]["median"], r["good"]["low"], r["good"]["high"]) for r in mine])
            c = self.colour[system]
            plots += [f'$d{i} using 1:2 with lines lc rgb "{c}" notitle',
                      f'$d{i} using 1:2:3:4 with yerrorbars lc rgb "{c}" pt {5 + 2 * (i % 5)} ps 0.5 title {quoted(self.label[system])}']
        unit = {"memory": "MiB", "bandwidth": "Mbit/s", "cpu-time": "% of a core", "value-size": "bytes", "local": "% of the footprint"}[by]
        log = ["logscale x"] if max(r["value"] for r in rows) / min(r["value"] for r in rows) > 8 else []
        script += settings(*log, f'xlabel "{by}, {unit}"', 'ylabel "good answers/s"', "yrange [0:*]",
                           axis("y", [r["good"]["high"] for r in rows]), axis("x", [r["value"] for r in rows]))
        script += plot(plots)
        return self.picture(title, name, script)

    def bars(self, title, name, bars, unit):
        """A group of bars for each first word, a colour for each system."""
        groups = list(dict.fromkeys(b[0] for b in bars))
        systems = [s["name"] for s in self.systems if any(b[1] == s["name"] for b in bars)]
        value = {(g, s): v for g, s, v in bars}
        width = 0.8 / len(systems)
        script, plots = "", []
        for i, s in enumerate(systems):
            rows = [(k + (i - (len(systems) - 1) / 2) * width, value.get((g, s))) for k, g in enumerate(groups)]
            script += block(f"d{i}", [r + (short(r[1]),) for r in rows if r[1]] or [(None, None, "-")])
            plots.append(f'$d{i} using 1:2:({width * 0.9:g}) with boxes fs solid 0.85 noborder lc rgb "{self.colour[s]}" '
                         f'title {quoted(self.label[s])}')
            plots.append(f'$d{i} using 1:2:3 with labels offset 0,0.6 font ",10" notitle')
        some = [v for v in value.values() if v] or [1]
        highest, lowest = max(some), min(some)
        if highest / lowest > 20:  # the largest would hide the rest: by powers of ten
            script += "set logscale y\n"
            script += f"set yrange [{lowest / 3:g}:{highest * 3:g}]\n"
        else:
            script += f"set yrange [0:{highest * 1.25:g}]\n"
        tics = ", ".join(f"{quoted(g)} {k}" for k, g in enumerate(groups))
        rotate = " rotate by -30" if len(groups) > 4 or max(map(len, groups)) > 14 else ""
        script += settings(f'xtics ({tics}){rotate} font ",11"', f'ylabel "{unit}"', f"xrange [-0.6:{len(groups) - 0.4:g}]",
                           "key outside top center horizontal") + plot(plots)
        return self.picture(title, name, script)

    def picture(self, title, name, script):
        return Picture(title, name, title, gnuplot(script, re.sub(r"\W", "_", name)))


def slug(text):
    return re.sub(r"\W+", "-", text)


def draw(records, summary, directory):
    """Writes them all and returns them."""
    out = [p for p in Drawing(records, summary).pictures() if p]
    for name in os.listdir(directory):
        if name.endswith(".svg"):
            os.unlink(os.path.join(directory, name))
    for p in out:
        with open(os.path.join(directory, p.name + ".svg"), "w") as f:
            # Alone it has no page around it that sets a colour and a name space.
            f.write('<?xml version="1.0" encoding="utf-8"?>\n' + p.svg)
    return out
