"""What is drawn of lengths is like what was observed, and as uncertain as that leaves it."""

from __future__ import annotations

import random
from math import log

import pytest

from sshjobs.forecast.ends import Forecast, Running, Slots, Waiting, forecast
from sshjobs.forecast.kinds import Kinds
from sshjobs.forecast.lengths import Lengths, Observation
from tests.forecast.workloads import TAILS, tail_of


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


@pytest.mark.parametrize("tail", TAILS)
def test_lengths_that_are_drawn_are_like_those_observed(tail: str) -> None:
    rng = random.Random(5)
    draw = tail_of(tail, rng)
    seen = [draw() for _ in range(2000)]
    lengths = Lengths(Observation("a", "h", seconds) for seconds in seen)
    drawn = [world.seconds("a") for world in (lengths.draw(rng) for _ in range(100)) for _ in range(20)]
    for share in (0.1, 0.5, 0.9, 0.97):
        at = int(share * 2000)
        assert abs(log(sorted(drawn)[at] / sorted(seen)[at])) < 0.25, share


def test_a_slow_host_is_told_from_long_jobs() -> None:
    rng = random.Random(3)
    seen = [Observation(kind, host, times * slow * rng.lognormvariate(0, 0.1))
            for kind, times in (("short", 1.0), ("long", 50.0)) for host, slow in (("a", 1.0), ("b", 2.0)) for _ in range(40)]
    lengths = Lengths(seen)
    assert lengths.slowness("b").times / lengths.slowness("a").times == pytest.approx(2.0, rel=0.1)
    assert lengths.usual("long") / lengths.usual("short") == pytest.approx(50.0, rel=0.1)


def test_jobs_that_still_run_say_that_theirs_are_longer() -> None:
    seen = [Observation("a", "h", 10.0) for _ in range(20)]
    still = [Observation("a", "h", 500.0, False) for _ in range(20)]
    rng = random.Random(1)
    drawn = [world.seconds("a") for world in (Lengths([*seen, *still]).draw(rng) for _ in range(200))]
    assert sum(seconds > 400 for seconds in drawn) > 40
    assert sum(seconds < 20 for seconds in drawn) > 40


def test_an_end_is_not_days_away_because_what_runs_is_longer_than_all_that_ended() -> None:
    """As in the pictures of the pages: 70 jobs took a second or two, then eight run for minutes."""
    seen = [Observation("a", f"h{n % 4}", n % 3 + n * 37 % 10 / 10 + 0.05) for n in range(1, 71)]
    for so_far in (70.0, 190.0, 310.0):
        still = [Running("a", f"h{n % 4}", so_far) for n in range(8)]
        lengths = Lengths([*seen, *(Observation(one.kind, one.host, one.seconds, False) for one in still)])
        for seed in range(4):
            told = forecast(lengths, [Slots(f"h{n}", 2) for n in range(4)], still, [Waiting("a", 1)], random.Random(seed))
            assert told is not None and 0.5 * so_far < told.p50 < told.p90 < 25 * so_far


def test_a_job_takes_at_least_as_long_as_it_has_taken() -> None:
    lengths = Lengths(Observation("a", "h", 1.0 + n / 100) for n in range(50))
    rng = random.Random(2)
    left = [lengths.draw(rng).seconds_left("a", "h", 1000.0) for _ in range(100)]
    assert all(seconds >= 0 for seconds in left)


def test_the_end_is_never_before_the_longest_job_nor_before_the_work_is_done() -> None:
    lengths = Lengths(Observation("a", "h", 10.0) for _ in range(50))
    for jobs in (1, 7, 40, 4000, 1_000_000):
        told = forecast(lengths, [Slots("h", 4)], [], [Waiting("a", jobs)], random.Random(1))
        assert told is not None
        assert 0.99 * max(10.0, 10.0 * jobs / 4) <= told.p10 <= told.p90 <= 1.05 * max(10.0, 10.0 * -(-jobs // 4)), jobs


def test_nothing_is_forecast_without_knowledge_or_slots() -> None:
    known = Lengths([Observation("a", "h", 10.0)])
    assert forecast(Lengths([]), [Slots("h", 4)], [], [Waiting("a", 3)], random.Random(1)) is None
    assert forecast(known, [], [], [Waiting("a", 3)], random.Random(1)) is None
    assert forecast(known, [], [Running("a", "h", 3.0)], [], random.Random(1)) is not None


def test_jobs_near_each_other_that_are_alike_make_those_to_come_less_sure() -> None:
    rng = random.Random(4)
    mixed = [Observation("a", "h", rng.lognormvariate(0.0, 1.0)) for _ in range(100)]

    def width(seen: list[Observation]) -> float:
        told = forecast(Lengths(seen), [Slots("h", 4)], [], [Waiting("a", 100)], random.Random(1))
        assert told is not None
        return told.p90 / told.p10

    # The same lengths: one after the other, or in an order in which nobody could tell what is next.
    assert width(sorted(mixed, key=lambda one: one.seconds)) > 2.0 * width(mixed)


def test_no_tail_is_beyond_all_measure() -> None:
    # Half of a second, half of some hours that go on: what is beyond has been seen by nobody.
    seen = [Observation("a", "h", 1.0) for _ in range(40)] + [Observation("a", "h", 3e4 + n, False) for n in range(8)]
    told = forecast(Lengths(seen), [Slots("h", 8)], [Running("a", "h", one.seconds) for one in seen if not one.over], [], random.Random(1))
    assert told is not None and told.p90 < 3e6


def test_a_slow_host_gets_nothing_at_the_end() -> None:
    seen = [Observation("a", host, 10.0 * slow) for host, slow in (("a", 1.0), ("b", 20.0)) for _ in range(40)]
    told = forecast(Lengths(seen), [Slots("a", 1), Slots("b", 1)], [], [Waiting("a", 6)], random.Random(1))
    assert told is not None and told.p90 < 100


def test_the_parameter_that_explains_lengths_makes_kinds() -> None:
    kinds = Kinds()
    for n in range(40):
        kinds.note("fit", {"size": str(n % 2), "seed": str(n)}, 1.0 + 99.0 * (n % 2))
    kinds.settle()
    assert kinds.of("fit", {"size": "1", "seed": "77"}) == ("fit", "size", "1")
    assert kinds.of("other", {"size": "1"}) == "other"


def test_quantiles_are_those_of_the_plays() -> None:
    assert Forecast.of(map(float, range(11))) == (1.0, 5.0, 9.0)
