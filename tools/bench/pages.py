"""Workloads of proto "pages": the program is bench/farmicro.c, which measures by itself what a page costs that
is not here, prints that on the console and ends. Used by sweep.py."""

import json
import re
import time

from common import BenchError

LIMIT = 600  # seconds
MARK = "farmicro: "
KEYS = ("pages", "fill_seconds", "read_seconds", "write_seconds", "random_seconds", "p50", "p90", "p99", "max", "wrong")
PAGE = 4096


def result_of(console):
    """What the program printed, checked; None if it did not."""
    lines = re.findall(rf"^{MARK}(\{{.*\}})\s*$", console, re.M)
    if not lines:
        return None
    try:
        r = json.loads(lines[-1])
        return r if all(isinstance(r[k], (int, float)) for k in KEYS) and r["read_seconds"] > 0 and r["write_seconds"] > 0 else None
    except (ValueError, KeyError, TypeError):
        return None


def measure(boot):
    """Waits for the program's end."""
    end = time.monotonic() + LIMIT
    while boot.alive():
        if time.monotonic() > end:
            raise boot.fail(f"is not done after {LIMIT} s")
        time.sleep(0.05)
    r = result_of(boot.tail())
    if r is None:
        raise boot.fail(f"did not say what it measured, and ended with status {boot.guest_status() or 'unknown'}")
    if r["wrong"]:
        raise boot.fail(f"{r['wrong']} pages came back with something else in them")
    return r


def numbers(r):
    """By what the tables show it: times in ns, bytes a second."""
    if not r["pages"]:
        raise BenchError("no pages were measured")
    return {"p50": r["p50"], "p90": r["p90"], "p99": r["p99"], "read": r["pages"] * PAGE / r["read_seconds"],
            "write": r["pages"] * PAGE / r["write_seconds"], "random": r["random_seconds"] / r["pages"] * 1e9}
