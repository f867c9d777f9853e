"""Durations: what people write, what they mean, and what we say back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshjobs.errors import UsageError
from sshjobs.inputs.timespans import format_duration, parse_duration
from sshjobs.model.given import LONGEST_S


@pytest.mark.parametrize(("text", "seconds"), [
    ("90", 90), ("0.5", 0.5), (".5", 0.5), ("1s", 1), ("2h30m", 9000), ("1d", 86400), ("1w", 604800),
    ("1d 2h", 93600), (" 5m ", 300), ("1.5h", 5400), ("250ms", 0.25), ("1m1s", 61), ("0090", 90),
    (90, 90), (0.25, 0.25), ("3650d", LONGEST_S),
])
def test_durations_are_read_as_written(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "said"), [
    ("1:30", "'1:30' is not a duration; write 1m30s or 1h30m"),
    ("1:30:00", "'1:30:00' is not a duration; write 1h30m0s"),
    ("-5", "'-5' is not a duration; write seconds (90) or units (1s, 2h30m, 1d)"),
    ("5 parsecs", "'5 parsecs' is not a duration; write seconds (90) or units (1s, 2h30m, 1d)"),
    ("0", "a duration must be above zero, got '0'; write seconds (90) or units (1s, 2h30m, 1d)"),
    ("0s", "a duration must be above zero, got '0s'; write seconds (90) or units (1s, 2h30m, 1d)"),
    ("3651d", "'3651d' is more than 3650d; leave it out for no limit"),
    (-1, "a duration must be above zero, got -1; write seconds (90) or units (1s, 2h30m, 1d)"),
    (10**30, f"{10**30} is more than 3650d; leave it out for no limit"),
    ("9" * 200, "this text is not a duration; write seconds (90) or units (1s, 2h30m, 1d)"),
])
def test_what_is_no_duration_is_told_with_what_to_write(text, said):
    with pytest.raises(UsageError) as caught:
        parse_duration(text)
    assert str(caught.value) == said


@pytest.mark.parametrize("value", [
    "", "nan", "inf", "1e400", "1e3", "s", "1x", "1s1h", "1s1s", "1h-5m", "１", "1_000", "0x10", "1h 5",
    float("nan"), float("inf"), float("-inf"), 0, -0.5, True, None, [1],
])
def test_nothing_else_is_a_duration(value):
    with pytest.raises(UsageError):
        parse_duration(value)


@given(st.integers(1, int(LONGEST_S)) | st.floats(0.001, 59).map(lambda seconds: round(seconds, 3)))
def test_a_formatted_duration_reads_back_as_itself(seconds):
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(("seconds", "text"), [
    (9000, "2h30m"), (90, "1m30s"), (0.25, "0.25s"), (5, "5s"), (86400, "1d"),
])
def test_durations_are_shown_as_people_write_them(seconds, text):
    assert format_duration(seconds) == text
