"""Numbers from raw records: the histogram of `wherry load` (docs/bench.md has its rule), confidence
intervals by the bootstrap, ratios of pairs. Everything here gives the same result for the same
records on every machine. Used by derive.py, knee.py and sweep.py."""

import itertools
import math
import random

SUB = 1024  # buckets an octave: a value is known to within 0.1 %
RESAMPLES = 2000
EXACT_MAX = 5  # up to so many values all resamples are looked at, n^n of them, instead of some
CONFIDENCE = 0.95


def bucket_of(v):
    if v < 2 * SUB:
        return v
    e = v.bit_length() - 11
    return SUB * (e + 1) + (v >> e) - SUB


def middle_of(i):
    """The value that stands for a bucket."""
    if i < 2 * SUB:
        return i
    e = i // SUB - 1
    return ((SUB + i % SUB) << e) + (1 << e) // 2


class Histogram:
    def __init__(self, record=None):
        self.buckets, self.count, self.sum, self.min, self.max = {}, 0, 0, None, None
        if record:
            self.merge(record)

    def add(self, v, n=1):
        i = bucket_of(v)
        self.buckets[i] = self.buckets.get(i, 0) + n
        self.count += n
        self.sum += v * n
        self.min = v if self.min is None else min(v, self.min)
        self.max = v if self.max is None else max(v, self.max)

    def merge(self, record):
        """Adds a histogram as it is in a record."""
        if not record["count"]:
            return
        i = 0
        for step, n in zip(record["buckets"][::2], record["buckets"][1::2]):
            i += step
            self.buckets[i] = self.buckets.get(i, 0) + n
        self.count += record["count"]
        self.sum += record["sum"]
        self.min = record["min"] if self.min is None else min(record["min"], self.min)
        self.max = record["max"] if self.max is None else max(record["max"], self.max)

    def record(self):
        flat, last = [], 0
        for i in sorted(self.buckets):
            flat += [i - last, self.buckets[i]]
            last = i
        return {"unit": "ns", "digits": 3, "count": self.count, "min": self.min or 0, "max": self.max or 0,
                "sum": self.sum, "buckets": flat}

    def quantile(self, q):
        """The smallest value that at least the fraction q of all do not exceed; None without values."""
        if not self.count:
            return None
        rank, seen = max(1, math.ceil(q * self.count)), 0
        for i in sorted(self.buckets):
            seen += self.buckets[i]
            if seen >= rank:
                return max(self.min, min(self.max, middle_of(i)))
        return self.max

    def mean(self):
        return self.sum / self.count if self.count else None

    def cumulative(self):
        """(value, fraction of all that do not exceed it) for every bucket in use."""
        seen = 0
        for i in sorted(self.buckets):
            seen += self.buckets[i]
            yield max(self.min, min(self.max, middle_of(i))), seen / self.count


def median(values):
    v = sorted(values)
    n = len(v)
    return v[n // 2] if n % 2 else (v[n // 2 - 1] + v[n // 2]) / 2


def geometric_mean(values):
    return math.exp(math.fsum(math.log(v) for v in values) / len(values))


def resamples(values, seed):
    n = len(values)
    if n <= EXACT_MAX:
        yield from itertools.product(values, repeat=n)
        return
    r = random.Random(seed)
    for _ in range(RESAMPLES):
        yield [values[int(r.random() * n)] for _ in range(n)]


def bootstrap(values, statistic=median, seed=1):
    """The interval that holds the statistic with 95 % confidence (Efron's percentile method); values
    are one a boot, since what differs between boots does not average out within one. None from one."""
    if len(values) < 2:
        return None
    found = sorted(statistic(s) for s in resamples(values, seed))
    tail = (1 - CONFIDENCE) / 2
    last = len(found) - 1
    return [found[math.floor(tail * last)], found[math.ceil((1 - tail) * last)]]


def summary(values, seed=1):
    """What the summary says of the values of several boots."""
    values = [v for v in values if v is not None]
    if not values:
        return None
    return {"median": median(values), "low": min(values), "high": max(values), "n": len(values),
            "ci": bootstrap(values, seed=seed)}


def paired_ratio(ours, theirs, seed=1):
    """Of two systems' values by repeat: boots of one repeat ran one after the other, so that what the
    machine did meanwhile is in both. The geometric mean, with its interval; None without a pair."""
    pairs = [ours[k] / theirs[k] for k in sorted(ours) if ours[k] and theirs.get(k)]
    if not pairs:
        return None
    return {"ratio": geometric_mean(pairs), "low": min(pairs), "high": max(pairs), "n": len(pairs),
            "ci": bootstrap(pairs, geometric_mean, seed)}
