"""The knee: the highest rate at which a system still meets a goal, by binary search over trials, as RFC
2544 (section 26.1) finds a device's throughput. Several goals are searched at once and share their
trials, as in MLRsearch (draft-ietf-bmwg-mlrsearch): a trial for one goal narrows the others' intervals.
Pure: asks for a rate, is told the result. Used by sweep.py (to search) and derive.py (to read the
result from the recorded trials), so that both agree."""

from stats import Histogram

TRIES = 3  # of a rate, as long as none can be judged
BEHIND = 0.02  # of a trial's requests: what is under way at its end is no sign of overload
GROWTH = 2  # above the highest rate that was ever good, as long as none was bad
# With a first guess: an open loop without loss goes to about this share of a closed loop with a large
# window, whose server is never idle; and so far apart are the first rates that are tried around it.
OF_CLOSED, STEP = 0.7, 1.5
PATIENCE = 2  # then: trials of a rate that failed, if it may have been the machine's doing
NARROWLY = 0.05  # a loss that a moment without a CPU explains
DIGITS = 4  # of a rate that is asked for


def trial_of(record):
    """What the search needs of a point's record; None if there was no result."""
    r = record["result"]
    if not r or not r["sent"]:
        return None
    hist = Histogram(r["latency"]) if r["latency"] else None
    loss = 1 - r["good"] / r["sent"]
    # A queue that grows loses nothing until requests time out, which a trial may be too short for.
    behind = 1 - r["throughput"] * r["seconds"] / r["sent"]
    return {"rate": record["rate"], "loss": max(loss, behind) if behind > BEHIND else loss, "p99": hist.quantile(0.99) if hist else None,
            "valid": record["valid"]}


def guess(closed, windows):
    """Where to begin, from points in a closed loop, or None: the last valid one (else the last) with the
    largest window. windows: by name."""
    largest = max((windows[r["closed"]] for r in closed), default=0)
    found = [r for r in closed if windows[r["closed"]] == largest > 0]
    found = [r for r in found if r["valid"]] or found
    return OF_CLOSED * found[-1]["result"]["throughput"] if found else None


class Goal:
    """name, and test(trial) -> True, False, or None: not to be judged, the generator being at fault.
    A goal that is met is met, whoever was late: what the generator adds to a latency or to the loss
    only makes the system look worse. So only what fails may be the generator's."""

    def __init__(self, name, met):
        self.name, self.met = name, met

    def test(self, trial):
        return True if self.met(trial) else False if trial["valid"] else None


def goals_of(spec):
    """By the specification's goals. A trial is a point's record, reduced: rate, loss, p99, valid."""
    loss, p99 = spec["goals"]["loss"], spec["goals"]["p99"]
    out = [Goal(f"loss <= {loss * 100:g} %", lambda t: t["loss"] <= loss)]
    if p99 is not None:
        out.append(Goal(f"p99 <= {p99:g} ms", lambda t: t["loss"] <= loss and t["p99"] is not None and t["p99"] <= p99 * 1e6))
    return out


class Bounds:
    """What trials tell of a goal. lower: the highest good rate below any bad one; upper: the lowest bad
    one; each may be None. A rate that was tried again counts by its last trial that can be judged, and
    a good rate above a bad one does not count: noise may let a trial pass, or fail, once.
    open: rates between them whose trials, fewer than TRIES, cannot be judged. limited: upper is a rate
    where that remained so, and the system may be better. With patience, a rate that failed in fewer
    trials does not count yet if it failed narrowly (then it is open) or a higher one did not (doubted)."""

    def __init__(self, trials, goal, patience=1):
        verdicts, tries, loss = {}, {}, {}
        for t in trials:
            v = goal.test(t)
            tries[t["rate"]] = tries.get(t["rate"], 0) + 1
            if v is not None or t["rate"] not in verdicts:
                verdicts[t["rate"]], loss[t["rate"]] = v, t["loss"]
        best = max((r for r, v in verdicts.items() if v), default=0)
        failed = [r for r, v in verdicts.items() if v is False and tries[r] < patience]
        self.doubted = sorted(r for r in failed if r < best)
        for r in failed:
            if r < best or loss[r] <= NARROWLY:
                verdicts[r] = None
        self.upper = min((r for r, v in verdicts.items() if v is False), default=None)
        self.lower = max((r for r, v in verdicts.items() if v and self.below(r)), default=None)
        unknown = [r for r, v in verdicts.items() if v is None and self.below(r) and (self.lower is None or r > self.lower)]
        hopeless = min((r for r in unknown if tries[r] >= TRIES), default=None)
        self.limited = hopeless is not None
        if self.limited:
            self.upper = hopeless
        self.open = sorted(r for r in unknown if self.below(r))

    def below(self, rate):
        return self.upper is None or rate < self.upper


