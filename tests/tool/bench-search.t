#!/usr/bin/python3
"""Proves what wherry bench searches for and foretells, on systems that are but a few lines: the knee, with and
without a first guess, the generator's own limit, the time left."""
# limit: 60

import sys

sys.dont_write_bytecode = True
from bench_unit import near, run, same, test  # noqa: E402

import knee  # noqa: E402
import progress  # noqa: E402
import selfcheck  # noqa: E402


def trial(rate, capacity, p99=None, valid=True):
    answered = min(rate, capacity)
    return {"rate": rate, "loss": 1 - answered / rate, "p99": p99 or (1e6 if rate < 0.7 * capacity else 9e7), "valid": valid}


GOALS = {"goals": {"loss": 0.01, "p99": 20}}


def bounds(trials):
    b = knee.Bounds(trials, knee.goals_of(GOALS)[0])
    return b.lower, b.upper, b.limited, b.open


@test("knee: found on a synthetic system, for both goals, within the precision")
def _():
    goals = knee.goals_of(GOALS)
    for capacity in (37, 1000, 12345, 99999):
        trials = knee.run(lambda r: trial(r, capacity), [trial(x, capacity) for x in (500, 4000)], goals, 0.02, 10, 200000, 60)
        by_loss, by_p99 = (knee.result(trials, g) for g in goals)
        near(by_loss["rate"], capacity / 0.99, 0.05)
        near(by_p99["rate"], 0.7 * capacity, 0.06)
        assert not by_loss["at_least"] and by_loss["bad"] > by_loss["rate"]
        assert len(trials) < 35, len(trials)


@test("knee: nothing good, nothing bad, and the generator's fault are told apart")
def _():
    goals = knee.goals_of(GOALS)[:1]
    trials = knee.run(lambda r: trial(r, 1e9), [], goals, 0.05, 100, 10000, 30)
    got = knee.result(trials, goals[0])
    same((got["rate"], got["at_least"]), (10000, True))
    trials = knee.run(lambda r: {**trial(r, 1), "loss": 1.0}, [], goals, 0.05, 100, 10000, 30)
    same(knee.result(trials, goals[0])["rate"], None)
    trials = knee.run(lambda r: trial(r, 1e9 if r < 3000 else 1, valid=r < 3000), [], goals, 0.05, 100, 100000, 60)
    got = knee.result(trials, goals[0])
    near(got["rate"], 3000, 0.06)
    assert got["limited"]


@test("knee: a server that falls behind fails, before any request times out")
def _():
    def record(good, throughput):
        return {"rate": 1000, "valid": True, "result": {"sent": 2000, "good": good, "seconds": 2.0, "throughput": throughput, "latency": None}}
    near(knee.trial_of(record(2000, 700))["loss"], 0.3, 1e-9)
    same(knee.trial_of(record(2000, 990))["loss"], 0.0)
    same(knee.trial_of(record(2000, 1010))["loss"], 0.0)
    near(knee.trial_of(record(1000, 700))["loss"], 0.5, 1e-9)


@test("knee: the number of trials is limited, and a good rate above a bad one does not count")
def _():
    goals = knee.goals_of(GOALS)[:1]
    same(len(knee.run(lambda r: trial(r, 1e9), [], goals, 0.001, 1, 1e9, 5)), 5)
    same(bounds([trial(100, 50), trial(200, 1e9), trial(40, 50)]), (40, 100, False, []))
    same(bounds([trial(100, 50), trial(100, 1e9)]), (100, None, False, []))


KNEE = {"highest": 4e6, "precision": 0.15}


def search(capacity, guess, known=(), hiccups=(), trials=9, highest=4000000, precision=0.15):
    """(what the search found, the rates that it asked for); the trials of these numbers lose something."""
    asked = []

    def measure(rate):
        asked.append(rate)
        return {"rate": rate, "loss": 0.01, "p99": 1e6, "valid": True} if len(asked) in hiccups else trial(rate, capacity)

    goals = knee.goals_of({"goals": {"loss": 0.001, "p99": None}})
    found = knee.run(measure, [trial(r, capacity) for r in known], goals, precision, 500, highest, trials, guess)
    return knee.result(found, goals[0]), asked


