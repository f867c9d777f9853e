"""What a row of the store becomes: values as far as they can be so, whoever wrote them, or damage."""

from __future__ import annotations

from typing import Any

import pytest

from sshjobs.store.damage import Damage, check_row
from sshjobs.store.rows import attempt_row_of, job_row_of, sound_facts, sound_pulse

ATTEMPT = (1, 2, "h", "t", "error", "failed", 3, None, "why", 5.0, 6.0, 7, 8, 9, 0.5, 10, 1, 11, 12, "exit", '{"loss":0.5}',
           "0a", "sweep-1", "GPU-1 GPU-2", "8 1234 0")
JOB = (1, "a", "error", "failed", 3, None, "h", "why", None, None, 9.5)
#: Columns of an attempt that its host has told.
TOLD = {"started", "ended", "pid", "out_size", "err_size", "cpu", "rss"}


@pytest.mark.parametrize("name", [name for name in attempt_row_of(ATTEMPT)._fields if name not in TOLD])
def test_what_only_we_have_written_and_cannot_be_is_damage(name: str) -> None:
    place = attempt_row_of(ATTEMPT)._fields.index(name)
    for value in (9e999, -9e999, float("nan"), 2.0**64):
        with pytest.raises(Damage):
            attempt_row_of((*ATTEMPT[:place], value, *ATTEMPT[place + 1:]))


@pytest.mark.parametrize("name", sorted(TOLD))
@pytest.mark.parametrize("value", [9e999, -9e999, float("nan"), 2.0**64])
def test_what_a_host_has_told_and_cannot_be_is_not_known(name: str, value: float) -> None:
    place = attempt_row_of(ATTEMPT)._fields.index(name)
    found = attempt_row_of((*ATTEMPT[:place], value, *ATTEMPT[place + 1:]))
    assert tuple(found) == (*ATTEMPT[:place], None, *ATTEMPT[place + 1:])


def test_what_is_right_stays_as_it_is() -> None:
    assert tuple(attempt_row_of(ATTEMPT)) == ATTEMPT and tuple(job_row_of(JOB)) == JOB
    assert tuple(attempt_row_of([None if n in (5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22) else value
                                 for n, value in enumerate(ATTEMPT)]))[5:8] == (None, None, None)


def test_a_long_reason_is_cut_and_nothing_beside_it_changes() -> None:
    for length, kept in ((2000, 2000), (2001, 2000)):
        assert tuple(attempt_row_of((*ATTEMPT[:8], "x" * length, *ATTEMPT[9:]))) == (*ATTEMPT[:8], "x" * kept, *ATTEMPT[9:])
        assert tuple(job_row_of((*JOB[:7], "x" * length, *JOB[8:]))) == (*JOB[:7], "x" * kept, *JOB[8:])


def test_no_job_and_no_attempt_is_in_a_state_that_there_is_not() -> None:
    with pytest.raises(Damage, match="no attempt can be 'asleep'"):
        attempt_row_of((*ATTEMPT[:4], "asleep", *ATTEMPT[5:]))
    with pytest.raises(Damage, match="no job can be 'asleep'"):
        job_row_of((*JOB[:2], "asleep", *JOB[3:]))


@pytest.mark.parametrize(("facts", "sound"), [
    ({"cores": 0}, {}), ({"cores": 1}, {"cores": 1}), ({"disk": 0}, {"disk": 0}), ({"disk": -1}, {}), ({"disk": 2**63 - 1}, {"disk": 2**63 - 1}),
    ({"disk": 2**63}, {}), ({"clock": 1e400}, {}), ({"clock": float("nan")}, {}), ({"boot": None}, {}), ({"boot": "a\x1bb"}, {"boot": "a\\x1bb"}),
    ({"boot": "x" * 2001}, {"boot": "x" * 2000}), ({"gpus": ["a", 1, "y" * 2001]}, {"gpus": ["a", "y" * 2000]}),
    ({"gpus": ["a"] * 2001}, {"gpus": ["a"] * 2000}), ({"gpus": None}, {}), ({"x": {"y": 1}}, {})])
def test_facts_are_kept_as_far_as_they_can_be_so(facts: dict[str, Any], sound: dict[str, Any]) -> None:
    assert sound_facts(facts) == sound


@pytest.mark.parametrize(("pulse", "sound"), [
    ({"load": 1, "at": 2, "memory": 3.7}, {"load": 1.0, "at": 2.0, "memory": 3}), ({"load": -0.1}, {}), ({"load": 0}, {"load": 0.0}),
    ({"memory": 2**63 - 1}, {"memory": 2**63 - 1}), ({"memory": 2**63}, {}), ({"load": float("nan")}, {}), ({"load": True}, {}),
    ({"gpus": [1, None, -1, "x", 2.9]}, {"gpus": [1, None, None, None, 2]}), ({"gpu_memory": "x"}, {}),
    ({"jobs": {"1.1": [1, 2.5], "2.1": [1], "3.1": [1, -1], "4.1": None, "5.1": [1, 2, 3]}}, {"jobs": {"1.1": (1.0, 2)}}), ({"jobs": []}, {})])
def test_a_pulse_is_kept_as_far_as_it_can_be_so(pulse: dict[str, Any], sound: dict[str, Any]) -> None:
    assert sound_pulse(pulse) == sound
    for key, value in sound.items():
        assert type(value) is type(sound_pulse(pulse)[key])


@pytest.mark.parametrize(("row", "kinds", "right"), [
    ((1, "x", 1.5), "isf", True), ((1, "x", 2), "isf", True), ((None, None, None), "ISF", True), ((None,), "i", False), ((1.0,), "i", False),
    ((b"x",), "s", False), ((True,), "i", False), ((2.0**63,), "f", True), ((-(2.0**63),), "f", True), ((2.0**63 + 2049,), "f", False), ((float("nan"),), "f", False)])
def test_a_row_is_checked_value_by_value_each_time(row: tuple[Any, ...], kinds: str, right: bool) -> None:
    for _ in range(2):
        if right:
            check_row(row, kinds)
        else:
            with pytest.raises(Damage):
                check_row(row, kinds)


def test_a_row_has_as_many_values_as_are_asked_for() -> None:
    for row in ((1,), (1, 2, 3)):
        with pytest.raises(ValueError):
            check_row(row, "ii")
