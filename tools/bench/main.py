"""`wherry bench` and `wherry report`, which the tool starts as: main.py bench|report ARGS."""

import argparse
import os
import secrets
import signal
import sys
import time

import fallback
import net
import report
import spec as specification
from common import BenchError, say
from store import Store, read

EXIT_TOOL, EXIT_INTERRUPTED = 125, 130


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise BenchError(f"{self.prog}: {message} (--help lists the options)")


def bench_arguments(argv):
    p = Parser(prog="wherry bench", description="Measures systems under one load, as a specification says "
               "(docs/bench.md; bench/*.json are ready ones), and writes a report.")
    p.add_argument("spec", nargs="?", metavar="SPEC", help="the specification, JSON")
    p.add_argument("--full", action="store_true", help="all of it, not the short version (which takes minutes)")
    p.add_argument("--out", metavar="DIR", help="where records and report go (default bench-results/NAME-TIME)")
    p.add_argument("--seed", type=int, help="of all that is random; the default is random and recorded")
    p.add_argument("--resume", metavar="DIR", help="go on with an interrupted sweep")
    p.add_argument("--network", choices=("tap", "vhost-user"), help="tap: measure over a tap what is meant for vhost-user")
    p.add_argument("--plan", action="store_true", help="print the boots and about how long they take, and start nothing")
    o = p.parse_args(argv)
    if bool(o.spec) == bool(o.resume):
        p.error("name a specification, or --resume DIR")
    if o.resume and (o.full or o.out or o.network or o.seed is not None):
        p.error("--resume goes on as the sweep began: neither --full, --out, --network nor --seed")
    return o


def report_arguments(argv):
    p = Parser(prog="wherry report", description="Derives every number, table and plot of a sweep from its raw records "
               "alone. Fails if the summary or table stored beside them says something else.")
    p.add_argument("dir", metavar="DIR", help="what wherry bench wrote")
    p.add_argument("--rewrite", action="store_true", help="replace a stored summary that differs")
    p.add_argument("--check", action="store_true", help="compare only; write nothing")
    return p.parse_args(argv)


def interrupted(*_):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what follows is the clean end
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def print_plan(spec, seed):
    import agreement
    import plan
    from progress import duration

    jobs = plan.jobs(spec, seed)
    for j in jobs:
        print(f"{j.key()}: {len(j.points)} points")
    seconds = sum(plan.seconds_of(spec, j) for j in jobs) + (agreement.seconds_of(spec) if spec.get("agreement") else 0)
    print(f"{len(jobs)} boots, about {duration(seconds)}")


def bench(argv):
    o = bench_arguments(argv)
    if o.resume:
        first = read(o.resume)[:1]
        if not first or first[0]["record"] != "sweep":
            raise BenchError(f"{o.resume}: its records do not begin with a sweep's")
        spec, seed, directory = first[0]["spec"], first[0]["seed"], o.resume
    else:
        spec = fallback.resolve(specification.load(o.spec, o.full), o.network)
        seed = secrets.randbits(31) if o.seed is None else o.seed
        directory = o.out or os.path.join("bench-results", f"{spec['name']}-{time.strftime('%Y%m%d-%H%M%S')}")
    if o.plan:
        return print_plan(spec, seed)
    fallback.check_programs(spec)
    net.enter([sys.executable, "-B", os.path.abspath(__file__), "bench"] + argv)

    import sweep

    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as e:
        raise BenchError(f"{directory}: {e.strerror}") from None
    for line in spec.get("left_out", []):
        say(f"left out: {line}")
    store = Store(directory, bool(o.resume))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    try:
        if not o.resume:
            store.add({"record": "sweep", "wherry_bench": 1, "time": time.time(), "seed": seed, "spec": spec})
        with sweep.work_directory() as work:
            sweep.Sweep(spec, store, seed, work).run()
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        say(f"interrupted; wherry bench --resume {directory} goes on")
        return EXIT_INTERRUPTED
    finally:
        store.close()
    return report.write(directory, rewrite=True)


def main(argv):
    try:
        if argv[:1] == ["bench"]:
            return bench(argv[1:])
        if argv[:1] == ["report"]:
            o = report_arguments(argv[1:])
            return report.write(o.dir, rewrite=o.rewrite, check=o.check)
        raise BenchError("start this as wherry bench or wherry report")
    except BenchError as e:
        say(e)
        return EXIT_TOOL
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
