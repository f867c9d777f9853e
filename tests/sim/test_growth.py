"""What a job costs does not grow with the run: counted in function calls, which no load on this machine changes."""

from __future__ import annotations

import cProfile
import pstats

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
