"""Text for tables: numbers as people read them, and a table itself. Used by table.py, levels.py and page.py."""


def quantity(v):
    if v is None:
        return "-"
    if v == round(v) and abs(v) < 1e15:
        return f"{v:,.0f}"
    if abs(v) >= 1000:
        return f"{v:,.0f}"
    return f"{v:.1f}" if abs(v) >= 10 else f"{v:.3g}"


def duration(ns):
    if ns is None:
        return "-"
    for limit, unit, scale in ((1e3, "ns", 1), (1e6, "us", 1e3), (1e9, "ms", 1e6)):
        if ns < limit:
            return f"{ns / scale:.3g} {unit}"
    return f"{ns / 1e9:.3g} s"


def mebibytes(v):
    return "-" if v is None else f"{v / (1 << 20):.0f} MiB"


def seconds(v):
    return "-" if v is None else f"{v:.2f} s"


def spread(s, show):
    """A median with the range of the boots."""
    if not s:
        return "-"
    text = show(s["median"])
    return text if s["n"] < 2 or s["low"] == s["high"] else f"{text} ({show(s['low'])} to {show(s['high'])})"


def interval(r):
    def show(v):
        return f"{v:.2f}" if v >= 0.1 else f"{v:.2g}"
    if r["n"] < 2:
        return show(r["ratio"])
    return f"{show(r['ratio'])} ({show(r['ci'][0])} to {show(r['ci'][1])})"


def mark(g):
    return "" if not g["invalid"] else f" [{g['invalid']}/{g['boots']} invalid]"


class Rows:
    """A table: title, head, rows of text, and a remark below."""

    def __init__(self, title, head, rows, note=None):
        self.title, self.head, self.rows, self.note = title, head, rows, note


def labels(summary):
    return {s["name"]: s["label"] for s in summary["systems"]}