@test("knee: from a guess it takes a few trials, wherever the knee is and whatever is known")
def _():
    for capacity in (700, 7000, 66000, 300000, 650000, 1000000, 2500000):
        for wrong in (0.2, 0.5, 0.8, 1, 1.3, 2, 4):
            for known in ((), (4000, 32000)):
                got, asked = search(capacity, wrong * capacity, known)
                same(asked[0], knee.tidy(min(max(500, wrong * capacity), 4000000)))
                if got["bad"]:
                    assert got["rate"] <= capacity / 0.999 < got["bad"] * 1.001 and not knee.coarse(got, KNEE), (capacity, wrong, got, asked)
                else:
                    same(got["rate"], 4000000)
                if 0.5 <= wrong <= 2:
                    assert len(asked) <= 7, (capacity, wrong, asked)
    same(search(650000, 600000, (4000, 32000))[1], [600000, 900000, 734800, 664000, 664000])


@test("knee: from a guess it does not stop where nothing failed, unless the rate may not be higher")
def _():
    got, asked = search(1e9, 400000)
    same((got["rate"], got["at_least"], asked[-1]), (4000000, True, 4000000))
    got, asked = search(1e9, 9000000, highest=2000000)
    same((got["rate"], got["at_least"], asked), (2000000, True, [2000000]))
    got, _ = search(650000, 80000, (4000, 32000), trials=2)
    assert got["at_least"] and got["rate"] > 80000, got
    got, _ = search(650000, 600000, (4000, 32000), trials=3)
    same((got["rate"], knee.coarse(got, KNEE), knee.coarse(got, {"precision": 0.15})), (600000, True, False))


@test("knee: from a guess, a rate that failed narrowly or below a good one is tried again, but not for ever")
def _():
    got, asked = search(650000, 500000, hiccups=(1,))
    same((asked[:2], got["rate"] >= 500000), ([500000, 500000], True))
    got, asked = search(650000, 500000, hiccups=(1, 2))
    assert asked[:2] == [500000, 500000] and got["rate"] < 500000 <= got["bad"], (got, asked)
    goals = knee.goals_of({"goals": {"loss": 0.001, "p99": None}})
    known = [trial(4000, 1e9), trial(32000, 20000)]
    same(knee.next_rate(known, goals, 0.15, 500, 4e6, 300000), 300000)
    known.append(trial(300000, 1e9))
    same(knee.next_rate(known, goals, 0.15, 500, 4e6, 300000), 32000)
    same(knee.next_rate(known + [trial(32000, 1e9)], goals, 0.15, 500, 4e6, 300000), 450000)
    twice = known + [trial(32000, 20000)]
    same(knee.result(twice, goals[0])["rate"], 4000)
    assert 4000 < knee.next_rate(twice, goals, 0.15, 500, 4e6, 300000) < 32000


@test("knee: from a guess, a generator that is always late there is told, and the search goes on below")
def _():
    goals = knee.goals_of({"goals": {"loss": 0.001, "p99": None}})
    trials = knee.run(lambda r: trial(r, 1e9 if r < 500000 else 1, valid=r < 500000), [], goals, 0.15, 500, 4e6, 14, 800000)
    got = knee.result(trials, goals[0])
    assert got["limited"] and not got["at_least"] and 400000 < got["rate"] < 500000, got
    same([t["rate"] for t in trials[:3]], 3 * [800000])


@test("knee: the guess is from the closed loop of the largest window, a valid point if there is one")
def _():
    def point(closed, throughput, valid=True):
        return {"closed": closed, "valid": valid, "result": {"throughput": throughput}}
    windows = {"w1": 1, "w256": 256, "c1": 0}
    same(knee.guess([point("w256", 1000), point("w1", 90)], windows), 700.0)
    same(knee.guess([point("w256", 1000), point("w256", 5, False)], windows), 700.0)
    same(knee.guess([point("w256", 5, False), point("w256", 500, False)], windows), 350.0)
    same(knee.guess([point("c1", 1000)], windows), None)
    same(knee.guess([], windows), None)
    same([knee.tidy(x) for x in (0.3, 7.6, 1234.4, 12345.6, 606666.7, 1234567)], [1, 8, 1234, 12350, 606700, 1235000])


