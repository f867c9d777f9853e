"""That the hunt itself works: faults are found where there are some, the tests that cover them are tried, a planted one is noticed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT
from tests.mutation.__main__ import Copy, hunt
from tests.mutation.covering import Covered, files
from tests.mutation.mutants import SCOPE, Mutant, every_mutant, found_again, mutated, of_file, sample
from tests.mutation.report import reasons

SMALL = "sshjobs/gjob/small.py"
SOURCE = """LIMIT = 3

def room(used: int | None, *, more=1):
    return used is not None and used + more < LIMIT

def unused():
    return 7
"""
TESTS = """import subprocess, sys
from sshjobs.gjob.small import room

def test_room():
    assert room(1) and not room(2)

def test_in_another_process():
    subprocess.run([sys.executable, "-c", "from sshjobs.gjob import small; small.unused()"], check=True)

def test_that_fails():
    assert room(9)
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A tree with one module, its tests, and what the hunt needs."""
    (tmp_path / SMALL).parent.mkdir(parents=True)
    (tmp_path / SMALL).write_text(SOURCE)
    (tmp_path / "sshjobs/gjob/__init__.py").write_text("")
    (tmp_path / "test_small.py").write_text(TESTS)
    for name in ("mutation", "house"):
        shutil.copytree(ROOT / "tests" / name, tmp_path / "tests" / name)
    return tmp_path


def test_every_part_of_the_scope_has_mutants_and_a_seed_draws_the_same_ones_again() -> None:
    found = list(every_mutant())
    for part in SCOPE:
        assert any(mutant.path.startswith(part) for mutant in found)
    assert sample(found, 50, 7) == sample(found, 50, 7) != sample(found, 50, 8)


def test_every_suite_of_the_pass_is_there() -> None:
    assert all((ROOT / name).is_file() for name in files(ROOT))


def test_a_mutant_differs_from_its_file_where_it_says() -> None:
    path = Path("sshjobs/scheduling/quarantine.py")
    source = path.read_text(encoding="utf-8").splitlines()
    for mutant in list(of_file(path))[:40]:
        changed = [n for n, (old, new) in enumerate(zip(source, mutated(mutant).splitlines(), strict=False), 1) if old != new]
        assert changed and min(changed) >= mutant.line - 1, mutant.name


def test_types_and_stars_before_arguments_are_no_arithmetic(small: Path) -> None:
    found = [mutant for mutant in of_file(Path(SMALL), small) if "Binary" in mutant.operator]
    assert [(mutant.operator, mutant.line) for mutant in found] == [("ReplaceBinaryOperator_Add_Sub", 4)]


def test_a_mutant_is_found_again_where_other_lines_have_changed(small: Path) -> None:
    drawn = [mutant for mutant in of_file(Path(SMALL), small) if mutant.operator == "NumberReplacer" and mutant.line == 7]
    assert len(drawn) == 2
    later = SOURCE.replace("LIMIT = 3\n", "FEW = 2\nLIMIT = 3 + FEW\n")
    (small / SMALL).write_text(later)
    again = [found_again(mutant, SOURCE, later, small) for mutant in drawn]
    assert [mutant and (mutant.line, mutated(mutant, small).splitlines()[7]) for mutant in again] == [
        (8, "    return 8"), (8, "    return 6")]
    assert found_again(Mutant(SMALL, "NumberReplacer", 0, 1, 0), SOURCE, later, small) is None


def test_the_tests_that_carry_out_a_line_are_tried_here_and_in_other_processes(small: Path) -> None:
    out = small / "lines" / "small.json"
    out.parent.mkdir()
    subprocess.run([sys.executable, "-m", "tests.mutation.noting", str(out), "test_small.py"], cwd=small,
                   env={**os.environ, "PYTHONPATH": str(small)}, capture_output=True, check=False)
    covered = Covered(out.parent, lambda path: SOURCE, small)

    def tests(line: int) -> list[str]:
        return covered.tests(Mutant(SMALL, "", 0, line, 0))

    assert tests(4) == ["test_small.py::test_room"], "one that fails by itself notices nothing"
    assert tests(7) == ["test_small.py::test_in_another_process"]
    assert tests(1) == ["test_small.py::test_room"], "what is set at the import is covered by those who use it"
    assert tests(3) == ["test_small.py::test_room"], "and a function's default by what the function does"
    (small / "test_other.py").write_text("def test_other():\n    pass\n\ndef test_another():\n    pass\n")
    subprocess.run([sys.executable, "-m", "tests.mutation.noting", str(out), "test_other.py"], cwd=small,
                   env={**os.environ, "PYTHONPATH": str(small)}, capture_output=True, check=False)
    noted = json.loads(out.read_text())
    assert len(noted["tests"]) == 2 and noted["lines"] == {}, "what earlier tests have carried out is not theirs"


def test_a_planted_fault_is_noticed_and_one_that_nobody_looks_at_survives(small: Path) -> None:
    mutants = list(of_file(Path(SMALL), small))
    bound, = (mutant for mutant in mutants if mutant.operator == "ReplaceComparisonOperator_Lt_LtE")
    other = next(mutant for mutant in mutants if mutant.line == 7)
    with Copy(small) as copy:
        room, both = ["test_small.py::test_room"], ["test_small.py::test_that_fails", "test_small.py::test_room"]
        fates = [hunt(bound, copy, room, {}), hunt(other, copy, room, {}), hunt(bound, copy, both, {}), hunt(bound, copy, both[:1], {})]
    assert [fate["fate"] for fate in fates] == ["killed", "survived", "killed", "survived"]
    assert fates[0]["by"] == fates[2]["by"] == room[0]
    assert fates[2]["failed_without"] == fates[3]["failed_without"] == both[0]
    assert (small / SMALL).read_text() == SOURCE


def test_tests_that_are_gone_are_passed_over(small: Path) -> None:
    bound, = (mutant for mutant in of_file(Path(SMALL), small) if mutant.operator == "ReplaceComparisonOperator_Lt_LtE")
    gone = ["test_small.py::test_gone", "test_other.py::test_gone"]
    with Copy(small) as copy:
        assert hunt(bound, copy, gone, {})["fate"] == "survived"
        assert hunt(bound, copy, [*gone, "test_small.py::test_room"], {})["by"] == "test_small.py::test_room"


def test_tests_that_do_not_end_are_stopped_with_what_they_have_started(small: Path) -> None:
    (small / "test_endless.py").write_text("import subprocess, sys, time\n"
                                           "def test_endless():\n"
                                           "    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
                                           "    time.sleep(600)\n")
    with Copy(small) as copy:
        assert copy.worker.stdin is not None and copy.worker.stdout is not None
        copy.worker.stdin.write(json.dumps({"tests": ["test_endless.py"], "each": 3.0, "all": 60.0}).encode() + b"\n")
        copy.worker.stdin.flush()
        answer = json.loads(copy.worker.stdout.readline())
        assert answer["limit"] and answer["status"] != 0
        assert not Path(f"/proc/{copy.worker.pid}/task/{copy.worker.pid}/children").read_text()


def test_every_reason_has_a_line_of_its_own() -> None:
    assert all((ROOT / path).is_file() and text and why for (path, _, text), why in reasons().items())
