"""A host that is short of something for one call: a seeded choice of what ``python -m tests.faults.scarce`` tries."""

from __future__ import annotations

import random

import pytest

from sshjobs.gjob import system
from tests.faults import scarce

SEED = 20
#: At each of these places an error was taken for absence once, or ended a process that others hang on.
ALWAYS = ("gjob/agent/pool.py", "gjob/journal.py", "gjob/procs.py", "gjob/files.py")


def chosen() -> list[scarce.Case]:
    every, choice = scarce.cases(), random.Random(SEED)
    return [choice.choice([case for case in every if case.file == file]) for file in ALWAYS] + choice.sample(every, 4)


def test_a_run_in_which_nothing_fails_is_as_promised() -> None:
    assert scarce.try_it(None)["wrong"] == []


@pytest.mark.parametrize("case", chosen(), ids=lambda case: case.name)
def test_a_call_that_fails_once_costs_no_job_and_no_byte(case: scarce.Case) -> None:
    print(f"seed {SEED}")
    assert scarce.try_it(case)["wrong"] == []


def test_every_place_is_tried_with_every_error() -> None:
    found = scarce.cases()
    assert len(found) > 1000 and len(found) == len({(case.name, case.last) for case in found})
    assert {case.call for case in found} <= set(system.CALLS)
    assert {"fork", "spawn", "open", "read", "mkdir", "stat_of", "splice"} <= {case.call for case in found}
