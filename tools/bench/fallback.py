"""What a specification asks for and this host lacks: a sweep over vhost-user becomes one over a tap,
without the systems that need DPDK, and says so. And programs that cannot run where they are sent. Used
by main.py, before a sweep's first record."""

import os

import spec as specification
from common import BenchError, build_dir
from systems import find_program, kernel_image


def lacks():
    """Why there is no vhost-user here, or None."""
    pktgen = os.path.join(build_dir(), "bin", "wherry-pktgen")
    if not os.path.exists(pktgen):
        return "there is no wherry-pktgen, which needs DPDK (scripts/deps dpdk, then make)"
    return None


def to_tap(spec, why):
    """The specification as it can be measured over a tap; "left_out" says what is missing."""
    gone = [s["name"] for s in spec["systems"] if s["kind"] == "dpdk"]
    out = {**spec, "network": "tap", "clients": ["load"], "agreement": None,
           "knee": {**spec["knee"], "highest": None},  # that is the polling generator's
           "systems": [s for s in spec["systems"] if s["name"] not in gone],
           "compare": [two for two in spec["compare"] if not set(two) & set(gone)]}
    if not out["systems"]:
        raise BenchError(f"{spec['path']}: all of its systems need vhost-user, and {why}")
    if out["baseline"] in gone:
        out["baseline"] = out["systems"][-1]["name"]
    out["programs"] = [{**p, "systems": [x for x in p["systems"] if x not in gone] if p["systems"] else None,
                        "on": {k: v for k, v in p["on"].items() if k not in gone}} for p in spec["programs"]]
    out["left_out"] = [f"the polling generator over vhost-user: {why}; a tap and wherry load in its place"] + \
        [f"{s['label']}: {why}" for s in spec["systems"] if s["name"] in gone] + \
        (["the comparison with testpmd: it is over vhost-user"] if spec["agreement"] else [])
    return out


def resolve(spec, network=None):
    """network: what the command line asks for in place of the specification's."""
    if spec["network"] == "vhost-user":
        why = "--network tap was asked for" if network == "tap" else lacks()
        if why:
            return to_tap(spec, why)
    elif network == "vhost-user":
        raise BenchError(f"{spec['path']}: --network vhost-user: the specification is for a tap")
    return {**spec, "left_out": []}


def check_programs(spec):
    """A program that cannot run on a system at all is a mistake of the specification's."""
    for program in spec["programs"]:
        for system in spec["systems"]:
            if not specification.runs_on(program, system):
                continue
            name = specification.variant(program, system)["program"].replace("@BUILD@", build_dir())
            path = find_program(name)
            if path and system["kind"] in ("linux", "dpdk", "native") and kernel_image(path):
                raise BenchError(f"{spec['path']}: program {program['name']!r} on {system['name']!r}: {os.path.basename(path)} is an image "
                                 f"of its own, which boots on systems of kind 'wherry' only (\"systems\", \"on\")")
