"""The matrix of faults: every row says by which tests it is tried, or why not here, and those tests are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.house.source import ROOT

MATRIX = (ROOT / "tests" / "faults" / "matrix.md").read_text()
_ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
ROWS = {int(number): tried for number, _, tried in _ROW.findall(MATRIX)}


def test_the_matrix_has_all_its_rows() -> None:
    assert list(ROWS) == list(range(1, 58))


def test_every_row_names_a_test_or_says_why_there_is_none_here() -> None:
    assert [number for number, tried in ROWS.items() if "::" not in tried and "not here: " not in tried] == []


def test_every_test_that_a_row_names_is_there() -> None:
    named = {name for tried in ROWS.values() for name in re.findall(r"`([^`]*(?:::|\.py|test_)[^`]*)`", tried)}
    assert len(named) > 50
    assert sorted(name for name in named if not _is_there(name)) == []


def test_every_campaign_that_a_row_names_is_one_of_the_plan() -> None:
    planned = {line.split()[0] for line in _plan()}
    named = {name for tried in ROWS.values() for words in re.findall(r"campaigns? ((?:`\w+`(?:, | and )?)+)", tried)
             for name in re.findall(r"`(\w+)`", words)}
    # A test that is named in the same breath is no campaign.
    assert named and named <= planned


def test_the_published_page_has_the_matrix_as_it_is() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert page.partition("## The matrix of faults\n")[2].strip() == MATRIX.strip()


def _plan() -> tuple[str, ...]:
    """The campaigns of ``make faults``, read without loading them."""
    for node in ast.parse((ROOT / "tests" / "faults" / "report.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PLAN":
            found: tuple[str, ...] = ast.literal_eval(node.value)
            return found
    raise AssertionError("tests/faults/report.py has no PLAN")


def _is_there(name: str) -> bool:
    """Whether a node id, ``tests/x/test_y.py::test_z``, names a test function."""
    path, _, function = name.partition("::")
    file = ROOT / Path(path)
    if not function or not file.is_file():
        return False
    return any(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == function
               for node in ast.walk(ast.parse(file.read_text())))
