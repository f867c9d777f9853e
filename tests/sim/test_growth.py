"""What a job costs does not grow with the run: counted in function calls, which no load on this machine changes."""

from __future__ import annotations

import cProfile
import pstats
import tracemalloc

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


def most_memory(jobs: int) -> int:
    """Bytes that a run has held at most."""
    tracemalloc.start()
    try:
        scale.measure(jobs, 10)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_job_takes_less_than_a_kibibyte_of_memory() -> None:
    most_memory(500)
    # Both of a size just behind that at which dictionaries have grown.
    assert (most_memory(9_000) - most_memory(4_500)) / 4_500 < 1024
