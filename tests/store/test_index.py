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


def test_the_figures_of_a_host_are_counted_from_its_attempts(tmp_path: Path) -> None:
    jobs = make_jobs(6)
    store = make_store(tmp_path, jobs)
    outcomes = [Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED, Outcome.NEVER_STARTED]
    for number, (job, outcome) in enumerate(zip(jobs, outcomes, strict=False), 1):
        launch(store, job, "b")
        finish(store, job, outcome)
        job.attempts[-1].ended = (job.attempts[-1].started or 0.0) + number
        job.attempts[-1].cpu = 0.5
    launch(store, jobs[5], "b")
    store.commit()
    with RunReader.open(store.paths) as reader:
        index = JobIndex()
        index.follow(reader)
        (figures,) = index.figures
        assert (figures.busy, figures.done, figures.failed, figures.ended) == (1, 2, 1, 5)
        assert (figures.seconds, figures.cpu) == (1 + 2 + 3 + 4 + 5, 2.5)
        # What has not ended has no length, and comes first.
        assert index.select(sort="seconds")[2] == [6, 1, 2, 3, 4, 5]
        assert index.select(sort="seconds", descending=True, offset=1, limit=2)[2] == [4, 3]
    store.close(CREATED)


def counted(spans: list[tuple[int, float, float, int]], first: float, width: float, bins: int, host: int) -> list[float]:
    """Return how many attempts of a host ran on average in each bin."""
    edges = [first + n * width for n in range(bins + 1)]
    return [sum(max(0.0, min(end, e) - max(begin, s)) for h, s, e, _ in spans if h == host) / width
            for begin, end in zip(edges, edges[1:], strict=False)]


@pytest.mark.parametrize("seed", range(4))
def test_each_bin_of_a_small_window_is_what_counting_gives(seed: int) -> None:
    rnd = random.Random(seed)
    timeline, spans = Timeline(harmless=frozenset([1])), []
    for n in range(200):
        started = rnd.randrange(400) / 4
        spans.append((rnd.randrange(2), started, started + rnd.choice([0.0, 0.25, 1.0, 7.5]), rnd.choice([1, 2])))
        timeline.add(n + 1, *spans[-1])
    for first, width, bins in ((0.0, 0.1, 300), (20.0, 0.05, 100), (-5.0, 0.08, 200)):
        found = timeline.binned(first, first + width * bins, bins, {0, 1})
        for host in (0, 1):
            assert found[host][0] == pytest.approx(counted(spans, first, width, bins, host), abs=0.002)
            assert sum(found[host][1]) == sum(1 for h, s, e, outcome in spans
                                              if h == host and outcome == 2 and first <= e <= first + width * bins)


def test_bins_that_grow_wider_and_begin_earlier_keep_each_second_where_it_was() -> None:
    timeline, spans = Timeline(harmless=frozenset([1])), []
    # First short ones, then some that make the bins wider again and again, then some from before the first.
    for n in range(3000):
        started = 4096.0 + n * 2 if n < 2000 else 4096.0 - (n - 2000) * 4
        spans.append((0, started, started + 2.0 * (n > 0), 2 - n % 2))
        timeline.add(n + 1, *spans[-1])
    first, last = timeline.span or (0.0, 0.0)
    assert timeline._bins.width > 1 and len(timeline._bins._work[0]) <= MOST_BINS
    bins = 64
    width = 8192 / bins
    found = timeline.binned(0.0, 8192.0, bins, {0})[0]
    assert found[0] == pytest.approx(counted(spans, 0.0, width, bins, 0), abs=2 * timeline._bins.width / width)
    assert sum(found[0]) * width == pytest.approx(sum(e - s for _, s, e, _ in spans), abs=0.1 * bins)
    assert sum(found[1]) == sum(1 for span in spans if span[3] == 2)
    assert found[1] == pytest.approx([sum(1 for _, _, e, outcome in spans if outcome == 2 and n * width <= e < (n + 1) * width)
                                      for n in range(bins)], abs=2)


def test_an_attempt_at_the_edge_of_a_window_is_in_it() -> None:
    timeline = Timeline(harmless=frozenset())
    timeline.add(1, 0, 10.0, 20.0, 0)
    for first, last, there in ((20.0, 30.0, 1), (0.0, 10.0, 1), (20.5, 30.0, 0), (0.0, 9.5, 0)):
        assert len(list(timeline.within(first, last))) == len(timeline.bars(first, last, 9) or []) == there


def test_one_job_follows_another_in_the_same_lane_where_they_touch() -> None:
    timeline = Timeline(harmless=frozenset())
    for number, (started, ended) in enumerate([(0.0, 1.0), (1.0, 2.0), (1.5, 3.0), (2.0, 4.0)], 1):
        timeline.add(number, 0, started, ended, 0)
    assert [(bar.span.job, bar.lane) for bar in timeline.bars(0.0, 9.0, 9) or []] == [(1, 0), (2, 0), (3, 1), (4, 0)]


def test_a_search_that_finds_too_much_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path, make_jobs(5))
    with RunReader.open(store.paths) as reader:
        index = JobIndex()
        index.follow(reader)
        for most, found in ((4, (4, True, [1, 2, 3, 4])), (5, (5, False, [1, 2, 3, 4, 5]))):
            monkeypatch.setattr("sshjobs.store.index.MOST_FOUND", most)
            assert index.select(search="SIM") == found
        assert index.select(search="sim-3\nsim-4")[2] == [3] and index.select(search="m-1\n")[2] == [1]
    store.close(CREATED)


def test_names_are_known_by_their_numbers(tmp_path: Path) -> None:
    jobs = make_jobs(4, "job")
    store = make_store(tmp_path, jobs)
    for job in jobs:
        store.touch(job)
        store.commit()
    with RunReader.open(store.paths) as reader:
        index = JobIndex()
        index.follow(reader)
        assert [index.name(number) for number in (1, 2, 3, 4)] == ["job-1", "job-2", "job-3", "job-4"]
        assert reader.newest_commit() == reader.changed_since(-1)[0] == reader.summary().commit >= 4
    store.close(CREATED)


@pytest.mark.parametrize("failed", [[], [1], [50], [1, 50], [7, 8, 40], list(range(3, 44))])
def test_few_or_many_jobs_of_a_kind_are_found_from_either_end(tmp_path: Path, failed: list[int]) -> None:
    jobs = make_jobs(50)
    store = make_store(tmp_path, jobs)
    for number in failed:
        launch(store, jobs[number - 1])
        finish(store, jobs[number - 1], Outcome.FAILED)
    store.commit()
    with RunReader.open(store.paths) as reader:
        index = JobIndex()
        index.follow(reader)
        assert index.select(states=[STATE_ERROR])[2] == failed
        assert index.select(states=[STATE_ERROR], descending=True)[2] == failed[::-1]
        assert index.select(states=[STATE_ERROR], offset=1, limit=1)[2] == failed[1:2]
        assert index.select(states=[STATE_ERROR], descending=True, offset=1, limit=1)[2] == failed[::-1][1:2]
    store.close(CREATED)