def result(trials, goal):
    """rate: the knee, or None if no rate was good. at_least: nothing was bad above. limited: what
    stopped the search above is the generator, so that the system may be better."""
    b = Bounds(trials, goal)
    return {"goal": goal.name, "rate": b.lower, "bad": b.upper, "at_least": b.lower is not None and b.upper is None,
            "limited": b.limited or bool(b.open), "trials": len(trials)}


def narrow(lower, upper, precision):
    return lower is not None and upper is not None and upper - lower <= precision * upper


def coarse(found, how):
    """Did the trials end before a result was as precise as the specification's "knee" asks for? Told of
    searches with a guess, which go on for long enough as a rule."""
    lower, upper = found["rate"], found["bad"]
    return bool(how.get("highest")) and None not in (lower, upper) and not found["limited"] and \
        not narrow(lower, upper, how["precision"]) and upper - lower > 1


def tidy(rate):
    scale = 10 ** max(0, len(str(int(rate))) - DIGITS)
    return max(1, round(rate / scale) * scale)


def from_guess(b, guess, lowest, highest):
    """Outwards from the guess, in steps that grow, and never further than the middle of what is known."""
    if b.upper is None:
        return min(b.lower * min(GROWTH, STEP * b.lower / guess), highest)
    if b.upper <= guess:
        return max(b.upper * b.upper / guess / STEP, (b.lower * b.upper) ** 0.5 if b.lower else lowest)
    return min(b.lower * min(GROWTH, STEP * b.lower / guess), (b.lower * b.upper) ** 0.5)


def next_rate(trials, goals, precision, lowest, highest, guess=None):
    """The rate of the next trial, or None: every goal's interval is narrow enough. lowest and highest
    limit what is asked for. guess: where to begin, whatever trials told before."""
    if guess:
        guess = tidy(min(max(guess, lowest), highest))
        if all(t["rate"] != guess for t in trials):
            return guess
    for goal in goals:
        b = Bounds(trials, goal, PATIENCE if guess else 1)
        if b.doubted:
            return b.doubted[-1]
        if narrow(b.lower, b.upper, precision):
            continue
        if b.open:
            return b.open[len(b.open) // 2]
        if guess:
            rate = tidy(from_guess(b, guess, lowest, highest))
            if (b.lower or 0) < rate < (b.upper or rate + 1):
                return rate
        elif b.upper is None:
            rate = lowest if b.lower is None else min(b.lower * GROWTH, highest)
            if b.lower is None or rate > b.lower:
                return rate
        elif b.lower is None:
            if b.upper > lowest and not b.limited:
                return max(lowest, round(b.upper / GROWTH))
        else:
            rate = round((b.lower * b.upper) ** 0.5)
            if b.lower < rate < b.upper:
                return rate
    return None


def run(measure, trials, goals, precision, lowest, highest, limit, guess=None):
    """Searches: measure(rate) -> trial. trials holds what is known, and grows."""
    left = limit
    while left > 0 and (rate := next_rate(trials, goals, precision, lowest, highest, guess)) is not None:
        trials.append(measure(rate))
        left -= 1
    return trials
