"""How long jobs take, learnt from jobs that ended and from those that run: a distribution of which draws are made.

A length is taken apart in logarithms: what is usual for its kind, how slow its host is, and a rest. Of the rests the
body is as observed; jobs that still run say that theirs is longer (Kaplan and Meier); and beyond the longest few the
tail goes on as those suggest, so that jobs longer than any that was seen can come. What few observations leave open is
drawn as well, anew for each draw of everything: a forecast from ten jobs is wide. And jobs that stand near each other
may be alike, as where somebody has written the quick ones first: then what is to come may differ from what was.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from math import exp, log, sqrt
from typing import NamedTuple

#: Seconds below which lengths are not told apart.
LEAST_S = 0.001
#: A kind of which so many have ended has rests of its own; others share theirs.
OWN = 30
#: The tail begins at the longest part of the rests, of at least and at most so many.
TAIL, FEWEST_IN_TAIL, MOST_IN_TAIL = 8, 4, 60
#: How much hosts usually differ, as a standard deviation of logarithms, and jobs of which nothing is known.
HOSTS_DIFFER, JOBS_DIFFER = 0.3, 0.7
#: For so many observations counts what is usual of tails: that they are those of an exponential in logarithms.
USUAL = 6.0
#: How much longer than its beginning a tail usually is, for a spread of 1.
USUAL_TAIL = 0.6
#: No tail is longer: in one that is, half of the jobs take 1.8 times as long as its beginning, and one in ten seven
#: times. What looks longer is of two sorts of jobs, or has a limit that nobody has reached yet.
MOST_TAIL = 0.85
#: Jobs near the beginning of a tail that are needed to say how much they differ.
NEAR = 4
#: A gap among the longest is no part of a tail from so many (in logarithms, times the number above it) on.
GAP = 1.0
#: A job that runs is far beyond those that have ended when it has taken so much longer (twice as long); by how much the
#: length of its sort is usually longer than the longest so far; how much jobs of a sort differ.
FAR, UNSEEN, ALIKE = 0.7, 0.5, 0.1
#: Jobs that make a stretch of those that stand near each other, and stretches that tell whether they differ.
STRETCH, FEWEST_STRETCHES = 5, 3
#: By how much stretches differ at least (a standard deviation of logarithms), where jobs differ by so much; and by how
#: much more those to come may differ than those before did among each other, as a variance: what changes goes on to.
DIFFER, VARIED, GROWS = 0.25, 0.3, 4.0
#: Rounds in which kinds and hosts are told apart.
_ROUNDS = 4
#: No length is greater, in logarithms of seconds: some three thousand years.
_LARGEST = 25.0


class Observation(NamedTuple):
    """A job that ran.

    :ivar kind: what it is of: jobs of a kind take about as long
    :ivar host: where it ran
    :ivar seconds: how long it took; or, where it is not ``over``, has taken so far
    """

    kind: Hashable
    host: Hashable
    seconds: float
    over: bool = True


class Effect(NamedTuple):
    """How much something adds to a length, in logarithms, and how sure that is (a standard deviation)."""

    mean: float
    spread: float

    @property
    def times(self) -> float:
        """How many times as long that makes it."""
        return exp(self.mean)


class Lengths:
    """What observations tell.

    :param slowness: how many times as long jobs take on hosts of which that is known for certain
    :ivar known: how many jobs it knows that have ended
    """

    def __init__(self, observations: Iterable[Observation], slowness: Mapping[Hashable, float] | None = None):
        seen = list(observations)
        over = [one for one in seen if one.over]
        self.known = len(over)
        self._slow: dict[Hashable, Effect] = {host: Effect(log(factor), 0.0)
                                               for host, factor in (slowness or {}).items()}
        self._given = frozenset(self._slow)
        self._kinds: dict[Hashable, Effect] = {}
        self._spread = HOSTS_DIFFER
        self._fit(over)
        self._middle = sum(one.mean for one in self._kinds.values()) / len(self._kinds) if self._kinds else 0.0
        rests: dict[Hashable, list[tuple[float, bool]]] = defaultdict(list)
        for one in seen:
            rests[one.kind].append((self._rest(one), one.over))
        self._own = {kind: _Rests(several) for kind, several in rests.items()
                     if sum(is_over for _, is_over in several) >= OWN}
        self._shared = _Rests([one for several in rests.values() for one in several])
        #: Of a kind of which nothing is known: as any other.
        self._any = _Rests([(_log(one.seconds) - self.slowness(one.host).mean, one.over) for one in seen])

    def _rest(self, one: Observation) -> float:
        kind = self._kinds[one.kind].mean if one.kind in self._kinds else self._middle
        return _log(one.seconds) - kind - self.slowness(one.host).mean

    def _fit(self, over: Sequence[Observation]) -> None:
        """Tell kinds and hosts apart, each as sure as its observations are many."""
        by_kind: dict[Hashable, list[tuple[Hashable, float]]] = defaultdict(list)
        by_host: dict[Hashable, list[tuple[Hashable, float]]] = defaultdict(list)
        for one in over:
            by_kind[one.kind].append((one.host, _log(one.seconds)))
            by_host[one.host].append((one.kind, _log(one.seconds)))
        for _ in range(_ROUNDS):
            for kind, several in by_kind.items():
                rests = [length - self.slowness(host).mean for host, length in several]
                self._kinds[kind] = Effect(sum(rests) / len(rests), 0.0)
            rests = [length - self._kinds[kind].mean - self.slowness(host).mean
                     for host, several in by_host.items() for kind, length in several]
            # What nobody could know of few observations must not pass for a sure thing.
            self._spread = _deviation(rests) if len(rests) > 2 else HOSTS_DIFFER
            noise, prior = self._spread ** 2, HOSTS_DIFFER ** 2
            for host, several in by_host.items():
                if host not in self._given and len(by_host) > 1:
                    mean = sum(length - self._kinds[kind].mean for kind, length in several) / len(several)
                    trust = prior / (prior + noise / len(several))
                    self._slow[host] = Effect(trust * mean, sqrt(prior * (1.0 - trust)))
        for kind, several in by_kind.items():
            unsure = 0.0 if len(several) >= OWN else self._spread / sqrt(len(several))
            self._kinds[kind] = self._kinds[kind]._replace(spread=unsure)

    def slowness(self, host: Hashable) -> Effect:
        """Return how slow a host is, in logarithms."""
        return self._slow.get(host, _NO_EFFECT)

    def usual(self, kind: Hashable) -> float:
        """Return about how many seconds jobs of a kind take."""
        return exp(min(self._kinds[kind].mean if kind in self._kinds else self._middle, _LARGEST))

    def draw(self, rng: random.Random, waiting: Mapping[Hashable, int] | None = None) -> Draw:
        """Draw one of the worlds that what is known leaves possible.

        :param waiting: how many jobs of each kind are still to come: the fewer, the less they need be like those before
        """
        return Draw(self, rng, waiting or {})


_NO_EFFECT = Effect(0.0, 0.0)


class Draw:
    """One world: how long jobs take in it. Its lengths are drawn one by one."""

    def __init__(self, lengths: Lengths, rng: random.Random, waiting: Mapping[Hashable, int]):
        self._lengths, self._rng, self._waiting = lengths, rng, waiting
        self._kinds: dict[Hashable, tuple[float, _World]] = {}
        #: By kind how much longer those to come are than those before, in logarithms.
        self._shifts: dict[Hashable, float] = {}
        self._slow: dict[Hashable, float] = {}
        self._shared: _World | None = None
        self._any: _World | None = None

    def _kind(self, kind: Hashable) -> tuple[float, _World]:
        known = self._kinds.get(kind)
        if known is None:
            of, rng = self._lengths, self._rng
            effect, own = of._kinds.get(kind, _NO_EFFECT), of._own.get(kind)
            if own is not None:
                world = own.world(rng)
            elif kind in of._kinds:
                world = self._shared = self._shared or of._shared.world(rng)
            else:
                world = self._any = self._any or of._any.world(rng)
            known = self._kinds[kind] = rng.gauss(effect.mean, effect.spread), world
        return known

    def slowness(self, host: Hashable) -> float:
        """Return how many times as long jobs take on a host."""
        known = self._slow.get(host)
        if known is None:
            effect = self._lengths.slowness(host)
            known = self._slow[host] = exp(self._rng.gauss(effect.mean, effect.spread))
        return known

    def seconds(self, kind: Hashable) -> float:
        """Draw how long a job that is still to come takes on a host of usual speed."""
        usual, world = self._kind(kind)
        return exp(min(usual + self._shift(kind) + world.quantile(self._rng.random()), _LARGEST))

    def _shift(self, kind: Hashable) -> float:
        known = self._shifts.get(kind)
        if known is None:
            of = self._lengths
            rests = of._own.get(kind, of._shared if kind in of._kinds else of._any)
            known = self._shifts[kind] = rests.shift(self._waiting.get(kind, 0), self._rng)
        return known

    def seconds_left(self, kind: Hashable, host: Hashable, so_far: float) -> float:
        """Draw how much longer a job takes that has run for so many seconds on a host."""
        usual, world = self._kind(kind)
        slow = log(self.slowness(host))
        length = exp(min(usual + slow + world.longer(_log(so_far) - usual - slow, self._rng), _LARGEST))
        return max(0.0, length - so_far)


class _Rests:
    """Rests of lengths, those of jobs that are over and of jobs that run.

    :param rests: in the order of the jobs
    """

    def __init__(self, rests: Sequence[tuple[float, bool]]):
        self._stretches = _Stretches([rest for rest, is_over in rests if is_over])
        # Of equal ones those that are over come first: the others are longer.
        self._rests = sorted(rests, key=lambda rest: (rest[0], not rest[1]))
        over = [rest for rest, is_over in self._rests if is_over]
        self._spread = _scale(over) if len(over) > 2 else JOBS_DIFFER
        size = max(FEWEST_IN_TAIL, min(len(over) // TAIL, MOST_IN_TAIL))
        self._begin = _above_gap(over[-size - 1:]) if len(over) > size else over[0] if over else 0.0
        # How far jobs beyond the beginning usually lie apart: as those near it do, where these are alike.
        is_whole = len(over) <= size or self._begin == over[-size - 1]
        near = over[-2 * size:] if is_whole else over[bisect_left(over, self._begin):]
        spread = min(self._spread, 2.0 * _deviation(near)) if len(near) >= NEAR else self._spread
        self._usual_tail = USUAL_TAIL * spread
        self._shape = _shape([rest - self._begin for rest in over if rest > self._begin])
        #: Jobs that run for far longer than any that is over; and the longest so far.
        self._last = over[-1] if over else 0.0
        self._longest = self._rests[-1][0] if self._rests else 0.0
        self._far = sum(rest > self._last + FAR for rest, _ in self._rests)

    def shift(self, number: int, rng: random.Random) -> float:
        """Draw how much longer so many jobs to come are than those before."""
        return self._stretches.shift(number, rng)

    def world(self, rng: random.Random) -> _World:
        """Draw one of the distributions that these may be of: each counts more or less by chance (a Bayesian
        bootstrap)."""
        # Jobs far beyond all that have ended may be of another sort, whose length nobody has seen yet: then they take
        # about as long as each other.
        of_a_sort = self._far > 0 and rng.random() < self._far / (self._far + 1.0)
        begin, alive = self._last if of_a_sort else self._begin, 1.0
        weights = [rng.expovariate(1.0) for _ in self._rests]
        at_risk = sum(weights)
        values, shares = list[float](), list[float]()
        time_beyond, ends_beyond = 0.0, 0.0
        for (rest, is_over), weight in zip(self._rests, weights, strict=True):
            if rest > begin:
                time_beyond += weight * (rest - begin)
                ends_beyond += weight * is_over
            elif is_over and at_risk > 0.0:
                alive *= max(0.0, 1.0 - weight / at_risk)
                values.append(rest)
                shares.append(1.0 - alive)
            at_risk -= weight
        if of_a_sort:
            return _World(values, shares, self._longest + rng.expovariate(1.0 / UNSEEN), alive, ALIKE, 0.0)
        # One more of the usual size: few ends beyond the beginning say little of the size of the tail.
        size = (time_beyond + self._usual_tail) / (ends_beyond + 1.0)
        # How a tail ends is hardly known: anything from not at all to twice as soon.
        shape = max(-1.0, self._shape * 2.0 * rng.random())
        return _World(values, shares, begin, alive, min(max(size, 1e-6), MOST_TAIL), shape)


class _Stretches:
    """How much jobs that stand near each other are alike: by how much stretches of them differ beyond what chance does.

    :param rests: in the order of the jobs
    """

    def __init__(self, rests: Sequence[float]):
        self._size = max(STRETCH, round(sqrt(len(rests))))
        self._number = len(rests) // self._size
        self._beyond = (DIFFER * min(1.0, _deviation(rests) / VARIED)) ** 2
        if self._number >= FEWEST_STRETCHES:
            parts = [rests[at * self._size:(at + 1) * self._size] for at in range(self._number)]
            means = [sum(part) / self._size for part in parts]
            within = sum(_deviation(part) ** 2 for part in parts) / self._number
            self._beyond += GROWS * max(0.0, _deviation(means) ** 2 - within / self._size)

    def shift(self, number: int, rng: random.Random) -> float:
        """Draw how much longer so many jobs to come are than these."""
        free = max(self._number, FEWEST_STRETCHES) - 1
        # As uncertain as a mean of so few is (Student).
        spread = sqrt(self._beyond * (1.0 / max(1, self._number) + 1.0 / max(1.0, number / self._size))
                      * free / rng.gammavariate(free / 2.0, 2.0))
        return rng.gauss(0.0, spread)


class _World:
    """A distribution of rests.

    :param values: up to the beginning of the tail, rising; ``shares``: which part is no longer than each of them
    :param alive: the part that is in the tail
    :param size: how much longer those are on average, and ``shape``: 0 for an exponential, below that for tails that
        end somewhere
    """

    def __init__(self, values: list[float], shares: list[float], begin: float, alive: float, size: float, shape: float):
        self._values, self._shares, self._begin, self._alive = values, shares, begin, max(alive, 1e-9)
        self._scale, self._shape = size * (1.0 - shape), shape

    def quantile(self, share: float) -> float:
        """Return the rest that so great a part is no longer than."""
        body = 1.0 - self._alive
        if share < body and self._values:
            at = min(bisect_left(self._shares, share), len(self._values) - 1)
            if at == 0:
                return self._values[0]
            low, high = self._shares[at - 1], self._shares[at]
            part = (share - low) / (high - low) if high > low else 0.0
            return self._values[at - 1] + part * (self._values[at] - self._values[at - 1])
        left = min(1.0, max((1.0 - share) / self._alive, 1e-12))
        if self._shape > -1e-6:
            return self._begin - self._scale * log(left)
        return self._begin + self._scale / self._shape * (exp(-self._shape * log(left)) - 1.0)

    def longer(self, than: float, rng: random.Random) -> float:
        """Draw a rest of those that are longer than one."""
        left = self._left(than)
        if left <= 1e-9:
            # Longer than any may be: how the tail goes on is all that is known.
            return than + self._scale * rng.expovariate(1.0)
        return max(than, self.quantile(1.0 - left * (1.0 - rng.random())))

    def _left(self, than: float) -> float:
        """Return which part is longer."""
        if than < self._begin:
            at = bisect_left(self._values, than)
            if at == 0:
                return 1.0
            if at < len(self._values):
                low, high = self._values[at - 1], self._values[at]
                part = (than - low) / (high - low) if high > low else 0.0
                return 1.0 - (self._shares[at - 1] + part * (self._shares[at] - self._shares[at - 1]))
            return self._alive
        if self._shape > -1e-6:
            return self._alive * exp(-min(700.0, (than - self._begin) / self._scale))
        inside = 1.0 + self._shape * (than - self._begin) / self._scale
        return self._alive * exp(log(inside) / -self._shape) if inside > 0.0 else 0.0


def _shape(beyond: Sequence[float]) -> float:
    """Return the shape of a tail, by the variance of what lies beyond its beginning (moments of a generalised Pareto
    distribution); no heavier than an exponential, which in logarithms is a power law."""
    if len(beyond) < 3:
        return 0.0
    mean = sum(beyond) / len(beyond)
    variance = _deviation(beyond) ** 2 / mean ** 2 if mean > 0 else 1.0
    variance = (len(beyond) * variance + USUAL) / (len(beyond) + USUAL)
    return max(-1.0, min(0.0, 0.5 * (1.0 - 1.0 / max(variance, 1e-3))))


def _above_gap(rising: Sequence[float]) -> float:
    """Return where a tail begins: below the longest few; or above a gap among them, as there is between jobs of two
    sorts. The steps of an exponential, each times its place from the end, are alike."""
    begin, steps = rising[0], [(len(rising) - n) * (high - low) for n, (low, high) in enumerate(pairwise(rising), 1)]
    while len(steps) > 1:
        widest = max(range(len(steps)), key=steps.__getitem__)
        others = (sum(steps) - steps[widest]) / (len(steps) - 1)
        if steps[widest] < max(GAP, others * (3.0 + log(len(steps)))):
            break
        begin = rising[widest + 1]
        rising, steps = rising[widest + 1:], steps[widest + 1:]
    return begin


def _scale(rising: Sequence[float]) -> float:
    """Return the spread of most of some values, as a standard deviation: a few that are far off count for nothing."""
    quarter = len(rising) // 4
    return min(_deviation(rising), (rising[-1 - quarter] - rising[quarter]) / 1.35)


def _log(seconds: float) -> float:
    return log(max(seconds, LEAST_S))


def _deviation(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    return sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
