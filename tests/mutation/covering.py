"""Which tests are tried on a fault: those that carry out its line, by a pass over the suites that notes it.

The pass goes on where it was stopped.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from itertools import chain
from pathlib import Path

from tests.house.source import ROOT
from tests.mutation.mutants import Mutant

#: What the pass carries out: in one process first, then what has hosts, then what has managers and hosts.
SUITES = ("tests/core", "tests/store", "tests/test_rundir.py", "tests/network/test_frames.py", "tests/network/test_fields.py",
          "tests/network/test_link.py", "tests/network/test_checksum.py", "tests/network/test_records.py", "tests/network/test_dialog.py",
          "tests/network/test_absent.py", "tests/network/test_book.py", "tests/network/test_allowance.py", "tests/planning",
          "tests/diagnosis", "tests/tables", "tests/forecast", "tests/sim", "tests/gjob", "tests/running", "tests/api",
          "tests/network/test_upload.py", "tests/network/test_bringing.py", "tests/network/test_slurm.py", "tests/hostile/test_values.py",
          "tests/hostile/test_answers.py", "tests/cli/test_audit.py",
          "tests/cli/test_queue.py", "tests/cli/test_simulate.py", "tests/web/test_api.py", "tests/acceptance/test_gc.py",
          "tests/acceptance/test_shells.py", "tests/acceptance/test_sharing.py", "tests/acceptance/test_slurm.py",
          "tests/acceptance/test_arrays.py")
#: So many tests at most, which took so many seconds together at most, are tried on a fault. What took less than
#: ``QUICK`` seconds counts as a tenth of one.
TESTS, SECONDS, QUICK = 60, 30.0, 0.05
_WORD = re.compile(r"[a-z_]{3,}")


def files(root: Path) -> Iterator[str]:
    """Yield the test files of the pass, in order."""
    for suite in SUITES:
        found = sorted((root / suite).glob("test_*.py")) if (root / suite).is_dir() else [root / suite]
        yield from (str(path.relative_to(root)) for path in found)


def note(copy: Path, out: Path) -> None:
    """Carry out the pass in a copy; leaves one file for each file of tests. What is there already is not done again."""
    out.mkdir(parents=True, exist_ok=True)
    for tests in files(copy):
        noted = out / (tests.replace("/", "-") + ".json")
        if not noted.exists():
            subprocess.run([sys.executable, "-m", "tests.mutation.noting", str(noted), "--timeout", "900", tests], cwd=copy,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
            print(tests, "noted" if noted.exists() else "could not be noted", flush=True)


class Covered:
    """What the pass has found.

    :param notes: the directory that :func:`note` left it in
    :param source: gives a file as it was then
    """

    def __init__(self, notes: Path, source: Callable[[str], str], root: Path = ROOT):
        self.notes, self.source, self.root = notes, cache(source), root

    @cached_property
    def seconds(self) -> dict[str, float]:
        """How long each test took."""
        return {name: seconds for noted in self._noted for name, seconds in noted["tests"]}

    @cached_property
    def _noted(self) -> list[dict]:
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.notes.glob("*.json"))]

    @cached_property
    def _lines(self) -> dict[str, dict[int, set[str]]]:
        found: dict[str, dict[int, set[str]]] = {}
        for noted in self._noted:
            # A package is a module of its own name on a host.
            for path, lines in ((path, lines) for path, lines in noted["lines"].items() if (self.root / path).exists()):
                for line, tests in lines.items():
                    found.setdefault(path, {}).setdefault(int(line), set()).update(noted["tests"][one][0] for one in tests)
        return found

    @cached_property
    def _breadth(self) -> Counter[str]:
        """How many lines of functions of the scope each test carries out. What an import does falls to any test."""
        found: Counter[str] = Counter()
        for path, lines in self._lines.items():
            inside = _inside(self.source(path))
            found.update(name for line, names in lines.items() if line in inside for name in names)
        return found

    def tests(self, mutant: Mutant, tests: float = TESTS, seconds: float = SECONDS) -> list[str]:
        """Return the tests to try on a fault: by turns the quickest, and those that carry out the least else."""
        found = sorted(self._covering(mutant), key=self.seconds.__getitem__)
        # Of one test with many parameters a few tell as much as all, but for those that are named as something on the line.
        words = set(_WORD.findall(self.source(mutant.path).splitlines()[mutant.line - 1]))
        ranks = {name: 1 if words.intersection(_WORD.findall(name.partition("[")[2])) else rank
                 for name, rank in zip(found, _ranks(found), strict=True)}
        quickest = sorted(found, key=lambda name: (self.seconds[name] + 0.1) * ranks[name])
        closest = sorted(found, key=lambda name: (self._breadth[name] + 10) * ranks[name])
        chosen: list[str] = []
        for name in dict.fromkeys(chain.from_iterable(zip(closest, quickest, strict=True))):
            if tests > 0 and (seconds >= self.seconds[name] or not chosen):
                tests -= 0.1 if self.seconds[name] < QUICK else 1.0
                seconds -= self.seconds[name]
                chosen.append(name)
        return chosen

    def _covering(self, mutant: Mutant) -> set[str]:
        span, names = _statement(self.source(mutant.path), mutant.line)
        # What is carried out once, when the module is imported, is covered by those who use it, here before elsewhere.
        here: list[Iterable[tuple[str, int]]] = [[(mutant.path, line) for line in span]]
        for where in [self._using(names, [mutant.path]), self._using(names, self._lines)] if names else here:
            found = {name for path, line in where if not names or path != mutant.path or line not in span
                     for name in self._lines.get(path, {}).get(line, ())}
            if found:
                return found
        inside = _inside(self.source(mutant.path))
        return {name for line, tests in self._lines.get(mutant.path, {}).items() if line in inside for name in tests}

    def _using(self, names: list[str], paths: Iterable[str]) -> Iterator[tuple[str, int]]:
        """Yield the lines that use names, but for those that only an import carries out: of these it is chance who does."""
        word = re.compile(rf"\b({'|'.join(names)})\b(?! *(:.*)?= )")
        for path in paths:
            source = self.source(path)
            if word.search(source):
                inside = _inside(source)
                yield from ((path, line) for line, text in enumerate(source.splitlines(), 1) if line in inside and word.search(text))


@cache
def _inside(source: str) -> set[int]:
    """Return the lines of the bodies of functions."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {line for node in functions for line in range(node.body[0].lineno, (node.end_lineno or 0) + 1)}


def _ranks(names: list[str]) -> Iterator[int]:
    counts: dict[str, int] = {}
    for name in names:
        function = name.partition("[")[0]
        counts[function] = counts.get(function, 0) + 1
        yield counts[function]


def _statement(source: str, line: int) -> tuple[set[int], list[str]]:
    """Return the lines of the statement around a line, or of its head, and, if it is run at import, the names that it defines."""
    tree = ast.parse(source)
    around = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)]
    innermost = max(around, key=lambda node: node.lineno, default=None)
    if innermost is None:
        return {line}, []
    body = getattr(innermost, "body", None)
    end = max(line, body[0].lineno - 1) if isinstance(body, list) and body else innermost.end_lineno or line
    span = set(range(innermost.lineno, end + 1))
    if isinstance(innermost, ast.FunctionDef) and line <= end:
        return set(range(end + 1, (innermost.end_lineno or line) + 1)), []
    if isinstance(innermost, ast.ClassDef):
        return span, [innermost.name]
    if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in around):
        return span, []
    return span, [node.id for node in ast.walk(innermost) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]

