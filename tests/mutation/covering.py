"""Which tests are tried on a fault: those that carry out its line, by a pass over the suites that notes it.

The pass goes on where it was stopped.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path

from tests.house.source import ROOT
from tests.mutation.mutants import Mutant

#: What the pass carries out: in one process first, then what has hosts, then what has managers and hosts.
SUITES = ("tests/core", "tests/store", "tests/test_rundir.py", "tests/network/test_frames.py", "tests/network/test_link.py",
          "tests/network/test_checksum.py", "tests/sim/test_found.py", "tests/gjob", "tests/running", "tests/api",
          "tests/network/test_upload.py", "tests/hostile/test_values.py", "tests/hostile/test_answers.py",
          "tests/cli/test_audit.py", "tests/cli/test_queue.py", "tests/web/test_api.py", "tests/acceptance/test_gc.py")
#: So many tests at most, which took so many seconds together at most, are tried on a fault.
TESTS, SECONDS = 60, 30.0


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

    def tests(self, mutant: Mutant, tests: int = TESTS, seconds: float = SECONDS) -> list[str]:
        """Return the tests to try on a fault, the quickest first."""
        found = sorted(self._covering(mutant), key=self.seconds.__getitem__)
        # Of one test with many parameters a few tell as much as all.
        place = {name: (self.seconds[name] + 0.1) * rank for name, rank in zip(found, _ranks(found), strict=True)}
        chosen: list[str] = []
        for name in sorted(found, key=place.__getitem__)[:tests]:
            seconds -= self.seconds[name]
            if seconds >= 0 or not chosen:
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
        return {name for tests in self._lines.get(mutant.path, {}).values() for name in tests}

    def _using(self, names: list[str], paths: Iterable[str]) -> Iterator[tuple[str, int]]:
        word = re.compile(rf"\b({'|'.join(names)})\b(?! *(:.*)?= )")
        for path in paths:
            yield from ((path, line) for line, text in enumerate(self.source(path).splitlines(), 1) if word.search(text))


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

