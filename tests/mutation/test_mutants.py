"""That the hunt itself works: faults are found where there are some, and a planted one is noticed."""

from __future__ import annotations

from pathlib import Path

from tests.mutation.covering import suites_for
from tests.mutation.mutants import SCOPE, every_mutant, mutated, of_file, sample


def test_the_same_seed_draws_the_same_mutants() -> None:
    assert sample(50, 7) == sample(50, 7) != sample(50, 8)


def test_every_part_of_the_scope_has_mutants_and_tests_that_look_at_it() -> None:
    found = list(every_mutant())
    for part in SCOPE:
        assert any(mutant.path.startswith(part) for mutant in found)
    root = Path(__file__).parents[2]
    for mutant in found:
        assert all((root / tests).exists() for tests in suites_for(mutant.path)), mutant.path


def test_a_mutant_differs_from_its_file_where_it_says() -> None:
    path = Path("sshjobs/scheduling/quarantine.py")
    source = path.read_text(encoding="utf-8").splitlines()
    for mutant in list(of_file(path))[:40]:
        changed = [n for n, (old, new) in enumerate(zip(source, mutated(mutant).splitlines(), strict=False), 1) if old != new]
        assert changed and min(changed) >= mutant.line - 1, mutant.name
