"""Hints about jobfiles that are JSON, and of ``init``: each mistake is made, and what is said is then accepted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sshjobs.errors import SshjobsError
from sshjobs.inputs.jobfile import load_jobfile
from tests.hints import Row, matches
from tests.hints.acts import cli, run_all

GOOD = '{"jobs": [{"commands": ["a"]}]}'


def file(text: str, name: str = "jobs.json") -> Callable[[], object]:
    """Return what reads a jobfile."""
    return lambda: load_jobfile(name, text.encode())


def job(text: str) -> Callable[[], object]:
    """Return what reads a jobfile with a job that has these keys besides its commands."""
    return file(f'{{"jobs": [{{"commands": ["a"], {text}}}]}}')


ROWS = [
    Row('write {"jobs": […]}', file('[{"commands": ["a"]}]'), file(GOOD)),
    Row("a file is one value", file(GOOD + GOOD), file(GOOD)),
    Row("text stands in double quotes", file("{'jobs': []}"), file(GOOD)),
    Row("JSON has no comments: take it out, or write YAML", file("// mine\n" + GOOD), file("# mine\n" + GOOD, "jobs.yaml")),
    Row("a text that begins here does not end on its line", job('"name": "a\nb"'), job('"name": "a b"')),
    Row("JSON knows null, true, false, numbers, and text in double quotes", job('"once": True'), job('"once": true')),
    Row("write two of them for one", job('"name": "a\\d"'), job('"name": "a\\\\d"')),
    Row("write \\t", job('"env": {"A": "a\tb"}'), job('"env": {"A": "a\\tb"}')),
    Row("take \\u0000 out", job('"env": {"A": "a\\u0000b"}'), job('"env": {"A": "ab"}')),
    Row("name the file jobs.yaml", cli("init", "jobs.json"), lambda: run_all(Path("jobs.yaml").unlink, cli("init", "jobs.yaml"))),
    Row("name another: sshjobs init FILE", cli("init"), cli("init", "mine.yaml")),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.hint[:60])
def test_what_a_hint_says_is_accepted(row: Row, place: Path) -> None:
    with pytest.raises(SshjobsError) as error:
        row.wrong()
    assert matches(row.hint, str(error.value)), error.value
    row.right()
