"""Published ratios beside ours: published.json has what others measured, with where it stands; here it
is matched with what a sweep measured. Used by table.py."""

import functools
import json
import os


@functools.lru_cache(None)
def data():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "published.json")) as f:
        return json.load(f)


def beside(summary, case):
    """Rows: what, the published ratio, its source, ours at the same kind of load (or '-')."""
    label = {s["name"]: s["label"] for s in summary["systems"]}
    kinds = {s["kind"]: s["name"] for s in reversed(summary["systems"])}
    rows = []
    for entry in data()["ratios"]:
        if entry["workload"] != case["published"]:
            continue
        ours = []
        for r in case["ratios"]:
            if r["against"] == kinds.get(entry["against_kind"]) and r["what"].startswith("requests/s at saturation") and \
                    r["what"].endswith(", load") and f", {entry['load']}," in r["what"]:
                ours.append(f"{label[r['system']]}: {r['ratio']:.2f}")
        rows.append([f"{entry['system']} / {entry['against']}, {entry['what']}", f"{entry['ratio']:.2f}", entry["source"],
                     ", ".join(ours) or "-"])
    return rows
