"""A small part of what ``python -m tests.forecast.coverage`` plays, and how it does that."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import pytest

from sshjobs.forecast.ends import Forecast
from tests.forecast import workloads
from tests.forecast.coverage import FIGURES, LEAST, MOST, SEEDED, Tried, page, seeded, table, tried_of, try_out, within
from tests.forecast.workloads import FEWEST_JOBS, MOST_JOBS, of_trace, play


def test_most_true_ends_lie_within_what_was_forecast() -> None:
    # Of so few no more can be said: of ten runs eight are expected, and six or fewer are seen one time in eight.
    tried = [try_out(work) for work in islice(seeded(77), 15)]
    print("\n".join(table(tried, SEEDED)))
    assert within(tried) >= 0.5
    assert sum(one.told is not None for one in tried) >= 12


def test_a_play_is_the_same_again_and_a_question_changes_nothing_in_it() -> None:
    work = next(seeded(78))
    whole = play(work)
    asked = play(work, (whole.begin + whole.end) / 2)
    assert (asked.begin, asked.end) == (whole.begin, whole.end) and asked.told is not None and whole.told is None


def a_trace(path: Path) -> Path:
    """A trace of three users whose jobs take as many seconds as they have numbers; of every tenth it is not known."""
    rows = ["; Version: 2.2", ""]
    rows += [f"{n} {n} -1 {-1 if n % 10 == 0 else n} 1 -1 -1 1 -1 -1 1 {n % 3 + 1} 1 -1 -1 1 -1 -1" for n in range(1, 2_401)]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_runs_of_a_trace_have_the_jobs_of_one_user_in_their_order_and_none_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "_paced", lambda work: work)
    works = list(of_trace("t", str(a_trace(tmp_path / "t.swf")), lambda user: user != 2))
    assert all(FEWEST_JOBS <= len(work.lengths) <= MOST_JOBS and sum(work.slots.values()) <= len(work.lengths) for work in works)
    seen: list[float] = []
    for work in works:
        seconds = list(work.lengths.values())
        assert seconds == sorted(seconds) and len({int(one) % 3 for one in seconds}) == 1
        seen += seconds
    assert len(set(seen)) == len(seen) and {int(one) % 3 for one in seen} == {0, 2}
    left_over = {n for n in range(1, 2_401) if n % 3 != 1 and n % 10} - {int(one) for one in seen}
    assert len(left_over) < 2 * FEWEST_JOBS
    assert {int(next(iter(work.lengths.values()))) % 3 for work in works[:2]} == {0, 2}, "users take turns"


def test_the_page_says_what_was_played_and_how_many_ended_when(tmp_path: Path) -> None:
    told = Forecast(10.0, 20.0, 30.0)
    traces = [Tried("t", told, 5.0), Tried("t", told, 20.0), Tried("t", told, 20.0), Tried("t", told, 31.0), Tried("t", None, 3.0)]
    text = page([str(a_trace(tmp_path / "t.swf"))], traces, 7, tried_of(iter(()), 1, lambda work, one: None))
    assert "| `t` | 4 | 50.0 % | 25.0 % | 25.0 % | 1.00 | " in text and "Of 1 more nothing was forecast" in text
    assert re.search(r"`t\.swf` \(sha256 [0-9a-f]{16}…\)", text) and "| all |" not in text
    assert within(traces) == 0.5


def test_the_figures_in_the_documentation_are_what_is_promised() -> None:
    _, traces, seeds = re.split(r"^\*\*(?=Jobs of public|Workloads from)", FIGURES.read_text(), flags=re.MULTILINE)
    rows = [re.findall(r"^\| .* \| (\d+) \| ([\d.]+) % \|", part, re.MULTILINE)[-1] for part in (traces, seeds)]
    assert sum(int(number) for number, _ in rows) >= 300
    assert all(LEAST <= float(share) / 100 <= MOST for _, share in rows)