@test("knee: a late generator spoils only what failed, and such a rate is tried again")
def _():
    late = lambda r, capacity: trial(r, capacity, valid=False)
    same(bounds([late(100, 1e9), trial(200, 1e9)]), (200, None, False, []))
    same(bounds([late(100, 50), trial(200, 1e9)]), (200, None, False, []))
    same(bounds([trial(50, 1e9), late(100, 50)]), (50, None, False, [100]))
    same(bounds([trial(50, 1e9), late(100, 50), trial(100, 1e9)]), (100, None, False, []))
    same(bounds([trial(50, 1e9), trial(100, 50), late(100, 50)]), (50, 100, False, []))
    same(bounds([trial(50, 1e9)] + 3 * [late(100, 50)]), (50, 100, True, []))
    again = []

    def measure(rate):
        again.append(rate)
        return late(rate, 1000) if again.count(rate) == 1 else trial(rate, 1000)

    goals = knee.goals_of(GOALS)[:1]
    got = knee.result(knee.run(measure, [], goals, 0.02, 10, 1e6, 60), goals[0])
    near(got["rate"], 1000 / 0.99, 0.05)
    assert not got["limited"] and len(set(again)) < len(again)


@test("self-check: from the highest rate down to what is needed, and the middle to what failed")
def _():
    w = {"rates": None}
    s = {"rates": [4000, 32000], "knee": {"trials": 9, "highest": 4000000}}
    same(selfcheck.rates_of(s, w), ([4e6, 2e6, 1e6, 5e5, 64000, 32000, 16000, 8000], 64000))
    same(selfcheck.rates_of({**s, "knee": {"trials": 9}}, w), ([64000, 32000, 16000, 8000], 64000))
    same(selfcheck.rates_of({**s, "knee": {"trials": 0, "highest": 4000000}}, w)[0][0], 64000)
    same(selfcheck.rates_of({**s, "knee": {"trials": 9, "highest": 100}}, w)[0][0], 64000)
    same(selfcheck.rates_of(s, {"rates": []})[0], [])

    def limit(able, lucky=(), tries=2):
        asked = []

        def check(rate):
            asked.append(rate)
            return rate <= able or len(asked) in lucky
        return selfcheck.limit(check, *selfcheck.rates_of(s, w), tries), asked
    same(limit(5e6), (4e6, [4e6]))
    same(limit(1e6), (1e6, [4e6, 4e6, 2e6, 2e6, 1e6, 1414214, 1414214]))
    same(limit(1.5e6)[0], 1414214)
    same(limit(1e6, lucky=(2,))[0], 4e6)
    same(limit(1e6, tries=1)[1], [4e6, 2e6, 1e6, 1414214])
    same(limit(70000), (64000, [4e6, 4e6, 2e6, 2e6, 1e6, 1e6, 5e5, 5e5, 64000]))
    same(limit(10000)[0], 8000)
    same(limit(10)[0], 0)


@test("the time left: by what parts took beside their guesses, and nothing of what was not done")
def _():
    now = [0.0]
    p = progress.Progress(1000, lambda: now[0])

    def after(seconds):
        now[0] += seconds
    after(50)  # the self-check, which is in no guess
    p.restart()
    near(p.remaining(), 1000, 1e-9)
    after(8)  # while it boots
    near(p.remaining(), 992, 1e-9)
    p.begin(100)
    p.step(10)
    near(p.remaining(), 990 * 38 / 40, 1e-9)
    for _ in range(30):
        after(2)
        p.step(1)
    near(p.remaining(), 960 * 98 / 70, 1e-9)
    after(20)
    near(p.remaining(), 960 * 98 / 70 - 20, 1e-9)
    after(1e6)
    same(p.remaining(), 0)
    p = progress.Progress(1000, lambda: now[0])
    p.begin(900)
    after(10)
    p.step(10)
    p.end()  # early: 890 were for nothing
    near(p.remaining(), 100, 1e-9)


run()
