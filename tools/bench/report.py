"""`wherry report DIR`: derives everything from the raw records and compares it with what is stored, then
writes summary.json, points.csv, table.txt, plots/*.svg and index.html. Used by main.py."""

import csv
import io
import json
import math
import os

import derive
import page
import plots
import store
import table
from common import BenchError, say

EXIT_DIFFERS = 1
TOLERANCE = 1e-9  # of floating point on another machine
SUMMARY, POINTS, TABLE = "summary.json", "points.csv", "table.txt"
COLUMNS = ("program", "workload", "system", "repeat", "boot", "attempt", "kind", "client", "rate", "closed", "value_size", "setting")


def points_csv(records):
    """Every point, one a line; latencies in ns."""
    out = io.StringIO()
    w = csv.writer(out, lineterminator="\n")
    told = ("sent", "answered", "good", "seconds")
    percentiles = [f"p{p:g}" for p in derive.PERCENTILES]
    w.writerow(COLUMNS + told + ("rate_good",) + tuple(percentiles) + ("cpu", "memory", "valid", "invalid"))
    for r in records:
        if r["record"] != "point":
            continue
        row = [r[c] for c in COLUMNS[:-1]] + [" ".join(f"{k}={v:g}" for k, v in r["setting"].items())]
        n = derive.numbers(r) if r["result"] else {}
        row += [(r["result"] or {}).get(c) for c in told] + [n.get("good")] + [n.get(p) for p in percentiles]
        w.writerow(row + [n.get("cpu"), r["memory"], "yes" if r["valid"] else "no", "; ".join(r["invalid"])])
    return out.getvalue()


def differences(stored, derived, where="summary"):
    """Where two JSON values differ, as lines."""
    if isinstance(stored, dict) and isinstance(derived, dict):
        for key in sorted(set(stored) | set(derived)):
            if key not in stored or key not in derived:
                yield f"{where}.{key} is {'not stored' if key not in stored else 'not in the records'}"
            else:
                yield from differences(stored[key], derived[key], f"{where}.{key}")
    elif isinstance(stored, list) and isinstance(derived, list):
        if len(stored) != len(derived):
            yield f"{where} has {len(stored)} entries, derived are {len(derived)}"
        for i, (a, b) in enumerate(zip(stored, derived)):
            yield from differences(a, b, f"{where}[{i}]")
    elif all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (stored, derived)):
        if not math.isclose(stored, derived, rel_tol=TOLERANCE):
            yield f"{where} is stored as {stored}, derived is {derived}"
    elif stored != derived or isinstance(stored, bool) != isinstance(derived, bool):
        yield f"{where} is stored as {stored!r}, derived is {derived!r}"


def read_stored(directory, name):
    try:
        with open(os.path.join(directory, name), newline="") as f:
            return f.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as e:
        raise BenchError(f"{directory}/{name}: {e}") from None


def compare(directory, summary, points, text):
    """What is stored and differs, as lines."""
    stored = read_stored(directory, SUMMARY)
    if stored is not None:
        try:
            yield from differences(json.loads(stored), json.loads(json.dumps(summary)))
        except ValueError:
            yield f"{SUMMARY} is not JSON"
    for name, derived in ((POINTS, points), (TABLE, text)):
        stored = read_stored(directory, name)
        if stored is not None and stored != derived:
            at = next((i for i, (a, b) in enumerate(zip(stored.splitlines(), derived.splitlines()), 1) if a != b), None)
            yield f"{name} differs" + (f" in line {at}" if at else " in length")


def put(directory, name, text):
    path = os.path.join(directory, name)
    try:
        with open(path + ".new", "w", newline="") as f:
            f.write(text)
        os.rename(path + ".new", path)
    except OSError as e:
        raise BenchError(f"{path}: {e.strerror}") from None


def write(directory, rewrite=False, check=False):
    """Returns the exit status."""
    records = store.read(directory)
    if not records or records[0]["record"] != "sweep":
        raise BenchError(f"{directory}: its records do not begin with a sweep's")
    summary = derive.Deriver(records).summary()
    points, text = points_csv(records), table.text(summary)
    differ = list(compare(directory, summary, points, text))
    if differ and not rewrite:
        for line in differ[:20]:
            say(f"{directory}: {line}")
        if len(differ) > 20:
            say(f"{directory}: and {len(differ) - 20} more differences")
        say(f"{directory}: what is stored is not what the raw records say")
        return EXIT_DIFFERS
    print(text, end="")
    if check:
        return 0
    os.makedirs(os.path.join(directory, "plots"), exist_ok=True)
    pictures = plots.draw(records, summary, os.path.join(directory, "plots"))
    put(directory, SUMMARY, json.dumps(summary, indent=1) + "\n")
    put(directory, POINTS, points)
    put(directory, TABLE, text)
    put(directory, "index.html", page.html(summary, pictures))
    print(f"\n{os.path.join(directory, 'index.html')}")
    return 0
