"""Advice about hosts that are shared, and about files of durations: each hint is met and followed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sshjobs.errors import SshjobsError
from sshjobs.inputs import traces
from sshjobs.inputs.hostfile import load_hosts
from tests.hints import Row, matches, tries

TOMORROW = (datetime.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
LONG, MANY = "a" * (traces.MOST_CHARACTERS + 1), traces.MOST_COLUMNS


def host(word: str) -> Callable[[], object]:
    return lambda: load_hosts([f"h1 {word}".strip()])


def trace(text: str, name: str = "t.csv") -> Callable[[], object]:
    """Return what reads a file of durations."""
    def act() -> None:
        Path(name).write_text(text)
        traces.load_trace(name)
    return act


ROWS = [
    Row("write share=0.5", host("share=0"), host("share=0.5")),
    Row("write max_load=8", host("max_load=-1"), host("max_load=8")),
    Row("write only=20:00-08:00", host("only=25:00"), host("only=20:00-08:00")),
    Row("leave it out for the whole day", host("only=20:00-20:00"), host("")),
    Row("write until=2026-12-01T18:00, with Z or +02:00 behind it where that is not the time of this machine",
        host("until=tomorrow"), host(f"until={TOMORROW}+02:00")),
    Row("leave the host out, or write when it is to be left", host("until=2020-01-01T18:00"), host(f"until={TOMORROW}")),
    Row("name a file of CSV or SWF", lambda: traces.load_trace("nowhere.csv"), trace("job,seconds\na,1\n")),
    Row("name another file", trace("job,seconds\n"), trace("job,seconds\na,1\n")),
    Row("shorten it", trace(f"job,seconds\n{LONG},1\n"), trace("job,seconds\na,1\n")),
    Row("correct it", trace("job,seconds\na,1,2\n"), trace("job,seconds\na,1\n")),
    Row("the first line names the columns: job,seconds,host,submit,cpus,memory, and parameters by their names",
        trace("a,1\n"), trace("job,seconds,host,submit,cpus,memory,lr\na,1,h1,0,1,1G,0.1\n")),
    Row("give each of them, at most {}, a name of its own", trace("seconds,seconds\n1,1\n"), trace("seconds,job\n1,a\n")),
    Row("write 512M or 4G", trace("seconds,memory\n1,many\n"), trace("seconds,memory\n1,512M\n")),
    Row("write a number from {} to {}", trace("seconds\n-1\n"), trace("seconds\n1\n")),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.hint)
def test_the_advice_works(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SshjobsError) as caught:
        row.wrong()
    assert matches(row.hint, str(caught.value)), caught.value
    row.right()


@tries("leave some out")
def test_a_file_of_too_many_lines_is_read_when_some_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(traces, "MOST_ROWS", 3)
    with pytest.raises(SshjobsError, match="leave some out"):
        trace("seconds\n1\n2\n3\n")()
    trace("seconds\n1\n2\n")()
