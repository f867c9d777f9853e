"""What a job costs does not grow with the run: counted in function calls, which no load on this machine changes."""

from __future__ import annotations

import cProfile
import gc
import pstats
import tracemalloc
from typing import Any

import pytest

from sshjobs.running.books import Books
from sshjobs.store import Summary
from tests.benchmarks import scale


def calls(jobs: int, hosts: int) -> int:
    """Function calls of a run, simulated hosts included."""
    profile = cProfile.Profile()
    profile.enable()
    scale.measure(jobs, hosts)
    profile.disable()
    total: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    return total


def calls_a_job(hosts: int) -> float:
    """Of what more jobs take on the same hosts, so that what a host takes once is not counted."""
    few, many = 10 * hosts, 20 * hosts
    return (calls(many, hosts) - calls(few, hosts)) / (many - few)


def test_a_job_costs_no_more_where_there_are_more_hosts() -> None:
    assert calls_a_job(80) < 1.3 * calls_a_job(10)


def held(jobs: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that a run holds once its jobs have ended, before it is closed.

    Not the most that it ever held: there a batch of rows that is being written counts too, or not, as the moment has it.
    """
    seen, really = [], Books.conclude

    def conclude(books: Books, *arguments: Any) -> Summary:
        gc.collect()
        seen.append(tracemalloc.get_traced_memory()[0])
        return really(books, *arguments)

    tracemalloc.start()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Books, "conclude", conclude)
            scale.measure(jobs, 10)
    finally:
        tracemalloc.stop()
    return seen[-1]


def test_a_job_takes_less_than_a_kibibyte_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    held(200, monkeypatch)
    # Both of a size just behind that at which dictionaries have grown.
    each = (held(2_250, monkeypatch) - held(1_125, monkeypatch)) / 1_125
    print(f"{each:.0f} bytes a job")
    assert each < 1024
