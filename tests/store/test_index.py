"""The index of a run against the plain answers of its store, and the timeline against counting one by one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sshjobs.model.states import STATE_DONE, STATE_ERROR, Outcome
from sshjobs.store import RunReader
from sshjobs.store.index import JobIndex
from sshjobs.store.timeline import MOST_BINS, MOST_CELLS, Span, Timeline
from tests.store.helpers import CREATED, finish, launch, make_jobs, make_store


@pytest.mark.parametrize("seed", range(5))
def test_an_index_that_follows_knows_what_one_that_is_new_knows(tmp_path: Path, seed: int) -> None:
    print("seed", seed)
    rnd = random.Random(seed)
    jobs = make_jobs(60)
    store = make_store(tmp_path, jobs)
    with RunReader.open(store.paths) as reader:
        index = JobIndex()
        while not index.follow(reader, 1):
            pass
        for _ in range(60):
            for job in rnd.sample(jobs, rnd.randrange(1, 6)):
                if job.state == "busy":
                    finish(store, job, rnd.choice([Outcome.SUCCEEDED, Outcome.FAILED, Outcome.LOST, Outcome.CANCELLED]))
                elif job.state != STATE_DONE:
                    launch(store, job, rnd.choice("ab"))
            store.commit()
            if rnd.random() < 0.7:
                index.follow(reader)
        index.follow(reader)
        fresh = JobIndex()
        fresh.follow(reader)
        assert dict(zip(index.hosts, index.figures, strict=True)) == dict(zip(fresh.hosts, fresh.figures, strict=True))
        for asked in ({}, {"states": [STATE_ERROR]}, {"states": [STATE_DONE, "busy"], "sort": "seconds"}, {"host": "a"},
                      {"outcomes": ["lost"]}, {"search": "m-1"}, {"sort": "name", "descending": True}):
            assert index.select(**asked) == fresh.select(**asked)
        rows = [row for row in reader.jobs() if row.state == STATE_ERROR and row.host == "a"]
        assert index.select(states=[STATE_ERROR], host="a", limit=1000)[2] == [row.number for row in rows]
    store.close(CREATED)


def test_a_job_that_was_taken_back_is_nowhere(tmp_path: Path) -> None:
    from sshjobs.store.change import Change

    jobs = make_jobs(5)
    store = make_store(tmp_path, jobs)
    with RunReader.open(store.paths) as reader:
        index = JobIndex()
        index.follow(reader)
        store.apply(Change(withdraw=[jobs[1]], options={"last_number": 5}))
        index.follow(reader)
        assert index.select()[2] == [1, 3, 4, 5] and index.select()[0] == 4
        assert index.select(search="sim-2")[2] == []
        fresh = JobIndex()
        fresh.follow(reader)
        assert fresh.select(sort="name")[2] == [1, 3, 4, 5]
    store.close(CREATED)


@pytest.mark.parametrize("seed", range(5))
def test_bins_hold_as_much_work_as_was_done(seed: int) -> None:
    print("seed", seed)
    rnd = random.Random(seed)
    timeline = Timeline(harmless=frozenset([1]))
    spans = []
    for n in range(3000):
        started = 1e9 + rnd.choice([n / 7, rnd.random() * 5000, -rnd.random() * 100])
        ended = started + rnd.random() ** 4 * rnd.choice([1, 100, 3000])
        spans.append((rnd.randrange(3), started, ended, rnd.choice([1, 2])))
        timeline.add(n + 1, *spans[-1])
    first, last = timeline.span or (0.0, 0.0)
    assert (first, last) == (min(one[1] for one in spans), max(one[2] for one in spans))
    for begin, end, bins in ((first, last, 100), (first + 50, first + 80, 30), (first, last, MOST_BINS * 4)):
        found = timeline.binned(begin, end, bins, {0, 1, 2})
        width = (end - begin) / bins
        for host in range(3):
            work = sum(max(0.0, min(end, e) - max(begin, s)) for h, s, e, _ in spans if h == host)
            assert sum(found[host][0]) * width == pytest.approx(work, rel=0.02, abs=3 * width)
            failed = sum(1 for h, s, e, outcome in spans if h == host and outcome == 2 and s <= end and e >= begin)
            assert sum(found[host][1]) <= failed


def test_a_picture_of_too_many_attempts_has_fewer_bins_and_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    timeline = Timeline(harmless=frozenset([1]))
    for n in range(9000):
        timeline.add(n + 1, 0, n / 10, n / 10 + 1.0, 1 + (n % 9 == 0))
    found = {most: (monkeypatch.setattr("sshjobs.store.timeline.MOST_FINE", most), timeline.binned(100, 200, 400, {0}))[1][0]
             for most in (10, 10**6)}
    assert len(found[10][0]) < len(found[10**6][0]) == 400
    for busy, failed in found.values():
        assert sum(busy) / len(busy) == pytest.approx(10, rel=0.05)
        assert sum(failed) == pytest.approx(1000 / 9, rel=0.1)


def test_there_are_fewer_bins_for_each_of_many_hosts() -> None:
    timeline = Timeline(harmless=frozenset([1]))
    for n in range(2000):
        for host in range(0, 600, 60 if n < 1000 else 1):
            timeline.add(n + 1, host, float(n), n + 1.0, 1)
    cells = sum(map(len, timeline._bins._work.values()))
    assert cells <= 1.1 * MOST_CELLS
    assert sum(timeline.binned(0.0, 2001.0, 100, {0})[0][0]) * 20.01 == pytest.approx(2000, rel=0.02)


def test_what_runs_is_on_the_timeline_too() -> None:
    timeline = Timeline(harmless=frozenset([1]))
    for n in range(100):
        timeline.add(n + 1, 0, float(n), n + 1.0, 1)
    running = [Span(200, 0, 0, 50.0, 120.0), Span(201, 1, 0, 110.0, 120.0), Span(202, 1, 0, 500.0, 600.0)]
    bars = timeline.bars(0.0, 120.0, 1000, running)
    assert bars is not None and len(bars) == 102
    assert [(span.job, lane) for span, lane in bars if span.job >= 200] == [(200, 1), (201, 0)]
    for bins in (10, 120):
        found = timeline.binned(0.0, 120.0, bins, {0, 1}, running)
        width = 120.0 / bins
        assert sum(found[0][0]) * width == pytest.approx(170, rel=0.02)
        assert sum(found[1][0]) * width == pytest.approx(10, rel=0.02) and sum(found[1][1]) == 0


def test_bars_of_a_host_do_not_overlap_in_a_lane() -> None:
    rnd = random.Random(3)
    timeline = Timeline(harmless=frozenset())
    for n in range(500):
        started = rnd.random() * 100
        timeline.add(n + 1, rnd.randrange(2), started, started + rnd.random() * 10, 0)
    bars = timeline.bars(0, 200, 1000)
    assert bars is not None and len(bars) == 500
    lanes: dict[tuple[int, int], float] = {}
    for span, lane in bars:
        assert lanes.get((span.host, lane), -1.0) <= span.started
        lanes[span.host, lane] = span.ended
    assert timeline.bars(0, 200, 499) is None
