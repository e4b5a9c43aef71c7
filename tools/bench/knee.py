"""The knee: the highest rate at which a system still meets a goal, by binary search over trials, as RFC
2544 (section 26.1) finds a device's throughput. Several goals are searched at once and share their
trials, as in MLRsearch (draft-ietf-bmwg-mlrsearch): a trial for one goal narrows the others' intervals.
Pure: asks for a rate, is told the result. Used by sweep.py (to search) and derive.py (to read the
result from the recorded trials), so that both agree."""

from stats import Histogram

GROWTH = 2  # above the highest rate that was ever good, as long as none was bad


def trial_of(record):
    """What the search needs of a point's record; None if there was no result."""
    r = record["result"]
    if not r or not r["sent"]:
        return None
    hist = Histogram(r["latency"]) if r["latency"] else None
    return {"rate": record["rate"], "loss": 1 - r["good"] / r["sent"], "p99": hist.quantile(0.99) if hist else None,
            "valid": record["valid"]}


class Goal:
    """name, and test(trial) -> True, False, or None: not to be judged (the generator's fault)."""

    def __init__(self, name, test):
        self.name, self.test = name, test


def goals_of(spec):
    """By the specification's goals. A trial is a point's record, reduced: rate, loss, p99, valid."""
    loss, p99 = spec["goals"]["loss"], spec["goals"]["p99"]

    def no_loss(t):
        return None if not t["valid"] else t["loss"] <= loss

    def in_time(t):
        if not t["valid"] or t["p99"] is None:
            return None if not t["valid"] else False
        return t["loss"] <= loss and t["p99"] <= p99 * 1e6

    out = [Goal(f"loss <= {loss * 100:g} %", no_loss)]
    if p99 is not None:
        out.append(Goal(f"p99 <= {p99:g} ms", in_time))
    return out


def bounds(trials, goal):
    """(highest good rate below any bad one, lowest bad one), each may be None. A rate that was tried
    twice counts by its last trial, and a good rate above a bad one does not count: noise may let a
    trial pass, or fail, once. Trials that cannot be judged bound the search, but are told apart."""
    last = {}
    for t in trials:
        last[t["rate"]] = goal.test(t)
    bad = [r for r, v in last.items() if not v]
    upper = min(bad) if bad else None
    good = [r for r, v in last.items() if v and (upper is None or r < upper)]
    return (max(good) if good else None), upper


def unjudged(trials, goal, rate):
    """Was the rate never reached, for the generator's sake?"""
    return all(goal.test(t) is None for t in trials if t["rate"] == rate)


def result(trials, goal):
    """rate: the knee, or None if no rate was good. at_least: nothing was bad above. limited: what
    stopped the search above is the generator, so that the system may be better."""
    lower, upper = bounds(trials, goal)
    limited = upper is not None and unjudged(trials, goal, upper)
    return {"goal": goal.name, "rate": lower, "bad": upper, "at_least": lower is not None and upper is None,
            "limited": limited, "trials": len(trials)}


def next_rate(trials, goals, precision, lowest, highest):
    """The rate of the next trial, or None: every goal's interval is narrow enough. lowest and highest
    limit what is asked for."""
    for goal in goals:
        lower, upper = bounds(trials, goal)
        if upper is None:
            rate = lowest if lower is None else min(lower * GROWTH, highest)
            if lower is None or rate > lower:
                return rate
            continue
        if lower is None:
            if upper > lowest and not unjudged(trials, goal, upper):
                return max(lowest, round(upper / GROWTH))
            continue
        if upper - lower > precision * upper:
            rate = round((lower * upper) ** 0.5)
            if lower < rate < upper:
                return rate
    return None


def run(measure, trials, goals, precision, lowest, highest, limit):
    """Searches: measure(rate) -> trial. trials holds what is known, and grows."""
    left = limit
    while left > 0 and (rate := next_rate(trials, goals, precision, lowest, highest)) is not None:
        trials.append(measure(rate))
        left -= 1
    return trials
