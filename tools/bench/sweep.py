"""A sweep: boots every system of a plan, measures its points, and keeps a raw record of each thing that
happened, failures too. Ends only when all is done, when it is told to (Ctrl-C), or when records can
no longer be kept. Used by main.py."""

import os
import tempfile
import time

import agreement
import clients
import environ
import instructions
import knee
import net
import pages
import plan
import selfcheck
import systems
from common import BenchError, build_dir
from files import Files
from progress import Progress, duration
from store import StoreError

ATTEMPTS = 3  # of specifications without "attempts", such as older records have
FILL_SECONDS = 0.5  # at least, of requests behind the filling of a store
FAILURES_MAX = 2  # boots in a row of one system and setting that fail before the rest is left out


class Dead(Exception):
    """The system under test ended; the record of it is written."""


def was_late(record):
    """Was that all that is wrong with it?"""
    return record["invalid"] and all(why.startswith(clients.LATE) for why in record["invalid"])


class Sweep:
    def __init__(self, spec, store, seed, work):
        self.spec, self.store, self.seed, self.work = spec, store, seed, work
        store.alias(build_dir(), "@BUILD@")
        store.alias(work, "@WORK@")
        self.files = Files(spec, work)
        self.jobs = plan.jobs(spec, seed)
        self.images = {}
        self.known = {r["key"]: r for r in store.records if "key" in r}
        self.over = {r["job"] for r in store.records if r["record"] in ("done", "failure", "skipped")}
        self.boots = sum(r["record"] == "boot" for r in store.records)
        self.proven = {}  # by workload, the rate that the generator kept up with in its self-check
        self.query = None
        self.ours = plan.generator(spec)
        # At a point where the generator was late: the machine's doing, and it may do better.
        self.attempts = spec.get("attempts", ATTEMPTS)
        self.stored = None  # of udpkv: the size of its values and how many keys

    # -- the whole

    def run(self):
        left = [j for j in self.jobs if j.key() not in self.over]
        if not left:
            return
        net.prepare()
        self.store.add(environ.record(self.spec))
        agree = self.spec.get("agreement") and not any(r["record"] == "agreement" for r in self.store.records)
        self.progress = Progress(sum(plan.seconds_of(self.spec, j) for j in left) +
                                 (agreement.seconds_of(self.spec) if agree else 0))
        self.progress.say(f"{len(left)} boots, about {duration(self.progress.left)}; records go to {self.store.path}")
        self.proven = selfcheck.run(self)
        self.progress.restart()
        for job in left:
            self.progress.begin(plan.seconds_of(self.spec, job))
            if self.hopeless(job):
                self.store.add({"record": "skipped", "job": job.key(), "why": f"{FAILURES_MAX} boots in a row failed",
                                **self.where(job)})
            else:
                self.boot(job)
            self.progress.end()
        if agree:
            agreement.run(self)
        self.store.add({"record": "end", "time": time.time()})

    def hopeless(self, job):
        same = [r for r in self.store.records if r["record"] in ("done", "failure") and not r["counting"] and
                (r["program"], r["system"], r["setting"]) == (job.program["name"], job.system["name"], job.setting)]
        last = same[-FAILURES_MAX:]
        return not job.counting and len(last) == FAILURES_MAX and all(r["record"] == "failure" and r["booting"] for r in last)

    @staticmethod
    def where(job):
        return {"program": job.program["name"], "system": job.system["name"], "setting": job.setting,
                "repeat": job.repeat, "counting": job.counting}

    # -- one boot

    def image(self, system, program):
        key = (system["name"], program["name"])
        if key not in self.images:
            image = systems.Image(self.spec, self.files, system, program, self.work)
            self.store.add({"record": "image", "system": key[0], "program": key[1], **image.describe()})
            self.images[key] = image
        return self.images[key]

    def boot(self, job):
        title = f"[{self.jobs.index(job) + 1}/{len(self.jobs)}] {job.system['label']}, {job.program['name']}" + \
            "".join(f", {k} {v:g}" for k, v in job.setting.items())
        booting = True
        self.boots += 1
        try:
            image = self.image(job.system, job.program)
            if job.counting and not instructions.available(image, build_dir()):
                self.store.add({"record": "skipped", "job": job.key(), "why": "instructions are counted under TCG, by icount.so",
                                **self.where(job)})
                return
            self.progress.show(title, "boots")
            counts = os.path.join(self.work, "counts") if job.counting else None
            if counts and os.path.exists(counts):
                os.unlink(counts)
            workload = job.points[0].workload
            self.stored = None
            with systems.Boot(image, job.setting, counts, workload["proto"] == "udp") as boot:
                if workload["proto"] == plan.PAGES:
                    self.pages(job, boot, title)
                    return
                boot.wait_ready(workload, self.first_query(workload))
                booting = False
                self.progress.step(plan.boot_guess(job))
                self.store.add({"record": "boot", "boot": self.boots, "job": job.key(), "time": time.time(),
                                "seconds": boot.seconds, "memory": boot.memory(), **self.where(job)})
                if job.counting:
                    self.count(job, boot, counts, title)
                else:
                    self.points(job, boot, title)
                self.store.add({"record": "done", "job": job.key(), "boot": self.boots, "memory": boot.memory(),
                                **self.where(job)})
        except Dead:
            pass
        except systems.Failure as e:
            self.failure(job, title, str(e), e.tail, booting)
        except StoreError:
            raise
        except BenchError as e:
            self.failure(job, title, str(e), "", booting)

    def pages(self, job, boot, title):
        """The program is its own client; that it ends is its success."""
        point = job.points[0]
        self.progress.show(title, point.describe())
        self.store.add({"record": "pages", "key": f"{job.key()}/{point.key()}", "job": job.key(), "boot": self.boots,
                        **self.where(job), "workload": point.workload["name"], "time": time.time(),
                        "load_average": environ.load_average(), "result": pages.measure(boot)})
        self.store.add({"record": "done", "job": job.key(), "boot": self.boots, "memory": None, **self.where(job)})

    def failure(self, job, title, what, tail, booting):
        self.store.add({"record": "failure", "job": job.key(), "boot": self.boots, "what": what, "console": tail,
                        "booting": booting, "time": time.time(), **self.where(job)})
        last = tail.strip().splitlines()[-3:]
        self.progress.say(f"{title}: {what}" + "".join(f"\n    {line}" for line in last))

    def first_query(self, workload):
        name = workload["options"].get("queries")
        if name and not self.query:
            with open(self.files.path(name)) as f:
                self.query = f.readline().split()[0]
        return self.query

    # -- the points of a boot

    def points(self, job, boot, title):
        filled = set()
        for point in job.points:
            for attempt in range(1, self.attempts + 1):
                record = self.known.get(f"{job.key()}/{point.key(attempt)}") or \
                    self.point(job, boot, title, point, filled, attempt)
                if not was_late(record):
                    break
        for workload in job.searches:
            self.search(job, boot, title, workload, filled)

    def search(self, job, boot, title, workload, filled):
        """For the knee, from what the rates have told already."""
        spec = self.spec
        known = [r for r in self.store.records if r["record"] == "point" and r["job"] == job.key() and
                 r["client"] in clients.OURS and r["workload"] == workload["name"] and r["kind"] in (plan.RATE, plan.KNEE)]
        trials = [t for t in map(knee.trial_of, known) if t]
        searched = sum(r["kind"] == plan.KNEE for r in known)
        tries = {}
        rates = spec["rates"] if workload["rates"] is None else workload["rates"]
        highest, guess = spec["knee"].get("highest"), None
        if highest:  # what the generator cannot do, each trial tells: one bad moment is not to cut off them all
            guess = self.guess(job, workload)
        highest = max(rates[-1], highest or self.proven.get(workload["name"], 0))

        def measure(rate):
            point = plan.Point(plan.KNEE, self.ours, workload, rate=rate)
            tries[rate] = tries.get(rate, sum(r["kind"] == plan.KNEE and r["rate"] == rate for r in known)) + 1
            return knee.trial_of(self.point(job, boot, title, point, filled, tries[rate])) or \
                {"rate": rate, "loss": 1.0, "p99": None, "valid": True}

        knee.run(measure, trials, knee.goals_of(spec), spec["knee"]["precision"], max(1, rates[0] / 8), highest,
                 spec["knee"]["trials"] - searched, guess)
        if spec["knee"].get("around"):
            self.around(job, boot, title, workload, filled, knee.result(trials, knee.goals_of(spec)[0])["rate"])

    def guess(self, job, workload):
        """Where to begin the search: by the closed loop of this boot with the most under way."""
        closed = [r for r in self.store.records if r["record"] == "point" and r["job"] == job.key() and r["result"] and
                  r["client"] in clients.OURS and r["workload"] == workload["name"] and r["kind"] == plan.CLOSED]
        return knee.guess(closed, {c["name"]: c["options"].get("window", 0) for c in workload["closed"]})

    def around(self, job, boot, title, workload, filled, found):
        """Below the knee and beyond it, if it was found."""
        for kind, factor in plan.AROUND.items():
            point = plan.Point(kind, self.ours, workload, rate=found and round(factor * found))
            for attempt in range(1, self.attempts + 1 if found else 1):
                record = self.known.get(f"{job.key()}/{point.key(attempt)}") or \
                    self.point(job, boot, title, point, filled, attempt)
                if not was_late(record):
                    break

    def fills(self, workload, options, value, filled):
        """Has this point to fill its store? All workloads of udpkv have the same keys, and the last that was
        filled overwrites those of others; elsewhere each is filled once."""
        if workload["proto"] == "udpkv":
            return (options.get("keys"), options.get("value-size")) != self.stored
        return (workload["name"], value) not in filled

    def has_filled(self, workload, options, value, filled):
        self.stored = (options.get("keys"), options.get("value-size"))
        filled.add((workload["name"], value))

    def fill(self, boot, title, point, options, filling, warmup):
        """The store, and the warm-up, before the point itself: what is counted is the point's alone then. Returns
        the warm-up that is left."""
        self.progress.show(title, f"{point.describe()}: fills the store")
        task = clients.Task(point.workload, options, None, max(warmup, FILL_SECONDS), 0, net.GUEST, self.spec["cpus"]["generator"],
                            self.seed, self.files, True, boot=boot)
        try:
            clients.run(point.client, task)
        except clients.ClientError as e:
            if boot.alive():
                raise BenchError(f"the store cannot be filled: {e}") from None
            raise boot.fail("died while its store was filled") from None
        self.has_filled(*filling)
        return 0

    def point(self, job, boot, title, point, filled, attempt):
        """Measures it; returns its record. Raises Dead when the system ended under it."""
        spec, key = self.spec, f"{job.key()}/{point.key(attempt)}"
        searching = point.kind in (plan.KNEE, *plan.AROUND)
        seconds, warmup = (spec["knee"]["seconds"], min(spec["warmup"], plan.KNEE_WARMUP_MAX)) if searching else \
            (spec["seconds"], spec["warmup"])
        options = point.options()
        filling = (point.workload, options, point.value, filled)
        if boot.far_counters and self.fills(*filling):
            warmup = self.fill(boot, title, point, options, filling, warmup)
        task = clients.Task(point.workload, options, point.rate, seconds, warmup, net.GUEST, spec["cpus"]["generator"],
                            self.seed + len(self.store.records), self.files, self.fills(*filling), boot=boot)
        self.progress.show(title, point.describe())
        record = {"record": "point", "key": key, "job": job.key(), "attempt": attempt, "boot": self.boots, **self.where(job),
                  "workload": point.workload["name"], "kind": point.kind, "client": point.client, "rate": point.rate,
                  "closed": point.closed["name"] if point.closed else None, "value_size": point.value,
                  "time": time.time(), "load_average": environ.load_average()}
        net_before, cpu_before, start = boot.counters(), boot.cpu_seconds(), time.monotonic()
        far_before = boot.far_counters and boot.far_counters.read()
        try:
            argv, result = clients.run(point.client, task)
            record.update(command=argv, result=result, valid=result["valid"], invalid=list(result.get("invalid") or []))
            self.has_filled(*filling)
        except clients.ClientError as e:
            record.update(command=None, result=None, valid=False, invalid=[str(e)])
        record["elapsed"] = time.monotonic() - start
        record["guest_cpu"] = boot.cpu_seconds() - cpu_before
        record["memory"] = boot.memory()
        after = boot.counters()
        record["far"] = boot.far_counters.difference(far_before) if far_before else None
        record["net"] = {k: after[k] - net_before[k] for k in after} if after and net_before else None
        alive = boot.alive()
        if not alive:
            record["valid"] = False
            record["invalid"].append("the system ended during this point")
        self.store.add(record)
        self.known[key] = record
        if not alive:
            e = boot.fail(f"died during {point.describe()}")
            self.failure(job, title, str(e), e.tail, False)
            raise Dead
        if not boot.settle(plan.POINT_PAUSE):
            self.store.add({"record": "unsettled", "job": job.key(), "boot": self.boots, "after": key, **self.where(job)})
        self.progress.step(plan.trial_seconds(spec) if searching else plan.point_seconds(spec))
        return record

    def count(self, job, boot, counts, title):
        counter = instructions.Counter(counts)
        try:
            for point in job.points:
                self.progress.show(title, f"{point.describe()}: counts instructions")
                record = {"record": "instructions", "key": f"{job.key()}/{point.key()}", "job": job.key(),
                          "boot": self.boots, **self.where(job), "workload": point.workload["name"],
                          "closed": point.closed["name"], "result": None, "why": None}
                try:
                    filling = (point.workload, point.options(), None, set())
                    record["result"] = instructions.measure(boot, counter, self.ours, point.workload, point.options(),
                                                            self.spec["instructions"]["requests"], self.seed, self.files,
                                                            self.spec["cpus"]["generator"], self.fills(*filling))
                    self.has_filled(*filling)
                except clients.ClientError as e:
                    record["why"] = str(e)
                self.store.add(record)
                self.progress.step(plan.COUNT_GUESS)
                if not boot.alive():
                    raise boot.fail(f"died while instructions of {point.describe()} were counted")
        finally:
            counter.close()


def work_directory():
    return tempfile.TemporaryDirectory(prefix="wherry-bench.")

