"""The SQL files: complete, described, and saying the same as the code and the documentation."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from sshjobs.errors import StoreError
from sshjobs.model.states import MOVES, STATES, Outcome
from sshjobs.store import RUN_STATES
from sshjobs.store.queries import parse, queries, schema

ROOT = Path(__file__).parents[2]


def moves(text: str) -> set[tuple[str, str, str]]:
    """The lettered moves in a text: (letter, from, to)."""
    found = set()
    for state, comment in re.findall(r"^\s*state = '(\w+)'(?: OR)?\s*--(.*)$", text, re.MULTILINE):
        found |= {(letter, state, to) for letter, to in re.findall(r"(\w): -> (\w+)", comment)}
    return found


def test_the_schema_draws_the_lawful_moves() -> None:
    found = moves(schema())
    assert {(start, to) for _, start, to in found} == {(start, to) for start in MOVES for to in MOVES[start]}
    assert len({letter for letter, _, _ in found}) == len(found)


def test_the_documentation_draws_the_same_moves() -> None:
    page = (ROOT / "docs/store.md").read_text("utf-8")
    table = re.findall(r"^\| (\w) \| `(\w+)` \| `(\w+)` \|", page, re.MULTILINE)
    assert set(table) == moves(schema())
    diagram = page[page.index("```text") : page.index("```", page.index("```text") + 3)]
    for letter, _, _ in table:
        assert re.search(rf"\b{letter}\b", diagram), letter


def accepted(connection: sqlite3.Connection, statement: str, words: list[str]) -> list[str]:
    """Which words the schema lets into a column."""
    found = []
    for word in words:
        try:
            connection.execute(statement, (word,))
            found.append(word)
        except sqlite3.IntegrityError:
            continue
    return found


def test_the_schema_takes_the_words_of_the_code_and_no_others() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema())
    connection.execute("INSERT INTO run (id, uid, name, created, options) VALUES (1, '', '', 0, '')")
    connection.execute("INSERT INTO jobs (number, name, spec, repeat, state) VALUES (1, 'j', 1, 1, 'free')")
    outcomes = [outcome.value for outcome in Outcome]
    every = [*STATES, *outcomes, *RUN_STATES, "unattended", "nonsense", ""]
    assert set(accepted(connection, "UPDATE jobs SET state = ?", every)) == set(STATES)
    assert set(accepted(connection, "UPDATE jobs SET outcome = ?", every)) == set(outcomes)
    assert set(accepted(connection, "UPDATE run SET state = ?", every)) == set(RUN_STATES)
    attempt = "INSERT INTO attempts (job, n, host, token, state) VALUES (1, random(), 'h', 't', ?)"
    assert set(accepted(connection, attempt, every)) == set(STATES)
    connection.close()


def test_every_query_is_used() -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "sshjobs/store").glob("*.py"))
    assert [name for name in queries() if f'"{name}"' not in code] == []


def test_a_query_without_a_description_or_with_a_name_twice_is_refused() -> None:
    fine = "-- name: a\n-- What it is for.\nSELECT 1;\n"
    assert parse(fine) == {"a": "SELECT 1"}
    for text in (fine + fine, "-- name: a\nSELECT 1;\n"):
        with pytest.raises(StoreError):
            parse(text)
