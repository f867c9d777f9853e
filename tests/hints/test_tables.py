"""Hints of ``sshjobs table``: each mistake is made, and what is said is then accepted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sshjobs.errors import SshjobsError
from tests.hints import Row, matches
from tests.hints.acts import cli, run_all


def table(*words: str) -> Callable[[], None]:
    """Return what shows the table of a run that is over."""
    return cli("table", "finished", *words)


ROWS = [
    Row("write a condition such as: loss<0.3 and host='node 1'", table("--where", "host='node 1"),
        table("--where", "seconds<0.3 and host='node 1'")),
    Row("take parentheses out", table("--where", "(" * 60 + "job=a" + ")" * 60),
        table("--where", "(job=a)")),
    Row("the limit is {}", table("--where", f"job={'a' * 10_000}"), table("--where", "job=a")),
    Row("name some, or leave it out", table("--columns", " ,"), lambda: run_all(table("--columns", "job"), table())),
    Row("take of {}", table("--agg", "average"),
        lambda: run_all(*[cli("table", "finished", "--agg", word) for word in
                          ("mean", "std", "min", "max", "median", "sum", "count")])),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.hint[:60])
def test_what_a_hint_says_is_accepted(row: Row, place: Path) -> None:
    with pytest.raises(SshjobsError) as error:
        row.wrong()
    assert matches(row.hint, str(error.value)), error.value
    row.right()
